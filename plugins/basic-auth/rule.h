/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule.h: what a rule of basic-auth is and which requests it covers. A rule must never let a request through
 * because something about it could not be read: what is not known counts as covered.
 */
#ifndef BASIC_AUTH_RULE_H
#define BASIC_AUTH_RULE_H

#include <wsdk.h>
#include <wsdk/json.h>

enum rule_match { RULE_EXACT, RULE_PREFIX, RULE_SUFFIX };

/* A text to compare with, without its wildcard. */
struct rule_pattern {
    enum rule_match match;
    struct wsdk_bytes text;
};

struct rule_list {
    struct wsdk_bytes *items;
    size_t count;
};

struct rule {
    struct rule_pattern path;
    struct rule_list methods; /* none: every method */
    struct rule_pattern *hosts;
    size_t host_count;            /* none: every host */
    struct rule_list credentials; /* decoded, "user:password" */
};

struct rule_set {
    struct rule *rules;
    size_t count;
    struct wsdk_bytes challenge; /* value of www-authenticate */
};

/* What rules look at; data NULL: the request has none. */
struct rule_request {
    struct wsdk_bytes method;
    struct wsdk_bytes path;
    struct wsdk_bytes host;
};

/* Cut a request's path and host to what rules compare: no query, no port. */
void rule_request_trim(struct rule_request *request);

/* `host` without a port; brackets of an IPv6 address stay. */
struct wsdk_bytes rule_host_without_port(struct wsdk_bytes host);

bool rule_covers(const struct rule *rule, const struct rule_request *request);

/* Whether `given` ("user:password") is one of the rule's credentials; takes the same time for each answer. */
bool rule_accepts(const struct rule *rule, struct wsdk_bytes given);

/*
 * Read the configuration into `set`, in memory of `root`. False after at least one message in the log; `set`
 * is then not to be used.
 */
bool rule_set_read(struct wsdk_context *root, struct wsdk_bytes text, struct rule_set *set);

#endif
