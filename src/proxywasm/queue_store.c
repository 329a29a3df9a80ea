/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store behind the proxy_*_shared_queue functions. One lock; a listener's mailbox is posted to after the
 * lock was left, under a reference of its own. Never runs guest code.
 */
#include "proxywasm/queue_store.h"

#include "base/assert.h"
#include "base/list.h"
#include "proxywasm/limits.h"

#include <stdlib.h>

struct queue_item {
    struct list node;
    size_t len;
    char data[];
};

struct queue {
    struct queue_space *space;
    uint32_t id;
    struct list items;
    uint32_t count;
    struct mailbox *listener; /* a reference, or NULL */
    size_t slot;
};

struct queue_space {
    uint32_t refs;
    struct map queues; /* name -> struct queue */
    uint64_t bytes;
    uint32_t items;
    size_t vm_id_len;
    char vm_id[];
};

static struct slice id_key(const uint32_t *id)
{
    return slice_of(id, sizeof(*id));
}

void queue_store_init(struct queue_store *store, struct budget *budget)
{
    store->budget = budget;
    pthread_mutex_init(&store->lock, NULL);
    map_init(&store->spaces);
    map_init(&store->queues);
    store->last_id = 0;
}

void queue_store_fini(struct queue_store *store)
{
    WEIR_ASSERT(store->spaces.count == 0 && store->queues.count == 0);
    map_fini(&store->spaces);
    map_fini(&store->queues);
    pthread_mutex_destroy(&store->lock);
}

void queue_store_count(struct queue_store *store, uint64_t *queues, uint64_t *items, uint64_t *bytes)
{
    *items = 0;
    *bytes = 0;
    pthread_mutex_lock(&store->lock);
    *queues = store->queues.count;
    size_t cursor = 0;
    for (struct map_entry *e; (e = map_next(&store->queues, &cursor));)
        *items += ((struct queue *)e->value)->count;
    cursor = 0;
    for (struct map_entry *e; (e = map_next(&store->spaces, &cursor));)
        *bytes += ((struct queue_space *)e->value)->bytes;
    pthread_mutex_unlock(&store->lock);
}

static void queue_destroy(struct queue_store *store, struct queue *q)
{
    map_remove(&store->queues, id_key(&q->id));
    struct list *node, *tmp;
    list_for_each(node, tmp, &q->items)
    {
        list_remove(node);
        free(list_entry(node, struct queue_item, node));
    }
    mailbox_unref(&q->listener);
    free(q);
}

static struct queue_space *space_create(struct slice vm_id)
{
    struct queue_space *space = calloc(1, sizeof(*space) + vm_id.len + 1);
    if (!space)
        return NULL;
    map_init(&space->queues);
    space->vm_id_len = vm_id.len;
    if (vm_id.len)
        memcpy(space->vm_id, vm_id.ptr, vm_id.len);
    return space;
}

struct queue_space *queue_space_open(struct queue_store *store, struct slice vm_id)
{
    pthread_mutex_lock(&store->lock);
    struct queue_space *space = map_get(&store->spaces, vm_id);
    if (!space && (space = space_create(vm_id)) && !map_put(&store->spaces, vm_id, space)) {
        free(space);
        space = NULL;
    }
    if (space)
        space->refs++;
    pthread_mutex_unlock(&store->lock);
    return space;
}

void queue_space_close(struct queue_store *store, struct queue_space **space)
{
    struct queue_space *s = *space;
    *space = NULL;
    if (!s)
        return;
    pthread_mutex_lock(&store->lock);
    WEIR_ASSERT(s->refs > 0);
    if (--s->refs == 0) {
        map_remove(&store->spaces, slice_of(s->vm_id, s->vm_id_len));
        size_t cursor = 0;
        for (struct map_entry *e; (e = map_next(&s->queues, &cursor));)
            queue_destroy(store, e->value);
        budget_give(store->budget, s->bytes);
        map_fini(&s->queues);
        free(s);
    }
    pthread_mutex_unlock(&store->lock);
}

/* Under the lock. NULL over a limit or without memory. */
static struct queue *queue_create(struct queue_store *store, struct queue_space *space, struct slice name,
                                  struct limit_check *check)
{
    if (name.len > check->limits->queue_name_bytes_max)
        limit_passed(check, PW_LIMIT_queue_name_bytes_max);
    else if (space->queues.count >= check->limits->queues_max)
        limit_passed(check, PW_LIMIT_queues_max);
    if (check->passed != PW_LIMIT_COUNT || store->last_id == UINT32_MAX)
        return NULL;
    struct queue *q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    q->space = space;
    q->id = store->last_id + 1;
    list_init(&q->items);
    if (!map_put(&store->queues, id_key(&q->id), q)) {
        free(q);
        return NULL;
    }
    if (!map_put(&space->queues, name, q)) {
        map_remove(&store->queues, id_key(&q->id));
        free(q);
        return NULL;
    }
    store->last_id = q->id;
    return q;
}

enum pw_status queue_register(struct queue_store *store, struct queue_space *space, struct slice name,
                              uint32_t *id, struct limit_check *check)
{
    pthread_mutex_lock(&store->lock);
    struct queue *q = map_get(&space->queues, name);
    if (!q)
        q = queue_create(store, space, name, check);
    if (q)
        *id = q->id;
    pthread_mutex_unlock(&store->lock);
    return q ? PW_STATUS_OK : PW_STATUS_INTERNAL_FAILURE;
}

void queue_listen(struct queue_store *store, uint32_t id, struct mailbox *box, size_t slot)
{
    uint32_t waiting = 0;
    struct mailbox *old = NULL;
    pthread_mutex_lock(&store->lock);
    struct queue *q = map_get(&store->queues, id_key(&id));
    if (q && !(q->listener == box && q->slot == slot)) {
        old = q->listener;
        q->listener = mailbox_ref(box);
        q->slot = slot;
        waiting = q->count;
    }
    pthread_mutex_unlock(&store->lock);
    mailbox_unref(&old);
    mailbox_post(box, slot, waiting);
}

void queue_unlisten(struct queue_store *store, struct mailbox *box)
{
    pthread_mutex_lock(&store->lock);
    size_t cursor = 0;
    for (struct map_entry *e; (e = map_next(&store->queues, &cursor));) {
        struct queue *q = e->value;
        if (q->listener == box)
            mailbox_unref(&q->listener);
    }
    pthread_mutex_unlock(&store->lock);
}

enum pw_status queue_resolve(struct queue_store *store, struct slice vm_id, struct slice name, uint32_t *id)
{
    pthread_mutex_lock(&store->lock);
    struct queue_space *space = map_get(&store->spaces, vm_id);
    struct queue *q = space ? map_get(&space->queues, name) : NULL;
    if (q)
        *id = q->id;
    pthread_mutex_unlock(&store->lock);
    return q ? PW_STATUS_OK : PW_STATUS_NOT_FOUND;
}

/* Under the lock. */
static enum pw_status space_charge(struct queue_store *store, struct queue_space *space, size_t len,
                                   struct limit_check *check)
{
    uint64_t cost = (uint64_t)len + QUEUE_ITEM_OVERHEAD;
    uint64_t max = check->limits->queue_bytes_max;
    if (space->bytes > max || cost > max - space->bytes)
        return limit_passed(check, PW_LIMIT_queue_bytes_max);
    if (space->items >= check->limits->queue_items_max)
        return limit_passed(check, PW_LIMIT_queue_items_max);
    if (!budget_take(store->budget, cost))
        return limit_passed(check, PW_LIMIT_total_memory);
    space->bytes += cost;
    space->items++;
    return PW_STATUS_OK;
}

enum pw_status queue_enqueue(struct queue_store *store, uint32_t id, struct slice value,
                             struct limit_check *check)
{
    if (value.len > check->limits->queue_item_bytes_max)
        return limit_passed(check, PW_LIMIT_queue_item_bytes_max);
    struct queue_item *item = malloc(sizeof(*item) + value.len);
    if (!item)
        return PW_STATUS_INTERNAL_FAILURE;
    item->len = value.len;
    if (value.len)
        memcpy(item->data, value.ptr, value.len);

    enum pw_status status = PW_STATUS_OK;
    struct mailbox *listener = NULL;
    size_t slot = 0;
    pthread_mutex_lock(&store->lock);
    struct queue *q = map_get(&store->queues, id_key(&id));
    if (!q) {
        status = PW_STATUS_NOT_FOUND;
    } else if ((status = space_charge(store, q->space, value.len, check)) == PW_STATUS_OK) {
        list_push_back(&q->items, &item->node);
        q->count++;
        item = NULL;
        slot = q->slot;
        listener = q->listener ? mailbox_ref(q->listener) : NULL;
    }
    pthread_mutex_unlock(&store->lock);
    free(item);
    if (listener)
        mailbox_post(listener, slot, 1);
    mailbox_unref(&listener);
    return status;
}

enum pw_status queue_dequeue(struct queue_store *store, uint32_t id, struct queue_item **item)
{
    enum pw_status status = PW_STATUS_NOT_FOUND;
    pthread_mutex_lock(&store->lock);
    struct queue *q = map_get(&store->queues, id_key(&id));
    if (q && q->count == 0) {
        status = PW_STATUS_EMPTY;
    } else if (q) {
        *item = list_first(&q->items, struct queue_item, node);
        list_remove(&(*item)->node);
        q->count--;
        uint64_t cost = (uint64_t)(*item)->len + QUEUE_ITEM_OVERHEAD;
        WEIR_ASSERT(q->space->bytes >= cost);
        q->space->bytes -= cost;
        budget_give(store->budget, cost);
        q->space->items--;
        status = PW_STATUS_OK;
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

struct slice queue_item_value(const struct queue_item *item)
{
    return slice_of(item->data, item->len);
}

void queue_item_free(struct queue_item **item)
{
    free(*item);
    *item = NULL;
}

void queue_item_return(struct queue_store *store, uint32_t id, struct queue_item **item)
{
    pthread_mutex_lock(&store->lock);
    struct queue *q = map_get(&store->queues, id_key(&id));
    if (q) {
        uint64_t cost = (uint64_t)(*item)->len + QUEUE_ITEM_OVERHEAD;
        q->space->bytes += cost; /* it was inside the limit before */
        budget_force(store->budget, cost);
        q->space->items++;
        list_push_front(&q->items, &(*item)->node);
        q->count++;
        *item = NULL;
    }
    pthread_mutex_unlock(&store->lock);
    queue_item_free(item);
}
