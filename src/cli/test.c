/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weirctl plugin test: builds a project and runs its own requests through what came out.
 */
#include "base/assert.h"
#include "cli/build.h"
#include "cli/commands.h"
#include "cli/file.h"
#include "cli/run.h"
#include "cli/run_report.h"
#include "cli/verify.h"

enum { OPTION_REQUESTS, OPTION_NO_BUILD, OPTION_SDK, OPTION_VERBOSE };
static const struct command_option options[] = {
    [OPTION_REQUESTS] = {0, "requests", "FILE", "The requests (default: DIR/tests/plugin.json)"},
    [OPTION_NO_BUILD] = {0, "no-build", NULL, "Test what was built before"},
    [OPTION_SDK] = {0, "sdk", "DIR", "Weir's SDKs for C and C++ (default: those installed with weirctl)"},
    [OPTION_VERBOSE] = {'v', "verbose", NULL, "Show the requests that pass, too"},
};

static int test_run(struct cli *cli, int argc, char **argv);
const struct command command_test = {
    .name = "test",
    .operands = "[DIR]",
    .summary = "Build a plugin project and run its tests/plugin.json",
    .options = options,
    .options_count = WEIR_ARRAY_LEN(options),
    .notes = "DIR is the current directory by default.\n",
    .run = test_run,
};

struct test {
    struct cli *cli;
    struct build_options build;
    const char *requests;
    bool no_build;
    bool verbose;
};

static int find_built(struct test *t, char output[CLI_PATH_BYTES], json_t **report)
{
    struct project project;
    struct project_error error = {""};
    char name[PROJECT_NAME_MAX + 32];
    bool found = project_open(&project, t->build.directory, NULL, &error);
    if (found) {
        snprintf(name, sizeof(name), "build/%s.wasm", project.name);
        found = file_join(output, project.directory, name) && file_exists(output);
        if (!found)
            snprintf(error.text, sizeof(error.text),
                     "build/%s.wasm is missing: run weirctl plugin build first", project.name);
    }
    *report =
        found ? NULL : json_pack("{s:b, s:o}", "ok", 0, "error", cli_json_string(slice_str(error.text)));
    return found ? CLI_OK : CLI_USAGE;
}

/* Builds, or finds what was built. *report is the build's, NULL when there was none to make. */
static int get_plugin(struct test *t, char output[CLI_PATH_BYTES], json_t **report)
{
    if (t->no_build)
        return find_built(t, output, report);
    int status = build_project(t->cli, &t->build, report);
    const char *path = json_string_value(json_object_get(*report, "output"));
    if (status == CLI_OK)
        snprintf(output, CLI_PATH_BYTES, "%s", path);
    return status;
}

static int finish(struct test *t, int status, json_t *build, json_t *run)
{
    struct run_text text = {.quiet = !t->verbose};
    const char *error = json_string_value(json_object_get(build, "error"));
    if (t->cli->json) {
        json_t *whole = json_pack("{s:b, s:o*, s:o*}", "ok", status == CLI_OK, "build", build, "run", run);
        if (error)
            json_object_set_new(whole, "error", json_string(error));
        cli_print_json(t->cli, whole);
        return status;
    }
    if (error)
        fprintf(t->cli->err, "%s: %s\n", t->cli->name, error);
    if (run)
        run_report_print(t->cli, run, &text);
    json_decref(build);
    json_decref(run);
    return status;
}

static int test_project(struct test *t)
{
    char output[CLI_PATH_BYTES], requests[CLI_PATH_BYTES];
    json_t *build = NULL, *run = NULL;
    struct run_options options = {.sandbox = {.engine = "wasmtime", .level = PW_LOG_INFO, .file = output}};
    struct cases_error error;
    struct cases cases;
    int status = get_plugin(t, output, &build);
    if (status != CLI_OK)
        return finish(t, status, build, NULL);
    if (!t->requests && file_join(requests, t->build.directory, "tests/plugin.json"))
        t->requests = requests;
    cases_init(&cases);
    if (!cases_add_file(&cases, t->requests, &error)) {
        cli_error(t->cli, "%s", error.text);
        json_decref(build);
        status = CLI_USAGE;
    } else {
        status = run_cases(&cases, &options, &run);
        status = finish(t, status, build, run);
    }
    cases_fini(&cases);
    return status;
}

static int test_run(struct cli *cli, int argc, char **argv)
{
    struct command_parse p;
    struct test t = {.cli = cli, .build = {.directory = "."}};
    command_parse_init(&p, cli, &command_test, argc, argv);
    for (int option; (option = command_next(&p)) != COMMAND_END;) {
        switch (option) {
        case COMMAND_STOP:
            return p.status;
        case OPTION_REQUESTS:
            t.requests = p.value;
            break;
        case OPTION_NO_BUILD:
            t.no_build = true;
            break;
        case OPTION_SDK:
            t.build.sdk = p.value;
            break;
        default:
            t.verbose = true;
            break;
        }
    }
    if (!command_operands(&p, 0, 1))
        return p.status;
    if (p.operands_count == 1)
        t.build.directory = p.operands[0];
    return test_project(&t);
}
