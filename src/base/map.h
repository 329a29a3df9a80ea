/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash map from byte-string keys to pointers. Keys are copied, values are borrowed. Open addressing, kept
 * at most 3/4 full, hashed with a secret of the process, as guests and peers choose keys. Iteration order is
 * insertion order as long as nothing is removed. One thread at a time.
 */
#ifndef WEIR_BASE_MAP_H
#define WEIR_BASE_MAP_H

#include "base/slice.h"

struct map_entry {
    char *key; /* NUL-terminated copy, owned; NULL once removed */
    size_t key_len;
    uint64_t hash;
    void *value;
};

struct map {
    struct map_entry *entries; /* in insertion order, removed ones included */
    size_t entries_used;
    size_t entries_cap;
    uint32_t *index; /* entry number + 1; 0 is free */
    size_t index_size;
    size_t count;
};

/* A zeroed struct map is an empty map. */
void map_init(struct map *m);
/* Frees keys and the table, never the values. */
void map_fini(struct map *m);
/* NULL when absent. */
void *map_get(const struct map *m, struct slice key);
bool map_has(const struct map *m, struct slice key);
/* Inserts or replaces. Returns false when memory is out (or 2^31 entries are reached); the map is then
 * unchanged. */
bool map_put(struct map *m, struct slice key, void *value);
/* Returns the value that was there, or NULL. */
void *map_remove(struct map *m, struct slice key);
/*
 * Steps through live entries: start with *cursor = 0; NULL at the end. The current entry may be removed and
 * no entry may be added meanwhile.
 */
struct map_entry *map_next(const struct map *m, size_t *cursor);

static inline struct slice map_entry_key(const struct map_entry *e)
{
    return slice_of(e->key, e->key_len);
}

#endif
