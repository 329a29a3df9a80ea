/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overwrites the sensitive fields of a document that is kept for /config_dump only. Touches nothing else.
 */
#include "config/forget.h"

static void forget_message(const ProtobufCMessage *msg);

static void forget_value(const ProtobufCFieldDescriptor *fd, const void *at)
{
    const ProtobufCBinaryData *bytes = at;
    char *text;
    switch (fd->type) {
    case PROTOBUF_C_TYPE_STRING:
        text = *(char *const *)at;
        if (text && text != fd->default_value && text != protobuf_c_empty_string)
            memset(text, 'x', strlen(text));
        break;
    case PROTOBUF_C_TYPE_BYTES:
        if (bytes->len)
            memset(bytes->data, 'x', bytes->len);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        if (*(const ProtobufCMessage *const *)at)
            forget_message(*(const ProtobufCMessage *const *)at);
        break;
    default:
        break;
    }
}

/* A member of a oneof that is not the one set has another's bits. */
static bool is_set(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *fd)
{
    return !(fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ||
           *(const uint32_t *)((const char *)msg + fd->quantifier_offset) == fd->id;
}

static void forget_field(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *fd)
{
    const void *at = (const char *)msg + fd->offset;
    if (fd->label != PROTOBUF_C_LABEL_REPEATED) {
        if (is_set(msg, fd))
            forget_value(fd, at);
        return;
    }
    size_t count = *(const size_t *)((const char *)msg + fd->quantifier_offset);
    size_t size = fd->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : sizeof(void *);
    if (fd->type != PROTOBUF_C_TYPE_BYTES && fd->type != PROTOBUF_C_TYPE_STRING &&
        fd->type != PROTOBUF_C_TYPE_MESSAGE)
        return;
    const char *items = *(const char *const *)at;
    for (size_t i = 0; i < count; i++)
        forget_value(fd, items + i * size);
}

static void forget_message(const ProtobufCMessage *msg)
{
    for (unsigned i = 0; i < msg->descriptor->n_fields; i++)
        forget_field(msg, &msg->descriptor->fields[i]);
}

void config_forget_secrets(struct config_doc *doc)
{
    for (size_t i = 0; i < doc->slots_size; i++) {
        const ProtobufCMessage *msg = doc->slots[i] ? doc->slots[i]->msg : NULL;
        const struct meta_message *meta = msg ? meta_of(msg->descriptor) : NULL;
        for (unsigned f = 0; meta && f < msg->descriptor->n_fields; f++) {
            if (meta_field(meta, f)->flags & META_FIELD_SENSITIVE)
                forget_field(msg, &msg->descriptor->fields[f]);
        }
    }
}
