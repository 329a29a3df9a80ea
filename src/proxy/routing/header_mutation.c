/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adding and removing headers as a configuration level says. Never touches pseudo-headers and Host: rewriting
 * those is the route's own business.
 */
#include "proxy/routing/header_mutation.h"

#include "base/assert.h"
#include "proxy/limits.h"
#include "proxy/stream.h"

bool header_is_guarded(struct slice name)
{
    return (name.len > 0 && name.ptr[0] == ':') || slice_eq_nocase(name, SLICE_LIT("host"));
}

static struct slice lower_copy(struct arena *arena, struct slice name)
{
    struct slice copy = arena_dup(arena, name);
    for (size_t i = 0; i < copy.len; i++)
        ((char *)(uintptr_t)copy.ptr)[i] = ascii_lower(copy.ptr[i]);
    return copy;
}

/* "%%" becomes "%". A lone percent sign starts an operator, which only a format can give a value. */
static bool unescape_percent(struct slice *value, struct arena *arena)
{
    if (slice_find_char(*value, '%') < 0)
        return true;
    struct slice copy = arena_dup(arena, *value);
    char *to = (char *)(uintptr_t)copy.ptr;
    size_t len = 0;
    for (size_t i = 0; i < copy.len; i++) {
        if (copy.ptr[i] == '%') {
            if (i + 1 == copy.len || copy.ptr[i + 1] != '%')
                return false;
            i++;
        }
        to[len++] = copy.ptr[i];
    }
    *value = slice_of(to, len);
    return true;
}

bool header_add_finish(struct header_add *add, struct arena *arena, const char *path,
                       struct build_errors *errors)
{
    unsigned before = errors->count;
    if (header_is_guarded(add->name))
        build_error(errors, path, ":-prefixed or host headers may not be modified");
    else if (!header_name_valid(add->name))
        build_error(errors, path, "\"" SLICE_FMT "\" is no header name", SLICE_ARG(add->name));
    if (!add->format && !unescape_percent(&add->value, arena))
        build_error(errors, path,
                    "a %% in the value starts no known operator; write %%%% for a percent sign");
    if (!add->format && !header_value_valid(add->value))
        build_error(errors, path, "the value holds a character that no header may have");
    add->name = lower_copy(arena, add->name);
    return errors->count == before;
}

bool header_remove_finish(struct slice *name, struct arena *arena, const char *path,
                          struct build_errors *errors)
{
    unsigned before = errors->count;
    if (header_is_guarded(*name))
        build_error(errors, path, ":-prefixed or host headers may not be removed");
    else if (!header_name_valid(*name))
        build_error(errors, path, "\"" SLICE_FMT "\" is no header name", SLICE_ARG(*name));
    *name = lower_copy(arena, *name);
    return errors->count == before;
}

void header_add_fini(struct header_add *add)
{
    struct stream_format *format = add->format;
    add->format = NULL;
    if (format && format->destroy)
        format->destroy(format);
}

bool header_mutation_finish(struct header_mutation *m, struct arena *arena, const char *add_path,
                            const char *remove_path, struct build_errors *errors)
{
    char path[BUILD_PATH_BYTES_MAX];
    unsigned before = errors->count;
    for (uint32_t i = 0; i < m->add_count; i++) {
        build_path(path, "", "%s[%u]", add_path, i);
        header_add_finish(&m->add[i], arena, path, errors);
    }
    for (uint32_t i = 0; i < m->remove_count; i++) {
        build_path(path, "", "%s[%u]", remove_path, i);
        header_remove_finish(&m->remove[i], arena, path, errors);
    }
    return errors->count == before;
}

void header_mutation_fini(struct header_mutation *m)
{
    for (uint32_t i = 0; i < m->add_count; i++)
        header_add_fini(&m->add[i]);
}

/* What the stream makes of the format, in the map's arena. */
static struct slice formatted(const struct stream_format *format, const struct stream *stream,
                              struct arena *arena)
{
    struct strbuf text;
    strbuf_init(&text, HEADER_FORMAT_BYTES_MAX);
    format->format(format, stream, SLICE_EMPTY, &text);
    struct slice value = text.failed ? SLICE_EMPTY : arena_dup(arena, strbuf_slice(&text));
    strbuf_fini(&text);
    return value;
}

struct slice header_add_value(const struct header_add *add, const struct header_map *headers,
                              const struct stream *stream)
{
    if (add->action == HEADER_ADD_IF_ABSENT && header_map_find(headers, add->name))
        return SLICE_EMPTY;
    if (add->action == HEADER_OVERWRITE_IF_EXISTS && !header_map_find(headers, add->name))
        return SLICE_EMPTY;
    struct slice value = add->format ? formatted(add->format, stream, headers->arena) : add->value;
    if (value.len == 0)
        return add->keep_empty ? SLICE_LIT("") : SLICE_EMPTY;
    return value;
}

bool header_add_overwrites(const struct header_add *add)
{
    return add->action == HEADER_OVERWRITE_OR_ADD || add->action == HEADER_OVERWRITE_IF_EXISTS;
}

void header_mutation_apply(const struct header_mutation *m, struct header_map *headers, struct stream *stream)
{
    for (uint32_t i = 0; i < m->remove_count; i++)
        header_map_remove(headers, m->remove[i]);
    if (m->add_count == 0)
        return;
    struct slice *values = arena_alloc(headers->arena, m->add_count * sizeof(*values));
    if (!values)
        return;
    for (uint32_t i = 0; i < m->add_count; i++)
        values[i] = header_add_value(&m->add[i], headers, stream);
    for (uint32_t i = 0; i < m->add_count; i++) {
        if (values[i].ptr && header_add_overwrites(&m->add[i]))
            header_map_set(headers, m->add[i].name, values[i]);
    }
    for (uint32_t i = 0; i < m->add_count; i++) {
        if (values[i].ptr && !header_add_overwrites(&m->add[i]))
            header_map_add(headers, m->add[i].name, values[i]);
    }
}
