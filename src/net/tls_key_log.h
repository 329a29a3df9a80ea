/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The secrets of TLS connections for who wants to read a capture of them (NSS key log format). Written only
 * where a configuration asks for it, and only for the addresses that it names.
 */
#ifndef WEIR_NET_TLS_KEY_LOG_H
#define WEIR_NET_TLS_KEY_LOG_H

#include "net/address.h"

#include <openssl/ssl.h>

struct log_file;

struct tls_key_log {
    struct log_file *file;    /* NULL: nothing is written */
    const struct cidr *local; /* none: any */
    size_t local_count;
    const struct cidr *remote;
    size_t remote_count;
};

/* A callback of the library's; SSL_get_app_data is the struct tls_conn. */
void tls_key_log_line(const SSL *ssl, const char *line);

#endif
