/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every cap of the library that an embedder cannot set, with its unit and reason. Caps that can be set are
 * rows of PW_LIMITS (proxywasm/vm_limits.h), with their defaults. Passing a cap is an answer to the guest or
 * an error to the embedder, never an assertion.
 */
#ifndef PROXYWASM_LIMITS_H
#define PROXYWASM_LIMITS_H

#include <stdint.h>

/* Buckets of the table of callouts: short chains up to the default cap. */
#define CALLOUT_BUCKETS 256u
/* Ended gRPC streams whose numbers are kept until the guest closes them; Rust plugins never do. */
#define CALLOUT_LINGERING_MAX 64u

/* Serialised pairs that a guest gives: as the reference host, so that plugins see the same answers. */
#define PAIRS_BYTES_MAX (1u << 20)
#define PAIRS_COUNT_MAX 1024u

/* One log line, bytes; longer ones are cut. Enough for a dumped message, small enough for a log queue. */
#define LOG_LINE_BYTES_MAX (64u << 10)
/* iovecs of one fd_write: IOV_MAX of Linux. */
#define FD_WRITE_IOVECS_MAX 1024u
/* random_get, bytes a call: as the reference host. */
#define RANDOM_BYTES_MAX 65536u

/* What a queued item costs beyond its bytes. */
#define QUEUE_ITEM_OVERHEAD 32u
/* Undelivered proxy_on_queue_ready of one registration; more are merged: a guest drains until EMPTY. */
#define QUEUE_READY_MAX (1u << 20)
/* Deliveries of one pw_vm_run; the rest after another wake, so that a loop turn stays short. */
#define QUEUE_READY_PER_RUN 256u

/* Metrics of the library's own store, per host object. */
#define METRICS_HOST_MAX 100000u
/* Longest name there, whatever a VM may: bytes. */
#define METRIC_NAME_BYTES_MAX 1024u

/* Property paths, bytes: the longest known one is under 200. */
#define PROPERTY_PATH_BYTES_MAX 4096u
/* A foreign function's result, bytes. */
#define FOREIGN_RESULT_BYTES_MAX (16u << 20)
#define FOREIGN_FUNCTIONS_MAX    1024u

/* Environment of a VM: Linux's ARG_MAX order, and enough for any plugin. */
#define ENVIRONMENT_COUNT_MAX 1024u
#define ENVIRONMENT_BYTES_MAX (128u << 10)
#define CAPABILITIES_MAX      1024u
/* vm_id, plugin name, root_id, key: they are copied into log lines. */
#define IDENTITY_BYTES_MAX 4096u
/* Configuration of a VM or a plugin: Go plugins with rule sets reach some MB. */
#define CONFIGURATION_BYTES_MAX (64u << 20)

/* What a VM holds of the budget of all VMs in advance: the headers of a few streams, so that charging them
 * touches no memory that threads share. */
#define PREPAID_BYTES 4096u

/* Dead stream contexts that a VM keeps for reuse: a burst, 250 bytes each. */
#define SPARE_STREAMS_MAX 64u

/* VMs without a stream that a thread keeps for the next ones (sharing per stream): a burst, 6 KiB each. */
#define SPARE_VMS_MAX 256u

/* One trap record in this time, per plugin. */
#define TRAP_LOG_INTERVAL_NS (UINT64_C(1000) * 1000 * 1000)

/* Modules. The counts are those that the engine accepts; a big Go plugin has 60,000 functions. */
#define MODULE_BYTES_MAX      (UINT64_C(256) << 20)
#define MODULE_NAME_BYTES_MAX 100000u
#define MODULE_VALUES_MAX     1000u
#define MODULE_TYPES_MAX      1000000u
#define MODULE_FUNCTIONS_MAX  1000000u
#define MODULE_IMPORTS_MAX    100000u
#define MODULE_EXPORTS_MAX    100000u
/* What the scan of a module may hold: names and types of the largest real ones take under 1 MiB. */
#define MODULE_SCAN_BYTES_MAX (64u << 20)
/* Tables of a VM: a plugin of 24 MB has one of 30,000 elements, 16 bytes each in the host. */
#define TABLE_ELEMENTS_MAX 100000
#define TABLES_MAX         8
/* Frames of a backtrace that a trap reports: as the reference host. */
#define BACKTRACE_FRAMES_MAX 20u
/* Built-in plugins of a null engine. */
#define NATIVE_PLUGINS_MAX 256u
/* Name of a native plugin: it becomes a file name. */
#define NATIVE_NAME_BYTES_MAX 128u

#endif
