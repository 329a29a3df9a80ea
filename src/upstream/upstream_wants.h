/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one request wants of the connection that carries it, beyond what its cluster is configured for: the
 * server name it sends and the name it must find in the certificate (Envoy's transport socket options). A
 * connection that was made for other wants never carries it. Borrowed text; both empty: nothing.
 */
#ifndef WEIR_UPSTREAM_UPSTREAM_WANTS_H
#define WEIR_UPSTREAM_UPSTREAM_WANTS_H

#include "http/headers.h"

struct cluster_config;
struct upstream_origin;

struct upstream_wants {
    struct slice sni;
    struct slice san;
    uint64_t downstream; /* the connection that it comes from, and no other may share; 0: any */
    const struct upstream_origin *origin; /* that a PROXY header tells of; NULL: any may share it */
    /* Protocols to offer instead of any others. Of connections outside of pools only: not compared. */
    const struct slice *alpn;
    size_t alpn_count;
};

/* By upstream_http_protocol_options: auto_sni, auto_san_validation, override_auto_sni_header. The slices lie
 * in the headers. */
struct upstream_wants upstream_wants_of(const struct cluster_config *config,
                                        const struct header_map *headers);

static inline bool upstream_wants_nothing(const struct upstream_wants *w)
{
    return w->sni.len == 0 && w->san.len == 0 && w->downstream == 0 && !w->origin;
}
/* Equal for what upstream_wants_same says is the same; of this process only. */
uint64_t upstream_wants_hash(const struct upstream_wants *w);
/* Only the addresses count, as in Envoy. Either may be NULL. */
bool upstream_wants_same_origin(const struct upstream_origin *a, const struct upstream_origin *b);
static inline bool upstream_wants_same(const struct upstream_wants *a, const struct upstream_wants *b)
{
    return slice_eq(a->sni, b->sni) && slice_eq(a->san, b->san) && a->downstream == b->downstream &&
           upstream_wants_same_origin(a->origin, b->origin);
}

#endif
