/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.c: from text to tokens. jsmn finds the tokens but lets much through that is not JSON (missing or
 * doubled commas, bare words, text after a NUL); what lies between the tokens, and each token's own text, is
 * checked here. No value leaves this file that RFC 8259 does not allow.
 */
#define WSDK_JSMN_HERE
#include "json.h"
#include <wsdk/host.h>
#include <wsdk/text.h>

/* A first guess at the tokens of a text: more make it twice as many. */
#define BYTES_A_TOKEN 4
#define TOKENS_MIN    16

/*
 * The two walks over the text stay functions of their own. Made one with the callback that parses, they have
 * more values at hand than a processor has registers, and compilers of WebAssembly keep the memory's address
 * and the time limit's on the stack then, to load them again for each byte.
 */
#define WALK __attribute__((noinline))

/* A walk over the text along the tokens. */
struct walk {
    struct wsdk_json *doc;
    size_t at; /* next byte of the text */
    int open;  /* innermost container that is not closed, or -1 */
    int depth; /* containers open */
};

static bool fail(struct wsdk_json *doc, size_t offset, const char *message)
{
    wsdk_json_report(doc, offset, NULL, message);
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static void skip_blank(struct walk *walk)
{
    struct wsdk_bytes text = walk->doc->text;
    size_t at = walk->at;
    while (at < text.len && is_blank(text.data[at]))
        at++;
    walk->at = at;
}

static WALK bool expect_behind_blanks(struct walk *walk, char c, const char *message)
{
    skip_blank(walk);
    if (walk->at >= walk->doc->text.len || walk->doc->text.data[walk->at] != c)
        return fail(walk->doc, walk->at, message);
    walk->at++;
    return true;
}

/* Mostly nothing is in between. */
static bool expect(struct walk *walk, char c, const char *message)
{
    struct wsdk_bytes text = walk->doc->text;
    if (walk->at >= text.len || text.data[walk->at] != c)
        return expect_behind_blanks(walk, c, message);
    walk->at++;
    return true;
}

/* The container around a token: its parent, or its field name's parent. */
static int container_of(const struct wsdk_json *doc, int token)
{
    int parent = doc->tokens[token].parent;
    return parent >= 0 && doc->tokens[parent].type == JSMN_STRING ? doc->tokens[parent].parent : parent;
}

static bool ends_until(const struct walk *walk, int limit)
{
    return walk->open >= 0 && walk->doc->tokens[walk->open].end <= limit;
}

/* Close the containers that end at or before `limit`; there are some. */
static WALK bool close_until(struct walk *walk, int limit)
{
    const jsmntok_t *tokens = walk->doc->tokens;
    while (ends_until(walk, limit)) {
        bool is_array = tokens[walk->open].type == JSMN_ARRAY;
        if (!expect(walk, is_array ? ']' : '}', is_array ? "expected ',' or ']'" : "expected ',' or '}'"))
            return false;
        walk->open = container_of(walk->doc, walk->open);
        walk->depth--;
    }
    return true;
}

/* What must stand before token i: a colon, a comma or nothing. */
static bool check_separator(struct walk *walk, int i)
{
    const jsmntok_t *tokens = walk->doc->tokens;
    int parent = tokens[i].parent;
    if (parent < 0)
        return i == 0 || fail(walk->doc, (size_t)tokens[i].start, "only one value is allowed at the top");
    if (parent != walk->open) {                       /* a field name */
        if (container_of(walk->doc, i) != walk->open) /* jsmn went on in one that is closed: {"a"}: 1} */
            return fail(walk->doc, walk->at, "unexpected text behind the end");
        int object = tokens[parent].parent;
        if (object < 0 || tokens[object].type != JSMN_OBJECT)
            return fail(walk->doc, walk->at, "':' is only allowed behind a field name");
        if (parent != i - 1)
            return fail(walk->doc, (size_t)tokens[i].start, "expected ',' between fields");
        return expect(walk, ':', "expected ':' after a field name");
    }
    if (parent != i - 1 && !expect(walk, ',', "expected ','"))
        return false;
    if (tokens[parent].type == JSMN_OBJECT && (tokens[i].type != JSMN_STRING || tokens[i].size != 1))
        return fail(walk->doc, (size_t)tokens[i].start, "expected \"field name\": value");
    return true;
}

/* Whether some of the eight bytes is below ' '. Each step of a loop costs a look at the time limit. */
static bool any_control(const char *eight)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t word;
    memcpy(&word, eight, sizeof(word));
    return ((word - ones * ' ') & ~word & ones * 0x80) != 0;
}

static bool check_string(struct walk *walk, const jsmntok_t *token)
{
    const char *data = walk->doc->text.data;
    int i = token->start;
    while (token->end - i >= 8 && !any_control(data + i))
        i += 8;
    for (; i < token->end; i++) {
        if ((unsigned char)data[i] < ' ')
            return fail(walk->doc, (size_t)i, "a control character in a string must be written as an escape");
    }
    walk->at = (size_t)token->end + 1;
    return true;
}

static size_t digits(struct wsdk_bytes text, size_t at)
{
    size_t n = 0;
    while (at + n < text.len && text.data[at + n] >= '0' && text.data[at + n] <= '9')
        n++;
    return n;
}

static bool is_number(struct wsdk_bytes text)
{
    size_t at = text.len != 0 && text.data[0] == '-' ? 1 : 0;
    size_t whole = digits(text, at), n;
    if (whole == 0 || (whole > 1 && text.data[at] == '0'))
        return false;
    at += whole;
    if (at < text.len && text.data[at] == '.') {
        n = digits(text, at + 1);
        if (n == 0)
            return false;
        at += 1 + n;
    }
    if (at < text.len && (text.data[at] == 'e' || text.data[at] == 'E')) {
        at++;
        if (at < text.len && (text.data[at] == '+' || text.data[at] == '-'))
            at++;
        n = digits(text, at);
        if (n == 0)
            return false;
        at += n;
    }
    return at == text.len;
}

static bool check_primitive(struct walk *walk, const jsmntok_t *token)
{
    struct wsdk_bytes word = {walk->doc->text.data + token->start, (size_t)(token->end - token->start)};
    if (!is_number(word) && !wsdk_equal(word, WSDK_STR("true")) && !wsdk_equal(word, WSDK_STR("false")) &&
        !wsdk_equal(word, WSDK_STR("null")))
        return fail(walk->doc, (size_t)token->start, "expected a value (text stands in double quotes)");
    walk->at = (size_t)token->end;
    return true;
}

static bool check_token(struct walk *walk, int i)
{
    const jsmntok_t *token = &walk->doc->tokens[i];
    size_t start = (size_t)token->start - (token->type == JSMN_STRING ? 1 : 0);
    if (ends_until(walk, token->start) && !close_until(walk, token->start))
        return false;
    if (!check_separator(walk, i))
        return false;
    if (walk->at != start)
        skip_blank(walk); /* a token does not begin with one */
    if (walk->at != start)
        return fail(walk->doc, walk->at, "unexpected character");
    if (token->type == JSMN_STRING)
        return check_string(walk, token);
    if (token->type == JSMN_PRIMITIVE)
        return check_primitive(walk, token);
    walk->open = i;
    walk->at = start + 1;
    if (++walk->depth > WSDK_JSON_DEPTH_MAX)
        return fail(walk->doc, start, "nested too deeply");
    return true;
}

WALK static bool check_tokens(struct wsdk_json *doc)
{
    struct walk walk = {.doc = doc, .open = -1};
    for (int i = 0; i < doc->token_count; i++) {
        if (!check_token(&walk, i))
            return false;
    }
    if (!close_until(&walk, (int)doc->text.len))
        return false;
    skip_blank(&walk);
    return walk.at == doc->text.len || fail(doc, walk.at, "unexpected text behind the end");
}

static const char *reason(int code)
{
    switch (code) {
    case JSMN_ERROR_NOMEM:
        return "out of memory";
    case JSMN_ERROR_PART:
        return "unfinished: a closing quote, bracket or brace is missing";
    default:
        return "not JSON from here on";
    }
}

/* Room for `count` tokens, with those that are there. */
static bool make_room(struct wsdk_json *doc, size_t used, size_t count)
{
    jsmntok_t *tokens = wsdk_temp(doc->ctx, count * sizeof(*tokens));
    if (tokens == NULL)
        return fail(doc, 0, reason(JSMN_ERROR_NOMEM));
    if (used > 0)
        memcpy(tokens, doc->tokens, used * sizeof(*tokens));
    doc->tokens = tokens;
    return true;
}

/* One walk over the text: jsmn goes on where it had no room. */
WALK static bool tokenise(struct wsdk_json *doc)
{
    size_t room = doc->text.len / BYTES_A_TOKEN + TOKENS_MIN;
    jsmn_parser parser;
    jsmn_init(&parser);
    if (!make_room(doc, 0, room))
        return false;
    while ((doc->token_count = jsmn_parse(&parser, doc->text.data, doc->text.len, doc->tokens,
                                          (unsigned)room)) == JSMN_ERROR_NOMEM) {
        if (!make_room(doc, room, 2 * room))
            return false;
        room *= 2;
    }
    if (doc->token_count < 0)
        return fail(doc, parser.pos, reason(doc->token_count));
    return doc->token_count > 0 || fail(doc, 0, "empty; expected a JSON object");
}

struct wsdk_json *wsdk_json_parse(struct wsdk_context *ctx, struct wsdk_bytes text)
{
    struct wsdk_json *doc = wsdk_temp(ctx, sizeof(*doc));
    if (doc == NULL) {
        wsdk_log(ctx, WSDK_ERROR, "configuration: out of memory");
        return NULL;
    }
    *doc = (struct wsdk_json){.ctx = ctx, .text = text};
    if (text.len > WSDK_JSON_BYTES_MAX) {
        fail(doc, 0, "longer than 1 MiB");
        return NULL;
    }
    return tokenise(doc) && check_tokens(doc) ? doc : NULL;
}

/* Line and column from 1, column in bytes. */
static void position(struct wsdk_bytes text, size_t offset, size_t *line, size_t *column)
{
    size_t line_start = 0;
    *line = 1;
    for (size_t i = 0; i < offset && i < text.len; i++) {
        if (text.data[i] == '\n') {
            *line += 1;
            line_start = i + 1;
        }
    }
    *column = offset - line_start + 1;
}

void wsdk_json_report(struct wsdk_json *doc, size_t offset, const char *path, const char *message)
{
    size_t line, column;
    bool has_path = path != NULL && path[0] != '\0';
    if (++doc->errors > WSDK_JSON_ERRORS_MAX)
        return;
    position(doc->text, offset, &line, &column);
    wsdk_log(doc->ctx, WSDK_ERROR, "%s: configuration, line %zu, column %zu: %s%s%s", wsdk_plugin_table.name,
             line, column, has_path ? path : "", has_path ? ": " : "", message);
}
