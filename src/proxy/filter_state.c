/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filter state as lists: a stream has a handful of values. Replacing a value copies only when it grew, so a
 * plugin that sets one again and again does not eat the arena.
 */
#include "proxy/filter_state.h"

static struct filter_state_entry *find(const struct filter_state *fs, struct slice key)
{
    for (; fs; fs = fs->parent) {
        for (struct filter_state_entry *e = fs->first; e; e = e->next) {
            if (slice_eq(e->key, key))
                return e;
        }
    }
    return NULL;
}

const struct filter_state_entry *filter_state_get(const struct filter_state *fs, struct slice key)
{
    return find(fs, key);
}

void filter_state_end_pass(struct filter_state *fs)
{
    struct filter_state_entry **at = &fs->first;
    while (*at) {
        if ((*at)->span == FILTER_STATE_STREAM)
            *at = (*at)->next;
        else
            at = &(*at)->next;
    }
}

/* The arena of the level in which `e` stands. */
static struct arena *arena_of(const struct filter_state *fs, const struct filter_state_entry *e)
{
    for (; fs->parent; fs = fs->parent) {
        for (const struct filter_state_entry *at = fs->first; at; at = at->next) {
            if (at == e)
                return fs->arena;
        }
    }
    return fs->arena;
}

static enum filter_state_result replace(struct filter_state *fs, struct filter_state_entry *e,
                                        struct slice value)
{
    if (e->read_only)
        return FILTER_STATE_READ_ONLY;
    if (value.len <= e->value_cap) {
        if (value.len)
            memmove((char *)(uintptr_t)e->value.ptr, value.ptr, value.len);
        e->value.len = value.len;
        return FILTER_STATE_OK;
    }
    struct slice copy = arena_dup(arena_of(fs, e), value);
    if (!copy.ptr)
        return FILTER_STATE_FULL;
    e->value = copy;
    e->value_cap = copy.len;
    return FILTER_STATE_OK;
}

enum filter_state_result filter_state_set(struct filter_state *fs, struct slice key, struct slice value,
                                          const struct filter_state_prototype *prototype)
{
    static const struct filter_state_prototype plain = {.type = FILTER_STATE_BYTES};
    struct filter_state_entry *e = find(fs, key);
    if (e)
        return replace(fs, e, value);
    if (!prototype)
        prototype = &plain;
    struct filter_state *level = fs;
    while (prototype->span == FILTER_STATE_CONNECTION && level->parent)
        level = level->parent;
    e = ARENA_NEW(level->arena, struct filter_state_entry);
    if (!e)
        return FILTER_STATE_FULL;
    *e = (struct filter_state_entry){
        .next = level->first,
        .key = arena_dup(level->arena, key),
        .value = arena_dup(level->arena, value),
        .value_cap = value.len,
        .schema = arena_dup(level->arena, prototype->schema),
        .type = prototype->type,
        .span = prototype->span,
        .read_only = prototype->read_only,
    };
    if (!e->key.ptr || !e->value.ptr || !e->schema.ptr)
        return FILTER_STATE_FULL;
    level->first = e;
    return FILTER_STATE_OK;
}
