/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wasmtime engine's own objects, for its files only. Errors and traps of wasmtime end here: nothing above
 * sees one.
 */
#ifndef PROXYWASM_ENGINE_WASMTIME_IMPL_H
#define PROXYWASM_ENGINE_WASMTIME_IMPL_H

#include "proxywasm/budget.h"
#include "proxywasm/engine/contract.h"
#include "proxywasm/engine/deadline.h"
#include "proxywasm/engine/engine_impl.h"
#include "proxywasm/engine/wasmtime_config.h"
#include "proxywasm/module_impl.h"

#include <wasm.h>
#include <wasmtime.h>

/* pw_engine.state */
struct wt_state {
    wasm_engine_t *engine;
    uint64_t pool_memory_bytes; /* 0: memory on demand */
    bool memory_stays;          /* no memory moves when it grows */
    int pagemap;                /* of a pool, for written_pages_look; -1: instances are not set back */
    uint32_t pool_slots;
    atomic_uint open;          /* instances of a pool that hold a slot */
    struct wt_codegen codegen; /* never quick */
    uint64_t quick_bytes_min;  /* modules from here on are compiled quickly first; 0: none */
    char settings[96];         /* what compiled code depends on; part of the cache key */
};

/* Compiled code with the host functions bound. */
struct wt_code {
    wasmtime_module_t *module;
    wasmtime_instance_pre_t *pre; /* NULL when a memory or a table is imported: then the linker is kept */
    wasmtime_linker_t *linker;
    bool quick;
};

struct engine_module {
    struct wt_code first;
    /* Made later, when `first` was compiled quickly; instances made afterwards run it. Both live as long as
     * the module. */
    struct wt_code *_Atomic better;
    char *source; /* what `better` is compiled from, until it is there: code, then state */
    size_t source_bytes;
    size_t source_state_bytes;
    wasmtime_module_t *items; /* defines what is imported */
    struct wt_image *image;   /* of a snapshot: what its instances begin with; NULL: they are not set back */
    struct contract contract;
};

static inline const struct wt_code *wt_module_code(struct engine_module *impl)
{
    const struct wt_code *better = atomic_load_explicit(&impl->better, memory_order_acquire);

    return better ? better : &impl->first;
}

struct engine_instance {
    wasmtime_store_t *store;
    wasmtime_context_t *context;
    struct pw_module *module; /* the VM holds the reference */
    const struct wt_code *code;
    struct pw_vm *vm;
    struct deadline deadline;
    wasmtime_instance_t instance;
    wasmtime_memory_t memory;
    char *memory_base; /* where it stays; NULL: unknown, or it may move */
    bool pooled;       /* its memory is the pool's, so counting it is ours; else wasmtime_memory.c does */
    uint64_t memory_charged; /* to the host's budget */
    struct budget_idle idle; /* that charge, between two streams */
    uint64_t memory_limit;   /* what the store's limiter allows */
    bool has_memory;         /* false until the start section is over, unless the memory is imported */
    bool has_instance;       /* instantiated */
    bool has_allocator;
    wasmtime_func_t allocator;
    struct wt_function {
        wasmtime_func_t function;
        uint8_t nargs; /* 0: not looked up yet */
        bool has_result;
    } functions[GUEST_FUNCTION_COUNT];
    /* Why the host stopped the guest; error is 0 when it did not. */
    int stop_error;
    struct wt_reset *reset; /* for wt_instance_reset; NULL: not now */
    int memory_error;       /* why no memory was made: PW_OK or PW_ERR_NOMEM */
    char stop_reason[128];
};

/* wasmtime_config.c */
int wt_engine_init(struct pw_engine *engine, const struct pw_engine_config *config, struct pw_message *why);
void wt_engine_fini(struct pw_engine *engine);

/* wasmtime_module.c */
int wt_module_load(struct pw_module *module, struct pw_slice code, struct pw_message *why);
void wt_module_fini(struct pw_module *module);
int wt_module_optimise(struct pw_module *module, struct pw_message *why);
bool wt_module_quick(const struct pw_module *module);

/* wasmtime_code.c: fills out->module and out->quick, from the cache or by a compiler. */
int wt_code_load(struct pw_module *module, struct slice binary, struct wt_code *out, struct pw_message *why);
/* By a compiler that takes its time. */
int wt_code_optimise(struct pw_module *module, struct slice binary, struct slice state_bytes,
                     struct wt_code *out, struct pw_message *why);
void wt_code_fini(struct wt_code *code);

/* wasmtime_linker.c: makes code->pre or code->linker. */
int wt_code_link(struct pw_module *module, struct engine_module *impl, struct wt_code *code,
                 struct pw_message *why);
/* Defines imported memories and tables for one instance in its own linker; NULL and a message on error. */
wasmtime_linker_t *wt_link_items(struct engine_instance *instance, struct engine_trap *trap);

/* wasmtime_instance.c */
int wt_instance_create(struct pw_vm *vm, struct engine_instance **out, struct engine_trap *trap);
void wt_instance_destroy(struct engine_instance **instance);
void wt_instance_set_memory(struct engine_instance *instance, const wasmtime_extern_t *item);
void wt_instance_drop(struct engine_instance *instance);
int wt_instance_renew(struct engine_instance *instance, struct engine_trap *trap);
/* Around calls of a pooled instance: what it may grow to now, and what it has grown to. */
void wt_instance_limit_growth(struct engine_instance *instance);
void wt_instance_charge_growth(struct engine_instance *instance);
bool wt_instance_function(struct engine_instance *instance, struct slice name, wasmtime_func_t *out);

/* wasmtime_memory.c: a wasmtime_new_memory_callback_t; `env` is the host. */
wasmtime_error_t *wt_memory_create(void *env, const wasm_memorytype_t *type, size_t minimum, size_t maximum,
                                   size_t reserved, size_t guard, wasmtime_linear_memory_t *out);
/* Whose memories this thread makes until the next call; NULL: nobody's. */
void wt_memory_owner(struct engine_instance *instance);
/* wasmtime_state.c */
int wt_instance_state(struct engine_instance *instance, struct state_writer *out);

/* wasmtime_reset.c. The image of a snapshot whose state is at hand; NULL: there is none, which only costs. */
struct wt_image *wt_image_create(const struct pw_module *module);
void wt_image_destroy(struct wt_image **image);
/* The code of the snapshot with its globals exported; free it. NULL: out of memory, no exports. */
char *wt_image_exports(const struct wt_image *image, struct slice code, size_t *len);
/* An instance was made. */
void wt_reset_prepare(struct engine_instance *instance);
bool wt_instance_reset(struct engine_instance *instance);

/* wasmtime_call.c */
int wt_instance_start(struct engine_instance *instance, struct engine_trap *trap);
int64_t wt_call(struct engine_instance *instance, enum guest_function fn, const uint64_t *args, size_t nargs,
                struct engine_trap *trap);
int wt_allocate(struct engine_instance *instance, uint64_t len, uint64_t *address, struct engine_trap *trap);
wasm_trap_t *wt_host_call(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *values, size_t count);
wasmtime_error_t *wt_epoch_reached(wasmtime_context_t *context, void *data, uint64_t *delta,
                                   wasmtime_update_deadline_kind_t *kind);

/* wasmtime_trap.c */
/* Takes and frees `error` or `trap_in`; exactly one is not NULL. Returns trap->error. `instance` may be NULL.
 */
int wt_trap_take(struct engine_instance *instance, wasmtime_error_t *error, wasm_trap_t *trap_in,
                 struct engine_trap *trap);
/* Takes and frees `error`: its text, on one line, behind `prefix`. */
void wt_error_take(wasmtime_error_t *error, const char *prefix, struct pw_message *why);

#endif
