/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners at run time: their sockets, accepting, draining. Lives on its worker's thread; the sockets are
 * opened before, by main, so that a port in use is a start-up error.
 */
#include "proxy/listener/listener.h"

#include "net/tls.h"
#include "proxy/downstream.h"
#include "proxy/listener/incoming.h"
#include "proxy/listener/listener_index.h"
#include "proxy/overload/overload.h"
#include "proxy/tcp/tcp_proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void close_all(int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        close(fds[i]);
}

int listener_open(const struct listener_config *config, const struct listener_address *at, uint32_t count,
                  int *fds, struct address *bound)
{
    bool own_sockets = config->reuse_port && at->where.sa.sa_family != AF_UNIX;
    struct listen_options options = {.backlog = config->backlog,
                                     .reuse_port = own_sockets,
                                     .freebind = config->freebind,
                                     .transparent = config->transparent,
                                     .ipv4_compat = at->ipv4_compat,
                                     .mode = at->pipe_mode,
                                     .options = at->socket_options};
    struct address address = bound->len ? *bound : at->where;
    for (uint32_t i = 0; i < count; i++) {
        fds[i] = i == 0 || own_sockets ? listen_socket_open(&address, &options)
                                       : fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
        if (fds[i] < 0) {
            int rc = i == 0 || own_sockets ? fds[i] : -errno;
            close_all(fds, i);
            return rc;
        }
        if (i == 0 && listen_socket_address(fds[0], bound))
            address_set_port(&address, address_port(bound));
    }
    return 0;
}

/* What turned_away has counted. */
static void count_off(struct listener *l)
{
    if (l->config->open)
        atomic_fetch_sub_explicit(l->config->open, 1, memory_order_relaxed);
    if (l->counts_globally)
        overload_connection_ends();
}

/* Whether there is no room for one more; counted. */
static bool turned_away(struct listener *l)
{
    const struct listener_config *config = l->config;
    uint32_t bits = overload_bits() & OVERLOAD_ACCEPT_BITS;
    if (WEIR_UNLIKELY(bits != 0) && !config->bypass_overload &&
        (((bits & OVERLOAD_BIT(REJECT_INCOMING_CONNECTIONS)) &&
          overload_acts(OVERLOAD_REJECT_INCOMING_CONNECTIONS, l->worker)) ||
         ((bits & OVERLOAD_BIT(SHED_ACCEPT)) && overload_acts(OVERLOAD_SHED_ACCEPT, l->worker)))) {
        stat_inc(config->stats.downstream_cx_overload_reject);
        return true;
    }
    if (l->counts_globally && !overload_connection_begins()) {
        stat_inc(config->stats.downstream_global_cx_overflow);
        return true;
    }
    if (config->open &&
        atomic_fetch_add_explicit(config->open, 1, memory_order_relaxed) >= config->connections_max) {
        stat_inc(config->stats.downstream_cx_overflow);
        count_off(l);
        return true;
    }
    return false;
}

static void count_gone(struct listener *l)
{
    WEIR_ASSERT(l->connections_count > 0 && l->worker->connections > 0);
    l->connections_count--;
    l->worker->connections--;
    count_off(l);
}

static void accepted(struct acceptor *a, int fd, const struct address *remote)
{
    struct listener *l = a->owner;
    if (turned_away(l)) {
        close(fd);
        return;
    }
    l->connections_count++;
    l->worker->connections++;
    if (!incoming_accept(l, fd, remote))
        count_gone(l);
}

void listener_overload_changed(struct worker *w)
{
    /* As Envoy: a share of a scaled trigger stops nothing. */
    bool stop = atomic_load_explicit(&overload_scales[OVERLOAD_STOP_ACCEPTING_CONNECTIONS],
                                     memory_order_relaxed) >= OVERLOAD_FULL;
    struct list *at, *next, *node, *tmp;
    list_for_each(at, next, &w->listeners)
    {
        struct listener *l = list_entry(list_entry(at, struct worker_listener, node), struct listener, base);
        if (l->config->bypass_overload)
            continue;
        acceptor_pause(&l->acceptor, stop);
        list_for_each(node, tmp, &l->connections)
            downstream_look_at_timers(list_entry(node, struct downstream, node));
    }
    overload_reset_streams(w);
}

static void drain(struct worker_listener *base)
{
    listener_drain(list_entry(base, struct listener, base));
}

static void close_now(struct worker_listener *base)
{
    listener_close(list_entry(base, struct listener, base));
}

struct listener *listener_create(struct worker *w, const struct listener_config *config,
                                 const struct listener_address *at, int fd)
{
    struct listener *l = calloc(1, sizeof(*l));
    if (!l) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    l->worker = w;
    l->at = at;
    list_init(&l->connections);
    list_init(&l->sessions);
    list_init(&l->incoming);
    list_init(&l->base.node);
    l->base.drain = drain;
    l->base.close = close_now;
    l->acceptor.fd = -1;
    if (fd < 0 || !listen_socket_address(fd, &l->bound))
        l->bound = at->where;
    if (fd >= 0 &&
        acceptor_start(&l->acceptor, &w->loop, fd, config->accepts_per_event_max, accepted, l) != 0) {
        free(l);
        return NULL;
    }
    if (!listener_index_put(w, l)) {
        acceptor_stop(&l->acceptor);
        free(l);
        return NULL;
    }
    l->open = true;
    l->config = listener_config_ref(config);
    l->counts_globally = overload_limits_connections() && !config->ignore_global_limit;
    list_push_back(&w->listeners, &l->base.node);
    return l;
}

void listener_drain(struct listener *l)
{
    struct list *node, *tmp;
    l->open = false;
    acceptor_drain(&l->acceptor);
    list_for_each(node, tmp, &l->connections) downstream_drain(list_entry(node, struct downstream, node));
    list_for_each(node, tmp, &l->incoming) incoming_drain(node);
}

void listener_hand_over(struct listener *l, bool shared)
{
    l->open = false;
    if (shared)
        acceptor_stop(&l->acceptor);
    else
        acceptor_drain(&l->acceptor);
}

void listener_go_away(struct listener *l)
{
    struct list *node, *tmp;
    list_for_each(node, tmp, &l->connections)
    {
        struct downstream *d = list_entry(node, struct downstream, node);
        if (downstream_is_h2(d))
            downstream_h2_drain(d, d->hcm->drain_timeout_ms);
    }
}

/* Not before it is closed: others may still have a connection for it. */
static void listener_free_when_empty(struct listener *l)
{
    if (!l->closed || l->connections_count > 0 || list_empty(&l->base.node))
        return;
    list_remove(&l->base.node);
    listener_index_remove(l->worker, l);
    listener_config_unref(&l->config);
    free(l);
}

void listener_close(struct listener *l)
{
    struct list *node, *tmp;
    acceptor_stop(&l->acceptor);
    l->open = false;
    l->closed = true;
    list_for_each(node, tmp, &l->connections) downstream_close_now(list_entry(node, struct downstream, node));
    list_for_each(node, tmp, &l->sessions) tcp_proxy_close_now(node);
    list_for_each(node, tmp, &l->incoming) incoming_close_now(node);
    listener_free_when_empty(l);
}

bool listener_take_over(struct listener *to, struct listener *from)
{
    if (to->counts_globally && !from->counts_globally && !overload_connection_begins()) {
        stat_inc(to->config->stats.downstream_global_cx_overflow);
        return false;
    }
    if (from->counts_globally && !to->counts_globally)
        overload_connection_ends();
    if (from->config->open)
        atomic_fetch_sub_explicit(from->config->open, 1, memory_order_relaxed);
    if (to->config->open) /* as Envoy: its own limit turns away only what it accepts itself */
        atomic_fetch_add_explicit(to->config->open, 1, memory_order_relaxed);
    WEIR_ASSERT(from->connections_count > 0);
    from->connections_count--;
    to->connections_count++;
    listener_free_when_empty(from);
    return true;
}

void listener_connection_gone(struct listener *l)
{
    struct worker *w = l->worker;
    count_gone(l);
    listener_free_when_empty(l);
    if (w->connections == 0 && w->drained) {
        void (*drained)(struct worker *, void *) = w->drained;
        w->drained = NULL;
        drained(w, w->drained_arg);
    }
}

/* As Envoy: the default chain is for connections that nothing matches, not for a chain that is not there. */
static const struct filter_chain *find_chain_by_tree(const struct listener_config *config,
                                                     const struct filter_chain_facts *facts)
{
    char first[1024];
    struct arena arena;
    arena_init(&arena, MATCH_ARENA_BYTES_MAX, NULL);
    arena_lend(&arena, first, sizeof(first));
    const struct match_subject subject = {.connection = facts, .arena = &arena};
    const struct filter_chain *chain = match_tree_find(&config->matcher, &subject);
    arena_fini(&arena);
    if (!chain)
        return config->default_chain;
    return chain == &filter_chain_unknown ? NULL : chain;
}

const struct filter_chain *listener_find_chain(const struct listener_config *config,
                                               const struct filter_chain_facts *facts)
{
    if (WEIR_UNLIKELY(config->matcher.root))
        return find_chain_by_tree(config, facts);
    ptrdiff_t i = filter_chain_find(config->chain_index, facts);
    return i >= 0 ? &config->chains[i] : config->default_chain;
}

bool listener_start_tls(struct conn *conn, const struct filter_chain *chain)
{
    const struct tls_context *context = tls_config_context(chain->tls);
    uint64_t limit_ms = overload_timeout(OVERLOAD_TIMER_HANDSHAKE, chain->transport_connect_timeout_ms);
    bool ok = context && tls_start_server(conn, context, limit_ms);
    tls_context_unref(&context); /* the connection has a reference of its own */
    return ok;
}
