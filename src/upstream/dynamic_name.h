/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The place that a request names, of a dynamic forward proxy cluster: "host:port", written in one way only,
 * so that nobody makes two hosts of one. Says nothing of where that is.
 */
#ifndef WEIR_UPSTREAM_DYNAMIC_NAME_H
#define WEIR_UPSTREAM_DYNAMIC_NAME_H

#include "base/slice.h"
#include "net/address.h"

#include <stdatomic.h>

/* Bytes of a host (RFC 1035 3.1, and the dot at its end) and of the text with its port. */
#define DYNAMIC_HOST_BYTES_MAX 254u
#define DYNAMIC_NAME_BYTES_MAX (DYNAMIC_HOST_BYTES_MAX + sizeof(":65535") - 1)

struct dynamic_key {
    uint16_t port;
    uint16_t host_len; /* of the text, which begins with it */
    uint16_t len;
    char text[DYNAMIC_NAME_BYTES_MAX + 1];
};

/* An authority, or a server name. false: no host can be called so. */
bool dynamic_key_parse(struct slice authority, uint16_t port_unset, struct dynamic_key *out);
static inline struct slice dynamic_key_text(const struct dynamic_key *k)
{
    return slice_of(k->text, k->len);
}
/* Without brackets. */
struct slice dynamic_key_host(const struct dynamic_key *k);
/* Whether the host is an address. */
bool dynamic_key_address(const struct dynamic_key *k, struct address *out);

/* Shared by the main thread and the workers. */
struct dynamic_name {
    atomic_uint refs;
    struct dynamic_key key;
    _Atomic uint64_t used_ms; /* when it was wanted last, on the loops' clock; about a second */
};

/* NULL when memory is out. */
struct dynamic_name *dynamic_name_create(const struct dynamic_key *key, uint64_t now_ms);
struct dynamic_name *dynamic_name_ref(struct dynamic_name *n);
void dynamic_name_unref(struct dynamic_name **n);

/* Workers read the time far more often than they write it. [any thread] */
static inline void dynamic_name_use(struct dynamic_name *n, uint64_t now_ms)
{
    if (now_ms > atomic_load_explicit(&n->used_ms, memory_order_relaxed) + 1000)
        atomic_store_explicit(&n->used_ms, now_ms, memory_order_relaxed);
}

#endif
