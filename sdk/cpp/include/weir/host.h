/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weir/host.h: host calls that any context may make: time, properties, shared data, shared queues, buffers,
 * foreign functions. Each returns the host's status or the host's data; none may keep a view of its argument.
 */
#pragma once

#include <initializer_list>
#include <optional>
#include <type_traits>

#include "data.h"

// Wall clock, nanoseconds since 1970.
inline uint64_t getCurrentTimeNanoseconds()
{
    uint64_t now_ns = 0;
    CHECK_RESULT(proxy_get_current_time_nanoseconds(&now_ns));
    return now_ns;
}

// The status of the last answer to a call: code and message.
inline std::pair<uint32_t, WasmDataPtr> getStatus()
{
    uint32_t code = 0;
    const char *message = nullptr;
    size_t size = 0;
    CHECK_RESULT(proxy_get_status(&code, &message, &size));
    return {code, std::make_unique<WasmData>(message, size)};
}

// Properties.

namespace weir_sdk
{

// A path on the wire: each part, and a NUL behind it.
template <typename Parts> inline std::optional<WasmDataPtr> property(const Parts &parts)
{
    std::string path;
    for (const auto &part : parts)
        path.append(std::string_view(part)).push_back('\0');
    const char *value = nullptr;
    size_t size = 0;
    if (proxy_get_property(path.data(), path.size(), &value, &size) != WasmResult::Ok)
        return {};
    return std::make_unique<WasmData>(value, size);
}

template <typename Parts, typename T> inline bool propertyValue(const Parts &parts, T *out)
{
    auto data = property(parts);
    if (!data)
        return false;
    if constexpr (std::is_same_v<T, std::string>) {
        out->assign((*data)->view());
    } else {
        static_assert(std::is_trivially_copyable_v<T>, "a number, a bool or a std::string");
        if ((*data)->size() != sizeof(T))
            return false;
        memcpy(out, (*data)->data(), sizeof(T));
    }
    return true;
}

template <typename Parts, typename T> inline bool propertyMessage(const Parts &parts, T *out)
{
    auto data = property(parts);
    if (!data)
        return false;
    return (*data)->size() == 0 || out->ParseFromArray((*data)->data(), static_cast<int>((*data)->size()));
}

} // namespace weir_sdk

// getProperty({"request", "path"}); nothing when the host has no such property.
inline std::optional<WasmDataPtr> getProperty(const std::initializer_list<std::string_view> &parts)
{
    return weir_sdk::property(parts);
}

template <typename S> inline std::optional<WasmDataPtr> getProperty(const std::vector<S> &parts)
{
    return weir_sdk::property(parts);
}

// A property of known type: int64_t, uint64_t, double, bool or std::string. False when there is none, or when
// it has another size.
template <typename T> inline bool getValue(const std::initializer_list<std::string_view> &parts, T *out)
{
    return weir_sdk::propertyValue(parts, out);
}

template <typename S, typename T> inline bool getValue(const std::vector<S> &parts, T *out)
{
    return weir_sdk::propertyValue(parts, out);
}

// A property that is a protobuf message; an empty one leaves `out` as it is.
template <typename T>
inline bool getMessageValue(const std::initializer_list<std::string_view> &parts, T *out)
{
    return weir_sdk::propertyMessage(parts, out);
}

template <typename S, typename T> inline bool getMessageValue(const std::vector<S> &parts, T *out)
{
    return weir_sdk::propertyMessage(parts, out);
}

// Set a property of the stream, which later plugins and the access log can read.
inline WasmResult setFilterState(std::string_view key, std::string_view value)
{
    return proxy_set_property(key.data(), key.size(), value.data(), value.size());
}

inline WasmResult setFilterStateStringValue(std::string_view key, std::string_view value)
{
    return setFilterState(key, value);
}

// Shared data: seen by all VMs of one vm_id. `cas` != 0 makes a set conditional on it.

inline WasmResult getSharedData(std::string_view key, WasmDataPtr *value, uint32_t *cas = nullptr)
{
    uint32_t unwanted;
    const char *data = nullptr;
    size_t size = 0;
    const auto result =
        proxy_get_shared_data(key.data(), key.size(), &data, &size, cas != nullptr ? cas : &unwanted);
    if (result == WasmResult::Ok)
        *value = std::make_unique<WasmData>(data, size);
    return result;
}

inline WasmResult setSharedData(std::string_view key, std::string_view value, uint32_t cas = 0)
{
    return proxy_set_shared_data(key.data(), key.size(), value.data(), value.size(), cas);
}

// For a key that must be there.
inline WasmDataPtr getSharedDataValue(std::string_view key, uint32_t *cas = nullptr)
{
    WasmDataPtr value;
    const auto result = getSharedData(key, &value, cas);
    if (result != WasmResult::Ok)
        logAbort("getSharedData returned WasmError: " + toString(result));
    return value;
}

// Shared queues. The VM that registers one gets onQueueReady.

inline WasmResult registerSharedQueue(std::string_view name, uint32_t *token)
{
    return proxy_register_shared_queue(name.data(), name.size(), token);
}

inline WasmResult resolveSharedQueue(std::string_view vm_id, std::string_view name, uint32_t *token)
{
    return proxy_resolve_shared_queue(vm_id.data(), vm_id.size(), name.data(), name.size(), token);
}

inline WasmResult enqueueSharedQueue(uint32_t token, std::string_view data)
{
    return proxy_enqueue_shared_queue(token, data.data(), data.size());
}

// `*data` is set in any case, and empty unless the result is Ok.
inline WasmResult dequeueSharedQueue(uint32_t token, WasmDataPtr *data)
{
    const char *item = nullptr;
    size_t size = 0;
    const auto result = proxy_dequeue_shared_queue(token, &item, &size);
    *data = std::make_unique<WasmData>(item, size);
    return result;
}

// Bodies, configurations, answers to calls.

// At most `length` bytes from `start` on; empty when the buffer is not there or ends before `start`.
inline WasmDataPtr getBufferBytes(WasmBufferType type, size_t start, size_t length)
{
    const char *data = nullptr;
    size_t size = 0;
    proxy_get_buffer_bytes(type, static_cast<uint32_t>(start), static_cast<uint32_t>(length), &data, &size);
    return std::make_unique<WasmData>(data, size);
}

inline WasmResult getBufferStatus(WasmBufferType type, size_t *size, uint32_t *flags)
{
    return proxy_get_buffer_status(type, size, flags);
}

// Replaces `length` bytes at `start`: 0 is the front, the buffer's size or more appends; hosts refuse the
// middle. `*new_size`, if given, is the size before and becomes the size after.
inline WasmResult setBuffer(WasmBufferType type, size_t start, size_t length, std::string_view data,
                            size_t *new_size = nullptr)
{
    const auto result = proxy_set_buffer_bytes(type, static_cast<uint32_t>(start),
                                               static_cast<uint32_t>(length), data.data(), data.size());
    if (result == WasmResult::Ok && new_size != nullptr)
        *new_size += data.size() - length;
    return result;
}

// A function that the host or an extension of it offers by name; nothing when it fails or does not exist.
inline std::optional<WasmDataPtr> callForeignFunction(std::string_view name, std::string_view arguments = {},
                                                      WasmResult *result = nullptr)
{
    char *data = nullptr;
    size_t size = 0;
    const auto status = proxy_call_foreign_function(name.data(), name.size(), arguments.data(),
                                                    arguments.size(), &data, &size);
    auto owner = std::make_unique<WasmData>(data, size);
    if (result != nullptr)
        *result = status;
    if (status != WasmResult::Ok)
        return {};
    return owner;
}
