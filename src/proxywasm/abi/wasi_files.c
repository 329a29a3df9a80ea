/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The WASI functions for files and sockets, of which a plugin has none: each gives the errno of the reference
 * host, so that language runtimes take the same way at start-up. Where that host writes past an
 * out-parameter or leaves it undefined, this one does not.
 */
#include "proxywasm/abi/hostcalls.h"
#include "proxywasm/abi/wasi.h"
#include "proxywasm/guest.h"

/* One that looks at nothing. */
#define WASI_CONSTANT(name, error)                                                                           \
    uint32_t wasi_##name(struct pw_vm *vm, const uint64_t *args)                                             \
    {                                                                                                        \
        (void)vm;                                                                                            \
        (void)args;                                                                                          \
        return error;                                                                                        \
    }

/* One that only accepts the two outputs. */
#define WASI_ON_OUTPUT(name)                                                                                 \
    uint32_t wasi_##name(struct pw_vm *vm, const uint64_t *args)                                             \
    {                                                                                                        \
        (void)vm;                                                                                            \
        return is_output(args[0]) ? WASI_SUCCESS : WASI_BADF;                                                \
    }

static bool is_output(uint64_t fd)
{
    return arg_u32(fd) == 1 || arg_u32(fd) == 2;
}

WASI_CONSTANT(fd_read, WASI_NOSYS)
WASI_CONSTANT(fd_pread, WASI_NOSYS)
WASI_CONSTANT(fd_close, WASI_SUCCESS)
WASI_CONSTANT(fd_fdstat_set_flags, WASI_NOSYS)
WASI_CONSTANT(fd_advise, WASI_SUCCESS)
WASI_CONSTANT(fd_prestat_get, WASI_BADF) /* ends wasi-libc's scan for open directories */
WASI_CONSTANT(fd_prestat_dir_name, WASI_NOSYS)
WASI_CONSTANT(fd_filestat_get, WASI_BADF)
WASI_CONSTANT(path_open, WASI_NOENT)
WASI_CONSTANT(path_filestat_get, WASI_NOTSUP)
WASI_CONSTANT(path_create_directory, WASI_NOTSUP)
WASI_CONSTANT(path_remove_directory, WASI_NOTSUP)
WASI_CONSTANT(path_unlink_file, WASI_NOTSUP)
WASI_CONSTANT(path_filestat_set_times, WASI_NOTSUP)
WASI_CONSTANT(path_link, WASI_NOTSUP)
WASI_CONSTANT(path_rename, WASI_NOTSUP)
WASI_CONSTANT(path_symlink, WASI_NOTSUP)
WASI_CONSTANT(sock_recv, WASI_NOTSUP)
WASI_CONSTANT(sock_send, WASI_NOTSUP)
WASI_CONSTANT(sock_shutdown, WASI_NOTSUP)

WASI_ON_OUTPUT(fd_fdstat_set_rights)
WASI_ON_OUTPUT(fd_allocate)
WASI_ON_OUTPUT(fd_datasync)
WASI_ON_OUTPUT(fd_sync)
WASI_ON_OUTPUT(fd_filestat_set_size)
WASI_ON_OUTPUT(fd_filestat_set_times)

/* struct fdstat: type unknown, no flags, the right to write, nothing inherited; so isatty() is false. */
uint32_t wasi_fd_fdstat_get(struct pw_vm *vm, const uint64_t *args)
{
    if (!is_output(args[0]))
        return WASI_BADF;
    char *to = guest_at(vm, args[1], 24);
    if (!to)
        return WASI_FAULT;
    const uint64_t stat[3] = {0, htole64(64), 0};
    memcpy(to, stat, sizeof(stat));
    return WASI_SUCCESS;
}

/* (fd, offset, whence, *new): success as in the reference host, but the result is written. */
uint32_t wasi_fd_seek(struct pw_vm *vm, const uint64_t *args)
{
    return guest_put_u64(vm, args[3], 0) ? WASI_SUCCESS : WASI_FAULT;
}

uint32_t wasi_fd_tell(struct pw_vm *vm, const uint64_t *args)
{
    if (!is_output(args[0]))
        return WASI_BADF;
    return guest_put_u64(vm, args[1], 0) ? WASI_SUCCESS : WASI_FAULT;
}

/* (fd, buf, len, cookie, *nread) */
uint32_t wasi_fd_readdir(struct pw_vm *vm, const uint64_t *args)
{
    return guest_put_u32(vm, args[4], 0) ? WASI_NOTDIR_AS_RETURNED : WASI_FAULT;
}

uint32_t wasi_fd_renumber(struct pw_vm *vm, const uint64_t *args)
{
    (void)vm;
    return is_output(args[0]) && is_output(args[1]) ? WASI_NOTSUP : WASI_BADF;
}

/* (fd, path, path_len, buf, buf_len, *n) */
uint32_t wasi_path_readlink(struct pw_vm *vm, const uint64_t *args)
{
    return guest_put_u32(vm, args[5], 0) ? WASI_NOTSUP : WASI_FAULT;
}

/* (fd, flags, *fd): four bytes, where the reference host writes eight. */
uint32_t wasi_sock_accept(struct pw_vm *vm, const uint64_t *args)
{
    return guest_put_u32(vm, args[2], 0) ? WASI_NOTSUP : WASI_FAULT;
}
