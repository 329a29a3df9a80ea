/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listener filter tls_inspector: sees whether a connection begins with TLS, and what the ClientHello asks
 * for: server name and protocols, by which chains are chosen.
 */
#ifndef WEIR_PROXY_TLS_INSPECTOR_H
#define WEIR_PROXY_TLS_INSPECTOR_H

#include "proxy/listener/listener_filter.h"

/* Envoy's cap, and its default. */
#define CLIENT_HELLO_BYTES_MAX 16384u

struct tls_inspector_options {
    size_t hello_bytes_max;
    bool close_on_errors; /* a hello that does not parse ends the connection; else it is no TLS */
    bool ja3;
    bool ja4;
};

/* Fills ops, config and bytes_max. False: memory is out. */
bool tls_inspector_init(struct listener_filter_config *f, const struct tls_inspector_options *options);

#endif
