/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weirctl's front: finds the command, prints version and help, complains. It must never do a command's work.
 */
#include "cli/cli.h"

#include "base/assert.h"
#include "base/strbuf.h"
#include "cli/command.h"
#include "cli/limits.h"
#include "cli/trial.h"
#include "weir_version.h"

#include <inttypes.h>
#include <proxywasm/posix.h>
#include <stdarg.h>
#include <stdlib.h>

void cli_error(struct cli *cli, const char *fmt, ...)
{
    struct strbuf text;
    va_list args;
    strbuf_init(&text, CLI_TEXT_BYTES_MAX);
    va_start(args, fmt);
    strbuf_vprintf(&text, fmt, args);
    va_end(args);
    fprintf(cli->err, "%s: %s\n", cli->name, strbuf_cstr(&text));
    if (cli->json)
        cli_print_json(cli, json_pack("{s:b, s:o}", "ok", 0, "error", cli_json_string(strbuf_slice(&text))));
    strbuf_fini(&text);
}

void cli_print_json(struct cli *cli, json_t *value)
{
    json_dumpf(value, cli->out, JSON_INDENT(2));
    fputc('\n', cli->out);
    json_decref(value);
}

json_t *cli_json_string(struct slice s)
{
    json_t *string = json_stringn(s.ptr ? s.ptr : "", s.len);
    if (string)
        return string;
    /* Not UTF-8: strbuf replaces what is not. */
    struct strbuf quoted;
    strbuf_init(&quoted, SIZE_MAX / 2);
    strbuf_append_json(&quoted, s);
    string = json_loadb(strbuf_cstr(&quoted), quoted.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    strbuf_fini(&quoted);
    return string ? string : json_string("");
}

static const char *scaled(double value, double step, const char *const *units, char text[CLI_SIZE_TEXT])
{
    size_t unit = 0;
    for (; value >= step && units[unit + 1]; unit++)
        value /= step;
    snprintf(text, CLI_SIZE_TEXT, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return text;
}

const char *cli_size_text(uint64_t bytes, char text[CLI_SIZE_TEXT])
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", NULL};
    return scaled((double)bytes, 1000, units, text);
}

const char *cli_memory_text(uint64_t bytes, char text[CLI_SIZE_TEXT])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", NULL};
    return scaled((double)bytes, 1024, units, text);
}

const char *cli_time_text(uint64_t ns, char text[CLI_SIZE_TEXT])
{
    double us = (double)ns / 1e3;
    if (us < 1000)
        snprintf(text, CLI_SIZE_TEXT, "%.1f us", us);
    else if (us < 1e6)
        snprintf(text, CLI_SIZE_TEXT, "%.1f ms", us / 1e3);
    else
        snprintf(text, CLI_SIZE_TEXT, "%.2f s", us / 1e6);
    return text;
}

static void print_help(FILE *out)
{
    fputs("Usage: weirctl plugin COMMAND [OPTIONS]\n       weirctl completion bash\n\n"
          "The command line of Weir, for those who write plugins.\n\nCommands of weirctl plugin:\n",
          out);
    for (size_t i = 0; i < command_plugin_count; i++)
        fprintf(out, "  %-8s %s\n", command_plugin[i]->name, command_plugin[i]->summary);
    fputs("\nOptions:\n  -h, --help     Print this; behind a command: its own help\n"
          "      --version  Print the version\n\ndocs/weirctl.md shows each command at work.\n",
          out);
}

static int run_plugin(struct cli *cli, int argc, char **argv)
{
    char name[64];
    if (argc < 2) {
        cli_error(cli, "a command is missing: weirctl --help lists them");
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(cli->out);
        return CLI_OK;
    }
    for (size_t i = 0; i < command_plugin_count; i++) {
        if (strcmp(argv[1], command_plugin[i]->name) != 0)
            continue;
        snprintf(name, sizeof(name), "weirctl plugin %s", command_plugin[i]->name);
        cli->name = name;
        int status = command_plugin[i]->run(cli, argc - 1, argv + 1);
        cli->name = "weirctl";
        return status;
    }
    cli_error(cli, "there is no command \"plugin %.100s\": weirctl --help lists them", argv[1]);
    return CLI_USAGE;
}

static int dispatch(struct cli *cli, int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "--help";
    if (strcmp(word, "plugin") == 0)
        return run_plugin(cli, argc - 1, argv + 1);
    if (strcmp(word, "--version") == 0) {
        fputs("weirctl " WEIR_VERSION "\n", cli->out);
        return CLI_OK;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_help(argc > 1 ? cli->out : cli->err);
        return argc > 1 ? CLI_OK : CLI_USAGE;
    }
    if (strcmp(word, "completion") == 0 && argc == 3 && strcmp(argv[2], "bash") == 0) {
        completion_print_bash(cli->out);
        return CLI_OK;
    }
    cli_error(cli, "there is no command \"%.100s\": weirctl --help lists them", word);
    return CLI_USAGE;
}

int cli_main(int argc, char **argv)
{
    struct cli cli = {.out = stdout, .err = stderr, .name = "weirctl"};
    if (argc == 2 && strcmp(argv[1], TRIAL_ARGUMENT) == 0)
        return pw_posix_compiler_main();
    int status = dispatch(&cli, argc, argv);
    /* A full disk behind `> file` must not look like success. */
    if (fflush(stdout) != 0 && status == CLI_OK) {
        fprintf(stderr, "weirctl: the output cannot be written\n");
        status = CLI_FAILED;
    }
    return status;
}
