/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command as a table: its options, its help. One row makes the parser, --help and the completion. It must
 * never know what a command does.
 */
#ifndef WEIR_CLI_COMMAND_H
#define WEIR_CLI_COMMAND_H

#include "cli/cli.h"

struct command_option {
    char letter;       /* 0: none */
    const char *name;  /* without dashes */
    const char *value; /* what --help calls its value; NULL: it takes none */
    const char *help;
};

struct command {
    const char *name; /* "verify" */
    const char *operands;
    const char *summary;
    const struct command_option *options; /* besides --json and --help, which all have */
    size_t options_count;
    const char *notes; /* printed below the options; NULL: none */
    int (*run)(struct cli *cli, int argc, char **argv);
};

/* All of them, for the dispatcher, the help and the completion. */
extern const struct command *const command_plugin[];
extern const size_t command_plugin_count;

enum { COMMAND_END = -1, COMMAND_STOP = -2 };

#define COMMAND_OPTIONS_MAX 40

/* One pass over the arguments. `value` belongs to the option that command_next returned. */
struct command_parse {
    struct cli *cli;
    const struct command *command;
    int argc;
    char **argv;
    const char *value;
    int status; /* after COMMAND_STOP: what the program exits with */
    bool started;
    char **operands; /* after COMMAND_END */
    int operands_count;
};

void command_parse_init(struct command_parse *p, struct cli *cli, const struct command *command, int argc,
                        char **argv);
/*
 * The index of the next option's row; COMMAND_END when operands are left; COMMAND_STOP when all was said
 * (--help, a mistake): return `status`. Takes --json itself.
 */
int command_next(struct command_parse *p);
/* Whether there are between min and max operands; otherwise it has complained and `status` is set. */
bool command_operands(struct command_parse *p, int min, int max);
/* Complains about an option's value, with what would be right. Gives CLI_USAGE. */
int command_bad_value(struct command_parse *p, int option, const char *wanted);

void command_print_help(const struct command *command, FILE *out);

/* The script that `weirctl completion bash` prints. */
void completion_print_bash(FILE *out);

#endif
