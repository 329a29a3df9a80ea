/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule.c: does a rule cover a request, and does it know a credential? No host calls, no allocation.
 */
#include "rule.h"

struct wsdk_bytes rule_host_without_port(struct wsdk_bytes host)
{
    for (size_t i = host.len; i > 0; i--) {
        if (host.data[i - 1] == ']')
            break; /* the colons before it belong to an IPv6 address */
        if (host.data[i - 1] == ':')
            return (struct wsdk_bytes){host.data, i - 1};
    }
    return host;
}

void rule_request_trim(struct rule_request *request)
{
    request->path = wsdk_before(request->path, "?#");
    if (request->path.len == 0)
        request->path = WSDK_STR("/"); /* CONNECT has no path; an empty one means the root */
    request->host = rule_host_without_port(request->host);
}

static bool covers_path(const struct rule_pattern *pattern, struct wsdk_bytes path)
{
    switch (pattern->match) {
    case RULE_EXACT:
        return wsdk_equal(path, pattern->text);
    case RULE_PREFIX:
        return wsdk_starts_with(path, pattern->text);
    default:
        return wsdk_ends_with(path, pattern->text);
    }
}

static bool covers_method(const struct rule *rule, struct wsdk_bytes method)
{
    if (rule->methods.count == 0 || method.data == NULL)
        return true;
    for (size_t i = 0; i < rule->methods.count; i++) {
        if (wsdk_equal(method, rule->methods.items[i]))
            return true;
    }
    return false;
}

static bool matches_host(const struct rule_pattern *pattern, struct wsdk_bytes host)
{
    switch (pattern->match) {
    case RULE_EXACT:
        return wsdk_equal_nocase(host, pattern->text);
    case RULE_PREFIX:
        return wsdk_starts_with_nocase(host, pattern->text);
    default:
        return wsdk_ends_with_nocase(host, pattern->text);
    }
}

static bool covers_host(const struct rule *rule, struct wsdk_bytes host)
{
    struct wsdk_bytes bare = host;
    if (rule->host_count == 0 || host.len == 0)
        return true;
    if (host.data[host.len - 1] == '.')
        bare.len--; /* "a.example." is the same host as "a.example" */
    for (size_t i = 0; i < rule->host_count; i++) {
        if (matches_host(&rule->hosts[i], host) || matches_host(&rule->hosts[i], bare))
            return true;
    }
    return false;
}

bool rule_covers(const struct rule *rule, const struct rule_request *request)
{
    return covers_path(&rule->path, request->path) && covers_method(rule, request->method) &&
           covers_host(rule, request->host);
}

bool rule_accepts(const struct rule *rule, struct wsdk_bytes given)
{
    bool accepted = false;
    for (size_t i = 0; i < rule->credentials.count; i++)
        accepted |= wsdk_equal_secret(given, rule->credentials.items[i]);
    return accepted;
}
