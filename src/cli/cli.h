/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line tool: its streams, its exit statuses, its way to complain. A command prints what it found
 * on `out` and what went wrong on `err`; with --json it prints exactly one JSON value on `out`, also when it
 * fails.
 */
#ifndef WEIR_CLI_CLI_H
#define WEIR_CLI_CLI_H

#include "base/slice.h"

#include <jansson.h>
#include <stdio.h>

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1, /* the work was done and the answer is no: a bad plugin, a failed build or test */
    CLI_USAGE = 2,  /* the command line, or a file that it names, is wrong: nothing was done */
};

struct cli {
    FILE *out;
    FILE *err;
    const char *name; /* "weirctl plugin verify" */
    bool json;
};

int cli_main(int argc, char **argv);

/* One line "NAME: text" on err; with --json also {"ok": false, "error": "text"} on out. */
void cli_error(struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints the value as text of JSON and drops the reference. */
void cli_print_json(struct cli *cli, json_t *value);

/* A string of JSON from any bytes: what is not UTF-8 becomes U+FFFD. */
json_t *cli_json_string(struct slice s);
/* "13.2 kB", "1.5 MiB" for memory. */
#define CLI_SIZE_TEXT 32
const char *cli_size_text(uint64_t bytes, char text[CLI_SIZE_TEXT]);
const char *cli_memory_text(uint64_t bytes, char text[CLI_SIZE_TEXT]);
/* "31 ms", "0.12 ms", "1.7 s". */
const char *cli_time_text(uint64_t ns, char text[CLI_SIZE_TEXT]);

#endif
