/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash map of configuration and bookkeeping. Not for the request path, where well-known names are
 * interned and looked up by number.
 */
#include "base/map.h"

#include "base/assert.h"
#include "base/keyed_hash.h"

#include <stdlib.h>

#define MAP_ENTRIES_MAX ((size_t)1 << 31)

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_fini(struct map *m)
{
    for (size_t i = 0; i < m->entries_used; i++)
        free(m->entries[i].key);
    free(m->entries);
    free(m->index);
    map_init(m);
}

/* The index slot that holds the key, or the free slot where it would go. */
static uint32_t *map_slot(const struct map *m, struct slice key, uint64_t hash)
{
    WEIR_ASSERT(m->index_size != 0 && (m->index_size & (m->index_size - 1)) == 0);
    for (size_t i = hash & (m->index_size - 1);; i = (i + 1) & (m->index_size - 1)) {
        uint32_t at = m->index[i];
        if (at == 0)
            return &m->index[i];
        const struct map_entry *e = &m->entries[at - 1];
        if (e->key && e->hash == hash && slice_eq(map_entry_key(e), key))
            return &m->index[i];
    }
}

static struct map_entry *map_find(const struct map *m, struct slice key)
{
    if (m->count == 0)
        return NULL;
    uint32_t at = *map_slot(m, key, keyed_hash(key));
    return at ? &m->entries[at - 1] : NULL;
}

void *map_get(const struct map *m, struct slice key)
{
    struct map_entry *e = map_find(m, key);
    return e ? e->value : NULL;
}

bool map_has(const struct map *m, struct slice key)
{
    return map_find(m, key) != NULL;
}

/* Drops removed entries and rebuilds the index with room for one more entry. */
static bool map_rehash(struct map *m)
{
    size_t index_size = 8;
    while (index_size * 3 / 4 <= m->count + 1)
        index_size *= 2;
    size_t cap = index_size * 3 / 4;
    uint32_t *index = calloc(index_size, sizeof(*index));
    struct map_entry *entries = calloc(cap, sizeof(*entries));
    if (!index || !entries) {
        free(index);
        free(entries);
        return false;
    }
    size_t used = 0;
    for (size_t i = 0; i < m->entries_used; i++) {
        if (m->entries[i].key)
            entries[used++] = m->entries[i];
    }
    WEIR_ASSERT(used == m->count);
    free(m->entries);
    free(m->index);
    *m = (struct map){entries, used, cap, index, index_size, used};
    for (size_t i = 0; i < used; i++)
        *map_slot(m, map_entry_key(&entries[i]), entries[i].hash) = (uint32_t)i + 1;
    return true;
}

bool map_put(struct map *m, struct slice key, void *value)
{
    struct map_entry *old = map_find(m, key);
    if (old) {
        old->value = value;
        return true;
    }
    if (m->entries_used >= MAP_ENTRIES_MAX || (m->entries_used == m->entries_cap && !map_rehash(m)))
        return false;
    char *copy = malloc(key.len + 1);
    if (!copy)
        return false;
    if (key.len)
        memcpy(copy, key.ptr, key.len);
    copy[key.len] = '\0';
    uint64_t hash = keyed_hash(key);
    uint32_t *slot = map_slot(m, key, hash);
    m->entries[m->entries_used++] = (struct map_entry){copy, key.len, hash, value};
    *slot = (uint32_t)m->entries_used;
    m->count++;
    return true;
}

void *map_remove(struct map *m, struct slice key)
{
    struct map_entry *e = map_find(m, key);
    if (!e)
        return NULL;
    /* The index keeps pointing at the dead entry, so that probe chains through it stay whole. */
    void *value = e->value;
    free(e->key);
    e->key = NULL;
    e->value = NULL;
    m->count--;
    return value;
}

struct map_entry *map_next(const struct map *m, size_t *cursor)
{
    while (*cursor < m->entries_used) {
        struct map_entry *e = &m->entries[(*cursor)++];
        if (e->key)
            return e;
    }
    return NULL;
}
