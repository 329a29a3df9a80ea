/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One build of a project: the programs it runs, what they printed, what came out. Languages (build_*.c) find
 * their toolchain and call build_command; they print nothing.
 */
#ifndef WEIR_CLI_BUILD_H
#define WEIR_CLI_BUILD_H

#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/project.h"
#include "cli/spawn.h"

struct build {
    struct cli *cli;
    struct project project;
    const char *sdk; /* --sdk: holds c/ and cpp/; NULL: beside the program */
    char output[CLI_PATH_BYTES];
    struct strbuf log; /* what the programs printed */
    json_t *commands;  /* as strings */
    struct strbuf error;
};

/* Arguments of a command, collected one by one; what is added must live until it ran. */
struct build_args {
    const char *items[CLI_ARGS_MAX + 1];
    size_t count;
};
void build_arg(struct build_args *args, const char *arg);

/* Says what is wrong; always false. */
bool build_fail(struct build *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A program or a part of the toolchain is missing: says how to get it. */
bool build_missing(struct build *b, const char *what);
/* Runs a command in the project's directory; false, with the reason set, when it fails. */
bool build_command(struct build *b, struct build_args *args, const char *const *env);
/* The same, quietly, for what a tool says of itself: the first line of its output. */
bool build_ask(struct build *b, struct build_args *args, char *line, size_t len);

/* DIRECTORY/NAME of the SDKs, as "c/include"; false after build_fail. */
bool build_sdk_path(struct build *b, const char *name, char out[CLI_PATH_BYTES]);

/* Builds `directory` and verifies what came out. *report is always set. CLI_OK, CLI_FAILED, CLI_USAGE. */
struct build_options {
    const char *directory;
    const struct language *language; /* NULL: found out */
    const char *sdk;
};
int build_project(struct cli *cli, const struct build_options *options, json_t **report);

#endif
