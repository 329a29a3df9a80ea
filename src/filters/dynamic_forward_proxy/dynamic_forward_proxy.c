/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a name, and Envoy's answers when there is nothing to wait for. The host itself is picked by the
 * router, from the same headers.
 */
#include "filters/dynamic_forward_proxy/dynamic_forward_proxy.h"

#include "net/worker.h"
#include "proxy/local_reply.h"
#include "proxy/routing/route.h"
#include "proxy/stream.h"
#include "upstream/worker_cluster.h"
#include "upstream/worker_dynamic.h"

struct dynamic_forward_state {
    struct filter *filter;
    struct dynamic_wait wait;
};

static void reply(struct filter *f, struct slice body, struct slice details, uint64_t flags)
{
    filter_local_reply(f, &(struct local_reply){
                              .status = 503,
                              .body = body,
                              .details = details,
                              .flags = flags,
                              .grpc_status = -1,
                          });
}

/* "dns_resolution_failure{cares_norecords:Domain_name_not_found}" */
static void reply_failed(struct filter *f, const char *error)
{
    char *text = arena_printf(&f->stream->arena, "dns_resolution_failure{%s}", error);
    for (char *p = text; p && *p; p++) {
        if (*p == ' ')
            *p = '_';
    }
    reply(f, SLICE_LIT("DNS resolution failure"),
          text ? slice_str(text) : SLICE_LIT("dns_resolution_failure"), RESPONSE_FLAG(DNS_RESOLUTION_FAILED));
}

/* false: it was answered. */
static bool goes_on(struct filter *f, enum dynamic_state state, const char *error)
{
    switch (state) {
    case DYNAMIC_FAILED:
        reply_failed(f, error);
        return false;
    case DYNAMIC_FULL:
        reply(f, SLICE_LIT("DNS cache overflow"), SLICE_LIT("dns_cache_overflow"), 0);
        return false;
    case DYNAMIC_WAITING: /* but there was no room for it */
        reply(f, SLICE_LIT("Dynamic forward proxy pending request overflow"),
              SLICE_LIT("dynamic_forward_proxy_pending_request_overflow"), 0);
        return false;
    case DYNAMIC_KNOWN:
    case DYNAMIC_GONE:
        break;
    }
    return true;
}

static void on_known(struct dynamic_wait *wait, enum dynamic_state state, const char *error)
{
    struct dynamic_forward_state *s = WEIR_CONTAINER_OF(wait, struct dynamic_forward_state, wait);
    if (goes_on(s->filter, state, error))
        filter_continue_request(s->filter);
}

static bool init(struct filter *f)
{
    struct dynamic_forward_state *s = f->state;
    s->filter = f;
    s->wait.done = on_known;
    list_init(&s->wait.node);
    return true;
}

/* The header comes from a stranger: its first field counts (Envoy). */
static void rewrite(const struct dynamic_forward_route *r, struct header_map *headers)
{
    const struct header *h = r->header.len ? header_map_find(headers, r->header) : NULL;
    if (r->literal.len)
        header_map_set_id(headers, HDR_AUTHORITY, r->literal);
    if (h)
        header_map_set_id(headers, HDR_AUTHORITY, h->value);
}

static enum filter_headers_status request_headers(struct filter *f, struct header_map *headers, bool end)
{
    struct dynamic_forward_state *s = f->state;
    const struct route *route = stream_route(f->stream);
    (void)end;
    if (!route || route->kind != ROUTE_FORWARD)
        return FILTER_HEADERS_CONTINUE;
    struct cluster_ref ref = route_cluster(route, f->stream->weighted_cluster, headers);
    struct worker_cluster *wc =
        ref.name.ptr ? worker_cluster_find(f->stream->worker, ref.name, ref.hash) : NULL;
    if (!wc || !wc->dynamic)
        return FILTER_HEADERS_CONTINUE;
    const struct dynamic_forward_route *own = filter_route_config(f);
    if (own)
        rewrite(own, headers);
    f->stream->info.cluster_name = arena_dup(&f->stream->arena, wc->cluster->config->name);
    const char *error = "";
    enum dynamic_state state =
        worker_dynamic_find(wc->dynamic, header_map_get_id(headers, HDR_AUTHORITY), &s->wait, &error);
    if (state == DYNAMIC_WAITING && s->wait.in)
        return FILTER_HEADERS_STOP_ALL_WATERMARK;
    return goes_on(f, state, error) ? FILTER_HEADERS_CONTINUE : FILTER_HEADERS_STOP;
}

static void destroy(struct filter *f)
{
    struct dynamic_forward_state *s = f->state;
    dynamic_wait_cancel(&s->wait);
}

const struct filter_ops dynamic_forward_proxy_ops = {
    .name = "envoy.filters.http.dynamic_forward_proxy",
    .state_bytes = sizeof(struct dynamic_forward_state),
    .init = init,
    .request_headers = request_headers,
    .destroy = destroy,
};
