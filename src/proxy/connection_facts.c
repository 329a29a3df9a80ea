/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of what is known of a connection. Everything in it lies in its arena, whose cap bounds what a
 * client can make us keep.
 */
#include "proxy/connection_facts.h"

#include "base/assert.h"
#include "proxy/limits.h"

#include <stdlib.h>

struct connection_facts *connection_facts_create(const struct address *direct_remote)
{
    struct connection_facts *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->refs = 1;
    f->direct_remote = *direct_remote;
    arena_init(&f->arena, CONNECTION_FACTS_BYTES_MAX, NULL);
    f->filter_state.arena = &f->arena;
    return f;
}

struct connection_facts *connection_facts_ref(struct connection_facts *f)
{
    if (f)
        f->refs++;
    return f;
}

void connection_facts_unref(struct connection_facts **facts)
{
    struct connection_facts *f = *facts;
    *facts = NULL;
    if (!f || --f->refs > 0)
        return;
    arena_fini(&f->arena);
    free(f);
}

/* The member of that name, made when it is not there. */
static struct typed_value *member(struct connection_facts *f, struct typed_value *map, struct slice name)
{
    for (size_t i = 0; i < map->members_count; i++) {
        if (slice_eq(map->members[i].name, name))
            return (struct typed_value *)(uintptr_t)&map->members[i].value;
    }
    struct typed_member *grown = ARENA_NEW_N(&f->arena, struct typed_member, map->members_count + 1);
    struct slice own = arena_dup(&f->arena, name);
    if (!grown || !own.ptr)
        return NULL;
    if (map->members_count)
        memcpy(grown, map->members, map->members_count * sizeof(*grown));
    grown[map->members_count].name = own;
    map->members = grown;
    return &grown[map->members_count++].value;
}

bool connection_facts_put_metadata(struct connection_facts *f, struct slice space, struct slice key,
                                   struct slice value)
{
    struct slice own = arena_dup(&f->arena, value);
    if (!f->metadata) {
        f->metadata = ARENA_NEW(&f->arena, struct typed_value);
        if (f->metadata)
            f->metadata->kind = TYPED_MAP;
    }
    struct typed_value *map = f->metadata && own.ptr ? member(f, f->metadata, space) : NULL;
    if (!map)
        return false;
    map->kind = TYPED_MAP;
    struct typed_value *at = member(f, map, key);
    if (!at)
        return false;
    if (at->kind == TYPED_NULL)
        *at = (struct typed_value){.kind = TYPED_STRING, .bytes = own};
    return true;
}
