/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unified matching API (xds.type.matcher.v3.Matcher) as the data path reads it: a tree of questions about
 * a connection or a request that ends in one of its owner's actions, or in none. The configuration fills the
 * structs from the owner's arena; immutable after that. Whoever offers such a tree says what an action is;
 * here it is a pointer.
 *
 *     const void *action = match_tree_find(&tree, &subject);    // NULL: no match
 */
#ifndef WEIR_PROXY_MATCH_TREE_H
#define WEIR_PROXY_MATCH_TREE_H

#include "proxy/matching/match_index.h"
#include "proxy/matching/match_input.h"
#include "proxy/routing/state_matcher.h"
#include "telemetry/stats.h"

/* Trees inside each other, and predicates inside each other: each level is a call. */
#define MATCH_DEPTH_MAX 32u
/* Texts that one look-up may have to put together. */
#define MATCH_ARENA_BYTES_MAX ((size_t)64 << 10)

enum match_predicate_kind {
    MATCH_OR,
    MATCH_AND,
    MATCH_NOT, /* children[0] */
    /* Of `input`; a value that is not there is none of them. */
    MATCH_STRING,
    MATCH_RANGES,   /* an address in one of `ranges` */
    MATCH_FRACTION, /* hash % modulo < threshold */
    MATCH_HASH,     /* hash % modulo >= threshold */
    MATCH_METADATA,
};

struct match_predicate {
    enum match_predicate_kind kind;
    struct match_predicate *children;
    uint32_t children_count;
    struct match_input input;
    struct string_matcher string;
    const struct cidr *ranges;
    uint32_t ranges_count;
    uint64_t seed;
    uint64_t modulo;
    uint64_t threshold;
    struct value_matcher value; /* METADATA */
    bool invert;
    stat_id unparsed;              /* RANGES: values that are no addresses */
    struct match_predicate *owned; /* the tree's list of those that own something */
};

struct match_node;

/* What a match leads to: `node`, else `action`. */
struct match_outcome {
    const struct match_node *node;
    const void *action;
    bool keep_matching; /* as if it had not matched: for Envoy's records of what it passed over */
};

struct match_rule {
    struct match_predicate predicate;
    struct match_outcome outcome;
};

enum match_node_kind {
    MATCH_NODE_ANY,  /* only no_match */
    MATCH_NODE_LIST, /* rules, the first that holds; one whose tree has no answer does not */
    MATCH_NODE_TEXT, /* index by the input's text: keys, prefixes */
    MATCH_NODE_NAME, /* the same of domains, of which an empty one is none */
    MATCH_NODE_IP,   /* index by the address that the input is, or that stands in its text */
};

struct match_node {
    enum match_node_kind kind;
    struct match_rule *rules;
    uint32_t rules_count;
    struct match_input input;
    struct match_index index;
    bool shared; /* some outcome with a tree stands in the index more than once */
    struct match_outcome no_match;
};

struct match_tree {
    const struct match_node *root;
    struct match_predicate *owned; /* by match_tree_own */
};

/* The predicate's matchers are finished, and may own regular expressions: the tree frees them. */
void match_tree_own(struct match_tree *t, struct match_predicate *p);
void match_tree_fini(struct match_tree *t);
/* The action, or NULL; also when the way to one hangs on what cannot be known. */
const void *match_tree_find(const struct match_tree *t, const struct match_subject *s);

#endif
