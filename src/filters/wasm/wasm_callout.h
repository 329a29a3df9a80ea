/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin's callout as the proxy carries it out: one request on an upstream stream, with its timer, what
 * waits to be sent, and what has come back. HTTP calls and gRPC share this; what an end means to the plugin
 * is theirs (wasm_callout_http.c, wasm_callout_grpc.c). Private to this folder.
 */
#ifndef WEIR_FILTERS_WASM_WASM_CALLOUT_H
#define WEIR_FILTERS_WASM_WASM_CALLOUT_H

#include "base/strbuf.h"
#include "filters/wasm/wasm_policy.h"
#include "filters/wasm/wasm_vm.h"
#include "net/timer.h"
#include "upstream/upstream_stream.h"
#include "upstream/worker_cluster.h"

#include <proxywasm/proxywasm.h>

struct wasm_callout;

/* What differs. In all of them the callout may be cancelled: look at `pw` before going on. */
struct wasm_callout_kind {
    void (*headers)(struct wasm_callout *c, bool end_of_stream); /* c->headers */
    void (*data)(struct wasm_callout *c, struct chain *data, bool end_of_stream);
    void (*trailers)(struct wasm_callout *c); /* c->trailers */
    /* There is no upstream stream any more. `status` is what Envoy's router would answer, 0 when an answer
     * had begun and no reply can stand in for it. */
    void (*failed)(struct wasm_callout *c, unsigned status, const char *text, const char *details);
    void (*deliver)(struct wasm_callout *c); /* from `done`: hand the end to the library */
    bool tells_all;                          /* `headers` and `data` enter the guest, not only `deliver` */
};

/* What has come of a gRPC message. */
struct wasm_grpc_frame {
    unsigned char prefix[5];
    uint32_t prefix_have;
    uint32_t length; /* of the message, once the prefix is whole */
    struct strbuf bytes;
};

struct wasm_callout {
    struct worker *worker;
    struct pw_callout *pw; /* NULL: the library has let go of it, or has had its end */
    const struct wasm_callout_kind *kind;
    struct wasm_policy *policy;     /* a reference, if it hides something */
    struct wasm_seat *seat;         /* of the plugin that asks; lives as long as its VMs do */
    struct worker_cluster *cluster; /* owned reference, while the upstream is of interest */
    struct host *host;              /* kept by the pool, as its shard */
    struct host_shard *shard;
    struct upstream_stream stream;
    struct arena arena;
    struct header_map request;
    struct header_map request_trailers; /* with entries: to be sent */
    struct chain out;                   /* body that waits */
    uint64_t out_charged;               /* of it, to the plugin, beyond the request itself */
    struct timer timer;
    struct timer share_timer; /* what came waits for the plugin's share of time */
    struct chain later;       /* ... its data, which comes behind its head */
    bool later_headers;
    bool later_headers_end;
    bool later_trailers;
    bool later_done;
    bool later_end;           /* the data is the last */
    struct turn_task flush;   /* sends what waits */
    struct turn_task done;    /* the end is known: deliver it */
    struct turn_task destroy; /* the last thing that happens to it */
    uint64_t began_ns;
    struct header_map *headers;  /* of the answer; lives in the arena */
    struct header_map *trailers; /* the same */
    struct strbuf body;
    bool out_end;  /* what waits is all there will be */
    bool sent_end; /* the request is out */
    bool ready;    /* a connection carries it, the head is sent */
    bool blocked;  /* the connection has enough for now */
    bool over;     /* nothing more comes from the upstream */
    /* gRPC */
    struct wasm_grpc_frame frame;
    struct strbuf grpc_message; /* text of the status */
    uint32_t grpc_status;
    bool grpc_answered; /* a call's message is in `body` */
};

/*
 * Makes one for the cluster of that name, with its arena and its request map ready to be filled. *status says
 * why there is none: BAD_ARGUMENT (no such cluster), INTERNAL_FAILURE.
 */
struct wasm_callout *wasm_callout_create(struct wasm_vm *vm, struct pw_callout *pw,
                                         const struct wasm_callout_kind *kind, struct slice cluster,
                                         enum pw_status *status);
/* The cluster of that name if the plugin may call it, else NULL. */
struct worker_cluster *wasm_callout_cluster(struct wasm_vm *vm, const struct pw_callout *pw,
                                            struct slice name);
/* Copies the plugin's pairs behind `map`. False: one is not acceptable in HTTP. */
bool wasm_callout_copy(struct header_map *map, const struct pw_pair *pairs, size_t count);
/* Picks a host and sends, or waits for a connection. Not OK: nothing was begun, and `c` is destroyed. */
enum pw_status wasm_callout_start(struct wasm_callout *c, uint64_t timeout_ms);
/* Appends to what waits; it leaves at the end of this turn, or when the connection has room. False when
 * memory is out. */
bool wasm_callout_send(struct wasm_callout *c, struct slice bytes);
void wasm_callout_send_end(struct wasm_callout *c);

/* The upstream is of no interest any more: its stream is given up. */
void wasm_callout_stop(struct wasm_callout *c);
/* The end is there: `deliver` runs at the end of this turn, never inside of what led to it. */
void wasm_callout_done(struct wasm_callout *c);
/* Whether the guest may not be entered now; what comes is kept until it may. */
bool wasm_callout_must_wait(struct wasm_callout *c);
/* Keeps data that the guest has not seen, and holds the upstream back. False when memory is out. */
bool wasm_callout_later_data(struct wasm_callout *c, struct chain *data, bool end_of_stream);
/* After the delivery, or when cancelled: frees it at the end of the turn. */
void wasm_callout_destroy(struct wasm_callout *c);

/* What the plugin may see of the map, as pairs in the callout's arena. NULL when that is full. */
struct pw_pair *wasm_callout_pairs(struct wasm_callout *c, const struct header_map *map, size_t *count);
/* Appends to the body, within the caps. False: it is too long. */
bool wasm_callout_keep(struct wasm_callout *c, struct strbuf *to, struct chain *data, size_t bytes);

extern const struct pw_callout_ops wasm_callout_ops;
enum pw_status wasm_callout_http(void *ctx, struct pw_callout *pw, const struct pw_http_call *call);
enum pw_status wasm_callout_grpc_call(void *ctx, struct pw_callout *pw, const struct pw_grpc_call *call);
enum pw_status wasm_callout_grpc_stream(void *ctx, struct pw_callout *pw, const struct pw_grpc_call *call);
enum pw_status wasm_callout_grpc_send(void *ctx, struct pw_callout *pw, struct pw_slice message, bool end);

#endif
