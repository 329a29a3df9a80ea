/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters of access control for requests and for connections, and what routes say to the former.
 */
#include "config/builder.h"

#include "filters/rbac/rbac_filter.h"
#include "filters/rbac/rbac_network.h"

#include <envoy/extensions/filters/http/rbac/v3/rbac.pb-c.h>
#include <envoy/extensions/filters/network/rbac/v3/rbac.pb-c.h>
#include <stdlib.h>

typedef Envoy__Extensions__Filters__Http__Rbac__V3__RBAC filter_message;
typedef Envoy__Extensions__Filters__Http__Rbac__V3__RBACPerRoute route_message;
typedef Envoy__Extensions__Filters__Network__Rbac__V3__RBAC network_message;

bool builder_is_rbac(const ProtobufCMessage *config)
{
    return config->descriptor == &envoy__extensions__filters__http__rbac__v3__rbac__descriptor;
}

bool builder_is_rbac_network(const ProtobufCMessage *config)
{
    return config->descriptor == &envoy__extensions__filters__network__rbac__v3__rbac__descriptor;
}

/* The names of what one side leaves in dynamic metadata. */
static void keys(struct builder *b, struct arena *arena, const char *prefix, const char *side,
                 struct rbac_side *out)
{
    const char *policy = arena_printf(&b->scratch, "%s%s_effective_policy_id", prefix, side);
    const char *result = arena_printf(&b->scratch, "%s%s_engine_result", prefix, side);
    out->policy_key = builder_text(b, arena, policy ? policy : "");
    out->result_key = builder_text(b, arena, result ? result : "");
}

/* What stands before the names of statistics of one side. ptr NULL: policies are not counted one by one. */
static struct slice stat_prefix(struct builder *b, bool track, struct slice hcm, const char *prefix)
{
    struct slice out = {NULL, 0};
    struct strbuf text;
    strbuf_init(&text, STATS_NAME_MAX);
    strbuf_printf(&text, "http." SLICE_FMT ".rbac.", SLICE_ARG(hcm));
    rbac_append_prefix(&text, slice_str(prefix));
    if (track)
        out = builder_text(b, &b->scratch, strbuf_cstr(&text));
    strbuf_fini(&text);
    return out;
}

static const char *either(const char *first, const char *second)
{
    return first[0] ? first : second;
}

/* `filter` is the message of the filter in the chain, `in` that or a route's own. */
static void pair(struct builder *b, struct arena *arena, struct slice hcm, const filter_message *filter,
                 const filter_message *in, struct rbac_pair *out)
{
    bool track = in->track_per_rule_stats;
    const struct rbac_rules_place enforced = {
        .arena = arena,
        .stat_prefix = stat_prefix(b, track, hcm, filter->rules_stat_prefix),
        .stat_name = "",
    };
    const struct rbac_rules_place shadow = {
        .arena = arena,
        .stat_prefix = stat_prefix(b, track, hcm, filter->shadow_rules_stat_prefix),
        .stat_name = "shadow_",
    };
    keys(b, arena, either(in->rules_stat_prefix, filter->rules_stat_prefix), "enforced", &out->enforced);
    keys(b, arena, either(in->shadow_rules_stat_prefix, filter->shadow_rules_stat_prefix), "shadow",
         &out->shadow);
    out->enforced.rules = builder_rbac_rules(b, &enforced, in->rules);
    out->shadow.rules = builder_rbac_rules(b, &shadow, in->shadow_rules);
}

static void destroy_filter(void *engine)
{
    rbac_engine_fini(engine);
    free(engine);
}

bool builder_rbac_filter(struct builder *b, struct slice hcm, const ProtobufCMessage *in,
                         struct filter_config *out)
{
    const filter_message *message = (const filter_message *)in;
    const char *prefix = arena_printf(&b->scratch, "http." SLICE_FMT, SLICE_ARG(hcm));
    struct rbac_engine *engine = calloc(1, sizeof(*engine));
    if (!engine || !prefix) {
        free(engine);
        builder_error(b, message, NULL, "out of memory");
        return false;
    }
    rbac_engine_init(engine, slice_str(prefix), slice_str(message->rules_stat_prefix),
                     slice_str(message->shadow_rules_stat_prefix));
    pair(b, &engine->arena, hcm, message, message, &engine->own);
    out->ops = &rbac_filter_ops;
    out->config = engine;
    out->destroy = destroy_filter;
    return true;
}

bool builder_rbac_route(struct builder *b, struct arena *arena, const ProtobufCMessage *config,
                        struct filter_override *o)
{
    static const filter_message nothing = ENVOY__EXTENSIONS__FILTERS__HTTP__RBAC__V3__RBAC__INIT;
    const route_message *in = (const route_message *)config;
    if (config->descriptor != &envoy__extensions__filters__http__rbac__v3__rbacper_route__descriptor)
        return false;
    const ProtobufCMessage *filter = builder_filter_message(b, o->filter_name);
    if (filter && !builder_is_rbac(filter)) {
        builder_error(b, in, NULL, "the filter \"%.*s\" is no filter of access control",
                      SLICE_ARG(o->filter_name));
        return true;
    }
    struct rbac_pair *p = builder_array(b, arena, 1, sizeof *p);
    if (!p)
        return true;
    /* Without rules it lets everything through. */
    pair(b, arena, b->hcm ? b->hcm->stat_prefix : SLICE_EMPTY,
         filter ? (const filter_message *)filter : &nothing, in->rbac ? in->rbac : &nothing, p);
    o->config = p;
    o->destroy = rbac_pair_fini;
    return true;
}

static void destroy_network(void *network)
{
    rbac_engine_fini(&((struct rbac_network *)network)->engine);
    free(network);
}

bool builder_rbac_network(struct builder *b, const ProtobufCMessage *in, struct network_filter_config *out)
{
    const network_message *message = (const network_message *)in;
    struct rbac_network *n = calloc(1, sizeof(*n));
    if (!n) {
        builder_error(b, message, NULL, "out of memory");
        return false;
    }
    rbac_engine_init(&n->engine, slice_str(message->stat_prefix), SLICE_EMPTY,
                     slice_str(message->shadow_rules_stat_prefix));
    const struct rbac_rules_place at = {.arena = &n->engine.arena, .connection = true};
    struct rbac_pair *own = &n->engine.own;
    keys(b, at.arena, "", "enforced", &own->enforced);
    keys(b, at.arena, message->shadow_rules_stat_prefix, "shadow", &own->shadow);
    own->enforced.rules = builder_rbac_rules(b, &at, message->rules);
    own->shadow.rules = builder_rbac_rules(b, &at, message->shadow_rules);
    n->continuous = message->enforcement_type ==
                    ENVOY__EXTENSIONS__FILTERS__NETWORK__RBAC__V3__RBAC__ENFORCEMENT_TYPE__CONTINUOUS;
    n->delay_ms = builder_ms(message->delay_deny, 0);
    *out = (struct network_filter_config){.ops = &rbac_network_ops,
                                          .config = n,
                                          .name = slice_str(rbac_network_ops.name),
                                          .destroy = destroy_network};
    return true;
}
