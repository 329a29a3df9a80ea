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

static struct typed_value *new_map(struct connection_facts *f)
{
    struct typed_value *map = ARENA_NEW(&f->arena, struct typed_value);
    if (map)
        map->kind = TYPED_MAP;
    return map;
}

static char *put_varint(char *at, size_t n)
{
    for (; n > 127; n >>= 7)
        *at++ = (char)(n | 128);
    *at++ = (char)n;
    return at;
}

static size_t varint_len(size_t n)
{
    size_t len = 1;
    for (; n > 127; n >>= 7)
        len++;
    return len;
}

static char *put_bytes(char *at, char tag, struct slice bytes)
{
    *at++ = tag;
    at = put_varint(at, bytes.len);
    if (bytes.len)
        memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

/* One more entry {key, value} of TlvsMetadata.typed_metadata, behind those that are there. */
static bool add_entry(struct connection_facts *f, struct slice *message, struct slice key, struct slice value)
{
    size_t entry = 2 + varint_len(key.len) + key.len + varint_len(value.len) + value.len;
    size_t len = message->len + 1 + varint_len(entry) + entry;
    char *grown = arena_alloc_text(&f->arena, len);
    if (!grown)
        return false;
    char *at = grown;
    if (message->len)
        memcpy(at, message->ptr, message->len);
    at += message->len;
    *at++ = 0x0a;
    at = put_bytes(put_bytes(put_varint(at, entry), 0x0a, key), 0x12, value);
    WEIR_ASSERT(at == grown + len);
    *message = slice_of(grown, len);
    return true;
}

/* The namespace as a message, whose only field is a map. */
static bool put_typed(struct connection_facts *f, struct slice space, struct slice key, struct slice own)
{
    struct typed_value *message = member(f, f->typed_metadata, space);
    if (!message)
        return false;
    if (message->kind == TYPED_NULL) {
        struct typed_member *field = ARENA_NEW(&f->arena, struct typed_member);
        if (!field)
            return false;
        *field = (struct typed_member){SLICE_LIT("typed_metadata"), {.kind = TYPED_MAP}};
        *message = (struct typed_value){.kind = TYPED_MESSAGE, .members = field, .members_count = 1};
    }
    struct typed_value *map = (struct typed_value *)(uintptr_t)&message->members[0].value;
    struct typed_value *at = member(f, map, key);
    if (!at)
        return false;
    *at = (struct typed_value){.kind = TYPED_BYTES, .bytes = own};
    return add_entry(f, &message->bytes, key, own);
}

bool connection_facts_put_metadata(struct connection_facts *f, struct slice space, struct slice key,
                                   struct slice text, struct slice raw)
{
    if (!f->metadata) {
        struct typed_value *typed = new_map(f), *map = new_map(f);
        if (!typed || !map)
            return false;
        f->metadata = map;
        f->typed_metadata = typed;
    }
    struct slice own = arena_dup(&f->arena, text), own_raw = arena_dup(&f->arena, raw);
    struct typed_value *map = own.ptr && own_raw.ptr ? member(f, f->metadata, space) : NULL;
    if (!map)
        return false;
    map->kind = TYPED_MAP;
    struct typed_value *at = member(f, map, key);
    if (!at)
        return false;
    if (at->kind != TYPED_NULL)
        return true;
    *at = (struct typed_value){.kind = TYPED_STRING, .bytes = own};
    return put_typed(f, space, key, own_raw);
}

/* What no endpoint has: keys are not empty. */
static const struct lb_match *nobodys_labels(void)
{
    static struct lb_label label;
    static const struct lb_match nobody = {.labels = &label, .count = 1, .text = {"\n", 1}};
    return &nobody;
}

const struct lb_match *connection_facts_more_labels(const struct connection_facts *f, struct arena *arena,
                                                    const struct lb_match *base)
{
    const struct typed_value *fields = typed_value_member(f->metadata, SLICE_LIT("envoy.lb"));
    const struct lb_match *m = fields ? lb_match_make(arena, fields, base) : base;
    return m || !fields ? m : nobodys_labels();
}
