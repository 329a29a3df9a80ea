/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wsdk/json.h: read a plugin's JSON configuration with typed access and messages that an operator can act on:
 * field path, line and column, what was expected. It logs each mistake at error level and counts it, so a
 * plugin reads everything, reports all mistakes in one run, and asks wsdk_json_ok at the end. Read only; it
 * writes no JSON.
 *
 * Documents are at most 1 MiB, 64 levels deep, RFC 8259 to the letter. Tokenised by jsmn.
 */
#ifndef WSDK_JSON_H
#define WSDK_JSON_H

#include <wsdk/types.h>

struct wsdk_context;
struct wsdk_json;

/* A value in a document, or none (wsdk_json_exists is false). Passed by value, lives as long as the document.
 */
struct wsdk_json_value {
    struct wsdk_json *doc;
    int token;
};

enum wsdk_json_kind {
    WSDK_JSON_NONE,
    WSDK_JSON_NULL,
    WSDK_JSON_BOOL,
    WSDK_JSON_NUMBER,
    WSDK_JSON_STRING,
    WSDK_JSON_ARRAY,
    WSDK_JSON_OBJECT,
};

/*
 * Parse `text`, which must live as long as the document: until the running callback returns. Strings that are
 * read from it later are decoded into memory of `ctx`. NULL after a message in the log when it is not JSON.
 */
struct wsdk_json *wsdk_json_parse(struct wsdk_context *ctx, struct wsdk_bytes text);

struct wsdk_json_value wsdk_json_root(struct wsdk_json *doc);

/* Whether no mistake was reported so far. */
bool wsdk_json_ok(const struct wsdk_json *doc);

bool wsdk_json_exists(struct wsdk_json_value value);
enum wsdk_json_kind wsdk_json_kind_of(struct wsdk_json_value value);

/* Report a mistake at this value. `format` as wsdk_log. Always returns false. */
bool wsdk_json_error(struct wsdk_json_value at, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether the value is of that kind; a mistake is reported otherwise. */
bool wsdk_json_expect(struct wsdk_json_value value, enum wsdk_json_kind kind);

/*
 * Check an object: is one, no field twice, and only fields of `names` (ends with NULL; NULL itself: any
 * name). An unknown field is a mistake, with "did you mean" where one is close.
 */
bool wsdk_json_check_object(struct wsdk_json_value object, const char *const *names);

/* A field of an object, or none. */
struct wsdk_json_value wsdk_json_field(struct wsdk_json_value object, const char *name);

/* The same; a mistake is reported when the object lacks it. */
struct wsdk_json_value wsdk_json_required(struct wsdk_json_value object, const char *name);

/* Number of elements or fields. */
size_t wsdk_json_count(struct wsdk_json_value container);

/* Elements of an array or values of an object, in order; none at the end. */
struct wsdk_json_value wsdk_json_first(struct wsdk_json_value container);
struct wsdk_json_value wsdk_json_next(struct wsdk_json_value element);

/* The name of the field whose value this is, decoded. */
bool wsdk_json_name(struct wsdk_json_value value, struct wsdk_bytes *name);

/* Typed access; a mistake is reported and false returned when the value is of another kind or out of range.
 */
bool wsdk_json_string(struct wsdk_json_value value, struct wsdk_bytes *text);
bool wsdk_json_bool(struct wsdk_json_value value, bool *flag);
bool wsdk_json_u64(struct wsdk_json_value value, uint64_t min, uint64_t max, uint64_t *number);

#endif
