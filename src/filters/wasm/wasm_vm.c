/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a VM on a worker: taken over, ticking, failing, made again. No guest start-up code runs here;
 * the loader does that.
 */
#include "filters/wasm/wasm_vm.h"

#include "base/assert.h"
#include "base/clock.h"
#include "filters/wasm/wasm_callout.h"
#include "filters/wasm/wasm_fresh.h"
#include "filters/wasm/wasm_service_impl.h"
#include "telemetry/log.h"

#include <inttypes.h>
#include <stdlib.h>

/* The longest pause between tries to make a VM that cannot be made: 2^6 times the base. */
#define BACKOFF_DOUBLINGS_MAX 6u
#define BACKOFF_BASE_MS       1000u
/* How often a VM that others brought into quarantine looks whether its ticks and queue items may come. */
#define QUARANTINE_LOOK_MS 1000u

static void respawn(struct wasm_vm *vm);
static void run_fired(struct timer *timer);

static void drop_seats(struct wasm_vm *vm)
{
    for (uint32_t i = 0; i < WASM_GROUP_PLUGINS_MAX; i++)
        wasm_seat_destroy(&vm->seats[i]);
    free(vm->view.seats);
}

static void respawn_fired(struct timer *timer)
{
    struct wasm_vm *vm = WEIR_CONTAINER_OF(timer, struct wasm_vm, respawn_timer);
    if (vm->state == WASM_VM_BACKOFF)
        respawn(vm);
}

static void wake_waiting(struct wasm_vm *vm, bool ready)
{
    timer_stop(&vm->worker->loop, &vm->wait_timer);
    /* Those that are woken may make others wait again: take the present ones first. */
    struct list woken;
    list_init(&woken);
    list_splice_back(&woken, &vm->waiting);
    while (!list_empty(&woken)) {
        struct wasm_waiter *waiter = list_first(&woken, struct wasm_waiter, node);
        list_remove(&waiter->node);
        waiter->wake(waiter, ready);
    }
}

static void wait_fired(struct timer *timer)
{
    wake_waiting(WEIR_CONTAINER_OF(timer, struct wasm_vm, wait_timer), false);
}

static bool make_seats(struct wasm_vm *vm)
{
    vm->view.seats = calloc(vm->group->plugins_count, sizeof(*vm->view.seats));
    if (!vm->view.seats)
        return false;
    for (uint32_t i = 0; i < vm->group->plugins_count; i++) {
        struct wasm_plugin *plugin = vm->group->plugins[i];
        if (!plugin)
            continue;
        vm->seats[i] = wasm_seat_create(vm->group->service->host, plugin->name, wasm_plugin_policy(plugin));
        if (!vm->seats[i])
            return false;
    }
    return true;
}

struct wasm_vm *wasm_vm_create(struct wasm_group *group, struct wasm_instance *instance)
{
    struct wasm_vm *vm = calloc(1, sizeof(*vm));
    if (!vm)
        return NULL;
    vm->group = group;
    vm->state = WASM_VM_PREPARED;
    if (!make_seats(vm)) {
        drop_seats(vm);
        free(vm);
        return NULL;
    }
    vm->instance = *instance;
    *instance = (struct wasm_instance){0};
    list_init(&vm->waiting);
    timer_init(&vm->respawn_timer, respawn_fired);
    timer_init(&vm->wait_timer, wait_fired);
    timer_init(&vm->run_timer, run_fired);
    vm->bucket = WASM_RESPAWN_BUCKET_MAX;
    pthread_mutex_init(&vm->view.lock, NULL);
    return vm;
}

void wasm_vm_destroy(struct wasm_vm **vm)
{
    struct wasm_vm *dead = *vm;
    *vm = NULL;
    if (!dead)
        return;
    WEIR_ASSERT(dead->state == WASM_VM_PREPARED || dead->state == WASM_VM_DETACHED);
    WEIR_ASSERT(list_empty(&dead->waiting) && !dead->job);
    pw_fresh_destroy(&dead->fresh);
    wasm_instance_destroy(&dead->instance);
    drop_seats(dead);
    pthread_mutex_destroy(&dead->view.lock);
    free(dead);
}

/* --- callbacks of the library --- */

/* How long every plugin of the VM must wait for its share of time; 0: it may run. */
static uint64_t share_wait_ms(struct wasm_vm *vm)
{
    uint64_t now_ms = vm->worker->loop.now_ms;
    uint64_t wait_ms = 0;
    for (uint32_t i = 0; i < vm->group->plugins_count; i++) {
        struct wasm_seat *seat = vm->seats[i];
        if (seat && !wasm_seat_may_run(seat, now_ms) && wasm_seat_wait_ms(seat, now_ms) > wait_ms)
            wait_ms = wasm_seat_wait_ms(seat, now_ms);
    }
    return wait_ms;
}

/* The last callbacks of streams that ended meanwhile. False: a share of time is used up again. */
static bool end_retired(struct wasm_vm *vm)
{
    for (uint32_t i = 0; i < vm->group->plugins_count; i++) {
        bool more = true;
        while (more && vm->state == WASM_VM_READY && vm->instance.roots[i]) {
            if (!wasm_seat_may_run(vm->seats[i], vm->worker->loop.now_ms))
                return false;
            more = pw_root_end_retired(vm->instance.roots[i]);
        }
    }
    return true;
}

/* What other threads left for it, and what has ended, waits while the share of time is used up. */
static void run_posted(void *arg)
{
    struct wasm_vm *vm = arg;
    if (vm->state != WASM_VM_READY)
        return;
    uint64_t wait_ms = wasm_quarantine_on(&vm->group->quarantine) ? QUARANTINE_LOOK_MS : share_wait_ms(vm);
    if (wait_ms == 0 && !end_retired(vm))
        wait_ms = share_wait_ms(vm);
    if (vm->state != WASM_VM_READY)
        return;
    if (wait_ms > 0)
        timer_set(&vm->worker->loop, &vm->run_timer, wait_ms);
    else
        pw_vm_run(vm->instance.vm);
}

void wasm_vm_run_later(struct wasm_vm *vm)
{
    if (vm->state == WASM_VM_READY && !vm->closing && !timer_active(&vm->run_timer))
        timer_set(&vm->worker->loop, &vm->run_timer, share_wait_ms(vm));
}

static void run_fired(struct timer *timer)
{
    run_posted(WEIR_CONTAINER_OF(timer, struct wasm_vm, run_timer));
}

/* [any thread] The wasm_vm outlives its worker's loop, and a post to a dead loop is refused. */
static void on_wake(void *ctx)
{
    struct wasm_vm *vm = ctx;
    loop_post(&vm->worker->loop, run_posted, vm);
}

static struct wasm_root_timer *tick_of(struct wasm_vm *vm, const struct pw_root *root)
{
    for (uint32_t i = 0; i < vm->group->plugins_count; i++) {
        if (vm->instance.roots[i] == root)
            return &vm->ticks[i];
    }
    return NULL;
}

static void tick_fired(struct timer *timer)
{
    struct wasm_root_timer *tick = WEIR_CONTAINER_OF(timer, struct wasm_root_timer, timer);
    struct wasm_vm *vm = tick->vm;
    uint32_t period_ms = tick->period_ms;
    struct wasm_seat *seat = vm->seats[tick - vm->ticks];
    uint64_t now_ms = vm->worker->loop.now_ms;
    /* In quarantine the period goes on without the plugin. */
    bool quarantined = wasm_quarantine_on(&vm->group->quarantine);
    if (WEIR_UNLIKELY(quarantined || !wasm_seat_may_run(seat, now_ms))) {
        timer_set(&vm->worker->loop, timer,
                  quarantined ? QUARANTINE_LOOK_MS : wasm_seat_wait_ms(seat, now_ms));
        return;
    }
    pw_root_tick(tick->root);
    /* Armed again after the callback (ABI 3.10), unless it failed the VM or chose another period itself. */
    if (vm->state == WASM_VM_READY && tick->period_ms == period_ms && !timer_active(timer) && period_ms > 0)
        timer_set(&vm->worker->loop, timer, period_ms);
}

static void on_set_tick(void *ctx, struct pw_root *root, uint32_t period_ms)
{
    struct wasm_vm *vm = ctx;
    struct wasm_root_timer *tick = tick_of(vm, root);
    WEIR_ASSERT(tick);
    tick->period_ms = period_ms;
    if (period_ms > 0)
        timer_set(&vm->worker->loop, &tick->timer, period_ms);
    else
        timer_stop(&vm->worker->loop, &tick->timer);
}

/* Its tick may be the caller: that one sees that there is no period any more. */
static void end_root(struct wasm_vm *vm, uint32_t i)
{
    timer_stop(&vm->worker->loop, &vm->ticks[i].timer);
    vm->ticks[i].period_ms = 0;
    pw_root_destroy(&vm->instance.roots[i]);
}

static void on_root_done(void *ctx, struct pw_root *root)
{
    struct wasm_vm *vm = ctx;
    for (uint32_t i = 0; i < vm->group->plugins_count; i++) {
        if (vm->instance.roots[i] != root)
            continue;
        end_root(vm, i);
    }
}

static void stop_ticks(struct wasm_vm *vm)
{
    timer_stop(&vm->worker->loop, &vm->run_timer);
    for (uint32_t i = 0; i < vm->group->plugins_count; i++)
        timer_stop(&vm->worker->loop, &vm->ticks[i].timer);
}

/* --- failures and new lives --- */

bool wasm_vm_note_failure(struct wasm_vm *vm)
{
    struct wasm_quarantine *q = &vm->group->quarantine;
    uint64_t now_ms = monotonic_ns() / 1000000u;
    wasm_quarantine_crash(q, now_ms);
    for (uint32_t i = 0; i < vm->group->plugins_count; i++) {
        const struct wasm_seat *seat = vm->seats[i];
        if (!seat || !wasm_quarantine_begins(q, seat->policy, now_ms))
            continue;
        log_write(WASM, ERROR,
                  "plugin \"%s\" is in quarantine after %u failures within %" PRIu64
                  " s: POST /plugins/release or a new policy lets it out",
                  vm->group->plugins[i]->name, seat->policy->crash_failures,
                  seat->policy->crash_window_ms / 1000);
    }
    return !wasm_quarantine_on(q);
}

static void refill_bucket(struct wasm_vm *vm)
{
    uint64_t now = vm->worker->loop.now_ms;
    uint64_t earned = (now - vm->bucket_ms) * WASM_RESPAWN_REFILL_PER_SEC / 1000;
    if (earned == 0)
        return;
    vm->bucket = earned + vm->bucket > WASM_RESPAWN_BUCKET_MAX ? WASM_RESPAWN_BUCKET_MAX
                                                               : vm->bucket + (uint32_t)earned;
    vm->bucket_ms = now;
}

/* How long to wait before the next try; 0: now. */
static uint64_t respawn_delay_ms(struct wasm_vm *vm)
{
    uint64_t now = vm->worker->loop.now_ms;
    if (vm->failures_in_a_row > 0) {
        uint32_t doublings = vm->failures_in_a_row - 1;
        uint64_t base = vm->group->reload ? vm->group->reload_backoff_ms : BACKOFF_BASE_MS;
        return base << (doublings < BACKOFF_DOUBLINGS_MAX ? doublings : BACKOFF_DOUBLINGS_MAX);
    }
    if (vm->group->reload) {
        uint64_t next = vm->last_load_ms + vm->group->reload_backoff_ms;
        return now >= next ? 0 : next - now;
    }
    refill_bucket(vm);
    if (vm->bucket > 0) {
        vm->bucket--;
        return 0;
    }
    return 1000 / WASM_RESPAWN_REFILL_PER_SEC;
}

static void count_reload(struct wasm_vm *vm, size_t which)
{
    for (uint32_t i = 0; i < vm->group->plugins_count; i++) {
        const struct wasm_plugin *p = vm->group->plugins[i];
        const stat_id ids[] = {p->stats.vm_reload, p->stats.vm_reload_success, p->stats.vm_reload_failure};
        stat_inc(ids[which]);
    }
}

static void plan_respawn(struct wasm_vm *vm)
{
    if (!wasm_vm_note_failure(vm)) {
        vm->state = WASM_VM_QUARANTINED;
        return;
    }
    uint64_t delay_ms = respawn_delay_ms(vm);
    vm->state = WASM_VM_BACKOFF;
    if (delay_ms == 0)
        respawn(vm);
    else
        timer_set(&vm->worker->loop, &vm->respawn_timer, delay_ms);
}

static void respawn(struct wasm_vm *vm)
{
    WEIR_ASSERT(!vm->job && !vm->instance.vm);
    count_reload(vm, 0);
    vm->job = wasm_loader_submit(vm->group->service->loader, vm, vm->group, &vm->worker->loop);
    if (vm->job) {
        vm->state = WASM_VM_STARTING;
        return;
    }
    vm->failures_in_a_row++;
    timer_set(&vm->worker->loop, &vm->respawn_timer, respawn_delay_ms(vm));
}

static void on_failed(void *ctx, const struct pw_failure *failure)
{
    struct wasm_vm *vm = ctx;
    WEIR_ASSERT(vm->state == WASM_VM_READY);
    if (failure->error == PW_ERR_TIMEOUT)
        vm->counts.timeouts++;
    else
        vm->counts.traps++;
    stop_ticks(vm);
    struct pw_vm_stats stats;
    pw_vm_stats(vm->instance.vm, &stats);
    vm->past.calls += stats.calls;
    vm->past.host_calls += stats.host_calls;
    vm->past.time_ns += stats.time_ns;
    vm->past.callouts_started += stats.callouts_started;
    wasm_instance_destroy(&vm->instance);
    stat_dec(vm->group->active);
    if (vm->closing)
        vm->state = WASM_VM_BACKOFF; /* no other life */
    else
        plan_respawn(vm);
    wasm_vm_publish(vm);
}

static const struct pw_vm_ops vm_ops = {
    .size = sizeof(vm_ops),
    .wake = on_wake,
    .failed = on_failed,
    .set_tick = on_set_tick,
    .root_done = on_root_done,
    .callouts = &wasm_callout_ops,
};

/* --- taking over and giving back --- */

static void take_over(struct wasm_vm *vm)
{
    for (uint32_t i = 0; i < vm->group->plugins_count; i++) {
        struct wasm_root_timer *tick = &vm->ticks[i];
        timer_init(&tick->timer, tick_fired);
        *tick = (struct wasm_root_timer){tick->timer, vm, vm->instance.roots[i], 0};
        list_init(&tick->timer.node);
        if (vm->instance.roots[i])
            pw_root_set_costs(vm->instance.roots[i], &vm->seats[i]->costs);
    }
    vm->state = WASM_VM_READY;
    vm->last_load_ms = vm->worker->loop.now_ms;
    pw_vm_attach(vm->instance.vm, &vm_ops, vm);
    _Static_assert(PW_LAP_OFF == false && PW_LAP_ON == true, "fm_laps writes a bool");
    pw_vm_set_lap(vm->instance.vm, &vm->worker->filter_lap);
}

void wasm_vm_attach(struct wasm_vm *vm, struct worker *worker)
{
    WEIR_ASSERT(vm->state == WASM_VM_PREPARED && !vm->worker);
    vm->worker = worker;
    vm->bucket_ms = worker->loop.now_ms;
    take_over(vm);
    wasm_vm_publish(vm);
}

void wasm_vm_take_policies(struct wasm_vm *vm)
{
    struct pw_limits limits;
    for (uint32_t i = 0; i < vm->group->plugins_count; i++) {
        if (vm->seats[i])
            wasm_seat_set_policy(vm->seats[i], wasm_plugin_policy(vm->group->plugins[i]));
    }
    wasm_fresh_take_limits(vm);
    if (vm->state != WASM_VM_READY)
        return; /* the next VM is made with them */
    wasm_group_limits(vm->group, &limits);
    pw_vm_set_limits(vm->instance.vm, &limits);
}

bool wasm_vm_fails_open(const struct wasm_vm *vm, const struct wasm_plugin *plugin)
{
    switch (vm->seats[plugin->index_in_group]->policy->fallback) {
    case WASM_FALLBACK_OPEN:
        return true;
    case WASM_FALLBACK_CLOSED:
        return false;
    case WASM_FALLBACK_AS_PLUGIN:
        break;
    }
    return plugin->failure_policy == WASM_FAIL_OPEN;
}

void wasm_vm_released(struct wasm_vm *vm)
{
    if (vm->state == WASM_VM_QUARANTINED)
        respawn(vm);
    wasm_vm_publish(vm);
}

void wasm_vm_job_done(struct wasm_vm *vm, struct wasm_job *job)
{
    WEIR_ASSERT(vm->job == job && vm->state == WASM_VM_STARTING);
    vm->job = NULL;
    if (job->error == PW_OK) {
        vm->instance = job->instance;
        job->instance = (struct wasm_instance){0};
        vm->failures_in_a_row = 0;
        vm->counts.respawns++;
        count_reload(vm, 1);
        take_over(vm);
        log_write(WASM, INFO, "plugin \"%s\": a new VM serves on worker %u", vm->group->plugins[0]->name,
                  vm->worker->index);
        wake_waiting(vm, true);
    } else {
        vm->failures_in_a_row++;
        count_reload(vm, 2);
        log_write(WASM, ERROR, "no new VM on worker %u: %s", vm->worker->index, job->why.text);
        plan_respawn(vm);
        wake_waiting(vm, false);
    }
    wasm_vm_publish(vm);
}

void wasm_vm_shutdown(struct wasm_vm *vm)
{
    if (vm->state == WASM_VM_PREPARED)
        return;
    vm->closing = true;
    vm->closing_ns = monotonic_ns();
    if (vm->job)
        wasm_loader_cancel(vm->group->service->loader, vm->job);
    vm->job = NULL;
    timer_stop(&vm->worker->loop, &vm->respawn_timer);
    wake_waiting(vm, false);
    for (uint32_t i = 0; vm->state == WASM_VM_READY && i < vm->group->plugins_count; i++) {
        if (vm->instance.roots[i] && pw_root_shutdown(vm->instance.roots[i]) && vm->state == WASM_VM_READY)
            end_root(vm, i);
    }
}

static bool wants_time(const struct wasm_vm *vm, uint32_t i)
{
    return vm->state == WASM_VM_READY && vm->instance.roots[i];
}

uint64_t wasm_vm_done_left_ms(const struct wasm_vm *vm)
{
    uint64_t max_ms = 0, took_ms = (monotonic_ns() - vm->closing_ns) / 1000000u;
    for (uint32_t i = 0; i < vm->group->plugins_count; i++) {
        if (wants_time(vm, i) && vm->seats[i]->policy->done_max_ms > max_ms)
            max_ms = vm->seats[i]->policy->done_max_ms;
    }
    return max_ms > took_ms ? max_ms - took_ms : 0;
}

void wasm_vm_detach(struct wasm_vm *vm)
{
    if (vm->state == WASM_VM_PREPARED)
        return;
    WEIR_ASSERT(vm->closing && !vm->job);
    for (uint32_t i = 0; i < vm->group->plugins_count; i++) {
        if (wants_time(vm, i))
            log_write(WASM, WARN, "plugin \"%s\" on worker %u did not call proxy_done within %" PRIu64 " ms",
                      vm->group->plugins[i]->name, vm->worker->index, vm->seats[i]->policy->done_max_ms);
    }
    if (vm->state == WASM_VM_READY) {
        stop_ticks(vm); /* on_done may have asked for one more */
        stat_dec(vm->group->active);
    }
    timer_stop(&vm->worker->loop, &vm->respawn_timer);
    vm->state = WASM_VM_DETACHED;
    wasm_fresh_close(vm);
    wasm_instance_destroy(&vm->instance);
    wasm_vm_publish(vm);
}

void wasm_vm_publish(struct wasm_vm *vm)
{
    struct pw_vm_stats stats = {0};
    if (vm->instance.vm)
        pw_vm_stats(vm->instance.vm, &stats);
    stats.calls += vm->past.calls;
    stats.host_calls += vm->past.host_calls;
    stats.time_ns += vm->past.time_ns;
    stats.callouts_started += vm->past.callouts_started;
    wasm_fresh_add_stats(vm, &stats);
    pthread_mutex_lock(&vm->view.lock);
    vm->view.state = vm->state;
    vm->view.alive = vm->instance.vm != NULL;
    vm->view.stats = stats;
    vm->view.counts = vm->counts;
    for (uint32_t i = 0; i < vm->group->plugins_count; i++) {
        if (vm->seats[i])
            vm->view.seats[i] = (struct wasm_seat_view){vm->seats[i]->costs, vm->seats[i]->counts};
    }
    pthread_mutex_unlock(&vm->view.lock);
}

void wasm_vm_wait(struct wasm_vm *vm, struct wasm_waiter *waiter)
{
    WEIR_ASSERT(vm->state == WASM_VM_STARTING);
    if (list_empty(&vm->waiting))
        timer_set(&vm->worker->loop, &vm->wait_timer, WASM_START_WAIT_MS);
    list_push_back(&vm->waiting, &waiter->node);
}
