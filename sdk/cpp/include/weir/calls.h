/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weir/calls.h: HTTP and gRPC calls to other services by token, and the handlers that a plugin derives from
 * for gRPC. Answers come to the root context, never inside the call that asked. RootContext::httpCall and its
 * sisters, which take a callback or a handler, are in weir/context.h.
 */
#pragma once

#include <type_traits>

#include "data.h"

class RootContext;

inline WasmResult makeHttpCall(std::string_view uri, const HeaderStringPairs &request_headers,
                               std::string_view request_body, const HeaderStringPairs &request_trailers,
                               uint32_t timeout_milliseconds, uint32_t *token_ptr)
{
    const weir_sdk::Pairs headers(request_headers), trailers(request_trailers);
    return proxy_http_call(uri.data(), uri.size(), headers.data(), headers.size(), request_body.data(),
                           request_body.size(), trailers.data(), trailers.size(), timeout_milliseconds,
                           token_ptr);
}

inline WasmResult grpcCall(std::string_view service, std::string_view service_name,
                           std::string_view method_name, const HeaderStringPairs &initial_metadata,
                           std::string_view request, uint32_t timeout_milliseconds, uint32_t *token_ptr)
{
    const weir_sdk::Pairs metadata(initial_metadata);
    return proxy_grpc_call(service.data(), service.size(), service_name.data(), service_name.size(),
                           method_name.data(), method_name.size(), metadata.data(), metadata.size(),
                           request.data(), request.size(), timeout_milliseconds, token_ptr);
}

inline WasmResult grpcStream(std::string_view service, std::string_view service_name,
                             std::string_view method_name, const HeaderStringPairs &initial_metadata,
                             uint32_t *token_ptr)
{
    const weir_sdk::Pairs metadata(initial_metadata);
    return proxy_grpc_stream(service.data(), service.size(), service_name.data(), service_name.size(),
                             method_name.data(), method_name.size(), metadata.data(), metadata.size(),
                             token_ptr);
}

inline WasmResult grpcCancel(uint32_t token)
{
    return proxy_grpc_cancel(token);
}
inline WasmResult grpcClose(uint32_t token)
{
    return proxy_grpc_close(token);
}

inline WasmResult grpcSend(uint32_t token, std::string_view message, bool end_stream)
{
    return proxy_grpc_send(token, message.data(), message.size(), end_stream ? 1 : 0);
}

namespace weir_sdk
{

// Whether T is a protobuf message as far as this SDK cares.
template <typename T, typename = void> struct IsMessage : std::false_type {
};
template <typename T>
struct IsMessage<T, std::void_t<decltype(std::declval<const T &>().SerializeToString(
                        static_cast<std::string *>(nullptr)))>> : std::true_type {
};
template <typename T> using IfMessage = std::enable_if_t<IsMessage<T>::value, int>;

} // namespace weir_sdk

template <typename Message, weir_sdk::IfMessage<Message> = 0>
inline WasmResult grpcCall(std::string_view service, std::string_view service_name,
                           std::string_view method_name, const HeaderStringPairs &initial_metadata,
                           const Message &request, uint32_t timeout_milliseconds, uint32_t *token_ptr)
{
    std::string bytes;
    if (!request.SerializeToString(&bytes))
        return WasmResult::SerializationFailure;
    return grpcCall(service, service_name, method_name, initial_metadata, std::string_view(bytes),
                    timeout_milliseconds, token_ptr);
}

// What becomes of a unary gRPC call. The root context owns the handler until one of the two callbacks
// returns.
class GrpcCallHandlerBase
{
  public:
    GrpcCallHandlerBase() = default;
    virtual ~GrpcCallHandlerBase() = default;

    RootContext *context() { return context_; }
    uint32_t token() { return token_; }
    // No callback comes afterwards; this object is deleted here.
    void cancel();

    // The message is WasmBufferType::GrpcReceiveBuffer.
    virtual void onSuccess(size_t body_size) = 0;
    virtual void onFailure(GrpcStatus status) = 0;

  private:
    friend class RootContext;
    RootContext *context_ = nullptr;
    uint32_t token_ = 0;
};

template <typename Message> class GrpcCallHandler : public GrpcCallHandlerBase
{
};

// A gRPC stream. The root context owns the handler until both sides are closed or reset() is called.
class GrpcStreamHandlerBase
{
  public:
    GrpcStreamHandlerBase() = default;
    virtual ~GrpcStreamHandlerBase() = default;

    RootContext *context() { return context_; }
    uint32_t token() { return token_; }
    // Callbacks still come after send(..., true) and close(). reset() ends them. Each may delete this object.
    WasmResult send(std::string_view message, bool end_of_stream);
    void close();
    void reset();

    virtual void onReceiveInitialMetadata(uint32_t /* headers */) {}
    virtual void onReceiveTrailingMetadata(uint32_t /* trailers */) {}
    // The message is WasmBufferType::GrpcReceiveBuffer.
    virtual void onReceive(size_t body_size) = 0;
    virtual void onRemoteClose(GrpcStatus status) = 0;

  protected:
    friend class RootContext;

    void doRemoteClose(GrpcStatus status);
    void closeLocal();

    bool local_close_ = false;
    bool remote_close_ = false;
    RootContext *context_ = nullptr;
    uint32_t token_ = 0;
};

template <typename Request, typename Response> class GrpcStreamHandler : public GrpcStreamHandlerBase
{
  public:
    using GrpcStreamHandlerBase::send;

    template <typename Message = Request, weir_sdk::IfMessage<Message> = 0>
    WasmResult send(const Request &message, bool end_of_stream)
    {
        std::string bytes;
        if (!message.SerializeToString(&bytes))
            return WasmResult::SerializationFailure;
        return GrpcStreamHandlerBase::send(bytes, end_of_stream);
    }
};
