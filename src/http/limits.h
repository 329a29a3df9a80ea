/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caps of the http room that no configuration changes. Those that a listener can change are in h1.h and
 * headers.h.
 */
#ifndef WEIR_HTTP_LIMITS_H
#define WEIR_HTTP_LIMITS_H

/* Empty lines before a request line: RFC 9112 2.2 asks for at least one, after a client's stray CRLF. */
#define H1_LEADING_CRLF_MAX 2u
/* Bytes of chunk extensions in one chunk line, and in one body: nobody uses them but attackers. */
#define H1_CHUNK_EXTENSION_BYTES_MAX 256u
#define H1_BODY_EXTENSION_BYTES_MAX  16384u
/* Digits of a chunk size, leading zeros included: what fits 64 bits. */
#define H1_CHUNK_DIGITS_MAX 16u
/* 1xx heads before one final response: a server that sends nothing else must not hold the stream. */
#define H1_INFORMATIONAL_MAX 32u
/* Names in one request's Connection fields (Envoy refuses 10 and more). */
#define H1_CONNECTION_TOKENS_MAX 9u
/* No setting allows more fields than this: the map numbers them in 16 bits. */
#define H1_HEADERS_COUNT_LIMIT 8192u
/* A map accepts this much beyond what the peer may send, so that filters can add fields to a full one. */
#define H1_HEADERS_COUNT_RESERVE 64u
#define H1_HEADERS_BYTES_RESERVE 16384u
/* Body bytes that are copied behind the framing instead of referenced: below it, a copy costs less than an
 * iovec entry and a pinned receive block. */
#define H1_COPY_BYTES_MAX 1024u

/* HTTP/2. Request heads that are taken from the input before their streams are looked after: a read of tiny
 * ones must not claim an arena for each at once. */
#define H2_HEADS_PER_STEP 32u
/* Bytes of one stream that wait for the peer's window; and, once all streams of a connection hold
 * H2_SEND_TOTAL_BYTES together, of each further one. */
#define H2_SEND_STREAM_BYTES 262144u
#define H2_SEND_TOTAL_BYTES  ((size_t)4 << 20)
#define H2_SEND_SMALL_BYTES  16384u
/* Fields of a head that need no memory of the connection's own while they are given to the library: 2.5 KiB
 * for each thread. */
#define H2_COMMON_FIELDS 64u
/* Stream objects that a connection keeps for reuse: about one turn's worth. */
#define H2_STREAMS_IDLE_MAX 32u
/* Bytes of a request that are still taken, and dropped, after its answer is complete: what a client has sent
 * before it could know. */
#define H2_LATE_BYTES_MAX 65536u
/* CONTINUATION frames beyond what the header limit needs at 16 KiB each. */
#define H2_CONTINUATIONS_EXTRA 8u

#endif
