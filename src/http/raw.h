/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec of an upstream that speaks no HTTP: one stream, whose body is the connection's bytes. The head of
 * the request goes nowhere and is answered with 200 as soon as it was sent (Envoy's TCP upstream of a CONNECT
 * that ends here). Adds no byte of its own.
 */
#ifndef WEIR_HTTP_RAW_H
#define WEIR_HTTP_RAW_H

#include "http/codec.h"

/* `out` belongs to the connection and outlives the codec. NULL when memory is out. */
struct http_codec *raw_client_create(const struct codec_events *events, void *conn, struct block_pool *blocks,
                                     struct chain *out);

#endif
