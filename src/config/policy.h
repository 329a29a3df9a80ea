/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rule of a policy holds for a plugin. Deciding is pure; what a rule means is enforced elsewhere.
 */
#ifndef WEIR_CONFIG_POLICY_H
#define WEIR_CONFIG_POLICY_H

#include "config/doc.h"
#include "filters/wasm/wasm_policy.h"

#include <weir/policy/v1/policy.pb-c.h>

/* What the API's rules cannot say: the last rule, and only the last, matches everything. */
void policy_check(const struct config_doc *doc, struct config_diag *diag);

struct policy_subject {
    struct slice plugin;        /* PluginConfig.name */
    struct slice module_sha256; /* 64 lower-case hex digits; empty while unknown, and then no rule with a
                                   digest holds */
    struct slice listener;      /* name of the listener */
};

/* The first rule that holds. Never NULL for a policy that was loaded. */
const Weir__Policy__V1__Rule *policy_find(const Weir__Policy__V1__Policy *policy,
                                          const struct policy_subject *who);

/* What the rule means, as a resource with one reference. NULL when memory is out. */
struct wasm_policy *policy_make(const Weir__Policy__V1__Rule *rule);

#endif
