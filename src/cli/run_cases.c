/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cases one after the other through one VM, as a worker would; a VM that failed is replaced for the next
 * one.
 */
#include "cli/exchange.h"
#include "cli/limits.h"
#include "cli/run.h"
#include "cli/run_report.h"

#include <stdlib.h>

struct run {
    struct sandbox box;
    struct cases *cases;
    const struct run_options *options;
    json_t *requests;
    size_t passed;
    size_t failed;
    size_t end_lines; /* where the log after the last request begins */
    bool end_failed;
};

/* Without an expectation a request passes when it came to an end. */
static bool judge(struct run *run, const struct exchange *x, json_t *request)
{
    bool ok = x->outcome != EXCHANGE_FAILED && x->outcome != EXCHANGE_PAUSED;
    if (x->test->expect) {
        json_t *metrics = journal_json_metrics(&run->box.journal);
        json_t *failures = expect_compare(x->test->expect, request, metrics);
        bool outcome = json_object_get(x->test->expect, "outcome") != NULL;
        ok = json_array_size(failures) == 0 && (ok || outcome);
        json_object_set_new(request, "differences", failures);
        json_decref(metrics);
    }
    json_object_set_new(request, "ok", json_boolean(ok));
    return ok;
}

static void run_one(struct run *run, const struct test_case *test)
{
    struct exchange x;
    size_t first_line = run->box.journal.lines_count;
    exchange_init(&x, &run->box, test, run->options->chunk_bytes);
    exchange_run(&x);
    /* What the request left behind, such as queue notifications, belongs to it. */
    for (unsigned i = 0; i < CLI_LIST_MAX && run->box.ticks_left == 0 && sandbox_progress(&run->box); i++)
        continue;
    if (pw_vm_failed(run->box.vm))
        x.outcome = EXCHANGE_FAILED;
    json_t *request = run_report_request(&x, first_line);
    if (judge(run, &x, request))
        run->passed++;
    else
        run->failed++;
    json_array_append_new(run->requests, request);
    exchange_fini(&x);
}

static int run_all(struct run *run, struct pw_message *why)
{
    int error = PW_OK;
    for (size_t i = 0; error == PW_OK && i < run->cases->count; i++) {
        if (pw_vm_failed(run->box.vm))
            error = sandbox_start(&run->box, why);
        if (error == PW_OK)
            run_one(run, &run->cases->items[i]);
    }
    /* Ticks that are left, and what they start. */
    uint64_t failures = run->box.failures;
    run->end_lines = run->box.journal.lines_count;
    while (error == PW_OK && sandbox_progress(&run->box))
        continue;
    run->end_failed = run->box.failures > failures;
    return error;
}

static json_t *describe_module(const struct sandbox *box)
{
    static const char *const abis[] = {"0.1.0", "0.2.0", "0.2.1"};
    if (!box->module)
        return json_null();
    const struct pw_module_info *info = pw_module_info(box->module);
    return json_pack("{s:s, s:s, s:I, s:f, s:b}", "abi", abis[info->abi], "sha256", info->sha256, "bytes",
                     (json_int_t)info->code_bytes, "load_ms", (double)info->load_ns / 1e6, "from_cache",
                     info->from_cache);
}

static json_t *describe_memory(const struct sandbox *box)
{
    struct pw_vm_stats stats = {0};
    struct pw_host_stats host = {0};
    if (box->vm)
        pw_vm_stats(box->vm, &stats);
    if (box->host)
        pw_host_stats(box->host, &host);
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "plugin_bytes", (json_int_t)stats.memory_bytes,
                     "host_bytes", (json_int_t)stats.host_bytes, "shared_data_keys",
                     (json_int_t)host.shared_data_keys, "shared_data_bytes",
                     (json_int_t)host.shared_data_bytes, "queued_items", (json_int_t)host.queued_items);
}

static json_t *make_report(struct run *run, size_t start_lines, int error, const struct pw_message *why)
{
    struct sandbox *box = &run->box;
    bool ok = error == PW_OK && run->failed == 0 && !run->end_failed;
    json_t *report =
        json_pack("{s:b, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I}", //
                  "ok", ok, "file", box->options->file, "engine", box->options->engine, "module",
                  describe_module(box), "start_logs", journal_json_lines(&box->journal, 0), "requests",
                  json_incref(run->requests), "metrics", journal_json_metrics(&box->journal), "costs",
                  box->host ? journal_json_costs(&box->journal, box->host) : json_array(), "limits",
                  journal_json_limits(&box->journal), "memory", describe_memory(box), "tick_period_ms",
                  (json_int_t)box->tick_period_ms, "ticks", (json_int_t)box->ticks_run, "passed",
                  (json_int_t)run->passed, "failed", (json_int_t)run->failed);
    json_t *lines = json_object_get(report, "start_logs");
    while (json_array_size(lines) > start_lines)
        json_array_remove(lines, json_array_size(lines) - 1);
    if (error != PW_OK)
        run->end_lines = box->journal.lines_count;
    json_object_set_new(report, "end_logs", journal_json_lines(&box->journal, run->end_lines));
    json_object_set_new(report, "end_failed", json_boolean(run->end_failed));
    json_object_set_new(report, "end_callouts", sandbox_take_calls(box));
    if (error != PW_OK)
        json_object_set_new(report, "error", cli_json_string(slice_str(why->text)));
    if (box->failure)
        json_object_set(report, "failure", box->failure);
    if (box->journal.lines_dropped)
        json_object_set_new(report, "log_lines_dropped",
                            json_integer((json_int_t)box->journal.lines_dropped));
    return report;
}

int run_cases(struct cases *cases, const struct run_options *options, json_t **report)
{
    struct run *run = calloc(1, sizeof(*run));
    struct pw_message why = {""};
    if (!run)
        abort(); /* a few kilobytes at the start of a tool */
    run->cases = cases;
    run->options = options;
    run->requests = json_array();
    int error = sandbox_open(&run->box, cases, &options->sandbox, &why);
    if (error == PW_OK)
        error = sandbox_start(&run->box, &why);
    size_t start_lines = run->box.journal.lines_count;
    if (error == PW_OK)
        error = run_all(run, &why);
    *report = make_report(run, start_lines, error, &why);
    bool ok = json_is_true(json_object_get(*report, "ok"));
    sandbox_fini(&run->box);
    json_decref(run->requests);
    free(run);
    return ok ? CLI_OK : CLI_FAILED;
}
