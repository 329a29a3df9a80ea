/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's Proxy-Wasm host: engines, modules, watchdog; and the preparation of VMs before a
 * configuration is accepted. Must never run guest code on a worker, except what a worker's own events call
 * for.
 */
#include "filters/wasm/wasm_service.h"

#include "base/assert.h"
#include "filters/wasm/wasm_fresh.h"
#include "filters/wasm/wasm_host.h"
#include "filters/wasm/wasm_optimiser.h"
#include "filters/wasm/wasm_service_impl.h"
#include "filters/wasm/wasm_vm.h"

#include <stdio.h>
#include <stdlib.h>

/* From here on a module is compiled quickly first: with care it would take seconds (docs/performance.md). */
#define QUICK_BYTES_MIN (UINT64_C(4) << 20)

/* Fresh VMs that live at the same time, of all plugins and workers: addresses (4 GiB each), not memory. */
#define POOL_SLOTS 4096u
/* A slot may hold all that a 32-bit memory can be: the plugin's own limit is below. */
#define POOL_MEMORY_BYTES (UINT64_C(4) << 30)

static int create_engines(struct wasm_service *s, struct pw_message *why)
{
    struct pw_engine_config config = {
        .size = sizeof(config), .interruptible = true, .quick_bytes_min = QUICK_BYTES_MIN};
    int error = pw_engine_create(s->host, "wasmtime", &config, &s->sandbox, why);
    if (error == PW_OK)
        error = pw_engine_create(s->host, "null", &config, &s->null, why);
    return error;
}

/* Who has no plugin is not woken for time limits. Before the first module is loaded. */
static int watch_sandbox(struct wasm_service *s)
{
    return s->watchdog ? PW_OK : pw_watchdog_start(s->sandbox, &s->watchdog);
}

struct wasm_service *wasm_service_create(const struct wasm_service_options *options, struct pw_message *why)
{
    struct wasm_service *s = calloc(1, sizeof(*s));
    struct pw_posix_config posix = {
        .size = sizeof(posix),
        .cache_dir = options->cache_dir,
        .native_dir = options->native_dir,
        .compiler = options->compiler,
        .compile_memory_max_bytes = options->compile_memory_max_bytes,
        .compile_cpu_max_s = options->compile_cpu_max_s,
        .compile_time_max_s = options->compile_time_max_s,
    };
    int error = s ? pw_posix_create(&posix, &s->posix, why) : PW_ERR_NOMEM;
    if (s) {
        list_init(&s->groups);
        pthread_mutex_init(&s->attached_lock, NULL);
        pthread_mutex_init(&s->policy_lock, NULL);
        s->workers = options->workers;
        s->stream_vms = options->stream_vms ? options->stream_vms : POOL_SLOTS;
        s->attached = calloc(options->workers + 1, sizeof(*s->attached));
    }
    if (error == PW_OK) {
        s->host = wasm_host_create(s->posix);
        s->loader = wasm_loader_create();
        s->optimiser = wasm_optimiser_create(s->posix);
        error = s->attached && s->host && s->loader && s->optimiser ? create_engines(s, why) : PW_ERR_NOMEM;
    }
    if (error == PW_OK)
        return s;
    if (!why->text[0])
        snprintf(why->text, sizeof(why->text), "%s", pw_error_str(error));
    if (s)
        wasm_service_destroy(&s);
    return NULL;
}

void wasm_service_stop(struct wasm_service *service)
{
    wasm_loader_destroy(&service->loader);
}

void wasm_service_destroy(struct wasm_service **service)
{
    struct wasm_service *s = *service;
    *service = NULL;
    if (!s)
        return;
    wasm_optimiser_destroy(&s->optimiser);
    wasm_service_stop(s);
    WEIR_ASSERT(list_empty(&s->groups));
    if (s->watchdog)
        pw_watchdog_stop(&s->watchdog);
    if (s->pool_watchdog)
        pw_watchdog_stop(&s->pool_watchdog);
    if (s->pool)
        pw_engine_destroy(&s->pool);
    if (s->sandbox)
        pw_engine_destroy(&s->sandbox);
    if (s->unchecked)
        pw_engine_destroy(&s->unchecked);
    if (s->null)
        pw_engine_destroy(&s->null);
    if (s->host)
        pw_host_destroy(&s->host);
    if (s->posix)
        pw_posix_destroy(&s->posix);
    pthread_mutex_destroy(&s->attached_lock);
    pthread_mutex_destroy(&s->policy_lock);
    free(s->attached);
    free(s);
}

static int engine_of(struct wasm_service *s, enum wasm_engine_kind kind, struct pw_engine **out,
                     struct pw_message *why)
{
    const struct pw_engine_config config = {.size = sizeof(config), .quick_bytes_min = QUICK_BYTES_MIN};
    int error = PW_OK;
    if (kind == WASM_UNCHECKED && !s->unchecked)
        error = pw_engine_create(s->host, "wasmtime", &config, &s->unchecked, why);
    if (kind == WASM_SANDBOX)
        error = watch_sandbox(s);
    *out = kind == WASM_NULL ? s->null : kind == WASM_UNCHECKED ? s->unchecked : s->sandbox;
    return error;
}

int wasm_service_module(struct wasm_service *service, enum wasm_engine_kind kind, struct slice name,
                        struct slice code, struct pw_module **out, struct pw_message *why)
{
    const struct pw_slice bytes = {code.ptr, code.len};
    struct list *node, *tmp;
    list_for_each(node, tmp, &service->groups)
    {
        struct wasm_group *g = list_entry(node, struct wasm_group, node);
        /* Not of a quick compilation: the better code may be in the cache by now. */
        if (g->engine == (int)kind && !g->stream && !pw_module_quick(g->module) &&
            pw_module_is(g->module, bytes)) {
            *out = pw_module_ref(g->module);
            return PW_OK;
        }
    }
    struct pw_engine *engine;
    int error = engine_of(service, kind, &engine, why);
    if (error != PW_OK)
        return error;
    error = pw_module_load(engine, (struct pw_slice){name.ptr, name.len}, bytes, out, why);
    if (error == PW_OK)
        wasm_optimiser_add(service->optimiser, *out, name);
    return error;
}

static int create_pool(struct wasm_service *s, struct pw_message *why)
{
    struct pw_engine_config config = {
        .size = sizeof(config),
        .interruptible = true,
        .quick_bytes_min = QUICK_BYTES_MIN,
        .pool_slots = s->stream_vms,
        .pool_memory_bytes = POOL_MEMORY_BYTES,
    };
    if (s->pool)
        return PW_OK;
    int error = pw_engine_create(s->host, "wasmtime", &config, &s->pool, why);
    if (error == PW_OK)
        error = pw_watchdog_start(s->pool, &s->pool_watchdog);
    return error;
}

int wasm_service_model(struct wasm_service *service, bool is_null, struct slice name, struct slice code,
                       struct pw_module **out, struct pw_message *why)
{
    int error = create_pool(service, why);
    if (error == PW_OK && !is_null)
        error = watch_sandbox(service);
    if (error != PW_OK)
        return error;
    /* The VM that it makes only ticks: its code is not worth optimising. */
    return pw_module_load_instrumented(is_null ? service->null : service->sandbox,
                                       (struct pw_slice){name.ptr, name.len},
                                       (struct pw_slice){code.ptr, code.len}, out, why);
}

/* All VMs of one group, or none. */
static bool prepare_group(struct wasm_service *s, struct wasm_group *g, struct pw_message *why)
{
    bool ok = true;
    struct wasm_vm **vms = calloc(s->workers + 1, sizeof(*vms));
    uint32_t first = g->singleton ? s->workers : 0, end = g->singleton ? s->workers + 1 : s->workers;
    struct wasm_instance *instance = calloc(1, sizeof(*instance));
    if (!vms || !instance) {
        snprintf(why->text, sizeof(why->text), "out of memory");
        ok = false;
    }
    for (uint32_t i = first; ok && i < end; i++) {
        ok = wasm_instance_create(g, instance, why) == PW_OK;
        if (ok && g->stream && !g->snapshot)
            ok = wasm_fresh_snapshot(g, instance, why);
        if (ok && !(vms[i] = wasm_vm_create(g, instance))) {
            snprintf(why->text, sizeof(why->text), "out of memory");
            ok = false;
        }
        ok = ok && wasm_fresh_open(vms[i], why);
    }
    if (instance)
        wasm_instance_destroy(instance);
    free(instance);
    if (ok) {
        g->vms = vms;
        return true;
    }
    for (uint32_t i = 0; vms && i < end; i++)
        wasm_vm_destroy(&vms[i]);
    free(vms);
    return false;
}

bool wasm_service_prepare(struct wasm_service *service, struct pw_message *why)
{
    struct list *node, *tmp;
    list_for_each(node, tmp, &service->groups)
    {
        struct wasm_group *g = list_entry(node, struct wasm_group, node);
        if (!g->vms && !prepare_group(service, g, why))
            return false;
    }
    wasm_optimiser_start(service->optimiser);
    return true;
}

void wasm_service_attach(struct wasm_service *service, struct worker *worker)
{
    struct list *node, *tmp;
    WEIR_ASSERT(worker->index <= service->workers);
    list_for_each(node, tmp, &service->groups)
    {
        struct wasm_group *g = list_entry(node, struct wasm_group, node);
        WEIR_ASSERT(g->vms);
        if (g->vms[worker->index])
            wasm_vm_attach(g->vms[worker->index], worker);
    }
    pthread_mutex_lock(&service->attached_lock);
    service->attached[worker->index] = (struct wasm_attached){service, worker};
    pthread_mutex_unlock(&service->attached_lock);
}

struct ending {
    struct wasm_service *service;
    uint32_t index;
};

/* Until the first of those that are waited for has had its time; 0: nobody is. */
static uint64_t done_left_ms(const struct ending *e)
{
    uint64_t first_ms = 0;
    struct list *node, *tmp;
    list_for_each(node, tmp, &e->service->groups)
    {
        struct wasm_vm *vm = list_entry(node, struct wasm_group, node)->vms[e->index];
        uint64_t left_ms = vm ? wasm_vm_done_left_ms(vm) : 0;
        if (left_ms > 0 && (first_ms == 0 || left_ms < first_ms))
            first_ms = left_ms;
    }
    return first_ms;
}

static bool all_done(void *arg)
{
    return done_left_ms(arg) == 0;
}

void wasm_service_detach(struct wasm_service *service, struct worker *worker)
{
    struct ending ending = {service, worker->index};
    struct list *node, *tmp;
    pthread_mutex_lock(&service->attached_lock);
    service->attached[worker->index].worker = NULL;
    pthread_mutex_unlock(&service->attached_lock);
    list_for_each(node, tmp, &service->groups)
    {
        struct wasm_vm *vm = list_entry(node, struct wasm_group, node)->vms[worker->index];
        if (vm)
            wasm_vm_shutdown(vm);
    }
    /* Ticks and answers of calls still come to roots that asked for time. */
    for (uint64_t ms; (ms = done_left_ms(&ending)) > 0;)
        loop_linger(&worker->loop, ms, all_done, &ending);
    list_for_each(node, tmp, &service->groups)
    {
        struct wasm_vm *vm = list_entry(node, struct wasm_group, node)->vms[worker->index];
        if (vm)
            wasm_vm_detach(vm);
    }
}

bool wasm_service_has_singletons(const struct wasm_service *service)
{
    struct list *node, *tmp;
    list_for_each(node, tmp, &service->groups)
    {
        if (list_entry(node, struct wasm_group, node)->singleton)
            return true;
    }
    return false;
}
