/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers health checks. A request that is none passes through untouched; its answer says when this proxy
 * wants no more of them (/healthcheck/fail).
 */
#include "filters/health_check/health_check.h"

#include "base/assert.h"
#include "net/worker.h"
#include "proxy/listener/drain.h"
#include "proxy/local_reply.h"
#include "proxy/stream.h"
#include "upstream/worker_cluster.h"

#include <stdlib.h>

/* Names, paths and matchers of one filter. */
#define HEALTH_FILTER_CONFIG_BYTES_MAX ((size_t)1 << 20)

#define CACHED_DEGRADED   0x8000u
#define CACHED_STATUS     0x7fffu
#define CACHED_TIME_SHIFT 16

struct health_filter_state {
    bool check;    /* the request is a health check */
    bool handling; /* and is answered here */
};

struct verdict {
    uint16_t status;
    bool degraded;
    struct slice details;
};

static const struct health_filter_config *config_of(const struct filter *f)
{
    return f->config->config;
}

static bool proxy_failed(void)
{
    return atomic_load_explicit(&drain_healthcheck_failed, memory_order_relaxed);
}

static uint64_t now_of(const struct filter *f)
{
    return f->stream->worker->loop.now_ms;
}

/* 0: there is none, or it is too old. */
static uint64_t cached_answer(const struct filter *f)
{
    uint64_t cached = atomic_load_explicit(&config_of(f)->cached, memory_order_relaxed);
    return cached >> CACHED_TIME_SHIFT > now_of(f) ? cached : 0;
}

static bool is_check(const struct filter *f, const struct header_map *headers)
{
    const struct health_filter_config *c = config_of(f);
    bool match = true;
    for (size_t i = 0; match && i < c->headers_count; i++)
        match = header_matcher_match(&c->headers[i], headers);
    return match;
}

/* --- the answer --- */

static struct verdict judge_clusters(const struct filter *f)
{
    const struct health_filter_config *c = config_of(f);
    struct verdict v = {200, false, SLICE_LIT("health_check_ok_cluster_healthy")};
    for (size_t i = 0; i < c->clusters_count; i++) {
        const struct health_filter_cluster *want = &c->clusters[i];
        const struct worker_cluster *wc = worker_cluster_find(f->stream->worker, want->name, want->hash);
        if (!wc) {
            stat_inc(c->failed_cluster_not_found);
            return (struct verdict){503, false, SLICE_LIT("health_check_failed_no_cluster_found")};
        }
        const struct host_set *hosts = wc->hosts;
        if (hosts->count == 0 && want->percent > 0) {
            stat_inc(c->failed_cluster_empty);
            return (struct verdict){503, false, SLICE_LIT("health_check_failed_cluster_empty")};
        }
        double needed = hosts->count * want->percent / 100.0;
        if (hosts->healthy_count + hosts->degraded_count < needed) {
            stat_inc(c->failed_cluster_unhealthy);
            return (struct verdict){503, false, SLICE_LIT("health_check_failed_cluster_unhealthy")};
        }
        v.degraded = v.degraded || hosts->healthy_count < needed;
    }
    return v;
}

static struct verdict judge(const struct filter *f)
{
    const struct health_filter_config *c = config_of(f);
    if (proxy_failed())
        return (struct verdict){503, false, SLICE_LIT("health_check_failed")};
    uint64_t cached = c->cache_ms ? cached_answer(f) : 0;
    if (cached) {
        stat_inc(c->cached_response);
        return (struct verdict){(uint16_t)(cached & CACHED_STATUS), (cached & CACHED_DEGRADED) != 0,
                                SLICE_LIT("health_check_cached")};
    }
    return c->clusters_count ? judge_clusters(f) : (struct verdict){200, false, SLICE_LIT("health_check_ok")};
}

static void answer(struct filter *f)
{
    static const struct local_reply_header degraded = {{"x-envoy-degraded", 16}, {"", 0}};
    const struct health_filter_config *c = config_of(f);
    struct verdict v = judge(f);
    bool ok = v.status / 100 == 2;
    stat_inc(ok ? c->ok : c->failed);
    if (v.degraded)
        stat_inc(c->degraded);
    if (!ok)
        stream_info_flag(&f->stream->info, RESPONSE_FLAG(FAILED_LOCAL_HEALTH_CHECK));
    filter_local_reply(f, &(struct local_reply){
                              .status = v.status,
                              .details = v.details,
                              .flags = ok ? 0 : RESPONSE_FLAG(FAILED_LOCAL_HEALTH_CHECK),
                              .grpc_status = -1,
                              .headers = &degraded,
                              .headers_count = v.degraded ? 1 : 0,
                          });
}

/* --- callbacks --- */

static enum filter_headers_status on_request_headers(struct filter *f, struct header_map *headers,
                                                     bool end_of_stream)
{
    const struct health_filter_config *c = config_of(f);
    struct health_filter_state *s = f->state;
    s->check = is_check(f, headers);
    if (!s->check)
        return FILTER_HEADERS_CONTINUE;
    stat_inc(c->request_total);
    f->stream->healthcheck = true;
    s->handling = !c->pass_through || proxy_failed() || (c->cache_ms && cached_answer(f));
    if (s->handling && end_of_stream)
        answer(f);
    return s->handling ? FILTER_HEADERS_STOP : FILTER_HEADERS_CONTINUE;
}

static enum filter_data_status on_request_data(struct filter *f, struct chain *data, bool end_of_stream)
{
    const struct health_filter_state *s = f->state;
    (void)data;
    if (!s->handling)
        return FILTER_DATA_CONTINUE;
    if (end_of_stream)
        answer(f);
    return FILTER_DATA_STOP_NO_BUFFER;
}

static enum filter_trailers_status on_request_trailers(struct filter *f, struct header_map *trailers)
{
    const struct health_filter_state *s = f->state;
    (void)trailers;
    if (!s->handling)
        return FILTER_TRAILERS_CONTINUE;
    answer(f);
    return FILTER_TRAILERS_STOP;
}

static void cache(const struct filter *f, const struct header_map *headers)
{
    struct health_filter_config *c = (struct health_filter_config *)(uintptr_t)f->config->config;
    uint64_t status = 0, until = now_of(f) + c->cache_ms;
    if (!slice_parse_u64(header_map_get_id(headers, HDR_STATUS), &status))
        return;
    uint64_t degraded = header_map_find(headers, SLICE_LIT("x-envoy-degraded")) ? CACHED_DEGRADED : 0;
    atomic_store_explicit(&c->cached, until << CACHED_TIME_SHIFT | degraded | (status & CACHED_STATUS),
                          memory_order_relaxed);
}

static enum filter_headers_status on_response_headers(struct filter *f, struct header_map *headers,
                                                      bool end_of_stream)
{
    const struct health_filter_config *c = config_of(f);
    const struct health_filter_state *s = f->state;
    (void)end_of_stream;
    if (s->check) {
        if (c->cache_ms && !s->handling)
            cache(f, headers);
        header_map_set(headers, SLICE_LIT("x-envoy-upstream-healthchecked-cluster"), c->node_cluster);
    }
    if (WEIR_UNLIKELY(proxy_failed()))
        header_map_set(headers, SLICE_LIT("x-envoy-immediate-health-check-fail"), SLICE_LIT("true"));
    return FILTER_HEADERS_CONTINUE;
}

const struct filter_ops health_filter_ops = {
    .name = "envoy.filters.http.health_check",
    .state_bytes = sizeof(struct health_filter_state),
    .request_headers = on_request_headers,
    .request_data = on_request_data,
    .request_trailers = on_request_trailers,
    .response_headers = on_response_headers,
};

/* --- configuration --- */

struct health_filter_config *health_filter_config_create(struct slice stat_prefix)
{
    struct health_filter_config *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    arena_init(&c->arena, HEALTH_FILTER_CONFIG_BYTES_MAX, NULL);
#define HEALTH_FILTER_STAT_X(name)                                                                           \
    c->name = stat_counter("http." SLICE_FMT ".health_check." #name, SLICE_ARG(stat_prefix));
    HEALTH_FILTER_STATS(HEALTH_FILTER_STAT_X)
#undef HEALTH_FILTER_STAT_X
    return c;
}

void health_filter_config_destroy(void *config)
{
    struct health_filter_config *c = config;
    for (size_t i = 0; i < c->headers_count; i++)
        header_matcher_fini(&c->headers[i]);
    arena_fini(&c->arena);
    free(c);
}
