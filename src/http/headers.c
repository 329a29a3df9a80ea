/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header map. Removing leaves a hole, so item numbers stay what they are until an add finds the array
 * full; then holes are squeezed out or the array doubles. Every field that enters through the checked
 * functions is fit to be sent to a peer.
 */
#include "http/headers.h"

#include "base/assert.h"
#include "http/chars.h"

#define HEADER_ITEMS_MIN 16u

bool header_name_valid(struct slice name)
{
    return name.len > 0 && chars_skip_token(name.ptr, name.ptr + name.len) == name.ptr + name.len;
}

bool header_value_valid(struct slice value)
{
    return value.len == 0 || chars_skip_value(value.ptr, value.ptr + value.len) == value.ptr + value.len;
}

void header_map_init(struct header_map *m, struct arena *arena, uint32_t count_max, size_t bytes_max)
{
    /* Item numbers are kept in 16 bits. */
    WEIR_ASSERT(count_max < UINT16_MAX / 4);
    *m = (struct header_map){.arena = arena, .count_max = count_max, .bytes_max = bytes_max};
}

void header_map_clear(struct header_map *m)
{
    m->used = 0;
    m->count = 0;
    m->bytes = 0;
    memset(m->first, 0, sizeof(m->first));
}

static bool is_live(const struct header *h)
{
    return h->name.ptr != NULL;
}

/* Sets first[] anew for every id. */
static void index_rebuild(struct header_map *m)
{
    memset(m->first, 0, sizeof(m->first));
    for (uint32_t i = m->used; i > 0; i--) {
        if (is_live(&m->items[i - 1]))
            m->first[m->items[i - 1].id] = (uint16_t)i;
    }
    m->first[HDR_OTHER] = 0;
}

static void squeeze(struct header_map *m)
{
    uint32_t to = 0;
    for (uint32_t i = 0; i < m->used; i++) {
        if (is_live(&m->items[i]))
            m->items[to++] = m->items[i];
    }
    WEIR_ASSERT(to == m->count);
    m->used = to;
    index_rebuild(m);
}

bool header_map_reserve(struct header_map *m, uint32_t items)
{
    if (items <= m->cap)
        return true;
    struct header *grown = arena_alloc(m->arena, items * sizeof(*grown));
    if (!grown)
        return false;
    if (m->used)
        memcpy(grown, m->items, m->used * sizeof(*grown));
    m->items = grown;
    m->cap = items;
    return true;
}

bool header_map_grow(struct header_map *m)
{
    WEIR_ASSERT(m->used == m->cap);
    if (m->count < m->used - m->used / 4) {
        squeeze(m);
        return true;
    }
    return header_map_reserve(m, m->cap ? m->cap * 2 : HEADER_ITEMS_MIN);
}

static bool within_limits(const struct header_map *m, uint32_t fields, size_t bytes)
{
    return m->count + fields <= m->count_max && m->bytes <= m->bytes_max && bytes <= m->bytes_max - m->bytes;
}

/* A name as a caller gave it, checked and folded. `name` lies in the table, in `folded`, or is the caller's.
 */
struct folded_name {
    struct slice name;
    enum header_id id;
    bool in_table;  /* the name's bytes live for ever */
    bool is_folded; /* the name is in lower case */
    char text[64];
};

/* `folded` is in lower case. */
static inline void fold_known(struct slice folded, struct folded_name *f)
{
    f->id = header_id_of(folded);
    f->in_table = f->id != HDR_OTHER;
    f->name = f->in_table ? header_id_name(f->id) : folded;
}

/* Folds into f->text while it checks; false when the name is neither a token nor a known pseudo-header. */
static bool fold_short(struct slice name, struct folded_name *f)
{
    size_t i = name.len > 0 && name.ptr[0] == ':';
    bool bad = false;
    f->text[0] = ':';
    for (; i < name.len; i++) {
        unsigned char low = chars_token_lower[(unsigned char)name.ptr[i]];
        bad |= low == 0;
        f->text[i] = (char)low;
    }
    if (bad)
        return false;
    fold_known(slice_of(f->text, name.len), f);
    return f->in_table || (name.len > 0 && f->text[0] != ':');
}

/* Names longer than f->text keep their case here: no known name is that long, comparing folds anyway. */
static bool fold_name(struct slice name, struct folded_name *f)
{
    if (WEIR_LIKELY(chars_is_plain_name(name))) {
        f->is_folded = true;
        fold_known(name, f);
        return true;
    }
    f->is_folded = name.len <= sizeof(f->text);
    if (name.len <= sizeof(f->text))
        return fold_short(name, f);
    f->name = name;
    f->id = HDR_OTHER;
    f->in_table = false;
    return header_name_valid(name);
}

static void copy_name(char *to, const struct folded_name *f)
{
    slice_copy(to, f->name);
    if (f->is_folded)
        return;
    for (size_t i = 0; i < f->name.len; i++)
        to[i] = ascii_lower(to[i]);
}

static struct slice keep_value(struct header_map *m, struct slice value)
{
    return arena_dup(m->arena, value);
}

/* Room for a field's text; NULL, with *why, when it may not be added. */
static inline char *add_room(struct header_map *m, size_t name_len, size_t copied, struct slice value,
                             enum header_result *why)
{
    *why = HEADER_BAD_VALUE;
    if (!header_value_valid(value))
        return NULL;
    *why = HEADER_LIMIT;
    return within_limits(m, 1, name_len + value.len) ? arena_alloc_text(m->arena, copied + value.len) : NULL;
}

static enum header_result add_folded(struct header_map *m, const struct folded_name *f, struct slice value)
{
    enum header_result why;
    size_t name_len = f->in_table ? 0 : f->name.len;
    char *text = add_room(m, f->name.len, name_len, value, &why);
    if (!text)
        return why;
    if (name_len > 0)
        copy_name(text, f);
    slice_copy(text + name_len, value);
    return header_map_append(m, f->id, f->in_table ? f->name : slice_of(text, name_len),
                             slice_of(text + name_len, value.len), SLICE_EMPTY);
}

static __attribute__((noinline)) enum header_result add_any(struct header_map *m, struct slice name,
                                                            struct slice value)
{
    struct folded_name f;
    if (!fold_name(name, &f))
        return HEADER_BAD_NAME;
    return add_folded(m, &f, value);
}

WEIR_HOT enum header_result header_map_add(struct header_map *m, struct slice name, struct slice value)
{
    enum header_result why;
    if (WEIR_UNLIKELY(!chars_is_plain_name(name)))
        return add_any(m, name, value);
    enum header_id id = header_id_of(name);
    size_t copied = id == HDR_OTHER ? name.len : 0;
    char *text = add_room(m, name.len, copied, value, &why);
    if (WEIR_UNLIKELY(!text))
        return why;
    if (id == HDR_OTHER) {
        slice_copy(text, name);
        name.ptr = text;
    } else {
        name = header_id_name(id);
    }
    slice_copy(text + copied, value);
    return header_map_append(m, id, name, slice_of(text + copied, value.len), SLICE_EMPTY);
}

static bool same_name(const struct header *h, const struct folded_name *f)
{
    if (f->in_table)
        return h->id == f->id;
    return h->id == HDR_OTHER && h->name.len == f->name.len && slice_eq_nocase(h->name, f->name);
}

/* The number of the first live item from `from` on with that name, or m->used. */
static uint32_t find_from(const struct header_map *m, const struct folded_name *f, uint32_t from)
{
    if (f->in_table) {
        if (m->first[f->id] == 0)
            return m->used;
        if (from < m->first[f->id])
            return (uint32_t)(m->first[f->id] - 1);
    }
    for (uint32_t i = from; i < m->used; i++) {
        if (is_live(&m->items[i]) && same_name(&m->items[i], f))
            return i;
    }
    return m->used;
}

static void drop_item(struct header_map *m, uint32_t at)
{
    struct header *h = &m->items[at];
    WEIR_ASSERT(is_live(h) && m->count > 0 && m->bytes >= h->name.len + h->value.len);
    m->bytes -= h->name.len + h->value.len;
    m->count--;
    h->name = SLICE_EMPTY;
    if (h->id == HDR_OTHER || m->first[h->id] != at + 1)
        return;
    m->first[h->id] = 0;
    for (uint32_t i = at + 1; i < m->used; i++) {
        if (is_live(&m->items[i]) && m->items[i].id == h->id) {
            m->first[h->id] = (uint16_t)(i + 1);
            return;
        }
    }
}

static uint32_t drop_all_from(struct header_map *m, const struct folded_name *f, uint32_t from)
{
    uint32_t gone = 0;
    for (uint32_t i = find_from(m, f, from); i < m->used; i = find_from(m, f, i + 1)) {
        drop_item(m, i);
        gone++;
    }
    return gone;
}

static enum header_result set_folded(struct header_map *m, const struct folded_name *f, struct slice value)
{
    uint32_t at = find_from(m, f, 0);
    if (at == m->used)
        return add_folded(m, f, value);
    if (!header_value_valid(value))
        return HEADER_BAD_VALUE;
    struct header *h = &m->items[at];
    WEIR_ASSERT(is_live(h) && m->bytes >= h->value.len);
    size_t others = m->bytes - h->value.len;
    if (value.len > m->bytes_max || others > m->bytes_max - value.len)
        return HEADER_LIMIT;
    struct slice copy = keep_value(m, value);
    if (!copy.ptr)
        return HEADER_LIMIT;
    m->bytes = others + value.len;
    h->value = copy;
    drop_all_from(m, f, at + 1);
    return HEADER_OK;
}

enum header_result header_map_set(struct header_map *m, struct slice name, struct slice value)
{
    struct folded_name f;
    if (!fold_name(name, &f))
        return HEADER_BAD_NAME;
    return set_folded(m, &f, value);
}

static void fold_id(enum header_id id, struct folded_name *f)
{
    f->is_folded = true;
    f->name = header_id_name(id);
    f->id = id;
    f->in_table = true;
}

enum header_result header_map_set_id(struct header_map *m, enum header_id id, struct slice value)
{
    struct folded_name f;
    fold_id(id, &f);
    return set_folded(m, &f, value);
}

enum header_result header_map_join_id(struct header_map *m, enum header_id id, struct slice value)
{
    if (!header_map_has_id(m, id))
        return header_map_set_id(m, id, value);
    struct header *h = &m->items[m->first[id] - 1];
    if (!header_value_valid(value))
        return HEADER_BAD_VALUE;
    if (!within_limits(m, 0, value.len + 1))
        return HEADER_LIMIT;
    char *joined = arena_alloc_text(m->arena, h->value.len + 1 + value.len);
    if (!joined)
        return HEADER_LIMIT;
    if (h->value.len)
        memcpy(joined, h->value.ptr, h->value.len);
    joined[h->value.len] = ',';
    if (value.len)
        memcpy(joined + h->value.len + 1, value.ptr, value.len);
    h->value = slice_of(joined, h->value.len + 1 + value.len);
    m->bytes += value.len + 1;
    return HEADER_OK;
}

uint32_t header_map_remove(struct header_map *m, struct slice name)
{
    struct folded_name f;
    return fold_name(name, &f) ? drop_all_from(m, &f, 0) : 0;
}

uint32_t header_map_drop_id(struct header_map *m, enum header_id id)
{
    struct folded_name f;
    fold_id(id, &f);
    return drop_all_from(m, &f, 0);
}

const struct header *header_map_find_next(const struct header_map *m, struct slice name,
                                          const struct header *after)
{
    struct folded_name f;
    if (!fold_name(name, &f))
        return NULL;
    WEIR_ASSERT(!after || (after >= m->items && after < m->items + m->used));
    uint32_t at = find_from(m, &f, after ? (uint32_t)(after - m->items) + 1 : 0);
    return at < m->used ? &m->items[at] : NULL;
}

WEIR_HOT const struct header *header_map_find(const struct header_map *m, struct slice name)
{
    enum header_id id = header_id_of(name); /* as mostly asked for: known and in lower case */
    if (id != HDR_OTHER)
        return m->first[id] ? &m->items[m->first[id] - 1] : NULL;
    return header_map_find_next(m, name, NULL);
}

const struct header *header_map_next(const struct header_map *m, uint32_t *cursor)
{
    while (*cursor < m->used) {
        const struct header *h = &m->items[(*cursor)++];
        if (is_live(h))
            return h;
    }
    return NULL;
}

static bool copy_text(struct arena *arena, struct slice *text)
{
    if (text->len)
        *text = arena_dup(arena, *text);
    return text->ptr || !text->len;
}

static bool copy_spelling(struct header_map *to, const struct header_spelling *from)
{
    struct header_spelling *s = ARENA_NEW(to->arena, struct header_spelling);
    to->spelling = s;
    if (!s)
        return false;
    *s = *from;
    return copy_text(to->arena, &s->connection) && copy_text(to->arena, &s->content_length) &&
           copy_text(to->arena, &s->transfer_encoding) && copy_text(to->arena, &s->reason);
}

enum header_result header_map_copy(struct header_map *to, const struct header_map *from)
{
    uint32_t cursor = 0;
    if (WEIR_UNLIKELY(from->spelling != NULL) && !copy_spelling(to, from->spelling))
        return HEADER_LIMIT;
    for (const struct header *h; (h = header_map_next(from, &cursor)) != NULL;) {
        struct slice name = h->id ? header_id_name(h->id) : arena_dup(to->arena, h->name);
        struct slice value = arena_dup(to->arena, h->value);
        struct slice spelling = h->spelling.len ? arena_dup(to->arena, h->spelling) : SLICE_EMPTY;
        if (!name.ptr || !value.ptr || (h->spelling.len && !spelling.ptr))
            return HEADER_LIMIT;
        enum header_result r = header_map_append(to, h->id, name, value, spelling);
        if (r != HEADER_OK)
            return r;
    }
    return HEADER_OK;
}
