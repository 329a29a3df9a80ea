/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access log operators about TLS, of both sides: %DOWNSTREAM_TLS_VERSION%, %UPSTREAM_PEER_SUBJECT% and the
 * like. For log_operators.c only.
 */
#ifndef WEIR_PROXY_LOG_TLS_H
#define WEIR_PROXY_LOG_TLS_H

#include "proxy/logging/log_operators.h"

/* X(name behind the side's prefix, function's name) of those that both sides have, without arguments. */
#define LOG_TLS_BOTH(X)                                                                                      \
    X("TLS_VERSION", version)                                                                                \
    X("TLS_CIPHER", cipher)                                                                                  \
    X("TLS_SESSION_ID", session_id)                                                                          \
    X("PEER_SUBJECT", peer_subject)                                                                          \
    X("PEER_ISSUER", peer_issuer)                                                                            \
    X("PEER_SERIAL", peer_serial)                                                                            \
    X("PEER_FINGERPRINT_256", peer_sha256)                                                                   \
    X("PEER_FINGERPRINT_1", peer_sha1)                                                                       \
    X("PEER_CERT", peer_pem)                                                                                 \
    X("PEER_URI_SAN", peer_uri_sans)                                                                         \
    X("PEER_DNS_SAN", peer_dns_sans)                                                                         \
    X("PEER_IP_SAN", peer_ip_sans)                                                                           \
    X("PEER_EMAIL_SAN", peer_email_sans)                                                                     \
    X("LOCAL_SUBJECT", local_subject)                                                                        \
    X("LOCAL_URI_SAN", local_uri_sans)                                                                       \
    X("LOCAL_DNS_SAN", local_dns_sans)                                                                       \
    X("LOCAL_IP_SAN", local_ip_sans)                                                                         \
    X("LOCAL_EMAIL_SAN", local_email_sans)

#define LOG_TLS_DECLARE(name)                                                                                \
    bool log_downstream_##name(const struct log_operator *op, const struct log_input *in,                    \
                               struct strbuf *out);                                                          \
    bool log_upstream_##name(const struct log_operator *op, const struct log_input *in, struct strbuf *out);
#define LOG_TLS_DECLARE_X(text, name) LOG_TLS_DECLARE(name)
LOG_TLS_BOTH(LOG_TLS_DECLARE_X)
/* With a time format, optional. */
LOG_TLS_DECLARE(valid_from)
LOG_TLS_DECLARE(valid_until)
#undef LOG_TLS_DECLARE_X
#undef LOG_TLS_DECLARE

/* %DOWNSTREAM_TRANSPORT_FAILURE_REASON% */
bool log_downstream_failure(const struct log_operator *op, const struct log_input *in, struct strbuf *out);

#endif
