/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy rules: ordered, first match wins, the last is the default.
 */
#include "config/policy.h"

#include "base/assert.h"
#include "base/glob.h"

#include <google/protobuf/wrappers.pb-c.h>

static bool matches_all(const Weir__Policy__V1__Rule *rule)
{
    const Weir__Policy__V1__Match *m = rule->match;
    return !m || (m->plugin[0] == '\0' && m->module_sha256[0] == '\0' && m->listener[0] == '\0');
}

void policy_check(const struct config_doc *doc, struct config_diag *diag)
{
    const Weir__Policy__V1__Policy *policy = (const Weir__Policy__V1__Policy *)doc->root;
    for (size_t i = 0; i < policy->n_rules; i++) {
        const Weir__Policy__V1__Rule *rule = policy->rules[i];
        bool last = i + 1 == policy->n_rules;
        if (rule->time_check && !rule->time_check->value && rule->callback_time_max)
            config_error_at(doc, diag, &rule->base, "callback_time_max", -1,
                            "has no effect with time_check: false; leave one of them out");
        if (last && !matches_all(rule))
            config_error_at(
                doc, diag, &rule->base, rule->match ? "match" : NULL, -1,
                "the last rule is the default for every other plugin and must have no match; add one");
        if (!last && matches_all(rule))
            config_error_at(doc, diag, &rule->base, NULL, -1,
                            "matches every plugin, so the rules after it never hold; move it to the end");
    }
}

static bool part_holds(const char *pattern, struct slice text)
{
    return pattern[0] == '\0' || glob_match(slice_str(pattern), text);
}

const Weir__Policy__V1__Rule *policy_find(const Weir__Policy__V1__Policy *policy,
                                          const struct policy_subject *who)
{
    for (size_t i = 0; i < policy->n_rules; i++) {
        const Weir__Policy__V1__Match *m = policy->rules[i]->match;
        if (!m ||
            (part_holds(m->plugin, who->plugin) && part_holds(m->listener, who->listener) &&
             (m->module_sha256[0] == '\0' || slice_eq(slice_str(m->module_sha256), who->module_sha256))))
            return policy->rules[i];
    }
    WEIR_UNREACHABLE();
}
