/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts with Envoy's command operators (%REQ(X?Y):Z%, %START_TIME(...)%, ...), compiled once and run per
 * stream: access logs, local reply bodies, header values. Makers are called by the configuration; what they
 * make is immutable.
 */
#ifndef WEIR_PROXY_LOG_FORMAT_H
#define WEIR_PROXY_LOG_FORMAT_H

#include "proxy/logging/access_log.h"

/* Where a format is wrong: a message for people, without position (the caller knows the field). */
struct log_format_error {
    char text[256];
};

struct log_format_options {
    bool omit_empty_values; /* absent values: "" instead of "-"; in JSON the member is left out */
};

/* NULL with *error when the text has an unknown operator, bad arguments or a lone '%'. */
struct stream_format *log_format_text(struct slice text, const struct log_format_options *options,
                                      struct log_format_error *error);

/* A JSON value to be filled per stream. Strings are formats; an operator that stands alone and is a number
 * stays one. */
enum log_json_kind {
    LOG_JSON_OBJECT,
    LOG_JSON_LIST,
    LOG_JSON_TEXT,
    LOG_JSON_NUMBER,
    LOG_JSON_BOOL,
    LOG_JSON_NULL
};

struct log_json {
    enum log_json_kind kind;
    struct slice key;  /* in an object */
    struct slice text; /* LOG_JSON_TEXT */
    double number;
    bool boolean;
    const struct log_json *items; /* object, list */
    size_t items_count;
};
#define LOG_JSON_DEPTH_MAX 16

/* Everything is copied. NULL with *error. */
struct stream_format *log_format_json(const struct log_json *value, const struct log_format_options *options,
                                      struct log_format_error *error);

/* Envoy's default access log line, newline included. */
struct stream_format *log_format_default(void);

void stream_format_destroy(struct stream_format **format);

#endif
