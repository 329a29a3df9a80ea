/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop's turns. A turn is: timers, then sockets and posts, each followed by the tasks that it left
 * for its end, then end-of-turn tasks, then deferred destruction. Tasks run before the loop may sleep;
 * destruction never runs while a callback of the dying object is on the stack.
 */
#include "net/loop.h"

#include "net/limits.h"

#include <errno.h>
#include <stdlib.h>

struct loop_post {
    struct loop_post *next;
    void (*fn)(void *arg);
    void (*drop)(void *arg); /* may be NULL */
    void *arg;
};

static void run_list(struct list *tasks)
{
    struct list now;
    list_init(&now);
    list_splice_back(&now, tasks);
    while (!list_empty(&now)) {
        struct turn_task *task = list_first(&now, struct turn_task, node);
        list_remove(&task->node);
        task->run(task);
    }
}

void loop_event_over(struct loop *loop)
{
    for (unsigned round = 0; !list_empty(&loop->soon) && round < NET_TURN_ROUNDS_MAX; round++)
        run_list(&loop->soon);
}

static void loop_turn_end(struct loop *loop)
{
    for (unsigned round = 0;
         !list_empty(&loop->soon) || !list_empty(&loop->tasks) || !list_empty(&loop->deferred); round++) {
        if (round == NET_TURN_ROUNDS_MAX) {
            uv_async_send(&loop->async); /* do not sleep; the rest follows after the sockets */
            return;
        }
        if (!list_empty(&loop->soon))
            run_list(&loop->soon);
        else if (!list_empty(&loop->tasks))
            run_list(&loop->tasks);
        else
            run_list(&loop->deferred);
    }
}

static void on_prepare(uv_prepare_t *h)
{
    struct loop *loop = h->data;
    loop->turns++;
    loop_turn_end(loop);
}

static void on_check(uv_check_t *h)
{
    loop_turn_end(h->data);
}

static struct loop_post *posts_take(struct loop *loop)
{
    pthread_mutex_lock(&loop->posts_lock);
    struct loop_post *first = loop->posts_first;
    loop->posts_first = NULL;
    loop->posts_last = &loop->posts_first;
    pthread_mutex_unlock(&loop->posts_lock);
    return first;
}

static void on_async(uv_async_t *h)
{
    struct loop *loop = h->data;
    loop_refresh(loop);
    for (struct loop_post *p = posts_take(loop); p;) {
        struct loop_post *next = p->next;
        p->fn(p->arg);
        free(p);
        p = next;
    }
}

static void loop_lists_init(struct loop *loop)
{
    list_init(&loop->soon);
    list_init(&loop->tasks);
    list_init(&loop->deferred);
    loop->arenas = (struct arena_cache){0};
    loop->polls = (struct poll_cache){0};
    block_pool_init(&loop->blocks, NET_IDLE_BLOCKS_MAX);
    loop->posts_first = NULL;
    loop->posts_last = &loop->posts_first;
    loop->stopping = false;
    loop->closed = false;
    loop->thread = pthread_self();
}

int loop_init(struct loop *loop)
{
    loop_lists_init(loop);
    int rc = uv_loop_init(&loop->uv);
    if (rc != 0)
        return rc;
    pthread_mutex_init(&loop->posts_lock, NULL);
    rc = timer_wheel_init(loop);
    WEIR_ASSERT(rc == 0); /* these cannot fail on a fresh loop */
    loop_refresh(loop);
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    loop->prepare.data = loop;
    loop->check.data = loop;
    loop->async.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    rc = uv_async_init(&loop->uv, &loop->async, on_async);
    if (rc != 0) {
        uv_close((uv_handle_t *)&loop->prepare, NULL);
        uv_close((uv_handle_t *)&loop->check, NULL);
        timer_wheel_fini(loop);
        uv_run(&loop->uv, UV_RUN_DEFAULT);
        uv_loop_close(&loop->uv);
        pthread_mutex_destroy(&loop->posts_lock);
        return rc;
    }
    return 0;
}

void loop_run(struct loop *loop)
{
    loop->thread = pthread_self();
    while (!loop->stopping)
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    loop_turn_end(loop);
}

struct lingering {
    struct timer timer;
    bool over;
};

static void linger_fired(struct timer *timer)
{
    WEIR_CONTAINER_OF(timer, struct lingering, timer)->over = true;
}

void loop_linger(struct loop *loop, uint64_t ms, bool (*done)(void *arg), void *arg)
{
    struct lingering linger = {.over = false};
    WEIR_ASSERT(loop->stopping);
    timer_init(&linger.timer, linger_fired);
    timer_set(loop, &linger.timer, ms);
    while (!done(arg) && !linger.over)
        uv_run(&loop->uv, UV_RUN_ONCE);
    timer_stop(loop, &linger.timer);
    loop_turn_end(loop);
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
    uv_stop(&loop->uv);
}

void loop_at_turn_end(struct loop *loop, struct turn_task *task)
{
    WEIR_ASSERT(task->run != NULL);
    if (list_empty(&task->node))
        list_push_back(&loop->tasks, &task->node);
}

void loop_at_event_end(struct loop *loop, struct turn_task *task)
{
    WEIR_ASSERT(task->run != NULL);
    if (list_empty(&task->node))
        list_push_back(&loop->soon, &task->node);
}

void loop_defer_destroy(struct loop *loop, struct turn_task *task)
{
    WEIR_ASSERT(task->run != NULL && list_empty(&task->node));
    list_push_back(&loop->deferred, &task->node);
}

bool loop_post_owned(struct loop *loop, void (*fn)(void *arg), void (*drop)(void *arg), void *arg)
{
    struct loop_post *p = malloc(sizeof(*p));
    if (!p)
        return false;
    *p = (struct loop_post){.fn = fn, .drop = drop, .arg = arg};
    pthread_mutex_lock(&loop->posts_lock);
    bool open = !loop->closed;
    if (open) {
        *loop->posts_last = p;
        loop->posts_last = &p->next;
        uv_async_send(&loop->async);
    }
    pthread_mutex_unlock(&loop->posts_lock);
    if (!open)
        free(p);
    return open;
}

bool loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    return loop_post_owned(loop, fn, NULL, arg);
}

void loop_fini(struct loop *loop)
{
    pthread_mutex_lock(&loop->posts_lock);
    loop->closed = true;
    pthread_mutex_unlock(&loop->posts_lock);
    for (struct loop_post *p = posts_take(loop); p;) {
        struct loop_post *next = p->next;
        if (p->drop)
            p->drop(p->arg);
        free(p);
        p = next;
    }
    loop_turn_end(loop);
    timer_wheel_fini(loop);
    poll_cache_fini(loop);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->async, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&loop->uv);
    WEIR_ASSERT(rc == 0); /* a handle that is still open is a leak of its owner */
    arena_cache_fini(&loop->arenas);
    block_pool_fini(&loop->blocks);
    pthread_mutex_destroy(&loop->posts_lock);
}
