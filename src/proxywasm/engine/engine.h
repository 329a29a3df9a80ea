/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam between the ABI and an engine: one const table per engine. Code above this line (abi/, vm, root,
 * stream) never names an engine; code below it never knows what a host function does. Guest addresses are
 * 64-bit here, so that the null engine fits.
 */
#ifndef PROXYWASM_ENGINE_ENGINE_H
#define PROXYWASM_ENGINE_ENGINE_H

#include <proxywasm/engine.h>
#include <proxywasm/vm.h>

#include <stdatomic.h>

/* Exports that the host calls; X(name, arguments, has result). One row makes the enum and the name. */
#define GUEST_FUNCTIONS(X)                                                                                   \
    X(proxy_on_context_create, 2, 0)                                                                         \
    X(proxy_on_vm_start, 2, 1)                                                                               \
    X(proxy_on_configure, 2, 1)                                                                              \
    X(proxy_on_tick, 1, 0)                                                                                   \
    X(proxy_on_queue_ready, 2, 0)                                                                            \
    X(proxy_on_new_connection, 1, 1)                                                                         \
    X(proxy_on_downstream_data, 3, 1)                                                                        \
    X(proxy_on_upstream_data, 3, 1)                                                                          \
    X(proxy_on_downstream_connection_close, 2, 0)                                                            \
    X(proxy_on_upstream_connection_close, 2, 0)                                                              \
    X(proxy_on_request_headers, 3, 1)                                                                        \
    X(proxy_on_request_body, 3, 1)                                                                           \
    X(proxy_on_request_trailers, 2, 1)                                                                       \
    X(proxy_on_request_metadata, 2, 1)                                                                       \
    X(proxy_on_response_headers, 3, 1)                                                                       \
    X(proxy_on_response_body, 3, 1)                                                                          \
    X(proxy_on_response_trailers, 2, 1)                                                                      \
    X(proxy_on_response_metadata, 2, 1)                                                                      \
    X(proxy_on_http_call_response, 5, 0)                                                                     \
    X(proxy_on_grpc_receive_initial_metadata, 3, 0)                                                          \
    X(proxy_on_grpc_receive, 3, 0)                                                                           \
    X(proxy_on_grpc_receive_trailing_metadata, 3, 0)                                                         \
    X(proxy_on_grpc_close, 3, 0)                                                                             \
    X(proxy_on_foreign_function, 3, 0)                                                                       \
    X(proxy_on_done, 1, 1)                                                                                   \
    X(proxy_on_log, 1, 0)                                                                                    \
    X(proxy_on_delete, 1, 0)                                                                                 \
    X(envoy_on_stats_update, 2, 0)

enum guest_function {
#define GUEST_X(name, nargs, has_result) GUEST_##name,
    GUEST_FUNCTIONS(GUEST_X)
#undef GUEST_X
        GUEST_FUNCTION_COUNT
};

/* What the engine needs to know of a host function; the table is abi/hostcalls.h. All results are i32 or
 * none. */
struct host_function {
    const char *module; /* "env", "wasi_snapshot_preview1" (also linked as wasi_unstable) */
    const char *name;
    /* One char an argument: 'i' i32, 'I' i64. A name may have several rows that differ in `params` (WASI's
     * path_link): a module gets the row that its import's type fits. */
    const char *params;
    uint8_t nargs; /* strlen(params) */
    uint16_t wide; /* bit per argument: its letter is 'I' */
    bool has_result;
    uint8_t abi_mask;    /* bit per enum pw_abi_version in which a module may import it */
    uint8_t allowed_in;  /* HOSTCALL_IN_* : beyond normal callbacks */
    uint16_t capability; /* bit number in a VM's set of denied capabilities */
    /* `args` are zero-extended. The result is zero-extended too. May call back into the guest (allocation).
     * If that allocation trapped, the result does not matter: the engine unwinds the outer guest call too,
     * and the outer `call` reports the first trap. */
    uint32_t (*call)(struct pw_vm *vm, const uint64_t *args);
};

#define HOSTCALL_IN_START  0x1 /* during the start section, _initialize, main, _start */
#define HOSTCALL_IN_MALLOC 0x2 /* during the guest's allocator */

extern const struct host_function host_functions[];
extern const size_t host_functions_count;

struct state_writer;

/* Compiled or loaded code, private to the engine. */
struct engine_module;
/* One instance, private to the engine. */
struct engine_instance;

/* Linear memory as it is right now: any call into the guest may move and grow it. */
struct guest_memory {
    char *base;    /* NULL on the null engine: addresses are pointers */
    uint64_t size; /* UINT64_MAX on the null engine */
};

/* A guest call gives its result, 0 to UINT32_MAX, or this where there is none, or a negative error. */
#define ENGINE_NO_VALUE (INT64_C(1) << 32)

/* Why a guest call did not end well. */
struct engine_trap {
    int error; /* PW_ERR_TRAP or PW_ERR_TIMEOUT */
    char message[512];
    char backtrace[2048]; /* at most 20 frames, "  0: 0x1a2b - name\n" */
};

struct engine_ops {
    const char *name;
    /*
     * The least width of EVERY out-parameter of a host function: 4, or 8 on the null engine, where each
     * out-parameter (address, size, id, cas, level, flags, code, ...) is an 8-byte slot that is written
     * whole, zero-extended (sdk/c/include/proxy_wasm_null.h). Out-parameters of 8 bytes (time, metric)
     * stay 8.
     */
    uint8_t address_bytes;

    int (*engine_init)(struct pw_engine *engine, const struct pw_engine_config *config,
                       struct pw_message *why);
    void (*engine_fini)(struct pw_engine *engine);
    /* Async-signal-safe. */
    void (*interrupt)(struct pw_engine *engine);

    int (*module_load)(struct pw_module *module, struct pw_slice code, struct pw_message *why);
    void (*module_fini)(struct pw_module *module);
    /* As pw_module_optimise and pw_module_quick; NULL where code is never compiled quickly. */
    int (*module_optimise)(struct pw_module *module, struct pw_message *why);
    bool (*module_quick)(const struct pw_module *module);

    /*
     * Instantiates vm->module without running guest code other than the start section, that one under the
     * VM's start limit. *out (which is vm->instance) is set before that section runs, as host functions need
     * it, and is NULL again after an error. Sets vm->deadline where time limits hold; destroy clears it.
     * PW_ERR_LIMIT, PW_ERR_NOMEM, PW_ERR_TRAP, PW_ERR_TIMEOUT, all with trap->message.
     */
    int (*instance_create)(struct pw_vm *vm, struct engine_instance **out, struct engine_trap *trap);
    void (*instance_destroy)(struct engine_instance **instance);
    /*
     * For one instance after the other in the same VM, in a pool: `drop` gives the sandbox back and keeps the
     * rest, `renew` makes another one as instance_create does. NULL where there are none.
     */
    void (*instance_drop)(struct engine_instance *instance);
    int (*instance_renew)(struct engine_instance *instance, struct engine_trap *trap);
    /*
     * Instead of `drop`, of an instance that has not failed: it is as `renew` would make it, and the next
     * `renew` takes it as it is. False: it is as before, and must be dropped. No call on its stack.
     */
    bool (*instance_reset)(struct engine_instance *instance);
    /* The whole state of an instance of an instrumented module (engine/state.h). No call on its stack. NULL
     * where there are no snapshots. */
    int (*instance_state)(struct engine_instance *instance, struct state_writer *out);
    /* _initialize then main/__main_void, or _start. PW_OK or the trap's error. */
    int (*instance_start)(struct engine_instance *instance, struct engine_trap *trap);
    bool (*has_function)(const struct engine_instance *instance, enum guest_function fn);
    /* The arity is the export's own (0.1.0 modules with three-argument headers exist): surplus arguments are
     * dropped. A missing export is not an error. */
    int64_t (*call)(struct engine_instance *instance, enum guest_function fn, const uint64_t *args,
                    size_t nargs, struct engine_trap *trap);
    /* malloc, or proxy_on_memory_allocate. len > 0. PW_OK with *address (0: the guest has none left), or a
     * trap. */
    int (*allocate)(struct engine_instance *instance, uint64_t len, uint64_t *address,
                    struct engine_trap *trap);
    struct guest_memory (*memory)(struct engine_instance *instance);
};

extern const struct engine_ops engine_wasmtime;
extern const struct engine_ops engine_null;

/* What the upper half takes from a module (module.c). */
struct pw_engine *module_engine(const struct pw_module *module);
const struct engine_ops *engine_operations(const struct pw_engine *engine);
enum pw_abi_version module_abi(const struct pw_module *module);
struct pw_host *engine_host(const struct pw_engine *engine);

#endif
