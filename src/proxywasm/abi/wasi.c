/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The WASI functions that real modules depend on: output, clocks, random, environment. There are no files, no
 * network and no arguments behind them.
 */
#include "proxywasm/abi/wasi.h"
#include "proxywasm/abi/hostcalls.h"
#include "proxywasm/guest.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/vm_log.h"

#define FD_STDOUT   1
#define FD_STDERR   2
#define IOVEC_BYTES 8

static uint32_t load_u32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

/* The i-th iovec's bytes; those of length 0 are not looked at. */
static bool iovec_at(const struct pw_vm *vm, struct slice iovecs, uint32_t i, struct slice *out)
{
    const char *p = iovecs.ptr + (size_t)i * IOVEC_BYTES;
    uint32_t len = load_u32(p + 4);
    *out = SLICE_EMPTY;
    return len == 0 || guest_slice(vm, load_u32(p), len, out);
}

/* Sum of lengths, or an errno. */
static uint32_t iovecs_measure(const struct pw_vm *vm, struct slice iovecs, uint32_t count, uint64_t *bytes)
{
    struct slice part;
    *bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!iovec_at(vm, iovecs, i, &part))
            return WASI_FAULT;
        *bytes += part.len;
    }
    return *bytes > UINT32_MAX ? WASI_INVAL : WASI_SUCCESS;
}

/* One line of all parts, cut at the log's limit; one trailing newline goes. */
static bool iovecs_log(struct pw_vm *vm, struct slice iovecs, uint32_t count, uint64_t bytes,
                       enum pw_log_level level)
{
    struct slice part, line;
    size_t room = bytes < LOG_LINE_BYTES_MAX ? bytes : LOG_LINE_BYTES_MAX;
    if (count == 1) {
        if (!iovec_at(vm, iovecs, 0, &line))
            return false;
    } else {
        char *text = arena_alloc_text(&vm->scratch, room);
        size_t len = 0;
        if (!text)
            return false;
        for (uint32_t i = 0; i < count && len < room; i++) {
            if (!iovec_at(vm, iovecs, i, &part))
                return false;
            part = slice_take(part, room - len);
            if (part.len)
                memcpy(text + len, part.ptr, part.len);
            len += part.len;
        }
        line = slice_of(text, len);
    }
    if (line.len == bytes && line.ptr[line.len - 1] == '\n')
        line.len--;
    vm_log(vm, vm_context(vm), level, line, true);
    return true;
}

static uint32_t fd_output(struct pw_vm *vm, uint32_t fd, const uint64_t *iov, uint64_t written_out)
{
    uint32_t count = arg_u32(iov[1]);
    struct slice iovecs;
    uint64_t bytes;
    if (fd != FD_STDOUT && fd != FD_STDERR)
        return WASI_BADF;
    if (count > FD_WRITE_IOVECS_MAX)
        return WASI_INVAL;
    if (!guest_slice(vm, iov[0], (uint64_t)count * IOVEC_BYTES, &iovecs))
        return WASI_FAULT;
    uint32_t error = iovecs_measure(vm, iovecs, count, &bytes);
    if (error)
        return error;
    if (bytes > 0 && !iovecs_log(vm, iovecs, count, bytes, fd == FD_STDOUT ? PW_LOG_INFO : PW_LOG_ERROR))
        return WASI_BADF;
    return guest_put_u32(vm, written_out, (uint32_t)bytes) ? WASI_SUCCESS : WASI_FAULT;
}

uint32_t wasi_fd_write(struct pw_vm *vm, const uint64_t *args)
{
    return fd_output(vm, arg_u32(args[0]), args + 1, args[3]);
}

/* (fd, iovs, iovs_len, offset, *nwritten): the offset means nothing on a log. */
uint32_t wasi_fd_pwrite(struct pw_vm *vm, const uint64_t *args)
{
    return fd_output(vm, arg_u32(args[0]), args + 1, args[4]);
}

uint32_t wasi_environ_sizes_get(struct pw_vm *vm, const uint64_t *args)
{
    return guest_put_u32(vm, args[0], (uint32_t)vm->environment_count) &&
                   guest_put_u32(vm, args[1], (uint32_t)vm->environment_bytes)
               ? WASI_SUCCESS
               : WASI_FAULT;
}

uint32_t wasi_environ_get(struct pw_vm *vm, const uint64_t *args)
{
    uint64_t pointer = args[0];
    uint64_t text = args[1];
    for (size_t i = 0; i < vm->environment_count; i++) {
        struct slice entry = vm->environment[i].text;
        char *to = guest_at(vm, text, entry.len + 1);
        if (!to || !guest_put_u32(vm, pointer, (uint32_t)text))
            return WASI_FAULT;
        memcpy(to, entry.ptr, entry.len + 1); /* with its NUL */
        pointer += 4;
        text += entry.len + 1;
    }
    return WASI_SUCCESS;
}

uint32_t wasi_args_sizes_get(struct pw_vm *vm, const uint64_t *args)
{
    return guest_put_u32(vm, args[0], 0) && guest_put_u32(vm, args[1], 0) ? WASI_SUCCESS : WASI_FAULT;
}

uint32_t wasi_args_get(struct pw_vm *vm, const uint64_t *args)
{
    (void)vm;
    (void)args;
    return WASI_SUCCESS;
}

uint32_t wasi_clock_time_get(struct pw_vm *vm, const uint64_t *args)
{
    const struct pw_host *host = vm->host;
    uint64_t now;
    switch (arg_u32(args[0])) {
    case 0:
        now = host->ops.realtime_ns(host->ctx);
        break;
    case 1:
        now = host->ops.monotonic_ns(host->ctx);
        break;
    default:
        return WASI_NOTSUP;
    }
    return guest_put_u64(vm, args[2], now) ? WASI_SUCCESS : WASI_FAULT;
}

uint32_t wasi_clock_res_get(struct pw_vm *vm, const uint64_t *args)
{
    if (arg_u32(args[0]) > 1)
        return WASI_NOTSUP;
    return guest_put_u64(vm, args[1], 1) ? WASI_SUCCESS : WASI_FAULT;
}

uint32_t wasi_random_get(struct pw_vm *vm, const uint64_t *args)
{
    uint64_t len = args[1];
    if (len > RANDOM_BYTES_MAX)
        return WASI_INVAL;
    if (len == 0)
        return WASI_SUCCESS;
    char *to = guest_at(vm, args[0], len);
    if (!to)
        return WASI_FAULT;
    return vm->host->ops.random(vm->host->ctx, to, len) ? WASI_SUCCESS : WASI_INVAL;
}

uint32_t wasi_sched_yield(struct pw_vm *vm, const uint64_t *args)
{
    (void)vm;
    (void)args;
    return WASI_SUCCESS;
}

/* (in, out, n, *nevents): the Go runtime throws on any error, so no event is all that comes. */
uint32_t wasi_poll_oneoff(struct pw_vm *vm, const uint64_t *args)
{
    return guest_put_u32(vm, args[3], 0) ? WASI_SUCCESS : WASI_FAULT;
}

/* Returns to the guest, which then runs into its own `unreachable`, as in the reference host. */
uint32_t wasi_proc_exit(struct pw_vm *vm, const uint64_t *args)
{
    vm_logf(vm, vm_context(vm), PW_LOG_ERROR, "the plugin called proc_exit(%u)", arg_u32(args[0]));
    return WASI_SUCCESS;
}
