/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Choosing one of a few: with arrow keys or a number on a terminal, by a line of text elsewhere. It leaves
 * the terminal as it found it.
 */
#ifndef WEIR_CLI_PICKER_H
#define WEIR_CLI_PICKER_H

#include "cli/cli.h"

struct picker_item {
    const char *id;
    const char *title;
    const char *summary;
};

enum { PICKER_CANCELLED = -1, PICKER_INVALID = -2 };

/* The index of the chosen item; PICKER_CANCELLED (q, Ctrl-C, end of input), PICKER_INVALID (no item of that
 * name). Asks on cli->err, reads standard input. */
int picker_choose(struct cli *cli, const char *question, const struct picker_item *items, size_t count);

#endif
