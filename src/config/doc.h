/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loaded document: one message tree in one arena, and for every message where it was written and how it is
 * reached, so that an error found long after parsing still names file, line, column and path. A document is
 * written by one thread while it is loaded and is constant afterwards.
 */
#ifndef WEIR_CONFIG_DOC_H
#define WEIR_CONFIG_DOC_H

#include "config/diag.h"
#include "config/limits.h"
#include "config/meta.h"

#include <stdarg.h>

/* How a message is reached from its parent. */
enum config_step {
    CONFIG_STEP_ROOT,
    CONFIG_STEP_FIELD,  /* field, and index or key in a list or map */
    CONFIG_STEP_INSIDE, /* the message packed in an Any: no name of its own in the path */
    CONFIG_STEP_VALUE,  /* the same below a member "value" */
};

/* Where one field of a message, or one item of it, was given. */
struct config_spot {
    struct config_spot *next;
    int32_t index; /* -1: the field as a whole */
    uint16_t field;
    uint16_t source;
    uint32_t line;
    uint32_t column;
    bool failed; /* it was reported already: its rules are not checked on top */
};

struct config_origin {
    const ProtobufCMessage *msg;
    struct config_origin *parent;
    struct config_spot *spots;
    ProtobufCMessage *inside; /* of an Any: the message in it, when its type is known */
    const char *key;          /* in a map */
    int32_t index;            /* in a list or map, else -1 */
    uint16_t field;
    uint16_t source;
    uint32_t line;
    uint32_t column;
    uint8_t step; /* enum config_step */
    bool inert;   /* below a field that does nothing: contents are not held against the classes */
};

struct config_doc {
    struct arena arena;
    ProtobufCAllocator allocator; /* over the arena; freeing does nothing */
    ProtobufCMessage *root;
    const char *sources[CONFIG_SOURCES_MAX]; /* names, for positions */
    unsigned sources_count;
    const struct config_note
        *notes; /* what was accepted without effect: for /config_dump and the statistics */
    uint32_t notes_count;
    struct config_origin **slots; /* by address of the message; open addressing */
    size_t slots_size;
    size_t slots_used;
};

/* NULL when memory is out. */
struct config_doc *config_doc_create(void);
/* Frees every message of the document. NULL content is fine. */
void config_doc_destroy(struct config_doc **doc);

/* --- while loading --- */

/* The index of the new source, or -1 when there are too many or memory is out. */
int config_doc_add_source(struct config_doc *doc, const char *name);
/* An initialised message of the arena, or NULL. */
ProtobufCMessage *config_doc_new(struct config_doc *doc, const ProtobufCMessageDescriptor *desc);
/* The origin of a message that has none yet; NULL when memory is out. */
struct config_origin *config_doc_track(struct config_doc *doc, const ProtobufCMessage *msg);
/* NULL for a message that is not tracked. */
struct config_origin *config_doc_origin(const struct config_doc *doc, const void *msg);
bool config_doc_add_spot(struct config_doc *doc, struct config_origin *o, unsigned field, int32_t index,
                         unsigned source, uint32_t line, uint32_t column);

/* --- afterwards --- */

/*
 * Where `field` (proto name) of the message, or its item `index` (-1: the field), was written; the message,
 * or what holds it, when the field was not written. `field` NULL means the message itself.
 */
struct config_pos config_pos_item(const struct config_doc *doc, const ProtobufCMessage *msg,
                                  const char *field, int32_t index);
struct config_pos config_pos(const struct config_doc *doc, const ProtobufCMessage *msg, const char *field);
/* The same by the field's place in the descriptor; -1 means the message itself. */
struct config_pos config_pos_at(const struct config_doc *doc, const struct config_origin *o, int field,
                                int32_t index);
/* "static_resources.clusters[2].name"; with `pattern`, [] for every index and {} for every key. */
void config_path_at(const struct config_origin *o, int field, int32_t index, bool pattern,
                    struct strbuf *out);

/*
 * The message inside an Any of this document; NULL when its type is unknown to this build. It belongs to the
 * document. A TypedStruct was converted to what it stands for.
 */
const ProtobufCMessage *config_any_message(const struct config_doc *doc, const void *any);
/* The same, but NULL also when it is not a `desc`. */
const void *config_any_unpack(const struct config_doc *doc, const void *any,
                              const ProtobufCMessageDescriptor *desc);

/* An error about a field of a message, found later than by the validator: position and path are added.
 * Nothing is reported when the loader reported something at or below that path: it would be a consequence. */
void config_error_at(const struct config_doc *doc, struct config_diag *diag, const ProtobufCMessage *msg,
                     const char *field, int32_t index, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

#endif
