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

/* Whether `bytes` of the head are more than may be. Asked for each line before anything else about it, so the
 * answer does not depend on how the bytes came. */
static const struct http_error *check_size(const struct h1_codec *c, bool has_start_line, size_t bytes)
{
    bool in_request_line = has_start_line && !c->client && c->scan.lines == 0;
    /* The CR of a line that is as long as it may be is not part of it. */
    if (in_request_line && bytes > c->settings.start_line_bytes_max + 1)
        return &http_error_request_line_too_long;
    if (bytes > c->settings.headers_bytes_max)
        return in_request_line ? &http_error_request_line_too_long : &http_error_headers_too_large;
    return NULL;
}

/* A line ended at offset `lf`, where its LF is. */
static const struct http_error *line_end(struct h1_codec *c, size_t lf, bool has_start_line, bool after_cr,
                                         bool *empty)
{
    struct h1_scan *s = &c->scan;
    const struct http_error *e = check_size(c, has_start_line, lf);
    if (e || !after_cr)
        return e ? e : &http_error_bare_lf;
    WEIR_ASSERT(lf > s->line_start);
    size_t len = lf - 1 - s->line_start;
    s->line_start = lf + 1;
    *empty = len == 0;
    if (len == 0)
        return NULL;
    if (s->lines == 0)
        s->first_line = len;
    s->lines++;
    return s->lines - (has_start_line ? 1 : 0) > c->settings.headers_count_max ? &http_error_too_many_headers
                                                                               : NULL;
}

/* Scans one run of bytes that begins at offset s->scanned. */
static const struct http_error *scan_run(struct h1_codec *c, struct slice run, bool has_start_line,
                                         bool *empty)
{
    struct h1_scan *s = &c->scan;
    const char *p = run.ptr, *end = run.ptr + run.len;
    const size_t base = s->scanned;
    WEIR_ASSERT(run.len > 0 && !*empty && s->line_start <= base);
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
    const struct http_error *e = check_size(c, has_start_line, s->scanned);
    if (e)
        return e;
    if (empty)
        *head_bytes = s->scanned;
    return NULL;
}

static const struct http_error *text_alloc(struct arena *arena, size_t len, struct h1_text *text)
{
    WEIR_ASSERT(len >= 2);
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
