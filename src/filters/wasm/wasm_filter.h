/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of one plugin in one stream. Private to this folder.
 */
#ifndef WEIR_FILTERS_WASM_WASM_FILTER_H
#define WEIR_FILTERS_WASM_WASM_FILTER_H

#include "filters/wasm/wasm_target.h"
#include "filters/wasm/wasm_vm.h"
#include "proxy/filter.h"

enum wasm_direction { WASM_REQUEST, WASM_RESPONSE };

struct wasm_stream {
    struct wasm_target target; /* first: foreign functions find it */
    struct filter *filter;
    struct wasm_plugin *plugin;
    struct wasm_vm *vm;
    struct pw_stream *pw;       /* NULL: no context (not yet, or its VM is gone) */
    struct wasm_policy *pinned; /* a reference while something is hidden from the plugin, else NULL */
    struct wasm_later *later;   /* what waits for the plugin to have time; NULL: nothing ever did */
    bool eos[2];                /* by direction: whether the running body callback is the last */
    bool paused[2];             /* the plugin stopped this direction */
    bool whole[2];              /* ... to see its body as a whole: what was kept comes with each chunk */
    bool passed[2];             /* some of its body went on when the plugin had seen it */
    bool headers_eos;           /* of the request headers that wait for a VM */
    bool in_call;               /* a callback of this stream is on the stack */
    bool failed;                /* the VM died under it */
    bool bypass;                /* fail-open: the plugin is not there for the rest of the stream */
    bool answered;              /* the failure reply was sent */
    bool started;               /* request headers were offered to the plugin */
    struct chain *data[2];      /* the chunk of the running body callback */
    struct timer pause_timer;   /* set while it is paused */
    struct wasm_waiter waiting; /* while the VM is being made; else zeroed, or on its own */
};

extern const struct pw_stream_ops wasm_stream_ops;
/* The name by which a map holds what a plugin asks for: a request's "host" is its ":authority", as in Envoy.
 */
struct slice wasm_header_name(enum pw_map map, struct pw_slice name);
/* The same without what `pinned` hides. */
extern const struct pw_stream_ops wasm_view_ops;
size_t wasm_view_count(struct wasm_stream *st, enum pw_map map);
/* For plugins without the view (access loggers, network filters): whether the property would show what
 * `policy` hides; whole maps do when it hides any header. `cluster`: where the stream goes. */
bool wasm_view_hides_property(const struct wasm_policy *policy, struct slice path, struct slice cluster);

/* The plugin let a direction go on. */
void wasm_stream_continues(struct wasm_stream *st, enum wasm_direction d);

/* The plugin is taken out of the stream, its fallback applies; the VM lives on. Not inside its callbacks. */
void wasm_stream_give_up(struct wasm_stream *st);
/* Called by wasm_stream_ops.vm_failed. */
void wasm_stream_failed(struct wasm_stream *st);

/* Attributes of a stream (ABI 2.3); path segments are separated by NUL. */
enum pw_status wasm_property_get(struct wasm_stream *st, struct slice path, struct pw_value *out);
enum pw_status wasm_property_set(struct wasm_stream *st, struct slice path, struct slice value);

/* Where the stream goes, as its attributes tell. */
struct slice wasm_stream_cluster_name(const struct wasm_stream *st);

/* Replaces `remove` bytes at `offset` (0 or the end) by `bytes`. */
enum pw_status wasm_splice(struct chain *c, struct block_pool *blocks, size_t offset, size_t remove,
                           struct slice bytes);

static inline struct slice from_pw(struct pw_slice s)
{
    return slice_of(s.ptr, s.len);
}
static inline struct pw_slice slice_to_pw(struct slice s)
{
    return (struct pw_slice){s.ptr, s.len};
}

#endif
