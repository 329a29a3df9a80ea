/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libproxywasm: ready-made embedder callbacks for POSIX systems: clocks, random, a private directory for
 * compiled code, loading native plugins, and the watchdog thread. Optional: an embedder may bring its own.
 * Nothing else in the library uses this part.
 */
#ifndef PROXYWASM_POSIX_H
#define PROXYWASM_POSIX_H

#include <proxywasm/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pw_posix;

struct pw_posix_config {
    size_t size;
    const char
        *cache_dir; /* made with mode 0700; must be owned by this user and closed to others. NULL: no cache */
    const char *native_dir;   /* where NAME.so of null plugins lies. NULL: none can be loaded */
    uint64_t cache_bytes_max; /* of all entries; those unused for longest go when it is passed. 0: 8 GiB */
    /*
     * The command, ended by NULL, that starts a program which calls pw_posix_compiler_main and nothing else:
     * each module is compiled in such a process. {"/proc/self/exe", "--an-argument-of-yours", NULL} is this
     * program again. NULL: modules are compiled in this process, without limits. Must live as long as the
     * object.
     */
    const char *const *compiler;
    uint64_t compile_memory_max_bytes; /* 0: 2 GiB */
    uint32_t compile_cpu_max_s;        /* of processor time, all cores together. 0: 120 */
    uint32_t compile_time_max_s;       /* on the wall; twelve times as much in the background. 0: 300 */
};

/* PW_ERR_IO with *why when a directory cannot be used. */
int pw_posix_create(const struct pw_posix_config *config, struct pw_posix **out, struct pw_message *why);
void pw_posix_destroy(struct pw_posix **posix);

/*
 * Fills clocks, random, cache, native_load and compile of *ops, to be used with `posix` as ctx of
 * pw_host_create. Leaves log and metrics alone: an embedder whose ctx is another object wraps the pw_posix_*
 * functions below.
 */
void pw_posix_fill(struct pw_posix *posix, struct pw_host_ops *ops);
uint64_t pw_posix_realtime_ns(void *posix);
uint64_t pw_posix_monotonic_ns(void *posix);
uint64_t pw_posix_thread_cpu_ns(void *posix);
bool pw_posix_random(void *posix, void *dst, size_t len);
bool pw_posix_cache_open(void *posix, const char *key, int *fd);
bool pw_posix_cache_store(void *posix, const char *key, struct pw_slice content);
void *pw_posix_native_load(void *posix, struct pw_slice name, struct pw_message *why);
int pw_posix_compile(void *posix, const struct pw_compile_order *order, int *fd, struct pw_message *why);

/* Ends the compilers that run, with an error for those who wait for them, and starts no more. [any thread] */
void pw_posix_stop_compiling(struct pw_posix *posix);

/*
 * The compiler's process: takes its order from descriptor 0, limits itself as that says, leaves the result in
 * descriptor 1 and a message in 2. Returns the exit status. To be called before the program does anything.
 */
int pw_posix_compiler_main(void);

/* A thread that calls pw_engine_tick(engine) whenever it is due, until stopped. */
struct pw_watchdog;
int pw_watchdog_start(struct pw_engine *engine, struct pw_watchdog **out);
void pw_watchdog_stop(struct pw_watchdog **watchdog);

#ifdef __cplusplus
}
#endif

#endif
