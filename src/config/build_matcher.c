/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees of the matching API. Every part is checked where it stands: an input that is not known there, a range
 * or a domain that is none, an expression that does not compile. Calls itself for what stands inside, to a
 * fixed depth.
 */
#include "config/build_matcher.h"

#include "base/assert.h"

#include <envoy/extensions/matching/common_inputs/environment_variable/v3/input.pb-c.h>
#include <envoy/extensions/matching/common_inputs/network/v3/network_inputs.pb-c.h>
#include <envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs.pb-c.h>
#include <envoy/extensions/matching/input_matchers/consistent_hashing/v3/consistent_hashing.pb-c.h>
#include <envoy/extensions/matching/input_matchers/ip/v3/ip.pb-c.h>
#include <envoy/extensions/matching/input_matchers/metadata/v3/metadata.pb-c.h>
#include <envoy/extensions/matching/input_matchers/runtime_fraction/v3/runtime_fraction.pb-c.h>
#include <envoy/type/matcher/v3/http_inputs.pb-c.h>
#include <xds/type/matcher/v3/domain.pb-c.h>
#include <xds/type/matcher/v3/ip.pb-c.h>

#define NETWORK(name)        envoy__extensions__matching__common_inputs__network__v3__##name##__descriptor
#define CERTIFICATE(name)    envoy__extensions__matching__common_inputs__ssl__v3__##name##__descriptor
#define PREDICATE_CASE(name) XDS__TYPE__MATCHER__V3__MATCHER__MATCHER_LIST__PREDICATE__MATCH_TYPE_##name

typedef Xds__Type__Matcher__V3__Matcher matcher_message;
typedef Xds__Type__Matcher__V3__Matcher__OnMatch outcome_message;
typedef Xds__Type__Matcher__V3__Matcher__MatcherList list_message;
typedef Xds__Type__Matcher__V3__Matcher__MatcherList__Predicate predicate_message;
typedef Xds__Type__Matcher__V3__Matcher__MatcherList__Predicate__SinglePredicate single_message;
typedef Xds__Type__Matcher__V3__Matcher__MatcherTree tree_message;
typedef Xds__Type__Matcher__V3__Matcher__MatcherTree__MatchMap map_message;
typedef Xds__Type__Matcher__V3__IPMatcher ip_tree_message;
typedef Xds__Type__Matcher__V3__ServerNameMatcher name_tree_message;
typedef Xds__Core__V3__TypedExtensionConfig typed_message;

struct tree_builder {
    struct builder *b;
    struct arena *arena;
    const struct matcher_use *use;
    struct match_tree *tree;
    unsigned depth;
};

static bool enter(struct tree_builder *t, const ProtobufCMessage *at)
{
    if (t->depth == MATCH_DEPTH_MAX) {
        config_error_at(t->b->doc, t->b->diag, at, NULL, -1, "stands too deep: at most %u inside each other",
                        MATCH_DEPTH_MAX);
        return false;
    }
    t->depth++;
    return true;
}

/* --- inputs --- */

static const struct input_row {
    const ProtobufCMessageDescriptor *type;
    enum match_input_kind kind;
} input_rows[] = {
    {&NETWORK(destination_ipinput), MATCH_INPUT_DESTINATION_IP},
    {&NETWORK(destination_port_input), MATCH_INPUT_DESTINATION_PORT},
    {&NETWORK(source_ipinput), MATCH_INPUT_SOURCE_IP},
    {&NETWORK(source_port_input), MATCH_INPUT_SOURCE_PORT},
    {&NETWORK(direct_source_ipinput), MATCH_INPUT_DIRECT_SOURCE_IP},
    {&NETWORK(source_type_input), MATCH_INPUT_SOURCE_TYPE},
    {&NETWORK(server_name_input), MATCH_INPUT_SERVER_NAME},
    {&NETWORK(transport_protocol_input), MATCH_INPUT_TRANSPORT_PROTOCOL},
    {&NETWORK(application_protocol_input), MATCH_INPUT_APPLICATION_PROTOCOL},
    {&NETWORK(filter_state_input), MATCH_INPUT_FILTER_STATE},
    {&NETWORK(dynamic_metadata_input), MATCH_INPUT_METADATA},
    {&CERTIFICATE(uri_san_input), MATCH_INPUT_URI_SAN},
    {&CERTIFICATE(dns_san_input), MATCH_INPUT_DNS_SAN},
    {&CERTIFICATE(subject_input), MATCH_INPUT_SUBJECT},
    {&envoy__type__matcher__v3__http_request_header_match_input__descriptor, MATCH_INPUT_HEADER},
    {&envoy__type__matcher__v3__http_request_query_param_match_input__descriptor, MATCH_INPUT_QUERY_PARAM},
    {&envoy__extensions__matching__common_inputs__environment_variable__v3__config__descriptor,
     MATCH_INPUT_CONSTANT},
};

static struct slice text(struct tree_builder *t, const char *s)
{
    return builder_text(t->b, t->arena, s);
}

static struct slice header_name(struct tree_builder *t, const char *name)
{
    struct slice out = text(t, name);
    for (size_t i = 0; i < out.len; i++) /* the copy is ours */
        ((char *)(uintptr_t)out.ptr)[i] = ascii_lower(out.ptr[i]);
    return slice_eq(out, SLICE_LIT("host")) ? header_id_name(HDR_AUTHORITY) : out;
}

static void
metadata_input(struct tree_builder *t,
               const Envoy__Extensions__Matching__CommonInputs__Network__V3__DynamicMetadataInput *in,
               struct match_input *out)
{
    out->name = text(t, in->filter);
    out->path = builder_array(t->b, t->arena, in->n_path, sizeof *out->path);
    out->path_count = out->path ? (uint32_t)in->n_path : 0;
    for (uint32_t i = 0; i < out->path_count; i++)
        out->path[i] = text(t, in->path[i]->key);
}

/* As it is now. */
static struct slice environment(struct tree_builder *t, const char *name)
{
    const char *value = getenv(name);
    return value ? text(t, value) : SLICE_EMPTY;
}

static void input_names(struct tree_builder *t, const ProtobufCMessage *config, struct match_input *out)
{
    switch (out->kind) {
    case MATCH_INPUT_FILTER_STATE:
        out->name = text(
            t,
            ((const Envoy__Extensions__Matching__CommonInputs__Network__V3__FilterStateInput *)config)->key);
        return;
    case MATCH_INPUT_METADATA:
        metadata_input(t, (const void *)config, out);
        return;
    case MATCH_INPUT_HEADER:
        out->name = header_name(
            t, ((const Envoy__Type__Matcher__V3__HttpRequestHeaderMatchInput *)config)->header_name);
        return;
    case MATCH_INPUT_QUERY_PARAM:
        out->name =
            text(t, ((const Envoy__Type__Matcher__V3__HttpRequestQueryParamMatchInput *)config)->query_param);
        return;
    case MATCH_INPUT_CONSTANT:
        out->name = environment(
            t, ((const Envoy__Extensions__Matching__CommonInputs__EnvironmentVariable__V3__Config *)config)
                   ->name);
        return;
    default:
        return;
    }
}

/* NULL: the API requires one, and it was reported. */
static void input(struct tree_builder *t, const typed_message *in, struct match_input *out)
{
    out->kind = MATCH_INPUT_CONSTANT;
    const ProtobufCMessage *config = in ? builder_typed(t->b, in, "what is looked at") : NULL;
    if (!config)
        return;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(input_rows); i++) {
        if (input_rows[i].type != config->descriptor || !(t->use->inputs >> input_rows[i].kind & 1))
            continue;
        out->kind = input_rows[i].kind;
        input_names(t, config, out);
        return;
    }
    builder_error(t->b, in, "typed_config", "%s cannot be looked at %s", config->descriptor->name,
                  t->use->where);
}

/* --- predicates --- */

/* For what a matcher's finish step reports about `root`. */
#define FINISH(t, root, finish)                                                                              \
    do {                                                                                                     \
        struct builder_finish f;                                                                             \
        builder_finish_init(&f, (t)->b, &(root)->base);                                                      \
        finish;                                                                                              \
    } while (0)

static void ranges(struct tree_builder *t, const Envoy__Extensions__Matching__InputMatchers__Ip__V3__Ip *in,
                   struct match_predicate *out)
{
    out->kind = MATCH_RANGES;
    out->ranges = builder_cidrs(t->b, t->arena, &in->base, "cidr_ranges", in->cidr_ranges, in->n_cidr_ranges);
    out->ranges_count = out->ranges ? (uint32_t)in->n_cidr_ranges : 0;
    out->unparsed = stat_counter("%s.ip_parsing_failed", in->stat_prefix);
}

static void
fraction(struct tree_builder *t,
         const Envoy__Extensions__Matching__InputMatchers__RuntimeFraction__V3__RuntimeFraction *in,
         struct match_predicate *out)
{
    uint32_t numerator = 0, denominator = 0;
    builder_runtime_fraction(t->b, in->runtime_fraction, &numerator, &denominator);
    out->kind = MATCH_FRACTION;
    out->seed = in->seed;
    out->threshold = numerator;
    out->modulo = denominator ? denominator : 1;
}

static void
hashing(struct tree_builder *t,
        const Envoy__Extensions__Matching__InputMatchers__ConsistentHashing__V3__ConsistentHashing *in,
        struct match_predicate *out)
{
    out->kind = MATCH_HASH;
    out->seed = in->seed;
    out->threshold = in->threshold;
    out->modulo = in->modulo ? in->modulo : 1; /* the API requires one */
    if (in->modulo && in->threshold > in->modulo)
        builder_error(t->b, in, "threshold", "threshold cannot be greater than modulo: %u > %u",
                      in->threshold, in->modulo);
}

static void metadata(struct tree_builder *t,
                     const Envoy__Extensions__Matching__InputMatchers__Metadata__V3__Metadata *in,
                     struct match_predicate *out)
{
    out->kind = MATCH_METADATA;
    out->invert = in->invert;
    if (!in->value)
        return;
    builder_value_matcher(t->b, t->arena, in->value, &out->value);
    FINISH(t, in->value, value_matcher_finish(&out->value, "", &f.errors));
}

static void custom_predicate(struct tree_builder *t, const typed_message *in, struct match_predicate *out)
{
    const ProtobufCMessage *config = builder_typed(t->b, in, "how it is compared");
    if (!config)
        return;
    const void *inside = config;
    if (config->descriptor == &envoy__extensions__matching__input_matchers__ip__v3__ip__descriptor)
        ranges(t, inside, out);
    else if (config->descriptor ==
             &envoy__extensions__matching__input_matchers__runtime_fraction__v3__runtime_fraction__descriptor)
        fraction(t, inside, out);
    else if (
        config->descriptor ==
        &envoy__extensions__matching__input_matchers__consistent_hashing__v3__consistent_hashing__descriptor)
        hashing(t, inside, out);
    else if (config->descriptor ==
             &envoy__extensions__matching__input_matchers__metadata__v3__metadata__descriptor)
        metadata(t, inside, out);
    else
        builder_error(t->b, in, "typed_config", "%s compares nothing; write value_match",
                      config->descriptor->name);
}

static void single(struct tree_builder *t, const single_message *in, struct match_predicate *out)
{
    out->kind = MATCH_STRING;
    input(t, in->input, &out->input);
    match_tree_own(t->tree, out);
    switch (in->matcher_case) {
    case XDS__TYPE__MATCHER__V3__MATCHER__MATCHER_LIST__PREDICATE__SINGLE_PREDICATE__MATCHER_VALUE_MATCH:
        builder_xds_string_matcher(t->b, t->arena, in->value_match, &out->string);
        FINISH(t, in->value_match, string_matcher_finish(&out->string, "", &f.errors));
        return;
    case XDS__TYPE__MATCHER__V3__MATCHER__MATCHER_LIST__PREDICATE__SINGLE_PREDICATE__MATCHER_CUSTOM_MATCH:
        custom_predicate(t, in->custom_match, out);
        return;
    default:
        return; /* the API requires one: reported already */
    }
}

static void predicate(struct tree_builder *t, const predicate_message *in, struct match_predicate *out);

static void predicates(struct tree_builder *t, enum match_predicate_kind kind, predicate_message *const *in,
                       size_t count, struct match_predicate *out)
{
    out->kind = kind;
    out->children = builder_array(t->b, t->arena, count, sizeof *out->children);
    out->children_count = out->children ? (uint32_t)count : 0;
    for (uint32_t i = 0; i < out->children_count; i++)
        predicate(t, in[i], &out->children[i]);
}

/* After an error it is an OR of nothing. */
static void predicate(struct tree_builder *t, const predicate_message *in, struct match_predicate *out)
{
    if (!in || !enter(t, &in->base))
        return;
    switch (in->match_type_case) {
    case PREDICATE_CASE(SINGLE_PREDICATE):
        single(t, in->single_predicate, out);
        break;
    case PREDICATE_CASE(OR_MATCHER):
        predicates(t, MATCH_OR, in->or_matcher->predicate, in->or_matcher->n_predicate, out);
        break;
    case PREDICATE_CASE(AND_MATCHER):
        predicates(t, MATCH_AND, in->and_matcher->predicate, in->and_matcher->n_predicate, out);
        break;
    case PREDICATE_CASE(NOT_MATCHER):
        predicates(t, MATCH_NOT, &in->not_matcher, 1, out);
        break;
    default:
        break; /* the API requires one: reported already */
    }
    t->depth--;
}

/* --- outcomes --- */

static const struct match_node *node(struct tree_builder *t, const matcher_message *in);

static void outcome(struct tree_builder *t, const outcome_message *in, struct match_outcome *out)
{
    if (!in)
        return;
    out->keep_matching = in->keep_matching;
    if (in->keep_matching && t->use->decides_alone)
        builder_error(t->b, in, "keep_matching", "is not supported in this context: one route is looked for");
    if (in->on_match_case == XDS__TYPE__MATCHER__V3__MATCHER__ON_MATCH__ON_MATCH_MATCHER)
        out->node = node(t, in->matcher);
    if (in->on_match_case != XDS__TYPE__MATCHER__V3__MATCHER__ON_MATCH__ON_MATCH_ACTION)
        return;
    const ProtobufCMessage *config = builder_typed(t->b, in->action, "what is done");
    if (config)
        out->action = t->use->action(t->use->arg, in->action, config);
}

/* Where the API requires none and Envoy ends. */
static struct match_outcome *needed_outcome(struct tree_builder *t, const ProtobufCMessage *owner,
                                            const outcome_message *in)
{
    struct match_outcome *out = builder_array(t->b, t->arena, 1, sizeof *out);
    if (!in)
        config_error_at(t->b->doc, t->b->diag, owner, "on_match", -1, "is required; set it");
    if (out)
        outcome(t, in, out);
    return out;
}

/* --- nodes --- */

static void list(struct tree_builder *t, const list_message *in, struct match_node *out)
{
    out->kind = MATCH_NODE_LIST;
    out->rules = builder_array(t->b, t->arena, in->n_matchers, sizeof *out->rules);
    out->rules_count = out->rules ? (uint32_t)in->n_matchers : 0;
    for (uint32_t i = 0; i < out->rules_count; i++) {
        predicate(t, in->matchers[i]->predicate, &out->rules[i].predicate);
        outcome(t, in->matchers[i]->on_match, &out->rules[i].outcome);
    }
}

/* Room for so many keys; index->count is how many were put. */
static bool index_room(struct tree_builder *t, struct match_node *out, enum match_node_kind kind,
                       size_t count)
{
    out->kind = kind;
    out->index.entries = builder_array(t->b, t->arena, count, sizeof *out->index.entries);
    return out->index.entries != NULL;
}

static void put_key(struct match_index *index, struct slice key, uint32_t bits,
                    const struct match_outcome *outcome)
{
    index->entries[index->count] =
        (struct match_entry){.key = key, .bits = bits, .order = index->count, .outcome = outcome};
    index->count++;
}

static void keys(struct tree_builder *t, const map_message *in, bool whole, struct match_node *out)
{
    struct match_outcome *outcomes = builder_array(t->b, t->arena, in->n_map, sizeof *outcomes);
    if (!outcomes || !index_room(t, out, MATCH_NODE_TEXT, in->n_map))
        return;
    for (size_t i = 0; i < in->n_map; i++) {
        struct slice key = text(t, in->map[i]->key);
        outcome(t, in->map[i]->value, &outcomes[i]);
        put_key(&out->index, key, (uint32_t)key.len * 8, &outcomes[i]);
        out->index.entries[i].whole = whole;
    }
    match_index_build(&out->index);
}

static void put_range(struct tree_builder *t, const Xds__Core__V3__CidrRange *in, bool exclusive,
                      const struct match_outcome *outcome, struct match_index *index)
{
    struct cidr range;
    uint8_t bytes[MATCH_IP_BYTES];
    uint32_t bits = builder_u32(in->prefix_len, 0);
    if (!cidr_init(&range, slice_str(in->address_prefix), bits)) {
        builder_error(t->b, in, "address_prefix", "\"%s/%u\" is no range of IP addresses", in->address_prefix,
                      bits);
        return;
    }
    struct slice key = match_ip_key(&range.base, bytes);
    put_key(index, builder_bytes(t->b, t->arena, key.ptr, key.len), match_ip_bits(&range), outcome);
    index->entries[index->count - 1].exclusive = exclusive;
}

static void ip_tree(struct tree_builder *t, const ip_tree_message *in, struct match_node *out)
{
    size_t count = 0;
    for (size_t i = 0; i < in->n_range_matchers; i++)
        count += in->range_matchers[i]->n_ranges;
    if (!index_room(t, out, MATCH_NODE_IP, count))
        return;
    for (size_t i = 0; i < in->n_range_matchers; i++) {
        const Xds__Type__Matcher__V3__IPMatcher__IPRangeMatcher *m = in->range_matchers[i];
        const struct match_outcome *to = needed_outcome(t, &m->base, m->on_match);
        for (size_t j = 0; to && j < m->n_ranges; j++)
            put_range(t, m->ranges[j], m->exclusive, to, &out->index);
        out->shared = out->shared || (m->n_ranges > 1 && to && to->node);
    }
    match_index_build(&out->index);
}

/* What is wrong with a domain, or NULL. */
static const char *domain_error(struct slice domain)
{
    struct slice bare = slice_starts_with(domain, SLICE_LIT("*.")) ? slice_skip(domain, 2) : domain;
    if (domain.len == 0)
        return "is empty";
    if (slice_eq(domain, SLICE_LIT("*")))
        return NULL;
    if (bare.len == 0 || slice_find_char(bare, '*') >= 0)
        return "is no domain: only \"*\" and \"*.\" at the beginning stand for others";
    return NULL;
}

static void domains(struct tree_builder *t,
                    const Xds__Type__Matcher__V3__ServerNameMatcher__DomainMatcher *in, struct map *seen,
                    struct match_node *out)
{
    const struct match_outcome *to = needed_outcome(t, &in->base, in->on_match);
    for (size_t i = 0; to && i < in->n_domains; i++) {
        struct slice domain = text(t, in->domains[i]);
        const char *wrong = domain_error(domain);
        if (!wrong && map_has(seen, domain))
            wrong = "is given twice; remove one";
        if (!wrong && !map_put(seen, domain, t))
            wrong = "out of memory";
        if (wrong) {
            builder_error_item(t->b, in, "domains", i, "\"%s\" %s", in->domains[i], wrong);
            continue;
        }
        bool below = domain.ptr[0] == '*';
        struct slice key = below ? slice_skip(domain, 1) : domain; /* ".example.com", or "" */
        put_key(&out->index, key, (uint32_t)key.len * 8, to);
        out->index.entries[out->index.count - 1].whole = !below;
    }
    out->shared = out->shared || (in->n_domains > 1 && to && to->node);
}

static void name_tree(struct tree_builder *t, const name_tree_message *in, struct match_node *out)
{
    size_t count = 0;
    for (size_t i = 0; i < in->n_domain_matchers; i++)
        count += in->domain_matchers[i]->n_domains;
    if (!index_room(t, out, MATCH_NODE_NAME, count))
        return;
    struct map seen;
    map_init(&seen);
    for (size_t i = 0; i < in->n_domain_matchers; i++)
        domains(t, in->domain_matchers[i], &seen, out);
    map_fini(&seen);
    out->index.backwards = true;
    match_index_build(&out->index);
}

static void custom_tree(struct tree_builder *t, const typed_message *in, struct match_node *out)
{
    const ProtobufCMessage *config = builder_typed(t->b, in, "how keys are found");
    if (!config)
        return;
    if (config->descriptor == &xds__type__matcher__v3__ipmatcher__descriptor)
        ip_tree(t, (const ip_tree_message *)config, out);
    else if (config->descriptor == &xds__type__matcher__v3__server_name_matcher__descriptor)
        name_tree(t, (const name_tree_message *)config, out);
    else
        builder_error(t->b, in, "typed_config", "must hold an IPMatcher or a ServerNameMatcher, found %s",
                      config->descriptor->name);
}

static void keyed(struct tree_builder *t, const tree_message *in, struct match_node *out)
{
    input(t, in->input, &out->input);
    switch (in->tree_type_case) {
    case XDS__TYPE__MATCHER__V3__MATCHER__MATCHER_TREE__TREE_TYPE_EXACT_MATCH_MAP:
        keys(t, in->exact_match_map, true, out);
        return;
    case XDS__TYPE__MATCHER__V3__MATCHER__MATCHER_TREE__TREE_TYPE_PREFIX_MATCH_MAP:
        keys(t, in->prefix_match_map, false, out);
        return;
    case XDS__TYPE__MATCHER__V3__MATCHER__MATCHER_TREE__TREE_TYPE_CUSTOM_MATCH:
        custom_tree(t, in->custom_match, out);
        return;
    default:
        return; /* the API requires one: reported already */
    }
}

/* NULL after an error. */
static const struct match_node *node(struct tree_builder *t, const matcher_message *in)
{
    struct match_node *out = in ? builder_array(t->b, t->arena, 1, sizeof *out) : NULL;
    if (!out || !enter(t, &in->base))
        return NULL;
    if (in->matcher_type_case == XDS__TYPE__MATCHER__V3__MATCHER__MATCHER_TYPE_MATCHER_LIST)
        list(t, in->matcher_list, out);
    else if (in->matcher_type_case == XDS__TYPE__MATCHER__V3__MATCHER__MATCHER_TYPE_MATCHER_TREE)
        keyed(t, in->matcher_tree, out);
    outcome(t, in->on_no_match, &out->no_match);
    t->depth--;
    return out;
}

void builder_match_tree(struct builder *b, struct arena *arena, const matcher_message *in,
                        const struct matcher_use *use, struct match_tree *out)
{
    struct tree_builder t = {b, arena, use, out, 0};
    out->root = node(&t, in);
}
