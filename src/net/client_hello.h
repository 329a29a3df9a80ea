/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be read from the first bytes of a TLS connection before any handshake: RFC 8446 4.1.2 and 5.1,
 * RFC 6066 3, RFC 7301. No keys, no state; the bytes are a stranger's.
 */
#ifndef WEIR_NET_CLIENT_HELLO_H
#define WEIR_NET_CLIENT_HELLO_H

#include "base/arena.h"

enum client_hello_result {
    CLIENT_HELLO_OK,
    CLIENT_HELLO_MORE,      /* so far it is one */
    CLIENT_HELLO_TOO_LARGE, /* it will be longer than the cap */
    CLIENT_HELLO_NONE,      /* these bytes begin no TLS connection */
    CLIENT_HELLO_MALFORMED, /* TLS, but no valid hello */
};

/* Borrowed from the bytes, or from the arena when the hello came in pieces. */
struct client_hello {
    uint16_t version;         /* legacy_version */
    struct slice ciphers;     /* 2 bytes each */
    struct slice extensions;  /* the whole list */
    bool has_extensions;      /* maybe an empty list */
    struct slice server_name; /* empty: none */
    struct slice alpn;        /* length-prefixed names; empty: none */
};

/* `bytes_max` caps the hello with its record headers. *out is filled with OK only. */
enum client_hello_result client_hello_parse(struct slice bytes, size_t bytes_max, struct arena *arena,
                                            struct client_hello *out);

/* The next extension of a list that was parsed before; false at its end. */
bool client_hello_extension(struct slice *rest, uint16_t *type, struct slice *body);
/* The next name of `alpn`. */
bool client_hello_alpn(struct slice *rest, struct slice *name);

#endif
