/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running another program without a shell, and looking for it in PATH.
 */
#ifndef WEIR_CLI_SPAWN_H
#define WEIR_CLI_SPAWN_H

#include "base/strbuf.h"

struct spawn {
    const char *const *argv; /* NULL at the end; argv[0] is looked up in PATH unless it has a slash */
    const char *const *env;  /* "NAME=VALUE" besides the own ones, NULL at the end; may be NULL */
    const char *directory;   /* NULL: the current one */
    unsigned limit_seconds;  /* it ends by SIGALRM then; 0: none */
};

/* Runs it to its end with no standard input; appends what it prints, errors included, to *output. Gives its
 * exit status, 128 + the signal's number, or 127 when it cannot be started. */
int spawn_run(const struct spawn *s, struct strbuf *output);

/* The path of a program in PATH, into `out` of CLI_PATH_BYTES. */
bool spawn_find(const char *name, char *out);

#endif
