/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter per request. The most specific configuration holds, whole; nothing of two levels is mixed but
 * the rate_limits of a virtual host.
 */
#include "filters/local_ratelimit/local_ratelimit.h"

#include "base/clock.h"
#include "net/worker.h"
#include "proxy/downstream.h"
#include "proxy/local_reply.h"
#include "proxy/routing/route.h"

#include <stdlib.h>

/* Texts, matchers and descriptors of one configuration. */
#define LOCAL_LIMIT_CONFIG_BYTES_MAX ((size_t)16 << 20)

struct local_limit_stream {
    const struct local_limit_config *config; /* that held when the request came */
    struct local_limit_result result;
};

/* The limiter of a connection, which the first configuration that asks for it makes, for all (Envoy). */
struct local_limit_connection {
    const struct local_limiter *limiter;
    struct local_limiter_state *state;
};

static const struct local_limit_config *config_of(const struct filter *f)
{
    const struct local_limit_config *own = filter_route_config(f);
    return own ? own : f->config->config;
}

static bool chance(const struct filter *f, struct local_limit_share share)
{
    return share.numerator >= share.denominator ||
           worker_random(f->stream->worker, share.denominator) < share.numerator;
}

/* --- descriptors --- */

/* false: memory is out. */
static bool descriptors_of_route(const struct local_limit_config *c, struct stream *s,
                                 const struct header_map *headers, struct rate_limit_descriptors *out)
{
    const struct route *route = stream_route(s);
    if (!route || route->kind != ROUTE_FORWARD)
        return true;
    const struct rate_limits *own = &route->action.rate_limits;
    enum local_limit_vhost vhost =
        route->action.includes_vhost_rate_limits ? LOCAL_LIMIT_VHOST_INCLUDE : c->vhost;
    if (!rate_limits_apply(own, c->stage, headers, s, out))
        return false;
    if (vhost == LOCAL_LIMIT_VHOST_IGNORE || (vhost == LOCAL_LIMIT_VHOST_OVERRIDE && own->count > 0))
        return true;
    return rate_limits_apply(&route->virtual_host->rate_limits, c->stage, headers, s, out);
}

static bool descriptors_of(const struct local_limit_config *c, struct stream *s,
                           const struct header_map *headers, struct rate_limit_descriptors *out)
{
    if (c->limiter.descriptors_count == 0)
        return true;
    return c->rate_limits.count ? rate_limits_apply(&c->rate_limits, 0, headers, s, out)
                                : descriptors_of_route(c, s, headers, out);
}

/* --- the limit --- */

static const struct local_limit_connection *connection_of(const struct local_limit_config *c,
                                                          struct downstream *d)
{
    if (d->rate_limit)
        return d->rate_limit;
    struct local_limit_connection *own = ARENA_NEW(&d->arena, struct local_limit_connection);
    void *memory = own ? arena_calloc(&d->arena, 1, local_limiter_bytes(&c->limiter)) : NULL;
    if (!memory)
        return NULL;
    own->limiter = &c->limiter;
    own->state = local_limiter_state_init(&c->limiter, memory);
    d->rate_limit = own;
    return own;
}

/* Who cannot be counted for want of memory is above the limit. */
static struct local_limit_result ask(const struct local_limit_config *c, struct stream *s,
                                     const struct header_map *headers)
{
    static const struct local_limit_result none = {false, NULL, NULL};
    struct rate_limit_descriptors d = {NULL, 0};
    struct local_limit_match *matches = NULL;
    if (!descriptors_of(c, s, headers, &d))
        return none;
    if (d.count && !(matches = ARENA_NEW_N(&s->arena, struct local_limit_match, d.count)))
        return none;
    if (c->state)
        return local_limiter_ask(&c->limiter, c->state, &d, monotonic_ns(), matches);
    const struct local_limit_connection *own = connection_of(c, s->downstream);
    return own ? local_limiter_ask(own->limiter, own->state, &d, monotonic_ns(), matches) : none;
}

static void refuse(struct filter *f, const struct local_limit_config *c)
{
    stat_inc(c->refused);
    filter_local_reply(f, &(struct local_reply){.status = c->status,
                                                .body = SLICE_LIT("local_rate_limited"),
                                                .details = SLICE_LIT("local_rate_limited"),
                                                .flags = RESPONSE_FLAG(RATE_LIMITED),
                                                .grpc_status = c->grpc_status,
                                                .changes = &c->response_headers});
}

static enum filter_headers_status on_request_headers(struct filter *f, struct header_map *headers,
                                                     bool end_of_stream)
{
    struct local_limit_stream *s = f->state;
    const struct local_limit_config *c = config_of(f);
    (void)end_of_stream;
    if (!chance(f, c->enabled))
        return FILTER_HEADERS_CONTINUE;
    stat_inc(c->asked);
    s->config = c;
    s->result = ask(c, f->stream, headers);
    stat_inc(s->result.allowed ? c->ok : c->limited);
    if (s->result.allowed)
        return FILTER_HEADERS_CONTINUE;
    if (!chance(f, c->enforced)) {
        header_mutation_apply(&c->request_headers, headers, f->stream);
        return FILTER_HEADERS_CONTINUE;
    }
    refuse(f, c);
    return FILTER_HEADERS_STOP;
}

/* --- the answer --- */

static void add_number(struct header_map *headers, struct slice name, uint64_t n)
{
    char text[SLICE_U64_BYTES];
    (void)header_map_add(headers, name, slice_from_u64(n, text)); /* left out above the map's limits */
}

static enum filter_headers_status on_response_headers(struct filter *f, struct header_map *headers,
                                                      bool end_of_stream)
{
    const struct local_limit_stream *s = f->state;
    const struct token_rate *rate = s->result.rate;
    (void)end_of_stream;
    if (!rate || !s->config->tells_clients)
        return FILTER_HEADERS_CONTINUE;
    uint64_t now_ns = monotonic_ns(), wait_ns = token_bucket_wait_ns(s->result.bucket, rate, now_ns);
    add_number(headers, SLICE_LIT("x-ratelimit-limit"), rate->max_tokens);
    add_number(headers, SLICE_LIT("x-ratelimit-remaining"),
               token_bucket_left(s->result.bucket, rate, now_ns));
    add_number(headers, SLICE_LIT("x-ratelimit-reset"), (wait_ns + 999999999u) / 1000000000u);
    return FILTER_HEADERS_CONTINUE;
}

const struct filter_ops local_limit_filter_ops = {
    .name = "envoy.filters.http.local_ratelimit",
    .state_bytes = sizeof(struct local_limit_stream),
    .request_headers = on_request_headers,
    .response_headers = on_response_headers,
};

/* --- configuration --- */

struct local_limit_config *local_limit_config_create(struct slice stat_prefix)
{
    struct local_limit_config *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    arena_init(&c->arena, LOCAL_LIMIT_CONFIG_BYTES_MAX, NULL);
#define LOCAL_LIMIT_STAT_X(field, name)                                                                      \
    c->field = stat_counter(SLICE_FMT ".http_local_rate_limit." #name, SLICE_ARG(stat_prefix));
    LOCAL_LIMIT_STATS(LOCAL_LIMIT_STAT_X)
#undef LOCAL_LIMIT_STAT_X
    return c;
}

bool local_limit_config_finish(struct local_limit_config *c, bool per_connection)
{
    if (per_connection)
        return true;
    void *memory = calloc(1, local_limiter_bytes(&c->limiter));
    if (memory)
        c->state = local_limiter_state_init(&c->limiter, memory);
    return memory != NULL;
}

void local_limit_config_destroy(void *config)
{
    struct local_limit_config *c = config;
    local_limiter_fini(&c->limiter);
    rate_limits_fini(&c->rate_limits);
    header_mutation_fini(&c->request_headers);
    header_mutation_fini(&c->response_headers);
    free(c->state);
    arena_fini(&c->arena);
    free(c);
}
