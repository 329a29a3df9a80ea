/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where other threads leave queue notifications for a VM. It outlives the VM as long as a queue refers to it,
 * and swallows what comes after the VM's death. One slot per registration; its pending notifications are a
 * count, so nothing is allocated when a notification is posted.
 */
#ifndef PROXYWASM_MAILBOX_H
#define PROXYWASM_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mailbox;

/* One reference for the caller. NULL when memory is out. */
struct mailbox *mailbox_create(void);
/* [any thread] */
struct mailbox *mailbox_ref(struct mailbox *box);
void mailbox_unref(struct mailbox **box);

/* A slot for (root, queue); an existing one is found again. False when memory is out. */
bool mailbox_slot(struct mailbox *box, uint32_t root_id, uint32_t queue_id, size_t *slot);
size_t mailbox_slots(struct mailbox *box);
uint32_t mailbox_slot_queue(struct mailbox *box, size_t slot);

/* [any thread] `count` more notifications; wakes the VM's owner once. */
void mailbox_post(struct mailbox *box, size_t slot, uint32_t count);

/* From now on posts wake. `wake` runs under the mailbox's lock and may be NULL. */
void mailbox_attach(struct mailbox *box, void (*wake)(void *ctx), void *ctx);
/* Wakes the owner for something that is not in the box. */
void mailbox_nudge(struct mailbox *box);
/* The owner begins to take: a later post wakes again. */
void mailbox_begin(struct mailbox *box);
/* One notification; false when there is none. */
bool mailbox_take(struct mailbox *box, uint32_t *root_id, uint32_t *queue_id);
/* Wakes again if something is left. */
void mailbox_end(struct mailbox *box);
void mailbox_drop_root(struct mailbox *box, uint32_t root_id);
/* After this returns no `wake` runs and posts are swallowed. */
void mailbox_close(struct mailbox *box);

#endif
