/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at a request line, or at HTTP/2's preface. It never decides what a request means: the codec behind it
 * reads the same bytes again.
 */
#include "proxy/listener/http_inspector.h"

#include "http/chars.h"
#include "proxy/connection_facts.h"
#include "telemetry/stats.h"

#include <stdlib.h>

/* Bytes of a request line that are looked at: Envoy's. */
#define REQUEST_LINE_BYTES_MAX 65536u
#define PREFACE                SLICE_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

struct http_inspector {
    stat_id http10_found;
    stat_id http11_found;
    stat_id http2_found;
    stat_id http_not_found;
};

enum seen { SEEN_MORE, SEEN_NOTHING, SEEN_HTTP10, SEEN_HTTP11, SEEN_HTTP2 };

/* As Envoy: whatever is not 1.1 passes for 1.0; the codec refuses it. */
static enum seen version_seen(struct slice version)
{
    if (slice_eq(version, SLICE_LIT("HTTP/1.1")))
        return SEEN_HTTP11;
    bool some = version.len == 8 && slice_starts_with(version, SLICE_LIT("HTTP/")) && version.ptr[6] == '.' &&
                version.ptr[5] >= '0' && version.ptr[5] <= '9' && version.ptr[7] >= '0' &&
                version.ptr[7] <= '9';
    return some ? SEEN_HTTP10 : SEEN_NOTHING;
}

/* method SP target SP version, ended by LF. */
static enum seen line_seen(struct slice bytes)
{
    size_t method = 0;
    while (method < bytes.len && chars_is_token(bytes.ptr[method]))
        method++;
    if (method == bytes.len)
        return SEEN_MORE;
    if (method == 0 || bytes.ptr[method] != ' ')
        return SEEN_NOTHING;
    ptrdiff_t end = slice_find_char(bytes, '\n');
    if (end < 0)
        return SEEN_MORE;
    struct slice line = slice_take(bytes, (size_t)end), target;
    if (slice_ends_with(line, SLICE_LIT("\r")))
        line.len--;
    line = slice_skip(line, method + 1);
    if (!slice_split(&line, ' ', &target) || target.len == 0)
        return SEEN_NOTHING;
    return line.ptr ? version_seen(line) : SEEN_HTTP10; /* no version: 0.9 */
}

static enum seen http_seen(struct slice bytes)
{
    while (bytes.len > 0 && (bytes.ptr[0] == '\r' || bytes.ptr[0] == '\n'))
        bytes = slice_skip(bytes, 1); /* empty lines before a request: RFC 9112 2.2 */
    if (bytes.len == 0)
        return SEEN_MORE;
    if (slice_starts_with(bytes, PREFACE))
        return SEEN_HTTP2;
    if (slice_starts_with(PREFACE, bytes))
        return SEEN_MORE;
    enum seen seen = line_seen(bytes);
    return seen == SEEN_MORE && bytes.len >= REQUEST_LINE_BYTES_MAX - 2 ? SEEN_NOTHING : seen;
}

static enum listener_filter_status look(const void *config, struct listener_look *look)
{
    const struct http_inspector *h = config;
    struct connection_facts *facts = look->facts;
    if (facts->transport_protocol.len && !slice_eq(facts->transport_protocol, SLICE_LIT("raw_buffer")))
        return LISTENER_FILTER_CONTINUE; /* sealed */
    enum seen seen = http_seen(look->bytes);
    switch (seen) {
    case SEEN_MORE:
        return LISTENER_FILTER_MORE;
    case SEEN_NOTHING:
        stat_inc(h->http_not_found);
        return LISTENER_FILTER_CONTINUE;
    case SEEN_HTTP10:
        stat_inc(h->http10_found);
        facts->alpn[0] = SLICE_LIT("http/1.0");
        break;
    case SEEN_HTTP11:
        stat_inc(h->http11_found);
        facts->alpn[0] = SLICE_LIT("http/1.1");
        break;
    case SEEN_HTTP2:
        stat_inc(h->http2_found);
        facts->alpn[0] = SLICE_LIT("h2c");
        break;
    }
    facts->alpn_count = 1;
    return LISTENER_FILTER_CONTINUE;
}

static const struct listener_filter_ops ops = {.name = "http_inspector", .look = look, .destroy = free};

bool http_inspector_init(struct listener_filter_config *f)
{
    struct http_inspector *h = calloc(1, sizeof(*h));
    if (!h)
        return false;
    h->http10_found = stat_counter("http_inspector.http10_found");
    h->http11_found = stat_counter("http_inspector.http11_found");
    h->http2_found = stat_counter("http_inspector.http2_found");
    h->http_not_found = stat_counter("http_inspector.http_not_found");
    f->ops = &ops;
    f->config = h;
    f->bytes_max = REQUEST_LINE_BYTES_MAX;
    return true;
}
