/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an accepted socket to its owner: runs the listener filters over the first bytes, chooses the filter
 * chain, opens what is at its end. Bytes that filters only looked at are the owner's, in order; a silent
 * client is closed by time.
 */
#include "proxy/listener/incoming.h"

#include "proxy/connection_facts.h"
#include "proxy/downstream.h"
#include "proxy/limits.h"
#include "proxy/listener/network_chain.h"
#include "proxy/tcp/tcp_proxy.h"
#include "telemetry/log.h"

#include <stdlib.h>

struct incoming {
    struct list node; /* listener->incoming */
    struct listener *listener;
    struct conn *conn; /* NULL once handed on or closed */
    struct connection_facts *facts;
    size_t at; /* the filter under way */
    bool paused;
    bool draining;
    bool moved; /* from the listener that accepted it */
    struct timer timer;
    struct turn_task release;
};

/* --- the chain --- */

static void refused_closed(struct conn *conn, enum conn_close why)
{
    (void)conn;
    (void)why;
}

/* For a connection that nobody wants: it only closes. */
static const struct conn_events refused_events = {.closed = refused_closed};

static void drop_conn(struct conn *conn)
{
    conn->events = &refused_events;
    conn->owner = NULL;
    conn->facts = NULL;
    conn_close(conn, CONN_CLOSE_NOW, 0);
}

/* A connection that no chain wants is logged by its listener all the same (Envoy). */
static void log_unmatched(struct listener *l, struct conn *conn)
{
    static const struct filter_chain none;
    if (l->config->access_logs_count == 0)
        return;
    struct network_chain *record = network_chain_create(l->worker, l->config, &none, conn);
    if (!record)
        return;
    stream_info_flag(&record->stream.info, RESPONSE_FLAG(NO_ROUTE_FOUND));
    record->stream.info.details = SLICE_LIT("filter_chain_not_found");
    network_chain_log(record, conn);
    network_chain_release(&record);
}

static const struct filter_chain *choose_chain(const struct listener_config *config, const struct conn *conn)
{
    const struct connection_facts *facts = conn->facts;
    struct filter_chain_facts f = {.remote = &conn->remote,
                                   .direct_remote = facts ? &facts->direct_remote : &conn->remote,
                                   .local = &conn->local,
                                   .more = facts,
                                   .transport_protocol = SLICE_LIT("raw_buffer")};
    if (facts) {
        f.server_name = facts->server_name;
        f.application_protocols = facts->alpn;
        f.application_protocols_count = facts->alpn_count;
        if (facts->transport_protocol.len)
            f.transport_protocol = facts->transport_protocol;
    }
    return listener_find_chain(config, &f);
}

/* Network filters in front, no HTTP at all, or a listener that logs its connections. */
static bool open_filtered(struct listener *l, struct conn *conn, const struct filter_chain *chain)
{
    if (chain->tcp)
        return tcp_proxy_open(l, conn, chain);
    struct network_chain *filters = network_chain_create(l->worker, l->config, chain, conn);
    if (!filters)
        return false;
    filters->http = true;
    if (!downstream_open(l, conn, chain->hcm)) {
        network_chain_release(&filters);
        return false;
    }
    downstream_start_filters(conn->owner, filters);
    return true;
}

/* The owner takes the connection over, or it is dropped. */
static bool open_chain(struct listener *l, struct conn *conn, bool draining)
{
    const struct listener_config *config = l->config;
    const struct filter_chain *chain = choose_chain(config, conn);
    if (!chain) {
        stat_inc(config->stats.no_filter_chain_match);
        log_unmatched(l, conn);
        drop_conn(conn);
        return false;
    }
    if (chain->tls && !listener_start_tls(conn, chain)) {
        drop_conn(conn);
        return false;
    }
    bool plain = !chain->tcp && chain->network_count == 0 && config->access_logs_count == 0;
    bool open = WEIR_LIKELY(plain) ? downstream_open(l, conn, chain->hcm) : open_filtered(l, conn, chain);
    if (!open) {
        drop_conn(conn);
        return false;
    }
    stat_inc(config->stats.downstream_cx_total);
    stat_inc(config->stats.downstream_cx_active);
    if (!conn_offer(conn))
        conn_close(conn, CONN_CLOSE_NOW, 0);
    else if (draining && chain->hcm)
        downstream_drain(conn->owner);
    return true;
}

static void run_filters(struct incoming *in);

/* --- the end --- */

static void incoming_free(struct turn_task *task)
{
    struct incoming *in = WEIR_CONTAINER_OF(task, struct incoming, release);
    connection_facts_unref(&in->facts);
    free(in);
}

/* The connection is somebody else's or gone. */
static void leave(struct incoming *in)
{
    struct loop *loop = &in->listener->worker->loop;
    in->conn = NULL;
    timer_stop(loop, &in->timer);
    list_remove(&in->node);
    stat_dec(in->listener->config->stats.downstream_pre_cx_active);
    loop_defer_destroy(loop, &in->release);
}

static void end(struct incoming *in)
{
    timer_stop(&in->listener->worker->loop, &in->timer);
    conn_close(in->conn, CONN_CLOSE_NOW, 0);
}

/* As Envoy: a connection whose destination was restored is the listener's of that address, once. */
static struct listener *whose(const struct incoming *in)
{
    const struct listener *l = in->listener;
    if (WEIR_LIKELY(!l->config->use_original_dst) || in->moved || !in->facts->local_restored)
        return in->listener;
    struct listener *to = listener_find(l, &in->conn->local);
    return to ? to : in->listener;
}

static void arm(struct incoming *in)
{
    struct loop *loop = &in->listener->worker->loop;
    uint64_t timeout_ms = in->draining ? DRAIN_SILENT_MS : in->listener->config->filters_timeout_ms;
    if (timeout_ms)
        timer_set(loop, &in->timer, timeout_ms);
    else
        timer_stop(loop, &in->timer);
}

/* The other listener's filters look at it now. */
static void move_to(struct incoming *in, struct listener *to)
{
    struct listener *from = in->listener;
    stat_id pre_active = from->config->stats.downstream_pre_cx_active;
    list_remove(&in->node); /* `from` may go with its last connection */
    if (!listener_take_over(to, from)) {
        list_push_back(&from->incoming, &in->node);
        end(in);
        return;
    }
    stat_dec(pre_active);
    in->moved = true;
    in->listener = to;
    in->at = 0;
    conn_set_high_watermark(in->conn, to->config->per_connection_buffer_limit_bytes);
    list_push_back(&to->incoming, &in->node);
    stat_inc(to->config->stats.downstream_pre_cx_active);
    arm(in);
    run_filters(in);
}

static void hand_on(struct incoming *in)
{
    struct listener *l = whose(in);
    if (WEIR_UNLIKELY(l != in->listener)) {
        move_to(in, l);
        return;
    }
    struct conn *conn = in->conn;
    bool draining = in->draining;
    if (in->paused)
        conn_resume(conn, CONN_PAUSE_LIMIT);
    leave(in);
    if (!open_chain(l, conn, draining))
        listener_connection_gone(l);
}

/* --- the filters --- */

static bool predicate_holds(const struct listener_predicate **p, uint16_t port)
{
    const struct listener_predicate *own = (*p)++;
    bool result = own->kind == PREDICATE_AND;
    switch (own->kind) {
    case PREDICATE_ANY:
        return true;
    case PREDICATE_PORTS:
        return port >= own->port_from && port < own->port_to;
    case PREDICATE_NOT:
        return !predicate_holds(p, port);
    case PREDICATE_OR:
    case PREDICATE_AND:
        break;
    }
    for (uint32_t i = 0; i < own->children; i++) {
        bool one = predicate_holds(p, port); /* all are walked: the list is in prefix order */
        result = own->kind == PREDICATE_AND ? result && one : result || one;
    }
    return result;
}

static bool filter_disabled(const struct listener_filter_config *f, const struct conn *conn)
{
    const struct listener_predicate *p = f->disabled;
    return p && predicate_holds(&p, address_port(&conn->local));
}

/* The first bytes in one piece: they nearly always are; else they are copied into `own`. */
static struct slice first_bytes(const struct chain *in, size_t max, char **own)
{
    struct slice front = chain_front(in);
    size_t wanted = in->bytes < max ? in->bytes : max;
    *own = NULL;
    if (front.len >= wanted)
        return slice_take(front, wanted);
    *own = malloc(wanted);
    return *own ? slice_of(*own, chain_copy_out(in, 0, *own, wanted)) : SLICE_EMPTY;
}

static enum listener_filter_status run_filter(struct incoming *in, const struct listener_filter_config *f)
{
    struct conn *conn = in->conn;
    char *own;
    if (filter_disabled(f, conn))
        return LISTENER_FILTER_CONTINUE;
    struct listener_look look = {
        .conn = conn, .facts = in->facts, .bytes = first_bytes(&conn->in, f->bytes_max, &own)};
    enum listener_filter_status status = f->ops->look(f->config, &look);
    if (status == LISTENER_FILTER_MORE && look.bytes.len >= f->bytes_max)
        status = LISTENER_FILTER_CLOSE;
    free(own);
    chain_drain(&conn->in, look.taken);
    conn->bytes_in -= look.taken; /* counted are the bytes of whoever gets the connection, as in Envoy */
    return status;
}

/* A filter that asks for more has seen all: nothing is read beyond what one of them may ask for. */
static void limit_reading(struct incoming *in, size_t max)
{
    bool full = in->conn->in.bytes >= max;
    if (full == in->paused)
        return;
    in->paused = full;
    if (full)
        conn_pause(in->conn, CONN_PAUSE_LIMIT);
    else
        conn_resume(in->conn, CONN_PAUSE_LIMIT);
}

static void run_filters(struct incoming *in)
{
    const struct listener_config *config = in->listener->config;
    for (; in->at < config->filters_count; in->at++) {
        const struct listener_filter_config *f = &config->filters[in->at];
        enum listener_filter_status status = run_filter(in, f);
        if (status == LISTENER_FILTER_CONTINUE)
            continue;
        if (status == LISTENER_FILTER_CLOSE) {
            stat_inc(config->stats.downstream_listener_filter_error);
            end(in);
            return;
        }
        limit_reading(in, f->bytes_max);
        return;
    }
    hand_on(in);
}

/* --- events --- */

static void on_data(struct conn *conn)
{
    run_filters(conn->owner);
}

static void on_eof(struct conn *conn)
{
    struct incoming *in = conn->owner;
    stat_inc(in->listener->config->stats.downstream_listener_filter_remote_close);
    end(in);
}

static void on_closed(struct conn *conn, enum conn_close why)
{
    struct incoming *in = conn->owner;
    struct listener *l = in->listener;
    if (why == CONN_CLOSE_REMOTE)
        stat_inc(l->config->stats.downstream_listener_filter_remote_close);
    conn->facts = NULL;
    leave(in);
    listener_connection_gone(l);
}

static const struct conn_events incoming_events = {.data = on_data, .eof = on_eof, .closed = on_closed};

static void timed_out(struct timer *t)
{
    struct incoming *in = WEIR_CONTAINER_OF(t, struct incoming, timer);
    const struct listener_config *config = in->listener->config;
    if (!in->draining)
        stat_inc(config->stats.downstream_pre_cx_timeout);
    if (config->continue_on_filters_timeout && !in->draining)
        hand_on(in);
    else
        end(in);
}

/* --- the beginning --- */

static bool begin(struct listener *l, struct conn *conn)
{
    const struct listener_config *config = l->config;
    struct incoming *in = calloc(1, sizeof(*in));
    struct connection_facts *facts = in ? connection_facts_create(&conn->remote) : NULL;
    if (!facts) {
        free(in);
        drop_conn(conn);
        return false;
    }
    in->listener = l;
    in->conn = conn;
    in->facts = conn->facts = facts;
    conn->owner = in;
    turn_task_init(&in->release, incoming_free);
    timer_init(&in->timer, timed_out);
    arm(in);
    list_push_back(&l->incoming, &in->node);
    stat_inc(config->stats.downstream_pre_cx_active);
    run_filters(in);
    return true;
}

bool incoming_accept(struct listener *l, int fd, const struct address *remote)
{
    const struct listener_config *config = l->config;
    /* Through a transparent socket come connections to any address. */
    const struct address *local = address_is_wildcard(&l->bound) || config->transparent ? NULL : &l->bound;
    struct conn *conn = conn_accepted(&l->worker->loop, fd, remote, local, &incoming_events, NULL,
                                      config->per_connection_buffer_limit_bytes);
    if (!conn)
        return false;
    return WEIR_LIKELY(config->filters_count == 0) ? open_chain(l, conn, false) : begin(l, conn);
}

void incoming_drain(struct list *node)
{
    struct incoming *in = list_entry(node, struct incoming, node);
    in->draining = true;
    arm(in);
}

void incoming_close_now(struct list *node)
{
    end(list_entry(node, struct incoming, node));
}
