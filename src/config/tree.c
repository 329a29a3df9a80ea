/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libfyaml's events to a tree of our own. Only the event interface is used: it is not recursive, so our own
 * depth cap holds before the library's stack could grow with the text. Aliases stay references; whoever walks
 * the tree counts what it visits.
 */
#include "config/tree.h"

#include "base/assert.h"
#include "base/map.h"
#include "base/utf8.h"
#include "config/limits.h"
#include "config/scalar.h"

#include <libfyaml.h>

struct builder {
    struct fy_parser *parser;
    struct fy_diag *fy_diag;
    const char *file;
    struct arena *arena;
    struct config_diag *diag;
    struct map anchors;
    struct tree_node *root;
    struct frame {
        struct tree_node *node;
        struct tree_node *last; /* child */
        struct tree_node *key;  /* read, waits for its value */
    } stack[CONFIG_DEPTH_MAX];
    unsigned depth;
    unsigned nodes;
    bool failed;
};

static void fail(struct builder *b, uint32_t line, uint32_t column, const char *text)
{
    if (!b->failed)
        config_diag_error(b->diag, (struct config_pos){b->file, line, column}, "", "%s", text);
    b->failed = true;
}

static void fail_at(struct builder *b, const struct tree_node *n, const char *text)
{
    fail(b, n->line, n->column, text);
}

static struct tree_node *new_node(struct builder *b, enum tree_type type, const struct fy_mark *mark)
{
    if (++b->nodes > CONFIG_NODES_MAX) {
        fail(b, mark ? (uint32_t)mark->line + 1 : 0, mark ? (uint32_t)mark->column + 1 : 0,
             "the document has too many values");
        return NULL;
    }
    struct tree_node *n = ARENA_NEW(b->arena, struct tree_node);
    if (!n) {
        fail(b, 0, 0, "out of memory");
        return NULL;
    }
    n->type = (uint8_t)type;
    if (mark) {
        n->line = (uint32_t)mark->line + 1;
        n->column = (uint32_t)mark->column + 1;
    }
    return n;
}

static bool is_null_text(struct slice s)
{
    return s.len == 0 || slice_eq(s, SLICE_LIT("~")) || slice_eq(s, SLICE_LIT("null")) ||
           slice_eq(s, SLICE_LIT("Null")) || slice_eq(s, SLICE_LIT("NULL"));
}

/* YAML 1.2 10.3.2; other tags do not occur in configurations and could only mislead. */
static bool apply_tag(struct builder *b, struct tree_node *n, struct fy_token *token)
{
    size_t len = 0;
    const char *text = token ? fy_token_get_text(token, &len) : NULL;
    if (!text)
        return true;
    struct slice tag = slice_of(text, len);
    if (slice_eq(tag, SLICE_LIT("!ignore"))) {
        n->ignored = true;
        return true;
    }
    if (slice_eq(tag, SLICE_LIT("!")) || slice_eq(tag, SLICE_LIT("tag:yaml.org,2002:str"))) {
        if (n->type == TREE_PLAIN || n->type == TREE_NULL)
            n->type = TREE_STRING;
        return true;
    }
    if (slice_starts_with(tag, SLICE_LIT("tag:yaml.org,2002:")))
        return true;
    fail_at(b, n, "this tag is not known; remove it");
    return false;
}

static bool apply_anchor(struct builder *b, struct tree_node *n, struct fy_token *token)
{
    if (!token)
        return true;
    size_t len = 0;
    const char *text = fy_token_get_text(token, &len);
    if (b->anchors.count >= CONFIG_ANCHORS_MAX || !text || !map_put(&b->anchors, slice_of(text, len), n)) {
        fail_at(b, n, "the document has too many anchors");
        return false;
    }
    return true;
}

/* Puts a finished or just opened node where it belongs. */
static void attach(struct builder *b, struct tree_node *n)
{
    if (b->depth == 0) {
        WEIR_ASSERT(b->root == NULL);
        b->root = n;
        return;
    }
    struct frame *top = &b->stack[b->depth - 1];
    if (top->node->type == TREE_MAP && !top->key) {
        const struct tree_node *scalar = tree_value(n);
        if (scalar->type == TREE_LIST || scalar->type == TREE_MAP) {
            fail_at(b, n, "a key must be a plain word or a string");
            return;
        }
        if (n->type == TREE_ALIAS)
            n->text = scalar->text;
        top->key = n;
        return;
    }
    n->key = top->key;
    top->key = NULL;
    if (top->last)
        top->last->next = n;
    else
        top->node->first = n;
    top->last = n;
    top->node->count++;
}

static void open_container(struct builder *b, enum tree_type type, struct fy_token *start,
                           struct fy_token *tag, struct fy_token *anchor)
{
    struct tree_node *n = new_node(b, type, start ? fy_token_start_mark(start) : NULL);
    if (!n || !apply_tag(b, n, tag) || !apply_anchor(b, n, anchor))
        return;
    attach(b, n);
    if (b->failed)
        return;
    if (b->depth == CONFIG_DEPTH_MAX) {
        fail_at(b, n, "the document is nested too deeply");
        return;
    }
    b->stack[b->depth++] = (struct frame){.node = n};
}

static void close_container(struct builder *b)
{
    WEIR_ASSERT(b->depth > 0);
    struct tree_node *n = b->stack[--b->depth].node;
    if (n->line == 0 && n->first) { /* started without a token of its own */
        const struct tree_node *begin = n->first->key ? n->first->key : n->first;
        n->line = begin->line;
        n->column = begin->column;
    }
}

static void add_scalar(struct builder *b, const struct fy_event *event)
{
    struct fy_token *token = event->scalar.value;
    enum fy_scalar_style style = token ? fy_token_scalar_style(token) : FYSS_PLAIN;
    struct tree_node *n = new_node(b, style == FYSS_PLAIN ? TREE_PLAIN : TREE_STRING,
                                   token ? fy_token_start_mark(token) : NULL);
    if (!n)
        return;
    if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && n->column > 1)
        n->column--; /* the mark stands behind the quote */
    size_t len = 0;
    const char *text = token ? fy_token_get_text(token, &len) : NULL;
    n->text = arena_dup(b->arena, slice_of(text ? text : "", len));
    if (!n->text.ptr) {
        fail(b, 0, 0, "out of memory");
        return;
    }
    if (n->type == TREE_PLAIN && is_null_text(n->text))
        n->type = TREE_NULL;
    if (apply_tag(b, n, event->scalar.tag) && apply_anchor(b, n, event->scalar.anchor))
        attach(b, n);
}

static void add_alias(struct builder *b, const struct fy_event *event)
{
    struct tree_node *n = new_node(b, TREE_ALIAS, fy_token_start_mark(event->alias.anchor));
    if (!n)
        return;
    n->column -= n->column > 1; /* the mark stands behind the '*' */
    size_t len = 0;
    const char *name = fy_token_get_text(event->alias.anchor, &len);
    struct tree_node *target = map_get(&b->anchors, slice_of(name ? name : "", len));
    if (!target) {
        fail_at(b, n, "this alias has no anchor before it");
        return;
    }
    for (unsigned i = 0; i < b->depth; i++) {
        if (b->stack[i].node == target) {
            fail_at(b, n, "this alias refers to a value that contains it");
            return;
        }
    }
    n->target = target->type == TREE_ALIAS ? target->target : target;
    attach(b, n);
}

/* Keys are compared when the map ends; with a table when it is large, or a hostile map would be quadratic. */
static void check_keys(struct builder *b, const struct tree_node *map)
{
    if (map->count <= 16) {
        for (const struct tree_node *n = map->first; n; n = n->next) {
            for (const struct tree_node *later = n->next; later; later = later->next) {
                if (slice_eq(n->key->text, later->key->text))
                    fail_at(b, later->key, "this key is given twice in one map; remove one");
            }
        }
        return;
    }
    struct map seen;
    map_init(&seen);
    for (struct tree_node *n = map->first; n && !b->failed; n = n->next) {
        if (map_has(&seen, n->key->text))
            fail_at(b, n->key, "this key is given twice in one map; remove one");
        else if (!map_put(&seen, n->key->text, n))
            fail(b, 0, 0, "out of memory");
    }
    map_fini(&seen);
}

static void handle_event(struct builder *b, const struct fy_event *event)
{
    switch (event->type) {
    case FYET_SCALAR:
        add_scalar(b, event);
        break;
    case FYET_ALIAS:
        add_alias(b, event);
        break;
    case FYET_SEQUENCE_START:
        open_container(b, TREE_LIST, event->sequence_start.sequence_start, event->sequence_start.tag,
                       event->sequence_start.anchor);
        break;
    case FYET_MAPPING_START:
        open_container(b, TREE_MAP, event->mapping_start.mapping_start, event->mapping_start.tag,
                       event->mapping_start.anchor);
        break;
    case FYET_MAPPING_END:
        check_keys(b, b->stack[b->depth - 1].node);
        close_container(b);
        break;
    case FYET_SEQUENCE_END:
        close_container(b);
        break;
    case FYET_DOCUMENT_START:
        if (b->root)
            fail(b, 0, 0, "there is a second document in the text; keep one");
        break;
    default:
        break;
    }
}

static void report_parser_error(struct builder *b)
{
    void *cursor = NULL;
    const struct fy_diag_error *e = fy_diag_errors_iterate(b->fy_diag, &cursor);
    if (!e) {
        fail(b, 0, 0, "this is neither YAML nor JSON");
        return;
    }
    char text[CONFIG_MESSAGE_BYTES_MAX];
    size_t len = e->msg ? strlen(e->msg) : 0;
    if (len >= sizeof text)
        len = sizeof text - 1;
    memcpy(text, e->msg ? e->msg : "", len);
    text[len] = '\0';
    fail(b, (uint32_t)(e->line > 0 ? e->line : 0), (uint32_t)(e->column > 0 ? e->column : 0), text);
}

static void build(struct builder *b)
{
    while (!b->failed) {
        struct fy_event *event = fy_parser_parse(b->parser);
        if (!event) {
            if (fy_parser_get_stream_error(b->parser))
                report_parser_error(b);
            return;
        }
        enum fy_event_type type = event->type;
        handle_event(b, event);
        fy_parser_event_free(b->parser, event);
        if (type == FYET_STREAM_END)
            return;
    }
}

/* A '%' at the start of a line is a YAML directive. libfyaml 0.7.12 never comes back from some of them, and
 * no configuration needs one. */
static bool has_directive(struct builder *b, struct slice text)
{
    uint32_t line = 1;
    for (size_t i = 0; i < text.len; i++) {
        bool first = i == 0 || text.ptr[i - 1] == '\n' || text.ptr[i - 1] == '\r';
        line += i > 0 && text.ptr[i - 1] == '\n';
        if (first && text.ptr[i] == '%') {
            fail(b, line, 1, "YAML directives are not taken; remove the line");
            return true;
        }
    }
    return false;
}

/* The parser wants text: a NUL or a broken sequence would end it early or be passed on. */
static bool check_text(struct builder *b, struct slice text)
{
    if (text.len > CONFIG_SOURCE_BYTES_MAX)
        fail(b, 0, 0, "the document is too large");
    else if (text.len > 0 && memchr(text.ptr, '\0', text.len))
        fail(b, 0, 0, "the document has a NUL byte: it is neither YAML nor JSON");
    else if (!utf8_valid(text))
        fail(b, 0, 0, "the document is not UTF-8");
    return !b->failed && !has_directive(b, text);
}

struct tree_node *tree_parse(struct slice text, enum tree_syntax syntax, const char *file,
                             struct arena *arena, struct config_diag *diag)
{
    struct builder b = {.file = file, .arena = arena, .diag = diag};
    struct slice body = slice_starts_with(text, SLICE_LIT("\xef\xbb\xbf")) ? slice_skip(text, 3) : text;
    if (!check_text(&b, body))
        return NULL;
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.level = FYET_ERROR;
    b.fy_diag = fy_diag_create(&diag_cfg);
    if (b.fy_diag)
        fy_diag_set_collect_errors(b.fy_diag, true);
    struct fy_parse_cfg cfg = {
        .search_path = "",
        .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_DISABLE_DEPTH_LIMIT |
                 FYPCF_ALLOW_DUPLICATE_KEYS | FYPCF_SLOPPY_FLOW_INDENTATION |
                 (syntax == TREE_JSON ? FYPCF_JSON_FORCE : FYPCF_JSON_NONE),
        .diag = b.fy_diag,
    };
    b.parser = b.fy_diag ? fy_parser_create(&cfg) : NULL;
    map_init(&b.anchors);
    if (!b.parser || fy_parser_set_string(b.parser, body.len ? body.ptr : "\n", body.len ? body.len : 1) != 0)
        fail(&b, 0, 0, "out of memory");
    else
        build(&b);
    if (!b.failed && !b.root)
        b.root = new_node(&b, TREE_NULL, NULL);
    map_fini(&b.anchors);
    if (b.parser)
        fy_parser_destroy(b.parser);
    if (b.fy_diag) {
        fy_diag_reset_error(b.fy_diag); /* unref would leave collected errors behind (libfyaml 0.7) */
        fy_diag_unref(b.fy_diag);
    }
    return b.failed ? NULL : b.root;
}

const char *tree_type_name(const struct tree_node *n)
{
    static const char *const names[] = {
        [TREE_NULL] = "null",   [TREE_PLAIN] = "a plain value", [TREE_STRING] = "a string",
        [TREE_LIST] = "a list", [TREE_MAP] = "a map",           [TREE_ALIAS] = "an alias",
    };
    return names[tree_value(n)->type];
}
