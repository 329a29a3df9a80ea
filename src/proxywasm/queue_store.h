/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared queues (ABI 3.12): named FIFOs per vm_id, used by all VMs on all threads. A queue lives as long as
 * some VM has its vm_id open. The last registrant is the listener that hears of new items.
 */
#ifndef PROXYWASM_QUEUE_STORE_H
#define PROXYWASM_QUEUE_STORE_H

#include "base/map.h"
#include "proxywasm/budget.h"
#include "proxywasm/limit_check.h"
#include "proxywasm/mailbox.h"

#include <proxywasm/types.h>
#include <pthread.h>

struct queue_store {
    pthread_mutex_t lock;  /* guards everything: queues carry messages between workers, not requests */
    struct map spaces;     /* vm_id -> struct queue_space */
    struct map queues;     /* id, 4 bytes -> struct queue */
    struct budget *budget; /* charged with what lies in the queues; outlives the store */
    uint32_t last_id;
};

struct queue_space;
struct queue_item;

void queue_store_init(struct queue_store *store, struct budget *budget);
/* All spaces must be closed. */
void queue_store_fini(struct queue_store *store);
void queue_store_count(struct queue_store *store, uint64_t *queues, uint64_t *items, uint64_t *bytes);

/* The space of vm_id, made if need be; NULL when memory is out. Close it once; the last close drops its
 * queues. */
struct queue_space *queue_space_open(struct queue_store *store, struct slice vm_id);
void queue_space_close(struct queue_store *store, struct queue_space **space);

/* All below: [any thread]. INTERNAL_FAILURE over a limit or without memory. */

/* Makes or finds the queue. */
enum pw_status queue_register(struct queue_store *store, struct queue_space *space, struct slice name,
                              uint32_t *id, struct limit_check *check);
/* The slot of `box` is told of new items from now on, and of those that lie there already. */
void queue_listen(struct queue_store *store, uint32_t id, struct mailbox *box, size_t slot);
/* Forgets `box` wherever it listens. */
void queue_unlisten(struct queue_store *store, struct mailbox *box);
/* NOT_FOUND. */
enum pw_status queue_resolve(struct queue_store *store, struct slice vm_id, struct slice name, uint32_t *id);
/* NOT_FOUND. */
enum pw_status queue_enqueue(struct queue_store *store, uint32_t id, struct slice value,
                             struct limit_check *check);
/* Takes the front item out; NOT_FOUND, EMPTY. End it with one of the two calls below. */
enum pw_status queue_dequeue(struct queue_store *store, uint32_t id, struct queue_item **item);
struct slice queue_item_value(const struct queue_item *item);
void queue_item_free(struct queue_item **item);
/* Puts it back to the front: it could not be given to the guest. */
void queue_item_return(struct queue_store *store, uint32_t id, struct queue_item **item);

#endif
