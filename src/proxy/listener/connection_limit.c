/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts the connections of a filter over all workers, and closes what is too many: at once, or after a delay
 * that slows down who tries again and again.
 */
#include "proxy/listener/connection_limit.h"

#include "net/worker.h"
#include "proxy/listener/network_chain.h"

#include <stdatomic.h>
#include <stdlib.h>

struct connection_limit {
    uint64_t max;
    uint64_t delay_ms;
    stat_id active_connections;
    stat_id limited_connections;
    _Atomic uint64_t within; /* connections that were let through */
};

struct limited {
    struct network_filter *filter;
    bool counted; /* as active */
    bool within;
    struct timer delay;
};

static const struct connection_limit *config_of(const struct network_filter *f)
{
    return f->config->config;
}

static _Atomic uint64_t *count_of(const struct network_filter *f)
{
    return &((struct connection_limit *)(uintptr_t)f->config->config)->within;
}

static void delay_over(struct timer *t)
{
    struct limited *l = WEIR_CONTAINER_OF(t, struct limited, delay);
    network_filter_close(l->filter, CONN_CLOSE_NOW);
}

static enum network_status new_connection(struct network_filter *f)
{
    const struct connection_limit *c = config_of(f);
    struct limited *l = f->state;
    l->filter = f;
    l->counted = true;
    timer_init(&l->delay, delay_over);
    stat_inc(c->active_connections);
    l->within = atomic_fetch_add_explicit(count_of(f), 1, memory_order_relaxed) < c->max;
    if (l->within)
        return NETWORK_CONTINUE;
    atomic_fetch_sub_explicit(count_of(f), 1, memory_order_relaxed);
    stat_inc(c->limited_connections);
    if (c->delay_ms == 0) {
        network_filter_close(f, CONN_CLOSE_NOW);
    } else {
        network_filter_pause_reading(f, true);
        timer_set(&f->chain->worker->loop, &l->delay, c->delay_ms);
    }
    return NETWORK_STOP;
}

static void gone(struct network_filter *f)
{
    struct limited *l = f->state;
    if (!l->counted)
        return;
    timer_stop(&f->chain->worker->loop, &l->delay);
    stat_dec(config_of(f)->active_connections);
    if (l->within)
        atomic_fetch_sub_explicit(count_of(f), 1, memory_order_relaxed);
}

static const struct network_filter_ops ops = {.name = "connection_limit",
                                              .state_bytes = sizeof(struct limited),
                                              .new_connection = new_connection,
                                              .destroy = gone};

bool connection_limit_init(struct network_filter_config *f, struct slice stat_prefix, uint64_t max,
                           uint64_t delay_ms)
{
    struct connection_limit *c = calloc(1, sizeof(*c));
    if (!c)
        return false;
    c->max = max;
    c->delay_ms = delay_ms;
    c->active_connections =
        stat_gauge("connection_limit." SLICE_FMT ".active_connections", SLICE_ARG(stat_prefix));
    c->limited_connections =
        stat_counter("connection_limit." SLICE_FMT ".limited_connections", SLICE_ARG(stat_prefix));
    *f = (struct network_filter_config){
        .ops = &ops, .config = c, .name = SLICE_LIT("connection_limit"), .destroy = free};
    return true;
}
