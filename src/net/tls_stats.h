/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics of the TLS connections of one listener or cluster, under "<prefix>ssl.". Shared by all contexts
 * of that owner, old and new. Counters of ciphers, versions, groups and signature algorithms come into being
 * when the first handshake uses one. Never counts by a name on the way of a request.
 */
#ifndef WEIR_NET_TLS_STATS_H
#define WEIR_NET_TLS_STATS_H

#include "telemetry/stats.h"

#define TLS_STATS(X)                                                                                         \
    X(connection_error)                                                                                      \
    X(handshake)                                                                                             \
    X(session_reused)                                                                                        \
    X(no_certificate)                                                                                        \
    X(fail_verify_no_cert)                                                                                   \
    X(fail_verify_error)                                                                                     \
    X(fail_verify_san)                                                                                       \
    X(fail_verify_cert_hash)                                                                                 \
    X(ocsp_staple_failed)                                                                                    \
    X(ocsp_staple_omitted)                                                                                   \
    X(ocsp_staple_responses)                                                                                 \
    X(ocsp_staple_requests)                                                                                  \
    X(was_key_usage_invalid)                                                                                 \
    X(context_reloaded) /* Weir's own, as the next: files have changed */                                    \
    X(context_reload_failed)

/* Of each kind this many different ones are counted under their name; there are fewer in the library. */
#define TLS_STATS_KINDS_MAX 32

/* Counters that are found by the library's number of what they count. */
struct tls_stats_kind {
    _Atomic uint32_t keys[TLS_STATS_KINDS_MAX]; /* 0: free */
    _Atomic stat_id ids[TLS_STATS_KINDS_MAX];
};

struct tls_stats {
    atomic_uint refs;
    char *prefix; /* "listener.127.0.0.1_8443.ssl." */
#define TLS_STAT_X(name) stat_id name;
    TLS_STATS(TLS_STAT_X)
#undef TLS_STAT_X
    struct tls_stats_kind ciphers;
    struct tls_stats_kind versions;
    struct tls_stats_kind curves;
    struct tls_stats_kind sigalgs;
};

/* `prefix` ends in a dot ("cluster.web."). One reference; NULL when memory is out. */
struct tls_stats *tls_stats_create(struct slice prefix);
struct tls_stats *tls_stats_ref(struct tls_stats *s);
void tls_stats_unref(struct tls_stats **s);
/* [any thread] When a certificate expires, in seconds of the epoch, under "<prefix>ssl.certificate.<name>.";
 * not on the way of a connection. */
void tls_stats_expiration(const struct tls_stats *s, struct slice name, int64_t seconds);
/* [any thread] One more of `key`, which is called "<prefix>ssl.<kind_name>.<name>". */
void tls_stats_count(struct tls_stats *s, struct tls_stats_kind *kind, const char *kind_name, uint32_t key,
                     const char *name);

#endif
