/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a GrpcService by hand: four fields of a message that a guest wrote. Fields that do not matter here
 * are skipped; anything malformed makes it no GrpcService at all.
 */
#include "filters/wasm/wasm_grpc_service.h"

#include "filters/wasm/wasm_callout.h"

/* Wire types of protobuf. */
enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static bool take_varint(struct slice *in, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && in->len > 0; shift += 7) {
        unsigned char byte = (unsigned char)in->ptr[0];
        *in = slice_skip(*in, 1);
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* One field. `bytes` of WIRE_BYTES, else empty. False: malformed. */
static bool take_field(struct slice *in, uint64_t *number, struct slice *bytes)
{
    uint64_t tag, value;
    *bytes = SLICE_EMPTY;
    if (!take_varint(in, &tag) || tag >> 3 == 0)
        return false;
    *number = tag >> 3;
    size_t skip = 0;
    switch (tag & 7) {
    case WIRE_VARINT:
        return take_varint(in, &value);
    case WIRE_FIXED64:
        skip = 8;
        break;
    case WIRE_FIXED32:
        skip = 4;
        break;
    case WIRE_BYTES:
        if (!take_varint(in, &value) || value > in->len)
            return false;
        *bytes = slice_of(in->ptr, (size_t)value);
        skip = (size_t)value;
        break;
    default:
        return false;
    }
    if (skip > in->len)
        return false;
    *in = slice_skip(*in, skip);
    return true;
}

/* EnvoyGrpc{cluster_name = 1, authority = 2} */
static bool read_envoy_grpc(struct slice in, struct wasm_grpc_service *out)
{
    uint64_t number;
    struct slice bytes;
    while (in.len > 0) {
        if (!take_field(&in, &number, &bytes))
            return false;
        if (number == 1)
            out->cluster = bytes;
        else if (number == 2)
            out->authority = bytes;
    }
    return true;
}

/* HeaderValue{key = 1, value = 2} */
static bool read_metadata(struct slice in, struct wasm_grpc_service *out)
{
    uint64_t number;
    struct slice bytes, pair[2] = {SLICE_LIT(""), SLICE_LIT("")};
    while (in.len > 0) {
        if (!take_field(&in, &number, &bytes))
            return false;
        if (number == 1 || number == 2)
            pair[number - 1] = bytes;
    }
    if (out->metadata_count == WASM_GRPC_METADATA_MAX)
        return false;
    out->metadata[out->metadata_count++] =
        (struct pw_pair){{pair[0].ptr, pair[0].len}, {pair[1].ptr, pair[1].len}};
    return true;
}

/* GrpcService{envoy_grpc = 1, google_grpc = 2, initial_metadata = 5} */
static bool read_service(struct slice in, struct wasm_grpc_service *out, bool *google)
{
    uint64_t number;
    struct slice bytes;
    *google = false;
    while (in.len > 0) {
        if (!take_field(&in, &number, &bytes))
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
