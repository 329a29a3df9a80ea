/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Look-ups in the generated tables. They are sorted by name, so every look-up is a binary search; none is on
 * the path of a request.
 */
#include "config/meta.h"

#include "base/assert.h"

static int compare_name(uint32_t offset, struct slice name)
{
    return slice_cmp(slice_str(meta_str(offset)), name);
}

const struct meta_message *meta_by_name(struct slice full_name)
{
    size_t lo = 0;
    size_t hi = meta_messages_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int order = compare_name(meta_messages[mid].name, full_name);
        if (order == 0)
            return &meta_messages[mid];
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

const struct meta_message *meta_of(const ProtobufCMessageDescriptor *desc)
{
    const struct meta_message *m = meta_by_name(slice_str(desc->name));
    WEIR_ASSERT(m != NULL && m->desc == desc);
    return m;
}

const struct meta_message *meta_by_type_url(struct slice type_url)
{
    for (size_t i = type_url.len; i > 0; i--) {
        if (type_url.ptr[i - 1] == '/')
            return meta_by_name(slice_skip(type_url, i));
    }
    return NULL;
}

bool meta_is_foreign(struct slice full_name)
{
    size_t lo = 0;
    size_t hi = meta_foreign_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int order = compare_name(meta_foreign[mid], full_name);
        if (order == 0)
            return true;
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

int meta_find_field(const struct meta_message *m, struct slice name)
{
    for (unsigned i = 0; i < m->desc->n_fields; i++) {
        const struct meta_field *f = meta_field(m, i);
        if (compare_name(f->name, name) == 0 || compare_name(f->json_name, name) == 0)
            return (int)i;
    }
    return -1;
}

const struct meta_rules *meta_rules_at(uint16_t index)
{
    return index ? &meta_rules_table[index] : NULL;
}

static const struct meta_enum *find_enum(struct slice name)
{
    size_t lo = 0;
    size_t hi = meta_enums_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int order = compare_name(meta_enums[mid].name, name);
        if (order == 0)
            return &meta_enums[mid];
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

const struct meta_enum_value *meta_enum_value(const ProtobufCEnumDescriptor *desc, int number)
{
    const struct meta_enum *e = find_enum(slice_str(desc->name));
    WEIR_ASSERT(e != NULL && e->desc == desc);
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(desc, number);
    return value ? &meta_enum_values[e->first_value + (value - desc->values)] : NULL;
}

size_t meta_item_size(const ProtobufCFieldDescriptor *fd)
{
    switch (fd->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}
