/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wasm HTTP filter: filter callbacks become guest callbacks, their results become filter statuses, and a
 * VM that dies becomes the failure policy. It must never leave a stream waiting for a VM that is gone.
 */
#include "filters/wasm/wasm_filter.h"

#include "base/assert.h"
#include "filters/wasm/wasm_fresh.h"
#include "filters/wasm/wasm_service_impl.h"
#include "filters/wasm/wasm_share.h"
#include "proxy/local_reply.h"
#include "proxy/stream.h"
#include "telemetry/log.h"

#include <inttypes.h>

static struct wasm_stream *state_of(struct filter *f)
{
    return f->state;
}

/* --- failure --- */

static void send_failure(struct wasm_stream *st)
{
    if (st->answered)
        return;
    st->answered = true;
    struct local_reply reply = {
        .status = 503, .details = SLICE_LIT("wasm_fail_stream"), .grpc_status = 14 /* UNAVAILABLE */};
    filter_local_reply(st->filter, &reply);
}

static struct wasm_seat *seat_of(const struct wasm_stream *st)
{
    return st->vm->seats[st->plugin->index_in_group];
}

static struct loop *loop_of(const struct wasm_stream *st)
{
    return &st->vm->worker->loop;
}

/* Whether its plugin has time left in this second. */
static bool may_run(struct wasm_stream *st)
{
    return wasm_seat_may_run(seat_of(st), loop_of(st)->now_ms);
}

/* The plugin cannot run for this stream (any more). Outside of its callbacks this also gets a paused stream
 * going. */
static void apply_policy(struct wasm_stream *st)
{
    st->failed = true;
    timer_stop(loop_of(st), &st->pause_timer);
    if (st->filter->destroyed)
        return; /* the plugin ended its own stream: nobody is left to answer */
    if (!wasm_vm_fails_open(st->vm, st->plugin)) {
        send_failure(st);
        return;
    }
    st->bypass = true;
    wasm_share_bypass(st);
    if (st->in_call)
        return;
    bool was_paused[2] = {st->paused[WASM_REQUEST], st->paused[WASM_RESPONSE]};
    st->paused[WASM_REQUEST] = st->paused[WASM_RESPONSE] = false;
    if (was_paused[WASM_REQUEST])
        filter_continue_request(st->filter);
    if (was_paused[WASM_RESPONSE] && !st->filter->destroyed)
        filter_continue_response(st->filter);
}

void wasm_stream_failed(struct wasm_stream *st)
{
    st->failed = true;
    if (st->pw)
        pw_stream_destroy(&st->pw);
    /* Inside a callback the caller applies the policy by its return value. */
    if (!st->in_call)
        apply_policy(st);
}

/* Its last callbacks, now or when the plugin has time again. */
static WEIR_HOT void end_context(struct wasm_stream *st)
{
    if (WEIR_LIKELY(may_run(st))) {
        pw_stream_destroy(&st->pw);
        return;
    }
    pw_stream_retire(&st->pw);
    wasm_vm_run_later(st->vm);
}

/* The plugin is not asked any more about this stream; its VM lives on. */
static void take_away(struct wasm_stream *st)
{
    st->failed = true;
    if (st->pw)
        end_context(st);
}

void wasm_stream_give_up(struct wasm_stream *st)
{
    take_away(st);
    apply_policy(st);
}

/* The share is used up, and nothing is lost by going on without the plugin. */
static enum pw_action refuse(struct wasm_stream *st)
{
    seat_of(st)->counts.streams_refused++;
    take_away(st);
    return PW_ACTION_VM_FAILED;
}

static void pause_fired(struct timer *timer)
{
    struct wasm_stream *st = WEIR_CONTAINER_OF(timer, struct wasm_stream, pause_timer);
    struct wasm_seat *seat = seat_of(st);
    /* Only the request waits, and the answer is on its way: nobody is held up. */
    if (!st->paused[WASM_RESPONSE] && filter_response_headers(st->filter))
        return;
    seat->counts.pauses_ended++;
    log_write(WASM, DEBUG, "plugin \"%s\" held a stream up for %" PRIu64 " ms: its fallback applies",
              st->plugin->name, seat->policy->pause_max_ms);
    wasm_stream_give_up(st);
}

/* After each callback that stops: the pause is counted from here. */
static void watch_pause(struct wasm_stream *st)
{
    uint64_t max_ms = seat_of(st)->policy->pause_max_ms;
    if (max_ms > 0 && !st->failed)
        timer_set(loop_of(st), &st->pause_timer, max_ms);
}

static void end_pause(struct wasm_stream *st)
{
    if (WEIR_UNLIKELY(timer_active(&st->pause_timer)) && !st->paused[WASM_REQUEST] &&
        !st->paused[WASM_RESPONSE])
        timer_stop(loop_of(st), &st->pause_timer);
}

void wasm_stream_continues(struct wasm_stream *st, enum wasm_direction d)
{
    st->paused[d] = false;
    end_pause(st);
}

/* The route of this moment decides whose context the stream gets; a later change of the route does not. */
static struct wasm_plugin *route_plugin(const struct wasm_stream *st)
{
    const void *own = filter_route_config(st->filter);
    return own ? (struct wasm_plugin *)(uintptr_t)own : st->plugin;
}

/* Creates the context. false: the policy was applied. */
static WEIR_HOT bool start_context(struct wasm_stream *st)
{
    if (WEIR_UNLIKELY(st->plugin->routes_have_own))
        st->plugin = route_plugin(st);
    struct wasm_policy *policy = seat_of(st)->policy;
    const struct pw_stream_ops *ops = &wasm_stream_ops;
    if (WEIR_UNLIKELY(policy->hides)) {
        st->pinned = wasm_policy_ref(policy);
        st->target.policy = policy;
        ops = &wasm_view_ops;
    }
    if (WEIR_UNLIKELY(st->vm->fresh != NULL))
        return wasm_fresh_stream(st->vm, st->plugin, ops, st, &st->pw) && !st->failed;
    int error = pw_stream_create(st->vm->instance.roots[st->plugin->index_in_group], ops, st, &st->pw);
    if (error == PW_OK && !st->failed)
        return true;
    if (error == PW_ERR_LIMIT || error == PW_ERR_NOMEM)
        log_write(WASM, WARN, "plugin \"%s\": no context for a stream: %s", st->plugin->name,
                  pw_error_str(error));
    return false;
}

/* How many fields the plugin may know of. */
static size_t seen_count(struct wasm_stream *st, enum pw_map map, const struct header_map *headers)
{
    return WEIR_UNLIKELY(st->pinned != NULL) ? wasm_view_count(st, map) : headers->count;
}

/* --- results --- */

/* `keeps`: what comes stays away from the plugin, so that only it can go on. Otherwise that holds at the end.
 */
static void pauses(struct wasm_stream *st, enum wasm_direction d, bool keeps)
{
    st->paused[d] = true;
    if (keeps || st->eos[d])
        watch_pause(st);
}

static enum filter_headers_status headers_status_slow(struct wasm_stream *st, enum wasm_direction d,
                                                      enum pw_action action)
{
    switch (action) {
    case PW_ACTION_CONTINUE:
    case PW_ACTION_CONTINUE_AND_END: /* Envoy has no case for it: the body goes on */
        end_pause(st);
        return FILTER_HEADERS_CONTINUE;
    case PW_ACTION_STOP_ITERATION:
        pauses(st, d, false);
        return FILTER_HEADERS_STOP;
    case PW_ACTION_STOP_ALL_BUFFER:
        pauses(st, d, true);
        return FILTER_HEADERS_STOP_ALL_BUFFER;
    case PW_ACTION_VM_FAILED:
        apply_policy(st);
        return st->bypass ? FILTER_HEADERS_CONTINUE : FILTER_HEADERS_STOP_ALL_WATERMARK;
    default:
        pauses(st, d, true);
        return FILTER_HEADERS_STOP_ALL_WATERMARK;
    }
}

static inline enum filter_headers_status headers_status(struct wasm_stream *st, enum wasm_direction d,
                                                        enum pw_action action)
{
    st->paused[d] = false;
    if (WEIR_LIKELY(action == PW_ACTION_CONTINUE && !timer_active(&st->pause_timer)))
        return FILTER_HEADERS_CONTINUE;
    return headers_status_slow(st, d, action);
}

static enum filter_data_status data_status(struct wasm_stream *st, enum wasm_direction d,
                                           enum pw_action action)
{
    st->paused[d] = false;
    st->whole[d] = false;
    switch (action) {
    case PW_ACTION_CONTINUE:
        end_pause(st);
        return FILTER_DATA_CONTINUE;
    case PW_ACTION_STOP_BUFFER:
        pauses(st, d, false);
        st->whole[d] = true;
        return FILTER_DATA_STOP_BUFFER;
    case PW_ACTION_STOP_WATERMARK:
        pauses(st, d, true);
        return FILTER_DATA_STOP_WATERMARK;
    case PW_ACTION_VM_FAILED:
        apply_policy(st);
        return st->bypass ? FILTER_DATA_CONTINUE : FILTER_DATA_STOP_NO_BUFFER;
    default:
        pauses(st, d, false);
        return FILTER_DATA_STOP_NO_BUFFER;
    }
}

static enum filter_trailers_status trailers_status(struct wasm_stream *st, enum wasm_direction d,
                                                   enum pw_action action)
{
    st->paused[d] = false;
    if (action != PW_ACTION_CONTINUE && action != PW_ACTION_VM_FAILED)
        pauses(st, d, true);
    else
        end_pause(st);
    if (action == PW_ACTION_VM_FAILED) {
        apply_policy(st);
        return st->bypass ? FILTER_TRAILERS_CONTINUE : FILTER_TRAILERS_STOP;
    }
    return st->paused[d] ? FILTER_TRAILERS_STOP : FILTER_TRAILERS_CONTINUE;
}

/* --- request --- */

static enum pw_action call_request_headers(struct wasm_stream *st)
{
    struct header_map *headers = filter_request_headers(st->filter);
    bool outer = st->in_call;
    st->started = true;
    st->in_call = true;
    enum pw_action action = PW_ACTION_VM_FAILED;
    if (start_context(st))
        action = pw_stream_request_headers(st->pw, seen_count(st, PW_MAP_REQUEST_HEADERS, headers),
                                           st->headers_eos);
    st->in_call = outer;
    return st->failed ? PW_ACTION_VM_FAILED : action;
}

/* The VM that the stream waited for is there, or will not be. */
static void wake(struct wasm_waiter *waiter, bool ready)
{
    struct wasm_stream *st = WEIR_CONTAINER_OF(waiter, struct wasm_stream, waiting);
    st->paused[WASM_REQUEST] = true;
    if (ready && wasm_vm_open(st->vm))
        filter_retry_request(st->filter);
    else
        apply_policy(st);
}

static WEIR_HOT bool filter_start(struct filter *f)
{
    struct wasm_stream *st = state_of(f);
    st->filter = f;
    st->target.state = &f->stream->filter_state;
    st->plugin = (struct wasm_plugin *)(uintptr_t)f->config->config;
    st->vm = st->plugin->group->vms[f->stream->worker->index];
    st->pause_timer.fire = pause_fired;
    return true;
}

static WEIR_HOT enum filter_headers_status request_headers(struct filter *f, struct header_map *headers,
                                                           bool end_of_stream)
{
    struct wasm_stream *st = state_of(f);
    (void)headers;
    st->headers_eos = end_of_stream;
    st->eos[WASM_REQUEST] = end_of_stream;
    struct wasm_seat *seat = seat_of(st);
    if (WEIR_UNLIKELY(st->plugin->routes_have_own))
        seat = st->vm->seats[route_plugin(st)->index_in_group];
    bool open = wasm_vm_open(st->vm);
    if (WEIR_LIKELY(open && wasm_seat_may_run(seat, loop_of(st)->now_ms)))
        return headers_status(st, WASM_REQUEST, call_request_headers(st));
    if (st->vm->state == WASM_VM_STARTING && !wasm_quarantine_on(&st->vm->group->quarantine)) {
        list_init(&st->waiting.node);
        st->waiting.wake = wake;
        wasm_vm_wait(st->vm, &st->waiting);
        return FILTER_HEADERS_STOP_ALL_WATERMARK;
    }
    seat->counts.streams_refused += open || wasm_quarantine_on(&st->vm->group->quarantine);
    stat_inc(!open && st->plugin->failure_policy == WASM_FAIL_RELOAD ? st->plugin->stats.vm_reload_backoff
                                                                     : 0);
    return headers_status(st, WASM_REQUEST, PW_ACTION_VM_FAILED);
}

/* What was kept earlier and what came now, as one chain, as plugins expect it (ABI 3.4: the total). */
static struct chain *whole_body(struct chain *kept, struct chain *data)
{
    if (chain_empty(kept))
        return data;
    chain_move(kept, data, data->bytes);
    return kept;
}

static enum filter_data_status body(struct wasm_stream *st, enum wasm_direction d, struct chain *kept,
                                    struct chain *data, bool end_of_stream)
{
    bool waits = wasm_share_waits(st, d);
    if (!waits && (st->bypass || !st->pw))
        return st->bypass || !st->failed ? FILTER_DATA_CONTINUE : FILTER_DATA_STOP_NO_BUFFER;
    if (WEIR_UNLIKELY(waits || !may_run(st)))
        return wasm_share_later_data(st, d, data, end_of_stream) ? FILTER_DATA_LATER
                                                                 : data_status(st, d, refuse(st));
    /* What another stop than "buffer" kept goes on later and is not shown again (ABI 3.4). */
    struct chain *view = st->whole[d] ? whole_body(kept, data) : data;
    st->data[d] = view;
    st->eos[d] = end_of_stream;
    bool outer = st->in_call;
    st->in_call = true;
    enum pw_action action = d == WASM_REQUEST ? pw_stream_request_body(st->pw, view->bytes, end_of_stream)
                                              : pw_stream_response_body(st->pw, view->bytes, end_of_stream);
    st->in_call = outer;
    st->data[d] = NULL;
    st->passed[d] |= action == PW_ACTION_CONTINUE && !end_of_stream;
    return data_status(st, d, st->failed ? PW_ACTION_VM_FAILED : action);
}

static enum filter_data_status request_data(struct filter *f, struct chain *data, bool end_of_stream)
{
    return body(state_of(f), WASM_REQUEST, filter_request_body(f), data, end_of_stream);
}

static enum filter_trailers_status trailers(struct wasm_stream *st, enum wasm_direction d,
                                            struct header_map *map)
{
    bool waits = wasm_share_waits(st, d);
    if (!waits && (st->bypass || !st->pw))
        return st->bypass || !st->failed ? FILTER_TRAILERS_CONTINUE : FILTER_TRAILERS_STOP;
    if (WEIR_UNLIKELY(waits || !may_run(st)))
        return wasm_share_later_trailers(st, d, map) ? FILTER_TRAILERS_LATER
                                                     : trailers_status(st, d, refuse(st));
    bool outer = st->in_call;
    st->in_call = true;
    enum pw_action action =
        d == WASM_REQUEST
            ? pw_stream_request_trailers(st->pw, seen_count(st, PW_MAP_REQUEST_TRAILERS, map))
            : pw_stream_response_trailers(st->pw, seen_count(st, PW_MAP_RESPONSE_TRAILERS, map));
    st->in_call = outer;
    return trailers_status(st, d, st->failed ? PW_ACTION_VM_FAILED : action);
}

static enum filter_trailers_status request_trailers(struct filter *f, struct header_map *map)
{
    return trailers(state_of(f), WASM_REQUEST, map);
}

/* --- response --- */

static WEIR_HOT enum filter_headers_status response_headers(struct filter *f, struct header_map *headers,
                                                            bool end_of_stream)
{
    struct wasm_stream *st = state_of(f);
    /* No context: an earlier filter answered before this one saw the request, or its VM is gone. The failure
     * reply itself passes. */
    if (!st->pw)
        return FILTER_HEADERS_CONTINUE;
    st->eos[WASM_RESPONSE] = end_of_stream;
    if (WEIR_UNLIKELY(!may_run(st)))
        return wasm_share_later_headers(st) ? FILTER_HEADERS_STOP_ALL_WATERMARK
                                            : headers_status(st, WASM_RESPONSE, refuse(st));
    bool outer = st->in_call; /* a local reply from request_headers comes through here inside it */
    st->in_call = true;
    enum pw_action action =
        pw_stream_response_headers(st->pw, seen_count(st, PW_MAP_RESPONSE_HEADERS, headers), end_of_stream);
    st->in_call = outer;
    return headers_status(st, WASM_RESPONSE, st->failed ? PW_ACTION_VM_FAILED : action);
}

static enum filter_data_status response_data(struct filter *f, struct chain *data, bool end_of_stream)
{
    struct wasm_stream *st = state_of(f);
    if (!st->pw && !wasm_share_waits(st, WASM_RESPONSE))
        return FILTER_DATA_CONTINUE;
    return body(st, WASM_RESPONSE, filter_response_body(f), data, end_of_stream);
}

static enum filter_trailers_status response_trailers(struct filter *f, struct header_map *map)
{
    struct wasm_stream *st = state_of(f);
    if (!st->pw && !wasm_share_waits(st, WASM_RESPONSE))
        return FILTER_TRAILERS_CONTINUE;
    return trailers(st, WASM_RESPONSE, map);
}

/* --- end --- */

static WEIR_HOT void complete(struct filter *f)
{
    struct wasm_stream *st = state_of(f);
    if (st->failed || st->bypass || (st->pw && !pw_stream_has_log(st->pw)))
        return;
    if (WEIR_UNLIKELY(!may_run(st))) {
        seat_of(st)->counts.calls_skipped++;
        return;
    }
    st->in_call = true;
    /* A stream that ended before this filter saw it still gets a context for its log (ABI 3.3). */
    if (!st->pw && !st->started && wasm_vm_open(st->vm) && !start_context(st))
        st->failed = true;
    if (st->pw)
        pw_stream_log(st->pw);
    st->in_call = false;
}

static WEIR_HOT void destroy(struct filter *f)
{
    struct wasm_stream *st = state_of(f);
    if (!st->filter)
        return;
    if (WEIR_UNLIKELY(st->waiting.wake != NULL))
        list_remove(&st->waiting.node);
    if (WEIR_UNLIKELY(timer_active(&st->pause_timer)))
        timer_stop(loop_of(st), &st->pause_timer);
    wasm_share_drop(st);
    st->in_call = true;
    take_away(st);
    if (WEIR_UNLIKELY(st->pinned != NULL))
        wasm_policy_unref(&st->pinned);
}

static const struct filter_ops wasm_filter_ops = {
    .name = "envoy.filters.http.wasm",
    .state_bytes = sizeof(struct wasm_stream),
    .takes_laps = true,
    .init = filter_start,
    .request_headers = request_headers,
    .request_data = request_data,
    .request_trailers = request_trailers,
    .response_headers = response_headers,
    .response_data = response_data,
    .response_trailers = response_trailers,
    .complete = complete,
    .destroy = destroy,
};

/* For a plugin with no callback for bodies and trailers: they pass it without a look. */
static const struct filter_ops wasm_headers_filter_ops = {
    .name = "envoy.filters.http.wasm",
    .state_bytes = sizeof(struct wasm_stream),
    .takes_laps = true,
    .init = filter_start,
    .request_headers = request_headers,
    .response_headers = response_headers,
    .complete = complete,
    .destroy = destroy,
};

static bool headers_only(const struct wasm_plugin *plugin)
{
    static const struct slice others[] = {
        SLICE_LIT("proxy_on_request_body"), SLICE_LIT("proxy_on_request_trailers"),
        SLICE_LIT("proxy_on_response_body"), SLICE_LIT("proxy_on_response_trailers")};
    struct pw_slice name;
    /* A headers callback that stops by itself is ended by the body's arrival. */
    if (plugin->group->is_null || plugin->allow_on_headers_stop_iteration)
        return false;
    for (size_t i = 0; pw_module_export_at(plugin->group->module, i, &name); i++) {
        for (size_t j = 0; j < WEIR_ARRAY_LEN(others); j++) {
            if (slice_eq(from_pw(name), others[j]))
                return false;
        }
    }
    return true;
}

struct wasm_plugin *wasm_filter_plugin(const struct filter_config *config)
{
    bool is_wasm = config->ops == &wasm_filter_ops || config->ops == &wasm_headers_filter_ops;
    return is_wasm ? (struct wasm_plugin *)(uintptr_t)config->config : NULL;
}

static void config_destroy(void *config)
{
    struct wasm_plugin *plugin = config;
    wasm_plugin_unref(&plugin);
}

void wasm_filter_config_init(struct filter_config *out, struct slice filter_name, struct wasm_plugin *plugin)
{
    *out = (struct filter_config){.ops = headers_only(plugin) ? &wasm_headers_filter_ops : &wasm_filter_ops,
                                  .config = plugin,
                                  .name = filter_name,
                                  .destroy = config_destroy};
}
