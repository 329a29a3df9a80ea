/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What protobuf-c does not keep about the API messages: JSON names, validation rules, which fields are maps
 * or share a oneof, which class a field is in, and which types an Any may hold. The tables are generated from
 * the API's descriptors and from field_classes.txt; this header only reads them. Everything here is constant
 * and may be used from any thread. It must never be taught a single message by name: that knowledge belongs
 * in the tables.
 */
#ifndef WEIR_CONFIG_META_H
#define WEIR_CONFIG_META_H

#include "base/slice.h"

#include <protobuf-c/protobuf-c.h>

/* What becomes of a field, an enum value or an extension type (docs/compatibility.md). */
enum meta_class {
    META_REFUSED,     /* an error: ignoring it would change what is let through or where it goes */
    META_IMPLEMENTED, /* acted on */
    META_INERT,       /* accepted and without effect; reported once */
};

/* Messages that have a JSON form of their own. */
enum meta_kind {
    META_PLAIN,
    META_ANY,
    META_STRUCT,
    META_VALUE,
    META_LIST_VALUE,
    META_DURATION,
    META_TIMESTAMP,
    META_FIELD_MASK,
    META_WRAPPER,
    META_TYPED_STRUCT,
};

enum meta_rule {
    META_RULE_LO = 1 << 0,        /* lo is a lower bound */
    META_RULE_LO_OPEN = 1 << 1,   /* and the bound itself is outside */
    META_RULE_HI = 1 << 2,        /* hi is an upper bound */
    META_RULE_HI_OPEN = 1 << 3,   /* and the bound itself is outside */
    META_RULE_MIN_LEN = 1 << 4,   /* characters of a string, bytes, items or pairs */
    META_RULE_MAX_LEN = 1 << 5,   /* the same */
    META_RULE_MAX_BYTES = 1 << 6, /* bytes of a string */
    META_RULE_UNIQUE = 1 << 7,    /* items differ */
    META_RULE_DEFINED = 1 << 8,   /* an enum number that has a name */
    META_RULE_IN = 1 << 9,        /* the string is one of `list` */
    META_RULE_NOT_IN = 1 << 10,   /* the enum is none of `list` (numbers as text) */
    META_RULE_PREFIX = 1 << 11,
    META_RULE_SUFFIX = 1 << 12,
    META_RULE_PATTERN = 1 << 13,    /* two sets of characters: body and last */
    META_RULE_HEADER = 1 << 14,     /* an HTTP header name, RFC 9110 5.1; ':' may lead */
    META_RULE_VALUE = 1 << 15,      /* an HTTP header value */
    META_RULE_LOOSE = 1 << 16,      /* with one of the two above: only NUL, CR and LF are wrong */
    META_RULE_SKIP_EMPTY = 1 << 17, /* no check on an empty value */
    META_RULE_TRUE = 1 << 18,       /* a bool that must be true */
    META_RULE_SKIP = 1 << 19,       /* the message inside is not validated */
    META_RULE_OUTSIDE = 1 << 20,    /* hi is below lo: at least one of the two must hold */
};

union meta_bound {
    int64_t i;  /* signed integers; durations in nanoseconds */
    uint64_t u; /* unsigned integers */
    double d;
};

/* Offsets and indexes are into the generated tables; 0 is "none" for each. */
struct meta_rules {
    uint32_t set; /* enum meta_rule */
    uint32_t min_len;
    uint32_t max_len;
    uint32_t max_bytes;
    union meta_bound lo;
    union meta_bound hi;
    uint16_t items; /* rules of a list's items or a map's values */
    uint16_t keys;  /* rules of a map's keys */
    uint16_t list;  /* start in meta_lists, ended by 0 */
    uint16_t pattern;
    uint32_t prefix;
    uint32_t suffix;
};

/* 256-bit sets of bytes: all but the last byte, and the last one. */
struct meta_pattern {
    uint32_t text; /* the regular expression, to be shown */
    uint32_t body[8];
    uint32_t last[8];
};

enum meta_field_flag {
    META_FIELD_MAP = 1 << 0,
    META_FIELD_REQUIRED = 1 << 1,
    META_FIELD_DEPRECATED = 1 << 2,
    META_FIELD_SENSITIVE = 1 << 3,  /* never shown in a dump */
    META_FIELD_ANY_LISTED = 1 << 4, /* the Any inside must be of a type in `any_first` */
};

struct meta_field {
    uint32_t name;
    uint32_t json_name;
    uint32_t reason; /* why it is inert or refused */
    uint16_t rules;
    uint16_t any_first; /* in meta_any_types */
    uint16_t any_count;
    int8_t oneof; /* index within the message, -1 for none */
    uint8_t cls;  /* enum meta_class */
    uint8_t flags;
};

struct meta_any_type {
    uint32_t name;
    uint32_t reason;
    uint8_t cls;
};

struct meta_oneof {
    uint32_t name;
    bool required;
};

struct meta_message {
    const ProtobufCMessageDescriptor *desc; /* fields in the same order as ours */
    uint32_t name;
    uint16_t first_field;
    uint16_t first_oneof;
    uint8_t n_oneofs;
    uint8_t kind; /* enum meta_kind */
};

struct meta_enum_value {
    uint32_t reason;
    uint8_t cls;
};

struct meta_enum {
    const ProtobufCEnumDescriptor *desc; /* values in the same order as ours */
    uint32_t name;
    uint16_t first_value;
};

/* Generated. */
extern const char meta_text[];
extern const struct meta_message meta_messages[]; /* sorted by name */
extern const uint32_t meta_messages_count;
extern const struct meta_field meta_fields[];
extern const struct meta_oneof meta_oneofs[];
extern const struct meta_rules meta_rules_table[];
extern const struct meta_pattern meta_patterns[];
extern const struct meta_any_type meta_any_types[];
extern const struct meta_enum meta_enums[]; /* sorted by name */
extern const uint32_t meta_enums_count;
extern const struct meta_enum_value meta_enum_values[];
extern const uint32_t meta_lists[];
extern const uint32_t
    meta_foreign[]; /* names of Envoy's extension messages that are not compiled in, sorted */
extern const uint32_t meta_foreign_count;

/* A string of the tables; offset 0 is "". */
static inline const char *meta_str(uint32_t offset)
{
    return meta_text + offset;
}

/* Never NULL for a descriptor of this build. */
const struct meta_message *meta_of(const ProtobufCMessageDescriptor *desc);
/* Full name ("envoy.config.core.v3.Node"); NULL when there is none. */
const struct meta_message *meta_by_name(struct slice full_name);
/* What stands after the last '/'; NULL when it names no message of this build. */
const struct meta_message *meta_by_type_url(struct slice type_url);
/* Is it the name of a message of an Envoy extension that this build leaves out? */
bool meta_is_foreign(struct slice full_name);

static inline const struct meta_field *meta_field(const struct meta_message *m, unsigned index)
{
    return &meta_fields[m->first_field + index];
}

/* Both JSON and proto names are accepted. -1 when unknown. */
int meta_find_field(const struct meta_message *m, struct slice name);
/* NULL when the field has none. */
const struct meta_rules *meta_rules_at(uint16_t index);
/* Bytes of one value of the field in its struct, or of one item in its array. */
size_t meta_item_size(const ProtobufCFieldDescriptor *fd);
/* NULL for a number without a name. */
const struct meta_enum_value *meta_enum_value(const ProtobufCEnumDescriptor *desc, int number);

#endif
