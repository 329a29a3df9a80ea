/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection of TCP health checks: connecting is enough, or bytes are sent and others must come back.
 */
#include "upstream/health_probe.h"

#include "base/assert.h"
#include "net/loop.h"
#include "net/proxy_header.h"
#include "upstream/limits.h"

#include <stdlib.h>

struct health_tcp {
    struct health_probe base;
    struct loop *loop;
    struct strbuf received;
    bool connected;
    bool asked; /* a check is under way here */
    bool closing;
};

static void leave_session(struct health_tcp *c)
{
    if (c->base.session)
        c->base.session->probe = NULL;
    c->base.session = NULL;
    if (!c->closing)
        conn_close(c->base.conn, CONN_CLOSE_NOW, 0);
    c->closing = true;
}

static void pass(struct health_tcp *c, bool keep)
{
    struct health_session *s = c->base.session;
    c->asked = false;
    if (!keep)
        leave_session(c);
    health_session_result(s, &(struct health_result){.passed = true});
}

/* proxy_protocol_config: before what is sent, inside of TLS. */
static bool put_proxy_header(struct health_tcp *c, enum proxy_version version)
{
    char text[PROXY_HEADER_V1_BYTES_MAX];
    struct conn *conn = c->base.conn;
    if (version == PROXY_VERSION_NONE)
        return true;
    size_t len = version == PROXY_VERSION_1 ? proxy_header_v1(&conn->local, &conn->remote, text)
                                            : proxy_header_v2(NULL, NULL, SLICE_EMPTY, text);
    return chain_append_copy(&conn->out, &c->loop->blocks, slice_of(text, len));
}

static void begin(struct health_probe *p)
{
    struct health_tcp *c = WEIR_CONTAINER_OF(p, struct health_tcp, base);
    const struct health_config *config = health_session_config(p->session);
    WEIR_ASSERT(!c->closing);
    c->asked = true;
    if (!c->connected)
        return;
    strbuf_reset(&c->received);
    bool ok = put_proxy_header(c, config->tcp_proxy);
    if (config->send.len > 0)
        ok = ok && chain_append_copy(&p->conn->out, &c->loop->blocks, config->send);
    if (ok)
        conn_flush_later(p->conn); /* else it gets no answer in time */
}

static void conn_on_connected(struct conn *conn)
{
    struct health_tcp *c = conn->owner;
    c->connected = true;
    if (!c->base.session)
        return;
    if (health_session_config(c->base.session)->receive_count == 0)
        pass(c, false);
    else
        begin(&c->base);
}

static void conn_on_data(struct conn *conn)
{
    struct health_tcp *c = conn->owner;
    struct health_session *s = c->base.session;
    while (!chain_empty(&conn->in)) {
        struct slice front = chain_front(&conn->in);
        if (s && c->asked)
            strbuf_append(&c->received, front);
        chain_drain(&conn->in, front.len);
    }
    if (!s || !c->asked)
        return; /* bytes that nobody asked for */
    if (health_receive_match(health_session_config(s), strbuf_slice(&c->received))) {
        pass(c, health_session_config(s)->reuse_connection);
    } else if (c->received.failed) {
        leave_session(c);
        health_session_lost(s);
    }
}

static void conn_on_eof(struct conn *conn)
{
    struct health_tcp *c = conn->owner;
    struct health_session *s = c->base.session;
    leave_session(c);
    if (s)
        health_session_lost(s);
}

static void conn_on_closed(struct conn *conn, enum conn_close why)
{
    struct health_tcp *c = conn->owner;
    struct health_session *s = c->base.session;
    (void)why;
    tls_info_unref(&c->base.tls);
    strbuf_fini(&c->received);
    free(c);
    if (s)
        health_session_lost(s);
}

static const struct conn_events conn_handlers = {
    .connected = conn_on_connected,
    .data = conn_on_data,
    .eof = conn_on_eof,
    .closed = conn_on_closed,
};

struct health_probe *health_tcp_open(struct health_session *s)
{
    struct health_tcp *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->loop = health_session_loop(s);
    c->base = (struct health_probe){.session = s, .begin = begin};
    strbuf_init(&c->received, HEALTH_TCP_RECEIVE_MAX);
    if (!health_probe_connect(&c->base, &conn_handlers, c, UPSTREAM_ALPN_NONE)) {
        free(c);
        return NULL;
    }
    c->asked = true;
    return &c->base;
}
