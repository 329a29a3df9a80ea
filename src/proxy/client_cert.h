/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x-forwarded-client-cert: what the next hop learns of the client's certificate, byte for byte as Envoy
 * writes it. Never believes a client about its certificate unless the configuration says so.
 */
#ifndef WEIR_PROXY_CLIENT_CERT_H
#define WEIR_PROXY_CLIENT_CERT_H

#include "base/arena.h"
#include "http/headers.h"

struct tls_info;

/* Same numbers as Envoy's ForwardClientCertDetails. */
enum client_cert_mode {
    CLIENT_CERT_SANITIZE,
    CLIENT_CERT_FORWARD_ONLY,
    CLIENT_CERT_APPEND_FORWARD,
    CLIENT_CERT_SANITIZE_SET,
    CLIENT_CERT_ALWAYS_FORWARD_ONLY,
};

/* SetCurrentClientCertDetails; By and Hash are always there. */
struct client_cert_details {
    bool subject;
    bool cert;
    bool chain;
    bool dns;
    bool uri;
};

/* Keeps, removes or writes the header. `tls` NULL: no TLS. `arena` is that of the headers. */
void client_cert_apply(enum client_cert_mode mode, const struct client_cert_details *details,
                       const struct tls_info *tls, struct header_map *headers, struct arena *arena);
/* The element for this connection: "By=...;Hash=...". Empty when nothing is known; ptr NULL without memory.
 */
struct slice client_cert_element(const struct client_cert_details *details, const struct tls_info *tls,
                                 struct arena *arena);

#endif
