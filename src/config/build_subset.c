/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lb_subset_config, and the labels by which routes ask for subsets.
 */
#include "config/builder.h"

#include "base/assert.h"
#include "upstream/limits.h"

#include <stdlib.h>

typedef Envoy__Config__Cluster__V3__Cluster__LbSubsetConfig subset_message;
typedef Envoy__Config__Cluster__V3__Cluster__LbSubsetConfig__LbSubsetSelector selector_message;

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

static void selector(struct builder *b, struct arena *arena, const selector_message *in,
                     struct lb_selector *out)
{
    out->keys_count = keys(b, arena, in->keys, in->n_keys, &out->keys);
    out->fallback = selector_fallback(in->fallback_policy);
    out->fallback_keys_count =
        keys(b, arena, in->fallback_keys_subset, in->n_fallback_keys_subset, &out->fallback_keys);
    if (out->keys_count == 0 || out->keys_count > LB_SELECTOR_KEYS_MAX)
        builder_error(b, in, "keys", "needs 1 to %u keys", LB_SELECTOR_KEYS_MAX);
    if ((out->fallback == LB_FALLBACK_KEYS) != (out->fallback_keys_count > 0)) {
        builder_error(b, in, "fallback_keys_subset",
                      "stands with fallback_policy KEYS_SUBSET, and only there");
        return;
    }
    for (uint32_t i = 0; i < out->fallback_keys_count; i++) {
        if (!contains(out->keys, out->keys_count, out->fallback_keys[i]))
            builder_error(b, in, "fallback_keys_subset", "\"" SLICE_FMT "\" is none of the keys",
                          SLICE_ARG(out->fallback_keys[i]));
    }
    if (out->fallback == LB_FALLBACK_KEYS && out->fallback_keys_count >= out->keys_count)
        builder_error(b, in, "fallback_keys_subset", "must leave out some of the keys");
}

void builder_subsets(struct builder *b, const subset_message *in, struct cluster_config *c)
{
    if (!in || in->n_subset_selectors == 0)
        return; /* without selectors there are no subsets, as in Envoy */
    struct lb_subset_config *out = builder_array(b, &c->arena, 1, sizeof *out);
    if (!out)
        return;
    out->fallback = (enum lb_subset_fallback)in->fallback_policy;
    out->panic_mode_any = in->panic_mode_any;
    out->list_as_any = in->list_as_any;
    out->wants_default = out->fallback == LB_FALLBACK_DEFAULT;
    out->default_subset =
        in->default_subset ? lb_match_make(&c->arena, builder_value(b, &c->arena, in->default_subset), NULL)
                           : NULL;
    out->selectors = builder_array(b, &c->arena, in->n_subset_selectors, sizeof *out->selectors);
    for (size_t i = 0; out->selectors && i < in->n_subset_selectors; i++) {
        struct lb_selector *s = &out->selectors[out->selectors_count++];
        selector(b, &c->arena, in->subset_selectors[i], s);
        out->wants_default = out->wants_default || s->fallback == LB_FALLBACK_DEFAULT;
    }
    c->lb.subsets = out;
}

const struct lb_match *builder_match(struct builder *b, struct arena *arena,
                                     const Envoy__Config__Core__V3__Metadata *in, const struct lb_match *base)
{
    if (!in)
        return base;
    return lb_match_make(arena, lb_match_fields(builder_value(b, arena, in)), base);
}
