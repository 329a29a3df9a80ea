/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link table of host functions, made from the rows of hostcalls.h, and what stands between a guest and a
 * row: the mode of the VM (ABI 3.2) and denied capabilities (ABI 3.15).
 */
#include "proxywasm/abi/hostcalls.h"

#include "proxywasm/vm_call.h"
#include "proxywasm/vm_config.h"
#include "proxywasm/vm_log.h"

#define WASI_NOTCAPABLE 76

/* Bit i: parameter i is an 'I'. As a constant, so that no host call looks at letters. */
#define WIDE_AT(params, i)                                                                                   \
    ((uint16_t)((params)[(i) < sizeof(params) ? (i) : sizeof(params) - 1] == 'I') << (i))
#define WIDE(params)                                                                                         \
    (WIDE_AT(params, 0) | WIDE_AT(params, 1) | WIDE_AT(params, 2) | WIDE_AT(params, 3) |                     \
     WIDE_AT(params, 4) | WIDE_AT(params, 5) | WIDE_AT(params, 6) | WIDE_AT(params, 7))

const struct host_function host_functions[] = {
#define PROXY_X(name, params, abi, where)                                                                    \
    {"env", #name, params, sizeof(params) - 1, WIDE(params),                                                 \
     true,  abi,   where,  CAPABILITY_##name,  hostcall_##name},
#define WASI_X(name, params, result, where)                                                                  \
    {"wasi_snapshot_preview1", #name,      params, sizeof(params) - 1, WIDE(params), result, ABI_ALL, where, \
     CAPABILITY_##name,        wasi_##name},
#define LIBC_X(name, params, result, where)                                                                  \
    {"env",  #name,   params, sizeof(params) - 1, WIDE(params),                                              \
     result, ABI_ALL, where,  CAPABILITY_NONE,    wasi_##name},
    PROXY_FUNCTIONS(PROXY_X) WASI_FUNCTIONS(WASI_X) LIBC_FUNCTIONS(LIBC_X)
    /* As modules that were built against the reference host's mistake import them. */
    {"wasi_snapshot_preview1", "path_link", "iiiiii", sizeof("iiiiii") - 1, 0, true, ABI_ALL, IN_START,
     CAPABILITY_path_link, wasi_path_link},
    {"wasi_snapshot_preview1", "path_symlink", "iiii", sizeof("iiii") - 1, 0, true, ABI_ALL, IN_START,
     CAPABILITY_path_symlink, wasi_path_symlink},
#undef PROXY_X
#undef WASI_X
#undef LIBC_X
};

const size_t host_functions_count = WEIR_ARRAY_LEN(host_functions);

uint32_t wasi_pthread_equal(struct pw_vm *vm, const uint64_t *args)
{
    (void)vm;
    return (uint32_t)args[0] == (uint32_t)args[1];
}

uint32_t wasi_emscripten_notify_memory_growth(struct pw_vm *vm, const uint64_t *args)
{
    (void)vm;
    (void)args;
    return 0;
}

static bool is_denied(const struct pw_vm *vm, const struct host_function *fn)
{
    if (!vm->denied.any || fn->capability == CAPABILITY_NONE)
        return false;
    return vm->denied.host[fn->capability / 64] >> (fn->capability % 64) & 1;
}

enum hostcall_verdict hostcall_gate(struct pw_vm *vm, const struct host_function *fn, uint32_t *result)
{
    uint8_t need = vm->mode == VM_START ? HOSTCALL_IN_START : vm->mode == VM_MALLOC ? HOSTCALL_IN_MALLOC : 0;
    if (need && !(fn->allowed_in & need))
        return HOSTCALL_REFUSED;
    if (!is_denied(vm, fn))
        return HOSTCALL_RUN;
    vm_logf(vm, vm->current, PW_LOG_ERROR, "Attempted call to restricted proxy-wasm capability: %s",
            fn->name);
    *result = fn->capability < CAPABILITY_fd_write ? PW_STATUS_INTERNAL_FAILURE : WASI_NOTCAPABLE;
    return HOSTCALL_ANSWERED;
}

static bool is_named(const struct pw_slice *capabilities, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_eq(slice_from_pw(capabilities[i]), slice_str(name)))
            return true;
    }
    return false;
}

void denied_init(struct denied_set *denied, const struct pw_slice *capabilities, size_t count)
{
    *denied = (struct denied_set){0};
    if (count == 0)
        return;
    denied->any = true;
    for (size_t i = 0; i < host_functions_count; i++) {
        unsigned bit = host_functions[i].capability;
        if (bit != CAPABILITY_NONE && !is_named(capabilities, count, host_functions[i].name))
            denied->host[bit / 64] |= UINT64_C(1) << (bit % 64);
    }
    for (unsigned fn = 0; fn < GUEST_FUNCTION_COUNT; fn++) {
        if (!is_named(capabilities, count, guest_function_name(fn)))
            denied->guest |= UINT64_C(1) << fn;
    }
}
