/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread, one queue. A job's result is posted to its worker's loop under the lock, so that cancelling and
 * posting exclude each other.
 */
#include "filters/wasm/wasm_loader.h"

#include "base/assert.h"
#include "base/thread.h"
#include "filters/wasm/wasm_vm.h"

#include <stdlib.h>

struct wasm_loader {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list queue;  /* queued */
    struct list others; /* running or posted: freed at destroy if nobody else did */
    bool stop;
};

static void job_free(struct wasm_job *job)
{
    wasm_instance_destroy(&job->instance);
    list_remove(&job->node);
    free(job);
}

/* On the worker. */
static void job_arrived(void *arg)
{
    struct wasm_job *job = arg;
    struct wasm_loader *loader = job->loader;
    pthread_mutex_lock(&loader->lock);
    bool cancelled = job->cancelled;
    pthread_mutex_unlock(&loader->lock);
    if (!cancelled)
        wasm_vm_job_done(job->vm, job);
    pthread_mutex_lock(&loader->lock);
    job_free(job);
    pthread_mutex_unlock(&loader->lock);
}

static void finish_locked(struct wasm_job *job)
{
    job->state = WASM_JOB_POSTED;
    if (job->cancelled || !loop_post(job->loop, job_arrived, job))
        job_free(job); /* nobody waits, or the loop has gone */
}

static void *loader_main(void *arg)
{
    struct wasm_loader *loader = arg;
    pthread_mutex_lock(&loader->lock);
    while (!loader->stop) {
        if (list_empty(&loader->queue)) {
            pthread_cond_wait(&loader->wake, &loader->lock);
            continue;
        }
        struct wasm_job *job = list_first(&loader->queue, struct wasm_job, node);
        list_remove(&job->node);
        list_push_back(&loader->others, &job->node);
        job->state = WASM_JOB_RUNNING;
        pthread_mutex_unlock(&loader->lock);
        job->error = wasm_instance_create(job->group, &job->instance, &job->why);
        pthread_mutex_lock(&loader->lock);
        finish_locked(job);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

struct wasm_loader *wasm_loader_create(void)
{
    struct wasm_loader *loader = calloc(1, sizeof(*loader));
    if (!loader)
        return NULL;
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->wake, NULL);
    list_init(&loader->queue);
    list_init(&loader->others);
    if (thread_create(&loader->thread, loader_main, loader) != 0) {
        pthread_cond_destroy(&loader->wake);
        pthread_mutex_destroy(&loader->lock);
        free(loader);
        return NULL;
    }
    return loader;
}

void wasm_loader_destroy(struct wasm_loader **loader)
{
    struct wasm_loader *dead = *loader;
    *loader = NULL;
    if (!dead)
        return;
    pthread_mutex_lock(&dead->lock);
    dead->stop = true;
    pthread_cond_signal(&dead->wake);
    pthread_mutex_unlock(&dead->lock);
    pthread_join(dead->thread, NULL);
    list_splice_back(&dead->others, &dead->queue);
    while (!list_empty(&dead->others))
        job_free(list_first(&dead->others, struct wasm_job, node));
    pthread_cond_destroy(&dead->wake);
    pthread_mutex_destroy(&dead->lock);
    free(dead);
}

struct wasm_job *wasm_loader_submit(struct wasm_loader *loader, struct wasm_vm *vm, struct wasm_group *group,
                                    struct loop *loop)
{
    struct wasm_job *job = calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    list_init(&job->node);
    job->loader = loader;
    job->group = group;
    job->vm = vm;
    job->loop = loop;
    pthread_mutex_lock(&loader->lock);
    list_push_back(&loader->queue, &job->node);
    pthread_cond_signal(&loader->wake);
    pthread_mutex_unlock(&loader->lock);
    return job;
}

void wasm_loader_cancel(struct wasm_loader *loader, struct wasm_job *job)
{
    pthread_mutex_lock(&loader->lock);
    if (job->state == WASM_JOB_QUEUED)
        job_free(job);
    else
        job->cancelled = true;
    pthread_mutex_unlock(&loader->lock);
}
