/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON of a run. It must keep its shape: scripts read it (docs/weirctl.md).
 */
#include "cli/run_report.h"

#include "base/assert.h"
#include "base/base64.h"

#include <stdio.h>
#include <stdlib.h>

static json_t *json_fields(const struct header_map *map)
{
    json_t *list = json_array();
    uint32_t cursor = 0;
    for (const struct header *h; (h = header_map_next(map, &cursor));)
        json_array_append_new(list, json_pack("[o, o]", cli_json_string(h->name), cli_json_string(h->value)));
    return list;
}

static json_t *json_base64(struct slice s)
{
    struct strbuf text;
    strbuf_init(&text, (s.len + 2) / 3 * 4 + 1);
    json_t *value = base64_append(s, &text) ? json_stringn(strbuf_cstr(&text), text.len) : json_null();
    strbuf_fini(&text);
    return value;
}

static void add_body(json_t *object, struct slice body)
{
    json_t *text = json_stringn(body.ptr ? body.ptr : "", body.len);
    if (!text) /* binary */
        json_object_set_new(object, "body_base64", json_base64(body));
    json_object_set_new(object, "body", text ? text : cli_json_string(body));
    json_object_set_new(object, "body_bytes", json_integer((json_int_t)body.len));
}

/* The bytes of one side of a connection. */
static json_t *json_bytes(const struct strbuf *bytes)
{
    json_t *object = json_object();
    add_body(object, strbuf_slice(bytes));
    return object;
}

static json_t *json_half(const struct exchange_half *half)
{
    json_t *object = json_pack("{s:o}", "headers", json_fields(&half->message.headers));
    add_body(object, strbuf_slice(&half->out));
    if (half->message.has_trailers)
        json_object_set_new(object, "trailers", json_fields(&half->message.trailers));
    return object;
}

static json_t *json_original(const struct message *m)
{
    json_t *object = json_pack("{s:o}", "headers", json_fields(&m->headers));
    add_body(object, strbuf_slice(&m->body));
    if (m->has_trailers)
        json_object_set_new(object, "trailers", json_fields(&m->trailers));
    return object;
}

/* What the client got: nothing while it waits, after a reset, or when the VM failed. */
static json_t *json_response(const struct exchange *x)
{
    const struct exchange_half *half = &x->halves[EXCHANGE_RESPONSE];
    if (x->outcome != EXCHANGE_UPSTREAM && x->outcome != EXCHANGE_LOCAL)
        return json_null();
    json_t *object = json_half(half);
    json_object_set_new(object, "status", json_integer(message_status(&half->message)));
    return object;
}

char *run_report_name(const struct message *request)
{
    struct strbuf text;
    struct slice method = header_map_get_id(&request->headers, HDR_METHOD);
    struct slice path = header_map_get_id(&request->headers, HDR_PATH);
    strbuf_init(&text, 512);
    strbuf_printf(&text, SLICE_FMT " " SLICE_FMT, SLICE_ARG(slice_take(method, 20)),
                  SLICE_ARG(slice_take(path, 200)));
    char *name = slice_strdup(strbuf_slice(&text));
    strbuf_fini(&text);
    return name;
}

/* Sent and got by the client, sent and got by the upstream: under the names that messages have. */
static json_t *report_connection(const struct exchange *x)
{
    const struct exchange_half *to = &x->halves[EXCHANGE_REQUEST], *back = &x->halves[EXCHANGE_RESPONSE];
    return json_pack("{s:s, s:o, s:o, s:o, s:o}", "kind", "tcp", "request", json_bytes(&to->message.body),
                     "upstream", json_bytes(&to->out), "answer", json_bytes(&x->answer.body), "response",
                     json_bytes(&back->out));
}

static json_t *report_message(const struct exchange *x)
{
    json_t *report = json_pack(
        "{s:s, s:o, s:o, s:o}", "kind", "http", "request", json_original(&x->test->request), "upstream",
        x->reached ? json_half(&x->halves[EXCHANGE_REQUEST]) : json_null(), "response", json_response(x));
    if (x->responding)
        json_object_set_new(report, "answer", json_original(&x->answer));
    return report;
}

json_t *run_report_request(const struct exchange *x, size_t first_line)
{
    char *name = x->test->name     ? NULL
                 : x->test->is_tcp ? slice_strdup(SLICE_LIT("connection"))
                                   : run_report_name(&x->test->request);
    json_t *report =
        json_pack("{s:o, s:s, s:o, s:o, s:O}", //
                  "name", cli_json_string(slice_str(name ? name : x->test->name)), "outcome",
                  exchange_outcome_str(x->outcome), "callouts", sandbox_take_calls(x->box), "logs",
                  journal_json_lines(&x->box->journal, first_line), "properties", x->properties);
    json_t *passed = x->test->is_tcp ? report_connection(x) : report_message(x);
    json_object_update(report, passed);
    json_decref(passed);
    if (x->reply_details && *x->reply_details)
        json_object_set_new(report, "details", cli_json_string(slice_str(x->reply_details)));
    if (x->outcome == EXCHANGE_FAILED && x->box->failure)
        json_object_set(report, "failure", x->box->failure);
    free(name);
    WEIR_ASSERT(report);
    return report;
}
