/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step after the other. Pseudo-headers and Host are neither set nor removed: what a request needs to be
 * one stays with it.
 */
#include "proxy/routing/header_steps.h"

static bool finish(struct header_step *s, struct arena *arena, const char *path, struct build_errors *errors)
{
    switch (s->kind) {
    case HEADER_STEP_ADD:
        return header_add_finish(&s->add, arena, path, errors);
    case HEADER_STEP_REMOVE:
        return header_remove_finish(&s->name, arena, path, errors);
    case HEADER_STEP_REMOVE_MATCHING:
        return string_matcher_finish(&s->matcher, path, errors);
    }
    return false;
}

bool header_steps_finish(const struct header_steps *l, struct arena *arena, const char *path,
                         struct build_errors *errors)
{
    char inner[BUILD_PATH_BYTES_MAX];
    bool ok = true;
    for (uint32_t i = 0; i < l->count; i++)
        ok = finish(&l->items[i], arena, build_path(inner, path, "[%u]", i), errors) && ok;
    return ok;
}

void header_steps_fini(const struct header_steps *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        header_add_fini(&l->items[i].add);
        string_matcher_fini(&l->items[i].matcher);
    }
}

static void add(const struct header_add *a, struct header_map *headers, const struct stream *stream)
{
    struct slice value = header_add_value(a, headers, stream);
    if (!value.ptr)
        return;
    if (header_add_overwrites(a))
        header_map_set(headers, a->name, value);
    else
        header_map_add(headers, a->name, value);
}

static bool removable(const struct header_step *s, struct slice name)
{
    return !header_is_guarded(name) && string_matcher_match(&s->matcher, name);
}

static void remove_matching(const struct header_step *s, struct header_map *headers)
{
    uint32_t cursor = 0;
    for (const struct header *h; (h = header_map_next(headers, &cursor)) != NULL;) {
        struct slice name = h->name;
        if (removable(s, name))
            header_map_remove(headers, name);
    }
}

void header_steps_apply(const struct header_steps *l, struct header_map *headers, const struct stream *stream)
{
    for (uint32_t i = 0; i < l->count; i++) {
        const struct header_step *s = &l->items[i];
        if (s->kind == HEADER_STEP_ADD)
            add(&s->add, headers, stream);
        else if (s->kind == HEADER_STEP_REMOVE)
            header_map_remove(headers, s->name);
        else
            remove_matching(s, headers);
    }
}
