/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the steering headers. What cannot be read counts as not given, as in Envoy.
 */
#include "proxy/steering.h"

#include "proxy/limits.h"
#include "proxy/routing/retry_policy.h"

static const struct slice prefix = {"x-envoy-", 8};

static bool number(struct slice value, uint64_t *out)
{
    uint64_t n;
    if (!slice_parse_u64(value, &n))
        return false;
    *out = n;
    return true;
}

static bool milliseconds(struct slice value, uint64_t *out)
{
    return number(value, out) && *out <= TIMEOUT_HEADER_MS_MAX;
}

static void take_retry_on(struct steering *s, struct slice value)
{
    s->retry_on |= retry_on_parse_http(value);
}

static void take_retry_grpc_on(struct steering *s, struct slice value)
{
    s->retry_on |= retry_on_parse_grpc(value);
}

static void take_max_retries(struct steering *s, struct slice value)
{
    uint64_t n;
    if (!number(value, &n))
        return;
    s->has_max_retries = true;
    s->max_retries = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static void take_per_try(struct steering *s, struct slice value)
{
    s->has_per_try = milliseconds(value, &s->per_try_ms) || s->has_per_try;
}

static void take_stream_duration(struct steering *s, struct slice value)
{
    s->has_stream_duration = milliseconds(value, &s->stream_duration_ms) || s->has_stream_duration;
}

static void take_status_codes(struct steering *s, struct slice value)
{
    s->status_codes = value;
}

static void take_header_names(struct steering *s, struct slice value)
{
    s->header_names = value;
}

static void take_hedge(struct steering *s, struct slice value)
{
    bool yes = slice_eq(value, SLICE_LIT("true"));
    if (!yes && !slice_eq(value, SLICE_LIT("false")))
        return;
    s->hedge_given = true;
    s->hedge = yes;
}

static void take_alt_response(struct steering *s, struct slice value)
{
    (void)value; /* any value will do */
    s->timeout_alt_response = true;
}

/* There are no statistics by such names: only taken away. */
static void take_nothing(struct steering *s, struct slice value)
{
    (void)s;
    (void)value;
}

/* What stands behind "x-envoy-": X(name, function). */
#define STEERING_HEADERS(X)                                                                                  \
    X("retry-on", take_retry_on)                                                                             \
    X("retry-grpc-on", take_retry_grpc_on)                                                                   \
    X("max-retries", take_max_retries)                                                                       \
    X("retriable-status-codes", take_status_codes)                                                           \
    X("retriable-header-names", take_header_names)                                                           \
    X("hedge-on-per-try-timeout", take_hedge)                                                                \
    X("upstream-rq-per-try-timeout-ms", take_per_try)                                                        \
    X("upstream-stream-duration-ms", take_stream_duration)                                                   \
    X("upstream-rq-timeout-alt-response", take_alt_response)                                                 \
    X("upstream-alt-stat-name", take_nothing)

void steering_take(struct header_map *headers, struct steering *out)
{
    static const struct {
        struct slice name;
        void (*take)(struct steering *s, struct slice value);
    } rows[] = {
#define STEERING_X(name, function) {{name, sizeof(name) - 1}, function},
        STEERING_HEADERS(STEERING_X)
#undef STEERING_X
    };
    uint32_t cursor = 0;
    *out = (struct steering){0};
    for (const struct header *h; (h = header_map_next(headers, &cursor)) != NULL;) {
        if (h->id != HDR_OTHER || !slice_starts_with(h->name, prefix))
            continue;
        struct slice name = h->name, value = h->value, rest = slice_skip(name, prefix.len);
        for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
            if (!slice_eq(rest, rows[i].name))
                continue;
            rows[i].take(out, value);
            header_map_remove(headers, name);
            break;
        }
    }
}
