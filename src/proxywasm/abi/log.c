/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging, log level and time. The embedder decides what is written; nothing is filtered here.
 */
#include "proxywasm/abi/hostcalls.h"
#include "proxywasm/guest.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/vm_log.h"

uint32_t hostcall_proxy_log(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t level = arg_u32(args[0]);
    struct slice text;
    if (level > PW_LOG_CRITICAL)
        return PW_STATUS_BAD_ARGUMENT; /* before the memory check (ABI 3.16) */
    if (!guest_slice(vm, args[1], args[2], &text))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    vm_count_bytes(vm, text.len);
    vm_log(vm, vm_context(vm), (enum pw_log_level)level, text, true);
    return PW_STATUS_OK;
}

uint32_t hostcall_proxy_get_log_level(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t level = vm->host->ops.log_level(vm->host->ctx);
    return guest_put_u32(vm, args[0], level) ? PW_STATUS_OK : PW_STATUS_INVALID_MEMORY_ACCESS;
}

uint32_t hostcall_proxy_get_current_time_nanoseconds(struct pw_vm *vm, const uint64_t *args)
{
    uint64_t now = vm->host->ops.realtime_ns(vm->host->ctx);
    return guest_put_u64(vm, args[0], now) ? PW_STATUS_OK : PW_STATUS_INVALID_MEMORY_ACCESS;
}
