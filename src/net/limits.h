/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the net room bounds, with unit and reason.
 */
#ifndef WEIR_NET_LIMITS_H
#define WEIR_NET_LIMITS_H

/* Bytes read from one socket per event, 25 blocks: others on the loop get their turn, and twice as many cost
 * HTTP/2 more again. */
#define NET_READ_TURN_BYTES 409600u
/* Blocks that one read of much fills: the same bytes. */
#define NET_READ_BLOCKS (NET_READ_TURN_BYTES / BLOCK_BYTES)
/* Segments per sendmsg: what one read of much makes as DATA frames, a head and its pieces each. */
#define NET_WRITE_IOV 128u
/* sendmsg calls per connection and flush: a peer as fast as we are must not hold the loop. */
#define NET_WRITES_PER_FLUSH 16u
/* Descriptors below this keep their poll on a loop for the next socket: 640 KiB when all of them were used at
 * once; sockets above it make theirs anew. */
#define NET_IDLE_POLLS_MAX 4096u
/* Idle 16 KiB blocks kept per loop: 4 MiB, so that idle memory stays small and bursts cost no malloc. */
#define NET_IDLE_BLOCKS_MAX 256u
/* Milliseconds that a connection which is to be closed waits for bytes that a filter keeps back: a plugin
 * that asks somebody about them has its answer by then, or never. */
#define NET_FILTER_WAIT_MS 60000u
/* Milliseconds between the attempts to connect to a peer of several addresses: Envoy's, and within what RFC
 * 8305 5 allows. */
#define CONN_RACE_PACE_MS 300u
/* Rounds of end-of-turn tasks before the sockets are polled again: tasks that queue tasks must not hide I/O.
 */
#define NET_TURN_ROUNDS_MAX 64u
/* Milliseconds for which accepting pauses when descriptors or memory ran out: about what a close takes. */
#define NET_ACCEPT_PAUSE_MS 100u

/* --- TLS --- */

/* Plaintext of one record, the protocol's maximum (RFC 8446 5.1). */
#define TLS_RECORD_BYTES 16384u
/* Pieces of output below this share a record; above it a record of their own costs less than the copy. */
#define TLS_GATHER_BELOW 4096u
/* Sealed bytes that are collected before a write: a few whole records per system call. */
#define TLS_BATCH_BYTES 65536u
/* Free bytes at the end of the input that are worth decrypting into. */
#define TLS_READ_TAIL_MIN 1024u
/* Bytes of certificates in one handshake message of a peer: OpenSSL's default, chains take 5 KiB. */
#define TLS_PEER_CHAIN_BYTES_MAX 102400u
/* Bytes of texts about one connection: a chain of the size above as URL-encoded PEM, twice, and names. */
#define TLS_INFO_BYTES_MAX (1u << 20)
/* The first of them, without a block of their own: a server name, a protocol and the hex of a session's id.
 */
#define TLS_INFO_FIRST_BYTES 160u
/* Bytes of texts about the certificates of one context. */
#define TLS_CONTEXT_BYTES_MAX (16u << 20)
/* Sessions of TLS 1.2 clients without tickets that one context remembers: a few KiB each. */
#define TLS_SERVER_SESSIONS_MAX 1024u
/* Seconds after which a ticket key of our own is replaced; a ticket is good for one to two of these. */
#define TLS_TICKET_ROTATE_S 43200u
/* Bytes of a list of ciphers, groups or algorithms: all that the library knows take 3 KiB. */
#define TLS_LIST_BYTES_MAX 16384u
/* Bytes of the protocols that one client connection offers instead of its context's. */
#define TLS_CLIENT_ALPN_BYTES_MAX 512u

/* Bytes of one file of CAs, certificates or revocation lists: a list of a large CA has a few million. */
#define TLS_PEM_BYTES_MAX (32u << 20)
/* Bytes that a validation context keeps: two such texts inline, and matchers. */
#define TLS_VALIDATION_BYTES_MAX (80u << 20)

/* Sessions kept of one upstream host by one worker: more are of no use, the newest works. */
#define TLS_SESSION_KEYS_MAX 64u

/* Addresses that one name may have; more are cut. A DNS answer of 64 KiB holds a few thousand. */
#define DNS_ADDRESSES_MAX 256u
/* One question to one server, and how often it is asked: Envoy's resolver. */
#define DNS_TRY_TIMEOUT_MS 5000
#define DNS_TRIES          4
/* Seconds between looks at c-ares while questions are open. */
#define DNS_TIMER_SECONDS_MAX 5

#endif
