/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access logs, the texts with %OPERATORS%, and the conditions in front of both.
 */
#include "config/builder.h"

#include "base/assert.h"
#include "filters/wasm/wasm_access_log.h"
#include "proxy/logging/access_log_file.h"
#include "proxy/logging/log_format.h"
#include "proxy/logging/stream_predicate.h"

#include <envoy/extensions/access_loggers/file/v3/file.pb-c.h>
#include <envoy/extensions/access_loggers/stream/v3/stream.pb-c.h>
#include <envoy/extensions/access_loggers/wasm/v3/wasm.pb-c.h>
#include <envoy/extensions/formatter/metadata/v3/metadata.pb-c.h>
#include <envoy/extensions/formatter/req_without_query/v3/req_without_query.pb-c.h>
#include <errno.h>
#include <stdlib.h>

typedef Envoy__Config__Accesslog__V3__AccessLogFilter filter_message;
typedef Envoy__Config__Core__V3__SubstitutionFormatString format_message;

/* A format file is text of a few lines. */
#define FORMAT_BYTES_MAX (64u << 10)

/* --- formats --- */

/* false: some '%' begins an operator. */
static bool only_doubled_percents(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '%')
            continue;
        if (i + 1 == s.len || s.ptr[i + 1] != '%')
            return false;
        i++;
    }
    return true;
}

static struct slice halve_percents(struct builder *b, struct arena *arena, struct slice s)
{
    struct slice copy = builder_bytes(b, arena, s.ptr, s.len);
    char *out = (char *)copy.ptr;
    size_t len = 0;
    for (size_t i = 0; i < copy.len; i++) {
        out[len++] = copy.ptr[i];
        i += copy.ptr[i] == '%';
    }
    return slice_of(out, len);
}

struct stream_format *builder_value_format(struct builder *b, struct arena *arena,
                                           const Envoy__Config__Core__V3__HeaderValue *header,
                                           struct slice *plain)
{
    struct slice value = slice_str(header->value);
    *plain = SLICE_LIT("");
    if (only_doubled_percents(value)) {
        *plain = halve_percents(b, arena, value);
        return NULL;
    }
    struct log_format_error error;
    /* A header without a value is better than one that says "-". */
    struct stream_format *format =
        log_format_text(value, &(struct log_format_options){.omit_empty_values = true}, &error);
    if (!format)
        builder_error(b, header, "value", "%s", error.text);
    return format;
}

/* A Struct as the JSON that is filled per stream. */
static bool json_of_value(struct builder *b, const Google__Protobuf__Value *v, struct log_json *out,
                          unsigned depth);

static int by_key(const void *a, const void *b)
{
    return slice_cmp(((const struct log_json *)a)->key, ((const struct log_json *)b)->key);
}

/* In order of the keys, as Envoy writes them: a Struct has no order. */
static bool json_of_struct(struct builder *b, const Google__Protobuf__Struct *s, struct log_json *out,
                           unsigned depth)
{
    struct log_json *items = builder_array(b, &b->scratch, s->n_fields, sizeof *items);
    out->kind = LOG_JSON_OBJECT;
    out->items = items;
    out->items_count = s->n_fields;
    for (size_t i = 0; items && i < s->n_fields; i++) {
        if (!json_of_value(b, s->fields[i]->value, &items[i], depth + 1))
            return false;
        items[i].key = slice_str(s->fields[i]->key);
    }
    if (items)
        qsort(items, s->n_fields, sizeof *items, by_key);
    return true;
}

static bool json_of_list(struct builder *b, const Google__Protobuf__ListValue *l, struct log_json *out,
                         unsigned depth)
{
    struct log_json *items = builder_array(b, &b->scratch, l->n_values, sizeof *items);
    out->kind = LOG_JSON_LIST;
    out->items = items;
    out->items_count = l->n_values;
    for (size_t i = 0; items && i < l->n_values; i++) {
        if (!json_of_value(b, l->values[i], &items[i], depth + 1))
            return false;
    }
    return true;
}

static bool json_of_value(struct builder *b, const Google__Protobuf__Value *v, struct log_json *out,
                          unsigned depth)
{
    if (depth >= LOG_JSON_DEPTH_MAX)
        return false;
    switch (v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        return json_of_struct(b, v->struct_value, out, depth);
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        return json_of_list(b, v->list_value, out, depth);
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        out->kind = LOG_JSON_TEXT;
        out->text = slice_str(v->string_value);
        return true;
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        out->kind = LOG_JSON_NUMBER;
        out->number = v->number_value;
        return true;
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        out->kind = LOG_JSON_BOOL;
        out->boolean = v->bool_value;
        return true;
    default:
        out->kind = LOG_JSON_NULL;
        return true;
    }
}

static struct stream_format *json_format(struct builder *b, const ProtobufCMessage *owner, const char *field,
                                         const Google__Protobuf__Struct *s,
                                         const struct log_format_options *options)
{
    struct log_json root = {0};
    struct log_format_error error = {"is nested too deeply"};
    struct stream_format *format =
        json_of_struct(b, s, &root, 0) ? log_format_json(&root, options, &error) : NULL;
    if (!format)
        config_error_at(b->doc, b->diag, owner, field, -1, "%s", error.text);
    return format;
}

static struct stream_format *text_format(struct builder *b, const ProtobufCMessage *owner, const char *field,
                                         struct slice text, const struct log_format_options *options)
{
    struct log_format_error error;
    struct stream_format *format = text.ptr ? log_format_text(text, options, &error) : NULL;
    if (!format && text.ptr)
        config_error_at(b->doc, b->diag, owner, field, -1, "%s", error.text);
    return format;
}

/* What they add is always there; named must be what is known. */
static void formatters(struct builder *b, const format_message *in)
{
    for (size_t i = 0; i < in->n_formatters; i++) {
        const ProtobufCMessage *inside = builder_typed(b, in->formatters[i], "which formatter this is");
        if (inside &&
            inside->descriptor != &envoy__extensions__formatter__metadata__v3__metadata__descriptor &&
            inside->descriptor !=
                &envoy__extensions__formatter__req_without_query__v3__req_without_query__descriptor)
            builder_error(b, in->formatters[i], "typed_config", "is no formatter");
    }
}

struct stream_format *builder_format(struct builder *b, const format_message *in)
{
    formatters(b, in);
    struct log_format_options options = {.omit_empty_values = in->omit_empty_values};
    struct slice text;
    switch (in->format_case) {
    case ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_JSON_FORMAT:
        return json_format(b, &in->base, "json_format", in->json_format, &options);
    case ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT:
        return text_format(b, &in->base, "text_format", slice_str(in->text_format), &options);
    default:
        if (in->format_case != ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT_SOURCE)
            return NULL; /* the API requires one: reported already */
        text = builder_data_source(b, in->text_format_source, &b->scratch, FORMAT_BYTES_MAX);
        return text_format(b, &in->base, "text_format_source", text, &options);
    }
}

/* --- conditions --- */

static struct stream_predicate *flags_predicate(struct builder *b,
                                                const Envoy__Config__Accesslog__V3__ResponseFlagFilter *in)
{
    uint64_t flags = 0;
    for (size_t i = 0; i < in->n_flags; i++) {
        uint64_t bit = 0;
        if (!response_flag_parse(slice_str(in->flags[i]), &bit)) {
            builder_error_item(b, in, "flags", i, "%s is never set here; remove it", in->flags[i]);
            return NULL;
        }
        flags |= bit;
    }
    return predicate_flags(flags);
}

static struct stream_predicate *header_predicate(struct builder *b,
                                                 const Envoy__Config__Accesslog__V3__HeaderFilter *in)
{
    if (!in->header)
        return NULL;
    struct header_matcher matcher = {0};
    struct builder_finish finish;
    builder_finish_init(&finish, b, &in->base);
    builder_header_matcher(b, &b->scratch, in->header, &matcher);
    if (!header_matcher_finish(&matcher, &b->scratch, "header", &finish.errors)) {
        header_matcher_fini(&matcher);
        return NULL;
    }
    return predicate_header(&matcher);
}

static struct stream_predicate *moments_predicate(const Envoy__Config__Accesslog__V3__LogTypeFilter *in)
{
    static const int numbers[] = {
#define MOMENT_X(name, text, number) number,
        LOG_MOMENTS(MOMENT_X)
#undef MOMENT_X
    };
    uint32_t moments = 0;
    for (size_t i = 0; i < in->n_types; i++) {
        for (unsigned m = 0; m < LOG_MOMENT_COUNT; m++)
            moments |= numbers[m] == (int)in->types[i] ? 1u << m : 0; /* others never happen here */
    }
    return predicate_moments(moments, in->exclude);
}

static struct stream_predicate *grpc_predicate(const Envoy__Config__Accesslog__V3__GrpcStatusFilter *in)
{
    uint32_t statuses = 0;
    for (size_t i = 0; i < in->n_statuses; i++)
        statuses |= (unsigned)in->statuses[i] < 32 ? 1u << in->statuses[i] : 0; /* others: reported already */
    return predicate_grpc_status(statuses, in->exclude);
}

/* The runtime key replaces the numerator. */
static struct stream_predicate *share_predicate(struct builder *b,
                                                const Envoy__Config__Accesslog__V3__RuntimeFilter *in)
{
    uint32_t numerator = 0, denominator = 100;
    uint64_t own;
    if (in->percent_sampled)
        builder_fraction(in->percent_sampled, &numerator, &denominator);
    if (builder_runtime_u64(b, in->runtime_key, &own))
        numerator = own < denominator ? (uint32_t)own : denominator;
    return predicate_share(numerator, denominator, in->use_independent_randomness);
}

static struct stream_predicate *metadata_predicate(struct builder *b,
                                                   const Envoy__Config__Accesslog__V3__MetadataFilter *in)
{
    struct metadata_matcher *matcher;
    struct arena *arena;
    struct builder_finish finish;
    struct stream_predicate *p =
        predicate_metadata(builder_bool(in->match_if_key_not_found, true), &matcher, &arena);
    if (!p)
        return NULL;
    builder_finish_init(&finish, b, &in->base);
    if (in->matcher)
        builder_metadata_matcher(b, arena, in->matcher, matcher);
    if (metadata_matcher_finish(matcher, "matcher", &finish.errors))
        return p;
    p->destroy(p);
    return NULL;
}

static struct stream_predicate *many_predicates(struct builder *b, filter_message *const *in, size_t count,
                                                bool all)
{
    struct stream_predicate **items = builder_array(b, &b->scratch, count, sizeof *items);
    if (!items)
        return NULL;
    for (size_t i = 0; i < count; i++)
        items[i] = builder_predicate(b, in[i]);
    return all ? predicate_and(items, count) : predicate_or(items, count);
}

struct stream_predicate *builder_predicate(struct builder *b, const filter_message *in)
{
    const Envoy__Config__Accesslog__V3__ComparisonFilter *c;
    switch (in->filter_specifier_case) {
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_STATUS_CODE_FILTER:
        c = in->status_code_filter->comparison;
        return !c ? NULL : predicate_status((enum stream_comparison)c->op, builder_runtime_u32(b, c->value));
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_DURATION_FILTER:
        c = in->duration_filter->comparison;
        return !c ? NULL
                  : predicate_duration((enum stream_comparison)c->op, builder_runtime_u32(b, c->value));
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_NOT_HEALTH_CHECK_FILTER:
        return predicate_not_healthcheck();
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_AND_FILTER:
        return many_predicates(b, in->and_filter->filters, in->and_filter->n_filters, true);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_OR_FILTER:
        return many_predicates(b, in->or_filter->filters, in->or_filter->n_filters, false);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_HEADER_FILTER:
        return header_predicate(b, in->header_filter);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_RESPONSE_FLAG_FILTER:
        return flags_predicate(b, in->response_flag_filter);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_LOG_TYPE_FILTER:
        return moments_predicate(in->log_type_filter);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_GRPC_STATUS_FILTER:
        return grpc_predicate(in->grpc_status_filter);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_RUNTIME_FILTER:
        return share_predicate(b, in->runtime_filter);
    case ENVOY__CONFIG__ACCESSLOG__V3__ACCESS_LOG_FILTER__FILTER_SPECIFIER_METADATA_FILTER:
        return metadata_predicate(b, in->metadata_filter);
    default:
        return NULL; /* the API requires one: reported already */
    }
}

/* --- access logs --- */

/* Takes the format over. */
static struct access_log *open_log(struct builder *b, const Envoy__Config__Accesslog__V3__AccessLog *in,
                                   const ProtobufCMessage *owner, const char *path,
                                   struct stream_format *format)
{
    struct stream_predicate *filter = in->filter && format ? builder_predicate(b, in->filter) : NULL;
    if (!format)
        return NULL;
    if (in->filter && !filter) {
        stream_format_destroy(&format);
        return NULL;
    }
    if (b->options->check_only) {
        stream_format_destroy(&format);
        if (filter)
            filter->destroy(filter);
        return NULL;
    }
    errno = 0;
    struct access_log *log = access_log_file_create(path, format, filter);
    if (!log)
        config_error_at(b->doc, b->diag, owner, "path", -1, "cannot open \"%s\" for appending: %s", path,
                        errno ? strerror(errno) : "out of memory");
    return log;
}

static struct access_log *file_log(struct builder *b, const Envoy__Config__Accesslog__V3__AccessLog *in,
                                   const Envoy__Extensions__AccessLoggers__File__V3__FileAccessLog *file)
{
    const struct log_format_options options = {0};
    struct stream_format *format;
    switch (file->access_log_format_case) {
    case ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_FORMAT:
        format = text_format(b, &file->base, "format", slice_str(file->format), &options);
        break;
    case ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_JSON_FORMAT:
        format = json_format(b, &file->base, "json_format", file->json_format, &options);
        break;
    case ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_TYPED_JSON_FORMAT:
        format = json_format(b, &file->base, "typed_json_format", file->typed_json_format, &options);
        break;
    case ENVOY__EXTENSIONS__ACCESS_LOGGERS__FILE__V3__FILE_ACCESS_LOG__ACCESS_LOG_FORMAT_LOG_FORMAT:
        format = builder_format(b, file->log_format);
        break;
    default:
        format = log_format_default();
        break;
    }
    return open_log(b, in, &file->base, file->path, format);
}

static struct access_log *stream_log(struct builder *b, const Envoy__Config__Accesslog__V3__AccessLog *in,
                                     const ProtobufCMessage *owner, const format_message *log_format,
                                     const char *path)
{
    return open_log(b, in, owner, path, log_format ? builder_format(b, log_format) : log_format_default());
}

static struct access_log *wasm_log(struct builder *b, const Envoy__Config__Accesslog__V3__AccessLog *in,
                                   const Envoy__Extensions__AccessLoggers__Wasm__V3__WasmAccessLog *wasm)
{
    struct wasm_plugin *plugin = builder_wasm_plugin(b, &wasm->base, wasm->config, false);
    struct stream_predicate *filter = in->filter ? builder_predicate(b, in->filter) : NULL;
    if (plugin && (filter || !in->filter))
        return wasm_access_log_create(plugin, filter);
    if (plugin)
        wasm_plugin_unref(&plugin);
    if (filter)
        filter->destroy(filter);
    return NULL;
}

static struct access_log *one_log(struct builder *b, const Envoy__Config__Accesslog__V3__AccessLog *in)
{
    const ProtobufCMessage *inside = builder_typed(b, in, "what kind of log this is");
    if (!inside)
        return NULL;
    if (inside->descriptor == &envoy__extensions__access_loggers__file__v3__file_access_log__descriptor)
        return file_log(b, in, (const Envoy__Extensions__AccessLoggers__File__V3__FileAccessLog *)inside);
    if (inside->descriptor == &envoy__extensions__access_loggers__stream__v3__stdout_access_log__descriptor)
        return stream_log(
            b, in, inside,
            ((const Envoy__Extensions__AccessLoggers__Stream__V3__StdoutAccessLog *)inside)->log_format,
            "/dev/stdout");
    if (inside->descriptor == &envoy__extensions__access_loggers__wasm__v3__wasm_access_log__descriptor)
        return wasm_log(b, in, (const Envoy__Extensions__AccessLoggers__Wasm__V3__WasmAccessLog *)inside);
    WEIR_ASSERT(inside->descriptor ==
                &envoy__extensions__access_loggers__stream__v3__stderr_access_log__descriptor);
    return stream_log(
        b, in, inside,
        ((const Envoy__Extensions__AccessLoggers__Stream__V3__StderrAccessLog *)inside)->log_format,
        "/dev/stderr");
}

void builder_access_logs(struct builder *b, Envoy__Config__Accesslog__V3__AccessLog *const *logs,
                         size_t count, struct arena *arena, struct access_log ***out, size_t *out_count)
{
    *out = builder_array(b, arena, count, sizeof **out);
    *out_count = 0;
    for (size_t i = 0; *out && i < count; i++) {
        struct access_log *log = one_log(b, logs[i]);
        if (log)
            (*out)[(*out_count)++] = log;
    }
}

struct slice builder_format_content_type(struct builder *b, struct arena *arena,
                                         const Envoy__Config__Core__V3__SubstitutionFormatString *in)
{
    if (in->content_type[0])
        return builder_text(b, arena, in->content_type);
    bool json = in->format_case == ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_JSON_FORMAT;
    return json ? SLICE_LIT("application/json") : SLICE_LIT("");
}
