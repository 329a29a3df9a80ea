/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread, made when there is something to do, and one compilation at a time. It never touches a VM: those
 * that live keep their code.
 */
#include "filters/wasm/wasm_optimiser.h"

#include "base/list.h"
#include "base/thread.h"
#include "telemetry/log.h"

#include <pthread.h>
#include <stdlib.h>

struct order {
    struct list node;
    struct pw_module *module;
    char *plugin;
};

struct wasm_optimiser {
    struct pw_posix *posix;
    pthread_t thread;
    bool running; /* `thread` is there */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list orders;
    bool stop;
};

static void order_free(struct order *order)
{
    pw_module_unref(&order->module);
    free(order->plugin);
    free(order);
}

static void optimise(struct order *order)
{
    struct pw_message why = {0};
    uint64_t began_ns = pw_posix_monotonic_ns(NULL);
    int error = pw_module_optimise(order->module, &why);
    if (error == PW_OK)
        log_write(WASM, INFO,
                  "plugin \"%s\": optimised code is there after %.1f s; VMs made from now on run it",
                  order->plugin, (double)(pw_posix_monotonic_ns(NULL) - began_ns) / 1e9);
    else
        log_write(WASM, WARN, "plugin \"%s\" goes on with quickly compiled code: %s", order->plugin,
                  why.text);
}

static void *optimiser_main(void *arg)
{
    struct wasm_optimiser *o = arg;
    pthread_mutex_lock(&o->lock);
    while (!o->stop) {
        if (list_empty(&o->orders)) {
            pthread_cond_wait(&o->wake, &o->lock);
            continue;
        }
        struct order *order = list_first(&o->orders, struct order, node);
        list_remove(&order->node);
        pthread_mutex_unlock(&o->lock);
        optimise(order);
        order_free(order);
        pthread_mutex_lock(&o->lock);
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

struct wasm_optimiser *wasm_optimiser_create(struct pw_posix *posix)
{
    struct wasm_optimiser *o = calloc(1, sizeof(*o));
    if (!o)
        return NULL;
    o->posix = posix;
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->wake, NULL);
    list_init(&o->orders);
    return o;
}

void wasm_optimiser_destroy(struct wasm_optimiser **optimiser)
{
    struct wasm_optimiser *o = *optimiser;
    *optimiser = NULL;
    if (!o)
        return;
    pthread_mutex_lock(&o->lock);
    o->stop = true;
    pthread_cond_signal(&o->wake);
    pthread_mutex_unlock(&o->lock);
    pw_posix_stop_compiling(o->posix);
    if (o->running)
        pthread_join(o->thread, NULL);
    while (!list_empty(&o->orders)) {
        struct order *order = list_first(&o->orders, struct order, node);
        list_remove(&order->node);
        order_free(order);
    }
    pthread_cond_destroy(&o->wake);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

void wasm_optimiser_add(struct wasm_optimiser *o, struct pw_module *module, struct slice plugin)
{
    if (!pw_module_quick(module))
        return;
    struct order *order = calloc(1, sizeof(*order));
    if (!order || !(order->plugin = slice_strdup(plugin))) {
        free(order);
        return; /* it runs slower, that is all */
    }
    order->module = pw_module_ref(module);
    list_init(&order->node);
    pthread_mutex_lock(&o->lock);
    list_push_back(&o->orders, &order->node);
    pthread_cond_signal(&o->wake);
    pthread_mutex_unlock(&o->lock);
}

void wasm_optimiser_start(struct wasm_optimiser *o)
{
    pthread_mutex_lock(&o->lock);
    if (!o->running && !list_empty(&o->orders))
        o->running = thread_create(&o->thread, optimiser_main, o) == 0;
    pthread_mutex_unlock(&o->lock);
}
