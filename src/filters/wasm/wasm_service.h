/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's one Proxy-Wasm host: engines, loaded modules, the watchdog, and the groups of plugins that
 * share VMs. It is made before any configuration is read and dies after the last worker. Main thread unless
 * marked.
 */
#ifndef WEIR_FILTERS_WASM_WASM_SERVICE_H
#define WEIR_FILTERS_WASM_WASM_SERVICE_H

#include "base/strbuf.h"
#include "filters/wasm/wasm_plugin.h"
#include "filters/wasm/wasm_seat.h"
#include "net/worker.h"

struct wasm_service_options {
    uint32_t workers;
    const char *cache_dir;  /* compiled code; NULL: none is kept */
    const char *native_dir; /* NAME.so of the null runtime; NULL: none can be loaded */
    /* The command that starts a compiler's process, ended by NULL; NULL: modules are compiled in this one. */
    const char *const *compiler;
    uint64_t compile_memory_max_bytes; /* these three: 0 for the library's defaults (proxywasm/posix.h) */
    uint32_t compile_cpu_max_s;
    uint32_t compile_time_max_s;
    uint32_t stream_vms; /* fresh VMs that live at the same time, of all plugins and workers; 0: 4096 */
};

/* NULL with a message when the engine or a directory cannot be used. */
struct wasm_service *wasm_service_create(const struct wasm_service_options *options, struct pw_message *why);
/* The workers have stopped: no VM is made any more, and none is being made. Before plugins go: one under way
 * looks at them. Twice is fine. */
void wasm_service_stop(struct wasm_service *service);
/* After all plugins are gone and the workers have stopped. */
void wasm_service_destroy(struct wasm_service **service);

/*
 * Makes, starts and configures the VMs of every group that has none yet, one per worker: the trial configure.
 * false with a message that names plugin and reason when one fails; then nothing of them is left.
 */
bool wasm_service_prepare(struct wasm_service *service, struct pw_message *why);

/* On each worker's thread: takes over the VMs prepared for it / gives all of them back. */
void wasm_service_attach(struct wasm_service *service, struct worker *worker);
void wasm_service_detach(struct wasm_service *service, struct worker *worker);

/* Whether there are plugins that run once per process. Their thread is a worker of index `workers`, attached
 * and detached like the others. */
bool wasm_service_has_singletons(const struct wasm_service *service);

/*
 * Decides the policies of all plugins anew; workers take them over soon, and quarantines end. `decide` gives
 * a reference, or NULL when memory is out: then nothing changes and the result is false. *later: plugins for
 * which part of the change waits for the next start (how VMs are shared, whether time is checked).
 */
typedef struct wasm_policy *(*wasm_decide_fn)(void *ctx, struct slice plugin, struct slice sha256,
                                              struct slice listener);
bool wasm_service_repolicy(struct wasm_service *service, wasm_decide_fn decide, void *ctx, uint32_t *later);
/* [any thread but a worker's] Ends the quarantine of plugins of that name (NULL: of all); how many there
 * were. */
uint32_t wasm_service_release(struct wasm_service *service, const char *name);
/* [any thread] What all plugins together may hold (UINT64_MAX: no limit), and do. */
void wasm_service_set_memory_max(struct wasm_service *service, uint64_t bytes);
void wasm_service_memory(struct wasm_service *service, uint64_t *bytes, uint64_t *max_bytes);

/* What /plugins shows. [any thread but a worker's]: asks every worker and waits at most a second for each. */
struct wasm_plugin_report {
    const char *name;
    const char *root_id;
    const char *vm_id;
    const char *runtime; /* as written */
    const char *engine;  /* what it is: "wasmtime", "null" */
    const char *sha256;
    const char *abi;
    const char *state; /* of the worst worker: "ready", "starting", "backoff", "failed" */
    const char *failure_policy;
    const char *policy_rule;
    uint64_t code_bytes;
    uint64_t load_ns;
    bool from_cache;
    uint32_t vms;            /* alive */
    uint32_t workers_silent; /* did not answer in time */
    uint64_t memory_bytes;
    uint64_t host_bytes;
    uint64_t streams;
    uint64_t callouts_active;
    uint64_t callout_bytes;
    uint64_t callouts_started;
    uint64_t calls;
    uint64_t host_calls;
    uint64_t time_ns;
    uint64_t traps;
    uint64_t timeouts;
    uint64_t respawns;
    uint64_t quarantines;
    struct wasm_seat_counts seats; /* of all workers */
    const struct pw_costs *costs;  /* of all workers */
    const struct wasm_policy *policy;
};
/* [any thread] Of cycles in `costs`. */
uint64_t wasm_service_ns(const struct wasm_service *service, uint64_t cycles);
void wasm_service_report(struct wasm_service *service,
                         void (*fn)(void *arg, const struct wasm_plugin_report *report), void *arg);

#endif
