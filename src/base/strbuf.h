/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growable text with a mandatory cap. Appending past the cap, or when memory is out, sets `failed` and keeps
 * what was there: a caller appends freely and checks once at the end. Always NUL-terminated.
 */
#ifndef WEIR_BASE_STRBUF_H
#define WEIR_BASE_STRBUF_H

#include "base/slice.h"

#include <stdarg.h>

struct strbuf {
    char *ptr; /* owned; NULL until the first append */
    size_t len;
    size_t cap;
    size_t max_bytes;
    bool failed;
};

void strbuf_init(struct strbuf *b, size_t max_bytes);
void strbuf_fini(struct strbuf *b);
/* Empties it and keeps the memory; clears `failed`. */
void strbuf_reset(struct strbuf *b);
bool strbuf_append(struct strbuf *b, struct slice s);
bool strbuf_append_str(struct strbuf *b, const char *s);
bool strbuf_append_char(struct strbuf *b, char c);
bool strbuf_printf(struct strbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool strbuf_vprintf(struct strbuf *b, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
/* Appends s as a JSON string with quotes; bytes that are not UTF-8 become U+FFFD. */
bool strbuf_append_json(struct strbuf *b, struct slice s);
/* Never NULL: "" when empty. Valid until the next append. */
const char *strbuf_cstr(const struct strbuf *b);

static inline struct slice strbuf_slice(const struct strbuf *b)
{
    return slice_of(b->ptr, b->len);
}

#endif
