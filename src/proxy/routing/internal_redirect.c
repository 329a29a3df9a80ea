/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether and where an internal redirect goes. The new request's headers are made beside the old ones, so
 * that giving up leaves nothing behind.
 */
#include "proxy/routing/internal_redirect.h"

#include "net/worker.h"
#include "proxy/hcm_config.h"
#include "proxy/routing/route.h"
#include "proxy/stream_private.h"
#include "proxy/upstream_request.h"

/* The parts of "http://host/path?query#fragment". */
struct target {
    struct slice scheme;
    struct slice host;
    struct slice path; /* with the query; begins with "/" or "?", or is empty */
};

static bool parse(struct slice url, struct target *t)
{
    static const struct slice schemes[] = {{"https", 5}, {"http", 4}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(schemes); i++) {
        struct slice rest = slice_skip(url, schemes[i].len);
        if (!slice_starts_with_nocase(url, schemes[i]) || !slice_starts_with(rest, SLICE_LIT("://")))
            continue;
        rest = slice_skip(rest, 3);
        size_t end = 0;
        while (end < rest.len && !strchr("/?#", rest.ptr[end]))
            end++;
        t->scheme = schemes[i];
        t->host = slice_take(rest, end);
        t->path = slice_skip(rest, end);
        ptrdiff_t fragment = slice_find_char(t->path, '#');
        if (fragment >= 0)
            t->path = slice_take(t->path, (size_t)fragment);
        return end > 0;
    }
    return false;
}

static bool follows(const struct redirect_policy *p, unsigned status)
{
    return (status == 301 && p->follows_301) || (status == 302 && p->follows_302) ||
           (status == 303 && p->follows_303) || (status == 307 && p->follows_307) ||
           (status == 308 && p->follows_308);
}

static bool copy_headers(const struct redirect_policy *p, const struct header_map *answer,
                         struct header_map *request)
{
    for (uint32_t i = 0; i < p->headers_to_copy_count; i++) {
        struct slice name = p->headers_to_copy[i];
        header_map_remove(request, name);
        for (const struct header *h = header_map_find(answer, name); h;
             h = header_map_find_next(answer, name, h)) {
            if (header_map_add(request, name, h->value) != HEADER_OK)
                return false;
        }
    }
    return true;
}

static bool set_target(struct stream *s, const struct target *t, struct header_map *m)
{
    const struct header_map *old = s->request_headers;
    struct slice scheme = header_map_get_id(old, HDR_SCHEME);
    struct slice host = header_map_get_id(old, HDR_AUTHORITY), path = header_map_get_id(old, HDR_PATH);
    const char *original =
        arena_printf(&s->arena, "%.*s://%.*s%.*s", SLICE_ARG(scheme), SLICE_ARG(host), SLICE_ARG(path));
    struct slice target = t->path.len > 0 ? t->path : SLICE_LIT("/");
    return original && header_map_set_id(m, HDR_SCHEME, t->scheme) == HEADER_OK &&
           header_map_set_id(m, HDR_AUTHORITY, t->host) == HEADER_OK &&
           header_map_set_id(m, HDR_PATH, target) == HEADER_OK &&
           header_map_set(m, SLICE_LIT("x-envoy-original-url"), slice_str(original)) == HEADER_OK;
}

/* A redirect that says "see other" is fetched. */
static bool to_get(struct header_map *m)
{
    struct slice method = header_map_get_id(m, HDR_METHOD);
    if (slice_eq(method, SLICE_LIT("GET")) || slice_eq(method, SLICE_LIT("HEAD")))
        return false;
    header_map_set_id(m, HDR_METHOD, SLICE_LIT("GET"));
    header_map_remove_id(m, HDR_CONTENT_LENGTH);
    return true;
}

/* Remembers the step; false: it was made before. */
static bool first_step(struct stream *s, struct slice from, struct slice to)
{
    for (struct redirect_step *step = s->priv->redirect_steps; step; step = step->next) {
        if (slice_eq(step->from, from) && slice_eq(step->to, to))
            return false;
    }
    struct redirect_step *step = ARENA_NEW(&s->arena, struct redirect_step);
    if (!step)
        return false;
    *step = (struct redirect_step){s->priv->redirect_steps, from, to};
    s->priv->redirect_steps = step;
    return true;
}

static bool is_listed(const struct redirect_predicate *p, struct slice name)
{
    for (uint32_t i = 0; i < p->routes_count; i++) {
        if (slice_eq(p->routes[i], name))
            return true;
    }
    return false;
}

static bool agrees(const struct redirect_predicate *p, struct upstream_request *r, const struct route *to,
                   bool to_tls)
{
    struct stream *s = upstream_request_stream(r);
    if (p->kind == REDIRECT_PREVIOUS_ROUTES)
        return first_step(s, r->route->name, to->name);
    if (p->kind == REDIRECT_ALLOWED_ROUTES)
        return is_listed(p, to->name);
    return !to_tls || slice_eq(header_map_get_id(s->request_headers, HDR_SCHEME), SLICE_LIT("https"));
}

/* Whether the route that the new request would have may serve it. Counts why not. */
static bool route_fits(struct upstream_request *r, const struct target *t, const struct header_map *m)
{
    struct stream *s = upstream_request_stream(r);
    const struct redirect_policy *p = &r->route->action.redirects;
    const struct route *to =
        slice_starts_with(t->path, SLICE_LIT("?")) ? NULL : route_table_match(s->route_table, m, s, 0).route;
    if (!to) {
        stat_inc(s->hcm->stats.passthrough_internal_redirect_no_route);
        return false;
    }
    for (uint32_t i = 0; i < p->predicates_count; i++) {
        if (agrees(&p->predicates[i], r, to, slice_eq(t->scheme, SLICE_LIT("https"))))
            continue;
        stat_inc(s->hcm->stats.passthrough_internal_redirect_predicate);
        return false;
    }
    return true;
}

/* The new request's headers; NULL when it cannot be made. Counts why. */
static struct header_map *new_request(struct upstream_request *r, const struct header_map *answer)
{
    struct stream *s = upstream_request_stream(r);
    const struct redirect_policy *p = &r->route->action.redirects;
    const struct hcm_stats *stats = &s->hcm->stats;
    struct target t;
    struct slice location = header_map_get_id(answer, HDR_LOCATION);
    if (!parse(location, &t)) {
        /* Another scheme than HTTP is one that is not allowed. */
        ptrdiff_t colon = slice_find_char(location, ':');
        bool scheme = colon > 0 && slice_starts_with(slice_skip(location, (size_t)colon), SLICE_LIT("://"));
        stat_inc(scheme ? stats->passthrough_internal_redirect_unsafe_scheme
                        : stats->passthrough_internal_redirect_bad_location);
        return NULL;
    }
    if (!p->cross_scheme && !slice_eq(t.scheme, header_map_get_id(s->request_headers, HDR_SCHEME))) {
        stat_inc(stats->passthrough_internal_redirect_unsafe_scheme);
        return NULL;
    }
    if (s->priv->redirects >= p->max) {
        stat_inc(stats->passthrough_internal_redirect_too_many_redirects);
        return NULL;
    }
    struct header_map *m = ARENA_NEW(&s->arena, struct header_map);
    if (!m)
        return NULL;
    header_map_init(m, &s->arena, s->request_headers->count_max, s->request_headers->bytes_max);
    if (header_map_copy(m, s->request_headers) != HEADER_OK || !copy_headers(p, answer, m) ||
        !set_target(s, &t, m))
        return NULL;
    return route_fits(r, &t, m) ? m : NULL;
}

bool internal_redirect(struct upstream_request *r, const struct header_map *answer, unsigned status)
{
    struct stream *s = upstream_request_stream(r);
    if (!follows(&r->route->action.redirects, status))
        return false;
    bool whole = r->request_done && (r->kept || !r->body_lost) && !s->is_upgrade && !s->local_reply_sent;
    struct header_map *m = whole && header_map_has_id(answer, HDR_LOCATION) ? new_request(r, answer) : NULL;
    if (!m) {
        stat_inc(upstream_request_stats(r)->upstream_internal_redirect_failed_total);
        return false;
    }
    struct chain none;
    chain_init(&none);
    bool get = status == 303 && to_get(m);
    bool restarts =
        stream_restart(s, m, get ? NULL : s->request_trailers, r->kept && !get ? r->kept : &none, status);
    chain_fini(&none);
    if (!restarts)
        return false;
    stat_inc(upstream_request_stats(r)->upstream_internal_redirect_succeeded_total);
    upstream_request_count(r, status);
    s->priv->redirects++;
    upstream_request_finish(r);
    return true;
}
