/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The languages of plugin projects: one row each. What a row says is used by the picker, by the README of new
 * projects and by the errors of `build`.
 */
#ifndef WEIR_CLI_LANGUAGE_H
#define WEIR_CLI_LANGUAGE_H

#include "base/slice.h"

struct build;

struct language {
    const char *id;      /* "cpp" */
    const char *title;   /* "C++" */
    const char *summary; /* for the picker */
    const char *source;  /* the file to edit in a new project */
    const char *setup;   /* how to get the toolchain: sentences and commands */
    bool (*build)(struct build *b);
};

extern const struct language languages[];
extern const size_t languages_count;

/* NULL when there is none of that id. */
const struct language *language_find(const char *id);
/* "c, cpp, rust, ..." */
const char *language_list(void);

/* In the file of its name: builds b->project into b->output; false after build_fail. */
bool build_c(struct build *b);
bool build_cpp(struct build *b);
bool build_rust(struct build *b);
bool build_go(struct build *b);
bool build_tinygo(struct build *b);
bool build_assemblyscript(struct build *b);

#endif
