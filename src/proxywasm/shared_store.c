/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store behind proxy_get_shared_data and proxy_set_shared_data. One lock per vm_id; the store's own lock
 * is only taken to open, close and count. Never calls out while it holds a lock.
 */
#include "proxywasm/shared_store.h"

#include "base/assert.h"
#include "proxywasm/limits.h"

#include <stdlib.h>

#define ENTRY_OVERHEAD 96 /* table slot, key allocation, value header: charged so that tiny keys cost too */

struct shared_space {
    struct budget *budget;
    pthread_mutex_t lock;
    uint32_t refs; /* under the store's lock */
    struct map entries;
    uint64_t bytes;
    size_t vm_id_len;
    char vm_id[];
};

struct shared_entry {
    struct bytes *value; /* NULL: empty */
    uint32_t cas;
};

void shared_store_init(struct shared_store *store, struct budget *budget)
{
    store->budget = budget;
    pthread_mutex_init(&store->lock, NULL);
    map_init(&store->spaces);
    atomic_init(&store->cas, 0);
}

void shared_store_fini(struct shared_store *store)
{
    WEIR_ASSERT(store->spaces.count == 0);
    map_fini(&store->spaces);
    pthread_mutex_destroy(&store->lock);
}

void shared_store_count(struct shared_store *store, uint64_t *keys, uint64_t *bytes)
{
    *keys = 0;
    *bytes = 0;
    pthread_mutex_lock(&store->lock);
    size_t cursor = 0;
    for (struct map_entry *e; (e = map_next(&store->spaces, &cursor));) {
        struct shared_space *space = e->value;
        pthread_mutex_lock(&space->lock);
        *keys += space->entries.count;
        *bytes += space->bytes;
        pthread_mutex_unlock(&space->lock);
    }
    pthread_mutex_unlock(&store->lock);
}

static struct shared_space *space_create(struct shared_store *store, struct slice vm_id)
{
    struct shared_space *space = calloc(1, sizeof(*space) + vm_id.len + 1);
    if (!space)
        return NULL;
    space->budget = store->budget;
    pthread_mutex_init(&space->lock, NULL);
    map_init(&space->entries);
    space->vm_id_len = vm_id.len;
    if (vm_id.len)
        memcpy(space->vm_id, vm_id.ptr, vm_id.len);
    return space;
}

static void space_destroy(struct shared_space *space)
{
    size_t cursor = 0;
    for (struct map_entry *e; (e = map_next(&space->entries, &cursor));) {
        struct shared_entry *entry = e->value;
        bytes_unref(&entry->value);
        free(entry);
    }
    budget_give(space->budget, space->bytes);
    map_fini(&space->entries);
    pthread_mutex_destroy(&space->lock);
    free(space);
}

struct shared_space *shared_space_open(struct shared_store *store, struct slice vm_id)
{
    pthread_mutex_lock(&store->lock);
    struct shared_space *space = map_get(&store->spaces, vm_id);
    if (!space && (space = space_create(store, vm_id)) && !map_put(&store->spaces, vm_id, space)) {
        space_destroy(space);
        space = NULL;
    }
    if (space)
        space->refs++;
    pthread_mutex_unlock(&store->lock);
    return space;
}

void shared_space_close(struct shared_store *store, struct shared_space **space)
{
    struct shared_space *s = *space;
    *space = NULL;
    if (!s)
        return;
    pthread_mutex_lock(&store->lock);
    WEIR_ASSERT(s->refs > 0);
    bool last = --s->refs == 0;
    if (last)
        map_remove(&store->spaces, slice_of(s->vm_id, s->vm_id_len));
    pthread_mutex_unlock(&store->lock);
    if (last)
        space_destroy(s);
}

enum pw_status shared_space_get(struct shared_space *space, struct slice key, struct bytes **value,
                                uint32_t *cas)
{
    enum pw_status status = PW_STATUS_NOT_FOUND;
    pthread_mutex_lock(&space->lock);
    struct shared_entry *entry = map_get(&space->entries, key);
    if (entry) {
        *value = bytes_ref(entry->value);
        *cas = entry->cas;
        status = PW_STATUS_OK;
    }
    pthread_mutex_unlock(&space->lock);
    return status;
}

static uint32_t next_cas(struct shared_store *store)
{
    uint32_t cas = atomic_fetch_add_explicit(&store->cas, 1, memory_order_relaxed) + 1;
    while (cas == 0)
        cas = atomic_fetch_add_explicit(&store->cas, 1, memory_order_relaxed) + 1;
    return cas;
}

/* Under the space's lock. Takes over `value`. */
static enum pw_status entry_make(struct shared_space *space, struct slice key, struct shared_entry **entry,
                                 struct limit_check *check)
{
    if (space->entries.count >= check->limits->shared_keys_max)
        return limit_passed(check, PW_LIMIT_shared_keys_max);
    *entry = calloc(1, sizeof(**entry));
    if (*entry && map_put(&space->entries, key, *entry))
        return PW_STATUS_OK;
    free(*entry);
    return PW_STATUS_INTERNAL_FAILURE;
}

static enum pw_status entry_replace(struct shared_space *space, struct slice key, struct shared_entry *entry,
                                    struct bytes **value, uint32_t cas, struct limit_check *check)
{
    uint64_t before = entry ? bytes_slice(entry->value).len : 0;
    uint64_t after = bytes_slice(*value).len;
    uint64_t fresh = entry ? 0 : key.len + ENTRY_OVERHEAD;
    WEIR_ASSERT(space->bytes >= before);
    uint64_t bytes = space->bytes - before + after + fresh;
    uint64_t more = bytes > space->bytes ? bytes - space->bytes : 0;
    /* Above a limit that was lowered, what makes it less still passes. */
    if (more && bytes > check->limits->shared_bytes_max)
        return limit_passed(check, PW_LIMIT_shared_bytes_max);
    if (!budget_take(space->budget, more))
        return limit_passed(check, PW_LIMIT_total_memory);
    enum pw_status status = entry ? PW_STATUS_OK : entry_make(space, key, &entry, check);
    if (status != PW_STATUS_OK) {
        budget_give(space->budget, more);
        return status;
    }
    struct bytes *old = entry->value;
    entry->value = *value;
    entry->cas = cas;
    *value = old; /* the caller drops it, without the lock */
    budget_give(space->budget, space->bytes + more - bytes);
    space->bytes = bytes;
    return PW_STATUS_OK;
}

enum pw_status shared_space_set(struct shared_store *store, struct shared_space *space, struct slice key,
                                struct slice value, uint32_t cas, struct limit_check *check)
{
    if (key.len > check->limits->shared_key_bytes_max)
        return limit_passed(check, PW_LIMIT_shared_key_bytes_max);
    if (value.len > check->limits->shared_value_bytes_max)
        return limit_passed(check, PW_LIMIT_shared_value_bytes_max);
    struct bytes *copy = NULL;
    if (value.len && !(copy = bytes_create(value)))
        return PW_STATUS_INTERNAL_FAILURE;
    enum pw_status status;
    pthread_mutex_lock(&space->lock);
    struct shared_entry *entry = map_get(&space->entries, key);
    if (cas != 0 && entry && entry->cas != cas)
        status = PW_STATUS_CAS_MISMATCH;
    else
        status = entry_replace(space, key, entry, &copy, next_cas(store), check);
    pthread_mutex_unlock(&space->lock);
    bytes_unref(&copy);
    return status;
}
