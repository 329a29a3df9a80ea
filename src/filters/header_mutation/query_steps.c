/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The query as a list in order of the names (Envoy's), changed step by step and written back.
 */
#include "filters/header_mutation/query_steps.h"

#include "http/url.h"
#include "proxy/limits.h"
#include "proxy/routing/route.h"
#include "proxy/stream.h"

#include <stdlib.h>
#include <string.h>

struct parameter {
    struct slice name;    /* decoded */
    struct slice written; /* the name and */
    struct slice value;   /* the value as they stand in the path */
    uint32_t order;
};

struct query {
    struct parameter *items;
    uint32_t count;
    uint32_t next; /* order */
    struct arena *arena;
    bool failed;
};

void query_steps_fini(const struct query_steps *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->items[i].format)
            l->items[i].format->destroy(l->items[i].format);
    }
}

/* false: there was none. */
static bool drop(struct query *q, struct slice name)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < q->count; i++) {
        if (!slice_eq(q->items[i].name, name))
            q->items[kept++] = q->items[i];
    }
    bool any = kept < q->count;
    q->count = kept;
    return any;
}

static bool has(const struct query *q, struct slice name)
{
    for (uint32_t i = 0; i < q->count; i++) {
        if (slice_eq(q->items[i].name, name))
            return true;
    }
    return false;
}

static void append(struct query *q, struct slice name, struct slice written, struct slice value)
{
    q->failed = q->failed || !name.ptr || !written.ptr || !value.ptr;
    q->items[q->count++] = (struct parameter){name, written, value, q->next++};
}

/* Room for the steps, too. */
static bool parse(struct query *q, struct slice text, uint32_t steps)
{
    struct slice part, rest = text;
    size_t count = steps;
    while (slice_split(&rest, '&', &part))
        count++;
    q->items = ARENA_NEW_N(q->arena, struct parameter, count);
    while (q->items && slice_split(&text, '&', &part)) {
        ptrdiff_t equals = slice_find_char(part, '=');
        struct slice name = equals < 0 ? part : slice_take(part, (size_t)equals);
        struct slice value = equals < 0 ? SLICE_LIT("") : slice_skip(part, (size_t)equals + 1);
        if (part.len)
            append(q, url_decode(name, q->arena), name, value);
    }
    return q->items != NULL;
}

static struct slice value_of(const struct query_step *s, const struct query *q, const struct stream *stream)
{
    struct strbuf text;
    if (!s->format)
        return url_encode(s->value, false, q->arena);
    strbuf_init(&text, HEADER_FORMAT_BYTES_MAX);
    s->format->format(s->format, stream, SLICE_EMPTY, &text);
    struct slice value = text.failed ? SLICE_EMPTY : url_encode(strbuf_slice(&text), false, q->arena);
    strbuf_fini(&text);
    return value;
}

static void step(const struct query_step *s, struct query *q, const struct stream *stream)
{
    if (s->remove) {
        drop(q, s->name);
        return;
    }
    if ((s->action == HEADER_ADD_IF_ABSENT && has(q, s->name)) ||
        (s->action == HEADER_OVERWRITE_IF_EXISTS && !has(q, s->name)))
        return;
    if (s->action == HEADER_OVERWRITE_OR_ADD || s->action == HEADER_OVERWRITE_IF_EXISTS)
        drop(q, s->name);
    append(q, s->name, url_encode(s->name, false, q->arena), value_of(s, q, stream));
}

static int by_name(const void *a, const void *b)
{
    const struct parameter *x = a, *y = b;
    int order = slice_cmp(x->name, y->name);
    return order != 0 ? order : x->order < y->order ? -1 : 1;
}

static char *put(char *at, struct slice s)
{
    if (s.len)
        memcpy(at, s.ptr, s.len);
    return at + s.len;
}

/* ptr NULL: the arena's cap is reached. */
static struct slice written(const struct query *q, struct slice path)
{
    size_t len = path.len;
    for (uint32_t i = 0; i < q->count; i++)
        len += q->items[i].written.len + q->items[i].value.len + 2;
    char *text = arena_alloc_text(q->arena, len), *at = text ? put(text, path) : NULL;
    for (uint32_t i = 0; text && i < q->count; i++) {
        *at++ = i ? '&' : '?';
        at = put(at, q->items[i].written);
        *at++ = '=';
        at = put(at, q->items[i].value);
    }
    return text ? slice_of(text, len) : SLICE_EMPTY;
}

void query_steps_apply(const struct query_steps *l, struct header_map *headers, struct stream *stream)
{
    struct slice path = header_map_get_id(headers, HDR_PATH);
    struct query q = {.arena = &stream->arena};
    if (l->count == 0 || !path.ptr || !parse(&q, path_query(path), l->count))
        return;
    for (uint32_t i = 0; i < l->count; i++)
        step(&l->items[i], &q, stream);
    qsort(q.items, q.count, sizeof(*q.items), by_name);
    struct slice made = q.failed ? SLICE_EMPTY : written(&q, path_without_query(path));
    if (made.ptr)
        (void)header_map_set_id(headers, HDR_PATH, made); /* stays as it was above the map's limits */
}
