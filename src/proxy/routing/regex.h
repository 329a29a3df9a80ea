/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions as Envoy's users write them (RE2's syntax), matched in linear time. A compiled
 * expression is immutable and shared by all workers. Never runs on a pattern that a peer wrote.
 */
#ifndef WEIR_PROXY_REGEX_H
#define WEIR_PROXY_REGEX_H

#include "base/arena.h"

struct regex;

#define REGEX_ERROR_MAX 256

/* NULL and a one-line reason in `error` when the pattern is bad or memory is out. */
struct regex *regex_create(struct slice pattern, char error[REGEX_ERROR_MAX]);
void regex_destroy(struct regex **re);
/* The whole text must match, as RE2::FullMatch. */
bool regex_full_match(const struct regex *re, struct slice text);
/* Anywhere in the text. */
bool regex_search(const struct regex *re, struct slice text);
/* The first match anywhere and its groups 0 .. count - 1; ptr NULL: a group that took no part. */
bool regex_groups(const struct regex *re, struct slice text, struct slice *groups, size_t count);
/* Whether `substitution` refers only to groups that the pattern has (RE2's \0 .. \9, "\\" for a backslash).
 */
bool regex_check_substitution(const struct regex *re, struct slice substitution, char error[REGEX_ERROR_MAX]);
/* RE2::GlobalReplace: every match is replaced. The result lies in `arena` (or is `text` when nothing
 * matched); ptr NULL when the arena's cap is reached. */
struct slice regex_replace_all(const struct regex *re, struct slice text, struct slice substitution,
                               struct arena *arena);

#endif
