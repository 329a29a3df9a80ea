/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wasm network filter: events of a connection become the ABI's TCP callbacks (3.17), and a VM that dies
 * becomes the failure policy. It must never leave a connection waiting for a VM that is gone, nor let a byte
 * pass that a closed plugin has not seen.
 */
#include "filters/wasm/wasm_network_filter.h"

#include "base/assert.h"
#include "filters/wasm/wasm_attributes.h"
#include "filters/wasm/wasm_filter.h"
#include "filters/wasm/wasm_fresh.h"
#include "filters/wasm/wasm_group.h"
#include "net/worker.h"
#include "proxy/listener/network_chain.h"
#include "telemetry/log.h"

struct wasm_tcp {
    struct wasm_target target; /* first: foreign functions find it */
    struct network_filter *filter;
    struct wasm_plugin *plugin;
    struct wasm_vm *vm;
    struct wasm_policy *policy; /* a reference, from the context's start */
    struct pw_stream *pw;       /* NULL: no context (not yet, or its VM is gone) */
    struct timer pause_timer;   /* the plugin keeps a new connection, or a side's last bytes */
    struct wasm_waiter waiting; /* the connection is new, and the VM is being made */
    struct timer later_timer;   /* data waits for the plugin to have time */
    uint64_t later_ms;          /* loop time since which it does; 0: none does */
    bool later[NETWORK_DIRECTIONS];
    bool passed[NETWORK_DIRECTIONS]; /* some bytes went on when the plugin had seen them */
    bool waits;
    bool in_call; /* a callback of this connection is on the stack */
    bool failed;  /* the VM died under it */
    bool bypass;  /* fail-open: the plugin is not there for the rest of the connection */
    bool upstream_ended;
};

static struct wasm_tcp *state_of(struct network_filter *f)
{
    return f->state;
}

/* --- failure --- */

static struct wasm_seat *seat_of(const struct wasm_tcp *t)
{
    return t->vm->seats[t->plugin->index_in_group];
}

static struct loop *loop_of(const struct wasm_tcp *t)
{
    return &t->vm->worker->loop;
}

/* Whether its plugin has time left in this second. */
static bool may_run(const struct wasm_tcp *t)
{
    return wasm_seat_may_run(seat_of(t), loop_of(t)->now_ms);
}

/* The plugin cannot run for this connection (any more). Outside of its callbacks this also gets what was
 * stopped going. */
static void apply_policy(struct wasm_tcp *t)
{
    t->failed = true;
    timer_stop(loop_of(t), &t->pause_timer);
    timer_stop(loop_of(t), &t->later_timer);
    if (!wasm_vm_fails_open(t->vm, t->plugin)) {
        network_filter_close(t->filter, CONN_CLOSE_FLUSH);
        return;
    }
    t->bypass = true;
    if (t->in_call)
        return;
    network_filter_continue(t->filter, NETWORK_DOWNSTREAM_DATA);
    network_filter_continue(t->filter, NETWORK_UPSTREAM_DATA);
}

static enum network_status status_of(struct wasm_tcp *t, enum pw_action action)
{
    if (t->failed || action == PW_ACTION_VM_FAILED) {
        apply_policy(t);
        return t->bypass ? NETWORK_CONTINUE : NETWORK_STOP;
    }
    return action == PW_ACTION_CONTINUE ? NETWORK_CONTINUE : NETWORK_STOP;
}

/* Its last callbacks wait for the plugin's share of time. */
static void retire(struct wasm_tcp *t)
{
    pw_stream_retire(&t->pw);
    wasm_vm_run_later(t->vm);
}

/* The plugin is not asked any more about this connection; its VM lives on. */
static void take_away(struct wasm_tcp *t)
{
    t->failed = true;
    if (t->pw && may_run(t))
        pw_stream_destroy(&t->pw);
    else if (t->pw)
        retire(t);
}

static void give_up(struct wasm_tcp *t)
{
    seat_of(t)->counts.pauses_ended++;
    take_away(t);
    apply_policy(t);
}

static void pause_fired(struct timer *timer)
{
    give_up(WEIR_CONTAINER_OF(timer, struct wasm_tcp, pause_timer));
}

/* --- the share of time --- */

static void later_fired(struct timer *timer)
{
    struct wasm_tcp *t = WEIR_CONTAINER_OF(timer, struct wasm_tcp, later_timer);
    uint64_t now_ms = loop_of(t)->now_ms, max_ms = seat_of(t)->policy->pause_max_ms;
    if (max_ms > 0 && now_ms - t->later_ms >= max_ms) {
        give_up(t);
        return;
    }
    if (!may_run(t)) {
        timer_set(loop_of(t), timer, wasm_seat_wait_ms(seat_of(t), now_ms));
        return;
    }
    t->later_ms = 0;
    for (int d = 0; d < NETWORK_DIRECTIONS; d++) {
        if (t->later[d])
            network_filter_ask_again(t->filter, (enum network_direction)d);
        t->later[d] = false;
    }
}

/* No share is left. A plugin that may be left out is, where it has let nothing pass yet; else the data waits.
 */
static bool waits_for_share(struct wasm_tcp *t, enum network_direction d)
{
    uint64_t now_ms = loop_of(t)->now_ms;
    if (wasm_vm_fails_open(t->vm, t->plugin) && !t->passed[d])
        return false;
    seat_of(t)->counts.streams_delayed += t->later_ms == 0;
    t->later_ms = t->later_ms ? t->later_ms : now_ms;
    t->later[d] = true;
    if (!timer_active(&t->later_timer))
        timer_set(loop_of(t), &t->later_timer, wasm_seat_wait_ms(seat_of(t), now_ms));
    return true;
}

/* Between two pieces of a message a plugin may wait for as long as the peers do. When nothing more comes,
 * or before anything has, only the plugin itself can go on: that has its time. */
static void watch_pause(struct wasm_tcp *t, enum network_status status, bool watch)
{
    struct loop *loop = loop_of(t);
    uint64_t max_ms = t->failed ? 0 : seat_of(t)->policy->pause_max_ms;
    if (status == NETWORK_CONTINUE)
        timer_stop(loop, &t->pause_timer);
    else if (watch && max_ms > 0)
        timer_set(loop, &t->pause_timer, max_ms);
}

/* --- what the plugin reaches --- */

static struct chain *chain_of(struct wasm_tcp *t, enum pw_buffer buffer)
{
    switch (buffer) {
    case PW_BUFFER_DOWNSTREAM_DATA:
        return &t->filter->stages[NETWORK_DOWNSTREAM_DATA].held;
    case PW_BUFFER_UPSTREAM_DATA:
        return &t->filter->stages[NETWORK_UPSTREAM_DATA].held;
    default:
        return NULL;
    }
}

static size_t buffer_size(void *ctx, enum pw_buffer buffer)
{
    const struct chain *c = chain_of(ctx, buffer);
    return c ? c->bytes : 0;
}

static size_t buffer_copy(void *ctx, enum pw_buffer buffer, size_t offset, void *dst, size_t len)
{
    const struct chain *c = chain_of(ctx, buffer);
    return c ? chain_copy_out(c, offset, dst, len) : 0;
}

static enum pw_status buffer_splice(void *ctx, enum pw_buffer buffer, size_t offset, size_t remove,
                                    struct pw_slice bytes)
{
    struct wasm_tcp *t = ctx;
    struct chain *c = chain_of(t, buffer);
    if (!c)
        return PW_STATUS_BAD_ARGUMENT;
    return wasm_splice(c, &t->vm->worker->loop.blocks, offset, remove, from_pw(bytes));
}

static struct wasm_scope scope_of(struct wasm_tcp *t)
{
    struct stream *s = network_filter_stream(t->filter);
    return (struct wasm_scope){
        .plugin = t->plugin,
        .info = &s->info,
        .state = &s->filter_state,
        .worker = s->worker,
        .filter_chain_name = t->filter->chain->name,
    };
}

static enum pw_status property_get(void *ctx, struct pw_slice path, struct pw_value *out)
{
    struct wasm_tcp *t = ctx;
    const struct wasm_scope scope = scope_of(t);
    if (t->policy->hides &&
        wasm_view_hides_property(t->policy, from_pw(path), wasm_scope_cluster_name(&scope)))
        return PW_STATUS_NOT_FOUND;
    return wasm_attribute_get(&scope, from_pw(path), out);
}

static enum pw_status property_set(void *ctx, struct pw_slice path, struct pw_slice value)
{
    struct wasm_tcp *t = ctx;
    if (t->policy->hides && wasm_policy_hides_property(t->policy, from_pw(path)))
        return PW_STATUS_OK;
    return wasm_attribute_set(t->target.state, t->vm->instance.roots[t->plugin->index_in_group],
                              from_pw(path), from_pw(value));
}

static void continue_stream(void *ctx, enum pw_stream_type type)
{
    struct wasm_tcp *t = ctx;
    timer_stop(&t->vm->worker->loop, &t->pause_timer);
    if (type == PW_STREAM_DOWNSTREAM)
        network_filter_continue(t->filter, NETWORK_DOWNSTREAM_DATA);
    else if (type == PW_STREAM_UPSTREAM)
        network_filter_continue(t->filter, NETWORK_UPSTREAM_DATA);
}

static void close_stream(void *ctx, enum pw_stream_type type)
{
    struct wasm_tcp *t = ctx;
    if (type == PW_STREAM_DOWNSTREAM || type == PW_STREAM_UPSTREAM)
        network_filter_close(t->filter, CONN_CLOSE_FLUSH);
}

static void vm_failed(void *ctx)
{
    struct wasm_tcp *t = ctx;
    t->failed = true;
    if (t->pw)
        pw_stream_destroy(&t->pw);
    /* Inside a callback the caller applies the policy by its return value. */
    if (!t->in_call)
        apply_policy(t);
}

/* --- header maps and replies, which a connection does not have --- */

static bool map_exists(void *ctx, enum pw_map map)
{
    (void)ctx;
    (void)map;
    return false;
}

static size_t map_none(void *ctx, enum pw_map map)
{
    (void)ctx;
    (void)map;
    return 0;
}

static bool map_next(void *ctx, enum pw_map map, size_t *cursor, struct pw_pair *out)
{
    (void)ctx;
    (void)map;
    (void)cursor;
    (void)out;
    return false;
}

static bool map_get(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice *value)
{
    (void)ctx;
    (void)map;
    (void)name;
    (void)value;
    return false;
}

static enum pw_status map_write(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value)
{
    (void)ctx;
    (void)map;
    (void)name;
    (void)value;
    return PW_STATUS_BAD_ARGUMENT;
}

static enum pw_status map_remove(void *ctx, enum pw_map map, struct pw_slice name)
{
    (void)ctx;
    (void)map;
    (void)name;
    return PW_STATUS_BAD_ARGUMENT;
}

static enum pw_status map_set(void *ctx, enum pw_map map, const struct pw_pair *pairs, size_t count)
{
    (void)ctx;
    (void)map;
    (void)pairs;
    (void)count;
    return PW_STATUS_BAD_ARGUMENT;
}

static void clear_route_cache(void *ctx)
{
    (void)ctx;
}

static void local_reply(void *ctx, const struct pw_local_reply *reply)
{
    (void)ctx;
    (void)reply;
}

static const struct pw_stream_ops tcp_ops = {
    .size = sizeof(tcp_ops),
    .map_exists = map_exists,
    .map_count = map_none,
    .map_bytes = map_none,
    .map_next = map_next,
    .map_get = map_get,
    .map_add = map_write,
    .map_replace = map_write,
    .map_remove = map_remove,
    .map_set = map_set,
    .buffer_size = buffer_size,
    .buffer_copy = buffer_copy,
    .buffer_splice = buffer_splice,
    .property_get = property_get,
    .property_set = property_set,
    .clear_route_cache = clear_route_cache,
    .continue_stream = continue_stream,
    .close_stream = close_stream,
    .local_reply = local_reply,
    .vm_failed = vm_failed,
};

/* --- events --- */

/* Creates the context. False: it cannot be. */
static bool start_context(struct wasm_tcp *t)
{
    uint32_t index = t->plugin->index_in_group;
    t->policy = wasm_policy_ref(t->vm->seats[index]->policy);
    t->target.policy = t->policy->hides ? t->policy : NULL;
    if (WEIR_UNLIKELY(t->vm->fresh != NULL))
        return wasm_fresh_stream(t->vm, t->plugin, &tcp_ops, t, &t->pw) && !t->failed;
    int error = pw_stream_create(t->vm->instance.roots[index], &tcp_ops, t, &t->pw);
    if (error == PW_OK && !t->failed)
        return true;
    if (error == PW_ERR_LIMIT || error == PW_ERR_NOMEM)
        log_write(WASM, WARN, "plugin \"%s\": no context for a connection: %s", t->plugin->name,
                  pw_error_str(error));
    return false;
}

static enum network_status begin(struct wasm_tcp *t)
{
    enum pw_action action = PW_ACTION_VM_FAILED;
    t->in_call = true;
    if (start_context(t))
        action = pw_stream_new_connection(t->pw);
    enum network_status status = status_of(t, action);
    t->in_call = false;
    watch_pause(t, status, true);
    return status;
}

/* The VM that the connection waited for is there, or will not be. */
static void wake(struct wasm_waiter *waiter, bool ready)
{
    struct wasm_tcp *t = WEIR_CONTAINER_OF(waiter, struct wasm_tcp, waiting);
    t->waits = false;
    if (!ready || !wasm_vm_open(t->vm) || !may_run(t))
        apply_policy(t);
    else if (begin(t) == NETWORK_CONTINUE)
        network_filter_continue(t->filter, NETWORK_DOWNSTREAM_DATA);
    network_filter_pause_reading(t->filter, false);
}

static void init(struct network_filter *f)
{
    struct wasm_tcp *t = state_of(f);
    t->filter = f;
    t->target.state = &network_filter_stream(f)->filter_state;
    t->plugin = (struct wasm_plugin *)(uintptr_t)f->config->config;
    t->vm = t->plugin->group->vms[f->chain->worker->index];
    list_init(&t->waiting.node);
    t->waiting.wake = wake;
    timer_init(&t->pause_timer, pause_fired);
    timer_init(&t->later_timer, later_fired);
}

static enum network_status new_connection(struct network_filter *f)
{
    struct wasm_tcp *t = state_of(f);
    struct wasm_seat *seat = t->vm->seats[t->plugin->index_in_group];
    bool open = wasm_vm_open(t->vm);
    if (WEIR_LIKELY(open && wasm_seat_may_run(seat, t->vm->worker->loop.now_ms)))
        return begin(t);
    if (t->vm->state == WASM_VM_STARTING && !wasm_quarantine_on(&t->vm->group->quarantine)) {
        t->waits = true;
        wasm_vm_wait(t->vm, &t->waiting);
        network_filter_pause_reading(f, true);
        return NETWORK_STOP;
    }
    seat->counts.streams_refused += open || wasm_quarantine_on(&t->vm->group->quarantine);
    stat_inc(!open && t->plugin->failure_policy == WASM_FAIL_RELOAD ? t->plugin->stats.vm_reload_backoff : 0);
    return status_of(t, PW_ACTION_VM_FAILED);
}

static enum network_status data(struct network_filter *f, enum network_direction d, struct chain *bytes,
                                bool end)
{
    struct wasm_tcp *t = state_of(f);
    if (t->bypass)
        return NETWORK_CONTINUE;
    if (t->waits || !t->pw)
        return NETWORK_STOP;
    if (WEIR_UNLIKELY(!may_run(t))) {
        if (waits_for_share(t, d))
            return NETWORK_STOP;
        seat_of(t)->counts.streams_refused++;
        take_away(t);
        return status_of(t, PW_ACTION_VM_FAILED);
    }
    t->in_call = true;
    enum pw_action action = d == NETWORK_DOWNSTREAM_DATA ? pw_stream_downstream_data(t->pw, bytes->bytes, end)
                                                         : pw_stream_upstream_data(t->pw, bytes->bytes, end);
    /* The end of what the upstream sends is all that is told of its closing (ABI 3.17). */
    if (end && d == NETWORK_UPSTREAM_DATA && t->pw && !t->upstream_ended) {
        t->upstream_ended = true;
        pw_stream_upstream_close(t->pw, PW_PEER_UNKNOWN);
    }
    enum network_status status = status_of(t, action);
    t->in_call = false;
    t->passed[d] |= status == NETWORK_CONTINUE;
    watch_pause(t, status, end);
    return status;
}

static void closed(struct network_filter *f, bool remote)
{
    struct wasm_tcp *t = state_of(f);
    list_remove(&t->waiting.node);
    timer_stop(loop_of(t), &t->pause_timer);
    timer_stop(loop_of(t), &t->later_timer);
    t->in_call = true; /* nothing is left to apply a policy to */
    if (t->pw && !may_run(t))
        seat_of(t)->counts.calls_skipped++;
    else if (t->pw)
        pw_stream_downstream_close(t->pw, remote ? PW_PEER_REMOTE : PW_PEER_LOCAL);
}

static void write_log(struct network_filter *f)
{
    struct wasm_tcp *t = state_of(f);
    t->failed = true;
    if (t->pw && may_run(t)) {
        pw_stream_destroy_logged(&t->pw);
    } else if (t->pw) {
        seat_of(t)->counts.calls_skipped++;
        retire(t);
    }
}

static void destroy(struct network_filter *f)
{
    struct wasm_tcp *t = state_of(f);
    WEIR_ASSERT(!t->pw);
    wasm_policy_unref(&t->policy);
}

static const struct network_filter_ops wasm_network_filter_ops = {
    .name = "envoy.filters.network.wasm",
    .state_bytes = sizeof(struct wasm_tcp),
    .init = init,
    .new_connection = new_connection,
    .data = data,
    .closed = closed,
    .log = write_log,
    .destroy = destroy,
};

static void config_destroy(void *config)
{
    struct wasm_plugin *plugin = config;
    wasm_plugin_unref(&plugin);
}

void wasm_network_filter_config_init(struct network_filter_config *out, struct slice filter_name,
                                     struct wasm_plugin *plugin)
{
    *out = (struct network_filter_config){
        .ops = &wasm_network_filter_ops, .config = plugin, .name = filter_name, .destroy = config_destroy};
}
