/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weir/exports.h: the module's exports and the table of living contexts behind them. A callback for a context
 * that does not exist is a fault of the host and traps; it must never reach a plugin's code.
 */
#pragma once

#include "context.h"

namespace weir_sdk
{

// Never destroyed: a module has no end.
class Contexts
{
  public:
    static Contexts &get()
    {
        static Contexts *contexts = new Contexts;
        return *contexts;
    }

    void add(std::string_view root_id, ContextFactory context, RootFactory root)
    {
        Factories &factories = factories_[std::string(root_id)];
        if (context)
            factories.context = std::move(context);
        if (root)
            factories.root = std::move(root);
    }

    ContextBase *create(uint32_t id, uint32_t parent)
    {
        if (ContextBase *known = find(id))
            return known;
        Entry entry = parent != 0 ? createStream(id, parent) : createRoot(id);
        last_id_ = id;
        last_ = entry.context.get();
        living_[id] = std::move(entry);
        return last_;
    }

    ContextBase *find(uint32_t id)
    {
        if (last_ != nullptr && last_id_ == id)
            return last_;
        const auto found = living_.find(id);
        if (found == living_.end())
            return nullptr;
        last_id_ = id;
        last_ = found->second.context.get();
        return last_;
    }

    RootContext *findRootId(std::string_view root_id)
    {
        const auto found = by_root_id_.find(std::string(root_id));
        return found == by_root_id_.end() ? nullptr : found->second;
    }

    void remove(uint32_t id)
    {
        last_ = nullptr;
        const auto found = living_.find(id);
        if (found == living_.end())
            return;
        if (RootContext *root = found->second.context->asRoot()) {
            const auto named = by_root_id_.find(std::string(root->root_id()));
            if (named != by_root_id_.end() && named->second == root)
                by_root_id_.erase(named);
        }
        living_.erase(found);
    }

  private:
    struct Factories {
        ContextFactory context;
        RootFactory root;
    };

    struct Entry {
        std::unique_ptr<ContextBase> context;
        const ContextFactory *streams = nullptr; // of a root: what makes its streams; nullptr: plain ones
    };

    Entry createStream(uint32_t id, uint32_t parent)
    {
        const auto root = living_.find(parent);
        if (root == living_.end() || root->second.context->asRoot() == nullptr)
            abort();
        Entry entry;
        if (root->second.streams != nullptr)
            entry.context = (*root->second.streams)(id, root->second.context->asRoot());
        else
            entry.context = std::make_unique<Context>(id, root->second.context->asRoot());
        return entry;
    }

    Entry createRoot(uint32_t id)
    {
        const char *data = nullptr;
        size_t size = 0;
        CHECK_RESULT(proxy_get_property("plugin_root_id", sizeof("plugin_root_id") - 1, &data, &size));
        WasmData root_id(data, size);
        Entry entry;
        const auto found = factories_.find(root_id.toString());
        if (found != factories_.end() && found->second.context)
            entry.streams = &found->second.context;
        if (found != factories_.end() && found->second.root)
            entry.context = found->second.root(id, root_id.view());
        else
            entry.context = std::make_unique<RootContext>(id, root_id.view());
        by_root_id_[root_id.toString()] = entry.context->asRoot();
        return entry;
    }

    std::unordered_map<std::string, Factories> factories_; // complete before the first context
    std::unordered_map<uint32_t, Entry> living_;
    std::unordered_map<std::string, RootContext *> by_root_id_;
    // The callbacks of one stream follow each other.
    uint32_t last_id_ = 0;
    ContextBase *last_ = nullptr;
};

inline ContextBase &any(uint32_t id)
{
    ContextBase *context = Contexts::get().find(id);
    if (context == nullptr)
        abort();
    return *context;
}

inline Context &stream(uint32_t id)
{
    Context *context = any(id).asContext();
    if (context == nullptr)
        abort();
    return *context;
}

inline RootContext &root(uint32_t id)
{
    RootContext *context = any(id).asRoot();
    if (context == nullptr)
        abort();
    return *context;
}

} // namespace weir_sdk

inline RegisterContextFactory::RegisterContextFactory(ContextFactory context_factory,
                                                      RootFactory root_factory, std::string_view root_id)
{
    weir_sdk::Contexts::get().add(root_id, std::move(context_factory), std::move(root_factory));
}

inline ContextBase *getContextBase(uint32_t context_id)
{
    return weir_sdk::Contexts::get().find(context_id);
}

inline Context *getContext(uint32_t context_id)
{
    ContextBase *context = getContextBase(context_id);
    return context == nullptr ? nullptr : context->asContext();
}

inline RootContext *getRootContext(uint32_t context_id)
{
    ContextBase *context = getContextBase(context_id);
    return context == nullptr ? nullptr : context->asRoot();
}

inline RootContext *getRoot(std::string_view root_id)
{
    return weir_sdk::Contexts::get().findRootId(root_id);
}

// The exports. Inline, so that each of a plugin's source files may include this.

#ifdef __wasm__
#define WEIR_EXPORT(result, name, parameters)                                                                \
    extern "C" __attribute__((export_name(#name))) inline result name parameters
// libc's malloc is not exported by itself; the host asks for memory by this name.
extern "C" __attribute__((export_name("malloc"))) inline void *weir_sdk_malloc(size_t bytes)
{
    return ::malloc(bytes);
}
#else
#define WEIR_EXPORT(result, name, parameters) extern "C" inline result name parameters
#endif

WEIR_EXPORT(void, proxy_abi_version_0_2_1, ()) {}

WEIR_EXPORT(void, proxy_on_context_create, (uint32_t context_id, uint32_t parent_context_id))
{
    weir_sdk::Contexts::get().create(context_id, parent_context_id)->onCreate();
}

WEIR_EXPORT(uint32_t, proxy_on_vm_start, (uint32_t root_context_id, uint32_t size))
{
    return weir_sdk::root(root_context_id).onStart(size) ? 1 : 0;
}

WEIR_EXPORT(uint32_t, proxy_validate_configuration, (uint32_t root_context_id, uint32_t size))
{
    return weir_sdk::root(root_context_id).validateConfiguration(size) ? 1 : 0;
}

WEIR_EXPORT(uint32_t, proxy_on_configure, (uint32_t root_context_id, uint32_t size))
{
    return weir_sdk::root(root_context_id).onConfigure(size) ? 1 : 0;
}

WEIR_EXPORT(void, proxy_on_tick, (uint32_t root_context_id))
{
    weir_sdk::root(root_context_id).onTick();
}

WEIR_EXPORT(void, proxy_on_queue_ready, (uint32_t root_context_id, uint32_t token))
{
    weir_sdk::root(root_context_id).onQueueReady(token);
}

WEIR_EXPORT(void, proxy_on_foreign_function, (uint32_t context_id, uint32_t function_id, uint32_t size))
{
    weir_sdk::any(context_id).onForeignFunction(function_id, size);
}

WEIR_EXPORT(FilterStatus, proxy_on_new_connection, (uint32_t context_id))
{
    return weir_sdk::stream(context_id).onNewConnection();
}

WEIR_EXPORT(FilterStatus, proxy_on_downstream_data, (uint32_t context_id, uint32_t size, uint32_t end))
{
    return weir_sdk::stream(context_id).onDownstreamData(size, end != 0);
}

WEIR_EXPORT(FilterStatus, proxy_on_upstream_data, (uint32_t context_id, uint32_t size, uint32_t end))
{
    return weir_sdk::stream(context_id).onUpstreamData(size, end != 0);
}

WEIR_EXPORT(void, proxy_on_downstream_connection_close, (uint32_t context_id, uint32_t close_type))
{
    weir_sdk::stream(context_id).onDownstreamConnectionClose(static_cast<CloseType>(close_type));
}

WEIR_EXPORT(void, proxy_on_upstream_connection_close, (uint32_t context_id, uint32_t close_type))
{
    weir_sdk::stream(context_id).onUpstreamConnectionClose(static_cast<CloseType>(close_type));
}

WEIR_EXPORT(FilterHeadersStatus, proxy_on_request_headers,
            (uint32_t context_id, uint32_t headers, uint32_t end))
{
    return weir_sdk::stream(context_id).onRequestHeaders(headers, end != 0);
}

WEIR_EXPORT(FilterMetadataStatus, proxy_on_request_metadata, (uint32_t context_id, uint32_t elements))
{
    return weir_sdk::stream(context_id).onRequestMetadata(elements);
}

WEIR_EXPORT(FilterDataStatus, proxy_on_request_body, (uint32_t context_id, uint32_t size, uint32_t end))
{
    return weir_sdk::stream(context_id).onRequestBody(size, end != 0);
}

WEIR_EXPORT(FilterTrailersStatus, proxy_on_request_trailers, (uint32_t context_id, uint32_t trailers))
{
    return weir_sdk::stream(context_id).onRequestTrailers(trailers);
}

WEIR_EXPORT(FilterHeadersStatus, proxy_on_response_headers,
            (uint32_t context_id, uint32_t headers, uint32_t end))
{
    return weir_sdk::stream(context_id).onResponseHeaders(headers, end != 0);
}

WEIR_EXPORT(FilterMetadataStatus, proxy_on_response_metadata, (uint32_t context_id, uint32_t elements))
{
    return weir_sdk::stream(context_id).onResponseMetadata(elements);
}

WEIR_EXPORT(FilterDataStatus, proxy_on_response_body, (uint32_t context_id, uint32_t size, uint32_t end))
{
    return weir_sdk::stream(context_id).onResponseBody(size, end != 0);
}

WEIR_EXPORT(FilterTrailersStatus, proxy_on_response_trailers, (uint32_t context_id, uint32_t trailers))
{
    return weir_sdk::stream(context_id).onResponseTrailers(trailers);
}

WEIR_EXPORT(void, proxy_on_http_call_response,
            (uint32_t context_id, uint32_t token, uint32_t headers, uint32_t body_size, uint32_t trailers))
{
    weir_sdk::root(context_id).onHttpCallResponse(token, headers, body_size, trailers);
}

WEIR_EXPORT(void, proxy_on_grpc_receive_initial_metadata,
            (uint32_t context_id, uint32_t token, uint32_t headers))
{
    weir_sdk::root(context_id).onGrpcReceiveInitialMetadata(token, headers);
}

WEIR_EXPORT(void, proxy_on_grpc_receive_trailing_metadata,
            (uint32_t context_id, uint32_t token, uint32_t trailers))
{
    weir_sdk::root(context_id).onGrpcReceiveTrailingMetadata(token, trailers);
}

WEIR_EXPORT(void, proxy_on_grpc_receive, (uint32_t context_id, uint32_t token, uint32_t size))
{
    weir_sdk::root(context_id).onGrpcReceive(token, size);
}

WEIR_EXPORT(void, proxy_on_grpc_close, (uint32_t context_id, uint32_t token, uint32_t status))
{
    weir_sdk::root(context_id).onGrpcClose(token, static_cast<GrpcStatus>(status));
}

WEIR_EXPORT(uint32_t, proxy_on_done, (uint32_t context_id))
{
    return weir_sdk::any(context_id).onDoneBase() ? 1 : 0;
}

WEIR_EXPORT(void, proxy_on_log, (uint32_t context_id))
{
    weir_sdk::any(context_id).onLog();
}

WEIR_EXPORT(void, proxy_on_delete, (uint32_t context_id))
{
    weir_sdk::any(context_id).onDelete();
    weir_sdk::Contexts::get().remove(context_id);
}

#undef WEIR_EXPORT
