// SPDX-License-Identifier: Apache-2.0
//
// Uses what the suite plugin does not: gRPC, tagged metrics, protobuf-like messages, CEL, direct exports. Compiled and
// linked with other.cc by tests/integration/test_sdk_cpp.py; in a proxy it counts requests by method and status.

#include "proxy_wasm_intrinsics_lite.h"

#include "contrib/proxy_expr.h"
#include "other.h"

// As far as the SDK cares, this is a protobuf message.
struct Message {
    std::string text;
    bool SerializeToString(std::string *out) const
    {
        *out = text;
        return true;
    }
    bool ParseFromArray(const void *data, int size)
    {
        text.assign(static_cast<const char *>(data), static_cast<size_t>(size));
        return true;
    }
};

class Call : public GrpcCallHandler<Message>
{
public:
    void onSuccess(size_t size) override
    {
        auto answer = getBufferBytes(WasmBufferType::GrpcReceiveBuffer, 0, size)->proto<Message>();
        LOG_INFO("answer " + answer.text);
    }
    void onFailure(GrpcStatus status) override { LOG_WARN(std::to_string(static_cast<int>(status))); }
};

class Stream : public GrpcStreamHandler<Message, Message>
{
public:
    void onReceiveInitialMetadata(uint32_t) override { send(Message{"first"}, false); }
    void onReceive(size_t) override { send("last", true); }
    void onRemoteClose(GrpcStatus) override { reset(); }
};

class SurfaceRoot : public RootContext
{
public:
    explicit SurfaceRoot(uint32_t id, std::string_view root_id) : RootContext(id, root_id) {}

    bool onConfigure(size_t) override
    {
        requests = Counter<std::string, int, bool>::New("requests", "method", "status", "cached");
        size = Histogram<std::string>::New("size", "method");
        level = Gauge<int>::New("level", "shard");
        total = std::make_unique<Metric>(MetricType::Counter, "total",
                                         std::vector<MetricTag>{{"kind", MetricTag::TagType::String}});
        uint32_t token = 0;
        if (createExpression("request.path", &token) == WasmResult::Ok)
            exprDelete(token);
        return true;
    }

    void callOut()
    {
        const Message message{"hello"};
        grpcSimpleCall("cluster", "pkg.Service", "Method", {}, message, 1000,
                       [](GrpcStatus, size_t) { LOG_DEBUG("done"); });
        grpcSimpleCall("cluster", "pkg.Service", "Method", {{"key", "value"}}, "bytes", 1000, [](size_t) {},
                       [](GrpcStatus) {});
        grpcCallHandler("cluster", "pkg.Service", "Method", {}, message, 1000, std::make_unique<Call>());
        grpcStreamHandler("cluster", "pkg.Service", "Stream", {}, std::make_unique<Stream>());
    }

    Counter<std::string, int, bool> *requests = nullptr;
    Histogram<std::string> *size = nullptr;
    Gauge<int> *level = nullptr;
    std::unique_ptr<Metric> total;
};

class SurfaceContext : public Context
{
public:
    explicit SurfaceContext(uint32_t id, RootContext *root) : Context(id, root) {}

    FilterHeadersStatus onRequestHeaders(uint32_t, bool) override
    {
        auto *surface = static_cast<SurfaceRoot *>(root());
        const auto method = getRequestHeader(":method")->toString();
        surface->requests->increment(1, method, 200, true);
        auto simple = surface->requests->resolve(method, 200, true);
        simple++;
        ++simple;
        surface->size->record(10, method);
        surface->level->record(3, 1);
        surface->total->increment(2, "all");
        auto partial = surface->total->partiallyResolve();
        auto *extended = surface->level->extendAndResolve<std::string>(2, "zone");
        extended->record(4, "a");
        addRequestHeader("x-total", std::to_string(simple.get()));
        addRequestHeader("x-other", other());
        uint64_t number = 0;
        bool flag = false;
        std::string text;
        const std::vector<std::string> path = {"request", "size"};
        getValue(path, &number);
        getValue({"connection", "mtls"}, &flag);
        getValue(std::vector<std::string_view>{"request", "path"}, &text);
        Message node;
        getMessageValue({"xds", "node"}, &node);
        WasmResult result;
        auto packed = callForeignFunction("compress", text, &result);
        addRequestHeader("x-compressed", packed ? "yes" : toString(result));
        return FilterHeadersStatus::Continue;
    }

    void onLog() override { static_cast<SurfaceRoot *>(root())->callOut(); }
};

static RegisterContextFactory register_surface(CONTEXT_FACTORY(SurfaceContext), ROOT_FACTORY(SurfaceRoot), "surface");

WASM_EXPORT(uint32_t, an_export_of_my_own, (uint32_t x)) { return x + 1; }
