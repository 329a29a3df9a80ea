/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envoy's TagProducer: every expression looks at the whole name, and what they cut is taken out of it at the
 * end, so their order does not matter.
 */
#include "proxy/stat_tags.h"

#include "base/arena.h"
#include "proxy/routing/regex.h"

#include <stdio.h>
#include <stdlib.h>

#define STAT_TAGS_BYTES_MAX (1u << 20)

struct stat_tag {
    struct slice name;
    struct slice fixed;
    struct regex *regex; /* NULL: fixed */
};

struct stat_tags {
    struct arena arena;
    struct stat_tag items[STAT_TAGS_MAX];
    size_t count;
    bool defaults;
};

struct stat_tags *stat_tags_create(bool defaults)
{
    struct stat_tags *tags = calloc(1, sizeof(*tags));
    if (!tags)
        return NULL;
    arena_init(&tags->arena, STAT_TAGS_BYTES_MAX, NULL);
    tags->defaults = defaults;
    return tags;
}

void stat_tags_destroy(struct stat_tags **tags)
{
    struct stat_tags *t = *tags;
    *tags = NULL;
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        regex_destroy(&t->items[i].regex);
    arena_fini(&t->arena);
    free(t);
}

bool stat_tags_defaults(const struct stat_tags *tags)
{
    return !tags || tags->defaults;
}

static struct stat_tag *add(struct stat_tags *tags, struct slice name)
{
    if (tags->count == STAT_TAGS_MAX)
        return NULL;
    struct stat_tag *tag = &tags->items[tags->count];
    tag->name = arena_dup(&tags->arena, name);
    return tag->name.ptr ? tag : NULL;
}

bool stat_tags_add_regex(struct stat_tags *tags, struct slice name, struct slice regex, char *error,
                         size_t error_size)
{
    char why[REGEX_ERROR_MAX];
    struct stat_tag *tag = add(tags, name);
    if (!tag) {
        snprintf(error, error_size, "there are more than %u tags", STAT_TAGS_MAX);
        return false;
    }
    tag->regex = regex_create(regex, why);
    if (!tag->regex) {
        snprintf(error, error_size, "%s", why);
        return false;
    }
    tags->count++;
    return true;
}

bool stat_tags_add_fixed(struct stat_tags *tags, struct slice name, struct slice value)
{
    struct stat_tag *tag = add(tags, name);
    struct slice copy = tag ? arena_dup(&tags->arena, value) : SLICE_EMPTY;
    if (!copy.ptr)
        return false;
    tag->fixed = copy;
    tags->count++;
    return true;
}

/* What of a name is cut. */
struct cuts {
    struct slice items[STAT_TAGS_MAX];
    size_t count;
};

static bool is_cut(const struct cuts *cuts, const char *at)
{
    for (size_t i = 0; i < cuts->count; i++) {
        if (at >= cuts->items[i].ptr && at < cuts->items[i].ptr + cuts->items[i].len)
            return true;
    }
    return false;
}

void stat_tags_extract(const struct stat_tags *tags, struct slice name, struct strbuf *left,
                       void (*tag)(void *arg, struct slice name, struct slice value), void *arg)
{
    struct cuts cuts = {.count = 0};
    for (size_t i = 0; tags && i < tags->count; i++) {
        const struct stat_tag *t = &tags->items[i];
        struct slice groups[3];
        if (!t->regex) {
            tag(arg, t->name, t->fixed);
        } else if (regex_groups(t->regex, name, groups, 3) && groups[1].ptr) {
            tag(arg, t->name, groups[2].len ? groups[2] : groups[1]);
            cuts.items[cuts.count++] = groups[1];
        }
    }
    if (cuts.count == 0) {
        strbuf_append(left, name);
        return;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (!is_cut(&cuts, name.ptr + i))
            strbuf_append_char(left, name.ptr[i]);
    }
}
