/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RateLimit messages, of routes, virtual hosts and filters, and token buckets.
 */
#include "config/builder.h"

#include "base/token_bucket.h"
#include "proxy/routing/rate_limit.h"

#include <envoy/type/metadata/v3/metadata.pb-c.h>

typedef Envoy__Config__Route__V3__RateLimit limit_message;
typedef Envoy__Config__Route__V3__RateLimit__Action action_message;

/* Envoy's, from when a timer filled the bucket. */
#define TOKEN_FILL_MS_MIN 50u

#define ACTION(name) ENVOY__CONFIG__ROUTE__V3__RATE_LIMIT__ACTION__ACTION_SPECIFIER_##name

static struct slice text_or(struct builder *b, struct arena *arena, const char *text, const char *otherwise)
{
    return builder_text(b, arena, text[0] ? text : otherwise);
}

static void metadata(struct builder *b, struct arena *arena,
                     const Envoy__Config__Route__V3__RateLimit__Action__MetaData *in,
                     struct rate_limit_action *out)
{
    out->kind = RATE_LIMIT_METADATA;
    out->key = builder_text(b, arena, in->descriptor_key);
    out->value = builder_text(b, arena, in->default_value);
    out->skip_if_absent = in->skip_if_absent;
    out->of_route =
        in->source == ENVOY__CONFIG__ROUTE__V3__RATE_LIMIT__ACTION__META_DATA__SOURCE__ROUTE_ENTRY;
    if (!in->metadata_key)
        return; /* the API requires one: reported already */
    out->name = builder_text(b, arena, in->metadata_key->key);
    struct slice *path = builder_array(b, arena, in->metadata_key->n_path, sizeof *path);
    out->path = path;
    out->path_count = path ? (uint32_t)in->metadata_key->n_path : 0;
    for (uint32_t i = 0; i < out->path_count; i++)
        path[i] = builder_text(b, arena, in->metadata_key->path[i]->key);
}

static void headers_match(struct builder *b, struct arena *arena,
                          const Envoy__Config__Route__V3__RateLimit__Action__HeaderValueMatch *in,
                          struct rate_limit_action *out)
{
    out->kind = RATE_LIMIT_HEADERS_MATCH;
    out->key = text_or(b, arena, in->descriptor_key, "header_match");
    out->value = builder_text(b, arena, in->descriptor_value);
    out->expect_match = builder_bool(in->expect_match, true);
    out->headers = builder_header_matchers(b, arena, in->headers, in->n_headers, &out->headers_count);
}

static void query_match(struct builder *b, struct arena *arena,
                        const Envoy__Config__Route__V3__RateLimit__Action__QueryParameterValueMatch *in,
                        struct rate_limit_action *out)
{
    out->kind = RATE_LIMIT_QUERY_MATCH;
    out->key = text_or(b, arena, in->descriptor_key, "query_match");
    out->value = builder_text(b, arena, in->descriptor_value);
    out->expect_match = builder_bool(in->expect_match, true);
    out->query = builder_array(b, arena, in->n_query_parameters, sizeof *out->query);
    out->query_count = out->query ? (uint32_t)in->n_query_parameters : 0;
    for (uint32_t i = 0; i < out->query_count; i++)
        builder_query_matcher(b, arena, in->query_parameters[i], &out->query[i]);
}

static void request_header(struct builder *b, struct arena *arena,
                           const Envoy__Config__Route__V3__RateLimit__Action__RequestHeaders *in,
                           struct rate_limit_action *out)
{
    out->kind = RATE_LIMIT_REQUEST_HEADER;
    out->name = builder_text(b, arena, in->header_name);
    out->key = builder_text(b, arena, in->descriptor_key);
    out->skip_if_absent = in->skip_if_absent;
}

static void query_parameter(struct builder *b, struct arena *arena,
                            const Envoy__Config__Route__V3__RateLimit__Action__QueryParameters *in,
                            struct rate_limit_action *out)
{
    out->kind = RATE_LIMIT_QUERY_PARAMETER;
    out->name = builder_text(b, arena, in->query_parameter_name);
    out->key = builder_text(b, arena, in->descriptor_key);
    out->skip_if_absent = in->skip_if_absent;
}

static void plain(enum rate_limit_action_kind kind, struct slice key, struct rate_limit_action *out)
{
    out->kind = kind;
    out->key = key;
}

static void source_cluster(struct builder *b, struct arena *arena, struct rate_limit_action *out)
{
    const Envoy__Config__Core__V3__Node *node = config_bootstrap(b->doc)->node;
    plain(RATE_LIMIT_SOURCE_CLUSTER, SLICE_LIT("source_cluster"), out);
    out->value = builder_text(b, arena, node ? node->cluster : "");
}

static void action(struct builder *b, struct arena *arena, const action_message *in,
                   struct rate_limit_action *out)
{
    switch (in->action_specifier_case) {
    case ACTION(SOURCE_CLUSTER):
        source_cluster(b, arena, out);
        return;
    case ACTION(DESTINATION_CLUSTER):
        plain(RATE_LIMIT_DESTINATION_CLUSTER, SLICE_LIT("destination_cluster"), out);
        return;
    case ACTION(REQUEST_HEADERS):
        request_header(b, arena, in->request_headers, out);
        return;
    case ACTION(QUERY_PARAMETERS):
        query_parameter(b, arena, in->query_parameters, out);
        return;
    case ACTION(REMOTE_ADDRESS):
        plain(RATE_LIMIT_REMOTE_ADDRESS, SLICE_LIT("remote_address"), out);
        return;
    case ACTION(MASKED_REMOTE_ADDRESS):
        plain(RATE_LIMIT_MASKED_ADDRESS, SLICE_LIT("masked_remote_address"), out);
        out->v4_bits = (uint8_t)builder_u32(in->masked_remote_address->v4_prefix_mask_len, 32);
        out->v6_bits = (uint8_t)builder_u32(in->masked_remote_address->v6_prefix_mask_len, 128);
        return;
    case ACTION(GENERIC_KEY):
        plain(RATE_LIMIT_GENERIC_KEY, text_or(b, arena, in->generic_key->descriptor_key, "generic_key"), out);
        out->value = builder_text(b, arena, in->generic_key->descriptor_value);
        return;
    case ACTION(HEADER_VALUE_MATCH):
        headers_match(b, arena, in->header_value_match, out);
        return;
    case ACTION(QUERY_PARAMETER_VALUE_MATCH):
        query_match(b, arena, in->query_parameter_value_match, out);
        return;
    case ACTION(METADATA):
        metadata(b, arena, in->metadata, out);
        return;
    default:
        return; /* the API requires one, and others are refused by their class: reported already */
    }
}

void builder_rate_limits(struct builder *b, struct arena *arena, limit_message *const *in, size_t count,
                         struct rate_limits *out)
{
    struct rate_limit *items = builder_array(b, arena, count, sizeof *items);
    out->items = items;
    out->count = items ? (uint32_t)count : 0;
    for (uint32_t i = 0; i < out->count; i++) {
        struct rate_limit_action *actions = builder_array(b, arena, in[i]->n_actions, sizeof *actions);
        items[i].actions = actions;
        items[i].actions_count = actions ? (uint32_t)in[i]->n_actions : 0;
        items[i].stage = builder_u32(in[i]->stage, 0);
        items[i].hits = 1;
        for (uint32_t j = 0; j < items[i].actions_count; j++)
            action(b, arena, in[i]->actions[j], &actions[j]);
        items[i].off = in[i]->disable_key[0] != '\0'; /* as Envoy's local_ratelimit does it */
    }
}

void builder_own_rate_limits(struct builder *b, struct arena *arena, limit_message *const *in, size_t count,
                             struct rate_limits *out)
{
    builder_rate_limits(b, arena, in, count, out);
    for (uint32_t i = 0; i < out->count; i++) {
        struct rate_limit *l = (struct rate_limit *)(uintptr_t)&out->items[i];
        const Envoy__Config__Route__V3__RateLimit__HitsAddend *hits = in[i]->hits_addend;
        if (in[i]->stage || in[i]->disable_key[0])
            builder_error(b, in[i], in[i]->stage ? "stage" : "disable_key",
                          "has no meaning in a filter's own");
        if (in[i]->limit)
            builder_error(b, in[i], "limit", "has no meaning in a filter's own");
        if (hits && !hits->number)
            builder_error(b, hits, NULL, "says nothing; write number");
        else if (hits)
            l->hits = hits->number->value;
        l->off = in[i]->apply_on_stream_done; /* nothing is limited any more then */
    }
}

bool builder_token_bucket(struct builder *b, const Envoy__Type__V3__TokenBucket *in, struct token_rate *out)
{
    uint64_t per_fill = builder_u32(in->tokens_per_fill, 1), interval_ms = builder_ms(in->fill_interval, 0);
    if (!in->fill_interval || per_fill == 0 || in->max_tokens == 0)
        return false; /* by the API's own rules: reported already */
    if (interval_ms < TOKEN_FILL_MS_MIN) {
        builder_error(b, in, "fill_interval", "must be at least %ums", TOKEN_FILL_MS_MIN);
        return false;
    }
    *out = token_rate_of(in->max_tokens, per_fill, interval_ms);
    return true;
}
