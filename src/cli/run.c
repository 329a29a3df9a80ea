/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weirctl plugin run: the command line of run_cases.
 */
#include "cli/run.h"

#include "base/assert.h"
#include "cli/commands.h"
#include "cli/file.h"
#include "cli/limits.h"
#include "cli/run_report.h"

#include <stdlib.h>
#include <string.h>

#define LIST_MAX 256

enum {
    OPTION_REQUEST,
    OPTION_REQUESTS,
    OPTION_HEADER,
    OPTION_DATA,
    OPTION_RESPONSE,
    OPTION_TCP,
    OPTION_TCP_ANSWER,
    OPTION_EXPECT,
    OPTION_CONFIG,
    OPTION_VM_CONFIG,
    OPTION_ROOT_ID,
    OPTION_NAME,
    OPTION_ENV,
    OPTION_PROPERTY,
    OPTION_CALLOUT,
    OPTION_TICKS,
    OPTION_CHUNK,
    OPTION_ENGINE,
    OPTION_LIMIT_TIME,
    OPTION_LIMIT_MEMORY,
    OPTION_STOP_ITERATION,
    OPTION_NO_CACHE,
    OPTION_LOG_LEVEL,
    OPTION_QUIET,
    OPTION_VERBOSE,
};

static const struct command_option options[] = {
    [OPTION_REQUEST] = {'r', "request", "WHAT",
                        "A file, URL, path, \"METHOD URL\" or METHOD; again for more"},
    [OPTION_REQUESTS] = {0, "requests", "FILE", "Many: .http with ### between, or JSON"},
    [OPTION_HEADER] = {'H', "header", "LINE", "\"Name: value\" for all requests, as curl's"},
    [OPTION_DATA] = {'d', "data", "TEXT", "A body for all requests; @FILE reads it"},
    [OPTION_RESPONSE] = {0, "response", "FILE",
                         "The upstream's answer (default: 200 with the request's body)"},
    [OPTION_TCP] = {0, "tcp", "TEXT", "A connection: what its client sends; @FILE reads it; again for more"},
    [OPTION_TCP_ANSWER] = {0, "tcp-answer", "TEXT",
                           "What the upstream sends on connections; @FILE (default: what it got)"},
    [OPTION_EXPECT] = {0, "expect", "FILE", "JSON: what must come out (docs/weirctl.md)"},
    [OPTION_CONFIG] = {'c', "config", "TEXT", "The plugin's configuration; @FILE reads it"},
    [OPTION_VM_CONFIG] = {0, "vm-config", "TEXT", "The VM's configuration; @FILE reads it"},
    [OPTION_ROOT_ID] = {0, "root-id", "ID", "Envoy's root_id (default: empty)"},
    [OPTION_NAME] = {0, "name", "NAME", "The plugin's name (default: plugin)"},
    [OPTION_ENV] = {'e', "env", "NAME=VALUE", "An environment variable of the plugin; again for more"},
    [OPTION_PROPERTY] = {'p', "property", "NAME=TEXT", "A property; NAME:=JSON for numbers; again for more"},
    [OPTION_CALLOUT] = {0, "callout", "CLUSTER=FILE", "The answer to its calls; =STATUS, =none (it fails)"},
    [OPTION_TICKS] = {0, "ticks", "N", "Ticks to give, at once when a request waits (default 0)"},
    [OPTION_CHUNK] = {0, "chunk", "BYTES", "Bodies come in pieces of this size (default: whole)"},
    [OPTION_ENGINE] = {0, "engine", "NAME", "wasmtime (default), or null for NAME.so"},
    [OPTION_LIMIT_TIME] = {0, "limit-time", "TIME", "Of one callback: 20ms (default), 1s, none"},
    [OPTION_LIMIT_MEMORY] = {0, "limit-memory", "SIZE", "Of the plugin: 256MiB (default)"},
    [OPTION_STOP_ITERATION] = {0, "allow-stop-iteration", NULL, "Envoy's allow_on_headers_stop_iteration"},
    [OPTION_NO_CACHE] = {0, "no-cache", NULL, "Compile anew, and keep nothing"},
    [OPTION_LOG_LEVEL] = {'l', "log-level", "LEVEL", "trace, debug, info (default), warn, error, critical"},
    [OPTION_QUIET] = {'q', "quiet", NULL, "Only what failed, and the sum"},
    [OPTION_VERBOSE] = {'v', "verbose", NULL, "Long bodies as a whole"},
};

static int run_run(struct cli *cli, int argc, char **argv);
const struct command command_run = {
    .name = "run",
    .operands = "FILE",
    .summary =
        "Run requests or connections through a plugin with no proxy, and show what it did and what it cost",
    .options = options,
    .options_count = WEIR_ARRAY_LEN(options),
    .notes = "Examples:\n"
             "  weirctl plugin run hello.wasm --config world --request /hello\n"
             "  weirctl plugin run auth.wasm -c @config.json -r 'POST http://a.example/x' -d text \\\n"
             "      --callout auth=403\n"
             "  weirctl plugin run hello.wasm --requests tests/plugin.json\n"
             "  weirctl plugin run shout.wasm --tcp hello --tcp-answer @answer.bin --chunk 100\n"
             "Without --request, --requests, --tcp and --ticks one GET / is run.\n",
    .run = run_run,
};

/* What the command line said; the lists keep their order until all of it is known. */
struct line {
    struct run_options run;
    struct cases cases;
    struct cases_error error;
    struct run_text text;
    const char *environment[LIST_MAX];
    const char *headers[LIST_MAX];
    size_t headers_count;
    const char *data;
    const char *response;
    const char *tcp_answer;
    const char *expect;
    bool ticks_given;
};

/* "@FILE" or the text itself, for strbuf_fini; false after *error was set, and then `out` holds nothing. */
static bool bytes_or_file(const char *value, struct strbuf *out, struct cases_error *error)
{
    struct file_error file_error = {"the text is too long"};
    bool done;
    if (value[0] == '@') {
        done = file_read(value + 1, CLI_FILE_BYTES_MAX, out, &file_error);
    } else {
        strbuf_init(out, CLI_FILE_BYTES_MAX);
        done = strbuf_append_str(out, value);
    }
    if (!done)
        snprintf(error->text, sizeof(error->text), "%s", file_error.text);
    return done;
}

/* The same as a new string; NULL after *error was set. */
static char *text_or_file(const char *value, struct cases_error *error)
{
    struct strbuf content;
    if (!bytes_or_file(value, &content, error))
        return NULL;
    char *text = slice_strdup(strbuf_slice(&content));
    strbuf_fini(&content);
    return text;
}

/* As it stands, with NULs. */
static bool take_tcp(struct line *line, const char *value, bool answer)
{
    struct strbuf content;
    if (!bytes_or_file(value, &content, &line->error))
        return false;
    struct slice bytes = strbuf_slice(&content);
    bool done = answer ? cases_set_tcp_answer(&line->cases, bytes, &line->error)
                       : cases_add_tcp(&line->cases, bytes, &line->error);
    strbuf_fini(&content);
    return done;
}

static bool set_text(char **out, const char *value, struct cases_error *error)
{
    char *text = text_or_file(value, error);
    if (!text)
        return false;
    free(*out);
    *out = text;
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* A number with a unit behind it; without one it has that of the first row. */
static bool parse_amount(const char *text, const struct unit *units, size_t count, uint64_t *out)
{
    struct slice s = slice_str(text);
    size_t digits = strspn(text, "0123456789");
    uint64_t number, factor = 0;
    if (!slice_parse_u64(slice_take(s, digits), &number) || number == 0)
        return false;
    for (size_t i = 0; i < count; i++)
        if (digits == s.len ? i == 0 : strcmp(text + digits, units[i].name) == 0)
            factor = units[i].factor;
    if (factor == 0 || number > UINT64_MAX / 2 / factor)
        return false;
    *out = number * factor;
    return true;
}

static bool parse_time(const char *text, uint64_t *ns)
{
    static const struct unit units[] = {{"ms", 1000000}, {"us", 1000}, {"s", 1000000000}};
    if (strcmp(text, "none") != 0)
        return parse_amount(text, units, WEIR_ARRAY_LEN(units), ns);
    *ns = UINT64_MAX;
    return true;
}

static bool parse_size(const char *text, uint64_t *bytes)
{
    static const struct unit units[] = {
        {"B", 1},        {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}, {"k", 1u << 10},
        {"m", 1u << 20}, {"g", 1u << 30},   {"K", 1u << 10},   {"M", 1u << 20},   {"G", 1u << 30}};
    return parse_amount(text, units, WEIR_ARRAY_LEN(units), bytes);
}

static bool parse_level(const char *text, enum pw_log_level *out)
{
    static const char *const names[] = {"trace", "debug", "info", "warn", "error", "critical"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) != 0)
            continue;
        *out = (enum pw_log_level)i;
        return true;
    }
    return false;
}

/* Options whose value is checked against a form. NULL: taken; otherwise what would be right. */
static const char *take_checked(struct line *line, int option, const char *value)
{
    uint64_t number;
    switch (option) {
    case OPTION_ENV:
        if (!strchr(value, '=') || value[0] == '=')
            return "NAME=VALUE";
        if (line->run.sandbox.environment_count == LIST_MAX)
            return "at most 256 of them";
        line->environment[line->run.sandbox.environment_count++] = value;
        return NULL;
    case OPTION_HEADER:
        if (line->headers_count == LIST_MAX || !strchr(value, ':'))
            return "\"Name: value\", at most 256 of them";
        line->headers[line->headers_count++] = value;
        return NULL;
    case OPTION_TICKS:
        if (!slice_parse_u64(slice_str(value), &number) || number > CLI_TICKS_MAX)
            return "a number up to 1000000";
        line->cases.ticks = (uint32_t)number;
        line->ticks_given = true;
        return NULL;
    case OPTION_CHUNK:
        if (!parse_size(value, &number))
            return "a number of bytes, as 1000 or 16KiB";
        line->run.chunk_bytes = (size_t)number;
        return NULL;
    case OPTION_ENGINE:
        line->run.sandbox.engine = value;
        return strcmp(value, "wasmtime") == 0 || strcmp(value, "null") == 0 ? NULL : "wasmtime or null";
    case OPTION_LIMIT_TIME:
        return parse_time(value, &line->run.sandbox.limits.callback_time_max_ns)
                   ? NULL
                   : "a time, as 20ms, 1s, none";
    case OPTION_LIMIT_MEMORY:
        return parse_size(value, &line->run.sandbox.limits.memory_max_bytes) ? NULL
                                                                             : "a size, as 64MiB or 100000";
    case OPTION_LOG_LEVEL:
        return parse_level(value, &line->run.sandbox.level) ? NULL
                                                            : "trace, debug, info, warn, error or critical";
    default:
        WEIR_UNREACHABLE();
    }
}

/* The others; false after line->error was set. */
static bool take_plain(struct line *line, int option, const char *value)
{
    switch (option) {
    case OPTION_REQUEST:
        return cases_add_request(&line->cases, value, &line->error);
    case OPTION_REQUESTS:
        return cases_add_file(&line->cases, value, &line->error);
    case OPTION_DATA:
        line->data = value;
        return true;
    case OPTION_RESPONSE:
        line->response = value;
        return true;
    case OPTION_TCP:
        return take_tcp(line, value, false);
    case OPTION_TCP_ANSWER:
        line->tcp_answer = value;
        return true;
    case OPTION_EXPECT:
        line->expect = value;
        return true;
    case OPTION_CONFIG:
        return set_text(&line->cases.config, value, &line->error);
    case OPTION_VM_CONFIG:
        return set_text(&line->cases.vm_config, value, &line->error);
    case OPTION_ROOT_ID:
        return set_text(&line->cases.root_id, value, &line->error);
    case OPTION_NAME:
        return set_text(&line->cases.name, value, &line->error);
    case OPTION_PROPERTY:
        return cases_add_property(&line->cases, value, &line->error);
    case OPTION_CALLOUT:
        return cases_add_callout(&line->cases, value, &line->error);
    case OPTION_STOP_ITERATION:
        line->run.sandbox.allow_stop_iteration = true;
        return true;
    case OPTION_NO_CACHE:
        line->run.sandbox.no_cache = true;
        return true;
    case OPTION_QUIET:
        line->text.quiet = true;
        return true;
    case OPTION_VERBOSE:
        line->text.verbose = true;
        return true;
    default:
        WEIR_UNREACHABLE();
    }
}

static int take(struct command_parse *p, struct line *line, int option)
{
    switch (option) {
    case OPTION_ENV:
    case OPTION_HEADER:
    case OPTION_TICKS:
    case OPTION_CHUNK:
    case OPTION_ENGINE:
    case OPTION_LIMIT_TIME:
    case OPTION_LIMIT_MEMORY:
    case OPTION_LOG_LEVEL: {
        const char *wanted = take_checked(line, option, p->value);
        return wanted ? command_bad_value(p, option, wanted) : CLI_OK;
    }
    default:
        if (take_plain(line, option, p->value))
            return CLI_OK;
        cli_error(p->cli, "--%s: %s", options[option].name, line->error.text);
        return CLI_USAGE;
    }
}

/* -H and -d, as curl does: a body makes a GET a POST. */
static bool dress(struct line *line, struct message *m, const char *body)
{
    struct message_error why;
    char length[32];
    for (size_t i = 0; i < line->headers_count; i++) {
        struct slice all = slice_str(line->headers[i]);
        size_t colon = (size_t)slice_find_char(slice_skip(all, 1), ':') + 1;
        if (message_add(m, slice_trim(slice_take(all, colon)), slice_trim(slice_skip(all, colon + 1)), &why))
            continue;
        snprintf(line->error.text, sizeof(line->error.text), "--header: %s", why.text);
        return false;
    }
    if (!body)
        return true;
    strbuf_reset(&m->body);
    strbuf_append_str(&m->body, body);
    if (slice_eq(header_map_get_id(&m->headers, HDR_METHOD), SLICE_LIT("GET")))
        header_map_set_id(&m->headers, HDR_METHOD, SLICE_LIT("POST"));
    snprintf(length, sizeof(length), "%zu", m->body.len);
    header_map_set_id(&m->headers, HDR_CONTENT_LENGTH, slice_str(length));
    return true;
}

/* Puts together what depends on the order on the command line. */
static bool complete(struct line *line)
{
    char *body = NULL;
    if (line->cases.count == 0 && !line->ticks_given && line->cases.ticks == 0 &&
        !cases_add_request(&line->cases, "/", &line->error))
        return false;
    if (line->data && !(body = text_or_file(line->data, &line->error)))
        return false;
    bool done = true;
    for (size_t i = 0; done && i < line->cases.count; i++)
        done = dress(line, &line->cases.items[i].request, body);
    free(body);
    return done && (!line->tcp_answer || take_tcp(line, line->tcp_answer, true)) &&
           (!line->response || cases_set_response(&line->cases, line->response, &line->error)) &&
           (!line->expect || cases_set_expect(&line->cases, line->expect, &line->error));
}

static int run_line(struct cli *cli, struct line *line, const char *file)
{
    json_t *report;
    if (!complete(line)) {
        cli_error(cli, "%s", line->error.text);
        return CLI_USAGE;
    }
    if (!file_exists(file) || file_is_directory(file)) {
        cli_error(cli, "%s is no file: give the plugin's .wasm (weirctl plugin build makes it)", file);
        return CLI_USAGE;
    }
    line->run.sandbox.file = file;
    line->run.sandbox.environment = line->environment;
    int status = run_cases(&line->cases, &line->run, &report);
    if (cli->json) {
        cli_print_json(cli, report);
        return status;
    }
    run_report_print(cli, report, &line->text);
    json_decref(report);
    return status;
}

static int run_run(struct cli *cli, int argc, char **argv)
{
    struct command_parse p;
    struct line line = {.run.sandbox = {.engine = "wasmtime", .level = PW_LOG_INFO}};
    int status = CLI_OK;
    cases_init(&line.cases);
    command_parse_init(&p, cli, &command_run, argc, argv);
    for (int option; status == CLI_OK && (option = command_next(&p)) != COMMAND_END;) {
        if (option == COMMAND_STOP) {
            cases_fini(&line.cases);
            return p.status;
        }
        status = take(&p, &line, option);
    }
    if (status == CLI_OK && !command_operands(&p, 1, 1))
        status = p.status;
    if (status == CLI_OK)
        status = run_line(cli, &line, p.operands[0]);
    cases_fini(&line.cases);
    return status;
}
