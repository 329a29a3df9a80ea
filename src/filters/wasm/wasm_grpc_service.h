/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom a plugin's gRPC callout addresses: a serialised envoy.config.core.v3.GrpcService, or a cluster's name.
 * Private to this folder.
 */
#ifndef WEIR_FILTERS_WASM_WASM_GRPC_SERVICE_H
#define WEIR_FILTERS_WASM_WASM_GRPC_SERVICE_H

#include "filters/wasm/wasm_vm.h"

#define WASM_GRPC_METADATA_MAX 64u

struct wasm_grpc_service {
    struct slice cluster;
    struct slice authority; /* empty: the cluster's name */
    struct pw_pair metadata[WASM_GRPC_METADATA_MAX];
    size_t metadata_count;
};

/*
 * PARSE_FAILURE: neither. INTERNAL_FAILURE: a GrpcService whose cluster there is not, or a kind of service
 * that there is not. Borrows from `upstream`.
 */
enum pw_status wasm_grpc_service_read(struct wasm_vm *vm, const struct pw_callout *pw,
                                      struct pw_slice upstream, struct wasm_grpc_service *out);

#endif
