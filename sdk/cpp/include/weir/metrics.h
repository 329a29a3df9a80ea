/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weir/metrics.h: counters, gauges and histograms, with tags in their names. A metric is defined at its first
 * use and its id kept; a name must never be defined twice by one object.
 *
 * A name is made of TAG VALUE for each tag and then the metric's own: "method.GET.status.200.requests".
 */
#pragma once

#include <unordered_map>

#include "host.h"

inline WasmResult defineMetric(MetricType type, std::string_view name, uint32_t *metric_id)
{
    return proxy_define_metric(type, name.data(), name.size(), metric_id);
}

inline WasmResult incrementMetric(uint32_t metric_id, int64_t offset)
{
    return proxy_increment_metric(metric_id, offset);
}

// Adds to a counter, sets a gauge, records into a histogram.
inline WasmResult recordMetric(uint32_t metric_id, uint64_t value)
{
    return proxy_record_metric(metric_id, value);
}

inline WasmResult getMetric(uint32_t metric_id, uint64_t *value)
{
    return proxy_get_metric(metric_id, value);
}

// A tag's value as text. A plugin may specialise it for a type of its own.
template <typename T> inline std::string toString(T value)
{
    return std::to_string(value);
}
template <> inline std::string toString(std::string value)
{
    return value;
}
template <> inline std::string toString(std::string_view value)
{
    return std::string(value);
}
template <> inline std::string toString(const char *value)
{
    return value;
}
template <> inline std::string toString(bool value)
{
    return value ? "true" : "false";
}

struct MetricTag {
    enum class TagType : uint32_t {
        String = 0,
        Int = 1,
        Bool = 2,
    };
    std::string name;
    TagType tagType;
};

struct MetricBase {
    MetricBase(MetricType t, const std::string &n) : type(t), name(n) {}
    MetricBase(MetricType t, const std::string &n, const std::vector<MetricTag> &ts)
        : type(t), name(n), tags(ts)
    {
    }
    MetricBase(MetricType t, const std::string &n, const std::vector<MetricTag> &ts, std::string fs,
               std::string vs)
        : type(t), name(n), tags(ts), field_separator(std::move(fs)), value_separator(std::move(vs))
    {
    }

    MetricType type;
    std::string name;
    std::string prefix;
    std::vector<MetricTag> tags;
    std::unordered_map<std::string, uint32_t> metric_ids;

    std::string field_separator = "."; // behind a tag's value
    std::string value_separator = "."; // between a tag and its value

    std::string prefixWithFields(const std::vector<std::string> &fields)
    {
        std::string text = prefix;
        for (size_t i = 0; i < fields.size(); i++)
            text.append(tags[i].name).append(value_separator).append(fields[i]).append(field_separator);
        return text;
    }

    uint32_t resolveFullName(const std::string &full_name)
    {
        const auto known = metric_ids.find(full_name);
        if (known != metric_ids.end())
            return known->second;
        uint32_t metric_id = 0;
        CHECK_RESULT(defineMetric(type, full_name, &metric_id));
        metric_ids[full_name] = metric_id;
        return metric_id;
    }

    uint32_t resolveWithFields(const std::vector<std::string> &fields)
    {
        if (fields.size() != tags.size())
            logAbort("metric fields.size() != tags.size()");
        return resolveFullName(prefixWithFields(fields) + name);
    }

    void partiallyResolveWithFields(const std::vector<std::string> &fields)
    {
        if (fields.size() >= tags.size())
            logAbort("metric fields.size() >= tags.size()");
        prefix = prefixWithFields(fields);
        tags.erase(tags.begin(), tags.begin() + static_cast<ptrdiff_t>(fields.size()));
    }

    std::string nameFromIdSlow(uint32_t id)
    {
        for (const auto &known : metric_ids) {
            if (known.second == id)
                return known.first;
        }
        return "";
    }
};

namespace weir_sdk
{

inline uint64_t metricValue(uint32_t metric_id)
{
    uint64_t value = 0;
    CHECK_RESULT(getMetric(metric_id, &value));
    return value;
}

} // namespace weir_sdk

// A metric whose type and tags are known at run time only.
struct Metric : public MetricBase {
    using MetricBase::MetricBase;

    template <typename... Fields> uint32_t resolve(Fields... fields)
    {
        return resolveWithFields({toString(fields)...});
    }

    template <typename... Fields> Metric partiallyResolve(Fields... fields)
    {
        Metric partial(*this);
        partial.partiallyResolveWithFields({toString(fields)...});
        return partial;
    }

    template <typename... Fields> void increment(int64_t offset, Fields... fields)
    {
        incrementMetric(resolve(fields...), offset);
    }

    template <typename... Fields> void record(uint64_t value, Fields... fields)
    {
        recordMetric(resolve(fields...), value);
    }

    template <typename... Fields> uint64_t get(Fields... fields)
    {
        return weir_sdk::metricValue(resolve(fields...));
    }
};

// One counter, gauge or histogram with all its tags set.

struct SimpleCounter {
    SimpleCounter(uint32_t id) : metric_id(id) {}

    void increment(int64_t offset) { recordMetric(metric_id, static_cast<uint64_t>(offset)); }
    void record(int64_t offset) { increment(offset); }
    uint64_t get() { return weir_sdk::metricValue(metric_id); }
    void operator++() { increment(1); }
    void operator++(int) { increment(1); }

    uint32_t metric_id;
};

struct SimpleGauge {
    SimpleGauge(uint32_t id) : metric_id(id) {}

    void record(uint64_t value) { recordMetric(metric_id, value); }
    uint64_t get() { return weir_sdk::metricValue(metric_id); }

    uint32_t metric_id;
};

struct SimpleHistogram {
    SimpleHistogram(uint32_t id) : metric_id(id) {}

    void record(int64_t value) { recordMetric(metric_id, static_cast<uint64_t>(value)); }

    uint32_t metric_id;
};

// A tag's name with the type of its values.
template <typename T> struct MetricTagDescriptor {
    using type = T;

    MetricTagDescriptor(std::string_view n) : name(n) {}
    MetricTagDescriptor(const char *n) : name(n) {}

    std::string_view name;
};

template <typename T> inline MetricTag toMetricTag(const MetricTagDescriptor<T> &descriptor)
{
    using Type = MetricTag::TagType;
    constexpr bool is_text = std::is_convertible_v<T, std::string_view>;
    return {std::string(descriptor.name),
            is_text ? Type::String : (std::is_same_v<T, bool> ? Type::Bool : Type::Int)};
}

template <typename T> struct StringToStringView {
    using type = T;
};
template <> struct StringToStringView<std::string> {
    using type = std::string_view;
};

namespace weir_sdk
{

// What Counter, Gauge and Histogram have in common: `Self` is one of them, `Simple` its untagged form.
template <template <typename...> class Self, typename Simple, MetricType Kind, typename... Tags>
struct Tagged : public MetricBase {
    Tagged(std::string_view metric_name, MetricTagDescriptor<Tags>... descriptors)
        : MetricBase(Kind, std::string(metric_name), {toMetricTag(descriptors)...})
    {
    }

    // The caller owns it; most plugins keep it for ever.
    static Self<Tags...> *New(std::string_view metric_name, MetricTagDescriptor<Tags>... descriptors)
    {
        return new Self<Tags...>(metric_name, descriptors...);
    }

    Simple resolve(Tags... values) { return Simple(idOf(values...)); }

    // The same metric with these tags set and others still open.
    template <typename... AdditionalTags>
    Self<AdditionalTags...> *extendAndResolve(Tags... values,
                                              MetricTagDescriptor<AdditionalTags>... descriptors)
    {
        auto *extended = Self<AdditionalTags...>::New(name, descriptors...);
        extended->prefix = prefixWithFields({toString(values)...});
        return extended;
    }

  protected:
    uint32_t idOf(typename StringToStringView<Tags>::type... values)
    {
        return resolveWithFields({toString(values)...});
    }
};

} // namespace weir_sdk

// Counter<std::string, int>::New("requests", "method", "status")->increment(1, "GET", 200)
template <typename... Tags>
struct Counter : public weir_sdk::Tagged<Counter, SimpleCounter, MetricType::Counter, Tags...> {
    using weir_sdk::Tagged<::Counter, SimpleCounter, MetricType::Counter, Tags...>::Tagged;

    void increment(int64_t offset, Tags... values) { incrementMetric(this->idOf(values...), offset); }
    void record(int64_t offset, Tags... values) { increment(offset, values...); }
    uint64_t get(Tags... values) { return weir_sdk::metricValue(this->idOf(values...)); }
};

template <typename... Tags>
struct Gauge : public weir_sdk::Tagged<Gauge, SimpleGauge, MetricType::Gauge, Tags...> {
    using weir_sdk::Tagged<::Gauge, SimpleGauge, MetricType::Gauge, Tags...>::Tagged;

    void record(int64_t value, typename StringToStringView<Tags>::type... values)
    {
        recordMetric(this->idOf(values...), static_cast<uint64_t>(value));
    }
    uint64_t get(Tags... values) { return weir_sdk::metricValue(this->idOf(values...)); }
};

template <typename... Tags>
struct Histogram : public weir_sdk::Tagged<Histogram, SimpleHistogram, MetricType::Histogram, Tags...> {
    using weir_sdk::Tagged<::Histogram, SimpleHistogram, MetricType::Histogram, Tags...>::Tagged;

    void record(int64_t value, typename StringToStringView<Tags>::type... values)
    {
        recordMetric(this->idOf(values...), static_cast<uint64_t>(value));
    }
};
