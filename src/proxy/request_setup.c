/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request's header section to its first filter: the checks that need no filter, normalisation, trust,
 * route, filters. The order is Envoy's ActiveStream::decodeHeaders; each refusal has Envoy's status and
 * details.
 */
#include "http/url.h"
#include "proxy/downstream.h"
#include "proxy/forwarded.h"
#include "proxy/grpc.h"
#include "proxy/overload/overload.h"
#include "proxy/routing/header_steps.h"
#include "proxy/routing/route.h"
#include "proxy/stream_private.h"

/* A refusal before the filters exist. */
static void refuse(struct stream *s, uint16_t status, struct slice body, struct slice details)
{
    struct local_reply reply = {.status = status, .body = body, .details = details, .grpc_status = -1};
    stream_direct_reply(s, &reply);
}

static void note_facts(struct stream *s, bool end)
{
    struct header_map *m = s->request_headers;
    struct slice method = header_map_get_id(m, HDR_METHOD);
    s->info.protocol = s->codec->protocol;
    s->info.request_headers_bytes = m->bytes;
    s->is_head = slice_eq(method, SLICE_LIT("HEAD"));
    s->is_grpc = grpc_content_type(header_map_get_id(m, HDR_CONTENT_TYPE));
    s->is_upgrade = (header_map_has_id(m, HDR_UPGRADE) && header_map_has_id(m, HDR_CONNECTION)) ||
                    slice_eq(method, SLICE_LIT("CONNECT"));
    s->request_complete = end;
    if (end)
        s->info.request_end_ns = s->info.start_ns;
}

/* false: the stream was answered. */
static bool underscores_allowed(struct stream *s)
{
    struct header_map *m = s->request_headers;
    uint32_t cursor = 0;
    if (s->hcm->underscores == HCM_UNDERSCORES_ALLOW)
        return true;
    for (const struct header *h = header_map_next(m, &cursor); h; h = header_map_next(m, &cursor)) {
        if (slice_find_char(h->name, '_') < 0)
            continue;
        if (s->hcm->underscores == HCM_UNDERSCORES_REJECT_REQUEST) {
            if (downstream_is_h2(s->downstream)) {
                stat_inc(s->hcm->http2_stats.requests_rejected_with_underscores_in_headers);
                stream_reset(s, "http2.unexpected_underscore", RESPONSE_FLAG(DOWNSTREAM_PROTOCOL_ERROR));
            } else {
                stat_inc(s->hcm->http1_stats.requests_rejected_with_underscores_in_headers);
                refuse(s, 400, SLICE_LIT("Bad Request"), SLICE_LIT("http1.unexpected_underscore"));
            }
            return false;
        }
        stat_inc(downstream_is_h2(s->downstream) ? s->hcm->http2_stats.dropped_headers_with_underscores
                                                 : s->hcm->http1_stats.dropped_headers_with_underscores);
        header_map_remove(m, h->name);
    }
    return true;
}

static void answer_expect(struct stream *s)
{
    struct header_map *m = s->request_headers;
    struct slice expect = header_map_get_id(m, HDR_EXPECT);
    if (!expect.ptr || s->hcm->proxy_100_continue || !slice_eq_nocase(expect, SLICE_LIT("100-continue")))
        return;
    struct header_map go_on;
    header_map_init(&go_on, &s->arena, 4, 256);
    if (header_map_set_id(&go_on, HDR_STATUS, SLICE_LIT("100")) == HEADER_OK)
        stream_emit_informational(s, &go_on);
    header_map_remove_id(m, HDR_EXPECT);
}

static void redirect(struct stream *s)
{
    struct local_reply_header location = {SLICE_LIT("location"),
                                          header_map_get_id(s->request_headers, HDR_PATH)};
    struct local_reply reply = {.status = 307,
                                .details = SLICE_LIT("path_normalization_redirect"),
                                .grpc_status = -1,
                                .headers = &location,
                                .headers_count = 1};
    stat_inc(s->hcm->stats.downstream_rq_redirected_with_normalized_path);
    stream_direct_reply(s, &reply);
}

/* false: the stream was answered. */
static bool normalize_path(struct stream *s, struct slice path)
{
    const struct hcm_config *hcm = s->hcm;
    static const enum url_escaped_slashes slashes[] = {
        [HCM_SLASHES_KEEP_UNCHANGED] = URL_SLASHES_KEEP,
        [HCM_SLASHES_REJECT] = URL_SLASHES_REJECT,
        [HCM_SLASHES_UNESCAPE_AND_REDIRECT] = URL_SLASHES_REDIRECT,
        [HCM_SLASHES_UNESCAPE_AND_FORWARD] = URL_SLASHES_FORWARD,
    };
    struct url_path_options options = {.normalize = hcm->normalize_path,
                                       .merge_slashes = hcm->merge_slashes,
                                       .escaped_slashes = slashes[hcm->escaped_slashes]};
    struct slice made = path;
    enum url_path_result result = url_path_apply(&options, path, &s->arena, &made);
    bool ok = result == URL_PATH_OK || (result == URL_PATH_REDIRECT && !s->is_grpc);
    if (ok && made.ptr != path.ptr)
        ok = header_map_set_id(s->request_headers, HDR_PATH, made) == HEADER_OK;
    if (!ok) {
        stat_inc(hcm->stats.downstream_rq_failed_path_normalization);
        refuse(s, 400, SLICE_EMPTY, SLICE_LIT("path_normalization_failed"));
        return false;
    }
    if (result == URL_PATH_REDIRECT) {
        redirect(s);
        return false;
    }
    return true;
}

static void normalize_host(struct stream *s)
{
    const struct hcm_config *hcm = s->hcm;
    struct header_map *m = s->request_headers;
    struct slice host = header_map_get_id(m, HDR_AUTHORITY), made = host;
    if (hcm->strip_trailing_host_dot)
        made = url_strip_trailing_dot(made, &s->arena);
    if (made.ptr && !slice_eq(header_map_get_id(m, HDR_METHOD), SLICE_LIT("CONNECT"))) {
        if (hcm->strip_any_host_port)
            made = url_strip_any_port(made);
        else if (hcm->strip_matching_host_port)
            made = url_strip_port(made, address_port(s->info.downstream_local));
    }
    if (made.ptr && !slice_eq(made, host))
        (void)header_map_set_id(m, HDR_AUTHORITY, made); /* shorter than what was accepted */
}

bool stream_request_path(struct stream *s)
{
    const struct hcm_config *hcm = s->hcm;
    struct slice path = header_map_get_id(s->request_headers, HDR_PATH);
    if (!path.ptr && !s->is_upgrade) {
        refuse(s, 404, SLICE_EMPTY, SLICE_LIT("missing_path_rejected"));
        return false;
    }
    if (path.len > 0 && path.ptr[0] != '/') {
        stat_inc(hcm->stats.downstream_rq_non_relative_path);
        refuse(s, 404, SLICE_EMPTY, SLICE_LIT("absolute_path_rejected"));
        return false;
    }
    s->info.original_path = path;
    if (path.ptr && !normalize_path(s, path))
        return false;
    normalize_host(s);
    return true;
}

static struct slice upgrade_type(const struct stream *s)
{
    struct slice type = header_map_get_id(s->request_headers, HDR_UPGRADE);
    return type.ptr ? type : SLICE_LIT("CONNECT");
}

/* What the connection manager says of it; NULL: nothing. */
static const struct hcm_upgrade *upgrade_of(const struct hcm_config *hcm, struct slice type)
{
    for (size_t i = 0; i < hcm->upgrades_count; i++) {
        if (slice_eq_nocase(hcm->upgrades[i].type, type))
            return &hcm->upgrades[i];
    }
    return NULL;
}

static bool upgrade_enabled(const struct stream *s, struct slice type, const struct hcm_upgrade *own)
{
    if (s->route && s->route->kind == ROUTE_FORWARD) {
        const struct route_action *a = &s->route->action;
        for (uint32_t i = 0; i < a->upgrades_count; i++) {
            if (slice_eq_nocase(a->upgrades[i].type, type))
                return a->upgrades[i].enabled;
        }
    }
    return own && own->enabled;
}

static void refuse_upgrade(struct stream *s)
{
    static const struct local_reply reply = {
        .status = 403, .details = {"upgrade_failed", 14}, .grpc_status = -1};
    stat_inc(s->hcm->stats.downstream_rq_ws_on_non_ws_route);
    (void)stream_local_reply(s, &reply);
}

/* False: it was answered, through the filters of other requests. Envoy counts those that may happen, not
 * those that do. */
static bool upgrade_filters(struct stream *s)
{
    struct slice type = upgrade_type(s);
    const struct hcm_upgrade *own = upgrade_of(s->hcm, type);
    bool enabled = upgrade_enabled(s, type, own);
    if (!filters_create(s, enabled && own && own->filters.count > 0 ? &own->filters : &s->hcm->filters))
        return false;
    if (!enabled) {
        refuse_upgrade(s);
        return false;
    }
    stat_inc(s->hcm->stats.downstream_cx_upgrades_total);
    if (!s->priv->upgrade_counted)
        stat_inc(s->hcm->stats.downstream_cx_upgrades_active);
    s->priv->upgrade_counted = true;
    return true;
}

bool stream_request_filters(struct stream *s)
{
    stream_route(s);
    stream_timers_route(s);
    return WEIR_UNLIKELY(s->is_upgrade) ? upgrade_filters(s) : filters_create(s, &s->hcm->filters);
}

static void count_request(struct stream *s)
{
    struct downstream *d = s->downstream;
    const struct hcm_config *hcm = s->hcm;
    d->requests++;
    if (hcm->max_requests_per_connection && d->requests >= hcm->max_requests_per_connection &&
        !d->close_wanted) {
        d->close_wanted = true;
        stat_inc(hcm->stats.downstream_cx_max_requests_reached);
    }
}

void stream_request_headers(struct stream *s, struct header_map *headers, bool end)
{
    s->request_headers = headers;
    stream_timers_headers(s);
    note_facts(s, end);
    count_request(s);
    if (WEIR_UNLIKELY(overload_bits() != 0) && overload_request(s))
        return;
    if (!underscores_allowed(s))
        return;
    answer_expect(s);
    if (!stream_request_path(s))
        return;
    for (size_t i = 0; i < s->hcm->early_steps_count; i++)
        header_steps_apply(&s->hcm->early_steps[i], headers, s);
    forwarded_apply(s);
    if (stream_request_filters(s))
        filters_request_headers(&s->priv->chain, end);
}
