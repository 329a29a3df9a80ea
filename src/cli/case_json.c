/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases from JSON. A file is the user's own, but it must never crash the tool: every type is looked at.
 */
#include "cli/case_json.h"

#include "base/assert.h"
#include "cli/file.h"
#include "cli/limits.h"

#include <stdlib.h>
#include <string.h>

/* `names` ends with NULL. */
static bool only_members(const json_t *object, const char *const *names, const char *what,
                         struct cases_error *error)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return cases_fail(error, "%s must be an object", what);
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        const char *const *name = names;
        while (*name && strcmp(*name, key) != 0)
            name++;
        if (!*name)
            return cases_fail(error, "%s: there is no member \"%.100s\"; known are %s%s%s%s%s ...", what, key,
                              names[0], names[1] ? ", " : "", names[1] ? names[1] : "",
                              names[1] && names[2] ? ", " : "", names[1] && names[2] ? names[2] : "");
    }
    return true;
}

static struct slice text_of(const json_t *value)
{
    return slice_of(json_string_value(value), json_string_length(value));
}

static bool add_field(struct message *m, struct header_map *map, const char *name, const json_t *value,
                      struct cases_error *error)
{
    struct message_error inner;
    if (!json_is_string(value))
        return cases_fail(error, "headers: the value of \"%.100s\" must be a string", name);
    if (map == &m->trailers) {
        if (header_map_add(map, slice_str(name), text_of(value)) == HEADER_OK)
            return true;
        return cases_fail(error, "trailers: \"%.100s\" or its value is not allowed", name);
    }
    return message_add(m, slice_str(name), text_of(value), &inner) ||
           cases_fail(error, "headers: %s", inner.text);
}

/* {"name": "value" | ["value", ...]} or [["name", "value"], ...]. */
static bool read_fields(struct message *m, struct header_map *map, const json_t *fields,
                        struct cases_error *error)
{
    const char *key;
    json_t *value;
    size_t i;
    if (json_is_array(fields)) {
        json_array_foreach((json_t *)(uintptr_t)fields, i, value)
        {
            const char *name = json_string_value(json_array_get(value, 0));
            if (!name || json_array_size(value) != 2)
                return cases_fail(error, "headers in an array are pairs: [\"name\", \"value\"]");
            if (!add_field(m, map, name, json_array_get(value, 1), error))
                return false;
        }
        return true;
    }
    if (!json_is_object(fields))
        return cases_fail(error, "headers must be an object: {\"name\": \"value\"}");
    json_object_foreach((json_t *)(uintptr_t)fields, key, value)
    {
        size_t count = json_is_array(value) ? json_array_size(value) : 1;
        for (i = 0; i < count; i++)
            if (!add_field(m, map, key, json_is_array(value) ? json_array_get(value, i) : value, error))
                return false;
    }
    return true;
}

static bool read_parts(struct message *m, const json_t *value, struct cases_error *error)
{
    const json_t *headers = json_object_get(value, "headers"), *body = json_object_get(value, "body");
    const json_t *trailers = json_object_get(value, "trailers");
    if (headers && !read_fields(m, &m->headers, headers, error))
        return false;
    if (trailers && !read_fields(m, &m->trailers, trailers, error))
        return false;
    m->has_trailers = trailers != NULL;
    if (json_is_string(body)) {
        strbuf_append(&m->body, text_of(body));
    } else if (json_is_object(body) || json_is_array(body)) {
        char *text = json_dumps(body, JSON_COMPACT);
        strbuf_append_str(&m->body, text ? text : "");
        free(text);
    } else if (body) {
        return cases_fail(error, "body must be a string, or JSON to be sent as text");
    }
    return true;
}

static bool read_request(struct message *m, const json_t *value, struct cases_error *error)
{
    static const char *const members[] = {"method", "url", "path", "headers", "body", "trailers", NULL};
    struct message_error inner;
    if (!only_members(value, members, "request", error))
        return false;
    const json_t *method = json_object_get(value, "method"), *url = json_object_get(value, "url");
    const json_t *path = json_object_get(value, "path");
    if ((method && !json_is_string(method)) || (url && !json_is_string(url)) ||
        (path && !json_is_string(path)))
        return cases_fail(error, "request: method, url and path are strings");
    if (method && (!header_name_valid(text_of(method)) ||
                   header_map_set_id(&m->headers, HDR_METHOD, text_of(method)) != HEADER_OK))
        return cases_fail(error, "request: the method is not valid");
    if (url && !message_set_url(m, text_of(url), &inner))
        return cases_fail(error, "request: %s", inner.text);
    if (path && !message_set_url(m, text_of(path), &inner))
        return cases_fail(error, "request: %s", inner.text);
    if (!read_parts(m, value, error))
        return false;
    message_complete_request(m);
    return true;
}

static bool read_response(struct message *m, const json_t *value, struct cases_error *error)
{
    static const char *const members[] = {"status", "headers", "body", "trailers", NULL};
    if (!only_members(value, members, "response", error))
        return false;
    const json_t *status = json_object_get(value, "status");
    json_int_t number = json_integer_value(status);
    if (status && (!json_is_integer(status) || number < 200 || number > 599))
        return cases_fail(error, "response: status must be a number from 200 to 599");
    if (!read_parts(m, value, error))
        return false;
    if (status)
        message_set_status(m, (unsigned)number);
    message_complete_response(m);
    return true;
}

bool case_json_message(struct message *m, const json_t *value, bool is_response, struct cases_error *error)
{
    return is_response ? read_response(m, value, error) : read_request(m, value, error);
}

/* --- expectations --- */

static bool check_fields(const json_t *fields, const char *what, struct cases_error *error)
{
    const char *key;
    json_t *value;
    if (!json_is_object(fields))
        return cases_fail(error, "expect.%s must be an object", what);
    json_object_foreach((json_t *)(uintptr_t)fields, key, value)
    {
        bool contains = json_is_object(value) && json_is_string(json_object_get(value, "contains"));
        if (!json_is_string(value) && !json_is_null(value) && !json_is_array(value) && !contains)
            return cases_fail(error,
                              "expect.%s.%.100s must be a string, null (absent), an array (all values) or "
                              "{\"contains\": \"text\"}",
                              what, key);
    }
    return true;
}

static bool check_message(const json_t *message, const char *what, struct cases_error *error)
{
    static const char *const members[] = {"status", "headers", "body", "body_contains", "trailers", NULL};
    if (json_is_null(message))
        return true;
    if (!only_members(message, members, what, error))
        return false;
    const json_t *headers = json_object_get(message, "headers");
    const json_t *trailers = json_object_get(message, "trailers");
    const json_t *status = json_object_get(message, "status");
    if (status && !json_is_integer(status))
        return cases_fail(error, "%s.status must be a number", what);
    return (!headers || check_fields(headers, "headers", error)) &&
           (!trailers || check_fields(trailers, "trailers", error));
}

bool case_json_check_expect(const json_t *expect, struct cases_error *error)
{
    static const char *const members[] = {"response", "upstream", "outcome", "logs", "metrics", NULL};
    if (!only_members(expect, members, "expect", error))
        return false;
    const json_t *response = json_object_get(expect, "response"), *logs = json_object_get(expect, "logs");
    const json_t *upstream = json_object_get(expect, "upstream"), *log;
    const json_t *metrics = json_object_get(expect, "metrics"), *outcome = json_object_get(expect, "outcome");
    size_t i;
    if (outcome && !json_is_string(outcome))
        return cases_fail(error, "expect.outcome must be a string");
    if (metrics && !json_is_object(metrics))
        return cases_fail(error, "expect.metrics must be an object: {\"name\": 1}");
    if (logs && !json_is_array(logs))
        return cases_fail(error, "expect.logs must be an array of strings");
    json_array_foreach((json_t *)(uintptr_t)logs, i, log)
    {
        if (!json_is_string(log))
            return cases_fail(error, "expect.logs must be an array of strings");
    }
    return (!response || check_message(response, "expect.response", error)) &&
           (!upstream || check_message(upstream, "expect.upstream", error));
}

/* --- cases --- */

/* A string is the name of a file with HTTP text. */
static bool read_message_or_file(struct message *m, const json_t *value, bool is_response,
                                 const char *directory, struct cases_error *error)
{
    struct file_error file_error;
    struct message_error inner;
    struct strbuf text;
    if (!json_is_string(value))
        return case_json_message(m, value, is_response, error);
    char *path = cases_path(directory, json_string_value(value));
    bool done = false;
    if (is_response) {
        done = cases_read_response(m, path, error);
    } else if (file_read(path, CLI_FILE_BYTES_MAX, &text, &file_error)) {
        done = message_parse_request(m, strbuf_slice(&text), &inner) ||
               cases_fail(error, "%s: %s", path, inner.text);
        strbuf_fini(&text);
    } else {
        cases_fail(error, "%s", file_error.text);
    }
    free(path);
    return done;
}

/* "text", or {"file": "name"} for bytes that are no text. */
static bool read_bytes(struct strbuf *out, const json_t *value, const char *directory,
                       struct cases_error *error)
{
    static const char *const members[] = {"file", NULL};
    struct file_error file_error;
    struct strbuf content;
    const json_t *file = json_object_get(value, "file");
    if (json_is_string(value)) {
        strbuf_append(out, text_of(value));
        return true;
    }
    if (!json_is_string(file))
        return cases_fail(error, "tcp: bytes are a string, or {\"file\": \"name\"}");
    if (!only_members(value, members, "tcp: bytes", error))
        return false;
    char *path = cases_path(directory, json_string_value(file));
    bool done = file_read(path, CLI_FILE_BYTES_MAX, &content, &file_error) ||
                cases_fail(error, "%s", file_error.text);
    if (done) {
        strbuf_append(out, strbuf_slice(&content));
        strbuf_fini(&content);
    }
    free(path);
    return done;
}

/* Whether it comes before an end, and what its side sends is still no more than is kept. */
static bool last_step_fits(const struct test_case *c, struct cases_error *error)
{
    const struct tcp_step *step = &c->steps[c->steps_count - 1];
    size_t bytes = step->bytes.len;
    for (size_t i = 0; i + 1 < c->steps_count; i++) {
        const struct tcp_step *before = &c->steps[i];
        bool same_side = before->from_upstream == step->from_upstream;
        if (before->close || (before->end && same_side && (step->bytes.len > 0 || !step->close)))
            return cases_fail(error, "tcp: step %zu sends after step %zu ended it", c->steps_count, i + 1);
        bytes += same_side ? before->bytes.len : 0;
    }
    return bytes <= CLI_BODY_BYTES_MAX ||
           cases_fail(error, "tcp: a side sends more than %u bytes with step %zu", CLI_BODY_BYTES_MAX,
                      c->steps_count);
}

static bool read_step(struct test_case *c, const json_t *value, const char *directory,
                      struct cases_error *error)
{
    static const char *const members[] = {"client", "upstream", "end", "close", NULL};
    const json_t *client = json_object_get(value, "client"), *upstream = json_object_get(value, "upstream");
    const json_t *end = json_object_get(value, "end"), *close = json_object_get(value, "close");
    if (!only_members(value, members, "a step of tcp", error))
        return false;
    if (!client == !upstream || (end && !json_is_boolean(end)) || (close && !json_is_boolean(close)))
        return cases_fail(error, "tcp: a step has the bytes of \"client\" or of \"upstream\", and perhaps "
                                 "\"end\" or \"close\", true or false");
    struct tcp_step *step = cases_add_step(c, error);
    if (!step)
        return false;
    step->from_upstream = upstream != NULL;
    step->end = json_is_true(end) || json_is_true(close);
    step->close = json_is_true(close);
    return read_bytes(&step->bytes, upstream ? upstream : client, directory, error) &&
           last_step_fits(c, error);
}

/* The client's bytes alone, or an array of steps. */
static bool read_tcp(struct test_case *c, const json_t *value, const char *directory,
                     struct cases_error *error)
{
    const json_t *item;
    size_t i;
    if (!json_is_array(value)) {
        struct tcp_step *step = cases_add_step(c, error);
        if (step)
            step->end = true;
        return step && read_bytes(&step->bytes, value, directory, error);
    }
    c->is_tcp = true;
    json_array_foreach((json_t *)(uintptr_t)value, i, item)
    {
        if (!read_step(c, item, directory, error))
            return false;
    }
    return true;
}

static bool read_case(struct cases *cases, const json_t *value, const char *directory,
                      struct cases_error *error)
{
    static const char *const members[] = {"name", "request", "response", "expect", "tcp", NULL};
    struct test_case *c;
    const json_t *tcp = json_object_get(value, "tcp"), *request = json_object_get(value, "request");
    if (!request && !tcp) { /* a request alone */
        c = cases_add(cases, error);
        return c && read_request(&c->request, value, error);
    }
    if (!only_members(value, members, "a case", error) || !(c = cases_add(cases, error)))
        return false;
    const char *name = json_string_value(json_object_get(value, "name"));
    json_t *response = json_object_get(value, "response"), *expect = json_object_get(value, "expect");
    if (name)
        c->name = slice_strdup(slice_str(name));
    if (tcp && (request || response))
        return cases_fail(error, "tcp is a connection: it has neither request nor response");
    if (tcp && !read_tcp(c, tcp, directory, error))
        return false;
    if (request && !read_message_or_file(&c->request, request, false, directory, error))
        return false;
    if (response && !read_message_or_file(&c->response, response, true, directory, error))
        return false;
    c->has_response = response != NULL;
    if (expect && !case_json_check_expect(expect, error))
        return false;
    c->expect = json_incref(expect);
    return true;
}

static char *config_text(const json_t *value)
{
    if (json_is_string(value))
        return slice_strdup(text_of(value));
    char *dumped = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    char *text = slice_strdup(slice_str(dumped));
    free(dumped);
    return text;
}

static bool read_callouts(struct cases *cases, const json_t *callouts, const char *directory,
                          struct cases_error *error)
{
    const char *key;
    json_t *value;
    if (!json_is_object(callouts))
        return cases_fail(error, "callouts must be an object: {\"cluster\": answer}");
    json_object_foreach((json_t *)(uintptr_t)callouts, key, value)
    {
        struct test_callout *c = cases_new_callout(cases, slice_str(key), error);
        if (!c)
            return false;
        c->fails = json_is_null(value);
        if (!c->fails && !read_message_or_file(&c->answer, value, true, directory, error))
            return false;
    }
    return true;
}

static bool read_settings(struct cases *cases, const json_t *value, const char *directory,
                          struct cases_error *error)
{
    const json_t *config = json_object_get(value, "config"), *vm_config = json_object_get(value, "vm_config");
    const json_t *root_id = json_object_get(value, "root_id"), *name = json_object_get(value, "plugin_name");
    const json_t *ticks = json_object_get(value, "ticks"), *callouts = json_object_get(value, "callouts");
    json_t *properties = json_object_get(value, "properties");
    if ((root_id && !json_is_string(root_id)) || (name && !json_is_string(name)))
        return cases_fail(error, "root_id and plugin_name are strings");
    if (ticks && (json_integer_value(ticks) < 0 || json_integer_value(ticks) > (json_int_t)CLI_TICKS_MAX))
        return cases_fail(error, "ticks must be a number from 0 to %u", CLI_TICKS_MAX);
    if (properties && !json_is_object(properties))
        return cases_fail(error, "properties must be an object: {\"a.b\": value}");
    if (config && !cases->config)
        cases->config = config_text(config);
    if (vm_config && !cases->vm_config)
        cases->vm_config = config_text(vm_config);
    if (root_id && !cases->root_id)
        cases->root_id = slice_strdup(text_of(root_id));
    if (name && !cases->name)
        cases->name = slice_strdup(text_of(name));
    if (ticks)
        cases->ticks = (uint32_t)json_integer_value(ticks);
    if (properties)
        json_object_update_missing(cases->properties, properties);
    return !callouts || read_callouts(cases, callouts, directory, error);
}

bool case_json_read(struct cases *cases, const json_t *value, const char *directory,
                    struct cases_error *error)
{
    static const char *const members[] = {"requests", "config",   "vm_config",  "root_id", "plugin_name",
                                          "ticks",    "callouts", "properties", NULL};
    const json_t *list = value;
    struct cases_error inner;
    json_t *item;
    size_t i;
    if (json_is_object(value) && json_object_get(value, "requests")) {
        list = json_object_get(value, "requests");
        if (!only_members(value, members, "a test file", error) ||
            !read_settings(cases, value, directory, error))
            return false;
    } else if (json_is_object(value)) {
        return read_case(cases, value, directory, error);
    }
    if (!json_is_array(list))
        return cases_fail(error, "requests must be an array");
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        if (!read_case(cases, item, directory, &inner))
            return cases_fail(error, "request %zu: %s", i + 1, inner.text);
    }
    return true;
}
