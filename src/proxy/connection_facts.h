/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What listener filters found out about a connection before it had an owner. Connections of listeners without
 * such filters have none (NULL). On one worker's thread; the owner's streams and logs read it.
 */
#ifndef WEIR_PROXY_CONNECTION_FACTS_H
#define WEIR_PROXY_CONNECTION_FACTS_H

#include "base/assert.h"
#include "net/address.h"
#include "proxy/filter_state.h"
#include "upstream/lb_match.h"

/* Protocols of a ClientHello that are kept for matching: more than anybody offers. */
#define CONNECTION_ALPN_MAX 16u

struct connection_facts {
    uint32_t refs;
    struct arena arena;              /* of all texts here */
    bool local_restored;             /* the connection's local address is not that of its socket */
    struct address direct_remote;    /* of the socket; the connection's own may be what a proxy said */
    struct slice server_name;        /* SNI, lower case; empty: none */
    struct slice transport_protocol; /* "tls"; empty: nobody saw one, which is "raw_buffer" */
    struct slice alpn[CONNECTION_ALPN_MAX];
    size_t alpn_count;
    struct slice ja3; /* hex of the MD5; empty: not asked for, or no TLS */
    struct slice ja4;
    struct filter_state filter_state; /* the connection's streams inherit it */
    bool proxied;                     /* it began with a PROXY header */
    struct slice proxy_tlvs;          /* of that header, those that upstreams may be told */
    struct typed_value *metadata;     /* dynamic metadata: a map of namespaces; NULL: none */
    /* The same namespaces, each a message of the type below: the bytes as they came. NULL when `metadata` is.
     */
    struct typed_value *typed_metadata;
};
#define CONNECTION_TLVS_TYPE "type.googleapis.com/envoy.data.core.v3.TlvsMetadata"

/* One reference. NULL when memory is out. */
struct connection_facts *connection_facts_create(const struct address *direct_remote);
struct connection_facts *connection_facts_ref(struct connection_facts *f);
/* NULL is fine; clears the pointer. */
void connection_facts_unref(struct connection_facts **f);
/* Copies a value, as text and as it came. False: no room. One that is there already stays (Envoy). */
bool connection_facts_put_metadata(struct connection_facts *f, struct slice space, struct slice key,
                                   struct slice text, struct slice raw);
/* Slow path of the next one. */
const struct lb_match *connection_facts_more_labels(const struct connection_facts *f, struct arena *arena,
                                                    const struct lb_match *base);
/* The labels of the endpoint that a request wants: those of its route (NULL: none), and over them what
 * filters have left in the metadata "envoy.lb" of its connection. When they do not fit, labels that no
 * endpoint has. `f` may be NULL. */
static inline const struct lb_match *connection_facts_labels(const struct connection_facts *f,
                                                             struct arena *arena, const struct lb_match *base)
{
    return WEIR_UNLIKELY(f && f->metadata) ? connection_facts_more_labels(f, arena, base) : base;
}

#endif
