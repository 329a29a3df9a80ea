/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout of VMs, contexts and plugins, for the library's own files: the ABI half reads and writes all of it,
 * an engine only what is marked [engine]. Nothing here is seen by embedders.
 */
#ifndef PROXYWASM_VM_IMPL_H
#define PROXYWASM_VM_IMPL_H

#include "base/arena.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/slice.h"
#include "proxywasm/engine/engine.h"
#include "proxywasm/limits.h"

#include <proxywasm/costs.h>
#include <proxywasm/stream.h>
#include <proxywasm/vm.h>
#include <stdatomic.h>

/* Supplied by the engine half: what the ABI half needs to know of engines and modules. */
struct pw_host *engine_host(const struct pw_engine *engine);
const struct engine_ops *engine_operations(const struct pw_engine *engine);
struct pw_engine *module_engine(const struct pw_module *module);

/* Defined and owned by the engine half (engine/deadline.h). */
struct deadline;

/* What guest code is running: decides which host functions are open to it (ABI 3.2). */
enum vm_mode {
    VM_NORMAL,
    VM_START,  /* start section, _initialize, main, _start: only HOSTCALL_IN_START */
    VM_MALLOC, /* the guest's allocator, inside a host call: only HOSTCALL_IN_MALLOC */
};

enum context_kind { CONTEXT_ROOT, CONTEXT_STREAM };

/* The common head of roots and streams: what a context id names. */
struct context {
    struct list node;        /* in vm->roots or vm->streams */
    struct context *id_next; /* chain of vm->buckets */
    struct pw_vm *vm;
    struct pw_root *root; /* itself for a root */
    uint32_t id;
    enum context_kind kind;
    uint32_t holds; /* frames of the library that still use it; freed when destroyed and zero */
    bool destroyed;
    bool created; /* proxy_on_context_create came back */
};

struct pw_root {
    struct context base;
    struct pw_plugin *plugin;
    void *data;
    void (*data_destroy)(void *data); /* may be NULL */
    enum pw_status (*property_get)(void *ctx, struct pw_slice path, struct pw_value *out);
    void *property_ctx;
    struct pw_costs *costs; /* where this root's calls are counted; own_costs, or the embedder's */
    struct pw_costs own_costs;
    uint32_t streams;
    uint32_t tick_ms;
    bool tick_recorded;          /* set before attach */
    bool config_readable;        /* buffer 7: in configure and in its own context_create */
    bool in_done;                /* inside proxy_on_done */
    bool done_pending;           /* proxy_on_done said false */
    bool done_called;            /* proxy_done came; root_done is due */
    uint32_t status_code;        /* proxy_get_status */
    struct slice status_message; /* during the callback that brings it */
    struct list callouts;        /* struct pw_callout */
    struct list retired;         /* struct pw_stream, by `pending`: their last callbacks are due */
    struct pw_stream *logged;    /* inside pw_root_log: what proxy_on_log sees */
};

/* A local reply that waits for the end of the guest call: one block, everything copied. */
struct queued_reply {
    struct pw_local_reply reply;
    size_t bytes; /* charged to the VM */
};

/* An entry of a stream's FIFO: kind << 2 | stream type. */
enum stream_action { ACTION_CONTINUE, ACTION_CLOSE, ACTION_REPLY };
#define STREAM_ACTIONS_MAX 9 /* continue and close for four stream types, and one reply: no duplicates */

struct pw_stream {
    struct context base;
    const struct pw_stream_ops *ops;
    void *ctx;
    uint8_t maps_open;    /* bit per map 0..3: reachable now (ABI 3.5) */
    uint8_t buffers_open; /* bit per buffer 0..3: attached now */
    uint8_t eos;          /* bit per buffer 0..3: its last callback had end_of_stream */
    bool in_log;
    bool reply_taken;   /* a local reply was accepted once: later ones are ignored */
    bool reply_in_call; /* ... in the running callback: the return value is overridden */
    bool closing;       /* pw_stream_destroy has begun */
    bool bodies_written;
    bool retired; /* in its root's list of those, by `pending` */
    uint8_t actions_count;
    uint8_t actions[STREAM_ACTIONS_MAX];
    /* What the guest wrote on this stream, and what of it is charged to the VM until the stream goes. */
    uint32_t headers_written;
    uint64_t header_bytes;
    struct queued_reply *reply;
    struct list pending;    /* in vm->pending while actions_count > 0; if retired too; else without meaning */
    uint64_t body_bytes[4]; /* by buffer: written and not yet let go; 0 unless bodies_written */
};

struct environment_entry {
    struct slice text; /* "KEY=value", NUL after it */
};

/* Which host functions and exports a VM may not use. */
#define DENIED_WORDS 2
struct denied_set {
    bool any;
    uint64_t host[DENIED_WORDS]; /* bit: struct host_function.capability */
    uint64_t guest;              /* bit: enum guest_function */
};

/* Ids are per VM, handles are the embedder's or the store's. */
struct vm_metrics {
    void **handles[3]; /* by type; id = (index + 1) << 2 | type */
    uint32_t count[3];
    uint32_t cap[3];
};

/* callout_impl.h */
struct callout_view;
struct vm_callouts {
    struct pw_callout **buckets; /* CALLOUT_BUCKETS, by number; NULL before the first */
    struct list recorded;        /* struct callout_record: before attach, in order */
    struct list lingering;       /* ended streams that the guest has not closed */
    uint32_t lingering_count;
    uint32_t next[3]; /* the last number given, by kind */
    uint32_t count;   /* under way */
    uint32_t streams; /* ... gRPC streams among them */
    uint64_t bytes;
    uint64_t started;
    uint64_t refused;
    bool refusals;                   /* some failure is due */
    const struct callout_view *view; /* of the running callback */
};

struct mailbox;
struct shared_space;
struct queue_space;

struct pw_vm {
    /* What each call of a stream touches comes first and fills six cache lines, in this order. */

    /* [engine] constant after creation */
    const struct engine_ops *ops;
    /* [engine] instance_create gets its address as `out` and must fill it before guest code runs. */
    struct engine_instance *instance;
    /* [engine] instance_create may set it: the watchdog's view of this VM. NULL: no time limit holds. */
    struct deadline *deadline;
    struct engine_trap *trap; /* two, 2.6 KB each: of the outer call, and of an allocation inside it */
    uint64_t exports;         /* bit per enum guest_function: there, and not denied */
    uint64_t *lap;            /* the embedder's, or no_lap; pw_vm_set_lap */
    uint64_t calls;
    uint64_t cycles;

    /* the running call */
    struct context *current;
    struct context *effective; /* NULL: no override */
    /* As of the last look. It never shrinks, so what lies in it is there; guest_at looks again for the rest.
     */
    struct guest_memory memory;
    struct pw_cost *cost; /* of the running callback; no_cost outside of any */
    uint64_t host_calls;
    enum guest_function running; /* valid while depth > 0 */
    uint32_t depth;
    uint32_t cpu_countdown; /* calls until one has its CPU time measured */
    /* [engine] reads. Use hostcall_run (abi/hostcalls.h) for every host call: it checks these. */
    enum vm_mode mode : 8;
    bool gate;         /* mode != VM_NORMAL or denied.any: hostcall_run takes the slow way */
    bool failed;       /* no guest code may run any more */
    bool memory_stays; /* [engine] sets it: memory.base is for ever */

    /* contexts */
    struct context *spare_streams; /* dead ones, through id_next */
    struct context **buckets;
    uint32_t buckets_mask;
    uint32_t contexts;
    uint32_t next_id;
    uint32_t streams_count;
    uint32_t spare_streams_count;
    uint32_t roots_count;
    struct list streams;
    const struct pw_stream_ops *checked_ops; /* the last table that was found complete */

    /* after the outermost call */
    struct list pending; /* streams with actions */
    bool roots_done;     /* some root has done_called */
    bool destroyed;
    bool draining;
    bool failure_told;
    bool leaving;             /* destroyed, or its one stream is gone: the last release ends it */
    struct pw_fresh *fresh;   /* whose VM for one stream this is; NULL: an ordinary one */
    uint64_t held_bytes;      /* replies; scratch is counted by the arena */
    uint64_t prepaid_bytes;   /* taken from the host's budget beyond held_bytes */
    struct pw_module *module; /* a reference */
    struct pw_host *host;

    struct arena_mark scratch_mark;
    struct arena scratch;
    struct pw_limits limits; /* defaults filled in */

    struct pw_engine *engine;
    struct denied_set denied;
    uint64_t no_lap; /* always PW_LAP_OFF */
    struct pw_cost no_cost;
    uint32_t holds;

    struct list roots;
    struct list untold;              /* streams that vm_failed has yet to reach */
    uint32_t fresh_limits;           /* version of fresh->config.limits that it was made with */
    struct list fresh_node;          /* in fresh->vms */
    struct pw_root **fresh_roots;    /* by the order of their making; NULL in an ordinary VM */
    struct pw_vm *fresh_spare;       /* the next one without a stream */
    struct pw_plugin *failed_plugin; /* a reference, or NULL: whose call it was */
    struct pw_failure failure;       /* slices point into trap[] */

    /* the embedder */
    const struct pw_vm_ops *vm_ops; /* NULL before attach; points to vm_ops_copy */
    struct pw_vm_ops vm_ops_copy;
    void *ctx;
    struct mailbox *mailbox;

    /* configuration, copies owned by the VM */
    struct slice vm_id;
    struct slice configuration;
    struct environment_entry *environment;
    size_t environment_count;
    size_t environment_bytes; /* sum of text.len + 1 */
    char *text;               /* one block that holds the copies */
    size_t text_bytes;

    struct vm_metrics metrics;
    uint32_t metrics_count;
    struct vm_callouts callouts;
    uint64_t limit_hits[PW_LIMIT_COUNT]; /* outside of any context */
    uint64_t log_window_ns;              /* when the running second of log lines began */
    uint32_t log_lines;
    uint32_t log_dropped;
    uint64_t limits_logged_ns; /* when the running second of messages about limits began */
    uint32_t limits_logged;    /* bit per enum pw_limit: told in it */
    struct shared_space *shared;
    struct queue_space *queues;
    struct slice foreign_arguments; /* buffer 8 */
};

struct pw_plugin {
    atomic_uint refs;
    struct slice name;
    struct slice root_id;
    struct slice configuration;
    struct slice key;
    bool allow_on_headers_stop_iteration;
    enum pw_status (*property_get)(void *ctx, struct pw_slice path, struct pw_value *out);
    void *property_ctx;
    _Atomic uint64_t trap_logged_ns;
    char text[];
};

static inline struct pw_slice slice_to_pw(struct slice s)
{
    return (struct pw_slice){s.ptr, s.len};
}

static inline struct slice slice_from_pw(struct pw_slice s)
{
    return slice_of(s.ptr, s.len);
}

static inline struct pw_stream *context_stream(struct context *c)
{
    WEIR_ASSERT(c->kind == CONTEXT_STREAM);
    return WEIR_CONTAINER_OF(c, struct pw_stream, base);
}

static inline struct pw_root *context_root(struct context *c)
{
    return c->root;
}

/* The context that a host call acts on: the effective one if set, else the current; NULL in the start. */
static inline struct context *vm_context(const struct pw_vm *vm)
{
    return vm->effective ? vm->effective : vm->current;
}

#endif
