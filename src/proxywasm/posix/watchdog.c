/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread behind time limits: a tick of an engine every millisecond. It must never tick twice in a row to
 * make up for lost time, as guests lost that time too.
 */
#include <proxywasm/posix.h>

#include "base/assert.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define PERIOD_NS 1000000
#define SECOND_NS 1000000000

struct pw_watchdog {
    struct pw_engine *engine;
    pthread_t thread;
    atomic_bool stop;
};

static bool earlier(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

static void *watchdog_run(void *arg)
{
    struct pw_watchdog *watchdog = arg;
    struct timespec next;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &next);
    while (!atomic_load_explicit(&watchdog->stop, memory_order_relaxed)) {
        next.tv_nsec += PERIOD_NS;
        if (next.tv_nsec >= SECOND_NS) {
            next.tv_nsec -= SECOND_NS;
            next.tv_sec++;
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (earlier(&next, &now))
            next = now;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        pw_engine_tick(watchdog->engine);
    }
    return NULL;
}

int pw_watchdog_start(struct pw_engine *engine, struct pw_watchdog **out)
{
    struct pw_watchdog *watchdog = calloc(1, sizeof(*watchdog));
    sigset_t all;
    sigset_t before;
    int error;

    *out = NULL;
    if (!watchdog)
        return PW_ERR_NOMEM;
    watchdog->engine = engine;
    atomic_init(&watchdog->stop, false);
    /* The embedder's signals are for its own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&watchdog->thread, NULL, watchdog_run, watchdog);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        free(watchdog);
        return PW_ERR_NOMEM;
    }
    *out = watchdog;
    return PW_OK;
}

void pw_watchdog_stop(struct pw_watchdog **watchdog)
{
    if (!*watchdog)
        return;
    atomic_store_explicit(&(*watchdog)->stop, true, memory_order_relaxed);
    WEIR_ASSERT(pthread_join((*watchdog)->thread, NULL) == 0);
    free(*watchdog);
    *watchdog = NULL;
}
