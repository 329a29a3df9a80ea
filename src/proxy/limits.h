/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caps of this room, each with its unit and reason. A cap that Envoy has too carries Envoy's default.
 */
#ifndef WEIR_PROXY_LIMITS_H
#define WEIR_PROXY_LIMITS_H

/* Bytes of one route table: 10,000 routes with headers take about 5 MiB. */
#define ROUTE_TABLE_BYTES_MAX ((size_t)256 << 20)
/* Bytes of one compiled regular expression; the crate's own default. */
#define REGEX_BYTES_MAX ((size_t)10 << 20)
/* Bytes of a pattern: Envoy has no cap, its control planes stay far below. */
#define REGEX_PATTERN_BYTES_MAX 16384u
/* Bytes of a body that a direct response may carry when the table says nothing (Envoy: 4096). */
#define DIRECT_RESPONSE_BYTES_DEFAULT 4096u
/* Distinct prefix lengths that a virtual host's index covers; the rest is scanned in order. */
#define ROUTE_PREFIX_LENGTHS_MAX 62u
/* Bytes of one stream's arena beyond what its header limits need: filter states, header changes, values. */
#define STREAM_ARENA_BYTES_EXTRA ((size_t)1 << 20)
/* Header bytes are held several times over: received, rewritten by filters, sent, with their items. */
#define STREAM_ARENA_HEADER_FACTOR 8u
/* Fields and bytes that filters may add to a response's headers made here. */
#define RESPONSE_HEADERS_COUNT_MAX 1024u
#define RESPONSE_HEADERS_BYTES_MAX (256u << 10)
/* Body pieces up to this many bytes are copied together when a filter buffers, so that a peer that trickles
 * bytes cannot pin a 16 KiB block with each. */
#define FILTER_BUFFER_COPY_MAX 2048u
/* How long a connection without a first request may stay when its listener drains: clients that connected on
 * purpose send within this; probes and browsers' spare connections never do. */
#define DRAIN_SILENT_MS 1000u
/* Streams of one connection that wait for their destruction at the turn's end: pipelined requests behind them
 * wait too, so that one read of tiny requests cannot claim an arena for each. */
#define STREAMS_UNRELEASED_MAX 32u
/* How long a client that a filter closes may take without reading anything of its last bytes: Envoy's delayed
 * close. */
#define NETWORK_FLUSH_MS 1000u
/* What a connection's own record may take in its arena: addresses, and values that plugins set. */
#define NETWORK_STREAM_BYTES_MAX ((size_t)1 << 20)
/* Bytes of a body that an HTTP/2 client gets at once instead of at the turn's end: its other streams may each
 * bring 400 KiB in the same turn, together more than caches and the idle blocks hold. */
#define DOWNSTREAM_WRITE_SOON_BYTES (128u << 10)
/* Filter state that outlives the streams of a connection. */
#define CONNECTION_STATE_BYTES_MAX (64u << 10)
/* A client that resets more than half of its streams before any answer, within this time of their beginning,
 * is cut off; judged as if this many streams had ended at least (Envoy's runtime defaults). */
#define PREMATURE_RESET_LIFETIME_MS 1000u
#define PREMATURE_RESETS_WINDOW     500u
/* Attempts of one TCP connection that fail before they begin, in one turn of the loop: more than any real
 * configuration has in all. The next ones wait for the next turn, and others get theirs. */
#define TCP_ATTEMPTS_AT_ONCE_MAX 32u
/* Values of one header that a hash policy looks at; more than any client repeats a header. */
#define HASH_HEADER_VALUES_MAX 64u
/* Milliseconds that a header may ask for: what a timer takes, a year. */
#define TIMEOUT_HEADER_MS_MAX (UINT64_C(366) * 24 * 3600 * 1000)
/* Tries of one request in flight at once, beside the first: with hedging each late one stays. */
#define ATTEMPTS_MAX 16u
/* What a mirror's headers may have beyond those of its request: a longer host, one of its own. */
#define MIRROR_HEADERS_EXTRA       2u
#define MIRROR_HEADERS_BYTES_EXTRA 4096u
/* Hosts that a request remembers to have tried; later ones may be tried twice. */
#define RETRY_HOSTS_MAX 64u
/* Bytes of the text of a formatted local reply. */
#define LOCAL_REPLY_BODY_BYTES_MAX ((size_t)1 << 20)

/* Bytes of the texts of one access log filter by metadata. */
#define LOG_FILTER_BYTES_MAX ((size_t)1 << 20)
/* Bytes of one formatted header value: what still fits a usual header limit. */
#define HEADER_FORMAT_BYTES_MAX 16384u
/* Bytes of a host that a virtual host's domain can match (DNS names end at 253; a port and more fit). */
#define ROUTE_HOST_BYTES_MAX 1024u
/* Routes of a virtual host from which on an index costs less than looking at one after the other. */
#define ROUTE_INDEX_MIN 8u

/* Bytes kept of what listener filters saw: a ClientHello's names (16 KiB), a PROXY header (64 KiB, whose
 * TLVs may be kept as text, as they came, in a message that is copied when it grows, and to be passed on),
 * and what filters keep for the connection. */
#define CONNECTION_FACTS_BYTES_MAX ((512u << 10) + CONNECTION_STATE_BYTES_MAX)

#endif
