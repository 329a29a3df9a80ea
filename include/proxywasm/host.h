/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libproxywasm: the host object, one per process (or per test), and what the embedder must supply to it. The
 * library has no socket, loop, thread, clock, file or log of its own; all of these are the callbacks below.
 * proxywasm/posix.h has ready-made ones for POSIX systems.
 */
#ifndef PROXYWASM_HOST_H
#define PROXYWASM_HOST_H

#include <proxywasm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pw_host;

/*
 * One log line of a plugin or of the library about a plugin. `plugin`, `root_id`, `vm_id` may be empty.
 * The text has no trailing newline; it may hold any byte.
 */
struct pw_log_record {
    enum pw_log_level level;
    struct pw_slice plugin;
    struct pw_slice root_id;
    struct pw_slice vm_id;
    struct pw_slice text;
    bool from_guest; /* proxy_log or fd_write; false: the library itself speaks (traps, limits) */
};

/* A module to be compiled: its parts one after the other are what pw_compiler_run takes. Borrowed. */
struct pw_compile_order {
    const struct pw_slice *parts;
    size_t parts_count;
    bool background; /* nobody waits for it: it should give way to everything else */
};

/*
 * All callbacks get `ctx`. Those marked [any] may come from any thread, at the same time. NULL where
 * "optional". `size` is sizeof(struct pw_host_ops) of the embedder: the struct may grow at its end.
 */
struct pw_host_ops {
    size_t size;

    /* [any] */
    void (*log)(void *ctx, const struct pw_log_record *record);
    /* [any] The current numeric level for proxy_get_log_level; 6 is "off". */
    uint32_t (*log_level)(void *ctx);
    /* [any] Nanoseconds since the Unix epoch. Asked at each host call, never cached. */
    uint64_t (*realtime_ns)(void *ctx);
    /* [any] Nanoseconds, never going back. */
    uint64_t (*monotonic_ns)(void *ctx);
    /* [any] Fills dst with unpredictable bytes; false fails the guest's random_get. */
    bool (*random)(void *ctx, void *dst, size_t len);

    /*
     * [any] optional: the cache of compiled code. `key` is a file-name-safe string. Load opens an entry
     * read-only and gives a descriptor that the library closes; false when there is none. Store replaces an
     * entry as a whole or not at all. A compiled entry is native code: the embedder guards the place against
     * other users.
     */
    bool (*cache_open)(void *ctx, const char *key, int *fd);
    bool (*cache_store)(void *ctx, const char *key, struct pw_slice content);

    /*
     * [any] optional: loads the native plugin `name` (no slash in it) from the embedder's fixed directory and
     * returns its entry symbol (see sdk/c/include/proxy_wasm_null.h); NULL and a message when it cannot.
     */
    void *(*native_load)(void *ctx, struct pw_slice name, struct pw_message *why);

    /*
     * [any] optional: custom metrics (proxy_define_metric). Without them the library keeps its own store. The
     * handle is valid as long as the host object. Same type and name give the same handle.
     */
    void *(*metric_define)(void *ctx, enum pw_metric_type type, struct pw_slice name);
    void (*metric_add)(void *ctx, void *metric, int64_t delta);     /* counter: delta > 0; gauge: any sign */
    void (*metric_record)(void *ctx, void *metric, uint64_t value); /* gauge: set; histogram: a sample */
    uint64_t (*metric_get)(void *ctx, void *metric);                /* counter, gauge */

    /*
     * [any] optional: compiles elsewhere. Has pw_compiler_run (engine.h) of the same build run on the order
     * in a process whose time and memory are limited, as a stranger's module may be made to eat both. Without
     * it the library compiles in this process. On PW_OK *fd is a file with what pw_compiler_run gave, which
     * the library closes. PW_ERR_LIMIT (a limit was passed; *why says which), PW_ERR_BAD_MODULE, PW_ERR_IO.
     */
    int (*compile)(void *ctx, const struct pw_compile_order *order, int *fd, struct pw_message *why);

    /* [any] optional: nanoseconds of CPU time that the calling thread has used. Asked for a sample of guest
     * calls. */
    uint64_t (*thread_cpu_ns)(void *ctx);
};

/*
 * A foreign function (proxy_call_foreign_function). Called on the VM's thread inside a guest call. `call`
 * offers pw_foreign_result. Returns the ABI status.
 */
struct pw_foreign_call;
typedef enum pw_status (*pw_foreign_fn)(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments);

/* Copies `bytes` as the result; the last one wins. Returns false when memory is out or a cap is passed. */
bool pw_foreign_result(struct pw_foreign_call *call, struct pw_slice bytes);

/* Whether the time of the running guest call is over: a function that works long looks now and then, and
 * gives up. The guest is stopped as soon as the function has returned. */
bool pw_foreign_overdue(const struct pw_foreign_call *call);
/* Bytes that a function may make of a guest's input (struct pw_limits: uncompressed_bytes_max). */
size_t pw_foreign_output_max(const struct pw_foreign_call *call);

/* `ops` is copied. NULL when memory is out or a mandatory callback is missing. */
struct pw_host *pw_host_create(const struct pw_host_ops *ops, void *ctx);
/* All engines, modules and VMs of the host must be gone. Clears the pointer. */
void pw_host_destroy(struct pw_host **host);

/* Adds or replaces a foreign function. Before any VM runs. PW_OK or PW_ERR_NOMEM. */
int pw_host_add_foreign(struct pw_host *host, const char *name, pw_foreign_fn fn, void *ctx);

/* Sizes, for an admin page. [any] */
struct pw_host_stats {
    uint64_t shared_data_keys;
    uint64_t shared_data_bytes;
    uint64_t queues;
    uint64_t queued_items;
    uint64_t queued_bytes;
    uint64_t metrics;
    uint64_t
        memory_bytes; /* linear memory of all VMs, shared data, queues, and what the host holds for them */
    uint64_t memory_max_bytes; /* UINT64_MAX: no limit */
};
/* What all VMs of the host together may hold; UINT64_MAX: no limit. Lowering it takes nothing away. [any] */
void pw_host_set_memory_max(struct pw_host *host, uint64_t bytes);
void pw_host_stats(struct pw_host *host, struct pw_host_stats *out);

#ifdef __cplusplus
}
#endif

#endif
