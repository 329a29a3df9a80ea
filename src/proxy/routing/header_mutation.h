/* SPDX-License-Identifier: Apache-2.0 */
/*
 * headers_to_add and headers_to_remove of one configuration level. Removing comes before adding; all values
 * are computed before any field changes; overwriting comes before appending (Envoy's order).
 */
#ifndef WEIR_PROXY_HEADER_MUTATION_H
#define WEIR_PROXY_HEADER_MUTATION_H

#include "base/build_error.h"
#include "http/headers.h"
#include "proxy/logging/access_log.h"

struct stream;

/* core.v3.HeaderValueOption.HeaderAppendAction, same numbers. The deprecated `append: false` is OVERWRITE. */
enum header_append {
    HEADER_APPEND_OR_ADD = 0,
    HEADER_ADD_IF_ABSENT = 1,
    HEADER_OVERWRITE_OR_ADD = 2,
    HEADER_OVERWRITE_IF_EXISTS = 3,
};

struct header_add {
    struct slice name;
    struct slice value; /* as written */
    enum header_append action;
    bool keep_empty;              /* keep_empty_value; else an empty result adds nothing */
    struct stream_format *format; /* owned; the configuration sets it when `value` holds an %OPERATOR%.
                                     NULL: `value` is plain text in which finish turns "%%" into "%" */
};

struct header_mutation {
    struct header_add *add;
    struct slice *remove;
    uint32_t add_count;
    uint32_t remove_count;
};

/* Pseudo-headers and Host. */
bool header_is_guarded(struct slice name);
/* Check and complete one. */
bool header_add_finish(struct header_add *add, struct arena *arena, const char *path,
                       struct build_errors *errors);
bool header_remove_finish(struct slice *name, struct arena *arena, const char *path,
                          struct build_errors *errors);
void header_add_fini(struct header_add *add);
/* The value to write now, or ptr NULL: nothing is to be written. */
struct slice header_add_value(const struct header_add *add, const struct header_map *headers,
                              const struct stream *stream);
/* In place of what is there. */
bool header_add_overwrites(const struct header_add *add);

static inline bool header_mutation_empty(const struct header_mutation *m)
{
    return (m->add_count | m->remove_count) == 0;
}

/*
 * Checks names and values (a pseudo-header or Host can be neither added nor removed, as in Envoy). `add_path`
 * and `remove_path` name the fields, without index.
 */
bool header_mutation_finish(struct header_mutation *m, struct arena *arena, const char *add_path,
                            const char *remove_path, struct build_errors *errors);
void header_mutation_fini(struct header_mutation *m);
/* A field that exceeds the map's limits is left out. `stream` gives the operators' values; its arena holds
 * what is computed. */
void header_mutation_apply(const struct header_mutation *m, struct header_map *headers,
                           struct stream *stream);

#endif
