/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter per request: its own changes, then those of each level of the route that has some. The route is
 * not looked for again.
 */
#include "filters/header_mutation/mutation_filter.h"

#include "proxy/routing/route.h"
#include "proxy/stream.h"

#include <stdlib.h>

/* Names, values and matchers of one configuration. */
#define MUTATION_CONFIG_BYTES_MAX ((size_t)4 << 20)

struct mutation_stream {
    const struct mutation_config *levels[ROUTE_LEVELS_MAX + 1]; /* in the order in which they act */
    unsigned count;
};

static void find_levels(struct filter *f, struct mutation_stream *s)
{
    const struct filter_override *found[ROUTE_LEVELS_MAX];
    const struct mutation_config *own = f->config->config;
    const struct route *route = stream_route(f->stream);
    unsigned count =
        route ? route_filter_overrides(route, f->stream->weighted_cluster, f->config->name, found) : 0;
    s->levels[s->count++] = own;
    for (unsigned i = 0; i < count; i++) {
        const struct mutation_config *c = found[own->specific_last ? count - 1 - i : i]->config;
        if (c)
            s->levels[s->count++] = c;
    }
}

static const struct mutation_stream *levels_of(struct filter *f)
{
    struct mutation_stream *s = f->state;
    if (s->count == 0)
        find_levels(f, s);
    return s;
}

/* Operators read what this chain sees: the answer to a try is not the stream's yet. */
static void apply(const struct header_steps *l, struct filter *f, struct header_map *map)
{
    struct stream *s = f->stream;
    struct header_map *headers = s->response_headers, *trailers = s->response_trailers;
    s->response_headers = filter_response_headers(f);
    s->response_trailers = filter_response_trailers(f);
    header_steps_apply(l, map, s);
    s->response_headers = headers;
    s->response_trailers = trailers;
}

static enum filter_headers_status on_request_headers(struct filter *f, struct header_map *headers, bool end)
{
    const struct mutation_stream *s = levels_of(f);
    (void)end;
    for (unsigned i = 0; i < s->count; i++) {
        apply(&s->levels[i]->request, f, headers);
        query_steps_apply(&s->levels[i]->query, headers, f->stream);
    }
    return FILTER_HEADERS_CONTINUE;
}

static enum filter_trailers_status on_request_trailers(struct filter *f, struct header_map *trailers)
{
    const struct mutation_stream *s = levels_of(f);
    for (unsigned i = 0; i < s->count; i++)
        apply(&s->levels[i]->request_trailers, f, trailers);
    return FILTER_TRAILERS_CONTINUE;
}

static enum filter_headers_status on_response_headers(struct filter *f, struct header_map *headers, bool end)
{
    const struct mutation_stream *s = levels_of(f);
    (void)end;
    for (unsigned i = 0; i < s->count; i++)
        apply(&s->levels[i]->response, f, headers);
    return FILTER_HEADERS_CONTINUE;
}

static enum filter_trailers_status on_response_trailers(struct filter *f, struct header_map *trailers)
{
    const struct mutation_stream *s = levels_of(f);
    for (unsigned i = 0; i < s->count; i++)
        apply(&s->levels[i]->response_trailers, f, trailers);
    return FILTER_TRAILERS_CONTINUE;
}

const struct filter_ops mutation_filter_ops = {
    .name = "envoy.filters.http.header_mutation",
    .state_bytes = sizeof(struct mutation_stream),
    .request_headers = on_request_headers,
    .request_trailers = on_request_trailers,
    .response_headers = on_response_headers,
    .response_trailers = on_response_trailers,
};

struct mutation_config *mutation_config_create(void)
{
    struct mutation_config *c = calloc(1, sizeof(*c));
    if (c)
        arena_init(&c->arena, MUTATION_CONFIG_BYTES_MAX, NULL);
    return c;
}

void mutation_config_destroy(void *config)
{
    struct mutation_config *c = config;
    query_steps_fini(&c->query);
    header_steps_fini(&c->request);
    header_steps_fini(&c->response);
    header_steps_fini(&c->request_trailers);
    header_steps_fini(&c->response_trailers);
    arena_fini(&c->arena);
    free(c);
}
