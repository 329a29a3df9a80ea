/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions on the regex crate's C interface. Matching is linear in the text; memory of a compiled
 * pattern is bounded, so a pattern of a control plane cannot exhaust the process.
 */
#include "proxy/routing/regex.h"

#include "base/assert.h"
#include "base/strbuf.h"
#include "proxy/limits.h"
#include "proxy/routing/regex_syntax.h"

#include <rure.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes of a rewritten path or host: what fits the largest request head that can be configured. */
#define REGEX_REPLACED_BYTES_MAX (96u * 1024u)
/* A translated pattern is at most this many times as long ("\W" becomes 14 characters). */
#define REGEX_GROWTH 8u

struct regex {
    rure *whole;  /* anchored at both ends */
    rure *search; /* as written */
};

static rure *compile(struct slice pattern, char error[REGEX_ERROR_MAX])
{
    rure_options *options = rure_options_new();
    rure_error *failure = rure_error_new();
    rure_options_size_limit(options, REGEX_BYTES_MAX);
    rure *re = rure_compile((const uint8_t *)pattern.ptr, pattern.len, RURE_FLAG_UNICODE, options, failure);
    if (!re) {
        /* The crate draws the pattern over several lines; its last line says what is wrong. */
        const char *text = rure_error_message(failure);
        for (const char *p = text; *p; p++) {
            if (*p == '\n' && p[1])
                text = p + 1;
        }
        snprintf(error, REGEX_ERROR_MAX, "%s", text);
    }
    rure_error_free(failure);
    rure_options_free(options);
    return re;
}

struct regex *regex_create(struct slice pattern, char error[REGEX_ERROR_MAX])
{
    if (pattern.len > REGEX_PATTERN_BYTES_MAX) {
        snprintf(error, REGEX_ERROR_MAX, "the pattern has more than %u bytes", REGEX_PATTERN_BYTES_MAX);
        return NULL;
    }
    struct regex *re = calloc(1, sizeof(*re));
    struct strbuf text;
    strbuf_init(&text, (size_t)REGEX_PATTERN_BYTES_MAX * REGEX_GROWTH);
    strbuf_append_str(&text, "\\A(?:");
    const char *wrong = regex_translate(pattern, &text);
    struct slice inner = slice_skip(strbuf_slice(&text), 5);
    if (wrong || !re) {
        snprintf(error, REGEX_ERROR_MAX, "%s", wrong ? wrong : "out of memory");
    } else if ((re->search = compile(inner, error)) != NULL) {
        strbuf_append_str(&text, ")\\z");
        re->whole = compile(strbuf_slice(&text), error);
    }
    strbuf_fini(&text);
    if (re && !re->whole)
        regex_destroy(&re);
    return re;
}

void regex_destroy(struct regex **re)
{
    if (!*re)
        return;
    /* The crate's rure_free takes no NULL; a pattern that does not compile leaves one or both. */
    if ((*re)->whole)
        rure_free((*re)->whole);
    if ((*re)->search)
        rure_free((*re)->search);
    free(*re);
    *re = NULL;
}

static const uint8_t *text_bytes(struct slice text)
{
    return (const uint8_t *)(text.ptr ? text.ptr : "");
}

bool regex_full_match(const struct regex *re, struct slice text)
{
    return rure_is_match(re->whole, text_bytes(text), text.len, 0);
}

bool regex_search(const struct regex *re, struct slice text)
{
    return rure_is_match(re->search, text_bytes(text), text.len, 0);
}

bool regex_groups(const struct regex *re, struct slice text, struct slice *groups, size_t count)
{
    rure_captures *captures = rure_captures_new(re->search);
    bool found = rure_find_captures(re->search, text_bytes(text), text.len, 0, captures);
    for (size_t i = 0; found && i < count; i++) {
        rure_match m;
        bool there = i < rure_captures_len(captures) && rure_captures_at(captures, i, &m);
        groups[i] = there ? slice_of(text.ptr + m.start, m.end - m.start) : SLICE_EMPTY;
    }
    rure_captures_free(captures);
    return found;
}

bool regex_check_substitution(const struct regex *re, struct slice substitution, char error[REGEX_ERROR_MAX])
{
    rure_captures *captures = rure_captures_new(re->search);
    size_t groups = rure_captures_len(captures);
    rure_captures_free(captures);
    for (size_t i = 0; i < substitution.len; i++) {
        if (substitution.ptr[i] != '\\')
            continue;
        i++;
        if (i < substitution.len && substitution.ptr[i] == '\\')
            continue;
        if (i == substitution.len || substitution.ptr[i] < '0' || substitution.ptr[i] > '9') {
            snprintf(error, REGEX_ERROR_MAX, "a backslash needs a digit or a backslash behind it");
            return false;
        }
        if ((size_t)(substitution.ptr[i] - '0') >= groups) {
            snprintf(error, REGEX_ERROR_MAX, "group \\%c is not in the pattern, which has %zu",
                     substitution.ptr[i], groups - 1);
            return false;
        }
    }
    return true;
}

static void append_substitution(struct strbuf *out, struct slice substitution, struct slice text,
                                rure_captures *captures)
{
    for (size_t i = 0; i < substitution.len; i++) {
        char c = substitution.ptr[i];
        if (c != '\\' || i + 1 == substitution.len) {
            strbuf_append_char(out, c);
            continue;
        }
        c = substitution.ptr[++i];
        rure_match group;
        if (c == '\\')
            strbuf_append_char(out, c);
        else if (rure_captures_at(captures, (size_t)(c - '0'), &group))
            strbuf_append(out, slice_take(slice_skip(text, group.start), group.end - group.start));
    }
}

struct slice regex_replace_all(const struct regex *re, struct slice text, struct slice substitution,
                               struct arena *arena)
{
    if (!regex_search(re, text))
        return slice_of(text_bytes(text), text.len);
    struct strbuf out;
    strbuf_init(&out, REGEX_REPLACED_BYTES_MAX);
    rure_captures *captures = rure_captures_new(re->search);
    rure_iter *iter = rure_iter_new(re->search);
    size_t done = 0;
    while (rure_iter_next_captures(iter, text_bytes(text), text.len, captures)) {
        rure_match whole;
        bool found = rure_captures_at(captures, 0, &whole);
        WEIR_ASSERT(found && whole.start >= done && whole.end <= text.len);
        strbuf_append(&out, slice_take(slice_skip(text, done), whole.start - done));
        append_substitution(&out, substitution, text, captures);
        done = whole.end;
    }
    strbuf_append(&out, slice_skip(text, done));
    rure_iter_free(iter);
    rure_captures_free(captures);
    struct slice result = out.failed ? SLICE_EMPTY : arena_dup(arena, strbuf_slice(&out));
    strbuf_fini(&out);
    return result;
}
