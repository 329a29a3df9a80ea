/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What foreign functions know of the stream or connection that a plugin runs on, HTTP or TCP. It is the
 * FIRST member of whatever is given to pw_stream_create as `ctx`; nothing else may be given there. Private to
 * this folder.
 */
#ifndef WEIR_FILTERS_WASM_WASM_TARGET_H
#define WEIR_FILTERS_WASM_WASM_TARGET_H

#include "filters/wasm/wasm_policy.h"
#include "proxy/filter_state.h"

#include <proxywasm/proxywasm.h>

struct wasm_target {
    struct filter_state *state;       /* of the stream, or of the connection (TCP) */
    const struct wasm_policy *policy; /* what is hidden from the plugin; NULL: nothing */
};

/* NULL: the caller is a root context. */
static inline struct wasm_target *wasm_target_of(const struct pw_foreign_call *call)
{
    struct pw_stream *stream = pw_foreign_stream(call);
    return stream ? pw_stream_ctx(stream) : NULL;
}

#endif
