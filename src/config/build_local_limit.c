/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP filter that limits requests by token buckets, and what routes say to it.
 */
#include "config/builder.h"

#include "filters/local_ratelimit/local_ratelimit.h"

#include <envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.pb-c.h>

typedef Envoy__Extensions__Filters__Http__LocalRatelimit__V3__LocalRateLimit filter_message;
typedef Envoy__Extensions__Common__Ratelimit__V3__LocalRateLimitDescriptor descriptor_message;

#define STATUS_DEFAULT 429
#define GRPC_EXHAUSTED 8
#define VALUES_DEFAULT 20

bool builder_is_local_limit(const ProtobufCMessage *config)
{
    return config->descriptor ==
           &envoy__extensions__filters__http__local_ratelimit__v3__local_rate_limit__descriptor;
}

/* None: no request. */
static struct local_limit_share share(struct builder *b,
                                      const Envoy__Config__Core__V3__RuntimeFractionalPercent *in)
{
    struct local_limit_share out = {0, 100};
    if (in)
        builder_runtime_fraction(b, in, &out.numerator, &out.denominator);
    return out;
}

static void mutation(struct builder *b, struct local_limit_config *c, const filter_message *in,
                     const char *field, Envoy__Config__Core__V3__HeaderValueOption *const *add, size_t count,
                     struct header_mutation *out)
{
    struct builder_finish finish;
    builder_finish_init(&finish, b, &in->base);
    builder_mutation(b, &c->arena, add, count, NULL, 0, out);
    header_mutation_finish(out, &c->arena, field, "", &finish.errors);
}

static const struct rate_limit_entry *entries(struct builder *b, struct arena *arena,
                                              const descriptor_message *in)
{
    struct rate_limit_entry *out = builder_array(b, arena, in->n_entries, sizeof *out);
    for (size_t i = 0; out && i < in->n_entries; i++) {
        out[i].key = builder_text(b, arena, in->entries[i]->key);
        out[i].value = builder_text(b, arena, in->entries[i]->value);
    }
    return out;
}

static void descriptors(struct builder *b, const filter_message *in, struct local_limit_config *c)
{
    struct local_limiter *l = &c->limiter;
    l->descriptors = builder_array(b, &c->arena, in->n_descriptors, sizeof *l->descriptors);
    l->descriptors_count = l->descriptors ? (uint32_t)in->n_descriptors : 0;
    for (uint32_t i = 0; i < l->descriptors_count; i++) {
        struct local_limit_descriptor *d = &l->descriptors[i];
        const descriptor_message *one = in->descriptors[i];
        d->entries = entries(b, &c->arena, one);
        d->count = d->entries ? (uint32_t)one->n_entries : 0;
        struct slice text = rate_limit_text(d->entries, d->count, &c->arena);
        if (!d->entries || !text.ptr)
            continue; /* the API requires one: reported already, as is a full arena */
        if (one->token_bucket)
            builder_token_bucket(b, one->token_bucket, &d->rate);
        if (!local_limiter_add(l, d, text))
            builder_error(b, one, NULL, "duplicate descriptor; remove one of those with these entries");
    }
}

static uint32_t values(struct builder *b, const filter_message *in)
{
    uint32_t count = builder_u32(in->max_dynamic_descriptors, VALUES_DEFAULT);
    if (count <= LOCAL_LIMIT_VALUES_MAX)
        return count ? count : 1; /* 0 was reported already */
    builder_error(b, in, "max_dynamic_descriptors", "is above %u", LOCAL_LIMIT_VALUES_MAX);
    return 1;
}

static void limiter(struct builder *b, const filter_message *in, struct local_limit_config *c)
{
    local_limiter_init(&c->limiter, values(b, in));
    c->limiter.always = builder_bool(in->always_consume_default_token_bucket, true);
    if (in->token_bucket)
        c->limiter.bounded = builder_token_bucket(b, in->token_bucket, &c->limiter.rate);
    descriptors(b, in, c);
    builder_own_rate_limits(b, &c->arena, in->rate_limits, in->n_rate_limits, &c->rate_limits);
    struct builder_finish finish;
    builder_finish_init(&finish, b, &in->base);
    rate_limits_finish(&c->rate_limits, &c->arena, "rate_limits", &finish.errors);
}

/* NULL after an error. */
static struct local_limit_config *config(struct builder *b, const filter_message *in)
{
    uint32_t before = b->diag->errors_total;
    struct local_limit_config *c = local_limit_config_create(slice_str(in->stat_prefix));
    if (!c) {
        builder_error(b, in, NULL, "out of memory");
        return NULL;
    }
    limiter(b, in, c);
    mutation(b, c, in, "request_headers_to_add_when_not_enforced",
             in->request_headers_to_add_when_not_enforced, in->n_request_headers_to_add_when_not_enforced,
             &c->request_headers);
    mutation(b, c, in, "response_headers_to_add", in->response_headers_to_add, in->n_response_headers_to_add,
             &c->response_headers);
    c->enabled = share(b, in->filter_enabled);
    c->enforced = share(b, in->filter_enforced);
    c->vhost = (enum local_limit_vhost)in->vh_rate_limits;
    c->stage = in->stage;
    c->status = in->status && (unsigned)in->status->code >= 400 ? (uint16_t)in->status->code : STATUS_DEFAULT;
    c->grpc_status = in->rate_limited_as_resource_exhausted ? GRPC_EXHAUSTED : -1;
    c->tells_clients =
        in->enable_x_ratelimit_headers ==
        ENVOY__EXTENSIONS__COMMON__RATELIMIT__V3__XRATE_LIMIT_HEADERS_RFCVERSION__DRAFT_VERSION_03;
    if (b->diag->errors_total == before &&
        !local_limit_config_finish(c, in->local_rate_limit_per_downstream_connection))
        builder_error(b, in, NULL, "out of memory");
    if (b->diag->errors_total == before)
        return c;
    local_limit_config_destroy(c);
    return NULL;
}

bool builder_local_limit_filter(struct builder *b, const ProtobufCMessage *in, struct filter_config *out)
{
    out->ops = &local_limit_filter_ops;
    out->config = config(b, (const filter_message *)in);
    out->destroy = local_limit_config_destroy;
    return out->config != NULL;
}

bool builder_local_limit_route(struct builder *b, const ProtobufCMessage *msg, struct filter_override *o)
{
    const filter_message *in = (const filter_message *)msg;
    if (!builder_is_local_limit(msg))
        return false;
    if (!builder_filter_is(b, o->filter_name, builder_is_local_limit))
        builder_error(b, in, NULL, "the filter \"%.*s\" limits no requests", SLICE_ARG(o->filter_name));
    else if (!in->token_bucket)
        builder_error(b, in, "token_bucket", "must be set for a route, a virtual host or a table");
    else
        o->config = config(b, in);
    o->destroy = local_limit_config_destroy;
    return true;
}
