/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lb_subset_config or the policy Subset, and the labels by which routes ask for subsets.
 */
#include "config/builder.h"

#include "base/assert.h"
#include "upstream/limits.h"

#include <stdlib.h>

typedef Envoy__Config__Cluster__V3__Cluster__LbSubsetConfig subset_message;
typedef Envoy__Extensions__LoadBalancingPolicies__Subset__V3__Subset policy_message;

static int by_bytes(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* In order, each once. */
static uint32_t keys(struct builder *b, struct arena *arena, char *const *in, size_t count,
                     struct slice **out)
{
    struct slice *list = builder_texts(b, arena, in, count);
    uint32_t kept = 0;
    if (list)
        qsort(list, count, sizeof *list, by_bytes);
    for (size_t i = 0; list && i < count; i++) {
        if (kept == 0 || !slice_eq(list[kept - 1], list[i]))
            list[kept++] = list[i];
    }
    *out = list;
    return kept;
}

static bool contains(const struct slice *list, uint32_t count, struct slice key)
{
    for (uint32_t i = 0; i < count; i++) {
        if (slice_eq(list[i], key))
            return true;
    }
    return false;
}

/* Envoy's enum of selectors begins with NOT_DEFINED. */
static enum lb_subset_fallback selector_fallback(int policy)
{
    static const enum lb_subset_fallback policies[] = {LB_FALLBACK_UNSET, LB_FALLBACK_NONE, LB_FALLBACK_ANY,
                                                       LB_FALLBACK_DEFAULT, LB_FALLBACK_KEYS};
    return policies[(size_t)policy < WEIR_ARRAY_LEN(policies) ? policy : 0];
}

/* What a selector's rules are checked by; `in` is its message. */
static void check_selector(struct builder *b, const ProtobufCMessage *in, const struct lb_selector *out)
{
    if (out->keys_count == 0 || out->keys_count > LB_SELECTOR_KEYS_MAX)
        config_error_at(b->doc, b->diag, in, "keys", -1, "needs 1 to %u keys", LB_SELECTOR_KEYS_MAX);
    if ((out->fallback == LB_FALLBACK_KEYS) != (out->fallback_keys_count > 0)) {
        config_error_at(b->doc, b->diag, in, "fallback_keys_subset", -1,
                        "stands with fallback_policy KEYS_SUBSET, and only there");
        return;
    }
    for (uint32_t i = 0; i < out->fallback_keys_count; i++) {
        if (!contains(out->keys, out->keys_count, out->fallback_keys[i]))
            config_error_at(b->doc, b->diag, in, "fallback_keys_subset", -1,
                            "\"" SLICE_FMT "\" is none of the keys", SLICE_ARG(out->fallback_keys[i]));
    }
    if (out->fallback == LB_FALLBACK_KEYS && out->fallback_keys_count >= out->keys_count)
        config_error_at(b->doc, b->diag, in, "fallback_keys_subset", -1, "must leave out some of the keys");
}

/* The fields of a selector, and of the whole, have the same names in both messages. */
#define SELECTOR(b, arena, in, out)                                                                          \
    do {                                                                                                     \
        (out)->keys_count = keys(b, arena, (in)->keys, (in)->n_keys, &(out)->keys);                          \
        (out)->fallback = selector_fallback((int)(in)->fallback_policy);                                     \
        (out)->fallback_keys_count =                                                                         \
            keys(b, arena, (in)->fallback_keys_subset, (in)->n_fallback_keys_subset, &(out)->fallback_keys); \
        (out)->single_host = (in)->single_host_per_subset;                                                   \
        check_selector(b, &(in)->base, out);                                                                 \
    } while (0)
#define SUBSETS(b, in, c, out)                                                                               \
    do {                                                                                                     \
        (out)->fallback = (enum lb_subset_fallback)(in)->fallback_policy;                                    \
        (out)->fallback_list = (int)(in)->metadata_fallback_policy == FALLBACK_LIST;                         \
        (out)->panic_mode_any = (in)->panic_mode_any;                                                        \
        (out)->list_as_any = (in)->list_as_any;                                                              \
        (out)->locality_weight_aware = (in)->locality_weight_aware;                                          \
        (out)->scale_locality_weight = (in)->locality_weight_aware && (in)->scale_locality_weight;           \
        (out)->default_subset = default_subset(b, c, (in)->default_subset);                                  \
        (out)->selectors_count = (uint32_t)(in)->n_subset_selectors;                                         \
        (out)->selectors =                                                                                   \
            builder_array(b, &(c)->arena, (in)->n_subset_selectors, sizeof *(out)->selectors);               \
        for (size_t i = 0; (out)->selectors && i < (out)->selectors_count; i++)                              \
            SELECTOR(b, &(c)->arena, (in)->subset_selectors[i], &(out)->selectors[i]);                       \
    } while (0)
#define FALLBACK_LIST                                                                                        \
    ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_SUBSET_CONFIG__LB_SUBSET_METADATA_FALLBACK_POLICY__FALLBACK_LIST

static const struct lb_match *default_subset(struct builder *b, struct cluster_config *c,
                                             const Google__Protobuf__Struct *in)
{
    return in ? lb_match_make(&c->arena, builder_value(b, &c->arena, in), NULL) : NULL;
}

static void finish(struct cluster_config *c, struct lb_subset_config *out)
{
    out->wants_default = out->fallback == LB_FALLBACK_DEFAULT;
    if (!out->selectors)
        out->selectors_count = 0;
    for (uint32_t i = 0; i < out->selectors_count; i++)
        out->wants_default = out->wants_default || out->selectors[i].fallback == LB_FALLBACK_DEFAULT;
    c->lb.subsets = out;
}

/* Without selectors there are no subsets, as in Envoy. */
void builder_subsets(struct builder *b, const subset_message *in, struct cluster_config *c)
{
    struct lb_subset_config *out =
        in && in->n_subset_selectors > 0 ? builder_array(b, &c->arena, 1, sizeof *out) : NULL;
    if (!out)
        return;
    SUBSETS(b, in, c, out);
    if (out->locality_weight_aware && !c->lb.locality_weighted) /* as Envoy */
        builder_error(b, in, "locality_weight_aware",
                      "needs locality_weighted_lb_config in common_lb_config");
    finish(c, out);
}

/* Selectors with more keys come first; those with as many stay in order. */
static void most_keys_first(struct lb_selector *list, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct lb_selector s = list[i];
        uint32_t at = i;
        for (; at > 0 && list[at - 1].keys_count < s.keys_count; at--)
            list[at] = list[at - 1];
        list[at] = s;
    }
}

void builder_subset_policy(struct builder *b, const policy_message *in, struct cluster_config *c)
{
    struct lb_subset_config *out =
        in->n_subset_selectors > 0 ? builder_array(b, &c->arena, 1, sizeof *out) : NULL;
    if (!out)
        return;
    SUBSETS(b, in, c, out);
    out->redundant_keys = in->allow_redundant_keys;
    if (out->redundant_keys)
        most_keys_first(out->selectors, out->selectors_count);
    finish(c, out);
}

const struct lb_match *builder_match(struct builder *b, struct arena *arena,
                                     const Envoy__Config__Core__V3__Metadata *in, const struct lb_match *base)
{
    const struct typed_value *fields = in ? lb_match_fields(builder_value(b, arena, in)) : NULL;
    const struct lb_match *m = fields ? lb_match_make(arena, fields, base) : base;
    if (!m && fields && fields->members_count > 0)
        builder_error(b, in, NULL, "has labels of more than %u bytes", LB_MATCH_BYTES_MAX);
    return m;
}
