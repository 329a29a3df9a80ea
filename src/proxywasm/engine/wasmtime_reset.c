/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets an instance of a snapshot back to what it began with, for the next stream, instead of making another
 * one. All that guest code can change in a module that the snapshotter takes is its memory and its mutable
 * globals: it refuses what writes to tables or drops segments. Whatever else may be different, or cannot be
 * known, ends the instance.
 */
#include "proxywasm/engine/global_exports.h"
#include "proxywasm/engine/state.h"
#include "proxywasm/engine/wasmtime_impl.h"
#include "proxywasm/engine/written_pages.h"

#include "base/assert.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/limits.h"
#include "proxywasm/vm_impl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Toolchains make one (the stack) to eight (Go). */
#define GLOBALS_MAX 32u

struct wt_image {
    char *memory;
    size_t memory_bytes;
    uint32_t globals[GLOBALS_MAX];
    uint32_t globals_count;
};

struct wt_reset {
    bool able;
    struct written_pages written;
    wasmtime_global_t globals[GLOBALS_MAX];
    wasmtime_val_t values[GLOBALS_MAX];
};

static bool all_zero(const char *at, size_t len)
{
    return at[0] == 0 && memcmp(at, at + 1, len - 1) == 0;
}

/* Pages of zeros stay what a new mapping has: nothing. */
static bool copy_memory(struct wt_image *image, struct slice memory)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    WEIR_ASSERT(memory.len % page == 0);
    if (memory.len == 0)
        return false;
    image->memory =
        mmap(NULL, memory.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (image->memory == MAP_FAILED)
        return false;
    image->memory_bytes = memory.len;
    for (size_t at = 0; at < memory.len; at += page)
        if (!all_zero(memory.ptr + at, page))
            memcpy(image->memory + at, memory.ptr + at, page);
    return mprotect(image->memory, memory.len, PROT_READ) == 0;
}

static bool read_globals(struct wt_image *image, struct slice state)
{
    struct slice name, value;
    uint64_t index;

    while (state_next(&state, &name, &value)) {
        if (!slice_starts_with(name, SLICE_LIT(STATE_GLOBAL_PREFIX)))
            continue;
        if (image->globals_count == GLOBALS_MAX ||
            !slice_parse_u64(slice_skip(name, sizeof(STATE_GLOBAL_PREFIX) - 1), &index))
            return false;
        image->globals[image->globals_count++] = (uint32_t)index;
    }
    return true;
}

/* Whether all the names that we would add are free. */
static bool names_free(const struct scan *scan)
{
    for (size_t i = 0; i < scan->exports_count; i++)
        if (slice_starts_with(scan->exports[i].name, SLICE_LIT(GLOBAL_EXPORT_PREFIX)))
            return false;
    return scan->exports_count + GLOBALS_MAX <= MODULE_EXPORTS_MAX;
}

struct wt_image *wt_image_create(const struct pw_module *module)
{
    const struct wt_state *state = module->engine->state;
    struct wt_image *image;

    if (state->pagemap < 0 || !state->memory_stays || !names_free(&module->scan))
        return NULL;
    image = calloc(1, sizeof(*image));
    if (image && !(read_globals(image, module->state) &&
                   copy_memory(image, state_find(module->state, STATE_MEMORY_PREFIX "0"))))
        wt_image_destroy(&image);
    return image;
}

void wt_image_destroy(struct wt_image **image)
{
    if (*image && (*image)->memory_bytes > 0)
        munmap((*image)->memory, (*image)->memory_bytes);
    free(*image);
    *image = NULL;
}

char *wt_image_exports(const struct wt_image *image, struct slice code, size_t *len)
{
    return global_exports_add(code, image->globals, image->globals_count, len);
}

/* Where the globals are, and what they begin with. */
static bool find_globals(struct engine_instance *instance, const struct wt_image *image)
{
    struct wt_reset *reset = instance->reset;

    for (uint32_t i = 0; i < image->globals_count; i++) {
        char name[GLOBAL_EXPORT_BYTES];
        size_t len = global_export_name(image->globals[i], name);
        wasmtime_extern_t item;

        if (!wasmtime_instance_export_get(instance->context, &instance->instance, name, len, &item))
            return false;
        WEIR_ASSERT(item.kind == WASMTIME_EXTERN_GLOBAL);
        reset->globals[i] = item.of.global;
        wasmtime_global_get(instance->context, &reset->globals[i], &reset->values[i]);
    }
    return true;
}

void wt_reset_prepare(struct engine_instance *instance)
{
    const struct wt_image *image = instance->module->impl->image;

    if (!image)
        return;
    if (!instance->reset)
        instance->reset = calloc(1, sizeof(*instance->reset));
    if (!instance->reset)
        return;
    instance->reset->written.thread = 0;
    /* What the kernel joins to huge pages behind our back we could not find again. */
    instance->reset->able =
        instance->memory_base &&
        wasmtime_memory_data_size(instance->context, &instance->memory) == image->memory_bytes &&
        madvise(instance->memory_base, image->memory_bytes, MADV_NOHUGEPAGE) == 0 &&
        find_globals(instance, image);
}

/* Idle instances leave half of the slots to others. */
static bool may_stay(const struct engine_instance *instance)
{
    const struct wt_state *state = instance->vm->engine->state;

    return atomic_load_explicit(&state->open, memory_order_relaxed) * 2 <= state->pool_slots;
}

static bool restore_memory(const struct engine_instance *instance, const struct wt_image *image)
{
    const struct wt_state *state = instance->vm->engine->state;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct written_pages *written = &instance->reset->written;

    if (!written_pages_look(written, state->pagemap, instance->memory_base, image->memory_bytes))
        return false;
    for (uint32_t i = 0; i < written->count; i++) {
        size_t at = written->runs[i].first * page;
        memcpy(instance->memory_base + at, image->memory + at, written->runs[i].count * page);
    }
    return true;
}

static void restore_globals(const struct engine_instance *instance, const struct wt_image *image)
{
    for (uint32_t i = 0; i < image->globals_count; i++) {
        wasmtime_error_t *error =
            wasmtime_global_set(instance->context, &instance->reset->globals[i], &instance->reset->values[i]);
        WEIR_ASSERT(!error);
    }
}

/* On another thread, while the instance's own looks at nothing of it. Its pages go, the addresses stay: the
 * owner finds it ended and makes another one. */
static void end_idle(struct budget_idle *idle)
{
    struct engine_instance *instance = WEIR_CONTAINER_OF(idle, struct engine_instance, idle);

    (void)madvise(instance->memory_base, idle->bytes, MADV_DONTNEED);
}

bool wt_instance_reset(struct engine_instance *instance)
{
    const struct wt_image *image = instance->module->impl->image;

    if (!instance->store || !instance->reset || !instance->reset->able || instance->stop_error != PW_OK)
        return false;
    if (instance->code != wt_module_code(instance->module->impl) || !may_stay(instance))
        return false;
    if (wasmtime_memory_data_size(instance->context, &instance->memory) != image->memory_bytes)
        return false; /* a memory does not shrink */
    if (!restore_memory(instance, image))
        return false;
    restore_globals(instance, image);
    instance->idle.bytes = instance->memory_charged;
    instance->idle.end = end_idle;
    return budget_lie_idle(&instance->vm->host->budget, &instance->idle);
}
