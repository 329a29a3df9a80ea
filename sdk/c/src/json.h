/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h: a parsed document inside the SDK, shared by the reader (json.c) and the typed access
 * (json_value.c).
 */
#ifndef WSDK_JSON_INTERNAL_H
#define WSDK_JSON_INTERNAL_H

#include "limits.h"
#include <wsdk/json.h>
#include <wsdk/plugin.h>

/* The implementation is in json.c; everyone else sees declarations. The flags change the layout of a token.
 */
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#ifndef WSDK_JSMN_HERE
#define JSMN_HEADER
#endif
#include <jsmn.h>

/* Lives in scratch memory of the running callback. */
struct wsdk_json {
    struct wsdk_context *ctx;
    struct wsdk_bytes text;
    jsmntok_t *tokens;
    int token_count;
    unsigned errors;
};

/* Log "configuration, line L, column C: [path: ]message" and count it. `offset` is into the text. */
void wsdk_json_report(struct wsdk_json *doc, size_t offset, const char *path, const char *message);

#endif
