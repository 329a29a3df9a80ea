/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registration and counting. The numbers are made with the table, so that they can be read before the first
 * request; a table that replaces another one goes on with those of the same names.
 */
#include "proxy/routing/route_stats.h"

#include "base/assert.h"

#include <stdio.h>

struct route_stats *route_stats_create(struct arena *arena, struct slice virtual_host, const char *kind,
                                       struct slice name)
{
    struct route_stats *s = ARENA_NEW(arena, struct route_stats);
    char prefix[STATS_NAME_MAX];
    if (!s)
        return NULL;
    snprintf(prefix, sizeof(prefix), "vhost." SLICE_FMT ".%s." SLICE_FMT ".", SLICE_ARG(virtual_host), kind,
             SLICE_ARG(name));
#define ROUTE_STAT_X(field, type) s->field = stat_##type("%s" #field, prefix);
    ROUTE_STATS(ROUTE_STAT_X)
#undef ROUTE_STAT_X
    code_stats_init(&s->answers, prefix);
    return s;
}

void route_stats_fini(struct route_stats *s)
{
    if (s)
        code_stats_fini(&s->answers);
}

static void virtual_cluster_finish(struct virtual_cluster *c, struct arena *arena, struct slice virtual_host,
                                   const char *path, struct build_errors *errors)
{
    char field[BUILD_PATH_BYTES_MAX];
    for (uint32_t i = 0; i < c->headers_count; i++)
        header_matcher_finish(&c->headers[i], arena, build_path(field, path, "headers[%u]", i), errors);
    c->stats = route_stats_create(arena, virtual_host, "vcluster", c->name);
    if (!c->stats)
        build_error(errors, path, "out of memory");
}

void virtual_clusters_finish(struct virtual_clusters *v, struct arena *arena, struct slice virtual_host,
                             const char *path, struct build_errors *errors)
{
    char item[BUILD_PATH_BYTES_MAX];
    for (uint32_t i = 0; i < v->count; i++) {
        snprintf(item, sizeof(item), "%s[%u]", path, i);
        virtual_cluster_finish(&v->items[i], arena, virtual_host, item, errors);
    }
    if (v->count == 0)
        return;
    v->other.stats = route_stats_create(arena, virtual_host, "vcluster", SLICE_LIT("other"));
    if (!v->other.stats)
        build_error(errors, path, "out of memory");
}

void virtual_clusters_fini(struct virtual_clusters *v)
{
    for (uint32_t i = 0; i < v->count; i++) {
        for (uint32_t h = 0; h < v->items[i].headers_count; h++)
            header_matcher_fini(&v->items[i].headers[h]);
        route_stats_fini(v->items[i].stats);
    }
    route_stats_fini(v->other.stats);
}

static bool matches(const struct virtual_cluster *c, const struct header_map *headers)
{
    for (uint32_t i = 0; i < c->headers_count; i++) {
        if (!header_matcher_match(&c->headers[i], headers))
            return false;
    }
    return true;
}

const struct virtual_cluster *virtual_clusters_find(const struct virtual_clusters *v,
                                                    const struct header_map *headers)
{
    for (uint32_t i = 0; i < v->count; i++) {
        if (matches(&v->items[i], headers))
            return &v->items[i];
    }
    return v->count > 0 ? &v->other : NULL;
}

void request_scopes_add(struct request_scopes *s, struct route_stats *stats)
{
    unsigned i = request_scopes_any(s) ? 1 : 0;
    WEIR_ASSERT(!s->items[i] && stats);
    s->items[i] = stats;
}

void request_scopes_answer(const struct request_scopes *s, unsigned status)
{
    for (unsigned i = 0; i < REQUEST_SCOPES_MAX && s->items[i]; i++)
        code_stats_count(&s->items[i]->answers, status);
}

void request_scopes_time(const struct request_scopes *s, uint64_t ms)
{
    for (unsigned i = 0; i < REQUEST_SCOPES_MAX && s->items[i]; i++)
        stat_record(s->items[i]->upstream_rq_time, ms);
}
