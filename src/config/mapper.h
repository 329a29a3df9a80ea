/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a tree of nodes to protobuf messages, driven by descriptors and tables, with every error reported at
 * its node. It checks forms and names; the rules of the API are checked afterwards on the finished messages
 * (validate.h), because a document may be merged from several texts. Private to this room.
 */
#ifndef WEIR_CONFIG_MAPPER_H
#define WEIR_CONFIG_MAPPER_H

#include "config/doc.h"
#include "config/tree.h"

struct mapper {
    struct config_doc *doc;
    struct config_diag *diag;
    unsigned source; /* of doc->sources */
    unsigned values; /* visited so far, aliases followed */
    unsigned depth;
    unsigned inert; /* how many fields above are without effect: their contents are taken as they are */
    bool stopped;   /* out of memory or over a cap: one error was reported, nothing more is mapped */
};

void mapper_init(struct mapper *m, struct config_doc *doc, struct config_diag *diag, unsigned source);

/* A new message from the node, with all that is below; its origin hangs below `parent`. NULL only when
 * stopped: after an error the message is incomplete, and the error is in the diag. */
ProtobufCMessage *mapper_message(struct mapper *m, const ProtobufCMessageDescriptor *desc,
                                 const struct config_origin *place, const struct tree_node *node);
/* The fields of an existing plain message. `skip_type` passes over the member "@type". */
void mapper_fields(struct mapper *m, ProtobufCMessage *msg, const struct tree_node *node, bool skip_type);
/* One field from its value. */
void mapper_field(struct mapper *m, ProtobufCMessage *msg, unsigned field, const struct tree_node *key,
                  const struct tree_node *value);

/* --- scalars (map_scalar.c) --- */

/* Stores the node at `slot` as the type of `fd` asks. False after an error, which names `field` of `o`. */
bool mapper_scalar(struct mapper *m, const struct config_origin *o, int field, int32_t index,
                   const ProtobufCFieldDescriptor *fd, const struct tree_node *node, void *slot);
/* A map's key, of any scalar type: text whatever it looks like. */
bool mapper_key(struct mapper *m, const struct config_origin *o, const ProtobufCFieldDescriptor *fd,
                const struct tree_node *key, void *slot);

/* --- messages with a form of their own (map_known.c, map_any.c) --- */

/* Fills `msg`, whose kind is not META_PLAIN. `o` and `field` say where it stands, for errors. */
void mapper_known(struct mapper *m, enum meta_kind kind, ProtobufCMessage *msg, const struct config_origin *o,
                  int field, int32_t index, const struct tree_node *node);
/* `slot` is the field that holds the Any, or NULL. `any_origin` is that of `msg`. */
void mapper_any(struct mapper *m, ProtobufCMessage *msg, struct config_origin *any_origin,
                const struct meta_field *slot, const struct tree_node *node);
/*
 * Maps `node` to what a TypedStruct names and packs it into the Any. Used for texts, and for TypedStructs
 * that came as bytes.
 */
void mapper_typed_struct(struct mapper *m, ProtobufCMessage *any, struct config_origin *any_origin,
                         const struct meta_field *slot, struct slice type_url,
                         const struct tree_node *type_node, const struct tree_node *value);
/* NULL after an error: the type is unknown, or not one that may stand in `slot`. */
const struct meta_message *mapper_any_type(struct mapper *m, const struct config_origin *any_origin,
                                           const struct meta_field *slot, struct slice type_url,
                                           const struct tree_node *node);

/* --- shared --- */

/* An error about `field` (-1: the message), at the node, or where the message stands if the node has no
 * place. */
void mapper_error(struct mapper *m, const struct tree_node *node, const struct config_origin *o, int field,
                  int32_t index, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* An inert or deprecated field; `reason` is constant text. */
void mapper_note(struct mapper *m, const struct tree_node *node, const struct config_origin *o,
                 unsigned field, const char *reason, bool deprecated);
void mapper_out_of_memory(struct mapper *m);
/* Counts a visited value; false when the document must not be followed further. */
bool mapper_enter(struct mapper *m, const struct tree_node *node, const struct config_origin *o);
void mapper_leave(struct mapper *m);

static inline void *mapper_slot(ProtobufCMessage *msg, unsigned offset)
{
    return (char *)msg + offset;
}

#endif
