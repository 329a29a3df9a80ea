/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of the configuration that plugins and access logs look into while requests run: metadata, the node,
 * localities. An immutable tree in the arena of the resource that holds it; it knows nothing of the messages
 * it was made from (src/config/build_value.c makes it).
 */
#ifndef WEIR_UPSTREAM_TYPED_VALUE_H
#define WEIR_UPSTREAM_TYPED_VALUE_H

#include "base/slice.h"
#include "base/strbuf.h"

enum typed_kind {
    TYPED_NULL,
    TYPED_BOOL,
    TYPED_INT, /* enum numbers, and nanoseconds of durations and times, too */
    TYPED_UINT,
    TYPED_DOUBLE,
    TYPED_STRING,
    TYPED_BYTES,
    TYPED_LIST,
    TYPED_MAP,
    TYPED_MESSAGE, /* fields by their names; `bytes` is the whole of it as protobuf */
};

struct typed_member;

struct typed_value {
    enum typed_kind kind;
    union {
        bool boolean;
        int64_t i;
        uint64_t u;
        double d;
    };
    struct slice bytes;                 /* string, bytes, message */
    const struct typed_member *members; /* list (names empty), map, message */
    size_t members_count;
};

struct typed_member {
    struct slice name;
    struct typed_value value;
};

/* NULL: there is none of that name (map, message), or of that decimal index (list). */
const struct typed_value *typed_value_member(const struct typed_value *v, struct slice name);
/* Down a path through maps; NULL: nothing is there, or `v` is NULL. */
const struct typed_value *typed_value_at(const struct typed_value *v, const struct slice *path, size_t count);

/* Appends as JSON, members in order of their names as Envoy prints Structs; false when it cannot be shown. */
bool typed_value_json(const struct typed_value *v, struct strbuf *out);

/* A deep copy of what `v` points at into `out`; false when the arena's cap is reached. */
struct arena;
bool typed_value_copy(struct arena *arena, const struct typed_value *v, struct typed_value *out);
/* The same as a new value; NULL for NULL, and when the arena's cap is reached. */
const struct typed_value *typed_value_dup(struct arena *arena, const struct typed_value *v);

/* How deep a tree may be: the makers keep it, so that walks need no check of their own. */
#define TYPED_VALUE_DEPTH_MAX 64

#endif
