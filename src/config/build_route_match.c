/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RouteMatch to route_match: which requests a route takes. Patterns and templates are compiled by
 * route_table_finish.
 */
#include "config/builder.h"

#include <envoy/extensions/path/match/uri_template/v3/uri_template_match.pb-c.h>
#include <envoy/extensions/path/rewrite/uri_template/v3/uri_template_rewrite.pb-c.h>
#include <envoy/type/matcher/v3/filter_state.pb-c.h>
#include <envoy/type/matcher/v3/metadata.pb-c.h>
#include <envoy/type/matcher/v3/value.pb-c.h>

typedef Envoy__Config__Route__V3__RouteMatch match_message;
typedef Envoy__Config__Core__V3__TypedExtensionConfig typed_message;
typedef Envoy__Type__Matcher__V3__ValueMatcher value_message;

#define VALUE_CASE(name) ENVOY__TYPE__MATCHER__V3__VALUE_MATCHER__MATCH_PATTERN_##name

/* The message of that type in an extension; reports another one. NULL for NULL too. */
static const void *inside(struct builder *b, const typed_message *in, const ProtobufCMessageDescriptor *type)
{
    const ProtobufCMessage *msg = in ? builder_typed(b, in, "which extension this is") : NULL;
    if (msg && msg->descriptor != type)
        builder_error(b, in, "typed_config", "must hold a %s here", type->name);
    return msg && msg->descriptor == type ? msg : NULL;
}

struct slice builder_template_rewrite(struct builder *b, struct arena *arena,
                                      const Envoy__Config__Route__V3__RouteAction *in)
{
    const Envoy__Extensions__Path__Rewrite__UriTemplate__V3__UriTemplateRewriteConfig *config =
        inside(b, in->path_rewrite_policy,
               &envoy__extensions__path__rewrite__uri_template__v3__uri_template_rewrite_config__descriptor);
    return config ? builder_text(b, arena, config->path_template_rewrite) : SLICE_EMPTY;
}

struct slice builder_template(struct builder *b, struct arena *arena,
                              const Envoy__Config__Core__V3__TypedExtensionConfig *in)
{
    const Envoy__Extensions__Path__Match__UriTemplate__V3__UriTemplateMatchConfig *config = inside(
        b, in, &envoy__extensions__path__match__uri_template__v3__uri_template_match_config__descriptor);
    return builder_text(b, arena, config ? config->path_template : "/");
}

static void path(struct builder *b, struct arena *arena, const match_message *in, struct route_match *out)
{
    switch (in->path_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX:
        out->kind = PATH_MATCH_PREFIX;
        out->path = builder_text(b, arena, in->prefix);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH:
        out->kind = PATH_MATCH_EXACT;
        out->path = builder_text(b, arena, in->path);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_SAFE_REGEX:
        out->kind = PATH_MATCH_REGEX;
        out->path = builder_text(b, arena, in->safe_regex->regex);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH_SEPARATED_PREFIX:
        out->kind = PATH_MATCH_SEPARATED_PREFIX;
        out->path = builder_text(b, arena, in->path_separated_prefix);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH_MATCH_POLICY:
        out->kind = PATH_MATCH_TEMPLATE;
        out->path = builder_template(b, arena, in->path_match_policy);
        break;
    default: /* the API requires one: connect_matcher, or it was reported already */
        out->kind = PATH_MATCH_CONNECT;
        break;
    }
}

/* --- what is known beside the headers --- */

static void values(struct builder *b, struct arena *arena, value_message *const *in, size_t count,
                   struct value_matcher *out)
{
    out->items = builder_array(b, arena, count, sizeof *out->items);
    out->items_count = out->items ? (uint32_t)count : 0;
    for (uint32_t i = 0; i < out->items_count; i++)
        builder_value_matcher(b, arena, in[i], &out->items[i]);
}

static void number(const Envoy__Type__Matcher__V3__DoubleMatcher *in, struct value_matcher *out)
{
    bool range = in->match_pattern_case == ENVOY__TYPE__MATCHER__V3__DOUBLE_MATCHER__MATCH_PATTERN_RANGE;
    out->kind = range ? VALUE_MATCH_RANGE : VALUE_MATCH_DOUBLE;
    out->start = range ? in->range->start : in->exact;
    out->end = range ? in->range->end : 0;
}

void builder_value_matcher(struct builder *b, struct arena *arena, const value_message *in,
                           struct value_matcher *out)
{
    switch (in->match_pattern_case) {
    case VALUE_CASE(DOUBLE_MATCH):
        number(in->double_match, out);
        break;
    case VALUE_CASE(STRING_MATCH):
        out->kind = VALUE_MATCH_STRING;
        builder_string_matcher(b, arena, in->string_match, &out->string);
        break;
    case VALUE_CASE(BOOL_MATCH):
        out->kind = VALUE_MATCH_BOOL;
        out->boolean = in->bool_match;
        break;
    case VALUE_CASE(PRESENT_MATCH):
        out->kind = VALUE_MATCH_PRESENT;
        out->boolean = in->present_match;
        break;
    case VALUE_CASE(LIST_MATCH):
        out->kind = VALUE_MATCH_LIST;
        if (in->list_match->one_of)
            values(b, arena, &in->list_match->one_of, 1, out);
        break;
    case VALUE_CASE(OR_MATCH):
        out->kind = VALUE_MATCH_OR;
        values(b, arena, in->or_match->value_matchers, in->or_match->n_value_matchers, out);
        break;
    default: /* the API requires one: null_match, or it was reported already */
        out->kind = VALUE_MATCH_NULL;
        break;
    }
}

void builder_metadata_matcher(struct builder *b, struct arena *arena,
                              const Envoy__Type__Matcher__V3__MetadataMatcher *in,
                              struct metadata_matcher *out)
{
    out->space = builder_text(b, arena, in->filter);
    out->invert = in->invert;
    out->path = builder_array(b, arena, in->n_path, sizeof *out->path);
    out->path_count = out->path ? (uint32_t)in->n_path : 0;
    for (uint32_t i = 0; i < out->path_count; i++)
        out->path[i] = builder_text(b, arena, in->path[i]->key);
    if (in->value)
        builder_value_matcher(b, arena, in->value, &out->value);
}

void builder_filter_state_matcher(struct builder *b, struct arena *arena,
                                  const Envoy__Type__Matcher__V3__FilterStateMatcher *in,
                                  struct filter_state_matcher *out)
{
    out->key = builder_text(b, arena, in->key);
    if (in->string_match)
        builder_string_matcher(b, arena, in->string_match, &out->string);
}

static enum tls_expectation expectation(const Google__Protobuf__BoolValue *v)
{
    return !v ? TLS_EXPECT_ANY : v->value ? TLS_EXPECT_YES : TLS_EXPECT_NO;
}

static void state(struct builder *b, struct arena *arena, const match_message *in, struct route_match *out)
{
    if (!in->tls_context && in->n_dynamic_metadata == 0 && in->n_filter_state == 0)
        return;
    struct state_matcher *s = out->state = builder_array(b, arena, 1, sizeof *s);
    if (!s)
        return;
    if (in->tls_context) {
        s->presented = expectation(in->tls_context->presented);
        s->validated = expectation(in->tls_context->validated);
    }
    s->metadata = builder_array(b, arena, in->n_dynamic_metadata, sizeof *s->metadata);
    s->metadata_count = s->metadata ? (uint32_t)in->n_dynamic_metadata : 0;
    for (uint32_t i = 0; i < s->metadata_count; i++)
        builder_metadata_matcher(b, arena, in->dynamic_metadata[i], &s->metadata[i]);
    s->filter_state = builder_array(b, arena, in->n_filter_state, sizeof *s->filter_state);
    s->filter_state_count = s->filter_state ? (uint32_t)in->n_filter_state : 0;
    for (uint32_t i = 0; i < s->filter_state_count; i++)
        builder_filter_state_matcher(b, arena, in->filter_state[i], &s->filter_state[i]);
}

void builder_route_match(struct builder *b, struct arena *arena, const match_message *in,
                         struct route_match *out)
{
    route_match_init(out);
    path(b, arena, in, out);
    out->case_sensitive = builder_bool(in->case_sensitive, true);
    out->grpc = in->grpc != NULL;
    if (in->runtime_fraction)
        builder_runtime_fraction(b, in->runtime_fraction, &out->fraction_numerator,
                                 &out->fraction_denominator);
    out->headers = builder_header_matchers(b, arena, in->headers, in->n_headers, &out->headers_count);
    out->query = builder_array(b, arena, in->n_query_parameters, sizeof *out->query);
    out->query_count = out->query ? (uint32_t)in->n_query_parameters : 0;
    for (size_t i = 0; i < out->query_count; i++)
        builder_query_matcher(b, arena, in->query_parameters[i], &out->query[i]);
    out->cookies = builder_array(b, arena, in->n_cookies, sizeof *out->cookies);
    out->cookies_count = out->cookies ? (uint32_t)in->n_cookies : 0;
    for (size_t i = 0; i < out->cookies_count; i++) {
        out->cookies[i].name = builder_text(b, arena, in->cookies[i]->name);
        out->cookies[i].invert = in->cookies[i]->invert_match;
        if (in->cookies[i]->string_match)
            builder_string_matcher(b, arena, in->cookies[i]->string_match, &out->cookies[i].string);
    }
    state(b, arena, in, out);
}
