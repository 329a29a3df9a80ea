/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host functions: one row of a table each, from which come the prototypes, the link table of the engines
 * and the capability numbers. hostcall_run is the only way by which an engine enters one.
 */
#ifndef PROXYWASM_ABI_HOSTCALLS_H
#define PROXYWASM_ABI_HOSTCALLS_H

#include "proxywasm/vm_impl.h"

#define ABI_BIT_A (1u << PW_ABI_0_1_0)
#define ABI_BIT_B (1u << PW_ABI_0_2_0)
#define ABI_BIT_C (1u << PW_ABI_0_2_1)
#define ABI_A     ABI_BIT_A
#define ABI_BC    (ABI_BIT_B | ABI_BIT_C)
#define ABI_C     ABI_BIT_C
#define ABI_ALL   (ABI_BIT_A | ABI_BIT_B | ABI_BIT_C)

#define IN_CALLBACK 0
#define IN_START    HOSTCALL_IN_START
#define IN_ANY      (HOSTCALL_IN_START | HOSTCALL_IN_MALLOC)

/* Module "env"; all give an i32 status. X(name, parameters, ABI versions, where besides callbacks) */
#define PROXY_FUNCTIONS(X)                                                                                   \
    X(proxy_log, "iii", ABI_ALL, IN_ANY)                                                                     \
    X(proxy_get_log_level, "i", ABI_C, IN_CALLBACK)                                                          \
    X(proxy_get_current_time_nanoseconds, "i", ABI_ALL, IN_CALLBACK)                                         \
    X(proxy_set_tick_period_milliseconds, "i", ABI_ALL, IN_CALLBACK)                                         \
    X(proxy_get_configuration, "ii", ABI_A, IN_CALLBACK)                                                     \
    X(proxy_get_status, "iii", ABI_ALL, IN_CALLBACK)                                                         \
    X(proxy_get_property, "iiii", ABI_ALL, IN_CALLBACK)                                                      \
    X(proxy_set_property, "iiii", ABI_ALL, IN_CALLBACK)                                                      \
    X(proxy_get_buffer_bytes, "iiiii", ABI_ALL, IN_CALLBACK)                                                 \
    X(proxy_get_buffer_status, "iii", ABI_ALL, IN_CALLBACK)                                                  \
    X(proxy_set_buffer_bytes, "iiiii", ABI_ALL, IN_CALLBACK)                                                 \
    X(proxy_get_header_map_size, "ii", ABI_ALL, IN_CALLBACK)                                                 \
    X(proxy_get_header_map_pairs, "iii", ABI_ALL, IN_CALLBACK)                                               \
    X(proxy_set_header_map_pairs, "iii", ABI_ALL, IN_CALLBACK)                                               \
    X(proxy_get_header_map_value, "iiiii", ABI_ALL, IN_CALLBACK)                                             \
    X(proxy_add_header_map_value, "iiiii", ABI_ALL, IN_CALLBACK)                                             \
    X(proxy_replace_header_map_value, "iiiii", ABI_ALL, IN_CALLBACK)                                         \
    X(proxy_remove_header_map_value, "iii", ABI_ALL, IN_CALLBACK)                                            \
    X(proxy_continue_request, "", ABI_A, IN_CALLBACK)                                                        \
    X(proxy_continue_response, "", ABI_A, IN_CALLBACK)                                                       \
    X(proxy_clear_route_cache, "", ABI_A, IN_CALLBACK)                                                       \
    X(proxy_continue_stream, "i", ABI_BC, IN_CALLBACK)                                                       \
    X(proxy_close_stream, "i", ABI_BC, IN_CALLBACK)                                                          \
    X(proxy_send_local_response, "iiiiiiii", ABI_ALL, IN_CALLBACK)                                           \
    X(proxy_http_call, "iiiiiiiiii", ABI_ALL, IN_CALLBACK)                                                   \
    X(proxy_grpc_call, "iiiiiiiiiiii", ABI_ALL, IN_CALLBACK)                                                 \
    X(proxy_grpc_stream, "iiiiiiiii", ABI_ALL, IN_CALLBACK)                                                  \
    X(proxy_grpc_send, "iiii", ABI_ALL, IN_CALLBACK)                                                         \
    X(proxy_grpc_cancel, "i", ABI_ALL, IN_CALLBACK)                                                          \
    X(proxy_grpc_close, "i", ABI_ALL, IN_CALLBACK)                                                           \
    X(proxy_get_shared_data, "iiiii", ABI_ALL, IN_CALLBACK)                                                  \
    X(proxy_set_shared_data, "iiiii", ABI_ALL, IN_CALLBACK)                                                  \
    X(proxy_register_shared_queue, "iii", ABI_ALL, IN_CALLBACK)                                              \
    X(proxy_resolve_shared_queue, "iiiii", ABI_ALL, IN_CALLBACK)                                             \
    X(proxy_enqueue_shared_queue, "iii", ABI_ALL, IN_CALLBACK)                                               \
    X(proxy_dequeue_shared_queue, "iii", ABI_ALL, IN_CALLBACK)                                               \
    X(proxy_define_metric, "iiii", ABI_ALL, IN_CALLBACK)                                                     \
    X(proxy_increment_metric, "iI", ABI_ALL, IN_CALLBACK)                                                    \
    X(proxy_record_metric, "iI", ABI_ALL, IN_CALLBACK)                                                       \
    X(proxy_get_metric, "ii", ABI_ALL, IN_CALLBACK)                                                          \
    X(proxy_set_effective_context, "i", ABI_ALL, IN_CALLBACK)                                                \
    X(proxy_done, "", ABI_ALL, IN_CALLBACK)                                                                  \
    X(proxy_call_foreign_function, "iiiiii", ABI_ALL, IN_CALLBACK)

/* Modules "wasi_snapshot_preview1" and "wasi_unstable"; all give an i32 errno except proc_exit.
 * X(name, parameters, has result, where besides callbacks). path_link and path_symlink have preview1's
 * parameters, of which the reference host forgot one each. */
#define WASI_FUNCTIONS(X)                                                                                    \
    X(fd_write, "iiii", true, IN_ANY)                                                                        \
    X(fd_read, "iiii", true, IN_CALLBACK)                                                                    \
    X(fd_seek, "iIii", true, IN_CALLBACK)                                                                    \
    X(fd_close, "i", true, IN_CALLBACK)                                                                      \
    X(fd_fdstat_get, "ii", true, IN_START)                                                                   \
    X(fd_fdstat_set_flags, "ii", true, IN_START)                                                             \
    X(fd_fdstat_set_rights, "iII", true, IN_START)                                                           \
    X(environ_sizes_get, "ii", true, IN_START)                                                               \
    X(environ_get, "ii", true, IN_START)                                                                     \
    X(args_sizes_get, "ii", true, IN_START)                                                                  \
    X(args_get, "ii", true, IN_START)                                                                        \
    X(clock_time_get, "iIi", true, IN_ANY)                                                                   \
    X(clock_res_get, "ii", true, IN_START)                                                                   \
    X(random_get, "ii", true, IN_START)                                                                      \
    X(sched_yield, "", true, IN_CALLBACK)                                                                    \
    X(poll_oneoff, "iiii", true, IN_ANY)                                                                     \
    X(proc_exit, "i", false, IN_CALLBACK)                                                                    \
    X(path_open, "iiiiiIIii", true, IN_CALLBACK)                                                             \
    X(path_filestat_get, "iiiii", true, IN_START)                                                            \
    X(fd_prestat_get, "ii", true, IN_START)                                                                  \
    X(fd_prestat_dir_name, "iii", true, IN_START)                                                            \
    X(fd_filestat_get, "ii", true, IN_START)                                                                 \
    X(fd_advise, "iIIi", true, IN_START)                                                                     \
    X(fd_allocate, "iII", true, IN_START)                                                                    \
    X(fd_datasync, "i", true, IN_START)                                                                      \
    X(fd_sync, "i", true, IN_START)                                                                          \
    X(fd_filestat_set_size, "iI", true, IN_START)                                                            \
    X(fd_filestat_set_times, "iIIi", true, IN_START)                                                         \
    X(fd_pread, "iiiIi", true, IN_START)                                                                     \
    X(fd_pwrite, "iiiIi", true, IN_START)                                                                    \
    X(fd_readdir, "iiiIi", true, IN_START)                                                                   \
    X(fd_renumber, "ii", true, IN_START)                                                                     \
    X(fd_tell, "ii", true, IN_START)                                                                         \
    X(path_create_directory, "iii", true, IN_START)                                                          \
    X(path_remove_directory, "iii", true, IN_START)                                                          \
    X(path_unlink_file, "iii", true, IN_START)                                                               \
    X(path_filestat_set_times, "iiiiIIi", true, IN_START)                                                    \
    X(path_link, "iiiiiii", true, IN_START)                                                                  \
    X(path_readlink, "iiiiii", true, IN_START)                                                               \
    X(path_rename, "iiiiii", true, IN_START)                                                                 \
    X(path_symlink, "iiiii", true, IN_START)                                                                 \
    X(sock_accept, "iii", true, IN_START)                                                                    \
    X(sock_recv, "iiiiii", true, IN_START)                                                                   \
    X(sock_send, "iiiii", true, IN_START)                                                                    \
    X(sock_shutdown, "ii", true, IN_START)

/* Module "env", beyond the ABI; never restricted. */
#define LIBC_FUNCTIONS(X)                                                                                    \
    X(pthread_equal, "ii", true, IN_CALLBACK)                                                                \
    X(emscripten_notify_memory_growth, "i", false, IN_ANY)

/* Capability numbers: one per restrictable row. */
#define CAPABILITY_NONE 0xffff
enum capability {
#define PROXY_X(name, params, abi, where)   CAPABILITY_##name,
#define WASI_X(name, params, result, where) CAPABILITY_##name,
    PROXY_FUNCTIONS(PROXY_X) WASI_FUNCTIONS(WASI_X)
#undef PROXY_X
#undef WASI_X
        CAPABILITY_COUNT
};
_Static_assert(CAPABILITY_COUNT <= DENIED_WORDS * 64, "denied_set is too small");

#define PROXY_X(name, params, abi, where)   uint32_t hostcall_##name(struct pw_vm *vm, const uint64_t *args);
#define WASI_X(name, params, result, where) uint32_t wasi_##name(struct pw_vm *vm, const uint64_t *args);
PROXY_FUNCTIONS(PROXY_X)
WASI_FUNCTIONS(WASI_X)
LIBC_FUNCTIONS(WASI_X)
#undef PROXY_X
#undef WASI_X

enum hostcall_verdict { HOSTCALL_RUN, HOSTCALL_ANSWERED, HOSTCALL_REFUSED };
/* The slow half of hostcall_run: start-up, allocation and restricted capabilities. */
enum hostcall_verdict hostcall_gate(struct pw_vm *vm, const struct host_function *fn, uint32_t *result);

/*
 * Runs `fn` for guest code of `vm`. False: the engine must trap the guest at once. The reason is then
 * "restricted_callback" (a function that is closed in this mode), or the VM has failed inside (a trap in
 * the guest's allocator), in which case the engine's own reason is ignored.
 */
static inline bool hostcall_run(struct pw_vm *vm, const struct host_function *fn, const uint64_t *args,
                                uint32_t *result)
{
    *result = 0;
    vm->host_calls++;
    vm->cost->host_calls++;
    if (WEIR_UNLIKELY(vm->gate)) {
        enum hostcall_verdict verdict = hostcall_gate(vm, fn, result);
        if (verdict != HOSTCALL_RUN)
            return verdict == HOSTCALL_ANSWERED;
    }
    if (WEIR_UNLIKELY(!vm->memory_stays))
        vm->memory = vm->ops->memory(vm->instance);
    *result = fn->call(vm, args);
    return WEIR_LIKELY(!vm->failed);
}

#endif
