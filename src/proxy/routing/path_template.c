/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading URI templates as Envoy does. What Envoy refuses is refused here too: a template that means nothing
 * must not become a route that matches something.
 */
#include "proxy/routing/path_template.h"

/* What a glob takes of a path: RFC 3986's pchar. */
#define LITERAL "a-zA-Z0-9\\-._~%!$&'()*+,;=:@"

/* The same but for "*", which a text of its own does not hold. */
static bool literal_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~%!$&'()+,;=:@", c));
}

/* What is under way: the rest of the text, and what the whole of it must keep. */
struct reader {
    struct slice rest;
    struct strbuf *out;
    bool text_glob; /* a "**" was there: no other glob may follow */
};

/* To the next slash, or to the variable that begins behind it. */
static const char *read_literal(struct reader *r, bool variable_may_follow)
{
    size_t len = 0;
    while (len < r->rest.len && r->rest.ptr[len] != '/') {
        char c = r->rest.ptr[len];
        if (c == '{' && variable_may_follow)
            break;
        if (c == '*') /* in Envoy it would repeat the character before it */
            return "a * stands alone in its segment, or with a suffix at the end";
        if (!literal_char(c))
            return "a literal holds a character that no path segment may have";
        if (strchr("$()+.", c))
            strbuf_append_char(r->out, '\\');
        strbuf_append_char(r->out, c);
        len++;
    }
    r->rest = slice_skip(r->rest, len);
    return len > 0 ? NULL : "a segment is empty";
}

static const char *read_glob(struct reader *r)
{
    bool text = slice_starts_with(r->rest, SLICE_LIT("**"));
    if (r->text_glob)
        return "nothing but literals may follow **";
    r->text_glob = text;
    strbuf_append_str(r->out, text ? "[" LITERAL "/]*" : "[" LITERAL "]+");
    r->rest = slice_skip(r->rest, text ? 2 : 1);
    return NULL;
}

static bool name_valid(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.ptr[i]);
        if (!(c >= 'a' && c <= 'z') && (i == 0 || !(c == '_' || (c >= '0' && c <= '9'))))
            return false;
    }
    return name.len > 0;
}

static ptrdiff_t variable_index(const struct path_template_variables *v, struct slice name)
{
    for (uint32_t i = 0; i < v->count; i++) {
        if (slice_eq(v->names[i], name))
            return (ptrdiff_t)i;
    }
    return -1;
}

static const char *add_variable(struct path_template_variables *v, struct slice name)
{
    if (!name_valid(name))
        return "the name of a variable begins with a letter and has letters, digits and _";
    if (name.len > PATH_TEMPLATE_NAME_BYTES_MAX)
        return "the name of a variable has at most 16 characters";
    if (variable_index(v, name) >= 0)
        return "a variable stands there twice";
    if (v->count == PATH_TEMPLATE_VARIABLES_MAX)
        return "a template has at most 5 variables";
    v->names[v->count++] = name;
    return NULL;
}

/* What a variable must match: segments of globs and literals, to the end of r->rest. */
static const char *read_match(struct reader *r)
{
    const char *wrong = r->rest.len > 0 ? NULL : "nothing stands behind the = of a variable";
    while (!wrong && r->rest.len > 0) {
        wrong = r->rest.ptr[0] == '*' ? read_glob(r) : read_literal(r, false);
        if (wrong || r->rest.len == 0)
            break;
        if (r->rest.ptr[0] != '/' || r->rest.len == 1)
            return "segments of a variable stand between single slashes";
        strbuf_append_char(r->out, '/');
        r->rest = slice_skip(r->rest, 1);
    }
    return wrong;
}

static const char *read_variable(struct reader *r, struct path_template_variables *variables)
{
    ptrdiff_t end = slice_find_char(r->rest, '}');
    if (end < 0)
        return "a { has no }";
    struct slice inside = slice_take(slice_skip(r->rest, 1), (size_t)end - 1);
    struct slice after = slice_skip(r->rest, (size_t)end + 1);
    ptrdiff_t equals = slice_find_char(inside, '=');
    const char *wrong = add_variable(variables, equals < 0 ? inside : slice_take(inside, (size_t)equals));
    if (wrong)
        return wrong;
    strbuf_append_char(r->out, '(');
    r->rest = equals < 0 ? SLICE_LIT("*") : slice_skip(inside, (size_t)equals + 1);
    wrong = read_match(r);
    strbuf_append_char(r->out, ')');
    r->rest = after;
    return wrong;
}

static bool at_segment_end(const struct reader *r)
{
    return r->rest.len == 0 || r->rest.ptr[0] == '/';
}

/* "*", "*.m3u8" at the end, "v1", "{name}", "v{name}.json". */
static const char *read_segment(struct reader *r, struct path_template_variables *variables)
{
    const char *wrong = NULL;
    if (r->rest.ptr[0] == '*') {
        wrong = read_glob(r);
        if (wrong || at_segment_end(r))
            return wrong;
        wrong = read_literal(r, false);
        return !wrong && r->rest.len > 0 ? "what stands behind a glob must be the end" : wrong;
    }
    if (r->rest.ptr[0] != '{') {
        wrong = read_literal(r, true);
        if (wrong || at_segment_end(r))
            return wrong;
        ptrdiff_t slash = slice_find_char(r->rest, '/');
        if (slash >= 0 && slice_find_char(slice_take(r->rest, (size_t)slash), '}') < 0)
            return "a variable behind a literal cannot hold a slash";
    }
    wrong = read_variable(r, variables);
    return wrong || at_segment_end(r) ? wrong : read_literal(r, false);
}

const char *path_template_pattern(struct slice text, struct strbuf *pattern,
                                  struct path_template_variables *variables)
{
    struct reader r = {slice_skip(text, 1), pattern, false};
    const char *wrong = NULL;
    *variables = (struct path_template_variables){.count = 0};
    if (text.len == 0 || text.ptr[0] != '/')
        return "a template begins with /";
    strbuf_append_str(pattern, "^/");
    while (!wrong && r.rest.len > 0) {
        wrong = read_segment(&r, variables);
        if (!wrong && r.rest.len > 0) {
            strbuf_append_char(pattern, '/');
            r.rest = slice_skip(r.rest, 1);
        }
    }
    strbuf_append_char(pattern, '$');
    return wrong || !pattern->failed ? wrong : "is too long";
}

/* A literal of a rewrite, which may hold slashes. */
static const char *append_rewrite_literal(struct slice text, struct strbuf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '/' && !literal_char(text.ptr[i]))
            return "holds a character that no path may have";
    }
    strbuf_append(out, text);
    return NULL;
}

const char *path_template_substitution(struct slice text, const struct path_template_variables *variables,
                                       struct strbuf *substitution)
{
    struct slice rest = text, part;
    const char *wrong = NULL;
    if (text.len == 0 || text.ptr[0] != '/')
        return "must begin with /";
    if (slice_find(text, SLICE_LIT("//")) >= 0)
        return "holds two slashes in a row";
    while (!wrong && rest.len > 0) {
        ptrdiff_t open = slice_find_char(rest, '{');
        part = open < 0 ? rest : slice_take(rest, (size_t)open);
        wrong = append_rewrite_literal(part, substitution);
        rest = slice_skip(rest, part.len);
        if (wrong || rest.len == 0)
            break;
        ptrdiff_t close = slice_find_char(rest, '}');
        if (close < 0)
            return "has a { without }";
        ptrdiff_t index = variable_index(variables, slice_take(slice_skip(rest, 1), (size_t)close - 1));
        if (index < 0)
            return "names a variable that the template of the match does not have";
        strbuf_printf(substitution, "\\%d", (int)index + 1);
        rest = slice_skip(rest, (size_t)close + 1);
    }
    return wrong || !substitution->failed ? wrong : "is too long";
}
