/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexes over a route table, built once: domains by name, routes by exact path and by prefix. They change
 * how fast an answer is found, never which.
 */
#ifndef WEIR_PROXY_ROUTE_INDEX_H
#define WEIR_PROXY_ROUTE_INDEX_H

#include "proxy/limits.h"
#include "proxy/routing/route_config.h"

/* NULL after an error was reported (a domain twice). */
struct host_index *host_index_create(const struct route_table *t, struct build_errors *errors);
void host_index_destroy(struct host_index **index);
/* NULL: no domain matches. */
const struct virtual_host *host_index_find(const struct host_index *index, struct slice host);

/* Sets next_same_key of the routes. NULL when memory is out. */
struct route_index *route_index_create(struct virtual_host *vh);
void route_index_destroy(struct route_index **index);

/* Walks the routes whose path could match, in the order of the table. */
struct route_cursor {
    const struct virtual_host *vh;
    uint32_t heads[ROUTE_PREFIX_LENGTHS_MAX + 1]; /* route number + 1 per key; 0: none left */
    uint32_t heads_count;
    uint32_t scan; /* position in the unindexed list, or the route itself without an index */
};

/* `path` without query. */
void route_cursor_init(struct route_cursor *c, const struct virtual_host *vh, struct slice path);
/* NULL at the end. */
const struct route *route_cursor_next(struct route_cursor *c);

#endif
