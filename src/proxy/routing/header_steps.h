/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header mutations that follow one another (config.common.mutation_rules.v3.HeaderMutation): each sees what
 * those before it have made. Of the header_mutation filter, of early mutations and of mirrors.
 */
#ifndef WEIR_PROXY_HEADER_STEPS_H
#define WEIR_PROXY_HEADER_STEPS_H

#include "proxy/routing/header_mutation.h"
#include "proxy/routing/matcher.h"

enum header_step_kind { HEADER_STEP_ADD, HEADER_STEP_REMOVE, HEADER_STEP_REMOVE_MATCHING };

struct header_step {
    enum header_step_kind kind;
    struct header_add add;
    struct slice name;             /* REMOVE */
    struct string_matcher matcher; /* REMOVE_MATCHING: of names */
};

struct header_steps {
    struct header_step *items;
    uint32_t count;
};

/* Checks names and values; `path` names the field. */
bool header_steps_finish(const struct header_steps *l, struct arena *arena, const char *path,
                         struct build_errors *errors);
void header_steps_fini(const struct header_steps *l);
/* A field that exceeds the map's limits is left out. */
void header_steps_apply(const struct header_steps *l, struct header_map *headers,
                        const struct stream *stream);

#endif
