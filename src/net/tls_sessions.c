/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store of a client's sessions. The library calls us with each session that a server gives; nothing here
 * is shared between threads.
 */
#include "net/tls_sessions.h"

#include "base/assert.h"
#include "net/limits.h"
#include "net/tls_context_private.h"

#include <openssl/ssl.h>
#include <stdlib.h>

struct tls_sessions {
    const struct tls_context *context; /* owned reference: of all that is kept; NULL: nothing is */
    uint32_t max;
    uint32_t count;
    SSL_SESSION *kept[]; /* the newest first */
};

struct tls_sessions *tls_sessions_create(uint32_t max)
{
    if (max > TLS_SESSION_KEYS_MAX)
        max = TLS_SESSION_KEYS_MAX;
    struct tls_sessions *s = calloc(1, sizeof *s + max * sizeof s->kept[0]);
    if (s)
        s->max = max;
    return s;
}

static void forget(struct tls_sessions *s)
{
    while (s->count > 0)
        SSL_SESSION_free(s->kept[--s->count]);
    if (s->context)
        tls_context_unref(&s->context);
}

void tls_sessions_destroy(struct tls_sessions **sessions)
{
    struct tls_sessions *s = *sessions;
    *sessions = NULL;
    if (!s)
        return;
    forget(s);
    free(s);
}

static void drop_first(struct tls_sessions *s)
{
    s->count--;
    memmove(s->kept, s->kept + 1, s->count * sizeof s->kept[0]);
}

struct ssl_session_st *tls_sessions_take(struct tls_sessions *s, const struct tls_context *context)
{
    if (s->context != context)
        forget(s);
    if (s->count == 0)
        return NULL;
    SSL_SESSION *session = s->kept[0];
    if (SSL_SESSION_should_be_single_use(session))
        drop_first(s); /* its reference is the caller's now */
    else
        SSL_SESSION_up_ref(session);
    return session;
}

void tls_sessions_release(struct ssl_session_st *session)
{
    SSL_SESSION_free(session);
}

/* 1: the session is ours now. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    const struct tls_conn *t = SSL_get_app_data(ssl);
    struct tls_sessions *s = t->sessions;
    if (!s || s->max == 0)
        return 0;
    if (s->context != t->context) {
        forget(s);
        s->context = tls_context_ref(t->context);
    }
    if (s->count == s->max)
        SSL_SESSION_free(s->kept[--s->count]);
    memmove(s->kept + 1, s->kept, s->count * sizeof s->kept[0]);
    s->kept[0] = session;
    s->count++;
    return 1;
}

void tls_sessions_enable(struct ssl_ctx_st *ctx)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
}
