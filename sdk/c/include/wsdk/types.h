/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wsdk/types.h: the words that guest and host share: byte slices and the numbers of Proxy-Wasm ABI 0.2.1.
 * It must never hold a function that calls the host.
 */
#ifndef WSDK_TYPES_H
#define WSDK_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes that someone else owns. Not NUL-terminated. Empty: len 0, data may be NULL. */
struct wsdk_bytes {
    const char *data;
    size_t len;
};

/* A literal as a slice. Embedded NULs count, so a property path is WSDK_STR("source\0address"). */
#define WSDK_STR(literal) ((struct wsdk_bytes){("" literal), sizeof(literal) - 1})
#define WSDK_NONE         ((struct wsdk_bytes){NULL, 0})

/* A C string as a slice; borrows it. */
static inline struct wsdk_bytes wsdk_cstr(const char *text)
{
    return (struct wsdk_bytes){text, strlen(text)};
}

/* The two arguments of a "%.*s" in wsdk_log and wsdk_format. */
#define WSDK_FMT(bytes) (int)(bytes).len, (bytes).data

/* What every host call returns. Only WSDK_OK makes out-parameters valid. */
enum wsdk_status {
    WSDK_OK = 0,
    WSDK_NOT_FOUND = 1,
    WSDK_BAD_ARGUMENT = 2,
    WSDK_SERIALIZATION_FAILURE = 3,
    WSDK_PARSE_FAILURE = 4,
    WSDK_BAD_EXPRESSION = 5,
    WSDK_INVALID_MEMORY_ACCESS = 6,
    WSDK_EMPTY = 7,
    WSDK_CAS_MISMATCH = 8,
    WSDK_RESULT_MISMATCH = 9,
    WSDK_INTERNAL_FAILURE = 10,
    WSDK_BROKEN_CONNECTION = 11,
    WSDK_UNIMPLEMENTED = 12,
};

enum wsdk_level {
    WSDK_TRACE = 0,
    WSDK_DEBUG = 1,
    WSDK_INFO = 2,
    WSDK_WARN = 3,
    WSDK_ERROR = 4,
    WSDK_CRITICAL = 5,
};

/*
 * What a stream callback returns. PAUSE holds the message until wsdk_continue (or a local reply): after
 * headers nothing more of that direction is delivered; in a body callback the body so far is kept and grows.
 * The finer values are those that Envoy's own SDK knows; other hosts may take them for PAUSE.
 */
enum wsdk_action {
    WSDK_CONTINUE = 0,
    WSDK_PAUSE = 1,
    WSDK_HEADERS_STOP_AND_BUFFER = 3,
    WSDK_HEADERS_STOP_AND_WATERMARK = 4,
    WSDK_BODY_STOP_AND_WATERMARK = 2,
    WSDK_BODY_STOP_NO_BUFFER = 3,
};

enum wsdk_map {
    WSDK_REQUEST_HEADERS = 0,
    WSDK_REQUEST_TRAILERS = 1,
    WSDK_RESPONSE_HEADERS = 2,
    WSDK_RESPONSE_TRAILERS = 3,
    WSDK_GRPC_INITIAL_METADATA = 4,
    WSDK_GRPC_TRAILING_METADATA = 5,
    WSDK_CALL_RESPONSE_HEADERS = 6,
    WSDK_CALL_RESPONSE_TRAILERS = 7,
};

enum wsdk_buffer {
    WSDK_REQUEST_BODY = 0,
    WSDK_RESPONSE_BODY = 1,
    WSDK_DOWNSTREAM_DATA = 2,
    WSDK_UPSTREAM_DATA = 3,
    WSDK_CALL_RESPONSE_BODY = 4,
    WSDK_GRPC_MESSAGE = 5,
    WSDK_VM_CONFIGURATION = 6,
    WSDK_PLUGIN_CONFIGURATION = 7,
    WSDK_FOREIGN_ARGUMENTS = 8,
};

enum wsdk_stream_kind {
    WSDK_HTTP_REQUEST = 0,
    WSDK_HTTP_RESPONSE = 1,
    WSDK_DOWNSTREAM = 2,
    WSDK_UPSTREAM = 3,
};

enum wsdk_peer {
    WSDK_PEER_UNKNOWN = 0,
    WSDK_PEER_LOCAL = 1,
    WSDK_PEER_REMOTE = 2,
};

enum wsdk_metric_kind {
    WSDK_COUNTER = 0,
    WSDK_GAUGE = 1,
    WSDK_HISTOGRAM = 2,
};

#endif
