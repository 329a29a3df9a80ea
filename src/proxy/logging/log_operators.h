/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One command operator: what it prints for a stream. For log_format.c only.
 */
#ifndef WEIR_PROXY_LOG_OPERATORS_H
#define WEIR_PROXY_LOG_OPERATORS_H

#include "proxy/logging/log_format.h"
#include "proxy/stream.h"

struct log_operator;

/* What a running operator sees. */
struct log_input {
    const struct stream *stream;
    struct slice body; /* %LOCAL_REPLY_BODY% */
    bool json;         /* the value stands alone in JSON, and the operator is `numeric`: print it as JSON */
};

/* Appends the value; false: there is none (nothing was appended). */
typedef bool (*log_operator_fn)(const struct log_operator *op, const struct log_input *in,
                                struct strbuf *out);

struct log_operator {
    log_operator_fn run;
    bool numeric;      /* prints a number, or minds log_input.json: JSON takes what it prints as it is */
    char *main;        /* first argument: header name, key, time format; owned */
    char *alternative; /* second header name; owned */
    size_t length_max; /* ":Z"; 0: no limit */
    bool local_time;
    unsigned kind; /* enum log_metadata_kind */
};

/* Parses "NAME", "NAME(ARGS)" or "NAME(ARGS):LENGTH", without the percent signs. */
bool log_operator_parse(struct slice text, struct log_operator *out, struct log_format_error *error);
void log_operator_fini(struct log_operator *op);

/* What a stream's answer says in its trailers, else in its headers; false: nothing. */
bool log_grpc_status(const struct stream *s, uint64_t *code);
/* Appends a time by Envoy's START_TIME format: strftime's, and %f, %3f, %E3S and the like. */
bool log_time_format(uint64_t realtime_ns, const char *format, bool local, struct strbuf *out);

#endif
