/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access logging by a plugin: no context of its own, nothing to write, only proxy_on_log on the root (ABI
 * 3.0). It must never keep anything of a stream, and never delay one: while its VM is gone a line is lost and
 * counted.
 */
#include "filters/wasm/wasm_access_log.h"

#include "base/assert.h"
#include "filters/wasm/wasm_attributes.h"
#include "filters/wasm/wasm_filter.h"
#include "filters/wasm/wasm_group.h"
#include "net/worker.h"
#include "proxy/hcm_config.h"
#include "proxy/stream.h"

#include <stdlib.h>

struct wasm_log {
    struct access_log base;
    struct wasm_plugin *plugin; /* a reference */
    struct stream_predicate *filter;
    stat_id dropped;
};

/* One call. */
struct line {
    const struct wasm_log *log;
    const struct stream *stream;
    const struct wasm_policy *policy;
};

static const struct header_map *map_of(const struct line *l, enum pw_map map)
{
    switch (map) {
    case PW_MAP_REQUEST_HEADERS:
        return l->stream->request_headers;
    case PW_MAP_RESPONSE_HEADERS:
        return l->stream->response_headers;
    case PW_MAP_RESPONSE_TRAILERS:
        return l->stream->response_trailers;
    default:
        return NULL;
    }
}

static bool hidden(const struct line *l, struct slice name)
{
    return l->policy->hides && wasm_policy_hides_header(l->policy, name);
}

static bool map_exists(void *ctx, enum pw_map map)
{
    return map_of(ctx, map) != NULL;
}

static bool map_next(void *ctx, enum pw_map map, size_t *cursor, struct pw_pair *out)
{
    const struct header_map *m = map_of(ctx, map);
    uint32_t at = (uint32_t)*cursor;
    const struct header *h = NULL;
    do {
        h = m ? header_map_next(m, &at) : NULL;
    } while (h && hidden(ctx, h->name));
    *cursor = at;
    if (h)
        *out = (struct pw_pair){slice_to_pw(h->name), slice_to_pw(h->value)};
    return h != NULL;
}

static bool map_get(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice *value)
{
    const struct header_map *m = map_of(ctx, map);
    const struct header *h = m && !hidden(ctx, from_pw(name)) ? header_map_find(m, from_pw(name)) : NULL;
    if (h)
        *value = slice_to_pw(h->value);
    return h != NULL;
}

static enum pw_status property_get(void *ctx, struct pw_slice path, struct pw_value *out)
{
    const struct line *l = ctx;
    const struct stream *s = l->stream;
    const struct wasm_scope scope = {
        .plugin = l->log->plugin,
        .stream = s->hcm ? s : NULL,
        .response_headers = s->response_headers,
        .response_trailers = s->response_trailers,
        .info = &s->info,
        .state = &s->filter_state,
        .worker = s->worker,
        .filter_chain_name = s->hcm ? s->hcm->filter_chain_name : SLICE_EMPTY,
    };
    if (l->policy->hides &&
        wasm_view_hides_property(l->policy, from_pw(path), wasm_scope_cluster_name(&scope)))
        return PW_STATUS_NOT_FOUND;
    return wasm_attribute_get(&scope, from_pw(path), out);
}

static const struct pw_stream_ops line_ops = {
    .size = sizeof(line_ops),
    .map_exists = map_exists,
    .map_next = map_next,
    .map_get = map_get,
    .property_get = property_get,
};

static void log_write_line(const struct access_log *log, const struct stream *s)
{
    const struct wasm_log *l = (const struct wasm_log *)log;
    const struct wasm_plugin *plugin = l->plugin;
    struct wasm_vm *vm = plugin->group->vms[s->worker->index];
    if (l->filter && !l->filter->match(l->filter, s))
        return;
    struct wasm_seat *seat = vm->seats[plugin->index_in_group];
    /* Lines go to the ordinary VM: that streams have their own (sharing STREAM) does not make it be there. */
    bool there = wasm_vm_open(vm) && vm->state == WASM_VM_READY && vm->instance.roots[plugin->index_in_group];
    if (!there || !wasm_seat_may_run(seat, s->worker->loop.now_ms)) {
        stat_inc(l->dropped);
        return;
    }
    struct line line = {l, s, seat->policy};
    pw_root_log(vm->instance.roots[plugin->index_in_group], &line_ops, &line);
}

static void log_destroy(struct access_log *log)
{
    struct wasm_log *l = (struct wasm_log *)log;
    wasm_plugin_unref(&l->plugin);
    if (l->filter)
        l->filter->destroy(l->filter);
    free(l);
}

struct access_log *wasm_access_log_create(struct wasm_plugin *plugin, struct stream_predicate *filter)
{
    struct wasm_log *l = calloc(1, sizeof(*l));
    if (!l) {
        wasm_plugin_unref(&plugin);
        if (filter)
            filter->destroy(filter);
        return NULL;
    }
    *l = (struct wasm_log){{log_write_line, log_destroy},
                           plugin,
                           filter,
                           stat_counter("wasm.%s.access_logs_dropped", plugin->name)};
    return &l->base;
}
