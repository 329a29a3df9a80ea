/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters that inject faults, what routes say to them, and the runtime keys that replace numbers of both.
 */
#include "config/builder.h"

#include "filters/fault/fault.h"

#include <envoy/extensions/filters/http/fault/v3/fault.pb-c.h>

typedef Envoy__Extensions__Filters__Http__Fault__V3__HTTPFault fault_message;
typedef Envoy__Extensions__Filters__Http__Fault__V3__FaultAbort abort_message;
typedef Envoy__Extensions__Filters__Common__Fault__V3__FaultDelay delay_message;
typedef Envoy__Extensions__Filters__Common__Fault__V3__FaultRateLimit rate_message;
typedef Envoy__Type__V3__FractionalPercent percent_message;

#define ABORT(name) ENVOY__EXTENSIONS__FILTERS__HTTP__FAULT__V3__FAULT_ABORT__ERROR_TYPE_##name
#define DELAY(name) ENVOY__EXTENSIONS__FILTERS__COMMON__FAULT__V3__FAULT_DELAY__FAULT_DELAY_SECIFIER_##name
#define RATE(name)  ENVOY__EXTENSIONS__FILTERS__COMMON__FAULT__V3__FAULT_RATE_LIMIT__LIMIT_TYPE_##name

#define KEYS "fault.http."

bool builder_is_fault(const ProtobufCMessage *config)
{
    return config->descriptor == &envoy__extensions__filters__http__fault__v3__httpfault__descriptor;
}

static const char *either(const char *first, const char *second)
{
    return first[0] ? first : second;
}

/* --- runtime keys --- */

static void runtime_percent(struct builder *b, const char *key, struct fault_runtime_percent *out)
{
    Envoy__Config__Core__V3__RuntimeFractionalPercent in =
        ENVOY__CONFIG__CORE__V3__RUNTIME_FRACTIONAL_PERCENT__INIT;
    in.runtime_key = (char *)(uintptr_t)key;
    out->set = builder_runtime_fraction(b, &in, &out->percent.numerator, &out->percent.denominator);
}

static void runtime_number(struct builder *b, const char *key, struct fault_runtime_number *out)
{
    out->set = builder_runtime_u64(b, key, &out->value);
}

static void runtime_status(struct builder *b, const char *key, struct fault_runtime_number *out)
{
    runtime_number(b, key, out);
    if (!out->set || (out->value >= 200 && out->value < 600))
        return;
    builder_error(b, config_bootstrap(b->doc)->layered_runtime, NULL, "%s must be a status from 200 to 599",
                  key);
    out->set = false;
}

/* Of one caller. */
static const char *key_of(struct builder *b, struct slice caller, const char *suffix)
{
    const char *key = arena_printf(&b->scratch, KEYS SLICE_FMT "%s", SLICE_ARG(caller), suffix);
    return key ? key : "";
}

static void add_caller(void *arg, const char *key)
{
    static const char *const suffixes[] = {".delay.fixed_delay_percent", ".delay.fixed_duration_ms",
                                           ".abort.abort_percent", ".abort.http_status",
                                           ".abort.grpc_status"};
    struct slice name = slice_skip(slice_str(key), strlen(KEYS));
    for (size_t i = 0; i < WEIR_ARRAY_LEN(suffixes); i++) {
        struct slice suffix = slice_str(suffixes[i]);
        if (name.len > suffix.len && slice_ends_with(name, suffix))
            map_put(arg, slice_take(name, name.len - suffix.len), arg);
    }
}

static void callers(struct builder *b, struct fault_filter *c)
{
    struct map names;
    map_init(&names);
    builder_runtime_each(b, KEYS, add_caller, &names);
    c->callers = builder_array(b, &c->arena, names.count, sizeof *c->callers);
    const struct map_entry *e;
    size_t cursor = 0;
    while (c->callers && (e = map_next(&names, &cursor)) != NULL) {
        struct fault_caller *caller = &c->callers[c->callers_count++];
        caller->name = builder_text(b, &c->arena, e->key);
        runtime_percent(b, key_of(b, caller->name, ".delay.fixed_delay_percent"), &caller->delay);
        runtime_percent(b, key_of(b, caller->name, ".abort.abort_percent"), &caller->abort);
        runtime_number(b, key_of(b, caller->name, ".delay.fixed_duration_ms"), &caller->delay_ms);
        runtime_status(b, key_of(b, caller->name, ".abort.http_status"), &caller->http_status);
        runtime_number(b, key_of(b, caller->name, ".abort.grpc_status"), &caller->grpc_status);
    }
    map_fini(&names);
}

/* --- faults --- */

/* None of the requests, unless a percentage is there. */
static void part(struct builder *b, const percent_message *in, bool by_header, const char *key,
                 struct fault_part *out)
{
    out->on = true;
    out->by_header = by_header;
    out->percent = (struct fault_percent){0, 100};
    if (in)
        builder_fraction(in, &out->percent.numerator, &out->percent.denominator);
    runtime_percent(b, key, &out->runtime);
}

static void delay(struct builder *b, const fault_message *owner, const delay_message *in,
                  struct fault_settings *out)
{
    if (!in)
        return;
    part(b, in->percentage, in->fault_delay_secifier_case == DELAY(HEADER_DELAY),
         either(owner->delay_percent_runtime, KEYS "delay.fixed_delay_percent"), &out->delay);
    if (in->fault_delay_secifier_case == DELAY(FIXED_DELAY))
        out->delay_ms = builder_ms(in->fixed_delay, 0);
    runtime_number(b, either(owner->delay_duration_runtime, KEYS "delay.fixed_duration_ms"),
                   &out->delay_ms_runtime);
}

static void abort_part(struct builder *b, struct arena *arena, const fault_message *owner,
                       const abort_message *in, struct fault_settings *out)
{
    if (!in)
        return;
    part(b, in->percentage, in->error_type_case == ABORT(HEADER_ABORT),
         either(owner->abort_percent_runtime, KEYS "abort.abort_percent"), &out->abort);
    if (in->error_type_case == ABORT(HTTP_STATUS))
        out->http_status = in->http_status;
    if (in->error_type_case == ABORT(GRPC_STATUS))
        out->grpc_status = in->grpc_status;
    out->response_body = builder_text(b, arena, in->response_body);
    runtime_status(b, either(owner->abort_http_status_runtime, KEYS "abort.http_status"),
                   &out->http_status_runtime);
    runtime_number(b, either(owner->abort_grpc_status_runtime, KEYS "abort.grpc_status"),
                   &out->grpc_status_runtime);
}

static void rate(struct builder *b, const fault_message *owner, const rate_message *in,
                 struct fault_settings *out)
{
    if (!in)
        return;
    part(b, in->percentage, in->limit_type_case == RATE(HEADER_LIMIT),
         either(owner->response_rate_limit_percent_runtime, KEYS "rate_limit.response_percent"), &out->rate);
    if (in->limit_type_case == RATE(FIXED_LIMIT))
        out->rate_kbps = in->fixed_limit->limit_kbps;
}

static void settings(struct builder *b, struct arena *arena, const fault_message *in,
                     struct fault_settings *out)
{
    struct builder_finish finish;
    builder_finish_init(&finish, b, &in->base);
    out->headers = builder_header_matchers(b, arena, in->headers, in->n_headers, &out->headers_count);
    for (uint32_t i = 0; i < out->headers_count; i++) {
        char path[BUILD_PATH_BYTES_MAX];
        header_matcher_finish(&out->headers[i], arena, build_path(path, "", "headers[%u]", i),
                              &finish.errors);
    }
    out->upstream_cluster = builder_text(b, arena, in->upstream_cluster);
    out->nodes = builder_texts(b, arena, in->downstream_nodes, in->n_downstream_nodes);
    out->nodes_count = out->nodes ? (uint32_t)in->n_downstream_nodes : 0;
    delay(b, in, in->delay, out);
    abort_part(b, arena, in, in->abort, out);
    rate(b, in, in->response_rate_limit, out);
    out->active_max = in->max_active_faults ? in->max_active_faults->value : UINT64_MAX;
    if (out->delay.on || out->abort.on || out->rate.on)
        builder_runtime_u64(b, either(in->max_active_faults_runtime, KEYS "max_active_faults"),
                            &out->active_max);
    out->callers_uncounted = in->disable_downstream_cluster_stats;
    out->metadata = builder_value(b, arena, in->filter_metadata);
}

bool builder_fault_filter(struct builder *b, struct slice stat_prefix, const ProtobufCMessage *in,
                          struct filter_config *out)
{
    struct fault_filter *c = fault_filter_create(stat_prefix);
    if (!c) {
        config_error_at(b->doc, b->diag, in, NULL, -1, "out of memory");
        return false;
    }
    settings(b, &c->arena, (const fault_message *)in, &c->own);
    callers(b, c);
    out->ops = &fault_filter_ops;
    out->config = c;
    out->destroy = fault_filter_destroy;
    return true;
}

bool builder_fault_route(struct builder *b, struct arena *arena, const ProtobufCMessage *config,
                         struct filter_override *o)
{
    if (!builder_is_fault(config))
        return false;
    if (!builder_filter_is(b, o->filter_name, builder_is_fault)) {
        config_error_at(b->doc, b->diag, config, NULL, -1, "the filter \"%.*s\" injects no faults",
                        SLICE_ARG(o->filter_name));
        return true;
    }
    struct fault_settings *s = builder_array(b, arena, 1, sizeof *s);
    if (!s)
        return true;
    settings(b, arena, (const fault_message *)config, s);
    o->config = s;
    o->destroy = fault_settings_fini;
    return true;
}
