/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties of an HTTP stream: the scope in which a stream's plugin reads and writes attributes.
 */
#include "filters/wasm/wasm_attributes.h"
#include "filters/wasm/wasm_filter.h"
#include "proxy/hcm_config.h"

static struct wasm_scope scope_of(const struct wasm_stream *st)
{
    const struct stream *s = st->filter->stream;
    return (struct wasm_scope){
        .plugin = st->plugin,
        .stream = s,
        .response_headers = filter_response_headers(st->filter),
        .response_trailers = filter_response_trailers(st->filter),
        .info = &s->info,
        .state = &s->filter_state,
        .worker = s->worker,
        .filter_chain_name = s->hcm->filter_chain_name,
    };
}

enum pw_status wasm_property_get(struct wasm_stream *st, struct slice path, struct pw_value *out)
{
    const struct wasm_scope scope = scope_of(st);
    return wasm_attribute_get(&scope, path, out);
}

struct slice wasm_stream_cluster_name(const struct wasm_stream *st)
{
    const struct wasm_scope scope = scope_of(st);
    return wasm_scope_cluster_name(&scope);
}

enum pw_status wasm_property_set(struct wasm_stream *st, struct slice path, struct slice value)
{
    return wasm_attribute_set(&st->filter->stream->filter_state,
                              st->vm->instance.roots[st->plugin->index_in_group], path, value);
}
