/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /plugins shows. The admin thread asks every worker to publish the numbers of its VMs and waits for a
 * moment; a worker that is stuck does not hold the page up.
 */
#include "base/assert.h"
#include "filters/wasm/wasm_group.h"
#include "filters/wasm/wasm_service_impl.h"
#include "filters/wasm/wasm_vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ANSWER_WAIT_SEC 1

/* Shared by the asking thread and the posts; the last one frees it. */
struct question {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct wasm_service *service;
    uint32_t refs;
    uint32_t missing;
};

struct ask {
    struct question *question;
    struct worker *worker;
};

static void question_unref_locked(struct question *q)
{
    bool last = --q->refs == 0;
    pthread_mutex_unlock(&q->lock);
    if (!last)
        return;
    pthread_cond_destroy(&q->answered);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* On a worker. */
static void answer(void *arg)
{
    struct ask a = *(struct ask *)arg;
    free(arg);
    struct list *node, *tmp;
    list_for_each(node, tmp, &a.question->service->groups)
    {
        struct wasm_vm *vm = list_entry(node, struct wasm_group, node)->vms[a.worker->index];
        if (vm)
            wasm_vm_publish(vm);
    }
    pthread_mutex_lock(&a.question->lock);
    a.question->missing--;
    pthread_cond_signal(&a.question->answered);
    question_unref_locked(a.question);
}

/* The worker's loop has ended. */
static void no_answer(void *arg)
{
    struct question *q = ((struct ask *)arg)->question;
    free(arg);
    pthread_mutex_lock(&q->lock);
    q->missing--;
    pthread_cond_signal(&q->answered);
    question_unref_locked(q);
}

static void ask_worker(struct question *q, struct worker *worker)
{
    struct ask *a = malloc(sizeof(*a));
    if (!a)
        return;
    *a = (struct ask){q, worker};
    q->refs++;
    q->missing++;
    if (!loop_post_owned(&worker->loop, answer, no_answer, a)) {
        q->refs--;
        q->missing--;
        free(a);
    }
}

/* Returns how many workers did not answer. */
static uint32_t ask_all(struct wasm_service *s)
{
    struct question *q = calloc(1, sizeof(*q));
    if (!q)
        return s->workers;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->answered, NULL);
    q->service = s;
    q->refs = 1;
    pthread_mutex_lock(&q->lock);
    pthread_mutex_lock(&s->attached_lock);
    for (uint32_t i = 0; i <= s->workers; i++) {
        if (s->attached[i].worker)
            ask_worker(q, s->attached[i].worker);
    }
    pthread_mutex_unlock(&s->attached_lock);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ANSWER_WAIT_SEC;
    while (q->missing > 0 && pthread_cond_timedwait(&q->answered, &q->lock, &until) == 0) {
    }
    uint32_t silent = q->missing;
    question_unref_locked(q);
    return silent;
}

static const char *const state_names[] = {
    [WASM_VM_PREPARED] = "prepared",       [WASM_VM_READY] = "ready",
    [WASM_VM_STARTING] = "starting",       [WASM_VM_BACKOFF] = "backoff",
    [WASM_VM_QUARANTINED] = "quarantined", [WASM_VM_DETACHED] = "detached",
};

/* All members of both are counters. */
static void add_counters(void *to, const void *from, size_t bytes)
{
    uint64_t *sum = to;
    const uint64_t *more = from;
    for (size_t i = 0; i < bytes / sizeof(*sum); i++)
        sum[i] += more[i];
}

/* Adds one worker's VM to the sums. */
static void add_view(struct wasm_plugin_report *r, struct pw_costs *costs, uint32_t index,
                     enum wasm_vm_state *worst, struct wasm_vm_view *view)
{
    pthread_mutex_lock(&view->lock);
    add_counters(costs, &view->seats[index].costs, sizeof(*costs));
    add_counters(&r->seats, &view->seats[index].counts, sizeof(r->seats));
    r->vms += view->alive;
    r->memory_bytes += view->stats.memory_bytes;
    r->host_bytes += view->stats.host_bytes;
    r->streams += view->stats.streams;
    r->callouts_active += view->stats.callouts;
    r->callout_bytes += view->stats.callout_bytes;
    r->callouts_started += view->stats.callouts_started;
    r->calls += view->stats.calls;
    r->host_calls += view->stats.host_calls;
    r->time_ns += view->stats.time_ns;
    r->traps += view->counts.traps;
    r->timeouts += view->counts.timeouts;
    r->respawns += view->counts.respawns;
    if (*worst == WASM_VM_READY || view->state == WASM_VM_BACKOFF || view->state == WASM_VM_QUARANTINED)
        *worst = view->state;
    pthread_mutex_unlock(&view->lock);
}

static const char *policy_name(const struct wasm_plugin *p)
{
    static const char *const names[] = {"FAIL_CLOSED", "FAIL_OPEN", "FAIL_RELOAD"};
    return names[p->failure_policy];
}

static void report_plugin(struct wasm_group *g, struct wasm_plugin *p, uint32_t silent,
                          void (*fn)(void *arg, const struct wasm_plugin_report *report), void *arg)
{
    static const char *const abis[] = {"0.1.0", "0.2.0", "0.2.1"};
    const struct pw_module_info *info = pw_module_info(g->module);
    struct pw_costs costs = {0};
    struct wasm_policy *policy = wasm_plugin_policy(p);
    struct wasm_plugin_report r = {
        .name = p->name,
        .root_id = p->root_id,
        .vm_id = g->vm_config.vm_id.ptr,
        .runtime = g->runtime.ptr,
        .engine = g->is_null ? "null" : "wasmtime",
        .sha256 = info->sha256,
        .abi = abis[info->abi],
        .failure_policy = policy_name(p),
        .policy_rule = policy->rule.ptr,
        .policy = policy,
        .costs = &costs,
        .quarantines = atomic_load_explicit(&g->quarantine.times, memory_order_relaxed),
        .code_bytes = info->code_bytes,
        .load_ns = info->load_ns,
        .from_cache = info->from_cache,
        .workers_silent = silent,
    };
    enum wasm_vm_state worst = WASM_VM_READY;
    for (uint32_t i = 0; g->vms && i <= g->service->workers; i++) {
        if (g->vms[i])
            add_view(&r, &costs, p->index_in_group, &worst, &g->vms[i]->view);
    }
    r.state = state_names[wasm_quarantine_on(&g->quarantine) ? WASM_VM_QUARANTINED : worst];
    fn(arg, &r);
    wasm_policy_unref(&policy);
}

uint64_t wasm_service_ns(const struct wasm_service *service, uint64_t cycles)
{
    return pw_host_cycles_to_ns(service->host, cycles);
}

void wasm_service_report(struct wasm_service *service,
                         void (*fn)(void *arg, const struct wasm_plugin_report *report), void *arg)
{
    struct list *node, *tmp;
    uint32_t silent = ask_all(service);
    list_for_each(node, tmp, &service->groups)
    {
        struct wasm_group *g = list_entry(node, struct wasm_group, node);
        for (uint32_t i = 0; i < g->plugins_count; i++) {
            if (g->plugins[i])
                report_plugin(g, g->plugins[i], silent, fn, arg);
        }
    }
}
