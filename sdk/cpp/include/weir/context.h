/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weir/context.h: the classes that a plugin derives from: RootContext, one per plugin configuration and VM,
 * and Context, one per stream; and the registration of both. A context lives from onCreate to onDelete; no
 * callback may come before or after.
 */
#pragma once

#include <unordered_map>

#include "calls.h"
#include "host.h"

class Context;

class ContextBase
{
  public:
    using HttpCallCallback = std::function<void(uint32_t headers, size_t body_size, uint32_t trailers)>;
    using GrpcSimpleCallCallback = std::function<void(GrpcStatus status, size_t body_size)>;

    explicit ContextBase(uint32_t id) : id_(id) {}
    virtual ~ContextBase() = default;
    ContextBase(const ContextBase &) = delete;
    ContextBase &operator=(const ContextBase &) = delete;

    uint32_t id() { return id_; }
    // Until the running callback returns, host calls act on this context.
    WasmResult setEffectiveContext() { return proxy_set_effective_context(id_); }
    WasmResult getLogLevel(LogLevel *level) { return proxy_get_log_level(level); }

    virtual RootContext *asRoot() { return nullptr; }
    virtual Context *asContext() { return nullptr; }

    virtual void onCreate() {}
    // The host is done with the context: false keeps a root context until RootContext::done().
    virtual bool onDoneBase() = 0;
    virtual void onLog() {}
    virtual void onDelete() {}
    virtual void onForeignFunction(uint32_t /* foreign_function_id */, uint32_t /* data_size */) {}

  private:
    uint32_t id_;
};

namespace weir_sdk
{
class Contexts;
} // namespace weir_sdk

class RootContext : public ContextBase
{
  public:
    RootContext(uint32_t id, std::string_view root_id) : ContextBase(id), root_id_(root_id) {}

    std::string_view root_id() { return root_id_; }
    RootContext *asRoot() override { return this; }
    Context *asContext() override { return nullptr; }

    // No known host calls it.
    virtual bool validateConfiguration(size_t /* configuration_size */) { return true; }
    // The configuration is WasmBufferType::PluginConfiguration. False refuses it.
    virtual bool onConfigure(size_t /* configuration_size */) { return true; }
    // The configuration is WasmBufferType::VmConfiguration. False refuses to start.
    virtual bool onStart(size_t /* vm_configuration_size */) { return true; }
    virtual void onTick() {}
    virtual void onQueueReady(uint32_t /* token */) {}
    virtual bool onDone() { return true; }
    // After onDone() returned false.
    void done() { proxy_done(); }

    // Calls with a callback; it runs once, on this context, never before the call returns.
    WasmResult httpCall(std::string_view uri, const HeaderStringPairs &request_headers,
                        std::string_view request_body, const HeaderStringPairs &request_trailers,
                        uint32_t timeout_milliseconds, HttpCallCallback callback);
    WasmResult grpcSimpleCall(std::string_view service, std::string_view service_name,
                              std::string_view method_name, const HeaderStringPairs &initial_metadata,
                              std::string_view request, uint32_t timeout_milliseconds,
                              GrpcSimpleCallCallback callback);
    WasmResult grpcSimpleCall(std::string_view service, std::string_view service_name,
                              std::string_view method_name, const HeaderStringPairs &initial_metadata,
                              std::string_view request, uint32_t timeout_milliseconds,
                              std::function<void(size_t body_size)> success_callback,
                              std::function<void(GrpcStatus status)> failure_callback);
    WasmResult grpcCallHandler(std::string_view service, std::string_view service_name,
                               std::string_view method_name, const HeaderStringPairs &initial_metadata,
                               std::string_view request, uint32_t timeout_milliseconds,
                               std::unique_ptr<GrpcCallHandlerBase> handler);
    WasmResult grpcStreamHandler(std::string_view service, std::string_view service_name,
                                 std::string_view method_name, const HeaderStringPairs &initial_metadata,
                                 std::unique_ptr<GrpcStreamHandlerBase> handler);

    // The same with a protobuf message as request.
    template <typename Message, typename... More, weir_sdk::IfMessage<Message> = 0>
    WasmResult grpcSimpleCall(std::string_view service, std::string_view service_name,
                              std::string_view method_name, const HeaderStringPairs &initial_metadata,
                              const Message &request, uint32_t timeout_milliseconds, More... callbacks)
    {
        std::string bytes;
        if (!request.SerializeToString(&bytes))
            return WasmResult::SerializationFailure;
        return grpcSimpleCall(service, service_name, method_name, initial_metadata, std::string_view(bytes),
                              timeout_milliseconds, std::move(callbacks)...);
    }

    template <typename Message, weir_sdk::IfMessage<Message> = 0>
    WasmResult grpcCallHandler(std::string_view service, std::string_view service_name,
                               std::string_view method_name, const HeaderStringPairs &initial_metadata,
                               const Message &request, uint32_t timeout_milliseconds,
                               std::unique_ptr<GrpcCallHandlerBase> handler)
    {
        std::string bytes;
        if (!request.SerializeToString(&bytes))
            return WasmResult::SerializationFailure;
        return grpcCallHandler(service, service_name, method_name, initial_metadata, std::string_view(bytes),
                               timeout_milliseconds, std::move(handler));
    }

    // By token, for calls made with makeHttpCall and grpcCall; these pass answers on to the callbacks above.
    virtual void onHttpCallResponse(uint32_t token, uint32_t headers, size_t body_size, uint32_t trailers);
    virtual void onGrpcReceiveInitialMetadata(uint32_t token, uint32_t headers);
    virtual void onGrpcReceiveTrailingMetadata(uint32_t token, uint32_t trailers);
    virtual void onGrpcReceive(uint32_t token, size_t body_size);
    virtual void onGrpcClose(uint32_t token, GrpcStatus status);

  private:
    friend class GrpcCallHandlerBase;
    friend class GrpcStreamHandlerBase;

    bool onDoneBase() override { return onDone(); }
    GrpcStreamHandlerBase *grpcStreamOf(uint32_t token);

    const std::string root_id_;
    std::unordered_map<uint32_t, HttpCallCallback> http_calls_;
    std::unordered_map<uint32_t, GrpcSimpleCallCallback> simple_grpc_calls_;
    std::unordered_map<uint32_t, std::unique_ptr<GrpcCallHandlerBase>> grpc_calls_;
    std::unordered_map<uint32_t, std::unique_ptr<GrpcStreamHandlerBase>> grpc_streams_;
};

class Context : public ContextBase
{
  public:
    Context(uint32_t id, RootContext *root) : ContextBase(id), root_(root) {}

    RootContext *root() { return root_; }
    RootContext *asRoot() override { return nullptr; }
    Context *asContext() override { return this; }

    // TCP. Data is WasmBufferType::NetworkDownstreamData or NetworkUpstreamData.
    virtual FilterStatus onNewConnection() { return FilterStatus::Continue; }
    virtual FilterStatus onDownstreamData(size_t /* data_size */, bool /* end_of_stream */)
    {
        return FilterStatus::Continue;
    }
    virtual FilterStatus onUpstreamData(size_t /* data_size */, bool /* end_of_stream */)
    {
        return FilterStatus::Continue;
    }
    virtual void onDownstreamConnectionClose(CloseType /* close_type */) {}
    virtual void onUpstreamConnectionClose(CloseType /* close_type */) {}

    // HTTP. The first argument is the number of entries, or the bytes that can be read now.
    virtual FilterHeadersStatus onRequestHeaders(uint32_t /* headers */, bool /* end_of_stream */)
    {
        return FilterHeadersStatus::Continue;
    }
    virtual FilterMetadataStatus onRequestMetadata(uint32_t /* elements */)
    {
        return FilterMetadataStatus::Continue;
    }
    virtual FilterDataStatus onRequestBody(size_t /* body_buffer_length */, bool /* end_of_stream */)
    {
        return FilterDataStatus::Continue;
    }
    virtual FilterTrailersStatus onRequestTrailers(uint32_t /* trailers */)
    {
        return FilterTrailersStatus::Continue;
    }
    virtual FilterHeadersStatus onResponseHeaders(uint32_t /* headers */, bool /* end_of_stream */)
    {
        return FilterHeadersStatus::Continue;
    }
    virtual FilterMetadataStatus onResponseMetadata(uint32_t /* elements */)
    {
        return FilterMetadataStatus::Continue;
    }
    virtual FilterDataStatus onResponseBody(size_t /* body_buffer_length */, bool /* end_of_stream */)
    {
        return FilterDataStatus::Continue;
    }
    virtual FilterTrailersStatus onResponseTrailers(uint32_t /* trailers */)
    {
        return FilterTrailersStatus::Continue;
    }

    virtual void onDone() {}

  private:
    bool onDoneBase() override
    {
        onDone();
        return true;
    }

    RootContext *root_;
};

using RootFactory = std::function<std::unique_ptr<RootContext>(uint32_t id, std::string_view root_id)>;
using ContextFactory = std::function<std::unique_ptr<Context>(uint32_t id, RootContext *root)>;

#define ROOT_FACTORY(type)                                                                                   \
    [](uint32_t id, std::string_view root_id) -> std::unique_ptr<RootContext> {                              \
        return std::make_unique<type>(id, root_id);                                                          \
    }

#define CONTEXT_FACTORY(type)                                                                                \
    [](uint32_t id, RootContext *root) -> std::unique_ptr<Context> {                                         \
        return std::make_unique<type>(id, root);                                                             \
    }

// static RegisterContextFactory r(CONTEXT_FACTORY(MyContext), ROOT_FACTORY(MyRoot), "my_root_id");
struct RegisterContextFactory {
    RegisterContextFactory(ContextFactory context_factory, RootFactory root_factory,
                           std::string_view root_id = "");
    explicit RegisterContextFactory(RootFactory root_factory, std::string_view root_id = "")
        : RegisterContextFactory(nullptr, std::move(root_factory), root_id)
    {
    }
    explicit RegisterContextFactory(ContextFactory context_factory, std::string_view root_id = "")
        : RegisterContextFactory(std::move(context_factory), nullptr, root_id)
    {
    }
};

// A living context by its id, or nullptr; of a stream, of a root, of either.
Context *getContext(uint32_t context_id);
RootContext *getRootContext(uint32_t context_id);
ContextBase *getContextBase(uint32_t context_id);
// The root context that was created last for a root_id.
RootContext *getRoot(std::string_view root_id);

// Calls of a root context.

inline WasmResult RootContext::httpCall(std::string_view uri, const HeaderStringPairs &request_headers,
                                        std::string_view request_body,
                                        const HeaderStringPairs &request_trailers,
                                        uint32_t timeout_milliseconds, HttpCallCallback callback)
{
    uint32_t token = 0;
    const auto result =
        makeHttpCall(uri, request_headers, request_body, request_trailers, timeout_milliseconds, &token);
    if (result == WasmResult::Ok)
        http_calls_[token] = std::move(callback);
    return result;
}

inline WasmResult RootContext::grpcSimpleCall(std::string_view service, std::string_view service_name,
                                              std::string_view method_name,
                                              const HeaderStringPairs &initial_metadata,
                                              std::string_view request, uint32_t timeout_milliseconds,
                                              GrpcSimpleCallCallback callback)
{
    uint32_t token = 0;
    const auto result =
        grpcCall(service, service_name, method_name, initial_metadata, request, timeout_milliseconds, &token);
    if (result == WasmResult::Ok)
        simple_grpc_calls_[token] = std::move(callback);
    return result;
}

inline WasmResult RootContext::grpcSimpleCall(std::string_view service, std::string_view service_name,
                                              std::string_view method_name,
                                              const HeaderStringPairs &initial_metadata,
                                              std::string_view request, uint32_t timeout_milliseconds,
                                              std::function<void(size_t body_size)> success_callback,
                                              std::function<void(GrpcStatus status)> failure_callback)
{
    auto callback = [success = std::move(success_callback),
                     failure = std::move(failure_callback)](GrpcStatus status, size_t body_size) {
        if (status == GrpcStatus::Ok)
            success(body_size);
        else
            failure(status);
    };
    return grpcSimpleCall(service, service_name, method_name, initial_metadata, request, timeout_milliseconds,
                          GrpcSimpleCallCallback(std::move(callback)));
}

inline WasmResult RootContext::grpcCallHandler(std::string_view service, std::string_view service_name,
                                               std::string_view method_name,
                                               const HeaderStringPairs &initial_metadata,
                                               std::string_view request, uint32_t timeout_milliseconds,
                                               std::unique_ptr<GrpcCallHandlerBase> handler)
{
    uint32_t token = 0;
    const auto result =
        grpcCall(service, service_name, method_name, initial_metadata, request, timeout_milliseconds, &token);
    if (result == WasmResult::Ok) {
        handler->token_ = token;
        handler->context_ = this;
        grpc_calls_[token] = std::move(handler);
    }
    return result;
}

inline WasmResult RootContext::grpcStreamHandler(std::string_view service, std::string_view service_name,
                                                 std::string_view method_name,
                                                 const HeaderStringPairs &initial_metadata,
                                                 std::unique_ptr<GrpcStreamHandlerBase> handler)
{
    uint32_t token = 0;
    const auto result = grpcStream(service, service_name, method_name, initial_metadata, &token);
    if (result == WasmResult::Ok) {
        handler->token_ = token;
        handler->context_ = this;
        grpc_streams_[token] = std::move(handler);
    }
    return result;
}

inline GrpcStreamHandlerBase *RootContext::grpcStreamOf(uint32_t token)
{
    const auto found = grpc_streams_.find(token);
    return found == grpc_streams_.end() ? nullptr : found->second.get();
}

// A callback leaves its table before it runs: it may make calls of its own, which may move the table.

inline void RootContext::onHttpCallResponse(uint32_t token, uint32_t headers, size_t body_size,
                                            uint32_t trailers)
{
    if (auto call = http_calls_.extract(token))
        call.mapped()(headers, body_size, trailers);
}

inline void RootContext::onGrpcReceiveInitialMetadata(uint32_t token, uint32_t headers)
{
    if (auto *stream = grpcStreamOf(token))
        stream->onReceiveInitialMetadata(headers);
}

inline void RootContext::onGrpcReceiveTrailingMetadata(uint32_t token, uint32_t trailers)
{
    if (auto *stream = grpcStreamOf(token))
        stream->onReceiveTrailingMetadata(trailers);
}

inline void RootContext::onGrpcReceive(uint32_t token, size_t body_size)
{
    if (auto simple = simple_grpc_calls_.extract(token))
        simple.mapped()(GrpcStatus::Ok, body_size);
    else if (auto call = grpc_calls_.extract(token))
        call.mapped()->onSuccess(body_size);
    else if (auto *stream = grpcStreamOf(token))
        stream->onReceive(body_size);
}

inline void RootContext::onGrpcClose(uint32_t token, GrpcStatus status)
{
    if (auto simple = simple_grpc_calls_.extract(token))
        simple.mapped()(status, 0);
    else if (auto call = grpc_calls_.extract(token))
        call.mapped()->onFailure(status);
    else if (auto *stream = grpcStreamOf(token))
        stream->doRemoteClose(status);
}

inline void GrpcCallHandlerBase::cancel()
{
    grpcCancel(token_);
    context_->grpc_calls_.erase(token_);
}

inline void GrpcStreamHandlerBase::closeLocal()
{
    local_close_ = true;
    if (remote_close_)
        context_->grpc_streams_.erase(token_);
}

inline WasmResult GrpcStreamHandlerBase::send(std::string_view message, bool end_of_stream)
{
    const auto result = grpcSend(token_, message, end_of_stream);
    if (result == WasmResult::Ok && end_of_stream)
        closeLocal();
    return result;
}

inline void GrpcStreamHandlerBase::close()
{
    grpcClose(token_);
    closeLocal();
}

inline void GrpcStreamHandlerBase::reset()
{
    grpcCancel(token_);
    context_->grpc_streams_.erase(token_);
}

inline void GrpcStreamHandlerBase::doRemoteClose(GrpcStatus status)
{
    RootContext *root = context_;
    const uint32_t token = token_;
    onRemoteClose(status);
    if (root->grpcStreamOf(token) != this)
        return; // the plugin called reset() there
    remote_close_ = true;
    if (local_close_)
        root->grpc_streams_.erase(token);
}
