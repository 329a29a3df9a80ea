/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what trees look at, as Envoy writes it: what repeats is joined with commas.
 */
#include "proxy/matching/match_input.h"

#include "http/url.h"
#include "net/tls_info.h"
#include "proxy/connection_facts.h"
#include "proxy/listener/filter_chain_match.h"
#include "proxy/routing/state_matcher.h"
#include "proxy/stream.h"

#include <stdio.h>

static void set_ip(struct match_value *out, const struct address *a)
{
    if (!a || !address_is_ip(a))
        return;
    out->ip = a;
    out->text = slice_str(address_format_ip(a, out->own));
}

static void set_port(struct match_value *out, const struct address *a)
{
    if (!a || !address_is_ip(a))
        return;
    int len = snprintf(out->own, sizeof(out->own), "%u", address_port(a));
    out->text = slice_of(out->own, (size_t)len);
}

/* Moves what was built into the arena. */
static void set_built(struct match_value *out, struct arena *arena, struct strbuf *text)
{
    out->text = text->failed ? SLICE_EMPTY : arena_dup(arena, strbuf_slice(text));
    out->unknown = !out->text.ptr;
    strbuf_fini(text);
}

/* Empty is what is not there. */
static void set_known(struct match_value *out, struct slice text)
{
    if (text.len)
        out->text = text;
}

static const struct address *local_of(const struct match_subject *s)
{
    return s->connection ? s->connection->local : s->stream ? s->stream->info.downstream_local : NULL;
}

static const struct address *remote_of(const struct match_subject *s)
{
    return s->connection ? s->connection->remote : s->stream ? s->stream->info.downstream_remote : NULL;
}

static const struct address *direct_remote_of(const struct match_subject *s)
{
    return s->connection ? s->connection->direct_remote
           : s->stream   ? s->stream->info.downstream_direct_remote
                         : NULL;
}

static void set_source_type(struct match_value *out, const struct match_subject *s)
{
    const struct address *remote = remote_of(s), *local = local_of(s);
    if (remote && local && filter_chain_source_is_local(remote, local))
        out->text = SLICE_LIT("local");
}

static void set_server_name(struct match_value *out, const struct match_subject *s)
{
    if (s->connection)
        set_known(out, s->connection->server_name);
    else if (s->stream)
        set_known(out, stream_info_server_name(&s->stream->info));
}

/* "item,item", each in quotes. */
static void set_joined(struct match_value *out, struct arena *arena, const struct slice *items, size_t count,
                       const char *quote)
{
    struct strbuf text;
    if (count == 0)
        return;
    if (count == 1 && !quote[0]) {
        out->text = items[0];
        return;
    }
    strbuf_init(&text, HEADERS_BYTES_MAX);
    for (size_t i = 0; i < count; i++)
        strbuf_printf(&text, "%s%s%.*s%s", i ? "," : "", quote, SLICE_ARG(items[i]), quote);
    set_built(out, arena, &text);
}

static void set_filter_state(struct match_value *out, const struct match_subject *s, struct slice key)
{
    const struct filter_state *state = s->stream ? &s->stream->filter_state
                                       : s->connection && s->connection->more
                                           ? &s->connection->more->filter_state
                                           : NULL;
    const struct filter_state_entry *e = state ? filter_state_get(state, key) : NULL;
    if (e)
        out->text = e->value.ptr ? e->value : SLICE_LIT("");
}

static void set_metadata(struct match_value *out, const struct match_input *input,
                         const struct match_subject *s)
{
    const struct metadata_matcher place = {
        .space = input->name, .path = input->path, .path_count = input->path_count};
    out->data = metadata_matcher_value(&place, s->stream);
}

static void set_certificate(struct match_value *out, enum match_input_kind kind,
                            const struct match_subject *s)
{
    const struct tls_info *tls = s->stream ? s->stream->info.tls : NULL;
    out->unknown = !tls; /* Envoy: no decision hangs on the certificate of a connection in clear text */
    if (!tls)
        return;
    const struct tls_certificate_info *peer = &tls->peer;
    if (kind == MATCH_INPUT_URI_SAN)
        set_joined(out, s->arena, peer->uri_sans, peer->uri_sans_count, "");
    else if (kind == MATCH_INPUT_DNS_SAN)
        set_joined(out, s->arena, peer->dns_sans, peer->dns_sans_count, "");
    else
        set_known(out, peer->subject);
}

static void set_header(struct match_value *out, const struct match_subject *s, struct slice name)
{
    const struct header *h = s->headers ? header_map_find(s->headers, name) : NULL;
    const struct header *more = h ? header_map_find_next(s->headers, name, h) : NULL;
    if (!h)
        return;
    out->text = h->value;
    if (!more)
        return;
    struct strbuf text;
    strbuf_init(&text, s->headers->bytes_max + s->headers->count_max);
    strbuf_append(&text, h->value);
    for (; more; more = header_map_find_next(s->headers, name, more)) {
        strbuf_append_str(&text, ",");
        strbuf_append(&text, more->value);
    }
    set_built(out, s->arena, &text);
}

static struct slice decoded(struct slice s, struct arena *arena)
{
    return slice_find_char(s, '%') >= 0 ? url_decode(s, arena) : s;
}

/* The first of the name, both decoded. */
static void set_query_param(struct match_value *out, const struct match_subject *s, struct slice wanted)
{
    struct slice path, query, name, value;
    if (!s->headers)
        return;
    url_split_path(header_map_get_id(s->headers, HDR_PATH), &path, &query);
    while (query.ptr && url_query_next(&query, &name, &value)) {
        name = decoded(name, s->arena);
        if (name.ptr && !slice_eq(name, wanted))
            continue;
        if (name.ptr)
            out->text = value.ptr ? decoded(value, s->arena) : SLICE_LIT("");
        out->unknown = !out->text.ptr;
        return;
    }
}

void match_input_get(const struct match_input *input, const struct match_subject *s, struct match_value *out)
{
    out->unknown = false;
    out->text = SLICE_EMPTY;
    out->ip = NULL;
    out->data = NULL;
    switch (input->kind) {
    case MATCH_INPUT_DESTINATION_IP:
        set_ip(out, local_of(s));
        return;
    case MATCH_INPUT_DESTINATION_PORT:
        set_port(out, local_of(s));
        return;
    case MATCH_INPUT_SOURCE_IP:
        set_ip(out, remote_of(s));
        return;
    case MATCH_INPUT_SOURCE_PORT:
        set_port(out, remote_of(s));
        return;
    case MATCH_INPUT_DIRECT_SOURCE_IP:
        set_ip(out, direct_remote_of(s));
        return;
    case MATCH_INPUT_SOURCE_TYPE:
        set_source_type(out, s);
        return;
    case MATCH_INPUT_SERVER_NAME:
        set_server_name(out, s);
        return;
    case MATCH_INPUT_TRANSPORT_PROTOCOL:
        if (s->connection)
            set_known(out, s->connection->transport_protocol);
        return;
    case MATCH_INPUT_APPLICATION_PROTOCOL:
        if (s->connection)
            set_joined(out, s->arena, s->connection->application_protocols,
                       s->connection->application_protocols_count, "'");
        return;
    case MATCH_INPUT_FILTER_STATE:
        set_filter_state(out, s, input->name);
        return;
    case MATCH_INPUT_METADATA:
        set_metadata(out, input, s);
        return;
    case MATCH_INPUT_URI_SAN:
    case MATCH_INPUT_DNS_SAN:
    case MATCH_INPUT_SUBJECT:
        set_certificate(out, input->kind, s);
        return;
    case MATCH_INPUT_HEADER:
        set_header(out, s, input->name);
        return;
    case MATCH_INPUT_QUERY_PARAM:
        set_query_param(out, s, input->name);
        return;
    case MATCH_INPUT_CONSTANT:
        out->text = input->name;
        return;
    }
}
