/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads: start, drain, stop; and the small things that every request wants from its worker.
 */
#include "net/worker.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

struct worker *worker_create(uint32_t index)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->index = index;
    list_init(&w->listeners);
    if (getrandom(w->random_state, sizeof(w->random_state), 0) != (ssize_t)sizeof(w->random_state) ||
        loop_init(&w->loop) != 0) {
        free(w);
        return NULL;
    }
    w->random_state[0] |= 1; /* all zero would stay so */
    return w;
}

static void close_listeners(struct worker *w)
{
    struct list *node, *tmp;
    list_for_each(node, tmp, &w->listeners)
    {
        struct worker_listener *l = list_entry(node, struct worker_listener, node);
        l->close(l);
    }
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    char name[16];
    if (w->thread_name)
        snprintf(name, sizeof(name), "%s", w->thread_name);
    else
        snprintf(name, sizeof(name), "weir:wrk_%u", w->index % 1000);
    pthread_setname_np(pthread_self(), name);
    loop_run(&w->loop);
    if (w->stopped)
        w->stopped(w, w->stopped_arg);
    return NULL;
}

int worker_start(struct worker *w)
{
    WEIR_ASSERT(!w->running);
    int rc = thread_create(&w->thread, worker_main, w);
    if (rc != 0)
        return -rc;
    w->running = true;
    return 0;
}

struct drain_request {
    struct worker *worker;
    void (*drained)(struct worker *w, void *arg);
    void *arg;
};

static void drain_on_worker(void *arg)
{
    struct drain_request *r = arg;
    struct worker *w = r->worker;
    struct list *node, *tmp;
    w->draining = true;
    if (r->drained) { /* who waits already is not forgotten for somebody who does not */
        w->drained = r->drained;
        w->drained_arg = r->arg;
    }
    free(r);
    list_for_each(node, tmp, &w->listeners)
    {
        struct worker_listener *l = list_entry(node, struct worker_listener, node);
        l->drain(l);
    }
    if (w->connections == 0 && w->drained) {
        void (*drained)(struct worker *, void *) = w->drained;
        w->drained = NULL;
        drained(w, w->drained_arg);
    }
}

void worker_drain(struct worker *w, void (*drained)(struct worker *w, void *arg), void *arg)
{
    struct drain_request *r = malloc(sizeof(*r));
    if (!r)
        return; /* the drain time ends it */
    *r = (struct drain_request){w, drained, arg};
    if (!loop_post_owned(&w->loop, drain_on_worker, free, r))
        free(r);
}

/* The loop ends once connections have died: each needs a turn for its `closed` event. */
static void stop_when_empty(struct worker *w, void *arg)
{
    (void)arg;
    loop_stop(&w->loop);
}

static void stop_on_worker(void *arg)
{
    struct worker *w = arg;
    w->drained = stop_when_empty;
    close_listeners(w);
    if (w->connections == 0)
        loop_stop(&w->loop);
}

void worker_stop_begin(struct worker *w)
{
    if (!w->running || w->ending)
        return;
    w->ending = true;
    bool posted = loop_post(&w->loop, stop_on_worker, w);
    WEIR_ASSERT(posted);
}

void worker_stop(struct worker *w)
{
    if (!w->running)
        return;
    worker_stop_begin(w);
    pthread_join(w->thread, NULL);
    w->running = false;
}

void worker_destroy(struct worker **worker)
{
    struct worker *w = *worker;
    *worker = NULL;
    if (!w)
        return;
    WEIR_ASSERT(!w->running && w->connections == 0);
    close_listeners(w);
    loop_fini(&w->loop);
    free(w);
}

/* xorshift128+ (Vigna): one multiplication-free step per number. */
uint64_t worker_random_bits(struct worker *w)
{
    uint64_t a = w->random_state[0], b = w->random_state[1];
    w->random_state[0] = b;
    a ^= a << 23;
    w->random_state[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
    return w->random_state[1] + b;
}

uint64_t worker_random(struct worker *w, uint64_t bound)
{
    WEIR_ASSERT(bound > 0);
    return (uint64_t)(((unsigned __int128)worker_random_bits(w) * bound) >> 64);
}

void worker_clock_refresh(struct worker *w)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if ((uint64_t)now.tv_sec == w->clock_second)
        return;
    w->clock_second = (uint64_t)now.tv_sec;
    w->realtime_offset_ns = realtime_ns() - monotonic_ns();
}

uint64_t worker_realtime_ns(struct worker *w, uint64_t monotonic_ns)
{
    worker_clock_refresh(w); /* follows a clock that was set within a second */
    return monotonic_ns + w->realtime_offset_ns;
}
