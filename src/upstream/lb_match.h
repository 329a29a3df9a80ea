/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels: the "envoy.lb" metadata of hosts, and what routes ask of it. A set of labels has one text, so that
 * two sets are equal when their texts are.
 */
#ifndef WEIR_UPSTREAM_LB_MATCH_H
#define WEIR_UPSTREAM_LB_MATCH_H

#include "base/arena.h"
#include "upstream/typed_value.h"

struct lb_label {
    struct slice key;
    struct slice value; /* as JSON */
    struct slice line;  /* its part of the match's text */
};

struct lb_match {
    struct lb_label *labels; /* in order of their keys; each key once */
    uint32_t count;
    struct slice text;
    uint64_t hash; /* slice_hash(text) */
    /* When there is a label "fallback_list": that, and the other labels with those of each of its members
     * over them, to be asked for in this order by clusters with metadata_fallback_policy. Each may be NULL:
     * no label. What is no list, or an empty one, stands for one member without labels (Envoy). */
    const struct typed_value *list;
    const struct lb_match **fallbacks;
    uint32_t fallbacks_count;
};

/* The labels in a Struct (NULL: none), over those of `base` (NULL: none). NULL when there are none at all, or
 * when the arena's cap is reached. `fields` must live as long as the arena. */
const struct lb_match *lb_match_make(struct arena *arena, const struct typed_value *fields,
                                     const struct lb_match *base);
/* The "envoy.lb" Struct of a Metadata message; NULL when there is none. */
const struct typed_value *lb_match_fields(const struct typed_value *metadata);
/* The text of labels that are in order; false when it does not fit. */
bool lb_match_text(const struct lb_label *labels, uint32_t count, struct strbuf *out);

#endif
