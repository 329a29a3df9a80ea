/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libproxywasm: values of the Proxy-Wasm ABI (0.1.0, 0.2.0, 0.2.1) and the error codes of this library.
 * Nothing here depends on an engine or on an embedder.
 */
#ifndef PROXYWASM_TYPES_H
#define PROXYWASM_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Borrowed bytes: valid during the call that passes them, unless a comment says otherwise. May hold NULs. */
struct pw_slice {
    const char *ptr;
    size_t len;
};

struct pw_pair {
    struct pw_slice name;
    struct pw_slice value;
};

/*
 * What library calls return. 0 is success. Codes at or below PW_ERR_FATAL mean that the object can only be
 * destroyed.
 */
enum pw_error {
    PW_OK = 0,
    PW_ERR_INVALID_ARGUMENT = -1,
    PW_ERR_NOT_FOUND = -2,
    PW_ERR_LIMIT = -3,            /* a configured cap would be passed */
    PW_ERR_IO = -4,               /* an embedder callback for files failed */
    PW_ERR_BAD_MODULE = -5,       /* not WebAssembly, truncated, invalid, unknown ABI version */
    PW_ERR_MISSING_IMPORT = -6,   /* the module imports what no host function supplies */
    PW_ERR_BAD_EXPORT = -7,       /* an ABI export has the wrong type, or there is no allocator or memory */
    PW_ERR_START_FAILED = -8,     /* proxy_on_vm_start returned false */
    PW_ERR_CONFIGURE_FAILED = -9, /* proxy_on_configure returned false */
    PW_ERR_FATAL = -100,
    PW_ERR_NOMEM = -101,     /* the host's own memory */
    PW_ERR_TRAP = -102,      /* the guest trapped; the VM has failed */
    PW_ERR_TIMEOUT = -103,   /* the guest passed its time limit; the VM has failed */
    PW_ERR_VM_FAILED = -104, /* the VM had failed before */
};

/* A constant English phrase; never NULL. */
const char *pw_error_str(int error);

/* Where functions put a message for people: NUL-terminated, cut to fit. */
struct pw_message {
    char text[2048];
};

/* proxy_status_t (ABI 0.2.1). Values 5, 9, 11 exist in hosts only. */
enum pw_status {
    PW_STATUS_OK = 0,
    PW_STATUS_NOT_FOUND = 1,
    PW_STATUS_BAD_ARGUMENT = 2,
    PW_STATUS_SERIALIZATION_FAILURE = 3,
    PW_STATUS_PARSE_FAILURE = 4,
    PW_STATUS_BAD_EXPRESSION = 5,
    PW_STATUS_INVALID_MEMORY_ACCESS = 6,
    PW_STATUS_EMPTY = 7,
    PW_STATUS_CAS_MISMATCH = 8,
    PW_STATUS_RESULT_MISMATCH = 9,
    PW_STATUS_INTERNAL_FAILURE = 10,
    PW_STATUS_BROKEN_CONNECTION = 11,
    PW_STATUS_UNIMPLEMENTED = 12,
};

/* proxy_log_level_t. */
enum pw_log_level {
    PW_LOG_TRACE = 0,
    PW_LOG_DEBUG = 1,
    PW_LOG_INFO = 2,
    PW_LOG_WARN = 3,
    PW_LOG_ERROR = 4,
    PW_LOG_CRITICAL = 5,
};

/* proxy_map_type_t. */
enum pw_map {
    PW_MAP_REQUEST_HEADERS = 0,
    PW_MAP_REQUEST_TRAILERS = 1,
    PW_MAP_RESPONSE_HEADERS = 2,
    PW_MAP_RESPONSE_TRAILERS = 3,
    PW_MAP_GRPC_INITIAL_METADATA = 4,
    PW_MAP_GRPC_TRAILING_METADATA = 5,
    PW_MAP_HTTP_CALL_HEADERS = 6,
    PW_MAP_HTTP_CALL_TRAILERS = 7,
};
#define PW_MAP_MAX 7

/* proxy_buffer_type_t. */
enum pw_buffer {
    PW_BUFFER_REQUEST_BODY = 0,
    PW_BUFFER_RESPONSE_BODY = 1,
    PW_BUFFER_DOWNSTREAM_DATA = 2,
    PW_BUFFER_UPSTREAM_DATA = 3,
    PW_BUFFER_HTTP_CALL_BODY = 4,
    PW_BUFFER_GRPC_MESSAGE = 5,
    PW_BUFFER_VM_CONFIGURATION = 6,
    PW_BUFFER_PLUGIN_CONFIGURATION = 7,
    PW_BUFFER_CALL_DATA = 8,
};
#define PW_BUFFER_MAX 8

/* proxy_stream_type_t. */
enum pw_stream_type {
    PW_STREAM_HTTP_REQUEST = 0,
    PW_STREAM_HTTP_RESPONSE = 1,
    PW_STREAM_DOWNSTREAM = 2,
    PW_STREAM_UPSTREAM = 3,
};
#define PW_STREAM_MAX 3

/* proxy_peer_type_t. */
enum pw_peer { PW_PEER_UNKNOWN = 0, PW_PEER_LOCAL = 1, PW_PEER_REMOTE = 2 };

/* proxy_metric_type_t. */
enum pw_metric_type { PW_METRIC_COUNTER = 0, PW_METRIC_GAUGE = 1, PW_METRIC_HISTOGRAM = 2 };

/*
 * What a stream callback tells the embedder to do next, after the rules of hosts were applied (the value a
 * guest returned, a local reply asked for, a failed VM). Headers use CONTINUE, STOP_ITERATION (only where the
 * plugin allows it), CONTINUE_AND_END, STOP_ALL_BUFFER, STOP_ALL_WATERMARK; bodies CONTINUE, STOP_BUFFER,
 * STOP_WATERMARK, STOP_NO_BUFFER; trailers CONTINUE, STOP_ITERATION; TCP CONTINUE, STOP_ITERATION.
 */
enum pw_action {
    PW_ACTION_CONTINUE,
    PW_ACTION_STOP_ITERATION,
    PW_ACTION_CONTINUE_AND_END,
    PW_ACTION_STOP_ALL_BUFFER,
    PW_ACTION_STOP_ALL_WATERMARK,
    PW_ACTION_STOP_BUFFER,
    PW_ACTION_STOP_WATERMARK,
    PW_ACTION_STOP_NO_BUFFER,
    PW_ACTION_VM_FAILED, /* the VM failed in or before this call: the embedder's failure policy decides */
};

enum pw_abi_version { PW_ABI_0_1_0, PW_ABI_0_2_0, PW_ABI_0_2_1 };

#ifdef __cplusplus
}
#endif

#endif
