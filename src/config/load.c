/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads sources, maps each, merges them and validates the result. Reading files stays in this one place.
 */
#include "config/load.h"

#include "base/assert.h"
#include "config/build.h"
#include "config/mapper.h"
#include "config/merge.h"
#include "config/policy.h"
#include "config/validate.h"
#include "config/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A text may have private keys in it. */
static void forget(char *text, size_t len)
{
    if (text)
        explicit_bzero(text, len);
    free(text);
}

/* malloced; ptr is NULL after an error. */
static struct slice read_file(const char *path, struct config_diag *diag)
{
    char *content = NULL;
    size_t len = 0;
    size_t cap = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? 1 : -1;
    while (n > 0 && len <= CONFIG_SOURCE_BYTES_MAX) {
        if (len + 1 >= cap) {
            cap = cap ? cap * 2 : 65536;
            char *larger = malloc(cap);
            if (!larger) {
                errno = ENOMEM;
                n = -1;
                break;
            }
            if (len > 0)
                memcpy(larger, content, len);
            forget(content, len);
            content = larger;
        }
        n = read(fd, content + len, cap - len - 1);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            len += (size_t)n;
    }
    if (n < 0)
        config_diag_error(diag, (struct config_pos){path, 0, 0}, "", "cannot read it: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    if (n < 0) {
        forget(content, len);
        return SLICE_EMPTY;
    }
    return slice_of(content, len);
}

/* One text to one message, not yet validated. NULL after an error that leaves nothing to look at. */
static ProtobufCMessage *map_text(struct config_doc *doc, const ProtobufCMessageDescriptor *desc,
                                  const char *name, struct slice text, struct config_diag *diag)
{
    int source = config_doc_add_source(doc, name);
    if (source < 0) {
        config_diag_error(diag, (struct config_pos){0}, "", "out of memory");
        return NULL;
    }
    struct arena nodes;
    arena_init_secret(&nodes, CONFIG_ARENA_BYTES_MAX); /* keys may stand in it */
    enum tree_syntax syntax = slice_ends_with(slice_str(name), SLICE_LIT(".json")) ? TREE_JSON : TREE_YAML;
    ProtobufCMessage *msg = NULL;
    const struct tree_node *root = tree_parse(text, syntax, doc->sources[source], &nodes, diag);
    if (root) {
        struct mapper m;
        mapper_init(&m, doc, diag, (unsigned)source);
        struct config_origin place = {.index = -1, .step = CONFIG_STEP_ROOT};
        msg = mapper_message(&m, desc, &place, root);
        if (m.stopped)
            msg = NULL;
    }
    arena_fini(&nodes);
    return msg;
}

/* Positions borrow the names of sources, so a document that failed hands them over before it goes. */
static void keep_names(const struct config_doc *doc, struct config_diag *diag)
{
    for (unsigned s = 0; s < doc->sources_count; s++) {
        const char *kept = arena_strdup(&diag->arena, slice_str(doc->sources[s]));
        for (uint32_t i = 0; i < diag->errors_count; i++) {
            if (diag->errors[i].pos.file == doc->sources[s])
                diag->errors[i].pos.file = kept;
        }
        for (uint32_t i = 0; i < diag->notes_count; i++) {
            if (diag->notes[i]->pos.file == doc->sources[s])
                diag->notes[i]->pos.file = kept;
        }
    }
}

/* All errors of one run: what only the whole can tell is looked for although some of it is wrong. */
static void find_more(struct config_doc *doc, struct config_diag *diag)
{
    struct config_resources *none = NULL;
    config_diag_end_load(diag);
    config_build(doc, &(struct config_build_options){.check_only = true}, diag, &none);
    WEIR_ASSERT(none == NULL);
}

/* The document outlives the diag. */
static void keep_notes(struct config_doc *doc, const struct config_diag *diag)
{
    struct config_note *notes = ARENA_NEW_N(&doc->arena, struct config_note, diag->notes_count);
    for (uint32_t i = 0; notes && i < diag->notes_count; i++) {
        struct config_note *n = &notes[doc->notes_count];
        *n = *diag->notes[i];
        n->path = arena_strdup(&doc->arena, slice_str(n->path));
        n->pos.file = n->pos.file ? arena_strdup(&doc->arena, slice_str(n->pos.file)) : NULL;
        doc->notes_count += n->path != NULL;
    }
    doc->notes = notes;
}

static enum config_result finish(struct config_doc *doc, ProtobufCMessage *root, struct config_diag *diag,
                                 struct config_doc **out)
{
    doc->root = root;
    if (root)
        validate_doc(doc, diag);
    if (root && root->descriptor == &weir__policy__v1__policy__descriptor)
        policy_check(doc, diag);
    if (root && root->descriptor == &envoy__config__bootstrap__v3__bootstrap__descriptor &&
        config_diag_failed(diag))
        find_more(doc, diag);
    keep_names(doc, diag);
    if (config_diag_failed(diag))
        config_doc_destroy(&doc);
    else
        keep_notes(doc, diag);
    *out = doc;
    return doc ? CONFIG_OK : CONFIG_INVALID;
}

static struct config_doc *create(struct config_diag *diag, struct config_doc **out)
{
    struct config_doc *doc = config_doc_create();
    *out = NULL;
    if (!doc)
        config_diag_error(diag, (struct config_pos){0}, "", "out of memory");
    return doc;
}

enum config_result config_load_text(const ProtobufCMessageDescriptor *desc, const char *name,
                                    struct slice text, struct config_diag *diag, struct config_doc **out)
{
    struct config_doc *doc = create(diag, out);
    if (!doc)
        return CONFIG_INVALID;
    return finish(doc, map_text(doc, desc, name, text, diag), diag, out);
}

enum config_result config_load_bytes(const ProtobufCMessageDescriptor *desc, const char *name,
                                     struct slice bytes, struct config_diag *diag, struct config_doc **out)
{
    struct config_doc *doc = create(diag, out);
    if (!doc)
        return CONFIG_INVALID;
    int source = config_doc_add_source(doc, name);
    struct mapper m;
    mapper_init(&m, doc, diag, (unsigned)source);
    struct config_origin place = {.index = -1, .step = CONFIG_STEP_ROOT};
    return finish(doc, source < 0 ? NULL : wire_message(&m, desc, bytes, &place), diag, out);
}

static ProtobufCMessage *map_file(struct config_doc *doc, const ProtobufCMessageDescriptor *desc,
                                  const char *path, struct config_diag *diag)
{
    struct slice text = read_file(path, diag);
    if (!text.ptr)
        return NULL;
    ProtobufCMessage *msg = map_text(doc, desc, path, text, diag);
    forget((char *)(uintptr_t)text.ptr, text.len);
    return msg;
}

enum config_result config_load_bootstrap(const struct config_source *source, struct config_diag *diag,
                                         struct config_doc **out)
{
    const ProtobufCMessageDescriptor *desc = &envoy__config__bootstrap__v3__bootstrap__descriptor;
    struct config_doc *doc = create(diag, out);
    WEIR_ASSERT(source->path || source->text);
    if (!doc)
        return CONFIG_INVALID;
    ProtobufCMessage *root = source->path ? map_file(doc, desc, source->path, diag) : NULL;
    ProtobufCMessage *over =
        source->text ? map_text(doc, desc, "--config-yaml", slice_str(source->text), diag) : NULL;
    if (root && over && !merge_messages(doc, root, over)) {
        config_diag_error(diag, (struct config_pos){0}, "", "out of memory");
        root = NULL;
    }
    return finish(doc, root ? root : over, diag, out);
}

enum config_result config_load_policy(const char *path, struct config_diag *diag, struct config_doc **out)
{
    struct config_doc *doc = create(diag, out);
    if (!doc)
        return CONFIG_INVALID;
    return finish(doc, map_file(doc, &weir__policy__v1__policy__descriptor, path, diag), diag, out);
}
