/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How wasmtime is set up: which WebAssembly features, how memory is laid out, whether it may use signals.
 * Whatever changes compiled code must appear in `settings`, or the cache would give code for other settings.
 */
#include "proxywasm/engine/wasmtime_impl.h"
#include "proxywasm/engine/written_pages.h"

#include "base/assert.h"
#include "proxywasm/limits.h"
#include "proxywasm/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <weir_pool.h>

/* 4 GiB and a guard of virtual addresses per memory make bounds checks unnecessary; nothing is resident until
 * it is touched. Under a limit on addresses (ulimit -v) memories are as large as they are, and checked. */
#define RESERVATION_BYTES (UINT64_C(4) << 30)
#define GUARD_BYTES       (UINT64_C(32) << 20)
/* Room to grow in place where nothing is reserved. */
#define GROWTH_BYTES (UINT64_C(16) << 20)
/* Guest code may use this much of the stack of the thread that calls it; wasmtime's default. */
#define GUEST_STACK_BYTES ((size_t)512 << 10)

/* Of a pooled slot: kept resident when it is freed, so that the next instance causes fewer page faults. */
#define POOL_KEEP_BYTES          ((size_t)1 << 20)
#define POOL_INSTANCE_BYTES      ((size_t)2 << 20)
#define POOL_SLOTS_MAX           65536u
#define POOL_TABLES_PER_INSTANCE 2u

/* ThreadSanitizer does not see the archive's atomics, and would call its compiler threads a race. */
#if defined(__SANITIZE_THREAD__)
#define COMPILE_IN_PARALLEL false
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define COMPILE_IN_PARALLEL false
#endif
#endif
#ifndef COMPILE_IN_PARALLEL
#define COMPILE_IN_PARALLEL true
#endif

static bool addresses_limited(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

static void set_features(wasm_config_t *config)
{
    /* One 32-bit memory of 64 KiB pages: all that the ABI knows. */
    wasmtime_config_wasm_multi_memory_set(config, false);
    wasmtime_config_wasm_memory64_set(config, false);
    wasmtime_config_wasm_custom_page_sizes_set(config, false);
    /* Backtraces use frame pointers; tables for C++ unwinders would double the time to map a module. */
    wasmtime_config_native_unwind_info_set(config, false);
    wasmtime_config_max_wasm_stack_set(config, GUEST_STACK_BYTES);
}

static void set_memory(wasm_config_t *config, const struct wt_codegen *codegen)
{
    wasmtime_config_memory_reservation_set(config, codegen->reserve_bytes);
    if (codegen->limited) {
        wasmtime_config_memory_guard_size_set(config, 0);
        wasmtime_config_memory_reservation_for_growth_set(config, GROWTH_BYTES);
    } else {
        wasmtime_config_memory_guard_size_set(config, codegen->signals ? GUARD_BYTES : 0);
        /* All that a memory may become is reserved: it stays where it is. */
        wasmtime_config_memory_may_move_set(config, false);
    }
}

wasm_config_t *wt_codegen_config(const struct wt_codegen *codegen)
{
    wasm_config_t *config = wasm_config_new();

    set_features(config);
    set_memory(config, codegen);
    wasmtime_config_signals_based_traps_set(config, codegen->signals);
    wasmtime_config_epoch_interruption_set(config, codegen->epoch);
    wasmtime_config_memory_init_cow_set(config, codegen->images);
    wasmtime_config_parallel_compilation_set(config, COMPILE_IN_PARALLEL && !codegen->one_thread);
    /* The single-pass register allocator would halve the time once more, but its frames are several times
     * larger: a Go plugin that lives with the stack it has would overflow it. */
    if (codegen->quick)
        wasmtime_config_cranelift_opt_level_set(config, WASMTIME_OPT_LEVEL_NONE);
    return config;
}

static void set_pool(wasm_config_t *config, const struct pw_engine_config *wanted)
{
    wasmtime_pooling_allocation_config_t *pool = wasmtime_pooling_allocation_config_new();
    uint32_t slots = wanted->pool_slots;

    wasmtime_pooling_allocation_config_total_core_instances_set(pool, slots);
    wasmtime_pooling_allocation_config_total_memories_set(pool, slots);
    wasmtime_pooling_allocation_config_total_tables_set(pool, slots * POOL_TABLES_PER_INSTANCE);
    wasmtime_pooling_allocation_config_max_tables_per_module_set(pool, POOL_TABLES_PER_INSTANCE);
    wasmtime_pooling_allocation_config_table_elements_set(pool, TABLE_ELEMENTS_MAX);
    wasmtime_pooling_allocation_config_max_core_instance_size_set(pool, POOL_INSTANCE_BYTES);
    wasmtime_pooling_allocation_config_max_memory_size_set(pool, wanted->pool_memory_bytes);
    wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(pool, POOL_KEEP_BYTES);
    wasmtime_pooling_allocation_config_table_keep_resident_set(pool, POOL_KEEP_BYTES);
    weir_pool_reset_written_pages(pool);
    wasmtime_pooling_allocation_strategy_set(config, pool);
    wasmtime_pooling_allocation_config_delete(pool);
}

static int check_config(const struct pw_engine_config *wanted, struct pw_message *why)
{
    if (wanted->pool_slots > POOL_SLOTS_MAX)
        return message_error(PW_ERR_INVALID_ARGUMENT, why, "pool_slots is %" PRIu32 ", at most %u",
                             wanted->pool_slots, POOL_SLOTS_MAX);
    if (wanted->pool_slots > 0 &&
        (wanted->pool_memory_bytes == 0 || wanted->pool_memory_bytes > RESERVATION_BYTES))
        return message_error(PW_ERR_INVALID_ARGUMENT, why, "pool_memory_bytes must be 1 to 4 GiB");
    return PW_OK;
}

/* wasmtime aborts the process when it cannot reserve its pool, so this asks for as much beforehand. */
static bool pool_fits(const struct pw_engine_config *wanted, bool limited)
{
    uint64_t memory = limited ? wanted->pool_memory_bytes : RESERVATION_BYTES + GUARD_BYTES;
    uint64_t tables = (uint64_t)TABLE_ELEMENTS_MAX * POOL_TABLES_PER_INSTANCE * sizeof(void *);
    uint64_t bytes = (wanted->pool_slots + 1) * (memory + tables + POOL_INSTANCE_BYTES);
    void *probe = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (probe == MAP_FAILED)
        return false;
    munmap(probe, bytes);
    return true;
}

int wt_engine_init(struct pw_engine *engine, const struct pw_engine_config *wanted, struct pw_message *why)
{
    bool signals = !wanted->no_signal_handlers;
    bool limited = addresses_limited();
    bool pooled = wanted->pool_slots > 0;
    struct wt_state *state;
    wasm_config_t *config;
    int error = check_config(wanted, why);

    if (error != PW_OK)
        return error;
    if (pooled && !pool_fits(wanted, limited))
        return message_error(PW_ERR_LIMIT, why, "no address space for a pool of %" PRIu32 " instances",
                             wanted->pool_slots);
    state = calloc(1, sizeof(*state));
    if (!state)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    state->codegen = (struct wt_codegen){
        .signals = signals,
        .epoch = wanted->interruptible,
        .limited = limited,
        .images = pooled,
        /* A pool must still reserve what a slot may hold. */
        .reserve_bytes = !limited ? RESERVATION_BYTES
                         : pooled ? wanted->pool_memory_bytes
                                  : 0,
    };
    config = wt_codegen_config(&state->codegen);
    if (pooled)
        set_pool(config, wanted);
    else
        wasmtime_config_host_memory_creator_set(
            config, &(wasmtime_memory_creator_t){.env = engine->host, .new_memory = wt_memory_create});
    /* The number: raise it when anything above changes compiled code in another way than these do. */
    (void)snprintf(state->settings, sizeof(state->settings),
                   "4 signals=%d epoch=%d images=%d reserve=%" PRIu64, signals, wanted->interruptible, pooled,
                   state->codegen.reserve_bytes);
    state->engine = wasm_engine_new_with_config(config); /* takes config */
    state->memory_stays = !limited;
    state->pool_slots = wanted->pool_slots;
    state->pagemap = pooled ? written_pages_open() : -1;
    state->pool_memory_bytes = pooled ? wanted->pool_memory_bytes : 0;
    state->quick_bytes_min = wanted->quick_bytes_min;
    engine->state = state;
    engine->interruptible = wanted->interruptible;
    return PW_OK;
}

void wt_engine_fini(struct pw_engine *engine)
{
    struct wt_state *state = engine->state;

    wasm_engine_delete(state->engine);
    if (state->pagemap >= 0)
        close(state->pagemap);
    free(state);
    engine->state = NULL;
}
