/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mailbox of a VM: posted to by any thread, emptied by the VM's thread. Its lock is the innermost one of
 * the library; only the embedder's `wake` runs under it, so that closing waits for a wake under way.
 */
#include "proxywasm/mailbox.h"

#include "base/assert.h"
#include "base/refs.h"
#include "proxywasm/limits.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct mail_slot {
    uint32_t root_id; /* 0: the root is gone */
    uint32_t queue_id;
    uint32_t pending;
};

struct mailbox {
    atomic_uint refs;
    pthread_mutex_t lock;
    bool open; /* the VM lives */
    bool woken;
    void (*wake)(void *ctx);
    void *ctx;
    struct mail_slot *slots;
    size_t count;
    size_t cap;
    size_t next; /* where the next take starts: fair between queues */
};

struct mailbox *mailbox_create(void)
{
    struct mailbox *box = calloc(1, sizeof(*box));
    if (!box)
        return NULL;
    atomic_init(&box->refs, 1);
    pthread_mutex_init(&box->lock, NULL);
    box->open = true;
    return box;
}

struct mailbox *mailbox_ref(struct mailbox *box)
{
    refs_take(&box->refs);
    return box;
}

void mailbox_unref(struct mailbox **box)
{
    struct mailbox *b = *box;
    *box = NULL;
    if (!b)
        return;
    if (!refs_drop(&b->refs))
        return;
    pthread_mutex_destroy(&b->lock);
    free(b->slots);
    free(b);
}

static bool slot_add(struct mailbox *box, uint32_t root_id, uint32_t queue_id, size_t *slot)
{
    for (size_t i = 0; i < box->count; i++) {
        struct mail_slot *s = &box->slots[i];
        if (s->root_id == root_id && s->queue_id == queue_id) {
            *slot = i;
            return true;
        }
    }
    if (box->count == box->cap) {
        size_t cap = box->cap ? box->cap * 2 : 4;
        struct mail_slot *slots = realloc(box->slots, cap * sizeof(*slots));
        if (!slots)
            return false;
        box->slots = slots;
        box->cap = cap;
    }
    *slot = box->count;
    box->slots[box->count++] = (struct mail_slot){root_id, queue_id, 0};
    return true;
}

bool mailbox_slot(struct mailbox *box, uint32_t root_id, uint32_t queue_id, size_t *slot)
{
    WEIR_ASSERT(root_id != 0 && queue_id != 0);
    pthread_mutex_lock(&box->lock);
    bool ok = slot_add(box, root_id, queue_id, slot);
    pthread_mutex_unlock(&box->lock);
    return ok;
}

size_t mailbox_slots(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    size_t count = box->count;
    pthread_mutex_unlock(&box->lock);
    return count;
}

uint32_t mailbox_slot_queue(struct mailbox *box, size_t slot)
{
    pthread_mutex_lock(&box->lock);
    WEIR_ASSERT(slot < box->count);
    uint32_t id = box->slots[slot].root_id ? box->slots[slot].queue_id : 0;
    pthread_mutex_unlock(&box->lock);
    return id;
}

/* Under the lock. */
static void wake_once(struct mailbox *box)
{
    if (box->woken || !box->wake)
        return;
    box->woken = true;
    box->wake(box->ctx);
}

void mailbox_post(struct mailbox *box, size_t slot, uint32_t count)
{
    pthread_mutex_lock(&box->lock);
    WEIR_ASSERT(slot < box->count);
    struct mail_slot *s = &box->slots[slot];
    if (box->open && s->root_id != 0 && count > 0) {
        uint32_t room = QUEUE_READY_MAX - s->pending;
        s->pending += count < room ? count : room;
        wake_once(box);
    }
    pthread_mutex_unlock(&box->lock);
}

void mailbox_attach(struct mailbox *box, void (*wake)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&box->lock);
    box->wake = wake;
    box->ctx = ctx;
    pthread_mutex_unlock(&box->lock);
}

void mailbox_nudge(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    wake_once(box);
    pthread_mutex_unlock(&box->lock);
}

void mailbox_begin(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    box->woken = false;
    pthread_mutex_unlock(&box->lock);
}

/* Under the lock: the next slot with something in it, or NULL. */
static struct mail_slot *slot_pending(struct mailbox *box)
{
    for (size_t i = 0; i < box->count; i++) {
        struct mail_slot *s = &box->slots[(box->next + i) % box->count];
        if (s->pending > 0) {
            box->next = (box->next + i + 1) % box->count;
            return s;
        }
    }
    return NULL;
}

bool mailbox_take(struct mailbox *box, uint32_t *root_id, uint32_t *queue_id)
{
    pthread_mutex_lock(&box->lock);
    struct mail_slot *s = slot_pending(box);
    if (s) {
        s->pending--;
        *root_id = s->root_id;
        *queue_id = s->queue_id;
    }
    pthread_mutex_unlock(&box->lock);
    return s != NULL;
}

void mailbox_end(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    if (box->open && slot_pending(box))
        wake_once(box);
    pthread_mutex_unlock(&box->lock);
}

void mailbox_drop_root(struct mailbox *box, uint32_t root_id)
{
    pthread_mutex_lock(&box->lock);
    for (size_t i = 0; i < box->count; i++) {
        if (box->slots[i].root_id == root_id) {
            box->slots[i].root_id = 0;
            box->slots[i].pending = 0;
        }
    }
    pthread_mutex_unlock(&box->lock);
}

void mailbox_close(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    box->open = false;
    box->wake = NULL;
    for (size_t i = 0; i < box->count; i++)
        box->slots[i].pending = 0;
    pthread_mutex_unlock(&box->lock);
}
