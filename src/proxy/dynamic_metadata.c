/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first value that a stream gets of its own brings a copy of what its connection has. A field that is set
 * again is overwritten where it stands, so that a long connection does not grow.
 */
#include "proxy/dynamic_metadata.h"

#include "proxy/connection_facts.h"
#include "proxy/stream_info.h"

#include <string.h>

const struct typed_value *dynamic_metadata(const struct stream_info *info)
{
    if (info->metadata)
        return info->metadata;
    return info->facts ? info->facts->metadata : NULL;
}

/* All maps below info->metadata lie in the stream's arena. */
static struct typed_value *own(const struct typed_value *v)
{
    return (struct typed_value *)(uintptr_t)v;
}

static bool begin(struct stream_info *info, struct arena *arena)
{
    static const struct typed_value nothing = {.kind = TYPED_MAP};
    const struct typed_value *inherited = dynamic_metadata(info);
    if (!info->metadata)
        info->metadata = typed_value_dup(arena, inherited ? inherited : &nothing);
    return info->metadata != NULL;
}

/* Room for `count` more members; the first of them. NULL: none. */
static struct typed_member *grow(struct arena *arena, struct typed_value *map, size_t count)
{
    struct typed_member *grown = ARENA_NEW_N(arena, struct typed_member, map->members_count + count);
    if (!grown)
        return NULL;
    if (map->members_count)
        memcpy(grown, map->members, map->members_count * sizeof(*grown));
    map->members = grown;
    return grown + map->members_count;
}

static struct typed_value *space_of(struct stream_info *info, struct arena *arena, struct slice space)
{
    struct typed_value *map = own(info->metadata);
    const struct typed_value *found = typed_value_member(map, space);
    if (found)
        return own(found);
    struct typed_member *fresh = grow(arena, map, 1);
    if (!fresh)
        return NULL;
    *fresh = (struct typed_member){.name = space, .value = {.kind = TYPED_MAP}};
    map->members_count++;
    return &fresh->value;
}

bool dynamic_metadata_put(struct stream_info *info, struct arena *arena, struct slice space,
                          const struct typed_member *fields, size_t count)
{
    struct typed_value *map = begin(info, arena) ? space_of(info, arena, space) : NULL;
    size_t missing = 0;
    if (!map)
        return false;
    for (size_t i = 0; i < count; i++)
        missing += typed_value_member(map, fields[i].name) == NULL;
    if (missing > 0 && !grow(arena, map, missing))
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct typed_value *found = typed_value_member(map, fields[i].name);
        if (found)
            *own(found) = fields[i].value;
        else
            ((struct typed_member *)(uintptr_t)map->members)[map->members_count++] = fields[i];
    }
    return true;
}
