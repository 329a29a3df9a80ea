/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of a run as text, in the manner of curl -v: ">" is the request as the upstream gets it, "<" the
 * answer as the client gets it, "+" and "-" in front are what the plugin added and removed.
 */
#include "cli/run_report.h"

#include <inttypes.h>
#include <string.h>

#define BODY_LINES_BYTES 2000u /* of a body that are shown without --verbose */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static bool has_pair(const json_t *fields, const json_t *pair)
{
    for (size_t i = 0; i < json_array_size(fields); i++)
        if (json_equal(json_array_get(fields, i), pair))
            return true;
    return false;
}

static void print_pair(FILE *out, char arrow, char change, const json_t *pair)
{
    fprintf(out, "%c%c %s: %s\n", arrow, change, json_string_value(json_array_get(pair, 0)),
            json_string_value(json_array_get(pair, 1)));
}

/* `before` NULL: there is nothing to compare with. */
static void print_fields(FILE *out, char arrow, const json_t *fields, const json_t *before)
{
    for (size_t i = 0; i < json_array_size(fields); i++) {
        const json_t *pair = json_array_get(fields, i);
        print_pair(out, arrow, !before || has_pair(before, pair) ? ' ' : '+', pair);
    }
    for (size_t i = 0; i < json_array_size(before); i++)
        if (!has_pair(fields, json_array_get(before, i)))
            print_pair(out, arrow, '-', json_array_get(before, i));
}

static void print_body(FILE *out, const json_t *message, bool whole)
{
    const char *body = text_of(message, "body");
    uint64_t bytes = (uint64_t)json_integer_value(json_object_get(message, "body_bytes"));
    char size[CLI_SIZE_TEXT];
    if (bytes == 0)
        return;
    if (json_object_get(message, "body_base64")) {
        fprintf(out, "{ %s of binary data }\n", cli_size_text(bytes, size));
        return;
    }
    if (bytes > BODY_LINES_BYTES && !whole) {
        fprintf(out, "%.*s\n{ %s in all; --verbose shows them }\n", (int)BODY_LINES_BYTES, body,
                cli_size_text(bytes, size));
        return;
    }
    fprintf(out, "%s%s", body, body[strlen(body) - 1] == '\n' ? "" : "\n");
}

static void print_message(FILE *out, char arrow, const json_t *message, const json_t *before, bool whole)
{
    const json_t *headers = json_object_get(message, "headers"); /* bytes of a connection have none */
    json_int_t bytes = json_integer_value(json_object_get(message, "body_bytes"));
    print_fields(out, arrow, headers, json_object_get(before, "headers"));
    if (headers)
        fprintf(out, "%c\n", arrow);
    else if (bytes > 0)
        fprintf(out, "%c  %" JSON_INTEGER_FORMAT " bytes:\n", arrow, bytes);
    print_body(out, message, whole);
    print_fields(out, arrow, json_object_get(message, "trailers"), NULL);
}

static void print_logs(FILE *out, const json_t *logs)
{
    for (size_t i = 0; i < json_array_size(logs); i++) {
        const json_t *line = json_array_get(logs, i);
        /* The library's word about a failure: it is shown as such. */
        if (strcmp(text_of(line, "from"), "host") == 0 &&
            strncmp(text_of(line, "text"), "Function: ", 10) == 0)
            continue;
        fprintf(out, "* log %s: %s\n", text_of(line, "level"), text_of(line, "text"));
    }
}

/* With one newline at its end. */
static void print_text(FILE *out, const char *text)
{
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '\n')
        len--;
    if (len > 0)
        fprintf(out, "%.*s\n", (int)len, text);
}

static void print_failure(FILE *out, const json_t *failure)
{
    if (!failure)
        return;
    fprintf(out, "* the plugin failed in %s: %s: %s\n", text_of(failure, "function"),
            text_of(failure, "error"), text_of(failure, "message"));
    print_text(out, text_of(failure, "backtrace"));
}

static void print_outcome(FILE *out, const json_t *request, const json_t *report)
{
    const char *outcome = text_of(request, "outcome");
    if (strcmp(outcome, "local_reply") == 0)
        fprintf(out, "* the plugin answered%s%s\n", *text_of(request, "details") ? ": " : "",
                text_of(request, "details"));
    else if (strcmp(outcome, "reset") == 0)
        fputs("* the plugin closed the stream\n", out);
    else if (strcmp(outcome, "failed") == 0)
        fputs("* no answer: a proxy sends 503, unless the plugin's failure policy is FAIL_OPEN\n", out);
    else if (strcmp(outcome, "paused") == 0 && json_integer_value(json_object_get(report, "tick_period_ms")))
        fputs("* it waits, perhaps for a tick: --ticks 1 gives it one\n", out);
    else if (strcmp(outcome, "paused") == 0)
        fputs("* it waits and nothing comes that could wake it: the plugin paused and never continued\n",
              out);
}

static void print_callouts(FILE *out, const json_t *callouts)
{
    for (size_t i = 0; i < json_array_size(callouts); i++) {
        const json_t *call = json_array_get(callouts, i);
        fprintf(out, "* callout to %s: %s %s: %s\n", text_of(call, "cluster"), text_of(call, "method"),
                text_of(call, "path"), text_of(call, "answer"));
        if (strcmp(text_of(call, "answer"), "unknown cluster") == 0)
            fprintf(out, "*   --callout %s=FILE gives it an answer\n", text_of(call, "cluster"));
    }
}

static void print_request(FILE *out, const json_t *request, const json_t *report,
                          const struct run_text *options)
{
    bool ok = json_is_true(json_object_get(request, "ok"));
    const json_t *differences = json_object_get(request, "differences"),
                 *name = json_object_get(request, "name");
    const json_t *upstream = json_object_get(request, "upstream");
    if (options->quiet && ok)
        return;
    fprintf(out, "\n%s: %s\n", ok ? "ok" : "not ok", json_string_value(name));
    if (json_is_object(upstream))
        print_message(out, '>', upstream, json_object_get(request, "request"), options->verbose);
    else
        fputs("* nothing went to the upstream\n", out);
    print_callouts(out, json_object_get(request, "callouts"));
    print_logs(out, json_object_get(request, "logs"));
    print_outcome(out, request, report);
    print_failure(out, json_object_get(request, "failure"));
    if (json_is_object(json_object_get(request, "response")))
        print_message(out, '<', json_object_get(request, "response"), json_object_get(request, "answer"),
                      options->verbose);
    for (size_t i = 0; i < json_array_size(differences); i++)
        fprintf(out, "! %s\n", json_string_value(json_array_get(differences, i)));
}

static void print_costs(FILE *out, const json_t *costs)
{
    if (json_array_size(costs) == 0)
        return;
    fprintf(out, "\n%-34s %8s %12s %12s %11s %10s\n", "cost", "calls", "mean", "longest", "host calls",
            "bytes");
    for (size_t i = 0; i < json_array_size(costs); i++) {
        const json_t *c = json_array_get(costs, i);
        char mean[CLI_SIZE_TEXT], longest[CLI_SIZE_TEXT];
        cli_time_text((uint64_t)(json_real_value(json_object_get(c, "mean_us")) * 1e3), mean);
        cli_time_text((uint64_t)(json_real_value(json_object_get(c, "max_us")) * 1e3), longest);
        fprintf(out,
                "%-34s %8" JSON_INTEGER_FORMAT " %12s %12s %11" JSON_INTEGER_FORMAT " %10" JSON_INTEGER_FORMAT
                "\n",
                text_of(c, "callback"), json_integer_value(json_object_get(c, "count")), mean, longest,
                json_integer_value(json_object_get(c, "host_calls")),
                json_integer_value(json_object_get(c, "bytes")));
    }
}

static void print_limits(FILE *out, const json_t *limits)
{
    const char *name;
    json_t *hits;
    json_object_foreach((json_t *)(uintptr_t)limits, name, hits)
        fprintf(out, "limit passed: %s, %" JSON_INTEGER_FORMAT " times\n", name, json_integer_value(hits));
}

static void print_metrics(FILE *out, const json_t *metrics)
{
    const char *name;
    json_t *value;
    if (json_object_size(metrics) > 0)
        fputs("\nmetrics\n", out);
    json_object_foreach((json_t *)(uintptr_t)metrics, name, value)
        fprintf(out, "  %s %s: %" JSON_INTEGER_FORMAT "\n", text_of(value, "type"), name,
                json_integer_value(json_object_get(value, "value")));
}

void run_report_print(struct cli *cli, const json_t *report, const struct run_text *options)
{
    FILE *out = cli->out;
    const json_t *module = json_object_get(report, "module"), *requests = json_object_get(report, "requests");
    char a[CLI_SIZE_TEXT], b[CLI_SIZE_TEXT];
    if (json_is_object(module) && !options->quiet)
        fprintf(out, "%s: ABI %s, %s, %s in %s\n", text_of(report, "file"), text_of(module, "abi"),
                cli_size_text((uint64_t)json_integer_value(json_object_get(module, "bytes")), a),
                json_is_true(json_object_get(module, "from_cache")) ? "from the cache" : "compiled",
                cli_time_text((uint64_t)(json_real_value(json_object_get(module, "load_ms")) * 1e6), b));
    if (!options->quiet || json_object_get(report, "error"))
        print_logs(out, json_object_get(report, "start_logs"));
    if (json_object_get(report, "error"))
        print_text(out, text_of(report, "error"));
    for (size_t i = 0; i < json_array_size(requests); i++)
        print_request(out, json_array_get(requests, i), report, options);
    if (!options->quiet) {
        const json_t *memory = json_object_get(report, "memory");
        print_callouts(out, json_object_get(report, "end_callouts"));
        print_logs(out, json_object_get(report, "end_logs"));
        print_metrics(out, json_object_get(report, "metrics"));
        print_costs(out, json_object_get(report, "costs"));
        print_limits(out, json_object_get(report, "limits"));
        fprintf(out, "memory: the plugin has %s, the host holds %s for it\n",
                cli_memory_text((uint64_t)json_integer_value(json_object_get(memory, "plugin_bytes")), a),
                cli_memory_text((uint64_t)json_integer_value(json_object_get(memory, "host_bytes")), b));
    }
    if (json_is_true(json_object_get(report, "end_failed")) || json_array_size(requests) == 0)
        print_failure(out, json_object_get(report, "failure"));
    if (json_object_get(report, "error") && json_array_size(requests) == 0)
        return; /* it never began */
    fprintf(out, "\n%" JSON_INTEGER_FORMAT " ok, %" JSON_INTEGER_FORMAT " not ok\n",
            json_integer_value(json_object_get(report, "passed")),
            json_integer_value(json_object_get(report, "failed")));
}
