/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking rules of access control on behalf of a filter: the answer is counted, logged, and noted for access
 * logs. Rules that are enforced and rules that only observe (shadow) differ in names alone; to act on the
 * answer is the filter's part.
 */
#ifndef WEIR_FILTERS_RBAC_ENGINE_H
#define WEIR_FILTERS_RBAC_ENGINE_H

#include "filters/rbac/rbac_rules.h"

/* Rules, and the keys of the dynamic metadata that they leave. */
struct rbac_side {
    struct rbac_rules *rules; /* NULL: none, nobody is asked */
    struct slice policy_key;  /* "[PREFIX]enforced_effective_policy_id" */
    struct slice result_key;
};

/* Those of a filter, or of a route, which replace them all. */
struct rbac_pair {
    struct rbac_side enforced;
    struct rbac_side shadow;
};

struct rbac_stats {
    stat_id allowed;
    stat_id denied;
    stat_id shadow_allowed;
    stat_id shadow_denied;
};

/* What a filter has: the beginning of its configuration. */
struct rbac_engine {
    struct arena arena; /* of the rules */
    struct rbac_pair own;
    struct rbac_stats stats;
};

/* "A." for "A" and for "A."; nothing for nothing. */
void rbac_append_prefix(struct strbuf *name, struct slice prefix);
/* `prefix`: what stands before "rbac.". False when memory is out. */
bool rbac_engine_init(struct rbac_engine *e, struct slice prefix, struct slice rules_prefix,
                      struct slice shadow_prefix);
void rbac_engine_fini(struct rbac_engine *e);
/* filter_override.destroy */
void rbac_pair_fini(void *pair);

/* Fields of dynamic metadata, of both sides. */
struct rbac_fields {
    struct typed_member items[4];
    size_t count;
};

/* The rules are there. `headers` NULL: a connection. */
struct rbac_verdict rbac_engine_ask(const struct rbac_engine *e, const struct rbac_side *side, bool shadow,
                                    struct stream *s, const struct header_map *headers,
                                    struct rbac_fields *fields);
/* Response code details, or those of the connection's end. */
struct slice rbac_denied_details(struct rbac_verdict v);
/* A line at level debug about who is about to be checked. */
void rbac_log_subject(const struct stream *s, const struct header_map *headers);

#endif
