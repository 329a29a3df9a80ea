/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protocol errors as pointers to constant rows; NULL is fine. A row says what the peer is told and what the
 * access log shows, so that no layer translates.
 */
#ifndef WEIR_HTTP_ERROR_H
#define WEIR_HTTP_ERROR_H

#include <stdbool.h>
#include <stdint.h>

struct http_error {
    const char *name;    /* for logs and tests: "bad_chunk_size" */
    const char *details; /* %RESPONSE_CODE_DETAILS%, Envoy's text where Envoy has one: "http1.codec_error" */
    const char *text;    /* what is wrong, for people */
    uint16_t status; /* what a server answers: 400, 413, 414, 431, 426, 501, 505; 0: nothing can be sent */
    bool connection; /* the connection cannot go on (always so in HTTP/1) */
};

/* The error rows: X(name, details, status, text). Filled by the codecs' needs. */
#include "http/error_table.h"

#define HTTP_ERROR_X(n, d, s, t) extern const struct http_error http_error_##n;
HTTP_ERRORS(HTTP_ERROR_X)
#undef HTTP_ERROR_X

#endif
