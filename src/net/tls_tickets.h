/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that protect session tickets of one server configuration. Either given by the operator (the first
 * encrypts, all decrypt), or made here and replaced by time. They outlive a change of certificates, so that
 * clients resume across it. Never written anywhere.
 */
#ifndef WEIR_NET_TLS_TICKETS_H
#define WEIR_NET_TLS_TICKETS_H

#include "base/slice.h"

/* Envoy's session_ticket_keys: 16 bytes of name, 32 of HMAC-SHA256 key, 32 of AES-256 key. */
#define TLS_TICKET_NAME_BYTES 16
#define TLS_TICKET_KEY_BYTES  80
/* Keys of one configuration: a rotation needs two or three. */
#define TLS_TICKET_KEYS_MAX 16

struct tls_tickets;

struct tls_ticket_key {
    uint8_t name[TLS_TICKET_NAME_BYTES];
    uint8_t hmac[32];
    uint8_t aes[32];
};

/* Keys of our own, replaced every `rotate_s` seconds; the one before still decrypts. NULL when memory or
 * randomness is out. */
struct tls_tickets *tls_tickets_create(uint32_t rotate_s);
/* The operator's, 1 to TLS_TICKET_KEYS_MAX of TLS_TICKET_KEY_BYTES each. */
struct tls_tickets *tls_tickets_create_fixed(const struct slice *keys, size_t count);
struct tls_tickets *tls_tickets_ref(struct tls_tickets *t);
void tls_tickets_unref(struct tls_tickets **t);

/* [any thread] The key for new tickets at `now_s` (monotonic). */
bool tls_tickets_current(struct tls_tickets *t, uint64_t now_s, struct tls_ticket_key *out);
/* [any thread] By name; *renew: the ticket is good, and the client should have a newer one. */
bool tls_tickets_find(struct tls_tickets *t, uint64_t now_s, const uint8_t *name, struct tls_ticket_key *out,
                      bool *renew);

#endif
