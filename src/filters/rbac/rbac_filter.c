/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RBAC per request. The most specific override of the route replaces the filter's rules as a whole;
 * statistics stay those of the filter.
 */
#include "filters/rbac/rbac_filter.h"

#include "filters/rbac/rbac_engine.h"
#include "proxy/dynamic_metadata.h"
#include "proxy/local_reply.h"
#include "proxy/stream.h"
#include "telemetry/log.h"

static const struct rbac_pair *pair_of(const struct filter *f)
{
    const struct rbac_engine *engine = f->config->config;
    const struct rbac_pair *own = filter_route_config(f);
    return own ? own : &engine->own;
}

static enum filter_headers_status on_request(struct filter *f, struct header_map *headers, bool end_of_stream)
{
    const struct rbac_engine *engine = f->config->config;
    const struct rbac_pair *pair = pair_of(f);
    struct stream *s = f->stream;
    struct rbac_verdict v = {.allowed = true};
    struct rbac_fields fields = {.count = 0};
    (void)end_of_stream;
    rbac_log_subject(s, headers);
    if (pair->shadow.rules)
        rbac_engine_ask(engine, &pair->shadow, true, s, headers, &fields);
    if (pair->enforced.rules)
        v = rbac_engine_ask(engine, &pair->enforced, false, s, headers, &fields);
    else
        log_write(RBAC, DEBUG, "no engine, allowed by default");
    /* Without memory for them they are missing in the access log. */
    if (fields.count > 0)
        dynamic_metadata_put(&s->info, &s->arena, SLICE_LIT("envoy.filters.http.rbac"), fields.items,
                             fields.count);
    if (v.allowed)
        return FILTER_HEADERS_CONTINUE;
    filter_local_reply(f, &(struct local_reply){.status = 403,
                                                .body = SLICE_LIT("RBAC: access denied"),
                                                .details = rbac_denied_details(v),
                                                .grpc_status = -1});
    return FILTER_HEADERS_STOP;
}

const struct filter_ops rbac_filter_ops = {
    .name = "envoy.filters.http.rbac",
    .request_headers = on_request,
};
