/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session ticket keys. A lock guards them: they are asked for once or twice in a handshake, and change a few
 * times a day.
 */
#include "net/tls_tickets.h"

#include "base/assert.h"
#include "base/refs.h"

#include <openssl/mem.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct tls_tickets {
    atomic_uint refs;
    pthread_mutex_t lock;
    uint32_t rotate_s; /* 0: the operator's keys */
    uint64_t made_s;   /* when keys[0] was made */
    size_t count;
    struct tls_ticket_key keys[TLS_TICKET_KEYS_MAX];
};

static struct tls_tickets *create(void)
{
    struct tls_tickets *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    atomic_init(&t->refs, 1);
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

static bool make_key(struct tls_ticket_key *key)
{
    return RAND_bytes(key->name, sizeof(key->name)) == 1 && RAND_bytes(key->hmac, sizeof(key->hmac)) == 1 &&
           RAND_bytes(key->aes, sizeof(key->aes)) == 1;
}

struct tls_tickets *tls_tickets_create(uint32_t rotate_s)
{
    struct tls_tickets *t = create();
    WEIR_ASSERT(rotate_s > 0);
    if (!t)
        return NULL;
    t->rotate_s = rotate_s;
    return t; /* the first key is made when it is needed */
}

struct tls_tickets *tls_tickets_create_fixed(const struct slice *keys, size_t count)
{
    WEIR_ASSERT(count > 0 && count <= TLS_TICKET_KEYS_MAX);
    struct tls_tickets *t = create();
    if (!t)
        return NULL;
    t->count = count;
    for (size_t i = 0; i < count; i++) {
        WEIR_ASSERT(keys[i].len == TLS_TICKET_KEY_BYTES);
        memcpy(t->keys[i].name, keys[i].ptr, sizeof(t->keys[i].name));
        memcpy(t->keys[i].hmac, keys[i].ptr + 16, sizeof(t->keys[i].hmac));
        memcpy(t->keys[i].aes, keys[i].ptr + 48, sizeof(t->keys[i].aes));
    }
    return t;
}

struct tls_tickets *tls_tickets_ref(struct tls_tickets *t)
{
    refs_take(&t->refs);
    return t;
}

void tls_tickets_unref(struct tls_tickets **tickets)
{
    struct tls_tickets *t = *tickets;
    *tickets = NULL;
    if (!t)
        return;
    if (!refs_drop(&t->refs))
        return;
    pthread_mutex_destroy(&t->lock);
    OPENSSL_cleanse(t->keys, sizeof(t->keys));
    free(t);
}

/* Under the lock: a new key when the present one is too old; the one before stays. */
static void rotate(struct tls_tickets *t, uint64_t now_s)
{
    struct tls_ticket_key fresh;
    if (t->rotate_s == 0 || (t->count > 0 && now_s - t->made_s < t->rotate_s))
        return;
    uint64_t missed = t->count > 0 ? (now_s - t->made_s) / t->rotate_s : 0;
    if (!make_key(&fresh))
        return; /* the old one serves on */
    if (missed >= 2)
        t->count = 0; /* nothing is under them any more that may be resumed */
    t->keys[1] = t->keys[0];
    t->keys[0] = fresh;
    t->count = t->count > 0 ? 2 : 1;
    t->made_s = now_s;
    OPENSSL_cleanse(&fresh, sizeof(fresh));
}

bool tls_tickets_current(struct tls_tickets *t, uint64_t now_s, struct tls_ticket_key *out)
{
    pthread_mutex_lock(&t->lock);
    rotate(t, now_s);
    bool any = t->count > 0;
    if (any)
        *out = t->keys[0];
    pthread_mutex_unlock(&t->lock);
    return any;
}

bool tls_tickets_find(struct tls_tickets *t, uint64_t now_s, const uint8_t *name, struct tls_ticket_key *out,
                      bool *renew)
{
    bool found = false;
    pthread_mutex_lock(&t->lock);
    rotate(t, now_s);
    for (size_t i = 0; i < t->count && !found; i++) {
        if (memcmp(t->keys[i].name, name, TLS_TICKET_NAME_BYTES) != 0)
            continue;
        *out = t->keys[i];
        *renew = i > 0;
        found = true;
    }
    pthread_mutex_unlock(&t->lock);
    return found;
}
