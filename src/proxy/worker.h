/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread with its loop, its listening sockets, its upstream pools and its plugin instances.
 * Workers share nothing but immutable resources and statistics. Runtime objects that other rooms keep per
 * worker hang in slots.
 */
#ifndef WEIR_PROXY_WORKER_H
#define WEIR_PROXY_WORKER_H

#include "net/loop.h"

/* Rooms that keep something per worker; X(NAME). */
#define WORKER_SLOTS(X)                                                                                      \
    X(LISTENERS)                                                                                             \
    X(CLUSTERS)                                                                                              \
    X(WASM)

enum worker_slot {
#define WORKER_SLOT_X(n) WORKER_SLOT_##n,
    WORKER_SLOTS(WORKER_SLOT_X)
#undef WORKER_SLOT_X
        WORKER_SLOT_COUNT
};

struct worker {
    struct loop loop;
    uint32_t index; /* 0 .. concurrency-1 */
    void *slots[WORKER_SLOT_COUNT];
    uint64_t random_state[2]; /* xorshift for balancing and jitter; not for secrets */
    char date[32];            /* "Sat, 21 Nov 2026 10:00:00 GMT", refreshed once a second on use */
    uint64_t date_second;
};

/* Uniform in [0, bound), bound > 0. */
uint64_t worker_random(struct worker *w, uint64_t bound);
/* The date header's value, cached per second. */
struct slice worker_date(struct worker *w);

#endif
