// SPDX-License-Identifier: Apache-2.0
//
// The plugin of tests/sdk/README.md in C++, as it would be written for the reference SDK: nothing here may be
// known to Weir alone.

#include <cctype>
#include <string>
#include <string_view>

#include "proxy_wasm_intrinsics.h"

class SuiteRoot : public RootContext
{
public:
    explicit SuiteRoot(uint32_t id, std::string_view root_id) : RootContext(id, root_id) {}

    bool onStart(size_t size) override;
    bool onConfigure(size_t size) override;
    void onTick() override;
    void onQueueReady(uint32_t token) override;

    std::string behaviour, argument;
    uint32_t queue = 0;
    Counter<> *requests = nullptr;
    Gauge<> *gauge = nullptr;
    Histogram<> *size = nullptr;

private:
    bool findQueue();
};

class SuiteContext : public Context
{
public:
    explicit SuiteContext(uint32_t id, RootContext *root)
        : Context(id, root), suite_(static_cast<SuiteRoot *>(root))
    {
    }

    FilterHeadersStatus onRequestHeaders(uint32_t headers, bool end_of_stream) override;
    FilterDataStatus onRequestBody(size_t size, bool end_of_stream) override;
    FilterHeadersStatus onResponseHeaders(uint32_t headers, bool end_of_stream) override;
    FilterDataStatus onResponseBody(size_t size, bool end_of_stream) override;
    FilterStatus onNewConnection() override;
    FilterStatus onDownstreamData(size_t size, bool end_of_stream) override;
    FilterStatus onUpstreamData(size_t size, bool end_of_stream) override;
    void onDownstreamConnectionClose(CloseType type) override;

    // The answers of a gRPC service, and how it ended.
    void grpcMessage(std::string_view message);
    void grpcEnded(GrpcStatus status);
    size_t grpcMessages() const { return messages_; }

private:
    bool is(std::string_view behaviour) { return suite_->behaviour == behaviour; }
    FilterHeadersStatus authorize();
    void authorized();
    FilterHeadersStatus askGrpc();
    void count();
    void editRequest(uint32_t headers, bool end_of_stream);
    void showProperties();

    SuiteRoot *suite_;
    std::string path_, answer_;
    size_t messages_ = 0;
};

static RegisterContextFactory register_suite(CONTEXT_FACTORY(SuiteContext), ROOT_FACTORY(SuiteRoot), "suite");

static std::string number(uint64_t value) { return std::to_string(value); }

bool SuiteRoot::onStart(size_t size)
{
    auto configuration = getBufferBytes(WasmBufferType::VmConfiguration, 0, size);
    logInfo("suite: vm configuration '" + configuration->toString() + "'");
    return true;
}

bool SuiteRoot::onConfigure(size_t configuration_size)
{
    const auto text = getBufferBytes(WasmBufferType::PluginConfiguration, 0, configuration_size)->toString();
    const auto space = text.find(' ');
    behaviour = text.substr(0, space);
    argument = space == std::string::npos ? "" : text.substr(space + 1);
    logInfo("suite: configured '" + text + "'");
    if (behaviour == "metrics") {
        requests = Counter<>::New("suite_requests");
        gauge = Gauge<>::New("suite_gauge");
        size = Histogram<>::New("suite_size");
    } else if (behaviour == "consume") {
        return registerSharedQueue(argument, &queue) == WasmResult::Ok;
    } else if (behaviour == "timer" || behaviour == "produce") {
        return proxy_set_tick_period_milliseconds(20) == WasmResult::Ok;
    }
    return behaviour != "refuse";
}

// The consumer may be configured later than the producer.
bool SuiteRoot::findQueue()
{
    const auto space = argument.find(' ');
    return queue != 0 || resolveSharedQueue(argument.substr(0, space), argument.substr(space + 1), &queue) ==
                             WasmResult::Ok;
}

void SuiteRoot::onTick()
{
    if (behaviour == "produce") {
        if (findQueue()) {
            proxy_set_tick_period_milliseconds(0);
            logInfo("suite: queue found");
        }
        return;
    }
    proxy_set_tick_period_milliseconds(0);
    const auto result = httpCall(
        argument, {{":method", "GET"}, {":path", "/tick"}, {":authority", "suite"}}, "", {}, 1000,
        [](uint32_t, size_t body_size, uint32_t) {
            auto status = getHeaderMapValue(WasmHeaderMapType::HttpCallResponseHeaders, ":status");
            auto body = getBufferBytes(WasmBufferType::HttpCallResponseBody, 0, body_size);
            logInfo("suite: tick answer " + status->toString() + " " + body->toString());
        });
    if (result != WasmResult::Ok)
        logError("suite: tick call " + toString(result));
}

void SuiteRoot::onQueueReady(uint32_t token)
{
    WasmDataPtr item;
    while (dequeueSharedQueue(token, &item) == WasmResult::Ok)
        logInfo("suite: queue item " + item->toString());
}

void SuiteContext::editRequest(uint32_t headers, bool end_of_stream)
{
    logInfo("suite: request headers " + number(headers) + (end_of_stream ? " end" : ""));
    addRequestHeader("x-path", getRequestHeader(":path")->view());
    addRequestHeader("x-add", "1");
    addRequestHeader("x-add", "2");
    replaceRequestHeader("x-replace", "new");
    removeRequestHeader("x-remove");
}

FilterHeadersStatus SuiteContext::authorize()
{
    HeaderStringPairs headers = {{":method", "GET"}, {":path", "/auth"}, {":authority", "suite"}};
    headers.emplace_back("x-token", getRequestHeader("x-token")->toString());
    const auto result = root()->httpCall(
        suite_->argument, headers, "", {}, 1000, [id = id()](uint32_t, size_t, uint32_t) {
            if (auto *context = static_cast<SuiteContext *>(getContext(id)))
                context->authorized();
        });
    if (result == WasmResult::Ok)
        return FilterHeadersStatus::StopIteration;
    sendLocalResponse(500, "", "call " + toString(result), {});
    return FilterHeadersStatus::StopIteration;
}

void SuiteContext::authorized()
{
    const auto map = WasmHeaderMapType::HttpCallResponseHeaders;
    const bool allowed = getHeaderMapValue(map, ":status")->view() == "200";
    const auto user = getHeaderMapValue(map, "x-user")->toString();
    setEffectiveContext();
    if (allowed) {
        addRequestHeader("x-user", user);
        continueRequest();
    } else {
        sendLocalResponse(403, "suite_auth", "denied", {{"x-suite", "auth"}});
    }
}

// A stream that answers the first message with the last one of its own.
class SuiteGrpcStream : public GrpcStreamHandlerBase
{
public:
    explicit SuiteGrpcStream(uint32_t context_id) : context_id_(context_id) {}

    void onReceiveInitialMetadata(uint32_t) override { show("initial", WasmHeaderMapType::GrpcReceiveInitialMetadata, "x-init"); }
    void onReceiveTrailingMetadata(uint32_t) override { show("trailing", WasmHeaderMapType::GrpcReceiveTrailingMetadata, "x-trail"); }

    void onReceive(size_t size) override
    {
        auto *context = owner();
        const auto message = getBufferBytes(WasmBufferType::GrpcReceiveBuffer, 0, size);
        if (!context)
            return;
        context->grpcMessage(message->view());
        if (context->grpcMessages() == 1)
            send("bye", true);
    }

    void onRemoteClose(GrpcStatus status) override
    {
        if (auto *context = owner())
            context->grpcEnded(status);
    }

private:
    SuiteContext *owner() { return static_cast<SuiteContext *>(getContext(context_id_)); }
    static void show(const std::string &what, WasmHeaderMapType map, std::string_view name)
    {
        logInfo("suite: grpc " + what + " " + getHeaderMapValue(map, name)->toString());
    }

    uint32_t context_id_;
};

FilterHeadersStatus SuiteContext::askGrpc()
{
    const auto message = getRequestHeader("x-message")->toString();
    const HeaderStringPairs metadata = {{"x-suite", "grpc"}};
    const auto method = path_.substr(1);
    WasmResult result = WasmResult::Ok;
    if (method == "Bidi") {
        auto handler = std::make_unique<SuiteGrpcStream>(id());
        auto *stream = handler.get();
        result = root()->grpcStreamHandler(suite_->argument, "p.S", method, metadata, std::move(handler));
        if (result == WasmResult::Ok)
            stream->send(message, false);
    } else {
        result = root()->grpcSimpleCall(
            suite_->argument, "p.S", method, metadata, message, 2000,
            [id = id()](GrpcStatus status, size_t size) {
                auto *context = static_cast<SuiteContext *>(getContext(id));
                if (!context)
                    return;
                if (status == GrpcStatus::Ok)
                    context->grpcMessage(getBufferBytes(WasmBufferType::GrpcReceiveBuffer, 0, size)->view());
                context->grpcEnded(status);
            });
    }
    if (result != WasmResult::Ok)
        sendLocalResponse(500, "", "grpc " + toString(result), {});
    return FilterHeadersStatus::StopIteration;
}

void SuiteContext::grpcMessage(std::string_view message)
{
    answer_.append(messages_++ ? " " : "").append(message);
}

void SuiteContext::grpcEnded(GrpcStatus status)
{
    const auto message = getStatus().second->toString();
    setEffectiveContext();
    if (status == GrpcStatus::Ok) {
        addRequestHeader("x-grpc", answer_);
        continueRequest();
    } else {
        sendLocalResponse(503, "", "grpc " + number(static_cast<uint32_t>(status)) + " " + message, {});
    }
}

// Compare and swap until nobody was in between.
void SuiteContext::count()
{
    for (int i = 0; i < 100; i++) {
        WasmDataPtr value;
        uint32_t cas = 0, count = 0;
        if (getSharedData("suite count", &value, &cas) == WasmResult::Ok)
            count = static_cast<uint32_t>(std::strtoul(value->toString().c_str(), nullptr, 10));
        if (setSharedData("suite count", number(count + 1), cas) == WasmResult::Ok) {
            addResponseHeader("x-count", number(count + 1));
            return;
        }
    }
    logError("suite: no swap");
}

FilterHeadersStatus SuiteContext::onRequestHeaders(uint32_t headers, bool end_of_stream)
{
    path_ = getRequestHeader(":path")->toString();
    if (is("header")) {
        editRequest(headers, end_of_stream);
    } else if (is("body")) {
        removeRequestHeader("content-length");
    } else if (is("auth")) {
        return authorize();
    } else if (is("grpc")) {
        return askGrpc();
    } else if (is("route")) {
        if (getRequestHeader("x-version")->view() == "2")
            replaceRequestHeader("x-route", "blue");
    } else if (is("produce")) {
        logInfo("suite: enqueue " + toString(enqueueSharedQueue(suite_->queue, path_)));
    } else if (is("metrics")) {
        suite_->requests->increment(1);
        suite_->gauge->record(7);
        suite_->size->record(path_.size());
    } else if (is("reply")) {
        sendLocalResponse(418, "suite_reply", "short and stout", {{"x-suite", "reply"}});
        return FilterHeadersStatus::StopIteration;
    }
    return FilterHeadersStatus::Continue;
}

FilterDataStatus SuiteContext::onRequestBody(size_t size, bool end_of_stream)
{
    if (!is("body"))
        return FilterDataStatus::Continue;
    if (!end_of_stream)
        return FilterDataStatus::StopIterationAndBuffer;
    const auto body = getBufferBytes(WasmBufferType::HttpRequestBody, 0, size);
    setBuffer(WasmBufferType::HttpRequestBody, 0, size, "[" + body->toString() + "]");
    return FilterDataStatus::Continue;
}

void SuiteContext::showProperties()
{
    std::string text;
    uint64_t value = 0;
    if (getValue({"request", "path"}, &text))
        addResponseHeader("x-request-path", text);
    if (getValue({"request", "headers", "x-in"}, &text))
        addResponseHeader("x-request-header", text);
    if (getValue({"response", "code"}, &value))
        addResponseHeader("x-response-code", number(value));
    if (getValue({"plugin_root_id"}, &text))
        addResponseHeader("x-plugin-root-id", text);
    addResponseHeader("x-missing", getValue({"no", "such"}, &text) ? "there" : "none");
    setFilterState("suite_state", "kept");
    if (getValue({"suite_state"}, &text))
        addResponseHeader("x-state", text);
}

FilterHeadersStatus SuiteContext::onResponseHeaders(uint32_t headers, bool)
{
    if (is("header")) {
        logInfo("suite: response headers " + number(headers) + " " + getResponseHeader(":status")->toString());
        addResponseHeader("x-response", "on");
        removeResponseHeader("x-secret");
    } else if (is("body")) {
        removeResponseHeader("content-length");
    } else if (is("trivial")) {
        addResponseHeader("x-trivial", "1");
    } else if (is("shared")) {
        count();
    } else if (is("metrics")) {
        addResponseHeader("x-counter", number(suite_->requests->get()));
    } else if (is("properties")) {
        showProperties();
    }
    return FilterHeadersStatus::Continue;
}

FilterDataStatus SuiteContext::onResponseBody(size_t size, bool end_of_stream)
{
    if (!is("body"))
        return FilterDataStatus::Continue;
    if (!end_of_stream)
        return FilterDataStatus::StopIterationAndBuffer;
    const auto body = getBufferBytes(WasmBufferType::HttpResponseBody, 0, size);
    setBuffer(WasmBufferType::HttpResponseBody, 0, size, "<" + body->toString() + ">");
    return FilterDataStatus::Continue;
}

FilterStatus SuiteContext::onNewConnection()
{
    logInfo("suite: new connection");
    return FilterStatus::Continue;
}

FilterStatus SuiteContext::onDownstreamData(size_t size, bool end_of_stream)
{
    auto text = getBufferBytes(WasmBufferType::NetworkDownstreamData, 0, size)->toString();
    for (auto &c : text)
        c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    setBuffer(WasmBufferType::NetworkDownstreamData, 0, size, text);
    if (end_of_stream)
        logInfo("suite: downstream end");
    return FilterStatus::Continue;
}

FilterStatus SuiteContext::onUpstreamData(size_t size, bool)
{
    if (size > 0)
        setBuffer(WasmBufferType::NetworkUpstreamData, 0, 0, "> ");
    return FilterStatus::Continue;
}

void SuiteContext::onDownstreamConnectionClose(CloseType)
{
    logInfo("suite: connection closed");
}
