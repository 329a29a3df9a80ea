/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One event loop for one thread, on libuv: turns, deferred destruction, end-of-turn tasks, posts from other
 * threads. Everything that a worker owns hangs on its loop. Only loop_post may be called from another thread.
 */
#ifndef WEIR_NET_LOOP_H
#define WEIR_NET_LOOP_H

#include "base/arena.h"
#include "base/chain.h"
#include "base/list.h"
#include "net/poll_cache.h"
#include "net/timer.h"

#include <pthread.h>
#include <uv.h>

/* Runs once, at the end of the current turn or event; an object embeds one. */
struct turn_task {
    struct list node; /* list_init'ed by turn_task_init */
    void (*run)(struct turn_task *task);
};

struct loop {
    uv_loop_t uv;
    struct timer_wheel timers;
    uint64_t now_ms;      /* monotonic, refreshed each turn */
    uint64_t turns;       /* so many were begun */
    struct list soon;     /* run when the event at hand is over */
    struct list tasks;    /* flushes, run before destruction */
    struct list deferred; /* objects to destroy at the end of the turn */
    struct arena_cache arenas;
    struct block_pool blocks;
    struct poll_cache polls;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_async_t async;
    pthread_mutex_t posts_lock;
    struct loop_post *posts_first;
    struct loop_post **posts_last;
    pthread_t thread;
    bool stopping;
    bool closed; /* under posts_lock: no post is taken any more */
};

/* Callbacks that come straight from libuv call this first: now_ms is then the time of this turn. */
static inline void loop_refresh(struct loop *loop)
{
    loop->now_ms = uv_now(&loop->uv);
}

/* 0 or a negative errno. */
int loop_init(struct loop *loop);
/* Runs until loop_stop; then closes what is left. */
void loop_run(struct loop *loop);
/* Ends loop_run after the current turn. On the loop's thread. */
void loop_stop(struct loop *loop);
/* After loop_run has returned, on its thread: turns until `done`, or until the time is over. For what may
 * still need timers and sockets at the end. */
void loop_linger(struct loop *loop, uint64_t ms, bool (*done)(void *arg), void *arg);
/* After loop_run returned. Posts that never ran are dropped. */
void loop_fini(struct loop *loop);

static inline void turn_task_init(struct turn_task *t, void (*run)(struct turn_task *task))
{
    list_init(&t->node);
    t->run = run;
}
/* Queues the task once; queued already is fine. Before the loop sleeps again it has run. */
void loop_at_turn_end(struct loop *loop, struct turn_task *task);
/* The same as soon as the event at hand (what one socket had to say) has left the stack, while what it
 * touched is still in the processor's cache. Tasks for the turn's end run later. */
void loop_at_event_end(struct loop *loop, struct turn_task *task);
/* The same for a task that may wait for the turn's end already. */
static inline void loop_sooner(struct loop *loop, struct turn_task *task)
{
    list_remove(&task->node);
    loop_at_event_end(loop, task);
}
/* Called where an event of a socket ends, with nothing of its objects on the stack. */
void loop_event_over(struct loop *loop);
/* After all tasks of this turn: the object's last moment. `task` must not be queued as anything else. */
void loop_defer_destroy(struct loop *loop, struct turn_task *task);

/* [any thread] Runs fn(arg) on the loop's thread in a later turn, in order. false when memory is out or the
 * loop is gone. */
bool loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);
/* The same for an `arg` that somebody must free: drop(arg) runs instead, on loop_fini's thread, when the loop
 * ends before fn could. After false the caller still owns it. */
bool loop_post_owned(struct loop *loop, void (*fn)(void *arg), void (*drop)(void *arg), void *arg);

#endif
