/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_config.c: from JSON to rules. Every mistake is reported with its place before the answer is false. It
 * must never write a credential into the log.
 */
#include "rule.h"

#define REALM_DEFAULT "istio"

static const char *const top_fields[] = {"basic_auth_rules", "realm", NULL};
static const char *const rule_fields[] = {"prefix",      "exact",           "suffix", "hosts",
                                          "credentials", "request_methods", NULL};
static const char *const known_methods[] = {"GET",     "HEAD",    "POST",  "PUT",   "DELETE",
                                            "CONNECT", "OPTIONS", "TRACE", "PATCH", NULL};

/* A list of strings. `check` refuses an element by reporting it, and may replace it. Absent: empty. */
typedef bool (*check_fn)(struct wsdk_context *root, struct wsdk_json_value at, struct wsdk_bytes *text);

static void read_list(struct wsdk_context *root, struct wsdk_json_value array, check_fn check,
                      struct rule_list *list)
{
    *list = (struct rule_list){0};
    if (!wsdk_json_expect(array, WSDK_JSON_ARRAY))
        return;
    size_t count = wsdk_json_count(array);
    if (count == 0) {
        wsdk_json_error(array, "the list is empty");
        return;
    }
    list->items = wsdk_alloc(root, count * sizeof(*list->items));
    if (list->items == NULL) {
        wsdk_json_error(array, "out of memory");
        return;
    }
    struct wsdk_json_value at = wsdk_json_first(array);
    for (; wsdk_json_exists(at); at = wsdk_json_next(at)) {
        struct wsdk_bytes text;
        if (wsdk_json_string(at, &text) && check(root, at, &text))
            list->items[list->count++] = text;
    }
}

static bool check_method(struct wsdk_context *root, struct wsdk_json_value at, struct wsdk_bytes *text)
{
    (void)root;
    if (!wsdk_is_token(*text))
        return wsdk_json_error(at, "not a request method; write for example \"GET\"");
    for (const char *const *m = known_methods; *m != NULL; m++) {
        if (wsdk_equal_nocase(*text, wsdk_cstr(*m)) && !wsdk_equal(*text, wsdk_cstr(*m)))
            return wsdk_json_error(at, "methods are case-sensitive; did you mean \"%s\"?", *m);
    }
    return true;
}

static bool has_control(struct wsdk_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
            return true;
    }
    return false;
}

/* "user:password", or base64 of that; either becomes the plain form. */
static bool check_credential(struct wsdk_context *root, struct wsdk_json_value at, struct wsdk_bytes *text)
{
    if (memchr(text->data, ':', text->len) == NULL) {
        size_t len;
        char *plain = wsdk_alloc(root, text->len / 4 * 3 + 3);
        if (plain == NULL)
            return wsdk_json_error(at, "out of memory");
        if (!wsdk_base64_decode(*text, plain, &len) || memchr(plain, ':', len) == NULL)
            return wsdk_json_error(at, "neither \"user:password\" nor base64 of it");
        *text = (struct wsdk_bytes){plain, len};
    }
    return !has_control(*text) || wsdk_json_error(at, "control characters are not allowed in a credential");
}

static bool check_host(struct wsdk_context *root, struct wsdk_json_value at, struct wsdk_bytes *text)
{
    const char *star = memchr(text->data, '*', text->len);
    (void)root;
    if (text->len == 0)
        return wsdk_json_error(at, "a host must not be empty; \"*\" means every host");
    if (star != NULL && star != text->data && star != text->data + text->len - 1)
        return wsdk_json_error(at, "'*' is only allowed as the first or the last character");
    if (star != NULL && memchr(star + 1, '*', (size_t)(text->data + text->len - star) - 1) != NULL)
        return wsdk_json_error(at, "only one '*' is allowed");
    if (rule_host_without_port(*text).len != text->len)
        return wsdk_json_error(at, "write the host without a port; requests to each port are covered");
    if (has_control(*text) || memchr(text->data, '/', text->len) != NULL)
        return wsdk_json_error(at, "not a host name");
    return true;
}

static void read_hosts(struct wsdk_context *root, struct wsdk_json_value array, struct rule *rule)
{
    struct rule_list list;
    read_list(root, array, check_host, &list);
    rule->hosts = wsdk_alloc(root, list.count * sizeof(*rule->hosts));
    if (rule->hosts == NULL) {
        wsdk_json_error(array, "out of memory");
        return;
    }
    for (size_t i = 0; i < list.count; i++) {
        struct rule_pattern *pattern = &rule->hosts[rule->host_count++];
        *pattern = (struct rule_pattern){RULE_EXACT, list.items[i]};
        if (pattern->text.data[0] == '*') {
            pattern->match = RULE_SUFFIX;
            pattern->text.data++;
            pattern->text.len--;
        } else if (pattern->text.data[pattern->text.len - 1] == '*') {
            pattern->match = RULE_PREFIX;
            pattern->text.len--;
        }
    }
}

static void check_path(struct wsdk_json_value at, const struct rule_pattern *path)
{
    if (path->text.len == 0)
        wsdk_json_error(at, "the path must not be empty; \"prefix\": \"/\" covers every path");
    else if (wsdk_before(path->text, "?#").len != path->text.len)
        wsdk_json_error(at, "'?' and '#' never match: the query is not part of the compared path");
    else if (path->match != RULE_SUFFIX && path->text.data[0] != '/' &&
             !wsdk_equal(path->text, WSDK_STR("*")))
        wsdk_json_error(at, "the path must begin with '/'");
    else if (has_control(path->text))
        wsdk_json_error(at, "control characters never match in a path");
}

/* Exactly one of prefix, exact and suffix. */
static void read_path(struct wsdk_json_value object, struct rule_pattern *path)
{
    static const struct {
        const char *name;
        enum rule_match match;
    } kinds[] = {{"prefix", RULE_PREFIX}, {"exact", RULE_EXACT}, {"suffix", RULE_SUFFIX}};
    int found = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct wsdk_json_value field = wsdk_json_field(object, kinds[i].name);
        if (!wsdk_json_exists(field))
            continue;
        path->match = kinds[i].match;
        if (++found > 1)
            wsdk_json_error(field, "only one of \"prefix\", \"exact\" and \"suffix\" is allowed in a rule");
        else if (wsdk_json_string(field, &path->text))
            check_path(field, path);
    }
    if (found == 0)
        wsdk_json_error(object, "one of \"prefix\", \"exact\" and \"suffix\" is missing");
}

static void read_rule(struct wsdk_context *root, struct wsdk_json_value object, struct rule *rule)
{
    struct wsdk_json_value field;
    if (!wsdk_json_expect(object, WSDK_JSON_OBJECT))
        return;
    wsdk_json_check_object(object, rule_fields);
    read_path(object, &rule->path);
    field = wsdk_json_field(object, "request_methods");
    if (wsdk_json_exists(field))
        read_list(root, field, check_method, &rule->methods);
    field = wsdk_json_field(object, "hosts");
    if (wsdk_json_exists(field))
        read_hosts(root, field, rule);
    read_list(root, wsdk_json_required(object, "credentials"), check_credential, &rule->credentials);
}

static void read_rules(struct wsdk_context *root, struct wsdk_json_value array, struct rule_set *set)
{
    if (!wsdk_json_expect(array, WSDK_JSON_ARRAY))
        return;
    set->rules = wsdk_alloc(root, wsdk_json_count(array) * sizeof(*set->rules));
    if (set->rules == NULL) {
        wsdk_json_error(array, "out of memory");
        return;
    }
    struct wsdk_json_value at = wsdk_json_first(array);
    for (; wsdk_json_exists(at); at = wsdk_json_next(at))
        read_rule(root, at, &set->rules[set->count++]);
}

/* Basic realm="...": a quoted string, RFC 9110 5.6.4. */
static void read_realm(struct wsdk_context *root, struct wsdk_json_value top, struct rule_set *set)
{
    struct wsdk_json_value field = wsdk_json_field(top, "realm");
    struct wsdk_bytes realm = WSDK_STR(REALM_DEFAULT);
    if (wsdk_json_exists(field) && !wsdk_json_string(field, &realm))
        return;
    if (has_control(realm)) {
        wsdk_json_error(field, "control characters are not allowed in a realm");
        return;
    }
    size_t cap = sizeof("Basic realm=\"\"") + 2 * realm.len, len;
    char *text = wsdk_alloc(root, cap);
    if (text == NULL) {
        wsdk_json_error(top, "out of memory");
        return;
    }
    len = wsdk_format(text, cap, "Basic realm=\"");
    for (size_t i = 0; i < realm.len; i++) {
        if (realm.data[i] == '"' || realm.data[i] == '\\')
            text[len++] = '\\';
        text[len++] = realm.data[i];
    }
    text[len++] = '"';
    set->challenge = (struct wsdk_bytes){text, len};
}

bool rule_set_read(struct wsdk_context *root, struct wsdk_bytes text, struct rule_set *set)
{
    struct wsdk_json *doc = wsdk_json_parse(root, text);
    *set = (struct rule_set){0};
    if (doc == NULL)
        return false;
    struct wsdk_json_value top = wsdk_json_root(doc);
    if (!wsdk_json_expect(top, WSDK_JSON_OBJECT))
        return false;
    wsdk_json_check_object(top, top_fields);
    read_rules(root, wsdk_json_field(top, "basic_auth_rules"), set);
    read_realm(root, top, set);
    return wsdk_json_ok(doc);
}
