/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draining and stopping. The main thread decides; workers are told by posts and answer by posts.
 */
#include "proxy/listener/drain.h"
#include "server/server_impl.h"
#include "telemetry/log.h"

#include <stdlib.h>

static void worker_drained_on_main(void *arg)
{
    struct server *s = arg;
    if (++s->workers_drained == s->workers_started)
        server_stop(s);
}

/* On the worker's thread. */
static void worker_drained(struct worker *w, void *arg)
{
    struct server *s = arg;
    (void)w;
    loop_post(&s->loop, worker_drained_on_main, s);
}

static void drain_time_over(struct timer *timer)
{
    struct server *s = WEIR_CONTAINER_OF(timer, struct server, stop_timer);
    log_write(MAIN, WARN, "draining took too long: the remaining connections are closed");
    server_stop(s);
}

void server_drain(struct server *s)
{
    uint64_t wait_ms = (uint64_t)s->options->drain_time_s * 1000;
    if (s->stopping)
        return;
    s->stopping = true;
    atomic_store(&s->state, ADMIN_DRAINING);
    if (s->workers_started == 0) {
        server_stop(s);
        return;
    }
    drain_begin(0);
    timer_init(&s->stop_timer, drain_time_over);
    timer_set(&s->loop, &s->stop_timer, wait_ms < SERVER_STOP_MAX_MS ? wait_ms : SERVER_STOP_MAX_MS);
    for (uint32_t i = 0; i < s->workers_started; i++)
        worker_drain(s->workers[i], worker_drained, s);
}

void server_stop(struct server *s)
{
    s->stopping = true;
    atomic_store(&s->state, ADMIN_DRAINING);
    loop_stop(&s->loop);
}

static void stop_on_main(void *arg)
{
    server_stop(arg);
}

void server_ask_stop(struct server *s)
{
    loop_post(&s->loop, stop_on_main, s);
}

/* --- /drain_listeners: the process goes on --- */

struct listener_drain {
    struct worker *worker;
    bool inbound_only;
};

/* On the worker's thread. */
static void drain_listeners_here(void *arg)
{
    struct listener_drain *d = arg;
    struct list *node, *tmp;
    list_for_each(node, tmp, &d->worker->listeners)
    {
        struct listener *l = list_entry(node, struct listener, base.node);
        if (!d->inbound_only || l->config->traffic_direction == 1 /* INBOUND */)
            listener_drain(l);
    }
    free(d);
}

void server_ask_drain_listeners(struct server *s, bool graceful, bool inbound_only)
{
    atomic_store(&s->listeners_drained, true);
    for (uint32_t i = 0; i < s->workers_started; i++) {
        if (graceful && !inbound_only) {
            worker_drain(s->workers[i], NULL, NULL);
            continue;
        }
        struct listener_drain *d = malloc(sizeof(*d));
        if (!d)
            return;
        *d = (struct listener_drain){s->workers[i], inbound_only};
        if (!loop_post_owned(&s->workers[i]->loop, drain_listeners_here, free, d))
            free(d);
    }
}
