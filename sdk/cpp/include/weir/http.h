/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weir/http.h: headers and trailers of the stream whose callback runs, its going on and its end, and the
 * local response. A function without a stream to act on must not trap: it returns the host's status.
 */
#pragma once

#include "data.h"

inline WasmResult continueRequest()
{
    return proxy_continue_stream(WasmStreamType::Request);
}
inline WasmResult continueResponse()
{
    return proxy_continue_stream(WasmStreamType::Response);
}
inline WasmResult continueDownstream()
{
    return proxy_continue_stream(WasmStreamType::Downstream);
}
inline WasmResult continueUpstream()
{
    return proxy_continue_stream(WasmStreamType::Upstream);
}
inline WasmResult closeRequest()
{
    return proxy_close_stream(WasmStreamType::Request);
}
inline WasmResult closeResponse()
{
    return proxy_close_stream(WasmStreamType::Response);
}
inline WasmResult closeDownstream()
{
    return proxy_close_stream(WasmStreamType::Downstream);
}
inline WasmResult closeUpstream()
{
    return proxy_close_stream(WasmStreamType::Upstream);
}

// Answers the request; the callback's return value no longer counts.
inline WasmResult sendLocalResponse(uint32_t response_code, std::string_view response_code_details,
                                    std::string_view body,
                                    const HeaderStringPairs &additional_response_headers,
                                    GrpcStatus grpc_status = GrpcStatus::InvalidCode)
{
    const weir_sdk::Pairs headers(additional_response_headers);
    return proxy_send_local_response(response_code, response_code_details.data(),
                                     response_code_details.size(), body.data(), body.size(), headers.data(),
                                     headers.size(), static_cast<uint32_t>(grpc_status));
}

inline WasmResult addHeaderMapValue(WasmHeaderMapType type, std::string_view key, std::string_view value)
{
    return proxy_add_header_map_value(type, key.data(), key.size(), value.data(), value.size());
}

// The first value of `key`; empty (and data() == nullptr) when there is none.
inline WasmDataPtr getHeaderMapValue(WasmHeaderMapType type, std::string_view key)
{
    const char *value = nullptr;
    size_t size = 0;
    proxy_get_header_map_value(type, key.data(), key.size(), &value, &size);
    return std::make_unique<WasmData>(value, size);
}

inline WasmResult replaceHeaderMapValue(WasmHeaderMapType type, std::string_view key, std::string_view value)
{
    return proxy_replace_header_map_value(type, key.data(), key.size(), value.data(), value.size());
}

inline WasmResult removeHeaderMapValue(WasmHeaderMapType type, std::string_view key)
{
    return proxy_remove_header_map_value(type, key.data(), key.size());
}

inline WasmDataPtr getHeaderMapPairs(WasmHeaderMapType type)
{
    const char *data = nullptr;
    size_t size = 0;
    proxy_get_header_map_pairs(type, &data, &size);
    return std::make_unique<WasmData>(data, size);
}

inline WasmResult setHeaderMapPairs(WasmHeaderMapType type, const HeaderStringPairs &pairs)
{
    const weir_sdk::Pairs wire(pairs);
    return proxy_set_header_map_pairs(type, wire.data(), wire.size());
}

// What the host calls the size of a map: bytes of names and values.
inline WasmResult getHeaderMapSize(WasmHeaderMapType type, size_t *size)
{
    return proxy_get_header_map_size(type, size);
}

// The same for each map by name: addRequestHeader, getResponseTrailerPairs, ...
#define WEIR_MAP_FUNCTIONS(name, map)                                                                        \
    inline WasmResult add##name(std::string_view key, std::string_view value)                                \
    {                                                                                                        \
        return addHeaderMapValue(WasmHeaderMapType::map, key, value);                                        \
    }                                                                                                        \
    inline WasmDataPtr get##name(std::string_view key)                                                       \
    {                                                                                                        \
        return getHeaderMapValue(WasmHeaderMapType::map, key);                                               \
    }                                                                                                        \
    inline WasmResult replace##name(std::string_view key, std::string_view value)                            \
    {                                                                                                        \
        return replaceHeaderMapValue(WasmHeaderMapType::map, key, value);                                    \
    }                                                                                                        \
    inline WasmResult remove##name(std::string_view key)                                                     \
    {                                                                                                        \
        return removeHeaderMapValue(WasmHeaderMapType::map, key);                                            \
    }                                                                                                        \
    inline WasmDataPtr get##name##Pairs()                                                                    \
    {                                                                                                        \
        return getHeaderMapPairs(WasmHeaderMapType::map);                                                    \
    }                                                                                                        \
    inline WasmResult set##name##Pairs(const HeaderStringPairs &pairs)                                       \
    {                                                                                                        \
        return setHeaderMapPairs(WasmHeaderMapType::map, pairs);                                             \
    }                                                                                                        \
    inline WasmResult get##name##Size(size_t *size)                                                          \
    {                                                                                                        \
        return getHeaderMapSize(WasmHeaderMapType::map, size);                                               \
    }

WEIR_MAP_FUNCTIONS(RequestHeader, RequestHeaders)
WEIR_MAP_FUNCTIONS(RequestTrailer, RequestTrailers)
WEIR_MAP_FUNCTIONS(ResponseHeader, ResponseHeaders)
WEIR_MAP_FUNCTIONS(ResponseTrailer, ResponseTrailers)
#undef WEIR_MAP_FUNCTIONS
