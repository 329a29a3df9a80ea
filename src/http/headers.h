/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header map: an ordered list of fields in an arena. Between the codecs and everything above, names are
 * lower case; the spelling that came from an HTTP/1 peer may be kept beside. Well-known names carry a number
 * and are found without comparing strings. The map borrows bytes from its arena and never frees a field on
 * its own.
 */
#ifndef WEIR_HTTP_HEADERS_H
#define WEIR_HTTP_HEADERS_H

#include "base/arena.h"
#include "base/assert.h"
#include "http/names.h"

struct header {
    struct slice name; /* lower case; empty ptr NULL: removed */
    struct slice value;
    struct slice spelling; /* as received, if it is kept and not what would be written; else empty */
    uint16_t id;           /* enum header_id */
};

/* How an HTTP/1 message was written, where its codec keeps that: it is written so again when it is sent as
 * HTTP/1. The spelling of fields that stay lies beside them. */
struct header_spelling {
    bool proper; /* names that it did not have get Capitals */
    /* Of fields that are each connection's own; empty: in small letters, or not there. */
    struct slice connection;
    struct slice content_length;
    struct slice transfer_encoding;
    struct slice reason; /* of a status line; empty: the usual one */
};

struct header_map {
    struct arena *arena;
    struct header_spelling *spelling; /* in the arena; NULL: not kept */
    struct header *items;
    uint32_t used; /* items, removed ones included */
    uint32_t cap;
    uint32_t count;     /* live fields */
    uint32_t count_max; /* adding beyond fails */
    size_t bytes;       /* names and values of live fields */
    size_t bytes_max;
    uint16_t first[HDR_COUNT]; /* item number + 1 of the first live field with that id; 0: none */
};

enum header_result {
    HEADER_OK = 0,
    HEADER_BAD_NAME = -1,  /* not a token (RFC 9110 5.6.2) and not a known pseudo-header */
    HEADER_BAD_VALUE = -2, /* CR, LF, NUL or another control byte than HTAB (RFC 9110 5.5) */
    HEADER_LIMIT = -3,     /* count_max, bytes_max or the arena's cap */
};

/* Defaults of the proxy; a listener's own limits replace them. */
#define HEADERS_COUNT_MAX 100u   /* Envoy: max_headers_count */
#define HEADERS_BYTES_MAX 61440u /* Envoy: max_request_headers_kb 60 */

void header_map_init(struct header_map *m, struct arena *arena, uint32_t count_max, size_t bytes_max);
/* Keeps the arena and the limits, drops all fields. */
void header_map_clear(struct header_map *m);

/* Room for that many items in all, so that appends do not grow the array. False when the arena's cap is
 * reached. */
bool header_map_reserve(struct header_map *m, uint32_t items);
/* Makes room for one more item than are used; the slow part of an append. */
bool header_map_grow(struct header_map *m);
/* Appends without copying or checking: for codecs, whose bytes lie in the arena, are checked and lower-cased.
 */
static inline enum header_result header_map_append(struct header_map *m, enum header_id id, struct slice name,
                                                   struct slice value, struct slice spelling)
{
    size_t bytes = m->bytes + name.len + value.len;
    WEIR_ASSERT(name.ptr && (unsigned)id < HDR_COUNT);
    if (WEIR_UNLIKELY(m->count >= m->count_max || bytes > m->bytes_max))
        return HEADER_LIMIT;
    if (WEIR_UNLIKELY(m->used == m->cap) && !header_map_grow(m))
        return HEADER_LIMIT;
    struct header *h = &m->items[m->used++];
    h->name = name;
    h->value = value;
    h->spelling = spelling;
    h->id = (uint16_t)id;
    m->count++;
    m->bytes = bytes;
    if (id != HDR_OTHER && m->first[id] == 0)
        m->first[id] = (uint16_t)m->used;
    return HEADER_OK;
}
/*
 * The functions for everybody else: name and value are checked like a peer's (names may have upper case,
 * which is folded), and copied into the arena. A pseudo-header is accepted only from the table.
 */
enum header_result header_map_add(struct header_map *m, struct slice name, struct slice value);
/* Removes all fields of that name, then adds one in the place of the first (or at the end). */
enum header_result header_map_set(struct header_map *m, struct slice name, struct slice value);
enum header_result header_map_set_id(struct header_map *m, enum header_id id, struct slice value);
/* Appends ",value" to the first field of that id, or adds it. Envoy joins with "," without space. */
enum header_result header_map_join_id(struct header_map *m, enum header_id id, struct slice value);
/* How many fields went. Any case. */
uint32_t header_map_remove(struct header_map *m, struct slice name);

/* First field with that id: its value, or the empty slice with ptr NULL. O(1). */
static inline struct slice header_map_get_id(const struct header_map *m, enum header_id id)
{
    return m->first[id] ? m->items[m->first[id] - 1].value : SLICE_EMPTY;
}
static inline bool header_map_has_id(const struct header_map *m, enum header_id id)
{
    return m->first[id] != 0;
}
/* The slow part of header_map_remove_id. */
uint32_t header_map_drop_id(struct header_map *m, enum header_id id);
static inline uint32_t header_map_remove_id(struct header_map *m, enum header_id id)
{
    return header_map_has_id(m, id) ? header_map_drop_id(m, id) : 0;
}
/* First field of that name (any case), or NULL. Valid until the next write. */
const struct header *header_map_find(const struct header_map *m, struct slice name);
/* The next live field of that name after `after` (NULL: from the start). */
const struct header *header_map_find_next(const struct header_map *m, struct slice name,
                                          const struct header *after);
/* Steps through live fields in order; *cursor starts at 0; NULL at the end. Removing the current one is
 * allowed. */
const struct header *header_map_next(const struct header_map *m, uint32_t *cursor);
/* Copies all fields of `from` behind those of `to`. */
enum header_result header_map_copy(struct header_map *to, const struct header_map *from);

bool header_name_valid(struct slice name); /* token, any case */
bool header_value_valid(
    struct slice value); /* field-value without the outer white space rule; obs-text is fine */

#endif
