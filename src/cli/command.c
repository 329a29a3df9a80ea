/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing a command's options with getopt_long, and its help. Nothing is opened or run here.
 */
#include "cli/command.h"

#include "base/assert.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define ROW_BASE  256 /* above any letter */
#define HELP_VAL  (ROW_BASE + COMMAND_OPTIONS_MAX)
#define JSON_VAL  (HELP_VAL + 1)
#define HELP_WIDE 30

void command_parse_init(struct command_parse *p, struct cli *cli, const struct command *command, int argc,
                        char **argv)
{
    WEIR_ASSERT(command->options_count <= COMMAND_OPTIONS_MAX);
    *p = (struct command_parse){.cli = cli, .command = command, .argc = argc, .argv = argv};
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        cli->json |= strcmp(argv[i], "--json") == 0; /* so that every complaint is JSON, too */
}

static void make_tables(const struct command *command, struct option *longs, char *shorts)
{
    size_t n = 0;
    *shorts++ = ':'; /* a missing value is told apart */
    for (; n < command->options_count; n++) {
        const struct command_option *o = &command->options[n];
        longs[n] =
            (struct option){o->name, o->value ? required_argument : no_argument, NULL, ROW_BASE + (int)n};
        if (o->letter) {
            *shorts++ = o->letter;
            if (o->value)
                *shorts++ = ':';
        }
    }
    longs[n++] = (struct option){"help", no_argument, NULL, HELP_VAL};
    longs[n++] = (struct option){"json", no_argument, NULL, JSON_VAL};
    longs[n] = (struct option){NULL, 0, NULL, 0};
    *shorts++ = 'h';
    *shorts = '\0';
}

static int stop(struct command_parse *p, int status)
{
    p->status = status;
    return COMMAND_STOP;
}

static int row_of_letter(const struct command *command, int letter)
{
    for (size_t i = 0; i < command->options_count; i++)
        if (command->options[i].letter == letter)
            return (int)i;
    WEIR_UNREACHABLE();
}

static int complain(struct command_parse *p, bool missing)
{
    const char *argument = p->argv[optind > 1 ? optind - 1 : optind];
    char letter[3] = {'-', (char)optopt, '\0'};
    if (optopt > 0 && optopt < ROW_BASE)
        argument = letter;
    cli_error(p->cli,
              missing ? "%s needs a value: --help says which" : "unknown option %s: --help lists them",
              argument);
    return stop(p, CLI_USAGE);
}

int command_next(struct command_parse *p)
{
    struct option longs[COMMAND_OPTIONS_MAX + 3];
    char shorts[2 * COMMAND_OPTIONS_MAX + 4];
    make_tables(p->command, longs, shorts);
    if (!p->started)
        optind = 0; /* glibc: start over, also after another table */
    p->started = true;
    opterr = 0;
    optopt = 0;
    for (;;) {
        int value = getopt_long(p->argc, p->argv, shorts, longs, NULL);
        p->value = optarg;
        if (value == JSON_VAL)
            continue;
        if (value == -1) {
            p->operands = p->argv + optind;
            p->operands_count = p->argc - optind;
            return COMMAND_END;
        }
        if (value == HELP_VAL || value == 'h') {
            command_print_help(p->command, p->cli->out);
            return stop(p, CLI_OK);
        }
        if (value == '?' || value == ':')
            return complain(p, value == ':');
        return value >= ROW_BASE ? value - ROW_BASE : row_of_letter(p->command, value);
    }
}

bool command_operands(struct command_parse *p, int min, int max)
{
    if (p->operands_count < min)
        cli_error(p->cli, "%s is missing: weirctl plugin %s %s", p->command->operands, p->command->name,
                  p->command->operands);
    else if (p->operands_count > max)
        cli_error(p->cli, "one argument too many: \"%s\"; --help shows the form", p->operands[max]);
    else
        return true;
    p->status = CLI_USAGE;
    return false;
}

int command_bad_value(struct command_parse *p, int option, const char *wanted)
{
    cli_error(p->cli, "--%s: \"%.200s\" is not valid: use %s", p->command->options[option].name, p->value,
              wanted);
    return CLI_USAGE;
}

static void print_row(FILE *out, char letter, const char *name, const char *value, const char *help)
{
    char left[96];
    char dash[] = {letter ? '-' : ' ', letter ? letter : ' ', letter ? ',' : ' ', '\0'};
    snprintf(left, sizeof(left), "%s --%s%s%s", dash, name, value ? " " : "", value ? value : "");
    fprintf(out, "  %-*s  %s\n", HELP_WIDE, left, help);
}

void command_print_help(const struct command *command, FILE *out)
{
    fprintf(out, "Usage: weirctl plugin %s [OPTIONS] %s\n\n%s\n\nOptions:\n", command->name,
            command->operands, command->summary);
    for (size_t i = 0; i < command->options_count; i++) {
        const struct command_option *o = &command->options[i];
        print_row(out, o->letter, o->name, o->value, o->help);
    }
    print_row(out, 0, "json", NULL, "Print one JSON value instead of text (docs/weirctl.md)");
    print_row(out, 'h', "help", NULL, "Print this");
    if (command->notes)
        fprintf(out, "\n%s", command->notes);
    fputs("\nExit status: 0 done, 1 failed, 2 the command line or a file it names is wrong.\n", out);
}
