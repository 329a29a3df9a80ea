/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_wasm_externs.h: the host's functions as the ABI 0.2.1 has them, for plugins that call them directly.
 * A module imports only those it calls. What the ABI does not have (proxy_get_configuration,
 * proxy_clear_route_cache) must not be declared here: no host would link it.
 */
#pragma once

#include <cstddef>
#include <cstdint>

#include "proxy_wasm_common.h"
#include "proxy_wasm_enums.h"

#ifdef __wasm__
#define WEIR_HOST(name) extern "C" __attribute__((import_module("env"), import_name(#name))) WasmResult name
#else
#define WEIR_HOST(name) extern "C" WasmResult name // a unit test on the developer's machine defines them
#endif

// Log and time.
WEIR_HOST(proxy_log)(LogLevel level, const char *message, size_t message_size);
WEIR_HOST(proxy_get_log_level)(LogLevel *level);
WEIR_HOST(proxy_get_current_time_nanoseconds)(uint64_t *now_ns);
WEIR_HOST(proxy_set_tick_period_milliseconds)(uint32_t period_ms);

// Properties.
WEIR_HOST(proxy_get_property)(const char *path, size_t path_size, const char **value, size_t *value_size);
WEIR_HOST(proxy_set_property)(const char *path, size_t path_size, const char *value, size_t value_size);

// Streams.
WEIR_HOST(proxy_continue_stream)(WasmStreamType stream);
WEIR_HOST(proxy_close_stream)(WasmStreamType stream);
WEIR_HOST(proxy_send_local_response)
(uint32_t response_code, const char *details, size_t details_size, const char *body, size_t body_size,
 const char *headers, size_t headers_size, uint32_t grpc_status);

// Headers and trailers.
WEIR_HOST(proxy_add_header_map_value)
(WasmHeaderMapType map, const char *key, size_t key_size, const char *value, size_t value_size);
WEIR_HOST(proxy_get_header_map_value)
(WasmHeaderMapType map, const char *key, size_t key_size, const char **value, size_t *value_size);
WEIR_HOST(proxy_replace_header_map_value)
(WasmHeaderMapType map, const char *key, size_t key_size, const char *value, size_t value_size);
WEIR_HOST(proxy_remove_header_map_value)(WasmHeaderMapType map, const char *key, size_t key_size);
WEIR_HOST(proxy_get_header_map_pairs)(WasmHeaderMapType map, const char **pairs, size_t *pairs_size);
WEIR_HOST(proxy_set_header_map_pairs)(WasmHeaderMapType map, const char *pairs, size_t pairs_size);
WEIR_HOST(proxy_get_header_map_size)(WasmHeaderMapType map, size_t *size);

// Bodies and other buffers.
WEIR_HOST(proxy_get_buffer_bytes)
(WasmBufferType buffer, uint32_t start, uint32_t length, const char **data, size_t *data_size);
WEIR_HOST(proxy_get_buffer_status)(WasmBufferType buffer, size_t *length, uint32_t *flags);
WEIR_HOST(proxy_set_buffer_bytes)
(WasmBufferType buffer, uint32_t start, uint32_t length, const char *data, size_t data_size);

// Shared data and queues.
WEIR_HOST(proxy_get_shared_data)
(const char *key, size_t key_size, const char **value, size_t *value_size, uint32_t *cas);
WEIR_HOST(proxy_set_shared_data)
(const char *key, size_t key_size, const char *value, size_t value_size, uint32_t cas);
WEIR_HOST(proxy_register_shared_queue)(const char *name, size_t name_size, uint32_t *token);
WEIR_HOST(proxy_resolve_shared_queue)
(const char *vm_id, size_t vm_id_size, const char *name, size_t name_size, uint32_t *token);
WEIR_HOST(proxy_enqueue_shared_queue)(uint32_t token, const char *data, size_t data_size);
WEIR_HOST(proxy_dequeue_shared_queue)(uint32_t token, const char **data, size_t *data_size);

// Calls to other services.
WEIR_HOST(proxy_http_call)
(const char *upstream, size_t upstream_size, void *headers, size_t headers_size, const char *body,
 size_t body_size, void *trailers, size_t trailers_size, uint32_t timeout_ms, uint32_t *token);
WEIR_HOST(proxy_grpc_call)
(const char *upstream, size_t upstream_size, const char *service, size_t service_size, const char *method,
 size_t method_size, void *metadata, size_t metadata_size, const char *message, size_t message_size,
 uint32_t timeout_ms, uint32_t *token);
WEIR_HOST(proxy_grpc_stream)
(const char *upstream, size_t upstream_size, const char *service, size_t service_size, const char *method,
 size_t method_size, void *metadata, size_t metadata_size, uint32_t *token);
WEIR_HOST(proxy_grpc_send)(uint32_t token, const char *message, size_t message_size, uint32_t end_stream);
WEIR_HOST(proxy_grpc_cancel)(uint32_t token);
WEIR_HOST(proxy_grpc_close)(uint32_t token);
WEIR_HOST(proxy_get_status)(uint32_t *code, const char **message, size_t *message_size);

// Metrics.
WEIR_HOST(proxy_define_metric)(MetricType type, const char *name, size_t name_size, uint32_t *metric_id);
WEIR_HOST(proxy_increment_metric)(uint32_t metric_id, int64_t offset);
WEIR_HOST(proxy_record_metric)(uint32_t metric_id, uint64_t value);
WEIR_HOST(proxy_get_metric)(uint32_t metric_id, uint64_t *value);

// The rest.
WEIR_HOST(proxy_set_effective_context)(uint32_t context_id);
WEIR_HOST(proxy_done)();
WEIR_HOST(proxy_call_foreign_function)
(const char *name, size_t name_size, const char *arguments, size_t arguments_size, char **results,
 size_t *results_size);

#undef WEIR_HOST
