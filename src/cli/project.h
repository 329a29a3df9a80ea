/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin's directory: its name, its language, where its parts lie. Read only.
 */
#ifndef WEIR_CLI_PROJECT_H
#define WEIR_CLI_PROJECT_H

#include "cli/language.h"
#include "cli/limits.h"

#define PROJECT_NAME_MAX 63

struct project {
    char directory[CLI_PATH_BYTES]; /* absolute */
    char name[PROJECT_NAME_MAX + 1];
    const struct language *language;
};

struct project_error {
    char text[1024];
};

/* Letters, digits, '-' and '_', beginning with a letter: fit for files, crates, modules, metrics. */
bool project_name_valid(const char *name);

/*
 * The language by what lies in the directory: Cargo.toml, go.mod, package.json, *.cc, *.c. The name from
 * runtime-config.json's first root id, or the directory's. `language` NULL: found out.
 */
bool project_open(struct project *out, const char *directory, const struct language *language,
                  struct project_error *error);

/* Sources of the project with one of the endings (NULL at the end), in its directory and in src/, sorted.
 * Gives how many there are; at most `max` strings of `out` are set, owned by the caller. */
size_t project_sources(const struct project *project, const char *const *endings, char **out, size_t max);

#endif
