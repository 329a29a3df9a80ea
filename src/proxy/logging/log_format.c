/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiling formats into a list of pieces and running them. Running allocates nothing but the output's
 * growth.
 */
#include "proxy/logging/log_format.h"

#include "base/assert.h"
#include "proxy/logging/log_operators.h"

#include <stdio.h>
#include <stdlib.h>

#define FORMAT_PIECES_MAX 1000u /* operators and literals of one format; a sane one has 30 */

#define DEFAULT_FORMAT                                                                                       \
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% "       \
    "%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "       \
    "\"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" "        \
    "\"%UPSTREAM_HOST%\"\n"

enum piece_kind {
    PIECE_LITERAL,  /* as it is */
    PIECE_OPERATOR, /* in text */
    PIECE_JSON_KEY, /* an object member's name with its colon; the comma in front depends on what was left out
                     */
    PIECE_JSON_VALUE, /* an operator alone: a number, a string, or null */
    PIECE_JSON_OPEN,  /* from here to PIECE_JSON_CLOSE: one JSON string out of several pieces */
    PIECE_JSON_CLOSE,
};

struct piece {
    enum piece_kind kind;
    char *literal; /* owned */
    size_t literal_len;
    struct log_operator op;
};

struct compiled {
    struct stream_format base;
    struct piece *pieces;
    size_t count;
    size_t cap;
    bool omit_empty;
};

/* An access log line's and a JSON string's working space. */
#define FORMAT_OUT_MAX (1u << 20)

static struct piece *add_piece(struct compiled *c, enum piece_kind kind)
{
    if (c->count == FORMAT_PIECES_MAX)
        return NULL;
    if (c->count == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 16;
        struct piece *pieces = realloc(c->pieces, cap * sizeof(*pieces));
        if (!pieces)
            return NULL;
        c->pieces = pieces;
        c->cap = cap;
    }
    struct piece *p = &c->pieces[c->count++];
    *p = (struct piece){.kind = kind};
    return p;
}

static bool too_long(struct log_format_error *error)
{
    snprintf(error->text, sizeof(error->text), "the format has more than %u parts, or memory is out",
             FORMAT_PIECES_MAX);
    return false;
}

static bool add_literal(struct compiled *c, struct slice text, struct log_format_error *error)
{
    if (text.len == 0)
        return true;
    struct piece *last = c->count ? &c->pieces[c->count - 1] : NULL;
    struct piece *p = last && last->kind == PIECE_LITERAL ? last : add_piece(c, PIECE_LITERAL);
    char *grown = p ? realloc(p->literal, p->literal_len + text.len) : NULL;
    if (!grown)
        return too_long(error);
    memcpy(grown + p->literal_len, text.ptr, text.len);
    p->literal = grown;
    p->literal_len += text.len;
    return true;
}

static bool add_operator(struct compiled *c, enum piece_kind kind, struct slice text,
                         struct log_format_error *error)
{
    struct log_operator op;
    if (!log_operator_parse(text, &op, error))
        return false;
    struct piece *p = add_piece(c, kind);
    if (!p) {
        log_operator_fini(&op);
        return too_long(error);
    }
    p->op = op;
    return true;
}

/* The end of the operator whose text begins at `from`: the '%' behind it, outside of parentheses. -1: none.
 */
static ptrdiff_t operator_end(struct slice text, size_t from)
{
    bool inside = false;
    for (size_t i = from; i < text.len; i++) {
        if (text.ptr[i] == '(')
            inside = true;
        else if (text.ptr[i] == ')')
            inside = false;
        else if (text.ptr[i] == '%' && !inside)
            return (ptrdiff_t)i;
    }
    return -1;
}

/* Splits text into literals and operators. */
static bool compile_text(struct compiled *c, struct slice text, struct log_format_error *error)
{
    size_t at = 0;
    while (at < text.len) {
        ptrdiff_t percent = slice_find_char(slice_skip(text, at), '%');
        size_t literal = percent < 0 ? text.len - at : (size_t)percent;
        if (!add_literal(c, slice_take(slice_skip(text, at), literal), error))
            return false;
        at += literal;
        if (at == text.len)
            return true;
        ptrdiff_t end = operator_end(text, at + 1);
        if (end < 0) {
            snprintf(error->text, sizeof(error->text),
                     "a '%%' has no partner; write %%%% for a percent sign");
            return false;
        }
        struct slice name = slice_take(slice_skip(text, at + 1), (size_t)end - at - 1);
        bool ok = name.len == 0 ? add_literal(c, SLICE_LIT("%"), error)
                                : add_operator(c, PIECE_OPERATOR, name, error);
        if (!ok)
            return false;
        at = (size_t)end + 1;
    }
    return true;
}

/* A text that is one operator and nothing else. */
static bool lone_operator(struct slice text)
{
    return text.len > 2 && text.ptr[0] == '%' && operator_end(text, 1) == (ptrdiff_t)text.len - 1;
}

static bool compile_json_text(struct compiled *c, struct slice text, struct log_format_error *error)
{
    if (lone_operator(text))
        return add_operator(c, PIECE_JSON_VALUE, slice_take(slice_skip(text, 1), text.len - 2), error);
    if (!add_piece(c, PIECE_JSON_OPEN))
        return too_long(error);
    if (!compile_text(c, text, error))
        return false;
    return add_piece(c, PIECE_JSON_CLOSE) ? true : too_long(error);
}

static bool compile_json(struct compiled *c, const struct log_json *v, unsigned depth,
                         struct log_format_error *error);

static bool add_key(struct compiled *c, struct slice name, struct log_format_error *error)
{
    struct strbuf text;
    strbuf_init(&text, FORMAT_OUT_MAX);
    strbuf_append_json(&text, name);
    strbuf_append_char(&text, ':');
    struct piece *p = text.failed ? NULL : add_piece(c, PIECE_JSON_KEY);
    if (!p) {
        strbuf_fini(&text);
        return too_long(error);
    }
    p->literal = text.ptr; /* the piece owns it now */
    p->literal_len = text.len;
    return true;
}

static bool compile_json_items(struct compiled *c, const struct log_json *v, unsigned depth,
                               struct log_format_error *error)
{
    bool object = v->kind == LOG_JSON_OBJECT;
    bool ok = add_literal(c, object ? SLICE_LIT("{") : SLICE_LIT("["), error);
    for (size_t i = 0; ok && i < v->items_count; i++) {
        if (object)
            ok = add_key(c, v->items[i].key, error);
        else if (i > 0)
            ok = add_literal(c, SLICE_LIT(","), error);
        ok = ok && compile_json(c, &v->items[i], depth + 1, error);
    }
    return ok && add_literal(c, object ? SLICE_LIT("}") : SLICE_LIT("]"), error);
}

static bool compile_json(struct compiled *c, const struct log_json *v, unsigned depth,
                         struct log_format_error *error)
{
    char number[32];
    if (depth > LOG_JSON_DEPTH_MAX) {
        snprintf(error->text, sizeof(error->text), "the format is nested deeper than %u levels",
                 LOG_JSON_DEPTH_MAX);
        return false;
    }
    switch (v->kind) {
    case LOG_JSON_OBJECT:
    case LOG_JSON_LIST:
        return compile_json_items(c, v, depth, error);
    case LOG_JSON_TEXT:
        return compile_json_text(c, v->text, error);
    case LOG_JSON_NUMBER:
        snprintf(number, sizeof(number), "%.17g", v->number);
        return add_literal(c, slice_str(number), error);
    case LOG_JSON_BOOL:
        return add_literal(c, v->boolean ? SLICE_LIT("true") : SLICE_LIT("false"), error);
    case LOG_JSON_NULL:
        return add_literal(c, SLICE_LIT("null"), error);
    }
    WEIR_UNREACHABLE();
}

/* --- running --- */

/* false: there is no value, and nothing was appended. */
static bool run_json_value(const struct piece *p, const struct log_input *in, struct strbuf *out)
{
    if (p->op.numeric) {
        struct log_input alone = *in;
        alone.json = true;
        return p->op.run(&p->op, &alone, out);
    }
    struct strbuf text;
    strbuf_init(&text, FORMAT_OUT_MAX);
    bool there = p->op.run(&p->op, in, &text);
    if (there)
        strbuf_append_json(out, strbuf_slice(&text));
    strbuf_fini(&text);
    return there;
}

static void cut_back(struct strbuf *b, size_t len)
{
    b->len = len;
    if (b->ptr)
        b->ptr[len] = '\0';
}

static void run_format(const struct stream_format *f, const struct stream *s, struct slice body,
                       struct strbuf *out)
{
    const struct compiled *c = (const struct compiled *)f;
    const struct log_input in = {.stream = s, .body = body};
    struct strbuf text; /* of a JSON string of several pieces */
    struct strbuf *to = out;
    size_t member_start = 0; /* where the last JSON member began: a lone operator's may be taken back */
    for (size_t i = 0; i < c->count; i++) {
        const struct piece *p = &c->pieces[i];
        switch (p->kind) {
        case PIECE_LITERAL:
            strbuf_append(to, slice_of(p->literal, p->literal_len));
            break;
        case PIECE_OPERATOR:
            if (!p->op.run(&p->op, &in, to) && !c->omit_empty)
                strbuf_append_char(to, '-');
            break;
        case PIECE_JSON_KEY:
            member_start = out->len;
            if (out->len > 0 && out->ptr[out->len - 1] != '{')
                strbuf_append_char(out, ',');
            strbuf_append(out, slice_of(p->literal, p->literal_len));
            break;
        case PIECE_JSON_VALUE:
            if (run_json_value(p, &in, out))
                break;
            if (c->omit_empty && i > 0 && c->pieces[i - 1].kind == PIECE_JSON_KEY)
                cut_back(out, member_start);
            else
                strbuf_append_str(out, "null");
            break;
        case PIECE_JSON_OPEN:
            strbuf_init(&text, FORMAT_OUT_MAX);
            to = &text;
            break;
        case PIECE_JSON_CLOSE:
            strbuf_append_json(out, strbuf_slice(&text));
            strbuf_fini(&text);
            to = out;
            break;
        }
    }
}

static void compiled_destroy(struct stream_format *f)
{
    struct compiled *c = (struct compiled *)f;
    for (size_t i = 0; i < c->count; i++) {
        free(c->pieces[i].literal);
        log_operator_fini(&c->pieces[i].op);
    }
    free(c->pieces);
    free(c);
}

static struct compiled *compiled_create(const struct log_format_options *options)
{
    struct compiled *c = calloc(1, sizeof(*c));
    if (c) {
        c->base = (struct stream_format){run_format, compiled_destroy};
        c->omit_empty = options && options->omit_empty_values;
    }
    return c;
}

static struct stream_format *finish(struct compiled *c, bool ok, struct log_format_error *error)
{
    if (ok)
        return &c->base;
    if (c)
        compiled_destroy(&c->base);
    else
        too_long(error);
    return NULL;
}

struct stream_format *log_format_text(struct slice text, const struct log_format_options *options,
                                      struct log_format_error *error)
{
    struct compiled *c = compiled_create(options);
    return finish(c, c && compile_text(c, text, error), error);
}

struct stream_format *log_format_json(const struct log_json *value, const struct log_format_options *options,
                                      struct log_format_error *error)
{
    struct compiled *c = compiled_create(options);
    bool ok = c && compile_json(c, value, 0, error) && add_literal(c, SLICE_LIT("\n"), error);
    return finish(c, ok, error);
}

struct stream_format *log_format_default(void)
{
    struct log_format_error error;
    return log_format_text(SLICE_LIT(DEFAULT_FORMAT), NULL, &error);
}

void stream_format_destroy(struct stream_format **format)
{
    if (*format)
        (*format)->destroy(*format);
    *format = NULL;
}
