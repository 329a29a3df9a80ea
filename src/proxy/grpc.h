/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the proxy knows of gRPC: its content type and its timeout header. Messages are nothing to it but
 * bytes.
 */
#ifndef WEIR_PROXY_GRPC_H
#define WEIR_PROXY_GRPC_H

#include "base/slice.h"

/* application/grpc, with or without +encoding or parameters. */
bool grpc_content_type(struct slice type);
/* "10S": up to 8 digits and a unit (gRPC over HTTP/2). Milliseconds, rounded up; false when malformed. */
bool grpc_timeout_parse(struct slice text, uint64_t *ms);
#define GRPC_TIMEOUT_BYTES 24
/* The header's value for that many milliseconds, in `buffer`. */
struct slice grpc_timeout_format(uint64_t ms, char buffer[GRPC_TIMEOUT_BYTES]);

#endif
