/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two syntaxes differ where a difference would let a wrong request through: \d \w \s \b are ASCII in RE2
 * and Unicode in the crate, "\<" is a letter in one and a word boundary in the other, classes know set
 * operations only in the crate, and "{" without a count is a letter only in RE2. What is rewritten here means
 * the same afterwards; what the crate alone knows is refused.
 */
#include "proxy/routing/regex_syntax.h"

#include "base/assert.h"

struct translation {
    struct slice in;
    size_t at;
    struct strbuf *out;
    const char *error;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

static char peek(const struct translation *t, size_t ahead)
{
    return t->at + ahead < t->in.len ? t->in.ptr[t->at + ahead] : '\0';
}

static bool more(const struct translation *t)
{
    return t->at < t->in.len && !t->error;
}

/* One byte as a literal, whatever it is. Bytes above ASCII are parts of UTF-8 and stay. */
static void put_literal(struct translation *t, char c)
{
    if (is_letter(c) || is_digit(c) || (unsigned char)c >= 0x80)
        strbuf_append_char(t->out, c);
    else
        strbuf_printf(t->out, "\\x{%02x}", (unsigned)(unsigned char)c);
}

/* Copies up to and with `end`. */
static void copy_through(struct translation *t, char end)
{
    for (;;) {
        if (t->at >= t->in.len) {
            t->error = "missing closing brace";
            return;
        }
        char c = t->in.ptr[t->at++];
        strbuf_append_char(t->out, c);
        if (c == end)
            return;
    }
}

/* The ASCII meaning of a Perl class; `inner` is the part between brackets. NULL: not one. */
static const char *perl_class(char c)
{
    switch (ascii_lower(c)) {
    case 'd':
        return "0-9";
    case 'w':
        return "0-9A-Za-z_";
    case 's':
        return "\\t\\n\\x0c\\r ";
    default:
        return NULL;
    }
}

/* \Q...\E: everything between is a literal. */
static void quoted(struct translation *t)
{
    while (more(t)) {
        if (peek(t, 0) == '\\' && peek(t, 1) == 'E') {
            t->at += 2;
            return;
        }
        put_literal(t, t->in.ptr[t->at++]);
    }
}

/* `at` stands behind the backslash. */
static void escape(struct translation *t, bool in_class)
{
    if (t->at >= t->in.len) {
        t->error = "trailing backslash";
        return;
    }
    char c = t->in.ptr[t->at++];
    const char *inner = perl_class(c);
    if (inner) {
        bool negated = c != ascii_lower(c);
        bool brackets = negated || !in_class;
        strbuf_printf(t->out, "%s%s%s%s", brackets ? "[" : "", negated ? "^" : "", inner,
                      brackets ? "]" : "");
    } else if (!is_letter(c) && !is_digit(c)) {
        put_literal(t, c);
    } else if (c == 'a' || c == 'f' || c == 't' || c == 'n' || c == 'r' || c == 'v' || c == 'x') {
        strbuf_printf(t->out, "\\%c", c);
        if (c == 'x' && peek(t, 0) == '{')
            copy_through(t, '}');
    } else if (c == 'p' || c == 'P') {
        strbuf_printf(t->out, "\\%c", c);
        if (peek(t, 0) == '{')
            copy_through(t, '}');
    } else if (!in_class && (c == 'b' || c == 'B')) {
        strbuf_printf(t->out, "(?-u:\\%c)", c);
    } else if (!in_class && (c == 'A' || c == 'z')) {
        strbuf_printf(t->out, "\\%c", c);
    } else if (!in_class && c == 'C') {
        strbuf_append_str(t->out, "(?s-u:.)");
    } else if (c == 'Q' && !in_class) {
        quoted(t);
    } else {
        t->error = "unknown escape sequence";
    }
}

/* `at` stands behind "[". */
static void class(struct translation *t)
{
    strbuf_append_char(t->out, '[');
    if (peek(t, 0) == '^') {
        strbuf_append_char(t->out, '^');
        t->at++;
    }
    for (bool first = true;; first = false) {
        if (!more(t)) {
            t->error = t->error ? t->error : "missing closing ]";
            return;
        }
        char c = t->in.ptr[t->at++];
        if (c == ']' && !first) {
            strbuf_append_char(t->out, ']');
            return;
        }
        if (c == '\\') {
            escape(t, true);
        } else if (c == '[' && peek(t, 0) == ':') {
            strbuf_append_char(t->out, '[');
            copy_through(t, ']');
        } else if (c == '-' && !first && peek(t, 0) == '-') {
            t->at++;
            strbuf_append_str(t->out, "-\\-");
        } else if (c == '-' && !first && peek(t, 0) != ']') {
            strbuf_append_char(t->out, '-');
        } else if (c == '[' || c == ']' || c == '&' || c == '~' || c == '-' || c == '^') {
            put_literal(t, c);
        } else {
            strbuf_append_char(t->out, c);
        }
    }
}

/* `at` stands behind "{": whether a count follows, as "3}", "3,}", "3,5}". */
static bool is_count(const struct translation *t)
{
    size_t i = 0;
    while (is_digit(peek(t, i)))
        i++;
    if (i == 0)
        return false;
    if (peek(t, i) == ',') {
        i++;
        while (is_digit(peek(t, i)))
            i++;
    }
    return peek(t, i) == '}';
}

/* `at` stands behind "(". RE2 knows names, and the flags i m s U. */
static void group(struct translation *t)
{
    strbuf_append_char(t->out, '(');
    if (peek(t, 0) != '?' || peek(t, 1) == 'P' || peek(t, 1) == '<')
        return;
    for (size_t i = 1; peek(t, i) != ':' && peek(t, i) != ')'; i++) {
        char c = peek(t, i);
        if (c != 'i' && c != 'm' && c != 's' && c != 'U' && c != '-') {
            t->error = "unknown group flag";
            return;
        }
    }
}

const char *regex_translate(struct slice re2, struct strbuf *out)
{
    struct translation t = {re2, 0, out, NULL};
    while (more(&t)) {
        char c = t.in.ptr[t.at++];
        if (c == '\\')
            escape(&t, false);
        else if (c == '[')
            class(&t);
        else if (c == '(')
            group(&t);
        else if ((c == '{' && !is_count(&t)) || c == '\0')
            put_literal(&t, c);
        else
            strbuf_append_char(out, c);
    }
    WEIR_ASSERT(t.error || t.at == re2.len);
    return t.error ? t.error : out->failed ? "the pattern is too long" : NULL;
}
