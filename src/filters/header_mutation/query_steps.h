/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutations of query parameters. Names are compared decoded; what no step touches stays as it was written, so
 * it means the same to the upstream.
 */
#ifndef WEIR_FILTERS_QUERY_STEPS_H
#define WEIR_FILTERS_QUERY_STEPS_H

#include "http/headers.h"
#include "proxy/routing/header_mutation.h"

struct query_step {
    bool remove;
    struct slice name;
    enum header_append action;
    struct slice value;           /* without `format` */
    struct stream_format *format; /* owned */
};

struct query_steps {
    struct query_step *items;
    uint32_t count;
};

void query_steps_fini(const struct query_steps *l);
/* Changes :path; leaves it as it is when the arena's cap is reached. */
void query_steps_apply(const struct query_steps *l, struct header_map *headers, struct stream *stream);

#endif
