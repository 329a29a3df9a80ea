/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers that the proxy makes itself: through the response filters when no response has begun, past them
 * when one was on its way, by a reset when its headers are gone. The text may be rewritten by
 * local_reply_config; gRPC clients get a status in headers.
 */
#include "proxy/local_reply.h"

#include "http/limits.h"
#include "proxy/downstream.h"
#include "proxy/grpc.h"
#include "proxy/limits.h"
#include "proxy/routing/route.h"
#include "proxy/stream_private.h"

/* One reply on its way: what the mappers may change. */
struct reply_text {
    unsigned status;
    struct slice body;
    struct slice content_type;
};

static struct slice decimal(struct arena *arena, uint64_t n)
{
    char text[SLICE_U64_BYTES];
    return arena_dup(arena, slice_from_u64(n, text));
}

/* A value that is safe to send and lives as long as the stream: no copy, no check. */
static bool put(struct header_map *m, enum header_id id, struct slice value)
{
    if (header_map_has_id(m, id))
        header_map_remove_id(m, id);
    return header_map_append(m, id, header_id_name(id), value, SLICE_EMPTY) == HEADER_OK;
}

static struct slice run_format(struct stream *s, const struct stream_format *format, struct slice body)
{
    struct strbuf out;
    strbuf_init(&out, LOCAL_REPLY_BODY_BYTES_MAX);
    format->format(format, s, body, &out);
    struct slice copy = arena_dup(&s->arena, strbuf_slice(&out));
    strbuf_fini(&out);
    return copy.ptr ? copy : body;
}

static void mapper_header(struct stream *s, struct header_map *m, const struct hcm_header_add *add)
{
    struct slice value = add->format ? run_format(s, add->format, SLICE_EMPTY) : add->value;
    bool there = header_map_find(m, add->name) != NULL;
    if ((there && add->action == HCM_HEADER_ADD_IF_ABSENT) ||
        (!there && add->action == HCM_HEADER_OVERWRITE_IF_EXISTS))
        return;
    /* A field beyond the map's limits is left out. */
    if (add->action == HCM_HEADER_APPEND_OR_ADD)
        (void)header_map_add(m, add->name, value);
    else
        (void)header_map_set(m, add->name, value);
}

/* local_reply_config: the first mapper that matches, then the format. */
static void rewrite(struct stream *s, struct header_map *m, struct reply_text *t)
{
    const struct hcm_config *hcm = s->hcm;
    const struct stream_format *format = hcm->reply_format;
    if (hcm->reply_mappers_count == 0 && !format)
        return;
    t->content_type = format && hcm->reply_content_type.len ? hcm->reply_content_type : t->content_type;
    s->info.response_code = (uint16_t)t->status; /* mappers look at it */
    for (size_t i = 0; i < hcm->reply_mappers_count; i++) {
        const struct hcm_reply_mapper *mapper = &hcm->reply_mappers[i];
        if (mapper->filter && !mapper->filter->match(mapper->filter, s))
            continue;
        if (mapper->has_body)
            t->body = mapper->body;
        for (size_t h = 0; h < mapper->headers_count; h++)
            mapper_header(s, m, &mapper->headers[h]);
        if (mapper->status) {
            t->status = mapper->status;
            s->info.response_code = mapper->status;
        }
        if (mapper->format) {
            format = mapper->format;
            t->content_type = mapper->content_type.len ? mapper->content_type : SLICE_LIT("text/plain");
        }
        break;
    }
    if (format)
        t->body = run_format(s, format, t->body);
}

/* grpc-message: what is not printable ASCII, and %, as %XX. */
static struct slice percent_encode(struct arena *arena, struct slice s)
{
    static const char hex[] = "0123456789ABCDEF";
    if (s.len > SIZE_MAX / 3)
        return SLICE_EMPTY;
    char *out = arena_alloc_text(arena, s.len * 3 + 1), *p = out;
    if (!out)
        return SLICE_EMPTY;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c >= ' ' && c < 0x7f && c != '%') {
            *p++ = (char)c;
        } else {
            *p++ = '%';
            *p++ = hex[c >> 4];
            *p++ = hex[c & 15];
        }
    }
    return slice_of(out, (size_t)(p - out));
}

/* A gRPC client reads its status from headers: 200, no body. The newline behind a JSON text does not go into
 * the header, as in Envoy. */
static void make_grpc(struct stream *s, struct header_map *m, const struct local_reply *reply,
                      struct reply_text *t)
{
    int status = reply->grpc_status >= 0 ? reply->grpc_status : (int)grpc_status_of_http(t->status);
    put(m, HDR_STATUS, SLICE_LIT("200"));
    put(m, HDR_CONTENT_TYPE, SLICE_LIT("application/grpc"));
    if (!header_map_has_id(m, HDR_GRPC_STATUS))
        put(m, HDR_GRPC_STATUS, decimal(&s->arena, (unsigned)status));
    if (slice_eq(t->content_type, SLICE_LIT("application/json")) && slice_ends_with(t->body, SLICE_LIT("\n")))
        t->body.len--;
    if (t->body.len && !s->is_head)
        put(m, HDR_GRPC_MESSAGE, percent_encode(&s->arena, t->body));
    header_map_remove_id(m, HDR_CONTENT_LENGTH);
    t->body = SLICE_EMPTY;
}

static void make_plain(struct stream *s, struct header_map *m, struct reply_text *t)
{
    if (t->body.len == 0) {
        header_map_remove_id(m, HDR_CONTENT_LENGTH);
        header_map_remove_id(m, HDR_CONTENT_TYPE);
        return;
    }
    put(m, HDR_CONTENT_LENGTH, decimal(&s->arena, t->body.len));
    if (!slice_eq(t->content_type, SLICE_LIT("text/plain")))
        (void)header_map_set_id(m, HDR_CONTENT_TYPE, t->content_type); /* from the configuration: checked */
    else if (!header_map_has_id(m, HDR_CONTENT_TYPE))
        put(m, HDR_CONTENT_TYPE, t->content_type);
    if (s->is_head)
        t->body = SLICE_EMPTY;
}

/* The head and the text of the answer; NULL when the arena is full. */
static struct header_map *make_reply(struct stream *s, const struct local_reply *reply, struct slice *body)
{
    struct reply_text t = {reply->status, reply->body, SLICE_LIT("text/plain")};
    struct header_map *m = ARENA_NEW(&s->arena, struct header_map);
    if (!m)
        return NULL;
    header_map_init(m, &s->arena, RESPONSE_HEADERS_COUNT_MAX, RESPONSE_HEADERS_BYTES_MAX);
    if (!header_map_reserve(m, 12) || !put(m, HDR_STATUS, decimal(&s->arena, t.status)))
        return NULL;
    for (size_t i = 0; i < reply->headers_count; i++) {
        /* A name or value that could not be sent safely is left out, as a peer's would be refused. */
        (void)header_map_add(m, reply->headers[i].name, reply->headers[i].value);
    }
    /* Envoy: the route's changes hold for its local replies too. */
    if (s->route_matched && s->route && !reply->as_is)
        route_finalize_response(s->route, s->weighted_cluster, m, s);
    if (reply->changes)
        header_mutation_apply(reply->changes, m, s);
    if (!reply->as_is)
        rewrite(s, m, &t);
    if (t.status != reply->status)
        put(m, HDR_STATUS, decimal(&s->arena, t.status));
    if (s->is_grpc)
        make_grpc(s, m, reply, &t);
    else
        make_plain(s, m, &t);
    *body = t.body;
    return m;
}

static void reply_info(struct stream *s, const struct local_reply *reply)
{
    stream_info_flag(&s->info, reply->flags);
    s->local_reply_sent = true;
    /* Envoy: something is wrong with how the client speaks, whoever says so. */
    if (reply->status == 400 && !downstream_is_h2(s->downstream) &&
        !s->hcm->stream_error_on_invalid_http_message)
        s->downstream->close_wanted = true;
    struct slice details = arena_dup(&s->arena, reply->details);
    if (details.ptr && details.len)
        s->info.details = details;
}

static void send_body(struct stream *s, struct slice body, bool direct)
{
    struct chain data;
    chain_init(&data);
    if (!chain_append_copy(&data, &s->worker->loop.blocks, body))
        stream_reset(s, "local_reply_out_of_memory", RESPONSE_FLAG(LOCAL_RESET));
    else if (direct)
        stream_emit_data(s, &data, true);
    else
        filters_response_data(&s->priv->chain, &data, true);
    chain_fini(&data);
}

static void reply_now(struct stream *s, const struct local_reply *reply, bool direct)
{
    struct slice body = SLICE_EMPTY;
    s->priv->chain.request.aborted = true;
    if (direct) {
        s->priv->chain.response.aborted = true;
        chain_clear(&s->priv->chain.response.buffer);
    }
    struct header_map *m = make_reply(s, reply, &body);
    if (!m) {
        stream_reset(s, "local_reply_out_of_memory", RESPONSE_FLAG(LOCAL_RESET));
        return;
    }
    s->response_headers = m;
    s->response_trailers = NULL;
    bool end = body.len == 0;
    if (direct)
        stream_emit_headers(s, end);
    else
        filters_response_headers(&s->priv->chain, end);
    if (!end && !s->priv->reset && !s->response_complete && s->response_headers == m)
        send_body(s, body, direct);
}

/* Keeps what the caller only lent. */
static bool prepare(struct stream *s, const struct local_reply *reply)
{
    struct stream_private *p = s->priv;
    struct local_reply_header *headers = NULL;
    if (reply->headers_count) {
        headers = ARENA_NEW_N(&s->arena, struct local_reply_header, reply->headers_count);
        if (!headers)
            return false;
        for (size_t i = 0; i < reply->headers_count; i++) {
            headers[i].name = arena_dup(&s->arena, reply->headers[i].name);
            headers[i].value = arena_dup(&s->arena, reply->headers[i].value);
            if (!headers[i].name.ptr || !headers[i].value.ptr)
                return false;
        }
    }
    p->reply = *reply;
    p->reply.headers = headers;
    p->reply.body = arena_dup(&s->arena, reply->body);
    p->reply.details = arena_dup(&s->arena, reply->details);
    return p->reply.body.ptr && p->reply.details.ptr;
}

bool stream_local_reply(struct stream *s, const struct local_reply *reply)
{
    struct stream_private *p = s->priv;
    if (p->reset || s->destroyed || p->reply_prepared)
        return !p->reset && !s->destroyed; /* the first one counts */
    if (s->response_started) {
        reply_info(s, reply);
        stream_reset(s, NULL, 0); /* the flags are the reply's, if it has some */
        return false;
    }
    bool direct = s->response_headers != NULL;
    p->chain.request.aborted = true;
    reply_info(s, reply);
    if (p->callbacks == 0) {
        reply_now(s, reply, direct);
        return true;
    }
    if (direct)
        p->chain.response.aborted = true;
    if (!prepare(s, reply)) {
        stream_reset(s, "local_reply_out_of_memory", RESPONSE_FLAG(LOCAL_RESET));
        return false;
    }
    p->reply_prepared = true;
    p->reply_direct = direct;
    return true;
}

void stream_reply_execute(struct stream *s)
{
    struct stream_private *p = s->priv;
    WEIR_ASSERT(p->reply_prepared && p->callbacks == 0);
    p->reply_prepared = false;
    if (p->reset || s->destroyed || s->response_started)
        return;
    reply_now(s, &p->reply, p->reply_direct);
}

void stream_direct_reply(struct stream *s, const struct local_reply *reply)
{
    if (s->priv->reset || s->destroyed || s->response_started)
        return;
    reply_info(s, reply);
    reply_now(s, reply, true);
}
