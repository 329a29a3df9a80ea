/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_value.c: typed access to a checked document, and messages that name the field. It relies on json.c
 * having refused everything that is not JSON.
 */
#include "json.h"
#include <wsdk/host.h>
#include <wsdk/text.h>

static const struct wsdk_json_value none = {NULL, -1};

static const jsmntok_t *token_of(struct wsdk_json_value value)
{
    return &value.doc->tokens[value.token];
}

static struct wsdk_json_value value_at(struct wsdk_json *doc, int token)
{
    return (struct wsdk_json_value){doc, token};
}

static struct wsdk_bytes raw_text(const struct wsdk_json *doc, int token)
{
    const jsmntok_t *t = &doc->tokens[token];
    return (struct wsdk_bytes){doc->text.data + t->start, (size_t)(t->end - t->start)};
}

struct wsdk_json_value wsdk_json_root(struct wsdk_json *doc)
{
    return value_at(doc, 0);
}

bool wsdk_json_ok(const struct wsdk_json *doc)
{
    return doc->errors == 0;
}

bool wsdk_json_exists(struct wsdk_json_value value)
{
    return value.doc != NULL && value.token >= 0;
}

enum wsdk_json_kind wsdk_json_kind_of(struct wsdk_json_value value)
{
    if (!wsdk_json_exists(value))
        return WSDK_JSON_NONE;
    switch (token_of(value)->type) {
    case JSMN_OBJECT:
        return WSDK_JSON_OBJECT;
    case JSMN_ARRAY:
        return WSDK_JSON_ARRAY;
    case JSMN_STRING:
        return WSDK_JSON_STRING;
    default:
        break;
    }
    switch (value.doc->text.data[token_of(value)->start]) {
    case 't':
    case 'f':
        return WSDK_JSON_BOOL;
    case 'n':
        return WSDK_JSON_NULL;
    default:
        return WSDK_JSON_NUMBER;
    }
}

/* Add the step from the container to `token` (an element, or the value or name of a field) to a path. */
static size_t path_step(const struct wsdk_json *doc, int token, char *path, size_t len)
{
    int parent = doc->tokens[token].parent, index = 0;
    size_t room = WSDK_JSON_PATH_BYTES - len;
    if (doc->tokens[parent].type == JSMN_STRING)
        return len +
               wsdk_format(path + len, room, "%s%.*s", len == 0 ? "" : ".", WSDK_FMT(raw_text(doc, parent)));
    if (doc->tokens[parent].type == JSMN_OBJECT)
        return len +
               wsdk_format(path + len, room, "%s%.*s", len == 0 ? "" : ".", WSDK_FMT(raw_text(doc, token)));
    for (int i = parent + 1; i < token; i++)
        index += doc->tokens[i].parent == parent;
    return len + wsdk_format(path + len, room, "[%d]", index);
}

/* The path of a value: basic_auth_rules[0].prefix. Empty for the root. */
static void path_of(const struct wsdk_json *doc, int token, char path[WSDK_JSON_PATH_BYTES])
{
    int steps[WSDK_JSON_DEPTH_MAX + 2];
    int n = 0;
    size_t len = 0;
    while (token > 0 && n < (int)(sizeof(steps) / sizeof(steps[0]))) {
        int parent = doc->tokens[token].parent;
        steps[n++] = token;
        token = doc->tokens[parent].type == JSMN_STRING ? doc->tokens[parent].parent : parent;
    }
    path[0] = '\0';
    while (n > 0)
        len = path_step(doc, steps[--n], path, len);
}

bool wsdk_json_error(struct wsdk_json_value at, const char *format, ...)
{
    char path[WSDK_JSON_PATH_BYTES], message[WSDK_JSON_MESSAGE_BYTES];
    const jsmntok_t *token = token_of(at);
    va_list list;
    va_start(list, format);
    wsdk_format_list(message, sizeof(message), format, list);
    va_end(list);
    path_of(at.doc, at.token, path);
    wsdk_json_report(at.doc, (size_t)token->start - (token->type == JSMN_STRING ? 1 : 0), path, message);
    return false;
}

static const char *kind_name(enum wsdk_json_kind kind)
{
    static const char *const names[] = {
        [WSDK_JSON_NONE] = "nothing",          [WSDK_JSON_NULL] = "null",
        [WSDK_JSON_BOOL] = "true or false",    [WSDK_JSON_NUMBER] = "a number",
        [WSDK_JSON_STRING] = "a string",       [WSDK_JSON_ARRAY] = "an array [...]",
        [WSDK_JSON_OBJECT] = "an object {...}"};
    return names[kind];
}

bool wsdk_json_expect(struct wsdk_json_value value, enum wsdk_json_kind kind)
{
    enum wsdk_json_kind found = wsdk_json_kind_of(value);
    if (found == kind)
        return true;
    if (found == WSDK_JSON_NONE)
        return false;
    return wsdk_json_error(value, "expected %s, found %s", kind_name(kind), kind_name(found));
}

/* Edit distance, cut off at the lengths that WSDK_JSON_GUESS_BYTES_MAX allows. */
static size_t distance(struct wsdk_bytes a, struct wsdk_bytes b)
{
    uint8_t row[WSDK_JSON_GUESS_BYTES_MAX + 1];
    if (a.len > WSDK_JSON_GUESS_BYTES_MAX || b.len > WSDK_JSON_GUESS_BYTES_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = (uint8_t)j;
    for (size_t i = 1; i <= a.len; i++) {
        uint8_t diagonal = row[0];
        row[0] = (uint8_t)i;
        for (size_t j = 1; j <= b.len; j++) {
            uint8_t cost = (uint8_t)(diagonal + (a.data[i - 1] != b.data[j - 1]));
            diagonal = row[j];
            if (row[j] + 1 < cost)
                cost = (uint8_t)(row[j] + 1);
            if (row[j - 1] + 1 < cost)
                cost = (uint8_t)(row[j - 1] + 1);
            row[j] = cost;
        }
    }
    return row[b.len];
}

/* The nearest of `names` that could have been meant, or NULL. */
static const char *guess(struct wsdk_bytes text, const char *const *names)
{
    const char *best = NULL;
    size_t limit = text.len / 3 + 2; /* up to a third of the letters wrong, one more for short words */
    for (; *names != NULL; names++) {
        size_t d = distance(text, wsdk_cstr(*names));
        if (d < limit) {
            limit = d;
            best = *names;
        }
    }
    return best;
}

static bool is_known(struct wsdk_bytes text, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (wsdk_equal(text, wsdk_cstr(*names)))
            return true;
    }
    return false;
}

static void report_unknown(struct wsdk_json_value name, const char *const *names)
{
    const char *meant = guess(raw_text(name.doc, name.token), names);
    char list[256];
    size_t len = 0;
    list[0] = '\0';
    for (const char *const *n = names; *n != NULL; n++)
        len += wsdk_format(list + len, sizeof(list) - len, "%s%s", n == names ? "" : ", ", *n);
    if (meant != NULL)
        wsdk_json_error(name, "unknown field; did you mean \"%s\"?", meant);
    else
        wsdk_json_error(name, "unknown field; known here: %s", list);
}

/* The next field name of `object` behind token `after`, or -1. */
static int next_name(struct wsdk_json_value object, int after)
{
    for (int i = after + 1; i < object.doc->token_count; i++) {
        if (object.doc->tokens[i].start >= token_of(object)->end)
            return -1;
        if (object.doc->tokens[i].parent == object.token)
            return i;
    }
    return -1;
}

static bool is_repeated(struct wsdk_json_value object, int name)
{
    struct wsdk_bytes text = raw_text(object.doc, name);
    for (int i = next_name(object, object.token); i >= 0 && i < name; i = next_name(object, i)) {
        if (wsdk_equal(text, raw_text(object.doc, i)))
            return true;
    }
    return false;
}

bool wsdk_json_check_object(struct wsdk_json_value object, const char *const *names)
{
    if (!wsdk_json_expect(object, WSDK_JSON_OBJECT))
        return false;
    unsigned errors = object.doc->errors;
    for (int i = next_name(object, object.token); i >= 0; i = next_name(object, i)) {
        if (names != NULL && !is_known(raw_text(object.doc, i), names))
            report_unknown(value_at(object.doc, i), names);
        else if (is_repeated(object, i))
            wsdk_json_error(value_at(object.doc, i), "this field is there twice");
    }
    return object.doc->errors == errors;
}

struct wsdk_json_value wsdk_json_field(struct wsdk_json_value object, const char *name)
{
    if (wsdk_json_kind_of(object) != WSDK_JSON_OBJECT)
        return none;
    for (int i = next_name(object, object.token); i >= 0; i = next_name(object, i)) {
        if (wsdk_equal(raw_text(object.doc, i), wsdk_cstr(name)))
            return value_at(object.doc, i + 1);
    }
    return none;
}

struct wsdk_json_value wsdk_json_required(struct wsdk_json_value object, const char *name)
{
    struct wsdk_json_value field = wsdk_json_field(object, name);
    if (!wsdk_json_exists(field) && wsdk_json_kind_of(object) == WSDK_JSON_OBJECT)
        wsdk_json_error(object, "the field \"%s\" is missing", name);
    return field;
}

size_t wsdk_json_count(struct wsdk_json_value container)
{
    enum wsdk_json_kind kind = wsdk_json_kind_of(container);
    return kind == WSDK_JSON_ARRAY || kind == WSDK_JSON_OBJECT ? (size_t)token_of(container)->size : 0;
}

struct wsdk_json_value wsdk_json_first(struct wsdk_json_value container)
{
    if (wsdk_json_count(container) == 0)
        return none;
    bool is_object = token_of(container)->type == JSMN_OBJECT;
    return value_at(container.doc, container.token + (is_object ? 2 : 1));
}

struct wsdk_json_value wsdk_json_next(struct wsdk_json_value element)
{
    if (!wsdk_json_exists(element))
        return none;
    const jsmntok_t *tokens = element.doc->tokens;
    int parent = tokens[element.token].parent;
    bool in_object = parent >= 0 && tokens[parent].type == JSMN_STRING;
    struct wsdk_json_value container = value_at(element.doc, in_object ? tokens[parent].parent : parent);
    int next = container.token < 0 ? -1 : next_name(container, element.token);
    return next < 0 ? none : value_at(element.doc, in_object ? next + 1 : next);
}

static uint32_t hex4(const char *at)
{
    uint32_t number = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        uint32_t digit = c <= '9' ? (uint32_t)(c - '0') : (uint32_t)((c | 32) - 'a' + 10);
        number = number << 4 | digit;
    }
    return number;
}

static size_t put_utf8(char *to, uint32_t code)
{
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (char)(0xc0 | code >> 6);
        to[1] = (char)(0x80 | (code & 63));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (char)(0xe0 | code >> 12);
        to[1] = (char)(0x80 | (code >> 6 & 63));
        to[2] = (char)(0x80 | (code & 63));
        return 3;
    }
    to[0] = (char)(0xf0 | code >> 18);
    to[1] = (char)(0x80 | (code >> 12 & 63));
    to[2] = (char)(0x80 | (code >> 6 & 63));
    to[3] = (char)(0x80 | (code & 63));
    return 4;
}

/* A \u escape at `at` ("uXXXX"), with the second half of a pair. 0 when it is half a pair or NUL. */
static uint32_t escape_code(struct wsdk_bytes text, size_t at, size_t *used)
{
    uint32_t code = hex4(text.data + at + 1), low;
    *used = 5;
    if (code < 0xd800 || code > 0xdfff)
        return code;
    if (code > 0xdbff || text.len - at < 11 || text.data[at + 5] != '\\' || text.data[at + 6] != 'u')
        return 0;
    low = hex4(text.data + at + 7);
    *used = 11;
    return low < 0xdc00 || low > 0xdfff ? 0 : 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
}

static char escape_char(char c)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *at = strchr(from, c);
    return at == NULL ? c : to[at - from];
}

/* Decode the escapes of string token `at`; the result is not longer than the text. */
static bool decode_string(struct wsdk_json_value at, struct wsdk_bytes *text)
{
    struct wsdk_bytes raw = raw_text(at.doc, at.token);
    struct wsdk_bytes copy = wsdk_keep(at.doc->ctx, raw);
    char *to = (char *)(uintptr_t)copy.data; /* ours: wsdk_keep has just made it */
    size_t n = 0, used;
    if (to == NULL)
        return wsdk_json_error(at, "out of memory");
    for (size_t i = 0; i < raw.len; i += used) {
        used = 1;
        if (raw.data[i] != '\\') {
            to[n++] = raw.data[i];
        } else if (raw.data[i + 1] != 'u') {
            to[n++] = escape_char(raw.data[i + 1]);
            used = 2;
        } else {
            uint32_t code = escape_code(raw, i + 1, &used);
            if (code == 0)
                return wsdk_json_error(at, "\\u0000 and half a surrogate pair are not allowed");
            n += put_utf8(to + n, code);
            used++;
        }
    }
    to[n] = '\0';
    *text = (struct wsdk_bytes){to, n};
    return true;
}

bool wsdk_json_string(struct wsdk_json_value value, struct wsdk_bytes *text)
{
    *text = WSDK_NONE;
    return wsdk_json_expect(value, WSDK_JSON_STRING) && decode_string(value, text);
}

bool wsdk_json_name(struct wsdk_json_value value, struct wsdk_bytes *name)
{
    *name = WSDK_NONE;
    if (!wsdk_json_exists(value) || value.token == 0)
        return false;
    int parent = token_of(value)->parent;
    return value.doc->tokens[parent].type == JSMN_STRING && decode_string(value_at(value.doc, parent), name);
}

bool wsdk_json_bool(struct wsdk_json_value value, bool *flag)
{
    *flag = false;
    if (!wsdk_json_expect(value, WSDK_JSON_BOOL))
        return false;
    *flag = value.doc->text.data[token_of(value)->start] == 't';
    return true;
}

bool wsdk_json_u64(struct wsdk_json_value value, uint64_t min, uint64_t max, uint64_t *number)
{
    struct wsdk_bytes raw;
    uint64_t total = 0;
    *number = 0;
    if (!wsdk_json_expect(value, WSDK_JSON_NUMBER))
        return false;
    raw = raw_text(value.doc, value.token);
    for (size_t i = 0; i < raw.len; i++) {
        unsigned digit = (unsigned)(raw.data[i] - '0');
        if (digit > 9 || total > (UINT64_MAX - digit) / 10)
            return wsdk_json_error(value, "expected a whole number from %llu to %llu",
                                   (unsigned long long)min, (unsigned long long)max);
        total = total * 10 + digit;
    }
    if (total < min || total > max)
        return wsdk_json_error(value, "expected a whole number from %llu to %llu", (unsigned long long)min,
                               (unsigned long long)max);
    *number = total;
    return true;
}
