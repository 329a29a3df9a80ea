/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CORS per request. Each setting is that of the most specific level that has it; whether the filter acts at
 * all is for the most specific policy to say.
 */
#include "filters/cors/cors.h"

#include "net/worker.h"
#include "proxy/local_reply.h"
#include "proxy/routing/route.h"
#include "proxy/stream.h"

struct cors_state {
    struct cors_policy policy; /* of all levels together */
    struct slice origin;       /* that is allowed; ptr NULL: nothing to do */
};

static struct cors_state *state_of(struct filter *f)
{
    return f->state;
}

static void inherit_text(struct slice *to, struct slice from)
{
    if (to->len == 0)
        *to = from;
}

static void inherit_choice(enum cors_choice *to, enum cors_choice from)
{
    if (*to == CORS_UNSET)
        *to = from;
}

static void inherit(struct cors_policy *to, const struct cors_policy *from)
{
    if (to->origins_count == 0) {
        to->origins = from->origins;
        to->origins_count = from->origins_count;
    }
    inherit_text(&to->methods, from->methods);
    inherit_text(&to->headers, from->headers);
    inherit_text(&to->expose, from->expose);
    inherit_text(&to->max_age, from->max_age);
    inherit_choice(&to->credentials, from->credentials);
    inherit_choice(&to->private_network, from->private_network);
    inherit_choice(&to->forward_not_matching, from->forward_not_matching);
}

/* false: no level has a policy, or the route forwards nothing (Envoy leaves its own answers alone). */
static bool find_policy(struct filter *f, struct cors_policy *out)
{
    const struct filter_override *levels[ROUTE_LEVELS_MAX];
    const struct route *route = stream_route(f->stream);
    bool found = false;
    if (!route || route->kind != ROUTE_FORWARD)
        return false;
    unsigned count = route_filter_overrides(route, f->stream->weighted_cluster, f->config->name, levels);
    for (unsigned i = 0; i < count; i++) {
        const struct cors_policy *p = levels[i]->config;
        if (p && found)
            inherit(out, p);
        else if (p)
            *out = *p;
        found = found || p;
    }
    return found;
}

static bool chance(struct filter *f, struct cors_share share)
{
    return share.numerator >= share.denominator ||
           worker_random(f->stream->worker, share.denominator) < share.numerator;
}

static bool origin_allowed(const struct cors_policy *p, struct slice origin)
{
    for (uint32_t i = 0; i < p->origins_count; i++) {
        if (string_matcher_match(&p->origins[i], SLICE_LIT("*")) ||
            string_matcher_match(&p->origins[i], origin))
            return true;
    }
    return false;
}

static bool is_preflight(const struct header_map *headers)
{
    const struct header *method = header_map_find(headers, SLICE_LIT("access-control-request-method"));
    return method && method->value.len > 0 &&
           slice_eq(header_map_get_id(headers, HDR_METHOD), SLICE_LIT("OPTIONS"));
}

static void add(struct local_reply_header *out, size_t *count, const char *name, struct slice value)
{
    if (value.len > 0)
        out[(*count)++] = (struct local_reply_header){slice_str(name), value};
}

static void answer_preflight(struct filter *f, const struct header_map *headers)
{
    const struct cors_state *s = state_of(f);
    const struct cors_policy *p = &s->policy;
    const struct header *private =
        header_map_find(headers, SLICE_LIT("access-control-request-private-network"));
    bool private_network =
        private && slice_eq(private->value, SLICE_LIT("true")) && p->private_network == CORS_YES;
    struct local_reply_header out[6];
    size_t count = 0;
    /* The origin is added with all answers, if it is allowed. Without it the rest means nothing, but Envoy
     * sends it too. */
    add(out, &count, "access-control-allow-credentials",
        p->credentials == CORS_YES ? SLICE_LIT("true") : SLICE_EMPTY);
    add(out, &count, "access-control-allow-methods", p->methods);
    add(out, &count, "access-control-allow-headers", p->headers);
    add(out, &count, "access-control-max-age", p->max_age);
    add(out, &count, "access-control-allow-private-network",
        private_network ? SLICE_LIT("true") : SLICE_EMPTY);
    filter_local_reply(f, &(struct local_reply){.status = 200,
                                                .details = SLICE_LIT("cors_response"),
                                                .grpc_status = -1,
                                                .as_is = true,
                                                .headers = out,
                                                .headers_count = count});
}

static enum filter_headers_status cors_request(struct filter *f, struct header_map *headers,
                                               bool end_of_stream)
{
    struct cors_state *s = state_of(f);
    const struct cors_config *config = f->config->config;
    struct slice origin = header_map_get_id(headers, HDR_ORIGIN);
    (void)end_of_stream;
    if (origin.len == 0 || !find_policy(f, &s->policy))
        return FILTER_HEADERS_CONTINUE;
    bool enabled = chance(f, s->policy.enabled);
    if (!enabled && !chance(f, s->policy.shadow))
        return FILTER_HEADERS_CONTINUE;
    bool allowed = origin_allowed(&s->policy, origin);
    stat_inc(allowed ? config->origin_valid : config->origin_invalid);
    if (!enabled || (!allowed && s->policy.forward_not_matching != CORS_NO))
        return FILTER_HEADERS_CONTINUE;
    if (allowed) /* a filter may change the header before the answer comes */
        s->origin = arena_dup(&f->stream->arena, origin);
    if (!is_preflight(headers))
        return FILTER_HEADERS_CONTINUE;
    answer_preflight(f, headers);
    return FILTER_HEADERS_STOP;
}

static enum filter_headers_status cors_response(struct filter *f, struct header_map *headers,
                                                bool end_of_stream)
{
    const struct cors_state *s = state_of(f);
    (void)end_of_stream;
    if (!s->origin.ptr)
        return FILTER_HEADERS_CONTINUE;
    /* A header beyond the map's limits is left out: the browser refuses the answer then. */
    (void)header_map_set(headers, SLICE_LIT("access-control-allow-origin"), s->origin);
    if (s->policy.credentials == CORS_YES)
        (void)header_map_set(headers, SLICE_LIT("access-control-allow-credentials"), SLICE_LIT("true"));
    if (s->policy.expose.len > 0)
        (void)header_map_set(headers, SLICE_LIT("access-control-expose-headers"), s->policy.expose);
    return FILTER_HEADERS_CONTINUE;
}

void cors_policy_fini(void *policy)
{
    struct cors_policy *p = policy;
    for (uint32_t i = 0; i < p->origins_count; i++)
        string_matcher_fini(&p->origins[i]);
}

const struct filter_ops cors_filter_ops = {
    .name = "envoy.filters.http.cors",
    .state_bytes = sizeof(struct cors_state),
    .request_headers = cors_request,
    .response_headers = cors_response,
};
