/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a GrpcService: four fields of a message that a guest wrote. Fields that do not matter here are
 * skipped; anything malformed makes it no GrpcService at all.
 */
#include "filters/wasm/wasm_grpc_service.h"

#include "base/assert.h"
#include "filters/wasm/foreign.h"
#include "filters/wasm/wasm_callout.h"

/* EnvoyGrpc{cluster_name = 1, authority = 2} */
static bool read_envoy_grpc(struct slice in, struct wasm_grpc_service *out)
{
    const struct foreign_field fields[] = {{1, true, NULL, &out->cluster}, {2, true, NULL, &out->authority}};
    return foreign_parse(in, fields, WEIR_ARRAY_LEN(fields));
}

/* HeaderValue{key = 1, value = 2} */
static bool read_metadata(struct slice in, struct wasm_grpc_service *out)
{
    struct slice name = SLICE_LIT(""), value = SLICE_LIT("");
    const struct foreign_field fields[] = {{1, true, NULL, &name}, {2, true, NULL, &value}};
    if (!foreign_parse(in, fields, WEIR_ARRAY_LEN(fields)) || out->metadata_count == WASM_GRPC_METADATA_MAX)
        return false;
    out->metadata[out->metadata_count++] = (struct pw_pair){{name.ptr, name.len}, {value.ptr, value.len}};
    return true;
}

/* GrpcService{envoy_grpc = 1, google_grpc = 2, initial_metadata = 5} */
static bool read_service(struct slice in, struct wasm_grpc_service *out, bool *google)
{
    uint32_t number;
    struct slice bytes;
    *google = false;
    while (in.len > 0) {
        if (!foreign_next(&in, &number, &bytes))
            return false;
        if (number == 1 && !read_envoy_grpc(bytes, out))
            return false;
        if (number == 2)
            *google = true;
        if (number == 5 && !read_metadata(bytes, out))
            return false;
    }
    return true;
}

enum pw_status wasm_grpc_service_read(struct wasm_vm *vm, const struct pw_callout *pw,
                                      struct pw_slice upstream, struct wasm_grpc_service *out)
{
    struct slice in = slice_of(upstream.ptr, upstream.len);
    bool google;
    out->cluster = out->authority = SLICE_EMPTY;
    out->metadata_count = 0;
    /* A name that is there is meant, even where its letters happen to be a message. */
    if (wasm_callout_cluster(vm, pw, in)) {
        out->cluster = in;
        return PW_STATUS_OK;
    }
    if (!read_service(in, out, &google) || (out->cluster.len == 0 && !google))
        return PW_STATUS_PARSE_FAILURE;
    if (google || !wasm_callout_cluster(vm, pw, out->cluster))
        return PW_STATUS_INTERNAL_FAILURE;
    return PW_STATUS_OK;
}
