/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the proxy knows of gRPC: its content type, its timeout header, its status codes. Messages are nothing
 * to it but bytes.
 */
#ifndef WEIR_PROXY_GRPC_H
#define WEIR_PROXY_GRPC_H

#include "base/slice.h"

/* application/grpc, with or without +encoding; with parameters it is none to Envoy either. */
bool grpc_content_type(struct slice type);
/* "10S": up to 8 digits and a unit (gRPC over HTTP/2). Milliseconds, rounded up; false when malformed. */
bool grpc_timeout_parse(struct slice text, uint64_t *ms);
#define GRPC_TIMEOUT_BYTES 24
/* The header's value for that many milliseconds, in `buffer`. */
struct slice grpc_timeout_format(uint64_t ms, char buffer[GRPC_TIMEOUT_BYTES]);
/* The status that stands for an HTTP answer without one of its own: Envoy's table, which is gRPC's. */
uint32_t grpc_status_of_http(uint64_t http);

#endif
