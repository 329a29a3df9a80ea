/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What access logs say about TLS. Connections in clear text have no value here.
 */
#include "proxy/logging/log_tls.h"

#include "net/tls_info.h"
#include "proxy/stream_info.h"

static bool text(struct slice s, struct strbuf *out)
{
    return s.len > 0 && strbuf_append(out, s);
}

/* Several names have commas between (Envoy). */
static bool list(const struct slice *items, size_t count, struct strbuf *out)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            strbuf_append_char(out, ',');
        strbuf_append(out, items[i]);
    }
    return count > 0;
}

#define TEXT_OPS(X)                                                                                          \
    X(version, version)                                                                                      \
    X(cipher, cipher)                                                                                        \
    X(session_id, session_id)                                                                                \
    X(peer_subject, peer.subject)                                                                            \
    X(peer_issuer, peer.issuer)                                                                              \
    X(peer_serial, peer.serial)                                                                              \
    X(peer_sha256, peer_sha256)                                                                              \
    X(peer_sha1, peer_sha1)                                                                                  \
    X(peer_pem, peer_pem)                                                                                    \
    X(local_subject, local.subject)
#define LIST_OPS(X)                                                                                          \
    X(peer_uri_sans, peer.uri_sans)                                                                          \
    X(peer_dns_sans, peer.dns_sans)                                                                          \
    X(peer_ip_sans, peer.ip_sans)                                                                            \
    X(peer_email_sans, peer.email_sans)                                                                      \
    X(local_uri_sans, local.uri_sans)                                                                        \
    X(local_dns_sans, local.dns_sans)                                                                        \
    X(local_ip_sans, local.ip_sans)                                                                          \
    X(local_email_sans, local.email_sans)

#define SIDE_OP(side, member, name, expression)                                                              \
    bool log_##side##_##name(const struct log_operator *op, const struct log_input *in, struct strbuf *out)  \
    {                                                                                                        \
        const struct tls_info *tls = in->stream->info.member;                                                \
        (void)op;                                                                                            \
        return tls && (expression);                                                                          \
    }
#define TEXT_X(name, member)                                                                                 \
    SIDE_OP(downstream, tls, name, text(tls->member, out))                                                   \
    SIDE_OP(upstream, upstream_tls, name, text(tls->member, out))
#define LIST_X(name, member)                                                                                 \
    SIDE_OP(downstream, tls, name, list(tls->member, tls->member##_count, out))                              \
    SIDE_OP(upstream, upstream_tls, name, list(tls->member, tls->member##_count, out))
TEXT_OPS(TEXT_X)
LIST_OPS(LIST_X)

/* Envoy's default has milliseconds, which are 0 in certificates. */
static bool date(const struct tls_info *tls, int64_t seconds, const struct log_operator *op,
                 struct strbuf *out)
{
    if (!tls || seconds <= 0)
        return false;
    return log_time_format((uint64_t)seconds * 1000000000u, op->main, false, out);
}

#define DATE_X(name, member)                                                                                 \
    SIDE_OP(downstream, tls, name, date(tls, tls->peer.member, op, out))                                     \
    SIDE_OP(upstream, upstream_tls, name, date(tls, tls->peer.member, op, out))
DATE_X(valid_from, not_before)
DATE_X(valid_until, not_after)

bool log_downstream_failure(const struct log_operator *op, const struct log_input *in, struct strbuf *out)
{
    const struct tls_info *tls = in->stream->info.tls;
    (void)op;
    if (!tls)
        return false;
    /* Without spaces, as Envoy prints it. */
    for (size_t i = 0; i < tls->failure.len; i++)
        strbuf_append_char(out, tls->failure.ptr[i] == ' ' ? '_' : tls->failure.ptr[i]);
    return tls->failure.len > 0;
}
