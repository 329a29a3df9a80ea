/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expectations against reports. The shape of an expectation was checked when it was read (case_json.c).
 */
#include "base/strbuf.h"
#include "cli/limits.h"
#include "cli/run_report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void differ(json_t *list, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void differ(json_t *list, const char *fmt, ...)
{
    struct strbuf text;
    va_list args;
    strbuf_init(&text, CLI_TEXT_BYTES_MAX);
    va_start(args, fmt);
    strbuf_vprintf(&text, fmt, args);
    va_end(args);
    json_array_append_new(list, cli_json_string(strbuf_slice(&text)));
    strbuf_fini(&text);
}

/* All values of a header, as an array of strings. */
static json_t *values_of(const json_t *fields, const char *name)
{
    json_t *values = json_array();
    for (size_t i = 0; i < json_array_size(fields); i++) {
        const json_t *pair = json_array_get(fields, i);
        struct slice field = slice_str(json_string_value(json_array_get(pair, 0)));
        if (slice_eq_nocase(field, slice_str(name)))
            json_array_append(values, json_array_get(pair, 1));
    }
    return values;
}

static void compare_field(json_t *list, const char *what, const char *name, const json_t *wanted,
                          const json_t *fields)
{
    json_t *values = values_of(fields, name);
    const char *contains = json_string_value(json_object_get(wanted, "contains"));
    size_t count = json_array_size(values);
    bool same = false;
    for (size_t i = 0; i < count && !same; i++) {
        const json_t *value = json_array_get(values, i);
        same = contains ? strstr(json_string_value(value), contains) != NULL : json_equal(wanted, value);
    }
    if (json_is_null(wanted))
        same = count == 0;
    if (json_is_array(wanted))
        same = json_equal(wanted, values);
    if (!same) {
        char *has = json_dumps(values, JSON_COMPACT),
             *wants = json_dumps(wanted, JSON_COMPACT | JSON_ENCODE_ANY);
        differ(list, "%s header %s: expected %s, got %s", what, name,
               json_is_null(wanted) ? "none"
               : wants              ? wants
                                    : "",
               count ? (has ? has : "") : "none");
        free(has);
        free(wants);
    }
    json_decref(values);
}

static void compare_fields(json_t *list, const char *what, const json_t *wanted, const json_t *fields)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)wanted, name, value)
        compare_field(list, what, name, value, fields);
}

static void compare_body(json_t *list, const char *what, const json_t *wanted, const json_t *message)
{
    const json_t *body = json_object_get(wanted, "body"), *part = json_object_get(wanted, "body_contains");
    const char *has = json_string_value(json_object_get(message, "body"));
    char *text = body && !json_is_string(body) ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    const char *wants = text ? text : json_string_value(body);
    if (wants && strcmp(wants, has) != 0)
        differ(list, "%s body: expected \"%.500s\", got \"%.500s\"", what, wants, has);
    if (part && !strstr(has, json_string_value(part) ? json_string_value(part) : ""))
        differ(list, "%s body: \"%.500s\" is not in \"%.500s\"", what, json_string_value(part), has);
    free(text);
}

static void compare_message(json_t *list, const char *what, const json_t *wanted, const json_t *message)
{
    const json_t *status = json_object_get(wanted, "status");
    if (!wanted || (json_is_null(wanted) && !json_is_object(message)))
        return;
    if (json_is_null(wanted) || !json_is_object(message)) {
        differ(list, "%s: expected %s", what,
               json_is_null(wanted) ? "none, there is one" : "one, there is none");
        return;
    }
    if (status && !json_equal(status, json_object_get(message, "status")))
        differ(list, "%s status: expected %" JSON_INTEGER_FORMAT ", got %" JSON_INTEGER_FORMAT, what,
               json_integer_value(status), json_integer_value(json_object_get(message, "status")));
    compare_fields(list, what, json_object_get(wanted, "headers"), json_object_get(message, "headers"));
    compare_fields(list, what, json_object_get(wanted, "trailers"), json_object_get(message, "trailers"));
    compare_body(list, what, wanted, message);
}

static void compare_logs(json_t *list, const json_t *wanted, const json_t *logs)
{
    for (size_t i = 0; i < json_array_size(wanted); i++) {
        const char *text = json_string_value(json_array_get(wanted, i));
        bool found = false;
        for (size_t k = 0; k < json_array_size(logs) && !found; k++)
            found = strstr(json_string_value(json_object_get(json_array_get(logs, k), "text")), text) != NULL;
        if (!found)
            differ(list, "log: no line contains \"%.500s\"", text);
    }
}

static void compare_metrics(json_t *list, const json_t *wanted, const json_t *metrics)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)wanted, name, value)
    {
        const json_t *has = json_object_get(json_object_get(metrics, name), "value");
        if (!has)
            differ(list, "metric %s: it is not defined", name);
        else if (json_integer_value(has) != json_integer_value(value))
            differ(list, "metric %s: expected %" JSON_INTEGER_FORMAT ", got %" JSON_INTEGER_FORMAT, name,
                   json_integer_value(value), json_integer_value(has));
    }
}

json_t *expect_compare(const json_t *expect, const json_t *request, const json_t *metrics)
{
    json_t *list = json_array();
    const char *outcome = json_string_value(json_object_get(expect, "outcome"));
    const char *has = json_string_value(json_object_get(request, "outcome"));
    if (outcome && strcmp(outcome, has) != 0)
        differ(list, "outcome: expected %s, got %s", outcome, has);
    compare_message(list, "upstream", json_object_get(expect, "upstream"),
                    json_object_get(request, "upstream"));
    compare_message(list, "response", json_object_get(expect, "response"),
                    json_object_get(request, "response"));
    compare_logs(list, json_object_get(expect, "logs"), json_object_get(request, "logs"));
    compare_metrics(list, json_object_get(expect, "metrics"), metrics);
    return list;
}
