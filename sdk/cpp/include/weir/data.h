/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weir/data.h: memory that comes from the host (WasmData), the serialised form of headers, and the log. What
 * the host gave is the plugin's own and is freed exactly once, here.
 */
#pragma once

#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "../proxy_wasm_externs.h"

// Exceptions do not exist here; plugins test this macro.
#define WASM_EXCEPTIONS 0

// For a host call that cannot fail: log and trap if it does.
#define CHECK_RESULT(call)                                                                                   \
    do {                                                                                                     \
        if ((call) != WasmResult::Ok) {                                                                      \
            proxy_log(LogLevel::critical, #call, sizeof(#call) - 1);                                         \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

namespace weir_sdk
{

inline WasmResult log(LogLevel level, std::string_view text)
{
    return proxy_log(level, text.data(), text.size());
}

inline std::string logPlace(const char *file, int line, const char *function)
{
    std::string place("[");
    place.append(file).append(":").append(std::to_string(line));
    return place.append("]::").append(function).append("() ");
}

// Numbers in serialised data are little-endian, as Wasm is, and of any alignment.
template <typename T> inline T load(const char *from)
{
    T value;
    memcpy(&value, from, sizeof value);
    return value;
}

} // namespace weir_sdk

inline WasmResult logTrace(std::string_view text)
{
    return weir_sdk::log(LogLevel::trace, text);
}
inline WasmResult logDebug(std::string_view text)
{
    return weir_sdk::log(LogLevel::debug, text);
}
inline WasmResult logInfo(std::string_view text)
{
    return weir_sdk::log(LogLevel::info, text);
}
inline WasmResult logWarn(std::string_view text)
{
    return weir_sdk::log(LogLevel::warn, text);
}
inline WasmResult logError(std::string_view text)
{
    return weir_sdk::log(LogLevel::error, text);
}
inline WasmResult logCritical(std::string_view text)
{
    return weir_sdk::log(LogLevel::critical, text);
}

// Log, then trap.
inline void logAbort(std::string_view text)
{
    logCritical(text);
    abort();
}

// LOG_INFO("count " + std::to_string(n)): the argument may be anything that can be appended to a string.
#define LOG(level, ...)   log##level(weir_sdk::logPlace(__FILE__, __LINE__, __FUNCTION__) + __VA_ARGS__)
#define LOG_TRACE(...)    LOG(Trace, __VA_ARGS__)
#define LOG_DEBUG(...)    LOG(Debug, __VA_ARGS__)
#define LOG_INFO(...)     LOG(Info, __VA_ARGS__)
#define LOG_WARN(...)     LOG(Warn, __VA_ARGS__)
#define LOG_ERROR(...)    LOG(Error, __VA_ARGS__)
#define LOG_CRITICAL(...) LOG(Critical, __VA_ARGS__)

// Bytes that the host allocated in the plugin's memory.
class WasmData
{
  public:
    WasmData(const char *data, size_t size) : data_(data), size_(size) {}
    ~WasmData() { ::free(const_cast<char *>(data_)); }
    WasmData(const WasmData &) = delete;
    WasmData &operator=(const WasmData &) = delete;

    const char *data() { return data_; }
    size_t size() { return size_; }
    std::string_view view() { return {data_, size_}; }
    std::string toString() { return std::string(view()); }

    // The entries of a header map or of any other serialised pairs; the views live as long as this object.
    std::vector<std::pair<std::string_view, std::string_view>> pairs();

    // A protobuf message of the plugin's own choice.
    template <typename T> T proto()
    {
        T message;
        message.ParseFromArray(data_, static_cast<int>(size_));
        return message;
    }

  private:
    const char *data_;
    size_t size_;
};

typedef std::unique_ptr<WasmData> WasmDataPtr;

inline std::vector<std::pair<std::string_view, std::string_view>> WasmData::pairs()
{
    std::vector<std::pair<std::string_view, std::string_view>> result;
    if (size_ < 4)
        return result;
    const uint32_t count = weir_sdk::load<uint32_t>(data_);
    if (count > (size_ - 4) / 8)
        return result;
    result.reserve(count);
    const char *lengths = data_ + 4;
    size_t at = 4 + size_t{count} * 8;
    for (uint32_t i = 0; i < count; i++, lengths += 8) {
        const size_t key = weir_sdk::load<uint32_t>(lengths), value = weir_sdk::load<uint32_t>(lengths + 4);
        if (key >= size_ - at || value >= size_ - at - key - 1)
            break; // cannot come from a host
        result.emplace_back(std::string_view(data_ + at, key), std::string_view(data_ + at + key + 1, value));
        at += key + 1 + value + 1;
    }
    return result;
}

// Headers, trailers or metadata that a plugin sends.
using HeaderStringPairs = std::vector<std::pair<std::string, std::string>>;

// How many bytes `pairs` takes when serialised.
template <typename Pairs> inline size_t pairsSize(const Pairs &pairs)
{
    size_t size = 4;
    for (const auto &pair : pairs)
        size += 8 + pair.first.size() + 1 + pair.second.size() + 1;
    return size;
}

// Serialises `pairs` into a buffer of pairsSize(pairs) bytes: count, all lengths, then the texts, each with a
// NUL behind it that no length counts.
template <typename Pairs> inline void marshalPairs(const Pairs &pairs, char *buffer)
{
    auto number = [&buffer](size_t value) {
        const uint32_t word = static_cast<uint32_t>(value);
        memcpy(buffer, &word, sizeof word);
        buffer += sizeof word;
    };
    auto text = [&buffer](std::string_view value) {
        if (!value.empty())
            memcpy(buffer, value.data(), value.size());
        buffer += value.size();
        *buffer++ = '\0';
    };
    number(pairs.size());
    for (const auto &pair : pairs) {
        number(pair.first.size());
        number(pair.second.size());
    }
    for (const auto &pair : pairs) {
        text(pair.first);
        text(pair.second);
    }
}

// Serialises `pairs` into memory of malloc that the caller frees; none for no pairs.
template <typename Pairs> inline void exportPairs(const Pairs &pairs, const char **data, size_t *size)
{
    *data = nullptr;
    *size = 0;
    if (pairs.empty())
        return;
    *size = pairsSize(pairs);
    char *buffer = static_cast<char *>(::malloc(*size));
    if (buffer == nullptr)
        abort();
    marshalPairs(pairs, buffer);
    *data = buffer;
}

inline void MakeHeaderStringPairsBuffer(const HeaderStringPairs &headers, void **data, size_t *size)
{
    const char *buffer;
    exportPairs(headers, &buffer, size);
    *data = const_cast<char *>(buffer);
}

namespace weir_sdk
{

// Serialised pairs for the length of one host call.
class Pairs
{
  public:
    explicit Pairs(const HeaderStringPairs &pairs) { exportPairs(pairs, &data_, &size_); }
    ~Pairs() { ::free(const_cast<char *>(data_)); }
    Pairs(const Pairs &) = delete;
    Pairs &operator=(const Pairs &) = delete;

    char *data() const { return const_cast<char *>(data_); }
    size_t size() const { return size_; }

  private:
    const char *data_;
    size_t size_;
};

} // namespace weir_sdk

// For unordered containers whose keys are pairs or triples of strings.
struct PairHash {
    template <typename T, typename U> std::size_t operator()(const std::pair<T, U> &x) const
    {
        return std::hash<T>()(x.first) + std::hash<U>()(x.second);
    }
};

struct Tuple3Hash {
    template <typename T, typename U, typename V> std::size_t operator()(const std::tuple<T, U, V> &x) const
    {
        return std::hash<T>()(std::get<0>(x)) + std::hash<U>()(std::get<1>(x)) +
               std::hash<V>()(std::get<2>(x));
    }
};
