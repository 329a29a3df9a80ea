/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of command operators. One row per operator; a value that a stream does not have is "no value",
 * never a made-up one.
 */
#include "proxy/logging/log_operators.h"

#include "base/assert.h"
#include "base/base64.h"
#include "proxy/hcm_config.h"
#include "proxy/logging/log_metadata.h"
#include "proxy/logging/log_tls.h"
#include "proxy/stream_info.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define OP(name)                                                                                             \
    static bool name(const struct log_operator *op __attribute__((unused)), const struct log_input *in,      \
                     struct strbuf *out)
#define INFO (&in->stream->info)

static bool append_some(struct slice s, struct strbuf *out)
{
    return s.len > 0 && strbuf_append(out, s);
}

static bool append_u64(uint64_t v, struct strbuf *out)
{
    return strbuf_printf(out, "%" PRIu64, v);
}

/* Whole milliseconds between two times of a stream; absent when either did not happen. */
static bool append_ms(uint64_t from_ns, uint64_t to_ns, struct strbuf *out)
{
    return from_ns && to_ns >= from_ns && append_u64((to_ns - from_ns) / 1000000, out);
}

enum address_part { ADDRESS_WHOLE, ADDRESS_IP, ADDRESS_PORT };

static bool append_address(const struct address *a, enum address_part part, struct strbuf *out)
{
    char text[ADDRESS_TEXT_MAX];
    if (!a || a->len == 0)
        return false;
    if (part == ADDRESS_PORT)
        return append_u64(address_port(a), out);
    return append_some(slice_str(part == ADDRESS_IP ? address_format_ip(a, text) : address_format(a, text)),
                       out);
}

static bool append_header(const struct log_operator *op, const struct header_map *m, struct strbuf *out)
{
    const struct header *h = m ? header_map_find(m, slice_str(op->main)) : NULL;
    if (!h && m && op->alternative)
        h = header_map_find(m, slice_str(op->alternative));
    return h && append_some(op->length_max ? slice_take(h->value, op->length_max) : h->value, out);
}

OP(op_req)
{
    return append_header(op, in->stream->request_headers, out);
}
OP(op_req_without_query)
{
    size_t start = out->len;
    if (!append_header(&(struct log_operator){.main = op->main, .alternative = op->alternative},
                       in->stream->request_headers, out))
        return false;
    struct slice value = slice_skip(strbuf_slice(out), start);
    ptrdiff_t query = slice_find_char(value, '?');
    size_t len = query >= 0 ? (size_t)query : value.len;
    out->len = start + (op->length_max && op->length_max < len ? op->length_max : len);
    out->ptr[out->len] = '\0';
    return true;
}
OP(op_resp)
{
    return append_header(op, in->stream->response_headers, out);
}
OP(op_trailer)
{
    return append_header(op, in->stream->response_trailers, out);
}
OP(op_start_time)
{
    return log_time_format(INFO->start_realtime_ns, op->main, op->local_time, out);
}
OP(op_protocol)
{
    static const char *const names[] = {[HTTP_10] = "HTTP/1.0", [HTTP_11] = "HTTP/1.1", [HTTP_2] = "HTTP/2"};
    bool known = in->stream->request_headers || INFO->protocol == HTTP_2;
    return known && strbuf_append_str(out, names[INFO->protocol]);
}
OP(op_response_code)
{
    return append_u64(INFO->response_code, out);
}
OP(op_details)
{
    return append_some(INFO->details, out);
}
OP(op_termination_details)
{
    return append_some(INFO->connection_termination_details, out);
}
OP(op_flags)
{
    return stream_info_append_flags(INFO, false, out);
}
OP(op_flags_long)
{
    return stream_info_append_flags(INFO, true, out);
}
OP(op_bytes_received)
{
    return append_u64(INFO->request_body_bytes, out);
}
OP(op_bytes_sent)
{
    return append_u64(INFO->response_body_bytes, out);
}
OP(op_request_headers_bytes)
{
    return append_u64(INFO->request_headers_bytes, out);
}
OP(op_response_headers_bytes)
{
    return append_u64(INFO->response_headers_bytes, out);
}
OP(op_duration)
{
    return append_ms(INFO->start_ns, INFO->end_ns, out);
}
OP(op_request_duration)
{
    return append_ms(INFO->start_ns, INFO->request_end_ns, out);
}
OP(op_request_tx_duration)
{
    return append_ms(INFO->start_ns, INFO->upstream_request_start_ns, out);
}
OP(op_response_duration)
{
    return append_ms(INFO->start_ns, INFO->upstream_response_start_ns, out);
}
OP(op_response_tx_duration)
{
    return append_ms(INFO->upstream_response_start_ns, INFO->end_ns, out);
}
OP(op_upstream_cluster)
{
    return append_some(INFO->cluster_name, out);
}
OP(op_upstream_failure)
{
    /* Without spaces, as Envoy prints it. */
    struct slice reason = INFO->upstream_failure_reason;
    for (size_t i = 0; i < reason.len; i++)
        strbuf_append_char(out, reason.ptr[i] == ' ' ? '_' : reason.ptr[i]);
    return reason.len > 0;
}
OP(op_upstream_attempts)
{
    return append_u64(INFO->upstream_attempts, out);
}
OP(op_server_name)
{
    return append_some(stream_info_server_name(INFO), out);
}
OP(op_filter_chain_name)
{
    const struct hcm_config *hcm = in->stream->hcm;
    return append_some(hcm ? hcm->filter_chain_name : INFO->filter_chain_name, out);
}
OP(op_route_name)
{
    return append_some(INFO->route_name, out);
}
OP(op_virtual_host_name)
{
    return append_some(INFO->virtual_host_name, out);
}
OP(op_virtual_cluster_name)
{
    return append_some(INFO->virtual_cluster_name, out);
}
OP(op_log_type)
{
    static const char *const names[] = {
#define MOMENT_X(name, text, number) text,
        LOG_MOMENTS(MOMENT_X)
#undef MOMENT_X
    };
    return strbuf_append_str(out, names[INFO->log_moment]);
}
OP(op_upstream_host)
{
    return append_address(&INFO->upstream_remote, ADDRESS_WHOLE, out);
}
OP(op_connection_id)
{
    return append_u64(INFO->connection_id, out);
}
OP(op_stream_id)
{
    return append_u64(INFO->stream_id, out);
}
OP(op_upstream_connection_id)
{
    return INFO->upstream_connection_id && append_u64(INFO->upstream_connection_id, out);
}
OP(op_body)
{
    return strbuf_append(out, in->body); /* none is an empty one */
}
OP(op_constant) /* HOSTNAME and ENVIRONMENT were read when the format was made */
{
    (void)in;
    return op->main && append_some(slice_str(op->main), out);
}

bool log_grpc_status(const struct stream *s, uint64_t *code)
{
    return (s->response_trailers &&
            slice_parse_u64(header_map_get_id(s->response_trailers, HDR_GRPC_STATUS), code)) ||
           (s->response_headers &&
            slice_parse_u64(header_map_get_id(s->response_headers, HDR_GRPC_STATUS), code));
}
OP(op_grpc_status_number)
{
    uint64_t code;
    return log_grpc_status(in->stream, &code) && append_u64(code, out);
}
OP(op_grpc_status)
{
    static const char *const names[] = {
        "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
        "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
        "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
        "DataLoss", "Unauthenticated"};
    uint64_t code;
    if (!log_grpc_status(in->stream, &code))
        return false;
    return code < WEIR_ARRAY_LEN(names) ? strbuf_append_str(out, names[code]) : append_u64(code, out);
}
OP(op_path)
{
    const struct header_map *m = in->stream->request_headers;
    struct slice path = m ? header_map_get_id(m, HDR_X_ENVOY_ORIGINAL_PATH) : SLICE_EMPTY;
    if (m && !path.len)
        path = header_map_get_id(m, HDR_PATH);
    ptrdiff_t query = op->main && strcmp(op->main, "NQ") == 0 ? slice_find_char(path, '?') : -1;
    return append_some(query >= 0 ? slice_take(path, (size_t)query) : path, out);
}
/* The message that Envoy makes of bytes; what is text only, or protobuf that is not known here, has none. */
static bool append_typed(const struct filter_state_entry *e, struct strbuf *out)
{
    if (e->type == FILTER_STATE_PROTOBUF || e->type == FILTER_STATE_OBJECT)
        return false;
    strbuf_append_str(out, "{\"@type\":\"type.googleapis.com/google.protobuf.BytesValue\",\"value\":\"");
    base64_append(e->value, out);
    return strbuf_append_str(out, "\"}");
}

/* %FILTER_STATE(key[:PLAIN|TYPED])[:Z]% */
OP(op_filter_state)
{
    const struct filter_state_entry *e = filter_state_get(&in->stream->filter_state, slice_str(op->main));
    size_t start = out->len;
    if (e && e->type == FILTER_STATE_MESSAGE)
        return !op->alternative && !op->length_max && append_some(e->value, out);
    if (e && in->json && op->alternative)
        return strbuf_append_json(out, op->length_max ? slice_take(e->value, op->length_max) : e->value);
    if (e && in->json && op->length_max)
        return false; /* a message that was cut is nothing */
    if (!e || !(op->alternative ? append_some(e->value, out) : append_typed(e, out)))
        return false;
    if (op->length_max && out->len - start > op->length_max) {
        out->len = start + op->length_max;
        out->ptr[out->len] = '\0';
    }
    return true;
}

#define ADDRESS_OPS(X)                                                                                       \
    X(downstream_remote, INFO->downstream_remote)                                                            \
    X(downstream_direct, INFO->downstream_direct_remote)                                                     \
    X(downstream_local, INFO->downstream_local)                                                              \
    X(upstream_remote, stream_info_upstream_peer(INFO))                                                      \
    X(upstream_local, &INFO->upstream_local)
#define ADDRESS_X(name, expr)                                                                                \
    OP(op_##name)                                                                                            \
    {                                                                                                        \
        return append_address(expr, ADDRESS_WHOLE, out);                                                     \
    }                                                                                                        \
    OP(op_##name##_ip)                                                                                       \
    {                                                                                                        \
        return append_address(expr, ADDRESS_IP, out);                                                        \
    }                                                                                                        \
    OP(op_##name##_port)                                                                                     \
    {                                                                                                        \
        return append_address(expr, ADDRESS_PORT, out);                                                      \
    }
ADDRESS_OPS(ADDRESS_X)
#undef ADDRESS_X

enum argument_kind {
    ARG_NONE,
    ARG_HEADER,      /* (X?Y):Z, mandatory */
    ARG_TIME,        /* (FORMAT), optional */
    ARG_STATE,       /* (KEY[:PLAIN|TYPED]):Z */
    ARG_ENVIRONMENT, /* (NAME), read now */
    ARG_HOSTNAME,    /* read now */
    ARG_WORD,        /* (TEXT), optional, kept */
    ARG_METADATA,    /* (TYPE:NAMESPACE[:KEY]...) */
    ARG_METADATA_OF, /* (NAMESPACE[:KEY]...), + enum log_metadata_kind; the last */
};

struct operator_row {
    struct slice name;
    log_operator_fn run;
    unsigned arguments; /* enum argument_kind */
    bool numeric;
};

#define ROW(text, fn, args, numeric)                                                                         \
    {                                                                                                        \
        {text, sizeof(text) - 1}, fn, args, numeric                                                          \
    }
#define ADDRESS_ROWS(text, port, fn)                                                                         \
    ROW(text, fn, ARG_NONE, false), ROW(text "_WITHOUT_PORT", fn##_ip, ARG_NONE, false),                     \
        ROW(port, fn##_port, ARG_NONE, true)

#define TLS_ROW_X(text, fn)                                                                                  \
    ROW("DOWNSTREAM_" text, log_downstream_##fn, ARG_NONE, false),                                           \
        ROW("UPSTREAM_" text, log_upstream_##fn, ARG_NONE, false),

static const struct operator_row rows[] = {
    ROW("REQ", op_req, ARG_HEADER, false),
    ROW("REQ_WITHOUT_QUERY", op_req_without_query, ARG_HEADER, false),
    ROW("RESP", op_resp, ARG_HEADER, false),
    ROW("TRAILER", op_trailer, ARG_HEADER, false),
    ROW("START_TIME", op_start_time, ARG_TIME, false),
    ROW("START_TIME_LOCAL", op_start_time, ARG_TIME, false),
    ROW("PROTOCOL", op_protocol, ARG_NONE, false),
    ROW("RESPONSE_CODE", op_response_code, ARG_NONE, true),
    ROW("RESPONSE_CODE_DETAILS", op_details, ARG_NONE, false),
    ROW("CONNECTION_TERMINATION_DETAILS", op_termination_details, ARG_NONE, false),
    ROW("RESPONSE_FLAGS", op_flags, ARG_NONE, false),
    ROW("RESPONSE_FLAGS_LONG", op_flags_long, ARG_NONE, false),
    ROW("BYTES_RECEIVED", op_bytes_received, ARG_NONE, true),
    ROW("BYTES_SENT", op_bytes_sent, ARG_NONE, true),
    ROW("REQUEST_HEADERS_BYTES", op_request_headers_bytes, ARG_NONE, true),
    ROW("RESPONSE_HEADERS_BYTES", op_response_headers_bytes, ARG_NONE, true),
    ROW("DURATION", op_duration, ARG_NONE, true),
    ROW("REQUEST_DURATION", op_request_duration, ARG_NONE, true),
    ROW("REQUEST_TX_DURATION", op_request_tx_duration, ARG_NONE, true),
    ROW("RESPONSE_DURATION", op_response_duration, ARG_NONE, true),
    ROW("RESPONSE_TX_DURATION", op_response_tx_duration, ARG_NONE, true),
    ROW("UPSTREAM_CLUSTER", op_upstream_cluster, ARG_NONE, false),
    ROW("UPSTREAM_CLUSTER_RAW", op_upstream_cluster, ARG_NONE, false),
    ROW("UPSTREAM_TRANSPORT_FAILURE_REASON", op_upstream_failure, ARG_NONE, false),
    ROW("UPSTREAM_REQUEST_ATTEMPT_COUNT", op_upstream_attempts, ARG_NONE, true),
    ROW("UPSTREAM_CONNECTION_ID", op_upstream_connection_id, ARG_NONE, true),
    ROW("UPSTREAM_HOST", op_upstream_host, ARG_NONE, false),
    ADDRESS_ROWS("UPSTREAM_REMOTE_ADDRESS", "UPSTREAM_REMOTE_PORT", op_upstream_remote),
    ADDRESS_ROWS("UPSTREAM_LOCAL_ADDRESS", "UPSTREAM_LOCAL_PORT", op_upstream_local),
    ADDRESS_ROWS("DOWNSTREAM_REMOTE_ADDRESS", "DOWNSTREAM_REMOTE_PORT", op_downstream_remote),
    ADDRESS_ROWS("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", "DOWNSTREAM_DIRECT_REMOTE_PORT", op_downstream_direct),
    ADDRESS_ROWS("DOWNSTREAM_LOCAL_ADDRESS", "DOWNSTREAM_LOCAL_PORT", op_downstream_local),
    ROW("REQUESTED_SERVER_NAME", op_server_name, ARG_NONE, false),
    ROW("FILTER_CHAIN_NAME", op_filter_chain_name, ARG_NONE, false),
    ROW("VIRTUAL_CLUSTER_NAME", op_virtual_cluster_name, ARG_NONE, false),
    ROW("METADATA", log_metadata_run, ARG_METADATA, true),
    ROW("DYNAMIC_METADATA", log_metadata_run, ARG_METADATA_OF + LOG_METADATA_DYNAMIC, true),
    ROW("CLUSTER_METADATA", log_metadata_run, ARG_METADATA_OF + LOG_METADATA_CLUSTER, true),
    ROW("UPSTREAM_METADATA", log_metadata_run, ARG_METADATA_OF + LOG_METADATA_UPSTREAM_HOST, true),
    LOG_TLS_BOTH(TLS_ROW_X) ROW("DOWNSTREAM_PEER_CERT_V_START", log_downstream_valid_from, ARG_TIME, false),
    ROW("DOWNSTREAM_PEER_CERT_V_END", log_downstream_valid_until, ARG_TIME, false),
    ROW("UPSTREAM_PEER_CERT_V_START", log_upstream_valid_from, ARG_TIME, false),
    ROW("UPSTREAM_PEER_CERT_V_END", log_upstream_valid_until, ARG_TIME, false),
    ROW("DOWNSTREAM_TRANSPORT_FAILURE_REASON", log_downstream_failure, ARG_NONE, false),
    ROW("ROUTE_NAME", op_route_name, ARG_NONE, false),
    ROW("VIRTUAL_HOST_NAME", op_virtual_host_name, ARG_NONE, false),
    ROW("ACCESS_LOG_TYPE", op_log_type, ARG_NONE, false),
    ROW("CONNECTION_ID", op_connection_id, ARG_NONE, true),
    ROW("STREAM_ID", op_stream_id, ARG_NONE, true),
    ROW("GRPC_STATUS", op_grpc_status, ARG_WORD, false),
    ROW("GRPC_STATUS_NUMBER", op_grpc_status_number, ARG_NONE, true),
    ROW("PATH", op_path, ARG_WORD, false),
    ROW("LOCAL_REPLY_BODY", op_body, ARG_NONE, false),
    ROW("FILTER_STATE", op_filter_state, ARG_STATE, true),
    ROW("ENVIRONMENT", op_constant, ARG_ENVIRONMENT, false),
    ROW("HOSTNAME", op_constant, ARG_HOSTNAME, false),
};

static bool fail(struct log_format_error *error, const char *what, struct slice text)
{
    snprintf(error->text, sizeof(error->text), "%s: %%%.*s%%", what, SLICE_ARG(slice_take(text, 100)));
    return false;
}

/* "X" or "X?Y". Both are header names. */
static bool parse_header_arguments(struct slice arguments, struct log_operator *out)
{
    ptrdiff_t at = slice_find_char(arguments, '?');
    struct slice main = at >= 0 ? slice_take(arguments, (size_t)at) : arguments;
    struct slice other = at >= 0 ? slice_skip(arguments, (size_t)at + 1) : SLICE_EMPTY;
    struct slice names[] = {main, other};
    for (size_t i = 0; i < 2; i++) {
        struct slice bare = names[i].len && names[i].ptr[0] == ':' ? slice_skip(names[i], 1) : names[i];
        if ((i == 0 || other.len) && !header_name_valid(bare))
            return false;
    }
    out->main = slice_strdup(main);
    out->alternative = other.len ? slice_strdup(other) : NULL;
    return out->main != NULL;
}

/* "KEY", "KEY:PLAIN", "KEY:TYPED": `alternative` set means plain. */
static bool parse_state_arguments(struct slice arguments, struct log_operator *out)
{
    bool plain = slice_ends_with(arguments, SLICE_LIT(":PLAIN"));
    if (plain || slice_ends_with(arguments, SLICE_LIT(":TYPED")))
        arguments = slice_take(arguments, arguments.len - 6);
    out->main = slice_strdup(arguments);
    out->alternative = plain ? slice_strdup(SLICE_LIT("PLAIN")) : NULL;
    return arguments.len > 0 && out->main;
}

static bool parse_arguments(const struct operator_row *row, struct slice arguments, bool given,
                            struct log_operator *out)
{
    char host[256];
    if (row->arguments >= ARG_METADATA_OF)
        return given && log_metadata_parse(row->arguments - ARG_METADATA_OF, arguments, out);
    switch (row->arguments) {
    case ARG_METADATA:
        return given && log_metadata_parse_typed(arguments, out);
    case ARG_NONE:
        return !given;
    case ARG_HEADER:
        return given && parse_header_arguments(arguments, out);
    case ARG_STATE:
        return given && parse_state_arguments(arguments, out);
    case ARG_TIME:
    case ARG_WORD:
        out->main = given && arguments.len ? slice_strdup(arguments) : NULL;
        return !given || !arguments.len || out->main;
    case ARG_ENVIRONMENT: {
        char *name = given && arguments.len ? slice_strdup(arguments) : NULL;
        const char *value = name ? getenv(name) : NULL;
        bool ok = name != NULL;
        free(name);
        out->main = value ? slice_strdup(slice_str(value)) : NULL;
        return ok;
    }
    case ARG_HOSTNAME:
        if (gethostname(host, sizeof(host)) == 0) {
            host[sizeof(host) - 1] = '\0';
            out->main = slice_strdup(slice_str(host));
        }
        return !given;
    }
    return false;
}

static const struct operator_row *find_row(struct slice name)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        if (slice_eq(rows[i].name, name))
            return &rows[i];
    }
    return NULL;
}

bool log_operator_parse(struct slice text, struct log_operator *out, struct log_format_error *error)
{
    *out = (struct log_operator){0};
    struct slice name = text;
    struct slice arguments = SLICE_EMPTY;
    struct slice rest = SLICE_EMPTY;
    ptrdiff_t open = slice_find_char(text, '(');
    if (open >= 0) {
        name = slice_take(text, (size_t)open);
        arguments = slice_skip(text, (size_t)open + 1);
        size_t close = arguments.len;
        while (close > 0 && arguments.ptr[close - 1] != ')')
            close--;
        if (close == 0)
            return fail(error, "an operator's arguments have no closing parenthesis", text);
        rest = slice_skip(arguments, close);
        arguments = slice_take(arguments, close - 1);
    }
    uint64_t length;
    if (rest.len && (rest.ptr[0] != ':' || !slice_parse_u64(slice_skip(rest, 1), &length) || length == 0))
        return fail(error, "behind an operator's arguments only \":\" and a length may stand", text);
    const struct operator_row *row = find_row(name);
    if (!row)
        return fail(error, "unknown operator", text);
    out->run = row->run;
    out->numeric = row->numeric;
    out->length_max = rest.len ? (size_t)length : 0;
    out->local_time = slice_eq(name, SLICE_LIT("START_TIME_LOCAL"));
    if (parse_arguments(row, arguments, open >= 0, out))
        return true;
    log_operator_fini(out);
    return fail(error, "wrong arguments for an operator", text);
}

void log_operator_fini(struct log_operator *op)
{
    free(op->main);
    free(op->alternative);
    *op = (struct log_operator){0};
}
