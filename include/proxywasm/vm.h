/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libproxywasm: VMs, plugins and root contexts. A VM is one instance of a module. It belongs to one thread at
 * a time: made and started on any thread, then handed over with pw_vm_attach. A plugin is an immutable
 * configuration; a root context is one plugin in one VM.
 */
#ifndef PROXYWASM_VM_H
#define PROXYWASM_VM_H

#include <proxywasm/engine.h>
#include <proxywasm/vm_limits.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pw_vm;
struct pw_plugin;
struct pw_root;
struct pw_value;
struct pw_callout_ops; /* proxywasm/callout.h */

struct pw_vm_config {
    size_t size;                   /* sizeof(struct pw_vm_config) */
    struct pw_slice vm_id;         /* namespace of shared data and queues; may be empty */
    struct pw_slice configuration; /* proxy_on_vm_start */
    const struct pw_pair *environment;
    size_t environment_count;
    /* Capability names (proxy_* and WASI names); none: all are allowed (Envoy's
     * capability_restriction_config). */
    const struct pw_slice *capabilities;
    size_t capabilities_count;
    struct pw_limits limits;
};

struct pw_plugin_config {
    size_t size;
    struct pw_slice name;
    struct pw_slice root_id;
    struct pw_slice configuration; /* proxy_on_configure */
    bool allow_on_headers_stop_iteration;
    /* Opaque to the library: distinguishes plugins with equal names (Envoy: direction and listener metadata).
     */
    struct pw_slice key;
    /*
     * optional: properties for calls from root contexts of this plugin (start, configure, tick, ...). [any
     * thread] as start-up runs on any; `property_ctx` lives as long as the plugin.
     */
    enum pw_status (*property_get)(void *ctx, struct pw_slice path, struct pw_value *out);
    void *property_ctx;
};

/* What the library reports about a VM that fails; borrowed during the callback. */
struct pw_failure {
    int error;                 /* PW_ERR_TRAP, PW_ERR_TIMEOUT, ... */
    const char *function;      /* export that was running */
    struct pw_slice message;   /* engine's reason */
    struct pw_slice backtrace; /* lines "  0: 0x1a2b - name"; may be empty */
};

/*
 * Callbacks of a VM, on its thread unless marked. All may be NULL before pw_vm_attach: until then timers,
 * queue registrations and calls are recorded, and delivered by attach.
 */
struct pw_vm_ops {
    size_t size;
    /* [any thread] Run pw_vm_run(vm) soon on the VM's thread. Called at most once until pw_vm_run runs. The
     * embedder must cope with the VM being destroyed before. */
    void (*wake)(void *ctx);
    /* The VM failed; no guest code of it runs again. Called once, outside of any guest call. Live streams get
     * their own vm_failed callback first. Destroying the VM in here is allowed. */
    void (*failed)(void *ctx, const struct pw_failure *failure);
    /* Root `root` wants ticks every period_ms (0: none): call pw_root_tick then, re-armed after it returns.
     */
    void (*set_tick)(void *ctx, struct pw_root *root, uint32_t period_ms);
    /* Completed after pw_root_shutdown returned false: proxy_done was called. The root may be destroyed now.
     */
    void (*root_done)(void *ctx, struct pw_root *root);
    /* HTTP and gRPC callouts; same ctx, lives on. NULL: there are none, each attempt is INTERNAL_FAILURE. */
    const struct pw_callout_ops *callouts;
};

/* Immutable and shared between VMs; copies everything. One reference for the caller. */
int pw_plugin_create(const struct pw_plugin_config *config, struct pw_plugin **out);
struct pw_plugin *pw_plugin_ref(struct pw_plugin *plugin);
void pw_plugin_unref(struct pw_plugin **plugin);

/*
 * Makes an instance and runs its start section, _initialize (then main) or _start. Not on a serving thread,
 * as guest code runs here with the start limit. PW_ERR_TRAP, PW_ERR_TIMEOUT, PW_ERR_LIMIT (the module's own
 * memory is above memory_max_bytes), PW_ERR_NOMEM, PW_ERR_INVALID_ARGUMENT (bad environment).
 */
int pw_vm_create(struct pw_module *module, const struct pw_vm_config *config, struct pw_vm **out,
                 struct pw_message *why);
/*
 * The calling thread takes the VM over: timers and queue registrations that were recorded take effect, `ops`
 * is used from now on. Once per VM.
 */
void pw_vm_attach(struct pw_vm *vm, const struct pw_vm_ops *ops, void *ctx);
/* Runs work that other threads left for this VM (queue notifications). After `wake`, on the VM's thread. */
void pw_vm_run(struct pw_vm *vm);
/*
 * Frees the VM with all its roots and streams; runs no guest code. Not inside a guest call. A VM that was
 * never attached leaves no trace (trial configure).
 */
void pw_vm_destroy(struct pw_vm **vm);
bool pw_vm_failed(const struct pw_vm *vm);

struct pw_vm_stats {
    uint64_t memory_bytes; /* linear memory now */
    uint64_t host_bytes;   /* held by the host for it */
    uint64_t calls;        /* guest calls */
    uint64_t host_calls;
    uint64_t time_ns; /* wall time inside guest calls */
    uint32_t roots;
    uint32_t streams;
    uint32_t callouts;      /* under way */
    uint64_t callout_bytes; /* what they hold */
    uint64_t callouts_started;
    uint64_t callouts_refused; /* by a cap */
};
void pw_vm_stats(const struct pw_vm *vm, struct pw_vm_stats *out);
/* From now on: what is held already stays. Blanks are defaults. On the VM's thread, not inside a guest call.
 */
void pw_vm_set_limits(struct pw_vm *vm, const struct pw_limits *limits);

/*
 * Reading the counter of costs before and after each call is a good part of what a short call takes. Where
 * calls of one thread's VMs follow each other, the end of one can be the beginning of the next: the VMs are
 * given one word, which the embedder sets to PW_LAP_ON before the first such call and to PW_LAP_OFF when
 * anything else goes on, which must not be counted as a plugin's. The library keeps the last reading in it.
 * NULL: two readings for each call, as at first. The word outlives the VM's calls.
 */
#define PW_LAP_OFF UINT64_C(0)
#define PW_LAP_ON  UINT64_C(1)
void pw_vm_set_lap(struct pw_vm *vm, uint64_t *lap);

/*
 * Makes a root context: proxy_on_context_create(id, 0), proxy_on_vm_start, proxy_on_configure, under the
 * start limit. PW_ERR_START_FAILED and PW_ERR_CONFIGURE_FAILED leave the VM usable for other plugins. Fatal
 * errors fail the VM.
 */
int pw_root_create(struct pw_vm *vm, struct pw_plugin *plugin, struct pw_root **out, struct pw_message *why);
/* proxy_on_done: true: destroy it now; false: it asked for time, wait for root_done (bounded by the
 * embedder). */
bool pw_root_shutdown(struct pw_root *root);
/* proxy_on_delete, then frees. All its streams must be gone. Not inside a guest call. */
void pw_root_destroy(struct pw_root **root);
void pw_root_tick(struct pw_root *root);
/* Envoy's envoy_on_stats_update(root, size); the plugin reads `snapshot` from buffer 8. At most 4 GiB. */
void pw_root_stats_update(struct pw_root *root, struct pw_slice snapshot);
struct pw_plugin *pw_root_plugin(const struct pw_root *root);
struct pw_vm *pw_root_vm(const struct pw_root *root);
/* For the embedder's use; also from a foreign function, during the root's own start-up. `destroy` may be
 * NULL; it is called with the data when the root dies or other data is set. */
void pw_root_set_data(struct pw_root *root, void *data, void (*destroy)(void *data));
void *pw_root_data(const struct pw_root *root);

#ifdef __cplusplus
}
#endif

#endif
