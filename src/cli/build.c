/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weirctl plugin build. It installs nothing on the machine: a missing toolchain is named, with the command
 * that gets it.
 */
#include "cli/build.h"

#include "base/assert.h"
#include "cli/commands.h"
#include "cli/file.h"
#include "cli/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

void build_arg(struct build_args *args, const char *arg)
{
    WEIR_ASSERT(args->count < CLI_ARGS_MAX);
    args->items[args->count++] = arg;
    args->items[args->count] = NULL;
}

bool build_fail(struct build *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    strbuf_reset(&b->error);
    strbuf_vprintf(&b->error, fmt, args);
    va_end(args);
    return false;
}

bool build_missing(struct build *b, const char *what)
{
    return build_fail(b, "%s is missing. %s", what, b->project.language->setup);
}

/* So that it can be pasted into a shell. */
static void append_word(struct strbuf *text, const char *word)
{
    bool plain = word[strcspn(word, " \t\n'\"\\$&;|<>()*?[]#~")] == '\0';
    strbuf_printf(text, plain ? "%s%s" : "%s'%s'", text->len ? " " : "", word);
}

static char *command_text(const struct build_args *args, const char *const *env)
{
    struct strbuf text;
    strbuf_init(&text, CLI_TEXT_BYTES_MAX);
    if (env)
        append_word(&text, "env");
    for (; env && *env; env++)
        append_word(&text, *env);
    for (size_t i = 0; i < args->count; i++)
        append_word(&text, args->items[i]);
    char *whole = slice_strdup(strbuf_slice(&text));
    strbuf_fini(&text);
    return whole;
}

/* The linker's own words do not say which package is missing. */
static const char *hint_of(struct slice output)
{
    static const struct {
        const char *sign;
        const char *hint;
    } hints[] = {
        {"libclang_rt.builtins-wasm32", "\nThe compiler's runtime is missing: apt-get install "
                                        "libclang-rt-14-dev-wasm32 (the number is that of clang --version)"},
        {"unable to find library -lc++", "\nlibc++ is missing: apt-get install libc++-dev-wasm32"},
        {"invalid linker name", "\nThe linker is missing: apt-get install lld"},
        {"missing go.sum entry", "\nRun `go mod tidy` in the project once"},
        {"can't find crate for `std`", "\nThe target's std is missing: rustup target add wasm32-wasip1"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(hints); i++)
        if (slice_find(output, slice_str(hints[i].sign)) >= 0)
            return hints[i].hint;
    return "";
}

bool build_command(struct build *b, struct build_args *args, const char *const *env)
{
    struct spawn s = {.argv = args->items, .env = env, .directory = b->project.directory};
    size_t before = b->log.len;
    char *text = command_text(args, env);
    json_array_append_new(b->commands, cli_json_string(slice_str(text)));
    if (!b->cli->json)
        fprintf(b->cli->err, "%s\n", text);
    free(text);
    int status = spawn_run(&s, &b->log);
    if (status == 0)
        return true;
    struct slice printed = slice_skip(strbuf_slice(&b->log), before);
    return build_fail(b, "%s ended with status %d:\n" SLICE_FMT "%s", args->items[0], status,
                      SLICE_ARG(printed), hint_of(printed));
}

bool build_ask(struct build *b, struct build_args *args, char *line, size_t len)
{
    struct spawn s = {.argv = args->items, .directory = b->project.directory};
    struct strbuf output;
    strbuf_init(&output, CLI_TEXT_BYTES_MAX);
    bool done = spawn_run(&s, &output) == 0;
    struct slice text = strbuf_slice(&output), first = text;
    ptrdiff_t end = slice_find_char(text, '\n');
    if (end >= 0)
        first = slice_take(text, (size_t)end);
    snprintf(line, len, SLICE_FMT, SLICE_ARG(first));
    strbuf_fini(&output);
    return done;
}

bool build_sdk_path(struct build *b, const char *name, char out[CLI_PATH_BYTES])
{
    char program[CLI_PATH_BYTES], share[CLI_PATH_BYTES];
    const char *place = b->sdk;
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (!place && n > 0) {
        /* PREFIX/bin/weirctl */
        program[n] = '\0';
        for (int up = 0; up < 2; up++)
            if (strrchr(program, '/'))
                *strrchr(program, '/') = '\0';
        if (file_join(share, program, "share/weir/sdk"))
            place = share;
    }
    if (place && file_join(out, place, name) && file_is_directory(out))
        return true;
    return build_fail(
        b,
        "Weir's SDK is not at %.1000s: give --sdk DIR, the directory that holds c/ and cpp/ (sdk in "
        "Weir's source tree)",
        place ? place : "share/weir/sdk");
}

/* --- one build --- */

static bool prepare(struct build *b)
{
    char directory[CLI_PATH_BYTES], name[PROJECT_NAME_MAX + 16];
    struct file_error error;
    snprintf(name, sizeof(name), "%s.wasm", b->project.name);
    if (!file_join(directory, b->project.directory, "build") || !file_join(b->output, directory, name))
        return build_fail(b, "the path is too long");
    if (!file_make_directory(directory, &error))
        return build_fail(b, "%s", error.text);
    return true;
}

static json_t *base_report(const struct build *b, bool ok)
{
    return json_pack("{s:b, s:s, s:s, s:o, s:O, s:o}", "ok", ok, "language", b->project.language->id, "name",
                     b->project.name, "output", ok ? cli_json_string(slice_str(b->output)) : json_null(),
                     "commands", b->commands, "log", cli_json_string(strbuf_slice(&b->log)));
}

static double elapsed_ms(const struct timespec *from)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - from->tv_sec) * 1e3 + (double)(now.tv_nsec - from->tv_nsec) / 1e6;
}

static int build_and_verify(struct build *b, json_t **report)
{
    struct timespec begin;
    json_t *verified = NULL;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (!prepare(b) || !b->project.language->build(b)) {
        *report = base_report(b, false);
        json_object_set_new(*report, "error", cli_json_string(strbuf_slice(&b->error)));
        return CLI_FAILED;
    }
    double ms = elapsed_ms(&begin);
    int status = verify_file(b->cli, b->output, &verified);
    *report = base_report(b, status == CLI_OK);
    json_object_set_new(*report, "ms", json_real(ms));
    if (verified)
        json_object_set_new(*report, "verify", verified);
    if (status != CLI_OK) {
        const json_t *problem = json_array_get(json_object_get(verified, "problems"), 0);
        json_object_set_new(*report, "error",
                            json_string(problem ? json_string_value(problem) : "no output"));
    }
    return status == CLI_OK ? CLI_OK : CLI_FAILED;
}

int build_project(struct cli *cli, const struct build_options *options, json_t **report)
{
    struct build b = {.cli = cli, .sdk = options->sdk};
    struct project_error error;
    char sdk[CLI_PATH_BYTES];
    if (!project_open(&b.project, options->directory, options->language, &error)) {
        *report = json_pack("{s:b, s:o}", "ok", 0, "error", cli_json_string(slice_str(error.text)));
        return CLI_USAGE;
    }
    /* Commands run in the project's directory: what is relative here would not be there. */
    if (options->sdk && realpath(options->sdk, sdk))
        b.sdk = sdk;
    strbuf_init(&b.log, CLI_OUTPUT_BYTES_MAX);
    strbuf_init(&b.error, CLI_OUTPUT_BYTES_MAX);
    b.commands = json_array();
    int status = build_and_verify(&b, report);
    json_decref(b.commands);
    strbuf_fini(&b.log);
    strbuf_fini(&b.error);
    return status;
}

/* --- the command --- */

enum { OPTION_LANG, OPTION_SDK, OPTION_QUIET };
static const struct command_option options[] = {
    [OPTION_LANG] = {'l', "lang", "LANG", "The language (default: by the project's files)"},
    [OPTION_SDK] = {0, "sdk", "DIR", "Weir's SDKs for C and C++ (default: those installed with weirctl)"},
    [OPTION_QUIET] = {'q', "quiet", NULL, "Only errors"},
};

static int build_run(struct cli *cli, int argc, char **argv);
const struct command command_build = {
    .name = "build",
    .operands = "[DIR]",
    .summary = "Build a plugin project into DIR/build/NAME.wasm and verify it",
    .options = options,
    .options_count = WEIR_ARRAY_LEN(options),
    .notes = "DIR is the current directory by default. NAME is the first root id of runtime-config.json,\n"
             "or the directory's name. A missing toolchain is named, with the way to get it.\n"
             "WASI_SDK_PATH: a wasi-sdk to be used for C and C++.\n",
    .run = build_run,
};

static void print_built(struct cli *cli, const json_t *report, bool quiet)
{
    const json_t *error = json_object_get(report, "error"), *verified = json_object_get(report, "verify");
    if (verified && (!quiet || error))
        verify_print(cli, verified, false);
    if (error)
        fprintf(cli->err, "%s: %s\n", cli->name, json_string_value(error));
    else if (!quiet)
        fprintf(cli->out, "built in %.1f s\n", json_real_value(json_object_get(report, "ms")) / 1e3);
}

static int build_run(struct cli *cli, int argc, char **argv)
{
    struct command_parse p;
    struct build_options build = {.directory = "."};
    bool quiet = false;
    json_t *report;
    command_parse_init(&p, cli, &command_build, argc, argv);
    for (int option; (option = command_next(&p)) != COMMAND_END;) {
        if (option == COMMAND_STOP)
            return p.status;
        if (option == OPTION_SDK)
            build.sdk = p.value;
        else if (option == OPTION_QUIET)
            quiet = true;
        else if (!(build.language = language_find(p.value)))
            return command_bad_value(&p, option, language_list());
    }
    if (!command_operands(&p, 0, 1))
        return p.status;
    if (p.operands_count == 1)
        build.directory = p.operands[0];
    int status = build_project(cli, &build, &report);
    if (cli->json) {
        cli_print_json(cli, report);
        return status;
    }
    print_built(cli, report, quiet);
    json_decref(report);
    return status;
}
