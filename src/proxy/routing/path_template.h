/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URI templates of routes ("/files/{name}/{rest=**}"): turned into a regular expression and, for rewriting,
 * into its substitution, when a table is finished. Never runs on what a peer wrote.
 */
#ifndef WEIR_PROXY_PATH_TEMPLATE_H
#define WEIR_PROXY_PATH_TEMPLATE_H

#include "base/strbuf.h"

/* As in Envoy. */
#define PATH_TEMPLATE_VARIABLES_MAX  5u
#define PATH_TEMPLATE_NAME_BYTES_MAX 16u

/* The names in their order: the first is group 1 of the expression. Slices of the template. */
struct path_template_variables {
    struct slice names[PATH_TEMPLATE_VARIABLES_MAX];
    uint32_t count;
};

/* Appends the expression, which matches whole paths without their query. NULL, or what is wrong (a constant).
 */
const char *path_template_pattern(struct slice text, struct strbuf *pattern,
                                  struct path_template_variables *variables);
/* Appends the substitution for a rewrite such as "/new/{name}". */
const char *path_template_substitution(struct slice text, const struct path_template_variables *variables,
                                       struct strbuf *substitution);

#endif
