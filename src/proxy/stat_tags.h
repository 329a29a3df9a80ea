/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats_config.stats_tags: parts of statistics' names that become labels, by the operator's expressions. For
 * pages only; counting never looks at names. Immutable once made.
 */
#ifndef WEIR_PROXY_STAT_TAGS_H
#define WEIR_PROXY_STAT_TAGS_H

#include "base/strbuf.h"

struct stat_tags;

/* Bounds of a configuration: a page runs every expression on every name. */
#define STAT_TAGS_MAX 256u

/* `defaults`: Envoy's own tags are extracted too. NULL when memory is out. */
struct stat_tags *stat_tags_create(bool defaults);
void stat_tags_destroy(struct stat_tags **tags);
/* Copies. `regex`: its first group is cut out of the name, the second, or else the first, is the value. False
 * with a reason: a bad expression, too many, no memory. */
bool stat_tags_add_regex(struct stat_tags *tags, struct slice name, struct slice regex, char *error,
                         size_t error_size);
bool stat_tags_add_fixed(struct stat_tags *tags, struct slice name, struct slice value);
bool stat_tags_defaults(const struct stat_tags *tags);

/* Appends what is left of `name` and gives each tag that applies, in order of configuration. */
void stat_tags_extract(const struct stat_tags *tags, struct slice name, struct strbuf *left,
                       void (*tag)(void *arg, struct slice name, struct slice value), void *arg);

#endif
