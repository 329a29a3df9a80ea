/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attribute "metadata": what filters noted of the stream and its connection (fields of the PROXY
 * protocol, verdicts of RBAC), as Envoy's Metadata message and as its parts. It only reads.
 */
#include "base/assert.h"
#include "filters/wasm/wasm_attributes.h"
#include "proxy/connection_facts.h"

/* The largest that the pairs format of a guest takes back. */
#define MESSAGE_BYTES_MAX (1u << 20)
/* Metadata.filter_metadata, Struct.fields, Any.type_url and the key of a map entry are field 1; its value,
 * Any.value and Metadata.typed_filter_metadata are field 2. */
#define FIELD_KEY    0x0au
#define FIELD_VALUE  0x12u
#define FIELD_STRING 0x1au /* Value.string_value */
#define FIELD_NUMBER 0x11u /* Value.number_value: eight bytes, little-endian as this machine */
#define FIELD_BOOL   0x20u /* Value.bool_value */
#define FIELD_STRUCT 0x2au /* Value.struct_value */
#define FIELD_LIST   0x32u /* Value.list_value, whose values are field 1 */

static void put_field(struct strbuf *b, uint8_t tag, struct slice bytes)
{
    strbuf_append_char(b, (char)tag);
    size_t len = bytes.len;
    for (; len > 127; len >>= 7)
        strbuf_append_char(b, (char)(len | 128));
    strbuf_append_char(b, (char)len);
    if (bytes.len)
        strbuf_append(b, bytes);
}

/* An entry {key, value} of a map. */
static void put_entry(struct strbuf *b, uint8_t map, struct slice key, struct slice value)
{
    struct strbuf entry;
    strbuf_init(&entry, MESSAGE_BYTES_MAX);
    put_field(&entry, FIELD_KEY, key);
    put_field(&entry, FIELD_VALUE, value);
    put_field(b, map, strbuf_slice(&entry));
    b->failed |= entry.failed;
    strbuf_fini(&entry);
}

static void put_value(struct strbuf *b, const struct typed_value *v);

/* ListValue or Struct. */
static void put_members(struct strbuf *b, uint8_t tag, const struct typed_value *v)
{
    struct strbuf inside;
    strbuf_init(&inside, MESSAGE_BYTES_MAX);
    for (size_t i = 0; i < v->members_count; i++) {
        struct strbuf value;
        strbuf_init(&value, MESSAGE_BYTES_MAX);
        put_value(&value, &v->members[i].value);
        if (v->kind == TYPED_LIST)
            put_field(&inside, FIELD_KEY, strbuf_slice(&value));
        else
            put_entry(&inside, FIELD_KEY, v->members[i].name, strbuf_slice(&value));
        inside.failed |= value.failed;
        strbuf_fini(&value);
    }
    put_field(b, tag, strbuf_slice(&inside));
    b->failed |= inside.failed;
    strbuf_fini(&inside);
}

/* google.protobuf.Value. Filters leave what such values hold, no deeper than TYPED_VALUE_DEPTH_MAX. */
static void put_value(struct strbuf *b, const struct typed_value *v)
{
    switch (v->kind) {
    case TYPED_NULL:
        strbuf_append(b, SLICE_LIT("\x08\0"));
        break;
    case TYPED_BOOL:
        strbuf_append_char(b, (char)FIELD_BOOL);
        strbuf_append_char(b, (char)v->boolean);
        break;
    case TYPED_DOUBLE:
        strbuf_append_char(b, (char)FIELD_NUMBER);
        strbuf_append(b, slice_of((const char *)&v->d, sizeof(v->d)));
        break;
    case TYPED_MAP:
        put_members(b, FIELD_STRUCT, v);
        break;
    case TYPED_LIST:
        put_members(b, FIELD_LIST, v);
        break;
    default:
        WEIR_ASSERT(v->kind == TYPED_STRING);
        put_field(b, FIELD_STRING, v->bytes);
        break;
    }
}

/* A namespace. */
static void put_space(struct strbuf *b, const struct typed_member *space)
{
    struct strbuf entry;
    strbuf_init(&entry, MESSAGE_BYTES_MAX);
    put_field(&entry, FIELD_KEY, space->name);
    put_members(&entry, FIELD_VALUE, &space->value);
    put_field(b, FIELD_KEY, strbuf_slice(&entry));
    b->failed |= entry.failed;
    strbuf_fini(&entry);
}

/* An entry of typed_filter_metadata: a namespace and an Any. */
static void put_typed_space(struct strbuf *b, const struct typed_member *space)
{
    struct strbuf any;
    strbuf_init(&any, MESSAGE_BYTES_MAX);
    put_field(&any, FIELD_KEY, SLICE_LIT(CONNECTION_TLVS_TYPE));
    put_field(&any, FIELD_VALUE, space->value.bytes);
    put_entry(b, FIELD_VALUE, space->name, strbuf_slice(&any));
    b->failed |= any.failed;
    strbuf_fini(&any);
}

bool wasm_metadata_message(const struct typed_value *spaces, const struct typed_value *typed,
                           struct strbuf *out)
{
    strbuf_init(out, MESSAGE_BYTES_MAX);
    for (size_t i = 0; i < spaces->members_count; i++)
        put_space(out, &spaces->members[i]);
    for (size_t i = 0; i < typed->members_count; i++)
        put_typed_space(out, &typed->members[i]);
    return !out->failed;
}
