/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only ways to reach guest memory from a host function (ABI 3.16). Every address and length of a guest
 * passes guest_slice or guest_put; nothing here is valid across guest_allocate, which may move the memory.
 */
#ifndef PROXYWASM_GUEST_H
#define PROXYWASM_GUEST_H

#include "proxywasm/limit_check.h"
#include "proxywasm/vm_impl.h"

#include <endian.h>

/* Addresses that a native plugin cannot mean: the first page. */
#define NATIVE_ADDRESS_MIN 4096u

/* The guest's memory may have grown since the last look: whether it holds the range now. */
bool guest_grew(const struct pw_vm *vm, uint64_t address, uint64_t len);

static inline bool guest_holds(const struct guest_memory *m, uint64_t address, uint64_t len)
{
    return len <= m->size && address <= m->size - len;
}

/* (address + len) must lie in memory, also for len 0: (0x7fffffff, 0) fails, (0, 0) is fine. */
static inline char *guest_at(const struct pw_vm *vm, uint64_t address, uint64_t len)
{
    const struct guest_memory *m = &vm->memory;
    if (WEIR_UNLIKELY(!guest_holds(m, address, len)) && !guest_grew(vm, address, len))
        return NULL;
    if (WEIR_UNLIKELY(!m->base)) {
        /* Native plugin, or a module without memory. */
        static char nothing[1];
        if (len == 0)
            return nothing;
        return address < NATIVE_ADDRESS_MIN ? NULL : (char *)(uintptr_t)address;
    }
    return m->base + address;
}

static inline bool guest_slice(const struct pw_vm *vm, uint64_t address, uint64_t len, struct slice *out)
{
    const char *p = guest_at(vm, address, len);
    *out = slice_of(p, p ? (size_t)len : 0);
    return p != NULL;
}

/* On the null engine every out-parameter is one 8-byte slot, whatever its width in the Wasm ABI. */
static inline bool guest_put(const struct pw_vm *vm, uint64_t address, uint64_t value, unsigned width)
{
    const struct guest_memory *m = &vm->memory;
    WEIR_ASSERT(width == 4 || width == 8);
    if (WEIR_LIKELY(m->base && guest_holds(m, address, width))) {
        value = htole64(value);
        memcpy(m->base + address, &value, width);
        return true;
    }
    width = vm->ops->address_bytes == 8 ? 8 : width;
    char *p = guest_at(vm, address, width);
    if (!p)
        return false;
    value = htole64(value);
    memcpy(p, &value, width);
    return true;
}

static inline bool guest_put_u32(const struct pw_vm *vm, uint64_t address, uint32_t value)
{
    return guest_put(vm, address, value, 4);
}

static inline bool guest_put_u64(const struct pw_vm *vm, uint64_t address, uint64_t value)
{
    return guest_put(vm, address, value, 8);
}

/* An address or a size. */
static inline bool guest_put_word(const struct pw_vm *vm, uint64_t address, uint64_t value)
{
    return guest_put(vm, address, value, 4);
}

/* A plain i32 argument: the null engine promises zero extension, a hostile one cannot be believed. */
static inline uint32_t arg_u32(uint64_t arg)
{
    return (uint32_t)arg;
}

/*
 * len > 0 bytes from the guest's allocator; the guest owns them. NULL: it has none left, answered nonsense,
 * or trapped (the VM has then failed). Slices into guest memory taken before are invalid now.
 */
char *guest_allocate(struct pw_vm *vm, uint64_t len, uint64_t *address);

/*
 * Hands `data` over in memory of the guest: address first, then size. Empty data is address 0 and size 0,
 * without an allocation. `data` must not lie in guest memory. False: INVALID_MEMORY_ACCESS.
 */
bool guest_give(struct pw_vm *vm, struct slice data, uint64_t address_out, uint64_t size_out);

/* Copies into the scratch arena; ptr is NULL when host_bytes_max is reached. */
struct slice guest_keep(struct pw_vm *vm, struct slice data);

/* Counts that the guest passed a limit, and says so once a second; the answer to it. */
enum pw_status vm_limit_passed(struct pw_vm *vm, enum pw_limit limit);

/* ... that a store found passed, if any. */
static inline void vm_count_limit(struct pw_vm *vm, const struct limit_check *check)
{
    if (WEIR_UNLIKELY(check->passed != PW_LIMIT_COUNT))
        vm_limit_passed(vm, check->passed);
}

/* Counts bytes that came out of the guest; what goes in is counted by guest_allocate. */
static inline void vm_count_bytes(struct pw_vm *vm, uint64_t bytes)
{
    vm->cost->bytes += bytes;
}

/* Whether `bytes` more may be held for this VM outside of the scratch arena. */
bool vm_charge(struct pw_vm *vm, uint64_t bytes);
void vm_uncharge(struct pw_vm *vm, uint64_t bytes);
/* Gives back what is held in advance of charges: nothing is charged soon. */
void vm_repay(struct pw_vm *vm);

#endif
