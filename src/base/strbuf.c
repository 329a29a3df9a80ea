/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capped growable text. Not for the request path: configuration, admin pages, logs of rare events.
 */
#include "base/strbuf.h"

#include "base/assert.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>

void strbuf_init(struct strbuf *b, size_t max_bytes)
{
    *b = (struct strbuf){.max_bytes = max_bytes};
}

void strbuf_fini(struct strbuf *b)
{
    free(b->ptr);
    *b = (struct strbuf){.max_bytes = b->max_bytes};
}

void strbuf_reset(struct strbuf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->ptr)
        b->ptr[0] = '\0';
}

/* Makes room for `more` bytes and the NUL. */
static bool strbuf_reserve(struct strbuf *b, size_t more)
{
    if (b->failed || more > b->max_bytes || b->len > b->max_bytes - more) {
        b->failed = true;
        return false;
    }
    size_t need = b->len + more + 1;
    if (need <= b->cap)
        return true;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap *= 2;
    char *ptr = realloc(b->ptr, cap);
    if (!ptr) {
        b->failed = true;
        return false;
    }
    b->ptr = ptr;
    b->cap = cap;
    return true;
}

bool strbuf_append(struct strbuf *b, struct slice s)
{
    if (!strbuf_reserve(b, s.len))
        return false;
    if (s.len)
        memcpy(b->ptr + b->len, s.ptr, s.len);
    b->len += s.len;
    b->ptr[b->len] = '\0';
    return true;
}

bool strbuf_append_str(struct strbuf *b, const char *s)
{
    return strbuf_append(b, slice_str(s));
}

bool strbuf_append_char(struct strbuf *b, char c)
{
    return strbuf_append(b, slice_of(&c, 1));
}

bool strbuf_vprintf(struct strbuf *b, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int need = vsnprintf(NULL, 0, fmt, args);
    bool ok = need >= 0 && strbuf_reserve(b, (size_t)need);
    if (ok) {
        vsnprintf(b->ptr + b->len, (size_t)need + 1, fmt, again);
        b->len += (size_t)need;
        WEIR_ASSERT(b->len < b->cap);
    } else {
        b->failed = true;
    }
    va_end(again);
    return ok;
}

bool strbuf_printf(struct strbuf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    bool ok = strbuf_vprintf(b, fmt, args);
    va_end(args);
    return ok;
}

static void append_json_char(struct strbuf *b, unsigned char c)
{
    switch (c) {
    case '"':
        strbuf_append_str(b, "\\\"");
        break;
    case '\\':
        strbuf_append_str(b, "\\\\");
        break;
    case '\n':
        strbuf_append_str(b, "\\n");
        break;
    case '\r':
        strbuf_append_str(b, "\\r");
        break;
    case '\t':
        strbuf_append_str(b, "\\t");
        break;
    default:
        if (c < 0x20 || c == 0x7f)
            strbuf_printf(b, "\\u%04x", c);
        else
            strbuf_append_char(b, (char)c);
    }
}

bool strbuf_append_json(struct strbuf *b, struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    strbuf_append_char(b, '"');
    for (size_t i = 0; i < s.len;) {
        size_t n = utf8_sequence(p + i, s.len - i);
        if (n == 1)
            append_json_char(b, p[i]);
        else if (n > 1)
            strbuf_append(b, slice_of(p + i, n));
        else
            strbuf_append_str(b, "\\ufffd");
        i += n ? n : 1;
    }
    return strbuf_append_char(b, '"');
}

const char *strbuf_cstr(const struct strbuf *b)
{
    return b->ptr ? b->ptr : "";
}
