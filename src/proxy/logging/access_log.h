/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the proxy calls when text about a stream is wanted: access logs, the text of local replies, and the
 * conditions in front of both. Const objects with functions, built by the configuration, shared by all
 * workers and immutable; who formats lives elsewhere.
 */
#ifndef WEIR_PROXY_ACCESS_LOG_H
#define WEIR_PROXY_ACCESS_LOG_H

#include "base/strbuf.h"

struct stream;

/* Owned by the resource that points to it; embed it at the start of the implementation's own struct. */
struct access_log {
    /* Once per stream when it is complete; headers, trailers and stream->info are still there. [worker] */
    void (*write)(const struct access_log *log, const struct stream *s);
    void (*destroy)(struct access_log *log);
};

/* A condition over a stream: access log filters, local reply mappers. */
struct stream_predicate {
    bool (*match)(const struct stream_predicate *p, const struct stream *s);
    void (*destroy)(struct stream_predicate *p);
};

/* A text with %OPERATORS%. */
struct stream_format {
    /* Appends; `body` is the local reply's text for %LOCAL_REPLY_BODY%. */
    void (*format)(const struct stream_format *f, const struct stream *s, struct slice body,
                   struct strbuf *out);
    void (*destroy)(struct stream_format *f);
};

#endif
