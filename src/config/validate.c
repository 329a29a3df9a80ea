/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks messages by their descriptors and checks each field against its rules. A field whose text was
 * reported already is passed over: one mistake is one error.
 */
#include "config/validate.h"

#include "base/assert.h"
#include "config/rules.h"

#include <google/protobuf/duration.pb-c.h>

struct validator {
    const struct config_doc *doc;
    struct config_diag *diag;
    unsigned depth;
};

/* The value under check, for messages. */
struct value_at {
    struct validator *v;
    const struct config_origin *o;
    int field; /* -1 with an origin of a map entry: the entry itself */
    int32_t index;
};

static void validate_message(struct validator *v, const ProtobufCMessage *msg, const struct config_origin *o);

static void report(const struct value_at *at, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void report(const struct value_at *at, const char *fmt, ...)
{
    struct strbuf path;
    strbuf_init(&path, CONFIG_PATH_BYTES_MAX);
    config_path_at(at->o, at->field, at->index, false, &path);
    va_list args;
    va_start(args, fmt);
    config_diag_verror(at->v->diag, config_pos_at(at->v->doc, at->o, at->field, at->index),
                       strbuf_cstr(&path), fmt, args);
    va_end(args);
    strbuf_fini(&path);
}

static const void *slot_of(const ProtobufCMessage *msg, unsigned offset)
{
    return (const char *)msg + offset;
}

/* Below a field that does nothing, or in one: its value is not held against the classes. */
static bool is_inert(const struct value_at *at)
{
    return at->o->inert ||
           (at->field >= 0 &&
            meta_field(meta_of(at->o->msg->descriptor), (unsigned)at->field)->cls != META_IMPLEMENTED);
}

/* --- single values --- */

static void check_enum(const struct value_at *at, const ProtobufCFieldDescriptor *fd,
                       const struct meta_rules *r, int value)
{
    const struct meta_enum_value *known = meta_enum_value(fd->descriptor, value);
    bool inert = is_inert(at);
    if (inert && !(r && (r->set & META_RULE_DEFINED)))
        return;
    if (!known)
        report(at, "has no value %d", value);
    else if (!inert && known->cls == META_REFUSED)
        report(at, "%s is refused: %s", protobuf_c_enum_descriptor_get_value(fd->descriptor, value)->name,
               meta_str(known->reason));
}

static bool check_number(const ProtobufCFieldDescriptor *fd, const struct meta_rules *r, const void *slot,
                         struct strbuf *why)
{
    switch (fd->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return rules_check_i64(r, *(const int32_t *)slot, why);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return rules_check_i64(r, *(const int64_t *)slot, why);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return rules_check_u64(r, *(const uint32_t *)slot, why);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return rules_check_u64(r, *(const uint64_t *)slot, why);
    case PROTOBUF_C_TYPE_FLOAT:
        return rules_check_double(r, (double)*(const float *)slot, why);
    default:
        WEIR_ASSERT(fd->type == PROTOBUF_C_TYPE_DOUBLE);
        return rules_check_double(r, *(const double *)slot, why);
    }
}

static bool check_scalar(const ProtobufCFieldDescriptor *fd, const struct meta_rules *r, const void *slot,
                         struct strbuf *why)
{
    switch (fd->type) {
    case PROTOBUF_C_TYPE_STRING:
        return rules_check_string(r, slice_str(*(char *const *)slot), why);
    case PROTOBUF_C_TYPE_BYTES:
        return rules_check_bytes(r, ((const ProtobufCBinaryData *)slot)->len, why);
    case PROTOBUF_C_TYPE_BOOL:
        if ((r->set & META_RULE_TRUE) && !*(const protobuf_c_boolean *)slot) {
            strbuf_append_str(why, "must be true");
            return false;
        }
        return true;
    case PROTOBUF_C_TYPE_ENUM:
        return rules_check_enum(r, *(const int *)slot, why);
    default:
        return check_number(fd, r, slot, why);
    }
}

static void check_message(const struct value_at *at, const struct meta_rules *r, const ProtobufCMessage *sub)
{
    struct strbuf why;
    strbuf_init(&why, CONFIG_MESSAGE_BYTES_MAX / 2);
    enum meta_kind kind = (enum meta_kind)meta_of(sub->descriptor)->kind;
    if (kind == META_WRAPPER && r) {
        const ProtobufCFieldDescriptor *wrapped = &sub->descriptor->fields[0];
        if (!check_scalar(wrapped, r, slot_of(sub, wrapped->offset), &why))
            report(at, "%s", strbuf_cstr(&why));
    } else if (kind == META_DURATION) {
        const Google__Protobuf__Duration *d = (const Google__Protobuf__Duration *)sub;
        if (r && !rules_check_duration(r, d->seconds, d->nanos, &why))
            report(at, "%s", strbuf_cstr(&why));
        else if ((d->seconds < 0 || d->nanos < 0) && !is_inert(at))
            report(at, "must not be negative");
    } else if ((kind == META_PLAIN || kind == META_ANY) && !(r && (r->set & META_RULE_SKIP))) {
        const struct config_origin *o = config_doc_origin(at->v->doc, sub);
        if (o)
            validate_message(at->v, sub, o);
    }
    strbuf_fini(&why);
}

static void check_value(const struct value_at *at, const ProtobufCFieldDescriptor *fd,
                        const struct meta_rules *r, const void *slot)
{
    if (fd->type == PROTOBUF_C_TYPE_MESSAGE) {
        if (*(ProtobufCMessage *const *)slot)
            check_message(at, r, *(ProtobufCMessage *const *)slot);
        return;
    }
    if (fd->type == PROTOBUF_C_TYPE_ENUM)
        check_enum(at, fd, r, *(const int *)slot);
    if (!r)
        return;
    struct strbuf why;
    strbuf_init(&why, CONFIG_MESSAGE_BYTES_MAX / 2);
    if (!check_scalar(fd, r, slot, &why))
        report(at, "%s", strbuf_cstr(&why));
    strbuf_fini(&why);
}

/* --- lists and maps --- */

static void check_unique(const struct value_at *at, const ProtobufCFieldDescriptor *fd, const char *items,
                         size_t n)
{
    struct map seen;
    map_init(&seen);
    for (size_t i = 0; i < n; i++) {
        const void *slot = items + i * meta_item_size(fd);
        struct slice key = fd->type == PROTOBUF_C_TYPE_STRING ? slice_str(*(char *const *)slot)
                                                              : slice_of(slot, meta_item_size(fd));
        struct value_at item = {at->v, at->o, at->field, (int32_t)i};
        if (map_has(&seen, key))
            report(&item, "is in the list already; remove one");
        else
            map_put(&seen, key, (void *)slot);
    }
    map_fini(&seen);
}

static void check_list(const struct value_at *at, const ProtobufCMessage *msg,
                       const ProtobufCFieldDescriptor *fd, const struct meta_rules *r)
{
    size_t n = *(const size_t *)slot_of(msg, fd->quantifier_offset);
    const char *items = *(char *const *)slot_of(msg, fd->offset);
    struct strbuf why;
    strbuf_init(&why, CONFIG_MESSAGE_BYTES_MAX / 2);
    if (r && !rules_check_count(r, n, "items", &why))
        report(at, "%s", strbuf_cstr(&why));
    strbuf_fini(&why);
    if (r && (r->set & META_RULE_UNIQUE) && fd->type != PROTOBUF_C_TYPE_MESSAGE)
        check_unique(at, fd, items, n);
    for (size_t i = 0; i < n; i++) {
        struct value_at item = {at->v, at->o, at->field, (int32_t)i};
        check_value(&item, fd, r ? meta_rules_at(r->items) : NULL, items + i * meta_item_size(fd));
    }
}

static void check_map(const struct value_at *at, const ProtobufCMessage *msg,
                      const ProtobufCFieldDescriptor *fd, const struct meta_rules *r)
{
    size_t n = *(const size_t *)slot_of(msg, fd->quantifier_offset);
    ProtobufCMessage *const *entries = *(ProtobufCMessage * *const *)slot_of(msg, fd->offset);
    struct strbuf why;
    strbuf_init(&why, CONFIG_MESSAGE_BYTES_MAX / 2);
    if (r && !rules_check_count(r, n, "keys", &why))
        report(at, "%s", strbuf_cstr(&why));
    strbuf_fini(&why);
    for (size_t i = 0; i < n; i++) {
        const ProtobufCMessage *e = entries[i];
        const struct config_origin *eo = config_doc_origin(at->v->doc, e);
        if (!eo)
            continue;
        struct value_at entry = {at->v, eo, -1, -1};
        const ProtobufCFieldDescriptor *key = &e->descriptor->fields[0];
        const ProtobufCFieldDescriptor *value = &e->descriptor->fields[1];
        if (r && r->keys)
            check_value(&entry, key, meta_rules_at(r->keys), slot_of(e, key->offset));
        check_value(&entry, value, r ? meta_rules_at(r->items) : NULL, slot_of(e, value->offset));
    }
}

/* --- messages --- */

static const struct config_spot *find_spot(const struct config_origin *o, unsigned field)
{
    for (const struct config_spot *s = o->spots; s; s = s->next) {
        if (s->field == field && s->index == -1)
            return s;
    }
    return NULL;
}

static bool in_unset_oneof(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *fd)
{
    return (fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
           *(const uint32_t *)slot_of(msg, fd->quantifier_offset) != fd->id;
}

static bool is_absent(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *fd)
{
    if (in_unset_oneof(msg, fd))
        return true;
    if (fd->label == PROTOBUF_C_LABEL_REPEATED)
        return false;
    return fd->type == PROTOBUF_C_TYPE_MESSAGE && !*(void *const *)slot_of(msg, fd->offset);
}

static void validate_field(struct validator *v, const ProtobufCMessage *msg, const struct config_origin *o,
                           const struct meta_field *f, unsigned field)
{
    const ProtobufCFieldDescriptor *fd = &msg->descriptor->fields[field];
    const struct config_spot *spot = find_spot(o, field);
    struct value_at at = {v, o, (int)field, -1};
    if (is_absent(msg, fd)) {
        if ((f->flags & META_FIELD_REQUIRED) && !spot && f->oneof < 0)
            report(&at, "is required; set it");
        return;
    }
    const struct meta_rules *r = spot && spot->failed ? NULL : meta_rules_at(f->rules);
    if (f->flags & META_FIELD_MAP)
        check_map(&at, msg, fd, r);
    else if (fd->label == PROTOBUF_C_LABEL_REPEATED)
        check_list(&at, msg, fd, r);
    else
        check_value(&at, fd, r, slot_of(msg, fd->offset));
}

/* One of its members must be set. */
static void check_oneof(struct validator *v, const ProtobufCMessage *msg, const struct config_origin *o,
                        const struct meta_message *meta, unsigned which)
{
    struct strbuf names;
    strbuf_init(&names, CONFIG_MESSAGE_BYTES_MAX / 2);
    bool found = false;
    for (unsigned i = 0; i < msg->descriptor->n_fields; i++) {
        const struct meta_field *f = meta_field(meta, i);
        if (f->oneof != (int)which)
            continue;
        found = found || !in_unset_oneof(msg, &msg->descriptor->fields[i]) || find_spot(o, i);
        if (f->cls == META_IMPLEMENTED)
            strbuf_printf(&names, "%s%s", names.len ? ", " : "", meta_str(f->name));
    }
    struct value_at at = {v, o, -1, -1};
    if (!found)
        report(&at, "needs one of %s", strbuf_cstr(&names));
    strbuf_fini(&names);
}

static void validate_message(struct validator *v, const ProtobufCMessage *msg, const struct config_origin *o)
{
    const struct meta_message *meta = meta_of(msg->descriptor);
    if (v->depth >= CONFIG_DEPTH_MAX * 2)
        return; /* loading has refused it already */
    v->depth++;
    if (meta->kind == META_ANY) {
        const struct config_origin *inside = o->inside ? config_doc_origin(v->doc, o->inside) : NULL;
        enum meta_kind kind = o->inside ? (enum meta_kind)meta_of(o->inside->descriptor)->kind : META_PLAIN;
        if (inside && kind == META_PLAIN)
            validate_message(v, o->inside, inside);
    } else {
        for (unsigned i = 0; i < msg->descriptor->n_fields; i++)
            validate_field(v, msg, o, meta_field(meta, i), i);
        for (unsigned i = 0; i < meta->n_oneofs; i++) {
            if (meta_oneofs[meta->first_oneof + i].required)
                check_oneof(v, msg, o, meta, i);
        }
    }
    v->depth--;
}

void validate_doc(const struct config_doc *doc, struct config_diag *diag)
{
    const struct config_origin *o = config_doc_origin(doc, doc->root);
    WEIR_ASSERT(o != NULL);
    struct validator v = {doc, diag, 0};
    validate_message(&v, doc->root, o);
}
