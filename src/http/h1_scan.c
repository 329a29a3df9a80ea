/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the empty line that ends a head or a trailer section, across the segments of a chain and across
 * calls. It looks only at line ends and sizes; what the lines say is for the parsers. It takes nothing from
 * the chain before the head is whole, so a slow peer costs one look per byte.
 */
#include "http/h1_codec.h"

#include "base/assert.h"

void h1_scan_reset(struct h1_scan *s)
{
    *s = (struct h1_scan){0};
}

static const struct http_error *too_large(const struct h1_codec *c, bool has_start_line)
{
    return has_start_line && !c->client && c->scan.lines == 0 ? &http_error_request_line_too_long
                                                              : &http_error_headers_too_large;
}

/* A line ended at offset `lf`, where its LF is. */
static const struct http_error *line_end(struct h1_codec *c, size_t lf, bool has_start_line, bool after_cr,
                                         bool *empty)
{
    struct h1_scan *s = &c->scan;
    if (!after_cr)
        return &http_error_bare_lf;
    WEIR_ASSERT(lf > s->line_start);
    size_t len = lf - 1 - s->line_start;
    s->line_start = lf + 1;
    *empty = len == 0;
    if (len == 0)
        return NULL;
    if (s->lines == 0) {
        s->first_line = len;
        if (has_start_line && !c->client && len > c->settings.start_line_bytes_max)
            return &http_error_request_line_too_long;
    }
    s->lines++;
    if (s->lines - (has_start_line ? 1 : 0) > c->settings.headers_count_max)
        return &http_error_too_many_headers;
    return NULL;
}

/* Scans one run of bytes that begins at offset s->scanned. */
static const struct http_error *scan_run(struct h1_codec *c, struct slice run, bool has_start_line,
                                         bool *empty)
{
    struct h1_scan *s = &c->scan;
    const char *p = run.ptr, *end = run.ptr + run.len;
    const size_t base = s->scanned;
    while (!*empty) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        if (!lf)
            break;
        bool after_cr = lf > run.ptr ? lf[-1] == '\r' : s->after_cr;
        size_t at = base + (size_t)(lf - run.ptr);
        const struct http_error *e = line_end(c, at, has_start_line, after_cr, empty);
        if (e)
            return e;
        p = lf + 1;
    }
    if (*empty)
        end = p;
    s->scanned = base + (size_t)(end - run.ptr);
    s->after_cr = end[-1] == '\r';
    return NULL;
}

const struct http_error *h1_scan_head(struct h1_codec *c, const struct chain *in, bool has_start_line,
                                      size_t *head_bytes)
{
    struct h1_scan *s = &c->scan;
    size_t before = 0; /* offset of the segment */
    bool empty = false;
    *head_bytes = 0;
    WEIR_ASSERT(s->scanned <= in->bytes);
    for (size_t i = 0; i < in->count && !empty; i++) {
        struct slice seg = chain_seg_at(in, i);
        if (before + seg.len > s->scanned) {
            const struct http_error *e =
                scan_run(c, slice_skip(seg, s->scanned - before), has_start_line, &empty);
            if (e)
                return e;
        }
        before += seg.len;
    }
    size_t limit =
        has_start_line && s->lines == 0 ? c->settings.start_line_bytes_max : c->settings.headers_bytes_max;
    if (s->scanned > limit)
        return too_large(c, has_start_line);
    if (empty)
        *head_bytes = s->scanned;
    return NULL;
}

static const struct http_error *text_alloc(struct arena *arena, size_t len, struct h1_text *text)
{
    char *p = arena_alloc_text(arena, len + H1_PAD);
    if (!p)
        return &http_error_headers_too_large;
    memset(p + len, 0, H1_PAD);
    *text = (struct h1_text){p, len};
    return NULL;
}

const struct http_error *h1_take(struct arena *arena, struct chain *in, size_t len, struct h1_text *text)
{
    const struct http_error *e = text_alloc(arena, len, text);
    if (e)
        return e;
    size_t copied = chain_copy_out(in, 0, text->ptr, len);
    WEIR_ASSERT(copied == len);
    chain_drain(in, len);
    return NULL;
}

const struct http_error *h1_copy_first_line(struct h1_codec *c, const struct chain *in, struct h1_text *text)
{
    size_t len = c->scan.first_line + 2;
    const struct http_error *e = text_alloc(&c->scratch, len, text);
    if (e)
        return e;
    size_t copied = chain_copy_out(in, 0, text->ptr, len);
    WEIR_ASSERT(copied == len);
    return NULL;
}
