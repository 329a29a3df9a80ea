/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread behind time limits: it asks the engine when it is due again and sleeps until then. Idle, that is
 * 100 times a second.
 */
#include <proxywasm/posix.h>

#include "base/assert.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)

struct pw_watchdog {
    struct pw_engine *engine;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* on the monotonic clock */
    bool stop;           /* under the lock */
};

static struct timespec after_ns(uint64_t ns)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    ns += (uint64_t)at.tv_nsec;
    at.tv_sec += (time_t)(ns / SECOND_NS);
    at.tv_nsec = (long)(ns % SECOND_NS);
    return at;
}

/* The kernel's struct sched_attr, first version (sched_setattr(2)), which the C library does not declare. */
struct scheduling {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns;
    uint64_t deadline_ns;
    uint64_t period_ns;
};
#define NICE_BEST (-20)
#define SLICE_NS  UINT64_C(100000) /* the shortest that the kernel takes */

/*
 * A looping guest has its processor for itself until this thread gets it, and others wait meanwhile: what the
 * system grants to be woken exactly and at once is taken. It runs for microseconds, so it takes nothing from
 * anybody. Nice values need a privilege, the short slice needs Linux 6.12: without them it is a thread like
 * others.
 */
static void be_punctual(void)
{
    struct scheduling wish = {.size = sizeof(wish), .nice = NICE_BEST, .runtime_ns = SLICE_NS};

    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    if (syscall(SYS_sched_setattr, 0, &wish, 0) != 0) {
        wish.nice = 0;
        (void)syscall(SYS_sched_setattr, 0, &wish, 0);
    }
}

static void *watchdog_run(void *arg)
{
    struct pw_watchdog *watchdog = arg;

    be_punctual();
    pthread_mutex_lock(&watchdog->lock);
    while (!watchdog->stop) {
        struct timespec due;

        pthread_mutex_unlock(&watchdog->lock);
        due = after_ns(pw_engine_tick(watchdog->engine));
        pthread_mutex_lock(&watchdog->lock);
        if (!watchdog->stop)
            pthread_cond_timedwait(&watchdog->wake, &watchdog->lock, &due);
    }
    pthread_mutex_unlock(&watchdog->lock);
    return NULL;
}

static void watchdog_free(struct pw_watchdog *watchdog)
{
    pthread_cond_destroy(&watchdog->wake);
    pthread_mutex_destroy(&watchdog->lock);
    free(watchdog);
}

static struct pw_watchdog *watchdog_new(struct pw_engine *engine)
{
    struct pw_watchdog *watchdog = calloc(1, sizeof(*watchdog));
    pthread_condattr_t attributes;

    if (!watchdog)
        return NULL;
    watchdog->engine = engine;
    pthread_mutex_init(&watchdog->lock, NULL);
    pthread_condattr_init(&attributes);
    WEIR_ASSERT(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    pthread_cond_init(&watchdog->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    return watchdog;
}

int pw_watchdog_start(struct pw_engine *engine, struct pw_watchdog **out)
{
    struct pw_watchdog *watchdog = watchdog_new(engine);
    sigset_t all;
    sigset_t before;
    int error;

    *out = NULL;
    if (!watchdog)
        return PW_ERR_NOMEM;
    /* The embedder's signals are for its own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&watchdog->thread, NULL, watchdog_run, watchdog);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        watchdog_free(watchdog);
        return PW_ERR_NOMEM;
    }
    *out = watchdog;
    return PW_OK;
}

void pw_watchdog_stop(struct pw_watchdog **watchdog)
{
    if (!*watchdog)
        return;
    pthread_mutex_lock(&(*watchdog)->lock);
    (*watchdog)->stop = true;
    pthread_cond_signal(&(*watchdog)->wake);
    pthread_mutex_unlock(&(*watchdog)->lock);
    WEIR_ASSERT(pthread_join((*watchdog)->thread, NULL) == 0);
    watchdog_free(*watchdog);
    *watchdog = NULL;
}
