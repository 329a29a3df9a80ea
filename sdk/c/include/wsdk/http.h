/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wsdk/http.h: headers, bodies and the fate of a stream. All calls act on the stream whose callback runs (or
 * on the effective context). Data read here lives until the running callback returns. The host checks what is
 * written: it refuses names that are no tokens, values with CR, LF or NUL, and changes to message framing.
 */
#ifndef WSDK_HTTP_H
#define WSDK_HTTP_H

#include <wsdk/types.h>

struct wsdk_context;

/* One header to write. */
struct wsdk_header {
    struct wsdk_bytes name, value;
};

/* A whole map as the host serialised it; read it with wsdk_headers_next. */
struct wsdk_headers {
    struct wsdk_bytes raw;
    size_t count, next, at;
};

/* The first value of `name` (any case; pseudo-headers are ":path" and so on). WSDK_NOT_FOUND when absent. */
enum wsdk_status wsdk_header_get(struct wsdk_context *ctx, enum wsdk_map map, struct wsdk_bytes name,
                                 struct wsdk_bytes *value);

/* Append an entry / make it the only one of its name / remove all of that name (none: WSDK_OK). */
enum wsdk_status wsdk_header_add(struct wsdk_context *ctx, enum wsdk_map map, struct wsdk_bytes name,
                                 struct wsdk_bytes value);
enum wsdk_status wsdk_header_set(struct wsdk_context *ctx, enum wsdk_map map, struct wsdk_bytes name,
                                 struct wsdk_bytes value);
enum wsdk_status wsdk_header_remove(struct wsdk_context *ctx, enum wsdk_map map, struct wsdk_bytes name);

/* What the host calls the size of a map (Envoy: bytes of names and values). */
enum wsdk_status wsdk_headers_bytes(struct wsdk_context *ctx, enum wsdk_map map, size_t *bytes);

/* Read a whole map; then call wsdk_headers_next until it returns false. */
enum wsdk_status wsdk_headers_get(struct wsdk_context *ctx, enum wsdk_map map, struct wsdk_headers *headers);
bool wsdk_headers_next(struct wsdk_headers *headers, struct wsdk_bytes *name, struct wsdk_bytes *value);

/* Replace a whole map. */
enum wsdk_status wsdk_headers_set(struct wsdk_context *ctx, enum wsdk_map map, const struct wsdk_header *list,
                                  size_t count);

/* Bytes [start, start + len) of a buffer, cut where it ends. Beyond the end: WSDK_OK and empty. */
enum wsdk_status wsdk_buffer_get(struct wsdk_context *ctx, enum wsdk_buffer buffer, size_t start, size_t len,
                                 struct wsdk_bytes *data);
enum wsdk_status wsdk_buffer_bytes(struct wsdk_context *ctx, enum wsdk_buffer buffer, size_t *bytes);

/* Remember: the host does not correct a content-length header; remove it in the headers callback. */
enum wsdk_status wsdk_buffer_replace(struct wsdk_context *ctx, enum wsdk_buffer buffer,
                                     struct wsdk_bytes data);
enum wsdk_status wsdk_buffer_prepend(struct wsdk_context *ctx, enum wsdk_buffer buffer,
                                     struct wsdk_bytes data);
enum wsdk_status wsdk_buffer_append(struct wsdk_context *ctx, enum wsdk_buffer buffer,
                                    struct wsdk_bytes data);

/* The raw call: replace `len` bytes at `start` (0: the front, >= length: append; hosts refuse the middle). */
enum wsdk_status wsdk_buffer_splice(struct wsdk_context *ctx, enum wsdk_buffer buffer, size_t start,
                                    size_t len, struct wsdk_bytes data);

/* The plugin's configuration; only in on_configure. `bytes` is the callback's argument. Empty when there is
 * none. */
enum wsdk_status wsdk_configuration(struct wsdk_context *root, size_t bytes, struct wsdk_bytes *text);

/* An answer to the client in place of the upstream's. */
struct wsdk_reply {
    uint32_t status;           /* HTTP status, 200..599 */
    struct wsdk_bytes details; /* for the access log; no spaces */
    struct wsdk_bytes body;
    const struct wsdk_header *headers; /* added to the host's own */
    size_t header_count;
    bool has_grpc_status; /* false: the host picks one for gRPC requests */
    uint32_t grpc_status;
};

/* Queue the answer and return WSDK_PAUSE from the callback. The first one of a stream wins. */
enum wsdk_status wsdk_reply_send(struct wsdk_context *ctx, const struct wsdk_reply *reply);

/* Let a paused message go on / reset the stream, after the running callback has returned. */
enum wsdk_status wsdk_continue(struct wsdk_context *ctx, enum wsdk_stream_kind kind);
enum wsdk_status wsdk_close(struct wsdk_context *ctx, enum wsdk_stream_kind kind);

#endif
