/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_wasm_common.h: what host calls take and answer. The numbers are those of the Proxy-Wasm ABI and must
 * never differ from it; the names are those of the reference C++ SDK.
 */
#pragma once

#include <cstdint>
#include <string>

#define WEIR_WASM_RESULTS(X)                                                                                 \
    X(Ok, 0)                                                                                                 \
    X(NotFound, 1)                                                                                           \
    X(BadArgument, 2)                                                                                        \
    X(SerializationFailure, 3)                                                                               \
    X(ParseFailure, 4)                                                                                       \
    X(BadExpression, 5)                                                                                      \
    X(InvalidMemoryAccess, 6)                                                                                \
    X(Empty, 7)                                                                                              \
    X(CasMismatch, 8)                                                                                        \
    X(ResultMismatch, 9)                                                                                     \
    X(InternalFailure, 10)                                                                                   \
    X(BrokenConnection, 11)                                                                                  \
    X(Unimplemented, 12)

// The status of a host call.
enum class WasmResult : uint32_t {
#define WEIR_X(name, value) name = value,
    WEIR_WASM_RESULTS(WEIR_X)
#undef WEIR_X
};

inline std::string toString(WasmResult result)
{
    switch (result) {
#define WEIR_X(name, value)                                                                                  \
    case WasmResult::name:                                                                                   \
        return #name;
        WEIR_WASM_RESULTS(WEIR_X)
#undef WEIR_X
    }
    return "Unknown";
}

enum class WasmHeaderMapType : int32_t {
    RequestHeaders = 0,
    RequestTrailers = 1,
    ResponseHeaders = 2,
    ResponseTrailers = 3,
    GrpcReceiveInitialMetadata = 4,
    GrpcReceiveTrailingMetadata = 5,
    HttpCallResponseHeaders = 6,
    HttpCallResponseTrailers = 7,
    MAX = HttpCallResponseTrailers,
};

enum class WasmBufferType : int32_t {
    HttpRequestBody = 0,
    HttpResponseBody = 1,
    NetworkDownstreamData = 2,
    NetworkUpstreamData = 3,
    HttpCallResponseBody = 4,
    GrpcReceiveBuffer = 5,
    VmConfiguration = 6,
    PluginConfiguration = 7,
    CallData = 8,
    MAX = CallData,
};

enum class WasmBufferFlags : int32_t {
    EndOfStream = 1, // no known host sets it
};

enum class WasmStreamType : int32_t {
    Request = 0,
    Response = 1,
    Downstream = 2,
    Upstream = 3,
    MAX = Upstream,
};
