/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What HttpProtocolOptions of a cluster say in place of routes: retries, hash policies, mirrors, and which
 * answers outlier detection takes for errors.
 */
#include "config/builder.h"

#include "proxy/cluster_policy.h"

#include <envoy/config/common/matcher/v3/matcher.pb-c.h>

typedef Envoy__Config__Common__Matcher__V3__MatchPredicate predicate_message;

#define RULE_CASE(name) ENVOY__CONFIG__COMMON__MATCHER__V3__MATCH_PREDICATE__RULE_##name

static void predicate(struct builder *b, struct arena *arena, const predicate_message *in,
                      struct answer_matcher *out);

static void predicates(struct builder *b, struct arena *arena, predicate_message *const *in, size_t count,
                       struct answer_matcher *out)
{
    out->children = builder_array(b, arena, count, sizeof(*out->children));
    out->children_count = out->children ? (uint32_t)count : 0;
    for (uint32_t i = 0; i < out->children_count; i++)
        predicate(b, arena, in[i], &out->children[i]);
}

static void predicate(struct builder *b, struct arena *arena, const predicate_message *in,
                      struct answer_matcher *out)
{
    switch (in->rule_case) {
    case RULE_CASE(ANY_MATCH):
        out->kind = ANSWER_ANY;
        break;
    case RULE_CASE(OR_MATCH):
        out->kind = ANSWER_ONE_OF;
        predicates(b, arena, in->or_match->rules, in->or_match->n_rules, out);
        break;
    case RULE_CASE(AND_MATCH):
        out->kind = ANSWER_ALL_OF;
        predicates(b, arena, in->and_match->rules, in->and_match->n_rules, out);
        break;
    case RULE_CASE(NOT_MATCH):
        out->kind = ANSWER_NOT;
        predicates(b, arena, &in->not_match, 1, out);
        break;
    case RULE_CASE(HTTP_RESPONSE_HEADERS_MATCH):
        out->kind = ANSWER_HEADERS;
        out->headers =
            builder_header_matchers(b, arena, in->http_response_headers_match->headers,
                                    in->http_response_headers_match->n_headers, &out->headers_count);
        break;
    default: /* of what is not looked at, or missing: reported already */
        out->kind = ANSWER_NEVER;
        break;
    }
}

static struct answer_matcher *errors_of(struct builder *b, struct arena *arena, const upstream_message *in)
{
    const predicate_message *matcher = in->outlier_detection ? in->outlier_detection->error_matcher : NULL;
    struct answer_matcher *out = matcher ? builder_array(b, arena, 1, sizeof(*out)) : NULL;
    if (out)
        predicate(b, arena, matcher, out);
    return out;
}

void builder_cluster_policy(struct builder *b, const upstream_message *in, struct cluster_config *c)
{
    bool any = in->retry_policy || in->n_hash_policy || in->n_request_mirror_policies ||
               in->outlier_detection || in->n_http_filters;
    struct cluster_policy *p = any ? builder_array(b, &c->arena, 1, sizeof(*p)) : NULL;
    struct builder_finish finish;
    if (!p)
        return;
    builder_finish_init(&finish, b, &in->base);
    p->retry = builder_retry(b, &c->arena, in->retry_policy);
    if (p->retry)
        retry_policy_finish(p->retry, &c->arena, "retry_policy", &finish.errors);
    builder_hash_policies(b, &c->arena, in->hash_policy, in->n_hash_policy, &p->hash_policies);
    hash_policies_finish(&p->hash_policies, "hash_policy", &finish.errors);
    builder_mirrors(b, &c->arena, in->request_mirror_policies, in->n_request_mirror_policies, false,
                    &p->mirrors);
    p->errors = errors_of(b, &c->arena, in);
    if (p->errors)
        answer_matcher_finish(p->errors, &c->arena, "outlier_detection.error_matcher", &finish.errors);
    const struct builder_chain at = {.arena = &c->arena, .upstream = true};
    builder_filters(b, &at, in->http_filters, in->n_http_filters, &p->filters);
    c->policy = p;
    c->policy_fini = cluster_policy_fini;
}
