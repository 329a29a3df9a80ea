/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A YAML or JSON text as a tree of nodes with positions, before anybody asks what it means. Depth, size,
 * anchors and expansion are capped here and in tree_value; a tree never contains itself.
 */
#ifndef WEIR_CONFIG_TREE_H
#define WEIR_CONFIG_TREE_H

#include "base/arena.h"
#include "config/diag.h"

enum tree_type {
    TREE_NULL,   /* plain null, ~ or nothing */
    TREE_PLAIN,  /* a scalar without quotes */
    TREE_STRING, /* a scalar with quotes, a block scalar, or tagged as a string */
    TREE_LIST,
    TREE_MAP,
    TREE_ALIAS,
};

struct tree_node {
    struct tree_node *next;   /* in its list or map */
    struct tree_node *key;    /* within a map: a scalar node */
    struct tree_node *first;  /* of a list or map */
    struct tree_node *target; /* of an alias: the anchored node, never an alias */
    struct slice text;        /* of a scalar; UTF-8, NUL-terminated beyond its end, may hold NUL */
    uint32_t count;           /* of a list or map */
    uint32_t line;            /* from 1 */
    uint32_t column;          /* from 1 */
    uint8_t type;             /* enum tree_type */
    bool ignored;             /* tagged !ignore, Envoy's way to hold anchors */
};

enum tree_syntax {
    TREE_YAML, /* YAML 1.2, of which JSON is a part */
    TREE_JSON, /* JSON alone */
};

/*
 * Parses one document. On failure exactly one error is in `diag` (a broken text has no second sensible error)
 * and the result is NULL. An empty text gives a TREE_NULL. Nodes live in `arena`.
 */
struct tree_node *tree_parse(struct slice text, enum tree_syntax syntax, const char *file,
                             struct arena *arena, struct config_diag *diag);

/* Follows an alias. */
static inline const struct tree_node *tree_value(const struct tree_node *n)
{
    return n->type == TREE_ALIAS ? n->target : n;
}

/* "a string", "a list", ... for messages. */
const char *tree_type_name(const struct tree_node *n);

#endif
