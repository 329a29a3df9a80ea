/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access log filters: which streams are logged at all.
 */
#include "proxy/logging/stream_predicate.h"

#include "base/assert.h"
#include "http/chars.h"
#include "net/worker.h"
#include "proxy/forwarded.h"
#include "proxy/grpc.h"
#include "proxy/limits.h"
#include "proxy/logging/log_operators.h"
#include "proxy/stream.h"

#include <stdlib.h>

struct predicate {
    struct stream_predicate base;
    enum stream_comparison op;
    uint64_t value;
    uint32_t denominator;
    bool exclude; /* the set holds those that do not match; of a share: no id is looked at */
    struct header_matcher header;
    size_t count;
    struct stream_predicate *items[];
};

static const struct predicate *of(const struct stream_predicate *p)
{
    return (const struct predicate *)p;
}

static void destroy(struct stream_predicate *base)
{
    struct predicate *p = (struct predicate *)base;
    for (size_t i = 0; i < p->count; i++) {
        if (p->items[i])
            p->items[i]->destroy(p->items[i]);
    }
    free(p);
}

static struct predicate *create(bool (*match)(const struct stream_predicate *p, const struct stream *s),
                                size_t count)
{
    struct predicate *p = calloc(1, sizeof(*p) + count * sizeof(p->items[0]));
    if (p) {
        p->base = (struct stream_predicate){match, destroy};
        p->count = count;
    }
    return p;
}

static bool compare(enum stream_comparison op, uint64_t a, uint64_t b)
{
    switch (op) {
    case COMPARE_EQ:
        return a == b;
    case COMPARE_GE:
        return a >= b;
    case COMPARE_LE:
        return a <= b;
    case COMPARE_NE:
        return a != b;
    }
    WEIR_UNREACHABLE();
}

static bool match_status(const struct stream_predicate *p, const struct stream *s)
{
    return compare(of(p)->op, s->info.response_code, of(p)->value);
}

static bool match_duration(const struct stream_predicate *p, const struct stream *s)
{
    uint64_t ms = s->info.end_ns > s->info.start_ns ? (s->info.end_ns - s->info.start_ns) / 1000000 : 0;
    return compare(of(p)->op, ms, of(p)->value);
}

static bool match_not_healthcheck(const struct stream_predicate *p, const struct stream *s)
{
    (void)p;
    return !s->healthcheck;
}

static bool match_flags(const struct stream_predicate *p, const struct stream *s)
{
    return of(p)->value ? (s->info.flags & of(p)->value) != 0 : s->info.flags != 0;
}

static bool match_header(const struct stream_predicate *p, const struct stream *s)
{
    if (!s->request_headers)
        return false;
    return header_matcher_match(&of(p)->header, s->request_headers);
}

/* A copy of a matcher owns its texts. */
static void copied_matcher_fini(struct header_matcher *m)
{
    header_matcher_fini(m);
    free((char *)(uintptr_t)m->name.ptr);
    free((char *)(uintptr_t)m->string.value.ptr);
}

static void destroy_header(struct stream_predicate *base)
{
    copied_matcher_fini(&((struct predicate *)base)->header);
    destroy(base);
}

static bool match_and(const struct stream_predicate *p, const struct stream *s)
{
    for (size_t i = 0; i < of(p)->count; i++) {
        if (!of(p)->items[i]->match(of(p)->items[i], s))
            return false;
    }
    return true;
}

static bool match_or(const struct stream_predicate *p, const struct stream *s)
{
    for (size_t i = 0; i < of(p)->count; i++) {
        if (of(p)->items[i]->match(of(p)->items[i], s))
            return true;
    }
    return false;
}

static struct stream_predicate *with_value(bool (*match)(const struct stream_predicate *p,
                                                         const struct stream *s),
                                           enum stream_comparison op, uint64_t value)
{
    struct predicate *p = create(match, 0);
    if (!p)
        return NULL;
    p->op = op;
    p->value = value;
    return &p->base;
}

struct stream_predicate *predicate_status(enum stream_comparison op, uint64_t value)
{
    return with_value(match_status, op, value);
}

struct stream_predicate *predicate_duration(enum stream_comparison op, uint64_t ms)
{
    return with_value(match_duration, op, ms);
}

struct stream_predicate *predicate_not_healthcheck(void)
{
    return with_value(match_not_healthcheck, COMPARE_EQ, 0);
}

struct stream_predicate *predicate_flags(uint64_t flags)
{
    return with_value(match_flags, COMPARE_EQ, flags);
}

struct stream_predicate *predicate_header(const struct header_matcher *matcher)
{
    struct predicate *p = create(match_header, 0);
    struct header_matcher copy = *matcher;
    copy.name.ptr = slice_strdup(matcher->name);
    copy.string.value.ptr = slice_strdup(matcher->string.value);
    if (!p || !copy.name.ptr || !copy.string.value.ptr) {
        copied_matcher_fini(&copy);
        free(p);
        return NULL;
    }
    p->header = copy;
    p->base.destroy = destroy_header;
    return &p->base;
}

static bool match_set(const struct stream_predicate *p, unsigned bit)
{
    bool in = bit < 32 && (of(p)->value >> bit & 1);
    return in != of(p)->exclude;
}

static bool match_moment(const struct stream_predicate *p, const struct stream *s)
{
    return match_set(p, s->info.log_moment);
}

static bool match_grpc_status(const struct stream_predicate *p, const struct stream *s)
{
    uint64_t status;
    if (!log_grpc_status(s, &status))
        status = s->info.response_code ? grpc_status_of_http(s->info.response_code) : 2 /* Unknown */;
    return match_set(p, status < 32 ? (unsigned)status : 32);
}

static struct stream_predicate *
with_set(bool (*match)(const struct stream_predicate *p, const struct stream *s), uint32_t set, bool exclude)
{
    struct stream_predicate *p = with_value(match, COMPARE_EQ, set);
    if (p)
        ((struct predicate *)p)->exclude = exclude;
    return p;
}

struct stream_predicate *predicate_moments(uint32_t moments, bool exclude)
{
    return with_set(match_moment, moments, exclude);
}

struct stream_predicate *predicate_grpc_status(uint32_t statuses, bool exclude)
{
    return with_set(match_grpc_status, statuses, exclude);
}

/* The number that the request's id begins with, so that all who look at it decide alike. */
static bool id_number(const struct stream *s, uint64_t *out)
{
    struct slice id =
        s->request_headers ? header_map_get_id(s->request_headers, HDR_X_REQUEST_ID) : SLICE_EMPTY;

    if (id.len != REQUEST_ID_BYTES)
        return false;
    uint64_t n = 0;
    for (size_t i = 0; i < 8; i++) {
        int digit = chars_hex(id.ptr[i]);
        if (digit < 0)
            return false;
        n = n << 4 | (unsigned)digit;
    }
    *out = n;
    return true;
}

static bool match_share(const struct stream_predicate *p, const struct stream *s)
{
    uint64_t n;
    if (of(p)->exclude || !id_number(s, &n))
        n = worker_random_bits(s->worker);
    return n % of(p)->denominator < of(p)->value;
}

struct stream_predicate *predicate_share(uint32_t numerator, uint32_t denominator, bool independent)
{
    struct stream_predicate *p = with_set(match_share, numerator, independent);
    if (p)
        ((struct predicate *)p)->denominator = denominator;
    return p;
}

struct metadata_predicate {
    struct stream_predicate base;
    struct arena arena;
    struct metadata_matcher matcher;
    bool if_absent;
};

static bool match_metadata(const struct stream_predicate *base, const struct stream *s)
{
    const struct metadata_predicate *p = (const struct metadata_predicate *)base;
    const struct typed_value *v = metadata_matcher_value(&p->matcher, s);
    return v ? value_matcher_match(&p->matcher.value, v) != p->matcher.invert : p->if_absent;
}

static void destroy_metadata(struct stream_predicate *base)
{
    struct metadata_predicate *p = (struct metadata_predicate *)base;
    metadata_matcher_fini(&p->matcher);
    arena_fini(&p->arena);
    free(p);
}

struct stream_predicate *predicate_metadata(bool match_if_absent, struct metadata_matcher **matcher,
                                            struct arena **arena)
{
    struct metadata_predicate *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->base = (struct stream_predicate){match_metadata, destroy_metadata};
    p->if_absent = match_if_absent;
    arena_init(&p->arena, LOG_FILTER_BYTES_MAX, NULL);
    *matcher = &p->matcher;
    *arena = &p->arena;
    return &p->base;
}

static struct stream_predicate *combine(bool (*match)(const struct stream_predicate *p,
                                                      const struct stream *s),
                                        struct stream_predicate *const *items, size_t count)
{
    struct predicate *p = create(match, count);
    bool ok = p != NULL;
    for (size_t i = 0; i < count; i++) {
        ok = ok && items[i];
        if (p)
            p->items[i] = items[i];
        else if (items[i])
            items[i]->destroy(items[i]);
    }
    if (!ok && p) {
        destroy(&p->base);
        p = NULL;
    }
    return p ? &p->base : NULL;
}

struct stream_predicate *predicate_and(struct stream_predicate *const *items, size_t count)
{
    return combine(match_and, items, count);
}

struct stream_predicate *predicate_or(struct stream_predicate *const *items, size_t count)
{
    return combine(match_or, items, count);
}

bool response_flag_parse(struct slice name, uint64_t *out)
{
    static const char *const shorts[] = {
#define FLAG_X(n, s, l) s,
        RESPONSE_FLAGS(FLAG_X)
#undef FLAG_X
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(shorts); i++) {
        if (slice_eq(name, slice_str(shorts[i]))) {
            *out = UINT64_C(1) << i;
            return true;
        }
    }
    return false;
}
