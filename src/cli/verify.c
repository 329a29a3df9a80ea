/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weirctl plugin verify: one JSON report, printed as it is or as text. The text is made from the report, so
 * that they cannot differ.
 */
#include "cli/verify.h"

#include "base/assert.h"
#include "cli/commands.h"
#include "cli/envoy.h"
#include "cli/facts.h"
#include "cli/file.h"
#include "cli/limits.h"
#include "cli/trial.h"

#include <inttypes.h>
#include <proxywasm/proxywasm.h>
#include <string.h>

static const char *const kinds[] = {"function", "table", "memory", "global", "tag"};
static const char *const uses[] = {"unused", "callback", "allocator", "start", "marker", "memory"};
static const char *const abis[] = {"0.1.0", "0.2.0", "0.2.1"};

static json_t *json_text(struct pw_slice s)
{
    return cli_json_string(slice_take(slice_of(s.ptr, s.len), 512));
}

static json_t *json_imports(const struct pw_inspection *inspection)
{
    json_t *list = json_array();
    struct pw_import import;
    for (size_t i = 0; i < CLI_LIST_MAX && pw_inspection_import(inspection, i, &import); i++)
        json_array_append_new(list,
                              json_pack("{s:o, s:o, s:s, s:s, s:b, s:b}", "module", json_text(import.module),
                                        "name", json_text(import.name), "kind", kinds[import.kind], "type",
                                        import.type, "weir", import.supplied, "envoy",
                                        facts_envoy_supplies(&import, pw_inspection_info(inspection)->abi)));
    return list;
}

static json_t *json_exports(const struct pw_inspection *inspection)
{
    json_t *list = json_array();
    struct pw_export export;
    for (size_t i = 0; i < CLI_LIST_MAX && pw_inspection_export(inspection, i, &export); i++)
        json_array_append_new(list,
                              json_pack("{s:o, s:s, s:s, s:s}", "name", json_text(export.name), "kind",
                                        kinds[export.kind], "type", export.type, "use", uses[export.use]));
    return list;
}

static json_t *json_bytes_or_null(uint64_t bytes)
{
    return bytes > INT64_MAX ? json_null() : json_integer((json_int_t)bytes);
}

static json_t *json_compiled(struct slice code, json_t *problems)
{
    struct trial trial;
    trial_compile(&trial, code);
    if (trial.error == PW_OK)
        return json_pack("{s:I, s:f}", "bytes", (json_int_t)trial.compiled_bytes, "ms",
                         (double)trial.load_ns / 1e6);
    json_array_append_new(problems, cli_json_string(slice_str(trial.why.text)));
    return json_null();
}

static json_t *make_report(const char *path, struct slice code, const struct pw_inspection *inspection)
{
    const struct pw_inspection_info *info = pw_inspection_info(inspection);
    struct facts facts;
    facts_collect(&facts, inspection, (struct pw_slice){code.ptr, code.len});
    json_t *compiled = info->error == PW_OK ? json_compiled(code, facts.problems) : json_null();
    json_t *report =
        json_pack("{s:b, s:o, s:s?, s:s, s:s, s:O, s:I, s:I, s:I, s:I, s:o, s:b, s:b, s:o, s:o, s:o, s:n, "
                  "s:O, s:O, s:O}",                                   //
                  "ok", json_array_size(facts.problems) == 0,         //
                  "file", cli_json_string(slice_str(path)),           //
                  "abi", info->has_abi ? abis[info->abi] : NULL,      //
                  "language", facts.language,                         //
                  "sdk", facts.sdk,                                   //
                  "producers", facts.producers,                       //
                  "bytes", (json_int_t)info->code_bytes,              //
                  "code_bytes", (json_int_t)info->instructions_bytes, //
                  "data_bytes", (json_int_t)info->data_bytes,         //
                  "functions", (json_int_t)info->functions,           //
                  "memory",
                  json_pack("{s:o, s:o}", "min_bytes", json_bytes_or_null(info->memory_min_bytes),
                            "max_bytes", json_bytes_or_null(info->memory_max_bytes)),
                  "start_section", info->has_start_section, //
                  "names", facts.has_names,                 //
                  "compiled", compiled,                     //
                  "imports", json_imports(inspection),      //
                  "exports", json_exports(inspection),      //
                  "envoy",                                  // nobody was asked
                  "capabilities", facts.capabilities,       //
                  "warnings", facts.warnings,               //
                  "problems", facts.problems);
    facts_fini(&facts);
    return report;
}

int verify_file(struct cli *cli, const char *path, json_t **report)
{
    struct file_error error;
    struct strbuf content;
    struct pw_inspection *inspection;
    struct pw_message why;
    *report = NULL;
    if (!file_read(path, CLI_MODULE_BYTES_MAX, &content, &error)) {
        cli_error(cli, "%s", error.text);
        return CLI_USAGE;
    }
    struct slice code = strbuf_slice(&content);
    int status = pw_inspect((struct pw_slice){code.ptr, code.len}, &inspection, &why);
    if (status == PW_OK)
        *report = make_report(path, code, inspection);
    else
        *report = json_pack("{s:b, s:o, s:I, s:[o]}", "ok", 0, "file", cli_json_string(slice_str(path)),
                            "bytes", (json_int_t)code.len, "problems", cli_json_string(slice_str(why.text)));
    pw_inspection_destroy(&inspection);
    strbuf_fini(&content);
    WEIR_ASSERT(*report);
    return json_is_true(json_object_get(*report, "ok")) ? CLI_OK : CLI_FAILED;
}

/* --- text --- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static uint64_t number_of(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static void print_producers(FILE *out, const json_t *producers)
{
    const char *key, *before = " (";
    json_t *values;
    json_object_foreach((json_t *)(uintptr_t)producers, key, values)
    {
        if (strcmp(key, "language") != 0 && strcmp(key, "processed-by") != 0)
            continue;
        for (size_t i = 0; i < json_array_size(values); i++, before = ", ")
            fprintf(out, "%s%s", before, json_string_value(json_array_get(values, i)));
    }
    if (strcmp(before, ", ") == 0)
        fputc(')', out);
}

static void print_list(FILE *out, const char *title, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        fprintf(out, "%s  %s\n", i == 0 ? title : "           ", json_string_value(json_array_get(list, i)));
}

static void print_facts(FILE *out, const json_t *r)
{
    char a[CLI_SIZE_TEXT], b[CLI_SIZE_TEXT], c[CLI_SIZE_TEXT];
    const json_t *memory = json_object_get(r, "memory"), *compiled = json_object_get(r, "compiled");
    const char *sdk = text_of(r, "sdk");
    fprintf(out, "language     %s", text_of(r, "language"));
    print_producers(out, json_object_get(r, "producers"));
    fprintf(out, "%s%s\nsize         %s: code %s, data %s, %" PRIu64 " functions\n", *sdk ? ", SDK: " : "",
            sdk, cli_size_text(number_of(r, "bytes"), a), cli_size_text(number_of(r, "code_bytes"), b),
            cli_size_text(number_of(r, "data_bytes"), c), number_of(r, "functions"));
    fprintf(out, "memory       %s at the start, %s%s\n", cli_memory_text(number_of(memory, "min_bytes"), a),
            json_is_null(json_object_get(memory, "max_bytes")) ? "no maximum of its own" : "at most ",
            json_is_null(json_object_get(memory, "max_bytes"))
                ? ""
                : cli_memory_text(number_of(memory, "max_bytes"), b));
    if (json_is_object(compiled))
        fprintf(out, "compiles     in %s, to %s\n",
                cli_time_text((uint64_t)(json_real_value(json_object_get(compiled, "ms")) * 1e6), b),
                cli_size_text(number_of(compiled, "bytes"), a));
    if (json_is_true(json_object_get(r, "start_section")))
        fputs("start        a start section runs when an instance is made\n", out);
}

static void print_envoy(FILE *out, const json_t *envoy)
{
    if (!json_is_object(envoy))
        fputs("Envoy        by a table of what 1.40 supplies; --envoy PROGRAM asks a real one\n", out);
    else if (json_is_true(json_object_get(envoy, "loads")))
        fprintf(out, "Envoy        %s loads it (%s was asked)\n", text_of(envoy, "version"),
                text_of(envoy, "program"));
    else
        fprintf(out, "Envoy        %s does not load it (%s was asked): %s\n", text_of(envoy, "version"),
                text_of(envoy, "program"), text_of(envoy, "says"));
}

static void print_items(FILE *out, const json_t *imports, const json_t *exports)
{
    fputs("\nWeir  Envoy  imports\n", out);
    for (size_t i = 0; i < json_array_size(imports); i++) {
        const json_t *row = json_array_get(imports, i);
        fprintf(out, "%-4s  %-5s  %s.%s %s\n", json_is_true(json_object_get(row, "weir")) ? "yes" : "NO",
                json_is_true(json_object_get(row, "envoy")) ? "yes" : "NO", text_of(row, "module"),
                text_of(row, "name"), *text_of(row, "type") ? text_of(row, "type") : text_of(row, "kind"));
    }
    fputs("\nuse        exports\n", out);
    for (size_t i = 0; i < json_array_size(exports); i++) {
        const json_t *row = json_array_get(exports, i);
        fprintf(out, "%-9s  %s %s\n", text_of(row, "use"), text_of(row, "name"),
                *text_of(row, "type") ? text_of(row, "type") : text_of(row, "kind"));
    }
}

void verify_print(struct cli *cli, const json_t *r, bool whole)
{
    const char *abi = text_of(r, "abi");
    bool ok = json_is_true(json_object_get(r, "ok"));
    fprintf(cli->out, "%s: ", text_of(r, "file"));
    if (ok)
        fprintf(cli->out, "a Proxy-Wasm plugin, ABI %s\n", abi);
    else
        fputs("Weir cannot run this\n", cli->out);
    print_list(cli->out, "problem    ", json_object_get(r, "problems"));
    if (json_object_get(r, "language"))
        print_facts(cli->out, r);
    if (whole && json_object_get(r, "imports"))
        print_envoy(cli->out, json_object_get(r, "envoy"));
    print_list(cli->out, "it         ", json_object_get(r, "capabilities"));
    print_list(cli->out, "warning    ", json_object_get(r, "warnings"));
    if (whole && json_object_get(r, "imports"))
        print_items(cli->out, json_object_get(r, "imports"), json_object_get(r, "exports"));
}

/* --- the command --- */

enum { OPTION_QUIET, OPTION_ENVOY };
static const struct command_option options[] = {
    [OPTION_QUIET] = {'q', "quiet", NULL, "Print problems and warnings only"},
    [OPTION_ENVOY] = {0, "envoy", "PROGRAM",
                      "Ask this Envoy (a path, or a name in PATH) whether it loads the file"},
};

static int verify_run(struct cli *cli, int argc, char **argv);
const struct command command_verify = {
    .name = "verify",
    .operands = "FILE",
    .summary = "Say what a plugin file is, what it can do, and whether Weir and Envoy run it",
    .options = options,
    .options_count = WEIR_ARRAY_LEN(options),
    .notes = "No code of the plugin runs here. It is compiled in a process with limits. With --envoy\n"
             "Envoy's configuration check makes an instance of it, and calls none of its callbacks.\n"
             "\"can\" comes from its imports: SDKs for C++ and Rust import all that they know.\n",
    .run = verify_run,
};

/* Its answer joins the report. */
static bool ask_envoy(struct cli *cli, const char *program, const char *path, json_t *report)
{
    char why[CLI_PATH_BYTES];
    json_t *envoy = envoy_ask(program, path, why, sizeof(why));
    if (!envoy) {
        cli_error(cli, "%s", why);
        return false;
    }
    json_object_set_new(report, "envoy", envoy);
    return true;
}

static int verify_run(struct cli *cli, int argc, char **argv)
{
    struct command_parse p;
    const char *envoy = NULL;
    bool quiet = false;
    command_parse_init(&p, cli, &command_verify, argc, argv);
    for (int option; (option = command_next(&p)) != COMMAND_END;) {
        if (option == COMMAND_STOP)
            return p.status;
        quiet |= option == OPTION_QUIET;
        envoy = option == OPTION_ENVOY ? p.value : envoy;
    }
    if (!command_operands(&p, 1, 1))
        return p.status;
    json_t *report;
    int status = verify_file(cli, p.operands[0], &report);
    if (!report)
        return status;
    if (envoy && !ask_envoy(cli, envoy, p.operands[0], report)) {
        json_decref(report);
        return CLI_USAGE;
    }
    if (cli->json) {
        cli_print_json(cli, report);
        return status;
    }
    if (!quiet) {
        verify_print(cli, report, true);
    } else {
        print_list(cli->out, "problem    ", json_object_get(report, "problems"));
        print_list(cli->out, "warning    ", json_object_get(report, "warnings"));
    }
    json_decref(report);
    return status;
}
