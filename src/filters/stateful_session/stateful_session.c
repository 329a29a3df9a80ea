/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter per request: whose session it is, and what became of it.
 */
#include "filters/stateful_session/stateful_session.h"

#include "filters/stateful_session/session_state.h"
#include "proxy/stream.h"
#include "upstream/lb.h"

#include <stdlib.h>

/* Names, paths and attributes of one filter. */
#define SESSION_CONFIG_BYTES_MAX ((size_t)1 << 20)

struct session_stream {
    const struct session_config *session; /* the route's or the filter's; NULL: switched off */
    bool kept;                            /* there is a session, or one begins */
    struct lb_override wanted;            /* address.ptr NULL: the client has named none */
};

struct session_filter *session_filter_create(struct slice hcm_prefix, struct slice prefix)
{
    struct session_filter *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    arena_init(&c->arena, SESSION_CONFIG_BYTES_MAX, NULL);
    if (prefix.len == 0)
        return c;
#define SESSION_STAT_X(name)                                                                                 \
    c->name = stat_counter("http." SLICE_FMT ".stateful_session." SLICE_FMT "." #name,                       \
                           SLICE_ARG(hcm_prefix), SLICE_ARG(prefix));
    SESSION_STATS(SESSION_STAT_X)
#undef SESSION_STAT_X
    return c;
}

void session_filter_destroy(void *filter)
{
    struct session_filter *c = filter;
    arena_fini(&c->arena);
    free(c);
}

static const struct session_config *session_of(const struct filter *f)
{
    const struct session_filter *own = f->config->config;
    const struct session_config *routed = filter_route_config(f);
    if (!routed)
        return &own->session;
    return routed->disabled ? NULL : routed;
}

static enum filter_headers_status session_request(struct filter *f, struct header_map *headers,
                                                  bool end_of_stream)
{
    struct session_stream *s = f->state;
    struct arena *arena = &f->stream->arena;
    (void)end_of_stream;
    s->session = session_of(f);
    if (!s->session || s->session->kind == SESSION_NONE || !session_is_for(s->session, headers))
        return FILTER_HEADERS_CONTINUE;
    s->kept = true;
    s->wanted = (struct lb_override){session_read(s->session, headers, arena), s->session->strict};
    if (s->wanted.address.ptr)
        f->stream->override = &s->wanted;
    return FILTER_HEADERS_CONTINUE;
}

/* What the answer says of the session, for the statistics. */
static stat_id outcome(struct filter *f, struct header_map *headers)
{
    const struct session_stream *s = f->state;
    const struct session_filter *own = f->config->config;
    const struct stream_info *info = &f->stream->info;
    bool answered = info->upstream_remote.len > 0;
    char text[ADDRESS_TEXT_MAX];
    if (!s->kept)
        return answered ? own->no_session : 0;
    if (!answered)
        return info->flags & RESPONSE_FLAG(NO_HEALTHY_UPSTREAM) && s->session->strict ? own->failed_closed
                                                                                      : 0;
    struct slice address = slice_str(address_format(&info->upstream_remote, text));
    if (!session_write(s->session, headers, address, s->wanted.address, &f->stream->arena))
        return own->routed;
    return s->session->strict ? 0 : own->failed_open;
}

static enum filter_headers_status session_response(struct filter *f, struct header_map *headers,
                                                   bool end_of_stream)
{
    const struct session_stream *s = f->state;
    const struct session_filter *own = f->config->config;
    (void)end_of_stream;
    stat_id counted = s->session ? outcome(f, headers) : 0;
    if (s->session == &own->session) /* those of routes count nothing (Envoy) */
        stat_inc(counted);
    return FILTER_HEADERS_CONTINUE;
}

const struct filter_ops session_filter_ops = {
    .name = "envoy.filters.http.stateful_session",
    .state_bytes = sizeof(struct session_stream),
    .request_headers = session_request,
    .response_headers = session_response,
};
