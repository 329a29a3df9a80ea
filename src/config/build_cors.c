/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CORS filter of a chain, and CorsPolicy messages of routes, virtual hosts and tables.
 */
#include "config/builder.h"

#include "filters/cors/cors.h"

#include <envoy/extensions/filters/http/cors/v3/cors.pb-c.h>
#include <stdlib.h>

typedef Envoy__Extensions__Filters__Http__Cors__V3__CorsPolicy policy_message;

bool builder_is_cors(const ProtobufCMessage *config)
{
    return config->descriptor == &envoy__extensions__filters__http__cors__v3__cors__descriptor;
}

static void free_config(void *config)
{
    free(config);
}

bool builder_cors_filter(struct builder *b, struct slice stat_prefix, const ProtobufCMessage *in,
                         struct filter_config *out)
{
    struct cors_config *config = calloc(1, sizeof(*config));
    if (!config) {
        config_error_at(b->doc, b->diag, in, NULL, -1, "out of memory");
        return false;
    }
    config->origin_valid = stat_counter("http." SLICE_FMT ".cors.origin_valid", SLICE_ARG(stat_prefix));
    config->origin_invalid = stat_counter("http." SLICE_FMT ".cors.origin_invalid", SLICE_ARG(stat_prefix));
    out->ops = &cors_filter_ops;
    out->config = config;
    out->destroy = free_config;
    return true;
}

static enum cors_choice choice(const Google__Protobuf__BoolValue *v)
{
    return !v ? CORS_UNSET : v->value ? CORS_YES : CORS_NO;
}

static void share(struct builder *b, const Envoy__Config__Core__V3__RuntimeFractionalPercent *in,
                  uint32_t unset, struct cors_share *out)
{
    *out = (struct cors_share){unset, 100};
    if (in)
        builder_runtime_fraction(b, in, &out->numerator, &out->denominator);
}

/* A value that goes into a header of the answer. */
static struct slice text(struct builder *b, struct arena *arena, const ProtobufCMessage *owner,
                         const char *field, const char *value)
{
    struct slice out = builder_text(b, arena, value);
    if (!header_value_valid(out))
        config_error_at(b->doc, b->diag, owner, field, -1, "holds a character that no header may have");
    return out;
}

/* `owner` is the message that errors are about: `in`, or the older one that it stands for. */
static struct cors_policy *policy(struct builder *b, struct arena *arena, const policy_message *in,
                                  const ProtobufCMessage *owner)
{
    struct cors_policy *p = builder_array(b, arena, 1, sizeof *p);
    if (!p)
        return NULL;
    p->origins = builder_array(b, arena, in->n_allow_origin_string_match, sizeof *p->origins);
    p->origins_count = p->origins ? (uint32_t)in->n_allow_origin_string_match : 0;
    struct builder_finish finish;
    builder_finish_init(&finish, b, owner);
    for (uint32_t i = 0; i < p->origins_count; i++) {
        char path[BUILD_PATH_BYTES_MAX];
        builder_string_matcher(b, arena, in->allow_origin_string_match[i], &p->origins[i]);
        string_matcher_finish(&p->origins[i], build_path(path, "", "allow_origin_string_match[%u]", i),
                              &finish.errors);
    }
    p->methods = text(b, arena, owner, "allow_methods", in->allow_methods);
    p->headers = text(b, arena, owner, "allow_headers", in->allow_headers);
    p->expose = text(b, arena, owner, "expose_headers", in->expose_headers);
    p->max_age = text(b, arena, owner, "max_age", in->max_age);
    p->credentials = choice(in->allow_credentials);
    p->private_network = choice(in->allow_private_network_access);
    p->forward_not_matching = choice(in->forward_not_matching_preflights);
    share(b, in->filter_enabled, 100, &p->enabled);
    share(b, in->shadow_enabled, 0, &p->shadow);
    return p;
}

bool builder_cors_route(struct builder *b, struct arena *arena, const ProtobufCMessage *config,
                        struct filter_override *o)
{
    if (config->descriptor != &envoy__extensions__filters__http__cors__v3__cors_policy__descriptor)
        return false;
    if (!builder_filter_is(b, o->filter_name, builder_is_cors)) {
        config_error_at(b->doc, b->diag, config, NULL, -1, "the filter \"%.*s\" is no CORS filter",
                        SLICE_ARG(o->filter_name));
        return true;
    }
    o->config = policy(b, arena, (const policy_message *)config, config);
    o->destroy = cors_policy_fini;
    return true;
}

/* The older message as the newer one, which borrows from it. */
static policy_message newer(const Envoy__Config__Route__V3__CorsPolicy *in)
{
    policy_message same = ENVOY__EXTENSIONS__FILTERS__HTTP__CORS__V3__CORS_POLICY__INIT;
    same.n_allow_origin_string_match = in->n_allow_origin_string_match;
    same.allow_origin_string_match = in->allow_origin_string_match;
    same.allow_methods = in->allow_methods;
    same.allow_headers = in->allow_headers;
    same.expose_headers = in->expose_headers;
    same.max_age = in->max_age;
    same.allow_credentials = in->allow_credentials;
    same.allow_private_network_access = in->allow_private_network_access;
    same.forward_not_matching_preflights = in->forward_not_matching_preflights;
    same.shadow_enabled = in->shadow_enabled;
    if (in->enabled_specifier_case == ENVOY__CONFIG__ROUTE__V3__CORS_POLICY__ENABLED_SPECIFIER_FILTER_ENABLED)
        same.filter_enabled = in->filter_enabled;
    return same;
}

bool builder_cors_legacy(struct builder *b, struct arena *arena,
                         const Envoy__Config__Route__V3__CorsPolicy *in, struct filter_overrides *out)
{
    const struct filter_overrides before = *out;
    size_t count = before.count + b->http_filters_count;
    if (!in)
        return false;
    const policy_message same = newer(in);
    out->items = builder_array(b, arena, count, sizeof *out->items);
    if (!out->items) {
        *out = before;
        return true;
    }
    for (uint32_t i = 0; i < before.count; i++)
        out->items[i] = before.items[i];
    for (size_t i = 0; i < b->http_filters_count; i++) {
        const ProtobufCMessage *inside = config_any_message(b->doc, b->http_filters[i]->typed_config);
        if (!inside || !builder_is_cors(inside))
            continue;
        out->items[out->count++] = (struct filter_override){
            .filter_name = builder_text(b, arena, b->http_filters[i]->name),
            .enabled = true,
            .config = policy(b, arena, &same, &in->base),
            .destroy = cors_policy_fini,
        };
    }
    return true;
}
