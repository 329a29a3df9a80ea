/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/1 codec (RFC 9112), strict: what could be read in two ways is refused. See codec.h for the
 * contract.
 */
#ifndef WEIR_HTTP_H1_H
#define WEIR_HTTP_H1_H

#include "http/codec.h"

/* How the names of fields are written (Envoy: header_key_format). All false: in small letters. */
struct h1_key_format {
    bool proper_case;     /* with Capitals, unless the message's own spelling is kept */
    bool preserve_case;   /* what is received keeps its spelling, for whoever sends it on */
    bool preserve_proper; /* with it: names that the message did not have get Capitals */
    bool preserve_reason; /* with it: the reason of a status line is sent on */
};

struct h1_settings {
    uint32_t headers_count_max;  /* 0: HEADERS_COUNT_MAX; at most 8192 */
    size_t headers_bytes_max;    /* whole head, start line included. 0: HEADERS_BYTES_MAX */
    size_t start_line_bytes_max; /* 0: headers_bytes_max; beyond: 414 */
    bool accept_http_10;         /* else 426 (Envoy) */
    struct slice default_host_for_http_10;
    bool allow_absolute_url;   /* Envoy default true: an absolute-form target replaces Host */
    bool allow_chunked_length; /* CL with TE: keep TE, drop CL, instead of 400 */
    bool enable_trailers;      /* else trailers are dropped (Envoy) */
    struct h1_key_format keys;
    bool allow_upgrade; /* upgrade requests and 101 turn the stream into bytes; else the header is dropped */
    bool allow_connect;
};

/* `blocks` and `out` belong to the connection and outlive the codec. NULL when memory is out. */
struct http_codec *h1_server_create(const struct h1_settings *settings, const struct codec_events *events,
                                    void *conn, struct block_pool *blocks, struct chain *out);
struct http_codec *h1_client_create(const struct h1_settings *settings, const struct codec_events *events,
                                    void *conn, struct block_pool *blocks, struct chain *out);

#endif
