/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linear memories of long-lived VMs: reserved addresses of which a part is open. Making and growing one asks
 * the VM's limit and the host's budget, which the engine's own limiter cannot. A refused growth is a -1 in
 * the guest.
 */
#include "proxywasm/engine/wasmtime_impl.h"

#include "base/assert.h"
#include "proxywasm/guest.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/vm_impl.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct linear_memory {
    struct pw_host *host;
    struct engine_instance *instance;
    char *base;
    size_t mapped;   /* addresses, guard included */
    size_t capacity; /* of them, what the memory may become in place */
    size_t size;
};

/* The engine makes memories without saying for whom: the instance that this thread is making. */
static _Thread_local struct engine_instance *making;

void wt_memory_owner(struct engine_instance *instance)
{
    making = instance;
}

static size_t page_up(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) & ~(page - 1);
}

static wasmtime_error_t *refused(struct pw_vm *vm, enum pw_limit limit)
{
    vm_limit_passed(vm, limit);
    return wasmtime_error_new("over the limit of memory");
}

static uint8_t *get_memory(void *env, size_t *size, size_t *capacity)
{
    const struct linear_memory *m = env;
    *size = m->size;
    *capacity = m->capacity;
    return (uint8_t *)m->base;
}

/* Where nothing was reserved the memory moves. */
static bool move_to(struct linear_memory *m, size_t capacity)
{
    size_t guard = m->mapped - m->capacity;
    size_t mapped = page_up(capacity) + guard;
    void *base = mremap(m->base, m->mapped, mapped, MREMAP_MAYMOVE);
    if (base == MAP_FAILED)
        return false;
    m->base = base;
    m->mapped = mapped;
    m->capacity = mapped - guard;
    return true;
}

static bool open_up(struct linear_memory *m, size_t size)
{
    if (size > m->capacity && !move_to(m, size))
        return false;
    return size == 0 || mprotect(m->base, page_up(size), PROT_READ | PROT_WRITE) == 0;
}

static wasmtime_error_t *grow_memory(void *env, size_t size)
{
    struct linear_memory *m = env;
    struct pw_vm *vm = m->instance->vm;
    WEIR_ASSERT(size >= m->size);
    if (size > vm->limits.memory_max_bytes)
        return refused(vm, PW_LIMIT_memory_max_bytes);
    if (!budget_take(&m->host->budget, size - m->size))
        return refused(vm, PW_LIMIT_total_memory);
    if (!open_up(m, size)) {
        budget_give(&m->host->budget, size - m->size);
        return wasmtime_error_new("out of memory");
    }
    m->size = size;
    return NULL;
}

static void drop_memory(void *env)
{
    struct linear_memory *m = env;
    munmap(m->base, m->mapped);
    budget_give(&m->host->budget, m->size);
    free(m);
}

static wasmtime_error_t *no_memory(const char *what)
{
    making->memory_error = PW_ERR_NOMEM;
    return wasmtime_error_new(what);
}

wasmtime_error_t *wt_memory_create(void *env, const wasm_memorytype_t *type, size_t minimum, size_t maximum,
                                   size_t reserved, size_t guard, wasmtime_linear_memory_t *out)
{
    struct pw_host *host = env;
    (void)type;
    (void)maximum;
    WEIR_ASSERT(making);
    struct linear_memory *m = calloc(1, sizeof(*m));
    if (!m)
        return no_memory("out of memory");
    m->host = host;
    m->instance = making;
    m->capacity = page_up(reserved > minimum ? reserved : minimum);
    m->mapped = m->capacity + page_up(guard);
    if (m->mapped == 0)
        m->mapped = page_up(1);
    m->base = mmap(NULL, m->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->base == MAP_FAILED) {
        free(m);
        return no_memory("no address space for a memory");
    }
    if (!budget_take(&host->budget, minimum)) {
        munmap(m->base, m->mapped);
        free(m);
        return refused(making->vm, PW_LIMIT_total_memory);
    }
    m->size = minimum;
    if (!open_up(m, minimum)) {
        drop_memory(m);
        return no_memory("out of memory");
    }
    *out = (wasmtime_linear_memory_t){m, get_memory, grow_memory, drop_memory};
    return NULL;
}
