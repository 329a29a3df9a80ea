/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of new projects, compiled in from src/cli/templates, and the words that are put into them.
 */
#ifndef WEIR_CLI_TEMPLATE_H
#define WEIR_CLI_TEMPLATE_H

#include "base/strbuf.h"

struct template_file {
    const char *set;  /* a language, or "common" */
    const char *path; /* in the project */
    struct slice content;
};

extern const struct template_file template_files[];
extern const size_t template_files_count;

struct template_word {
    const char *name; /* between @ and @ */
    const char *value;
};

/* Appends the content with each @NAME@ of `words` replaced; other @ stay as they are. */
void template_expand(struct strbuf *out, struct slice content, const struct template_word *words,
                     size_t count);

#endif
