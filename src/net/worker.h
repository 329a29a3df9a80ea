/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread with its loop, its listening sockets, its upstream pools and its plugin instances.
 * Workers share nothing but immutable resources and statistics. Runtime objects that other rooms keep per
 * worker hang in slots.
 */
#ifndef WEIR_NET_WORKER_H
#define WEIR_NET_WORKER_H

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

/* What a worker does with a listener; part of the listener. */
struct worker_listener {
    struct list node; /* worker->listeners */
    /* Takes what is queued and ends; connections end with their current request. */
    void (*drain)(struct worker_listener *l);
    /* Ends at once with all connections. */
    void (*close)(struct worker_listener *l);
};

struct worker {
    struct loop loop;
    uint32_t index;      /* 0 .. concurrency-1 */
    uint64_t filter_lap; /* 0: off; 1: on; else on, and when the last filter that counts its time was left */
    void *slots[WORKER_SLOT_COUNT];
    uint64_t random_state[2];    /* xorshift for balancing, jitter and request ids; not for secrets */
    uint64_t clock_second;       /* of the wall clock, as of the last worker_clock_refresh */
    uint64_t realtime_offset_ns; /* realtime minus monotonic, as of clock_second */
    char date[32];               /* the date header of date_second: response_date */
    uint64_t date_second;
    uint64_t stream_ids;   /* the last one given */
    bool draining;         /* answers close their connections, no new connections */
    size_t connections;    /* open downstream connections */
    struct list listeners; /* struct worker_listener */
    bool running;
    bool ending; /* told to stop */
    pthread_t thread;
    const char *thread_name; /* NULL: "weir:wrk_N" */
    /* Called on the worker's thread, in its loop, when it drains and the last connection is gone. */
    void (*drained)(struct worker *w, void *arg);
    void *drained_arg;
    /* Called on the worker's thread after the loop has ended, while slots are still there. */
    void (*stopped)(struct worker *w, void *arg);
    void *stopped_arg;
};

/* The loop is there afterwards, the thread not yet: slots and listeners can be set up. NULL when something is
 * out. */
struct worker *worker_create(uint32_t index);
/* Starts the thread "weir:wrk_N". 0 or a negative errno. */
int worker_start(struct worker *w);
/* [any thread] Listeners close after what is queued; connections end with their current request. `drained` is
 * called once, maybe at once; NULL: nobody wants to know. */
void worker_drain(struct worker *w, void (*drained)(struct worker *w, void *arg), void *arg);
/* [any thread but its own] Tells it to end, without waiting: worker_stop follows. For several at once. */
void worker_stop_begin(struct worker *w);
/* [any thread but its own] Ends the loop, closing all connections hard, and joins the thread. */
void worker_stop(struct worker *w);
/* After worker_stop, or without worker_start. The slots must have been emptied by their rooms. */
void worker_destroy(struct worker **w);

/* Uniform in [0, bound), bound > 0. */
uint64_t worker_random(struct worker *w, uint64_t bound);
uint64_t worker_random_bits(struct worker *w);
/* Reads the wall clock into clock_second, once a second. */
void worker_clock_refresh(struct worker *w);
/* The wall clock at a reading of the monotonic clock, without asking it. */
uint64_t worker_realtime_ns(struct worker *w, uint64_t monotonic_ns);

#endif
