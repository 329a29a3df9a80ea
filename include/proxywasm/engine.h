/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libproxywasm: engines and modules. An engine runs guests: "wasmtime" runs WebAssembly in a sandbox, "null"
 * runs native shared objects with no sandbox and no limits. A module is code that was loaded once and is
 * shared between VMs and threads.
 */
#ifndef PROXYWASM_ENGINE_H
#define PROXYWASM_ENGINE_H

#include <proxywasm/host.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pw_engine;
struct pw_module;

struct pw_engine_config {
    size_t size; /* sizeof(struct pw_engine_config) */
    /* Leave SIGSEGV, SIGBUS, SIGILL, SIGFPE alone: traps are then found by explicit checks (slower). */
    bool no_signal_handlers;
    /* Compile with interruption points, so that time limits and pw_engine_interrupt hold. Default for stream
     * work. */
    bool interruptible;
    /* Use a pool of `pool_slots` preallocated instances (a VM per stream); 0: memory on demand (long-lived
     * VMs). */
    uint32_t pool_slots;
    uint64_t pool_memory_bytes; /* highest linear memory of a pooled instance */
    /*
     * Modules of at least this many bytes are first compiled quickly, to code that runs slower, and wait for
     * pw_module_optimise. 0: never. Only with pw_host_ops.compile.
     */
    uint64_t quick_bytes_min;
};

/* `name` is "wasmtime" or "null". The host outlives the engine. On error *why says what. */
int pw_engine_create(struct pw_host *host, const char *name, const struct pw_engine_config *config,
                     struct pw_engine **out, struct pw_message *why);
void pw_engine_destroy(struct pw_engine **engine);
const char *pw_engine_name(const struct pw_engine *engine);

/*
 * Null engine only: adds or replaces a built-in plugin; `entry` is its pw_null_plugin_entry. Built-in ones
 * are found before those in the embedder's directory. [any thread] PW_ERR_INVALID_ARGUMENT (another engine),
 * PW_ERR_LIMIT, PW_ERR_NOMEM.
 */
int pw_engine_add_native(struct pw_engine *engine, const char *name, const void *entry);

/*
 * Looks for guest calls that are past their limit and interrupts them. One thread of the embedder's calls it
 * while guests may run, again after as many nanoseconds as it returns (0.1 to 10 ms) or sooner; later means
 * that limits hold later (pw_watchdog_start of posix.h does all this). Cheap when nothing is overdue.
 */
uint64_t pw_engine_tick(struct pw_engine *engine);

/*
 * Makes every guest call that is running on this engine trap soon with PW_ERR_TIMEOUT. Safe to call from a
 * signal handler and from any thread.
 */
void pw_engine_interrupt(struct pw_engine *engine);

/*
 * Loads a module: checks the ABI marker, the imports and the export types, then compiles it or takes it from
 * the cache. For the null engine `code` is the plugin's name. Slow (up to many seconds): never on a serving
 * thread. The code is copied. One reference for the caller. PW_ERR_BAD_MODULE, PW_ERR_MISSING_IMPORT (all
 * missing names in *why), PW_ERR_BAD_EXPORT, PW_ERR_NOMEM, PW_ERR_NOT_FOUND (no such native plugin),
 * PW_ERR_LIMIT (over 256 MiB).
 */
int pw_module_load(struct pw_engine *engine, struct pw_slice name, struct pw_slice code,
                   struct pw_module **out, struct pw_message *why);
/*
 * The same for a module whose VMs can be the model of a snapshot (proxywasm/fresh.h). PW_ERR_BAD_MODULE also
 * when it uses what a snapshot cannot hold. Keeps a copy of the code until the snapshot.
 */
int pw_module_load_instrumented(struct pw_engine *engine, struct pw_slice name, struct pw_slice code,
                                struct pw_module **out, struct pw_message *why);
/* [any thread] */
struct pw_module *pw_module_ref(struct pw_module *module);
void pw_module_unref(struct pw_module **module);

/*
 * Compiles a module again whose info says `quick`, in the background, and puts the result into the cache.
 * Instances that are made afterwards run it; those that live keep what they have. Slow: from a thread of the
 * embedder's that may wait. At most one at a time per module, which the caller holds a reference to. PW_OK
 * (also when there is nothing to do), or what pw_host_ops.compile says.
 */
int pw_module_optimise(struct pw_module *module, struct pw_message *why);
/* Whether new instances run quickly compiled code. [any thread] */
bool pw_module_quick(const struct pw_module *module);

/*
 * The other side of pw_host_ops.compile: compiles `order` (the bytes of a pw_compile_order, made by the same
 * build of this library) and gives the result to `put`, in one or more pieces. Needs no host. PW_OK,
 * PW_ERR_INVALID_ARGUMENT (not an order), PW_ERR_BAD_MODULE, PW_ERR_IO (`put` returned false).
 */
int pw_compiler_run(struct pw_slice order, bool (*put)(void *ctx, struct pw_slice bytes), void *ctx,
                    struct pw_message *why);

struct pw_module_info {
    enum pw_abi_version abi;
    char sha256[65]; /* hex of the code as given; of the name for the null engine */
    uint64_t code_bytes;
    uint64_t compiled_bytes; /* 0 for the null engine */
    uint64_t memory_min_bytes;
    bool from_cache;
    uint64_t load_ns; /* wall time that loading took */
};
const struct pw_module_info *pw_module_info(const struct pw_module *module);
/* Whether the module was loaded from these very bytes (null engine: this name): an embedder can then take one
 * more reference instead of loading them again, and VMs share the compiled code in the processor's caches
 * too. */
bool pw_module_is(const struct pw_module *module, struct pw_slice code);
/* i-th import or export as "module.name" / "name"; false at the end. For tools. */
bool pw_module_import_at(const struct pw_module *module, size_t i, struct pw_slice *module_name,
                         struct pw_slice *name);
bool pw_module_export_at(const struct pw_module *module, size_t i, struct pw_slice *name);

#ifdef __cplusplus
}
#endif

#endif
