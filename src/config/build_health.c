/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health_checks and outlier_detection of a cluster to their plain forms. Event logs are opened here, so that
 * a path that cannot be written is an error of the configuration.
 */
#include "config/builder.h"

#include "proxy/logging/log_format.h"
#include "proxy/routing/matcher.h"
#include "telemetry/log.h"
#include "upstream/health_config.h"
#include "upstream/outlier_config.h"

#include <envoy/extensions/health_check/event_sinks/file/v3/file.pb-c.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

typedef Envoy__Config__Core__V3__HealthCheck check_message;
typedef Envoy__Config__Core__V3__HealthCheck__Payload payload_message;
typedef Envoy__Config__Core__V3__HealthCheck__HttpHealthCheck http_message;
typedef Envoy__Config__Core__V3__HeaderValueOption header_message;
typedef Envoy__Extensions__HealthCheck__EventSinks__File__V3__HealthCheckEventFileSink sink_message;
typedef Envoy__Config__Cluster__V3__OutlierDetection outlier_message;

#define PAYLOAD_CASE(name) ENVOY__CONFIG__CORE__V3__HEALTH_CHECK__PAYLOAD__PAYLOAD_##name
#define CHECKER_CASE(name) ENVOY__CONFIG__CORE__V3__HEALTH_CHECK__HEALTH_CHECKER_##name

struct log_file *builder_log_file(struct builder *b, const ProtobufCMessage *owner, const char *field,
                                  const char *path, bool secret)
{
    if (!path[0] || b->options->check_only)
        return NULL;
    struct log_file *file = secret ? log_file_open_secret(path) : log_file_open(path);
    if (!file)
        config_error_at(b->doc, b->diag, owner, field, -1, "cannot open \"%s\" for writing: %s", path,
                        strerror(errno));
    return file;
}

struct log_file *builder_event_log(struct builder *b, const ProtobufCMessage *owner, const char *field,
                                   const char *path)
{
    return builder_log_file(b, owner, field, path, false);
}

/* --- payloads --- */

static struct slice payload(struct builder *b, struct arena *arena, const payload_message *in)
{
    struct slice out = SLICE_EMPTY;
    if (!in)
        return out;
    if (in->payload_case == PAYLOAD_CASE(BINARY))
        return builder_bytes(b, arena, in->binary.data, in->binary.len);
    if (in->payload_case == PAYLOAD_CASE(TEXT) && !health_hex(arena, in->text, &out))
        builder_error(b, in, "text", "\"%s\" is no even number of hexadecimal digits", in->text);
    return out;
}

static void receive(struct builder *b, struct arena *arena, payload_message *const *in, size_t count,
                    struct health_config *h)
{
    struct slice *pieces = builder_array(b, arena, count, sizeof *pieces);
    h->receive = pieces;
    h->receive_count = pieces ? count : 0;
    for (size_t i = 0; i < h->receive_count; i++)
        pieces[i] = payload(b, arena, in[i]);
}

/* --- headers --- */

static bool may_be_changed(const char *name)
{
    return header_name_valid(slice_str(name)) && !slice_eq_nocase(slice_str(name), SLICE_LIT("host"));
}

static enum health_field_action field_action(const header_message *in)
{
    if (in->append)
        return in->append->value ? HEALTH_FIELD_APPEND : HEALTH_FIELD_OVERWRITE;
    return (enum health_field_action)in->append_action;
}

static void add_headers(struct builder *b, struct arena *arena, header_message *const *in, size_t count,
                        struct health_config *h)
{
    struct health_field *out = builder_array(b, arena, count, sizeof *out);
    size_t used = 0;
    for (size_t i = 0; out && i < count; i++) {
        const Envoy__Config__Core__V3__HeaderValue *header = in[i]->header;
        if (!header)
            continue; /* the API requires one: reported already */
        struct health_field *f = &out[used];
        struct stream_format *format = builder_value_format(b, arena, header, &f->value);
        if (format)
            builder_error(b, header, "value", "may not hold operators here: there is no request");
        stream_format_destroy(&format);
        if (!may_be_changed(header->key))
            builder_error(b, header, "key", "\"%s\" is no header that may be added", header->key);
        if (f->value.len == 0 && !in[i]->keep_empty_value)
            continue;
        f->name = builder_text(b, arena, header->key);
        f->action = field_action(in[i]);
        used++;
    }
    h->add = out;
    h->add_count = used;
}

static void remove_headers(struct builder *b, struct arena *arena, const http_message *in,
                           struct health_config *h)
{
    h->remove = builder_texts(b, arena, in->request_headers_to_remove, in->n_request_headers_to_remove);
    h->remove_count = h->remove ? in->n_request_headers_to_remove : 0;
    for (size_t i = 0; i < h->remove_count; i++) {
        if (!may_be_changed(in->request_headers_to_remove[i]))
            builder_error_item(b, in, "request_headers_to_remove", i, "is no header that may be removed");
    }
}

/* --- HTTP --- */

static struct health_range *ranges(struct builder *b, struct arena *arena,
                                   Envoy__Type__V3__Int64Range *const *in, size_t count, size_t *out_count)
{
    struct health_range *out = builder_array(b, arena, count, sizeof *out);
    *out_count = out ? count : 0;
    for (size_t i = 0; i < *out_count; i++) {
        /* What does not fit is no range of statuses either: finish says so. */
        out[i].start = in[i]->start < 0 || in[i]->start > UINT16_MAX ? 0 : (uint32_t)in[i]->start;
        out[i].end = in[i]->end < 0 || in[i]->end > UINT16_MAX ? 0 : (uint32_t)in[i]->end;
    }
    return out;
}

static bool match_service(const void *matcher, struct slice text)
{
    return string_matcher_match(matcher, text);
}

static void fini_service(void *matcher)
{
    string_matcher_fini(matcher);
}

static void service_name(struct builder *b, struct arena *arena, const http_message *in,
                         struct builder_finish *finish, const char *path, struct health_config *h)
{
    char at[BUILD_PATH_BYTES_MAX];
    struct string_matcher *m = in->service_name_matcher ? builder_array(b, arena, 1, sizeof *m) : NULL;
    if (!m)
        return;
    builder_string_matcher(b, arena, in->service_name_matcher, m);
    build_path(at, path, "http_health_check.service_name_matcher");
    string_matcher_finish(m, at, &finish->errors);
    h->service_name = (struct health_text_test){match_service, fini_service, m};
}

static const char *method_name(Envoy__Config__Core__V3__RequestMethod method)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
        &envoy__config__core__v3__request_method__descriptor, (int)method);
    return method == ENVOY__CONFIG__CORE__V3__REQUEST_METHOD__METHOD_UNSPECIFIED || !v ? "GET" : v->name;
}

static void http(struct builder *b, struct arena *arena, const http_message *in, struct health_config *h)
{
    h->kind = HEALTH_HTTP;
    h->http2 = in->codec_client_type == ENVOY__TYPE__V3__CODEC_CLIENT_TYPE__HTTP2;
    h->method = slice_str(method_name(in->method));
    h->path = builder_text(b, arena, in->path);
    h->authority = builder_text(b, arena, in->host);
    h->send = payload(b, arena, in->send);
    receive(b, arena, in->receive, in->n_receive, h);
    if (in->response_buffer_size)
        h->response_max = in->response_buffer_size->value;
    h->pass = ranges(b, arena, in->expected_statuses, in->n_expected_statuses, &h->pass_count);
    h->retriable = ranges(b, arena, in->retriable_statuses, in->n_retriable_statuses, &h->retriable_count);
    add_headers(b, arena, in->request_headers_to_add, in->n_request_headers_to_add, h);
    remove_headers(b, arena, in, h);
}

/* --- the check --- */

static void intervals(const check_message *in, struct health_config *h)
{
    h->timeout_ms = builder_ms(in->timeout, 0);
    h->interval_ms = builder_ms(in->interval, 0);
    h->initial_jitter_ms = builder_ms(in->initial_jitter, 0);
    h->interval_jitter_ms = builder_ms(in->interval_jitter, 0);
    h->interval_jitter_percent = in->interval_jitter_percent;
    h->unhealthy_threshold = builder_u32(in->unhealthy_threshold, 1);
    h->healthy_threshold = builder_u32(in->healthy_threshold, 1);
    h->no_traffic_interval_ms = builder_ms(in->no_traffic_interval, h->no_traffic_interval_ms);
    h->no_traffic_healthy_interval_ms = builder_ms(in->no_traffic_healthy_interval, 0);
    h->unhealthy_interval_ms = builder_ms(in->unhealthy_interval, 0);
    h->unhealthy_edge_interval_ms = builder_ms(in->unhealthy_edge_interval, 0);
    h->healthy_edge_interval_ms = builder_ms(in->healthy_edge_interval, 0);
    h->alt_port = (uint16_t)builder_u32(in->alt_port, 0);
}

/* One file for all, as the older event_log_path; more than one cannot be told apart here. */
static void events(struct builder *b, const check_message *in, struct health_config *h)
{
    h->events = builder_event_log(b, &in->base, "event_log_path", in->event_log_path);
    for (size_t i = 0; i < in->n_event_logger; i++) {
        const sink_message *sink = config_any_unpack(
            b->doc, in->event_logger[i]->typed_config,
            &envoy__extensions__health_check__event_sinks__file__v3__health_check_event_file_sink__descriptor);
        if (!sink)
            builder_error_item(b, in, "event_logger", i, "is no file sink, the only kind that is there");
        else if (i > 0 || in->event_log_path[0])
            builder_error_item(b, in, "event_logger", i, "is the second log of this check; keep one");
        else
            h->events = builder_event_log(b, &sink->base, "event_log_path", sink->event_log_path);
    }
}

static void alpn(struct builder *b, struct arena *arena, const check_message *in, struct health_config *h)
{
    if (!in->tls_options)
        return;
    h->alpn = builder_texts(b, arena, in->tls_options->alpn_protocols, in->tls_options->n_alpn_protocols);
    h->alpn_count = h->alpn ? in->tls_options->n_alpn_protocols : 0;
}

static void checker(struct builder *b, struct cluster_config *c, const check_message *in,
                    struct health_config *h)
{
    switch (in->health_checker_case) {
    case CHECKER_CASE(HTTP_HEALTH_CHECK):
        http(b, &c->arena, in->http_health_check, h);
        break;
    case CHECKER_CASE(TCP_HEALTH_CHECK):
        h->kind = HEALTH_TCP;
        h->send = payload(b, &c->arena, in->tcp_health_check->send);
        h->tcp_proxy = builder_proxy_version(in->tcp_health_check->proxy_protocol_config);
        receive(b, &c->arena, in->tcp_health_check->receive, in->tcp_health_check->n_receive, h);
        break;
    case CHECKER_CASE(GRPC_HEALTH_CHECK):
        h->kind = HEALTH_GRPC;
        h->grpc_service = builder_text(b, &c->arena, in->grpc_health_check->service_name);
        h->authority = builder_text(b, &c->arena, in->grpc_health_check->authority);
        add_headers(b, &c->arena, in->grpc_health_check->initial_metadata,
                    in->grpc_health_check->n_initial_metadata, h);
        if (c->protocol == UPSTREAM_HTTP1)
            builder_error(b, in, "grpc_health_check", "needs a cluster that speaks HTTP/2");
        break;
    default:
        break; /* the API requires one: reported already */
    }
}

void builder_health(struct builder *b, const Envoy__Config__Cluster__V3__Cluster *in,
                    struct cluster_config *c, struct builder_finish *finish)
{
    const char *path = "health_checks[0]";
    if (in->n_health_checks == 0)
        return;
    if (in->n_health_checks > 1)
        builder_error_item(b, in, "health_checks", 1, "is the second one; a cluster has one, as in Envoy");
    struct health_config *h = builder_array(b, &c->arena, 1, sizeof *h);
    if (!h)
        return;
    const check_message *check = in->health_checks[0];
    health_config_defaults(h);
    intervals(check, h);
    h->reuse_connection = builder_bool(check->reuse_connection, h->reuse_connection);
    h->log_failures = check->always_log_health_check_failures;
    h->log_successes = check->always_log_health_check_success;
    c->health = h;
    checker(b, c, check, h);
    events(b, check, h);
    alpn(b, &c->arena, check, h);
    if (check->health_checker_case == CHECKER_CASE(HTTP_HEALTH_CHECK))
        service_name(b, &c->arena, check->http_health_check, finish, path, h);
    health_config_finish(h, path, &finish->errors);
}

void builder_endpoint_health(struct builder *b, struct arena *arena,
                             const Envoy__Config__Endpoint__V3__Endpoint *in, struct endpoint_config *out)
{
    const Envoy__Config__Endpoint__V3__Endpoint__HealthCheckConfig *h = in->health_check_config;
    if (!h)
        return;
    out->health_port = (uint16_t)h->port_value;
    out->health_hostname = builder_text(b, arena, h->hostname);
    out->health_disabled = h->disable_active_health_check;
    if (h->address)
        builder_address(b, h->address, &out->health_address);
}

/* --- outlier detection --- */

void builder_outlier(struct builder *b, const Envoy__Config__Cluster__V3__Cluster *in,
                     struct cluster_config *c)
{
    const outlier_message *o = in->outlier_detection;
    struct outlier_config *out = o ? builder_array(b, &c->arena, 1, sizeof *out) : NULL;
    if (!out)
        return;
    outlier_config_defaults(out);
    c->outlier = out;
    c->outlier_events = b->outlier_events ? log_file_ref(b->outlier_events) : NULL;
    out->interval_ms = builder_ms(o->interval, out->interval_ms);
    out->base_ejection_ms = builder_ms(o->base_ejection_time, out->base_ejection_ms);
    if (out->base_ejection_ms > out->max_ejection_ms)
        out->max_ejection_ms = out->base_ejection_ms;
    out->max_ejection_ms = builder_ms(o->max_ejection_time, out->max_ejection_ms);
    out->max_ejection_jitter_ms = builder_ms(o->max_ejection_time_jitter, 0);
    if (out->max_ejection_ms < out->base_ejection_ms)
        builder_error(b, o, "max_ejection_time", "is smaller than base_ejection_time");
    out->consecutive_5xx = builder_u32(o->consecutive_5xx, out->consecutive_5xx);
    out->consecutive_gateway = builder_u32(o->consecutive_gateway_failure, out->consecutive_gateway);
    out->consecutive_local = builder_u32(o->consecutive_local_origin_failure, out->consecutive_local);
    out->max_ejection_percent = builder_u32(o->max_ejection_percent, out->max_ejection_percent);
    out->always_eject_one = builder_bool(o->always_eject_one_host, false);
    out->split_local = o->split_external_local_origin_errors;
    out->uneject_on_health = builder_bool(o->successful_active_health_check_uneject_host, true);
    out->success_rate_hosts = builder_u32(o->success_rate_minimum_hosts, out->success_rate_hosts);
    out->success_rate_volume = builder_u32(o->success_rate_request_volume, out->success_rate_volume);
    out->success_rate_stdev_factor =
        builder_u32(o->success_rate_stdev_factor, out->success_rate_stdev_factor);
    out->failure_percentage = builder_u32(o->failure_percentage_threshold, out->failure_percentage);
    out->failure_percentage_hosts =
        builder_u32(o->failure_percentage_minimum_hosts, out->failure_percentage_hosts);
    out->failure_percentage_volume =
        builder_u32(o->failure_percentage_request_volume, out->failure_percentage_volume);
    const Google__Protobuf__UInt32Value *const enforcing[OUTLIER_KIND_COUNT] = {
        [OUTLIER_CONSECUTIVE_5XX] = o->enforcing_consecutive_5xx,
        [OUTLIER_CONSECUTIVE_GATEWAY_FAILURE] = o->enforcing_consecutive_gateway_failure,
        [OUTLIER_SUCCESS_RATE] = o->enforcing_success_rate,
        [OUTLIER_CONSECUTIVE_LOCAL_ORIGIN_FAILURE] = o->enforcing_consecutive_local_origin_failure,
        [OUTLIER_SUCCESS_RATE_LOCAL_ORIGIN] = o->enforcing_local_origin_success_rate,
        [OUTLIER_FAILURE_PERCENTAGE] = o->enforcing_failure_percentage,
        [OUTLIER_FAILURE_PERCENTAGE_LOCAL_ORIGIN] = o->enforcing_failure_percentage_local_origin,
    };
    for (int i = 0; i < OUTLIER_KIND_COUNT; i++)
        out->enforcing[i] = builder_u32(enforcing[i], out->enforcing[i]);
}
