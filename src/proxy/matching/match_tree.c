/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking a matching tree. Every part of it is asked at most once per look-up, and never more than
 * MATCH_DEPTH_MAX of them inside each other.
 */
#include "proxy/matching/match_tree.h"

#include "base/assert.h"
#include "base/stable_hash.h"

void match_tree_own(struct match_tree *t, struct match_predicate *p)
{
    p->owned = t->owned;
    t->owned = p;
}

void match_tree_fini(struct match_tree *t)
{
    for (struct match_predicate *p = t->owned; p; p = p->owned) {
        string_matcher_fini(&p->string);
        value_matcher_fini(&p->value);
    }
    t->owned = NULL;
}

/* --- predicates --- */

/* The address of a value, or NULL. */
static const struct address *address_of(const struct match_value *v, struct address *parsed)
{
    if (v->ip)
        return v->ip;
    return v->text.ptr && address_parse_ip(v->text, 0, parsed) ? parsed : NULL;
}

static bool in_ranges(const struct match_predicate *p, const struct match_value *v)
{
    struct address parsed;
    const struct address *a = address_of(v, &parsed);
    if (!a && v->text.ptr)
        stat_inc(p->unparsed);
    return a && cidrs_contain(p->ranges, p->ranges_count, a);
}

static bool value_matches(const struct match_predicate *p, const struct match_value *v)
{
    switch (p->kind) {
    case MATCH_RANGES:
        return in_ranges(p, v);
    case MATCH_FRACTION:
        return v->text.ptr && xxh64(v->text, p->seed) % p->modulo < p->threshold;
    case MATCH_HASH:
        return v->text.ptr && xxh64(v->text, p->seed) % p->modulo >= p->threshold;
    case MATCH_METADATA:
        return p->input.kind == MATCH_INPUT_METADATA && value_matcher_match(&p->value, v->data) != p->invert;
    default:
        WEIR_ASSERT(p->kind == MATCH_STRING);
        return v->text.ptr && string_matcher_match(&p->string, v->text);
    }
}

/* What is not known stays so through everything but an OR that has another reason. */
enum answer { ANSWER_NO, ANSWER_YES, ANSWER_UNKNOWN };

static enum answer value_asked(const struct match_predicate *p, const struct match_subject *s)
{
    struct match_value v;
    match_input_get(&p->input, s, &v);
    if (v.unknown)
        return ANSWER_UNKNOWN;
    return value_matches(p, &v) ? ANSWER_YES : ANSWER_NO;
}

static enum answer predicate_asked(const struct match_predicate *p, const struct match_subject *s);

static enum answer one_of(const struct match_predicate *p, const struct match_subject *s)
{
    enum answer all = ANSWER_NO;
    for (uint32_t i = 0; i < p->children_count && all != ANSWER_YES; i++) {
        enum answer one = predicate_asked(&p->children[i], s);
        all = one == ANSWER_NO ? all : one;
    }
    return all;
}

static enum answer all_of(const struct match_predicate *p, const struct match_subject *s)
{
    enum answer all = ANSWER_YES;
    for (uint32_t i = 0; i < p->children_count && all == ANSWER_YES; i++)
        all = predicate_asked(&p->children[i], s);
    return all;
}

static enum answer predicate_asked(const struct match_predicate *p, const struct match_subject *s)
{
    static const enum answer inverse[] = {
        [ANSWER_NO] = ANSWER_YES, [ANSWER_YES] = ANSWER_NO, [ANSWER_UNKNOWN] = ANSWER_UNKNOWN};
    switch (p->kind) {
    case MATCH_OR:
        return one_of(p, s);
    case MATCH_AND:
        return all_of(p, s);
    case MATCH_NOT:
        return inverse[predicate_asked(&p->children[0], s)];
    default:
        return value_asked(p, s);
    }
}

/* --- nodes --- */

/* In the place of an action: the walk ends without one. */
static const char not_known;

static const void *node_find(const struct match_node *n, const struct match_subject *s);

static const void *outcome_find(const struct match_outcome *o, const struct match_subject *s)
{
    if (o->keep_matching)
        return NULL;
    return o->node ? node_find(o->node, s) : o->action;
}

static const void *list_find(const struct match_node *n, const struct match_subject *s)
{
    const void *action = NULL;
    for (uint32_t i = 0; i < n->rules_count && !action; i++) {
        enum answer one = predicate_asked(&n->rules[i].predicate, s);
        if (one == ANSWER_UNKNOWN)
            return &not_known;
        if (one == ANSWER_YES)
            action = outcome_find(&n->rules[i].outcome, s);
    }
    return action;
}

/* Whether the outcome had no answer before: it has none now. Otherwise few trees inside each other could be
 * asked without end. */
static bool asked_before(struct match_walk walk, const struct match_entry *now)
{
    const struct match_entry *e;
    while ((e = match_walk_next(&walk)) != NULL && e != now) {
        if (e->outcome == now->outcome)
            return true;
    }
    return false;
}

static const void *index_find(const struct match_node *n, struct slice key, const struct match_subject *s)
{
    struct match_walk walk;
    match_walk_init(&walk, &n->index, key);
    const struct match_walk beginning = walk;
    const struct match_entry *e;
    const void *action = NULL;
    for (bool first = true; !action && (e = match_walk_next(&walk)) != NULL; first = false) {
        if ((first || !e->exclusive) && !(n->shared && asked_before(beginning, e)))
            action = outcome_find(e->outcome, s);
    }
    return action;
}

static const void *input_find(const struct match_node *n, const struct match_subject *s)
{
    struct match_value v;
    struct address parsed;
    uint8_t ip[MATCH_IP_BYTES];
    match_input_get(&n->input, s, &v);
    if (v.unknown)
        return &not_known;
    if (n->kind == MATCH_NODE_IP) {
        const struct address *a = address_of(&v, &parsed);
        return a ? index_find(n, match_ip_key(a, ip), s) : NULL;
    }
    bool there = v.text.ptr && (n->kind == MATCH_NODE_TEXT || v.text.len > 0);
    return there ? index_find(n, v.text, s) : NULL;
}

static const void *node_find(const struct match_node *n, const struct match_subject *s)
{
    const void *action = NULL;
    if (n->kind == MATCH_NODE_LIST)
        action = list_find(n, s);
    else if (n->kind != MATCH_NODE_ANY)
        action = input_find(n, s);
    return action ? action : outcome_find(&n->no_match, s);
}

const void *match_tree_find(const struct match_tree *t, const struct match_subject *s)
{
    const void *action = t->root ? node_find(t->root, s) : NULL;
    return action == &not_known ? NULL : action;
}
