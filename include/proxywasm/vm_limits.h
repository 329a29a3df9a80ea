/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libproxywasm: what one VM may use. A row each makes the field, its default, its name in reports and the
 * place where passing it is counted. Passing a limit is an answer to the guest or a failed VM, never a crash.
 */
#ifndef PROXYWASM_VM_LIMITS_H
#define PROXYWASM_VM_LIMITS_H

#include <proxywasm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * X(type, field, default, what). A field of 0 in struct pw_limits means the default. Bytes and counts are per
 * VM unless said otherwise. "Refused" is INTERNAL_FAILURE from the host function that asked.
 */
#define PW_LIMITS(X)                                                                                         \
    X(uint64_t, memory_max_bytes, UINT64_C(256) << 20,                                                       \
      "linear memory; growing beyond it fails in the guest")                                                 \
    X(uint64_t, callback_time_max_ns, UINT64_C(20000000),                                                    \
      "wall time of one stream, tick, queue or callout callback; UINT64_MAX: none")                          \
    X(uint64_t, start_time_max_ns, UINT64_C(30000000000),                                                    \
      "wall time of _initialize, vm_start and configure, each; UINT64_MAX: none")                            \
    X(uint64_t, host_bytes_max, UINT64_C(64) << 20,                                                          \
      "what the host holds: scratch, replies, headers and bodies that the guest wrote")                      \
    X(uint32_t, contexts_max, 100000u, "live contexts")                                                      \
    X(uint32_t, log_lines_per_sec, 1000u, "lines written to the log; more are dropped with status OK")       \
    X(uint32_t, header_count_max, 1000u, "headers written on one stream; more are refused")                  \
    X(uint64_t, header_bytes_max, UINT64_C(1) << 20,                                                         \
      "names and values written on one stream; more are refused")                                            \
    X(uint64_t, body_bytes_max, UINT64_C(64) << 20,                                                          \
      "size of one body after a write; larger ones are refused")                                             \
    X(uint32_t, metrics_max, 10000u, "metrics defined; more are refused")                                    \
    X(uint32_t, metric_name_bytes_max, 1024u, "name of a metric; longer ones are refused")                   \
    X(uint32_t, shared_keys_max, 1u << 20, "keys of shared data of the vm_id; more are refused")             \
    X(uint64_t, shared_bytes_max, UINT64_C(64) << 20,                                                        \
      "keys, values and overhead of shared data of the vm_id; more is refused")                              \
    X(uint32_t, shared_key_bytes_max, 4096u, "one key of shared data; longer ones are refused")              \
    X(uint64_t, shared_value_bytes_max, UINT64_C(16) << 20,                                                  \
      "one value of shared data; longer ones are refused")                                                   \
    X(uint32_t, queues_max, 1024u, "queues of the vm_id; more are refused")                                  \
    X(uint32_t, queue_name_bytes_max, 4096u, "name of a queue; longer ones are refused")                     \
    X(uint32_t, queue_items_max, 1u << 20, "items in all queues of the vm_id; more are refused")             \
    X(uint64_t, queue_bytes_max, UINT64_C(64) << 20,                                                         \
      "items and overhead in all queues of the vm_id; more is refused")                                      \
    X(uint64_t, queue_item_bytes_max, UINT64_C(16) << 20, "one item of a queue; longer ones are refused")    \
    X(uint32_t, callouts_max, 1024u, "HTTP calls, gRPC calls and gRPC streams under way; more are refused")  \
    X(uint32_t, grpc_streams_max, 256u, "gRPC streams under way; more are refused")                          \
    X(uint64_t, callout_bytes_max, UINT64_C(64) << 20,                                                       \
      "what all callouts under way hold: requests, unsent messages, answers not yet whole; more is refused") \
    X(uint64_t, callout_answer_bytes_max, UINT64_C(32) << 20,                                                \
      "body of one HTTP answer or one gRPC message; a longer one fails the callout")                         \
    X(uint64_t, uncompressed_bytes_max, UINT64_C(16) << 20,                                                  \
      "what one call of `uncompress` may give; more is refused")

struct pw_limits {
#define PW_LIMIT_X(type, field, value, what) type field;
    PW_LIMITS(PW_LIMIT_X)
#undef PW_LIMIT_X
};

/* Which limit was passed, for counting. */
enum pw_limit {
#define PW_LIMIT_X(type, field, value, what) PW_LIMIT_##field,
    PW_LIMITS(PW_LIMIT_X)
#undef PW_LIMIT_X
        PW_LIMIT_total_memory, /* what all VMs of the host together may use (pw_host_set_memory_max) */
    PW_LIMIT_COUNT
};

/* "memory_max_bytes" and so on; never NULL. */
const char *pw_limit_name(enum pw_limit limit);
/* Fills blanks (0) with defaults. */
void pw_limits_fill(struct pw_limits *limits);
/* Each field the smaller one of the two. Both filled. */
void pw_limits_tighten(struct pw_limits *limits, const struct pw_limits *other);

#ifdef __cplusplus
}
#endif

#endif
