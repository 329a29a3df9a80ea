/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of cases, and its text forms.
 */
#include "cli/cases.h"

#include "base/assert.h"
#include "cli/case_json.h"
#include "cli/cli.h"
#include "cli/file.h"
#include "cli/limits.h"
#include "http/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cases_fail(struct cases_error *error, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(error->text, sizeof(error->text), fmt, args);
    va_end(args);
    return false;
}

void cases_init(struct cases *cases)
{
    *cases = (struct cases){.properties = json_object()};
}

void cases_fini(struct cases *cases)
{
    for (size_t i = 0; i < cases->count; i++) {
        free(cases->items[i].name);
        message_fini(&cases->items[i].request);
        message_fini(&cases->items[i].response);
        json_decref(cases->items[i].expect);
        for (size_t k = 0; k < cases->items[i].steps_count; k++)
            strbuf_fini(&cases->items[i].steps[k].bytes);
        free(cases->items[i].steps);
    }
    for (size_t i = 0; i < cases->callouts_count; i++) {
        free(cases->callouts[i].cluster);
        message_fini(&cases->callouts[i].answer);
    }
    free(cases->items);
    free(cases->callouts);
    json_decref(cases->properties);
    free(cases->config);
    free(cases->vm_config);
    free(cases->root_id);
    free(cases->name);
}

/* The maps of a message point to its arena, which moves with it. */
static void message_moved(struct message *m)
{
    m->headers.arena = &m->arena;
    m->trailers.arena = &m->arena;
}

/* The list with room for one more; NULL after an error. */
static void *grown(void *items, size_t count, size_t size, const char *what, struct cases_error *error)
{
    void *bigger = count < CLI_LIST_MAX ? realloc(items, (count + 1) * size) : NULL;
    if (!bigger)
        cases_fail(error, "too many %s: at most %u", what, CLI_LIST_MAX);
    return bigger;
}

struct test_case *cases_add(struct cases *cases, struct cases_error *error)
{
    struct test_case *bigger = grown(cases->items, cases->count, sizeof(*bigger), "requests", error);
    if (!bigger)
        return NULL;
    cases->items = bigger;
    for (size_t i = 0; i < cases->count; i++) {
        message_moved(&bigger[i].request);
        message_moved(&bigger[i].response);
    }
    struct test_case *c = &bigger[cases->count++];
    *c = (struct test_case){0};
    message_init(&c->request);
    message_init(&c->response);
    return c;
}

struct test_callout *cases_new_callout(struct cases *cases, struct slice cluster, struct cases_error *error)
{
    struct test_callout *bigger =
        grown(cases->callouts, cases->callouts_count, sizeof(*bigger), "callouts", error);
    if (!bigger)
        return NULL;
    cases->callouts = bigger;
    for (size_t i = 0; i < cases->callouts_count; i++)
        message_moved(&bigger[i].answer);
    struct test_callout *c = &bigger[cases->callouts_count++];
    *c = (struct test_callout){.cluster = slice_strdup(cluster)};
    message_init(&c->answer);
    return c;
}

struct tcp_step *cases_add_step(struct test_case *c, struct cases_error *error)
{
    struct tcp_step *bigger =
        grown(c->steps, c->steps_count, sizeof(*bigger), "steps of a connection", error);
    if (!bigger)
        return NULL;
    c->is_tcp = true;
    c->steps = bigger;
    struct tcp_step *step = &bigger[c->steps_count++];
    *step = (struct tcp_step){0};
    strbuf_init(&step->bytes, CLI_BODY_BYTES_MAX);
    return step;
}

static bool add_bytes(struct test_case *c, bool from_upstream, struct slice bytes, struct cases_error *error)
{
    struct tcp_step *step = cases_add_step(c, error);
    if (!step)
        return false;
    step->from_upstream = from_upstream;
    step->end = true;
    strbuf_append(&step->bytes, bytes);
    return true;
}

bool cases_add_tcp(struct cases *cases, struct slice bytes, struct cases_error *error)
{
    struct test_case *c = cases_add(cases, error);
    return c && add_bytes(c, false, bytes, error);
}

bool cases_tcp_is_answered(const struct test_case *c)
{
    for (size_t i = 0; i < c->steps_count; i++)
        if (c->steps[i].from_upstream)
            return true;
    return false;
}

bool cases_set_tcp_answer(struct cases *cases, struct slice bytes, struct cases_error *error)
{
    bool done = true;
    for (size_t i = 0; done && i < cases->count; i++)
        if (cases->items[i].is_tcp && !cases_tcp_is_answered(&cases->items[i]))
            done = add_bytes(&cases->items[i], true, bytes, error);
    return done;
}

char *cases_path(const char *directory, const char *path)
{
    char joined[CLI_PATH_BYTES];
    if (path[0] == '/' || !directory || !file_join(joined, directory, path))
        return slice_strdup(slice_str(path));
    return slice_strdup(slice_str(joined));
}

static bool is_json(struct slice text)
{
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[0]) && text.ptr[0])
        text = slice_skip(text, 1);
    return text.len > 0 && (text.ptr[0] == '{' || text.ptr[0] == '[');
}

static json_t *parse_json(struct slice text, const char *path, struct cases_error *error)
{
    json_error_t why;
    json_t *value = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!value)
        cases_fail(error, "%s, line %d, column %d: %s", path, why.line, why.column, why.text);
    return value;
}

static bool add_json(struct cases *cases, struct slice text, const char *path, struct cases_error *error)
{
    struct cases_error inner;
    json_t *value = parse_json(text, path, error);
    if (!value)
        return false;
    char *directory = slice_strdup(slice_of(path, (size_t)(file_base_name(path) - path)));
    bool done = case_json_read(cases, value, directory && *directory ? directory : NULL, &inner) ||
                cases_fail(error, "%s: %s", path, inner.text);
    free(directory);
    json_decref(value);
    return done;
}

static bool add_text(struct cases *cases, struct slice text, const char *path, struct cases_error *error)
{
    struct message_error inner;
    struct test_case *c = cases_add(cases, error);
    if (!c)
        return false;
    return message_parse_request(&c->request, text, &inner) || cases_fail(error, "%s: %s", path, inner.text);
}

/* The offset of the next line that begins with "###", from which its name is taken; or the end. */
static size_t find_separator(struct slice text, size_t from, struct slice *name, size_t *next)
{
    for (size_t at = from; at < text.len;) {
        struct slice rest = slice_skip(text, at);
        ptrdiff_t end = slice_find_char(rest, '\n');
        size_t line_len = end < 0 ? rest.len : (size_t)end + 1;
        if (slice_starts_with(rest, SLICE_LIT("###"))) {
            struct slice line = slice_take(rest, end < 0 ? rest.len : (size_t)end);
            *name = slice_trim(slice_skip(line, 3));
            if (name->len > 0 && name->ptr[name->len - 1] == '\r')
                name->len--;
            *next = at + line_len;
            return at;
        }
        at += line_len;
    }
    *next = text.len;
    return text.len;
}

static bool only_comments(struct slice text)
{
    struct slice rest = text;
    for (struct slice line; rest.ptr && slice_split(&rest, '\n', &line);) {
        line = slice_trim(line);
        if (line.len > 0 && line.ptr[0] != '#' && line.ptr[0] != '\r' &&
            !slice_starts_with(line, SLICE_LIT("//")))
            return false;
    }
    return true;
}

/* .http files of editors: requests with "### name" between. */
static bool add_http_file(struct cases *cases, struct slice text, const char *path, struct cases_error *error)
{
    struct slice name = SLICE_EMPTY;
    for (size_t at = 0; at < text.len;) {
        struct slice next_name = SLICE_EMPTY;
        size_t next;
        size_t end = find_separator(text, at, &next_name, &next);
        struct slice part = slice_of(text.ptr + at, end - at);
        if (!only_comments(part)) {
            if (!add_text(cases, part, path, error))
                return false;
            if (name.len > 0)
                cases->items[cases->count - 1].name = slice_strdup(name);
        }
        name = next_name;
        at = next;
    }
    return true;
}

bool cases_add_file(struct cases *cases, const char *path, struct cases_error *error)
{
    struct file_error file_error;
    struct strbuf text;
    size_t before = cases->count;
    if (!file_read(path, CLI_FILE_BYTES_MAX, &text, &file_error))
        return cases_fail(error, "%s", file_error.text);
    struct slice all = strbuf_slice(&text);
    bool done = is_json(all) ? add_json(cases, all, path, error) : add_http_file(cases, all, path, error);
    strbuf_fini(&text);
    if (done && cases->count == before)
        return cases_fail(error, "%s holds no request", path);
    return done;
}

static bool add_line(struct cases *cases, struct slice method, struct slice url, struct cases_error *error)
{
    struct message_error inner;
    struct test_case *c = cases_add(cases, error);
    if (!c)
        return false;
    if (header_map_set_id(&c->request.headers, HDR_METHOD, method) != HEADER_OK ||
        !message_set_url(&c->request, url, &inner))
        return cases_fail(error, "%s", inner.text);
    message_complete_request(&c->request);
    return true;
}

static bool is_method(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 'A' || s.ptr[i] > 'Z')
            return false;
    return s.len > 0;
}

bool cases_add_request(struct cases *cases, const char *argument, struct cases_error *error)
{
    struct slice all = slice_str(argument);
    ptrdiff_t space = slice_find_char(all, ' ');
    if (strcmp(argument, "-") == 0 || (file_exists(argument) && !file_is_directory(argument)))
        return cases_add_file(cases, argument, error);
    if (slice_starts_with(all, SLICE_LIT("http://")) || slice_starts_with(all, SLICE_LIT("https://")) ||
        slice_starts_with(all, SLICE_LIT("/")))
        return add_line(cases, SLICE_LIT("GET"), all, error);
    if (space > 0 && is_method(slice_take(all, (size_t)space)))
        return add_line(cases, slice_take(all, (size_t)space), slice_skip(all, (size_t)space + 1), error);
    if (is_method(all))
        return add_line(cases, all, SLICE_LIT("/"), error);
    return cases_fail(error,
                      "\"%.200s\" is no file, URL, path or method: write a file's name, "
                      "http://host/path, \"POST /path\" or DELETE",
                      argument);
}

bool cases_read_response(struct message *m, const char *path, struct cases_error *error)
{
    struct file_error file_error;
    struct message_error inner;
    struct cases_error deeper;
    struct strbuf text;
    bool done = false;
    if (!file_read(path, CLI_FILE_BYTES_MAX, &text, &file_error))
        return cases_fail(error, "%s", file_error.text);
    struct slice all = strbuf_slice(&text);
    if (is_json(all)) {
        json_t *value = parse_json(all, path, error);
        done = value &&
               (case_json_message(m, value, true, &deeper) || cases_fail(error, "%s: %s", path, deeper.text));
        json_decref(value);
    } else {
        done = message_parse_response(m, all, &inner) || cases_fail(error, "%s: %s", path, inner.text);
    }
    strbuf_fini(&text);
    return done;
}

bool cases_set_response(struct cases *cases, const char *path, struct cases_error *error)
{
    struct message response;
    message_init(&response);
    bool done = cases_read_response(&response, path, error);
    for (size_t i = 0; done && i < cases->count; i++) {
        if (cases->items[i].has_response)
            continue;
        message_copy(&cases->items[i].response, &response);
        cases->items[i].has_response = true;
    }
    message_fini(&response);
    return done;
}

static bool set_expect(struct cases *cases, json_t *value, const char *path, struct cases_error *error)
{
    struct cases_error inner;
    if (json_is_array(value) && json_array_size(value) != cases->count)
        return cases_fail(error, "%s has %zu expectations for %zu requests", path, json_array_size(value),
                          cases->count);
    for (size_t i = 0; i < cases->count; i++) {
        json_t *expect = json_is_array(value) ? json_array_get(value, i) : value;
        if (!case_json_check_expect(expect, &inner))
            return cases_fail(error, "%s: %s", path, inner.text);
        json_decref(cases->items[i].expect);
        cases->items[i].expect = json_incref(expect);
    }
    return true;
}

bool cases_set_expect(struct cases *cases, const char *path, struct cases_error *error)
{
    struct file_error file_error;
    struct strbuf text;
    if (!file_read(path, CLI_FILE_BYTES_MAX, &text, &file_error))
        return cases_fail(error, "%s", file_error.text);
    json_t *value = parse_json(strbuf_slice(&text), path, error);
    strbuf_fini(&text);
    bool done = value && set_expect(cases, value, path, error);
    json_decref(value);
    return done;
}

bool cases_add_callout(struct cases *cases, const char *argument, struct cases_error *error)
{
    struct slice all = slice_str(argument);
    ptrdiff_t equals = slice_find_char(all, '=');
    if (equals <= 0)
        return cases_fail(error, "\"%.200s\" is no callout: write CLUSTER=FILE, CLUSTER=200 or CLUSTER=none",
                          argument);
    struct test_callout *c = cases_new_callout(cases, slice_take(all, (size_t)equals), error);
    const char *answer = argument + equals + 1;
    unsigned status = status_parse(slice_str(answer));
    if (!c)
        return false;
    c->fails = strcmp(answer, "none") == 0;
    if (c->fails)
        return true;
    if (status == 0)
        return cases_read_response(&c->answer, answer, error);
    message_set_status(&c->answer, status);
    message_complete_response(&c->answer);
    return true;
}

bool cases_add_property(struct cases *cases, const char *argument, struct cases_error *error)
{
    struct slice all = slice_str(argument);
    ptrdiff_t equals = slice_find_char(all, '=');
    if (equals <= 0)
        return cases_fail(error, "\"%.200s\" is no property: write NAME=TEXT, or NAME:=JSON", argument);
    bool typed = equals > 1 && all.ptr[equals - 1] == ':';
    char *name = slice_strdup(slice_take(all, (size_t)equals - typed));
    struct slice text = slice_skip(all, (size_t)equals + 1);
    json_t *value = typed ? parse_json(text, argument, error) : cli_json_string(text);
    bool done = value && json_object_set_new(cases->properties, name, value) == 0;
    free(name);
    return done;
}

const struct test_callout *cases_find_callout(const struct cases *cases, struct slice cluster)
{
    for (size_t i = 0; i < cases->callouts_count; i++)
        if (slice_eq(slice_str(cases->callouts[i].cluster), cluster))
            return &cases->callouts[i];
    return NULL;
}
