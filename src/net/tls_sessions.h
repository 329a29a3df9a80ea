/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions that a client keeps of one peer, to resume them: the newest first, those of TLS 1.3 used once, as
 * Envoy does. One thread. Whoever resumes a session skips the check of the certificate, so sessions of one
 * store must all come from the same host, names and context; another context empties it.
 */
#ifndef WEIR_NET_TLS_SESSIONS_H
#define WEIR_NET_TLS_SESSIONS_H

#include <stdint.h>

struct tls_context;
struct tls_sessions;
struct ssl_st;
struct ssl_session_st;
struct ssl_ctx_st;

/* NULL when memory is out. `max` is cut to TLS_SESSION_KEYS_MAX. */
struct tls_sessions *tls_sessions_create(uint32_t max);
void tls_sessions_destroy(struct tls_sessions **s);
/* A session for a connection of `context`; the caller frees the reference. NULL: there is none. */
struct ssl_session_st *tls_sessions_take(struct tls_sessions *s, const struct tls_context *context);
void tls_sessions_release(struct ssl_session_st *session);
/* Private to tls_context.c: connections of `ctx` fill the store that their options name. */
void tls_sessions_enable(struct ssl_ctx_st *ctx);

#endif
