/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties of an HTTP stream: the scope in which a stream's plugin reads and writes attributes.
 */
#include "filters/wasm/wasm_attributes.h"
#include "filters/wasm/wasm_filter.h"
#include "proxy/hcm_config.h"

enum pw_status wasm_property_get(struct wasm_stream *st, struct slice path, struct pw_value *out)
{
    const struct stream *s = st->filter->stream;
    const struct wasm_scope scope = {
        .plugin = st->plugin,
        .stream = s,
        .info = &s->info,
        .state = &s->filter_state,
        .worker = s->worker,
        .filter_chain_name = s->hcm->filter_chain_name,
    };
    return wasm_attribute_get(&scope, path, out);
}

enum pw_status wasm_property_set(struct wasm_stream *st, struct slice path, struct slice value)
{
    return wasm_attribute_set(&st->filter->stream->filter_state,
                              st->vm->instance.roots[st->plugin->index_in_group], path, value);
}
