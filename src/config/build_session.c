/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters of sticky sessions, and what routes say to them.
 */
#include "config/builder.h"

#include "filters/stateful_session/stateful_session.h"

#include <envoy/extensions/filters/http/stateful_session/v3/stateful_session.pb-c.h>
#include <envoy/extensions/http/stateful_session/cookie/v3/cookie.pb-c.h>
#include <envoy/extensions/http/stateful_session/envelope/v3/envelope.pb-c.h>
#include <envoy/extensions/http/stateful_session/header/v3/header.pb-c.h>

typedef Envoy__Extensions__Filters__Http__StatefulSession__V3__StatefulSession filter_message;
typedef Envoy__Extensions__Filters__Http__StatefulSession__V3__StatefulSessionPerRoute route_message;
typedef Envoy__Extensions__Http__StatefulSession__Cookie__V3__CookieBasedSessionState cookie_message;
typedef Envoy__Extensions__Http__StatefulSession__Header__V3__HeaderBasedSessionState header_message;
typedef Envoy__Extensions__Http__StatefulSession__Envelope__V3__EnvelopeSessionState envelope_message;

#define ROUTE_CASE(name)                                                                                     \
    ENVOY__EXTENSIONS__FILTERS__HTTP__STATEFUL_SESSION__V3__STATEFUL_SESSION_PER_ROUTE__OVERRIDE_##name
#define STATE_TYPE(room, name) &envoy__extensions__http__stateful_session__##room##__v3__##name##__descriptor

bool builder_is_session(const ProtobufCMessage *config)
{
    return config->descriptor ==
           &envoy__extensions__filters__http__stateful_session__v3__stateful_session__descriptor;
}

static void cookie(struct builder *b, struct arena *arena, const cookie_message *in,
                   struct session_config *out)
{
    const Envoy__Type__Http__V3__Cookie *c = in->cookie;
    struct strbuf text;
    if (!c)
        return; /* the API requires one: reported already */
    out->kind = SESSION_COOKIE;
    out->name = builder_text(b, arena, c->name);
    out->path = builder_text(b, arena, c->path);
    out->ttl_seconds = c->ttl && c->ttl->seconds > 0 ? (uint64_t)c->ttl->seconds : 0;
    builder_cookie_begin(&text, c->path);
    for (size_t i = 0; i < c->n_attributes; i++)
        builder_cookie_attribute(&text, c->attributes[i]->name, c->attributes[i]->value);
    out->suffix = builder_cookie_end(b, arena, &c->base, &text);
    if (!header_name_valid(out->name))
        builder_error(b, c, "name", "\"%s\" is no name of a cookie", c->name);
}

static void header(struct builder *b, struct arena *arena, const ProtobufCMessage *owner, const char *name,
                   enum session_kind kind, struct session_config *out)
{
    out->kind = kind;
    out->name = builder_text(b, arena, name);
    for (size_t i = 0; i < out->name.len; i++) /* the copy is ours */
        ((char *)(uintptr_t)out->name.ptr)[i] = ascii_lower(out->name.ptr[i]);
    if (!header_name_valid(out->name))
        config_error_at(b->doc, b->diag, owner, "name", -1, "\"%s\" is no name of a header", name);
}

static void session(struct builder *b, struct arena *arena, const filter_message *in,
                    struct session_config *out)
{
    const ProtobufCMessage *state =
        in->session_state ? config_any_message(b->doc, in->session_state->typed_config) : NULL;
    out->strict = in->strict;
    if (!state)
        return; /* nothing is kept, as Istio sends it to be filled by routes */
    if (state->descriptor == STATE_TYPE(cookie, cookie_based_session_state)) {
        cookie(b, arena, (const cookie_message *)state, out);
    } else if (state->descriptor == STATE_TYPE(header, header_based_session_state)) {
        header(b, arena, state, ((const header_message *)state)->name, SESSION_HEADER, out);
    } else if (state->descriptor == STATE_TYPE(envelope, envelope_session_state)) {
        const envelope_message *e = (const envelope_message *)state;
        if (e->header) /* the API requires one */
            header(b, arena, &e->header->base, e->header->name, SESSION_ENVELOPE, out);
    } else {
        builder_error(b, in, "session_state", "%s keeps no sessions", state->descriptor->name);
    }
}

bool builder_session_filter(struct builder *b, struct slice stat_prefix, const ProtobufCMessage *in,
                            struct filter_config *out)
{
    const filter_message *message = (const filter_message *)in;
    struct session_filter *c = session_filter_create(stat_prefix, slice_str(message->stat_prefix));
    if (!c) {
        builder_error(b, message, NULL, "out of memory");
        return false;
    }
    session(b, &c->arena, message, &c->session);
    out->ops = &session_filter_ops;
    out->config = c;
    out->destroy = session_filter_destroy;
    return true;
}

bool builder_session_route(struct builder *b, struct arena *arena, const ProtobufCMessage *config,
                           struct filter_override *o)
{
    const route_message *in = (const route_message *)config;
    if (config->descriptor !=
        &envoy__extensions__filters__http__stateful_session__v3__stateful_session_per_route__descriptor)
        return false;
    if (!builder_filter_is(b, o->filter_name, builder_is_session)) {
        builder_error(b, in, NULL, "the filter \"%.*s\" keeps no sessions", SLICE_ARG(o->filter_name));
        return true;
    }
    struct session_config *c = builder_array(b, arena, 1, sizeof *c);
    if (!c)
        return true;
    if (in->override_case == ROUTE_CASE(STATEFUL_SESSION))
        session(b, arena, in->stateful_session, c);
    else
        c->disabled = in->disabled;
    o->config = c;
    return true;
}
