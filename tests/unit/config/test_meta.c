/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generated tables against the generated C: both come from the same descriptors by different ways, so
 * every field of every message is compared.
 */
#include "config/meta.h"

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_every_message_agrees(void **state)
{
    (void)state;
    assert_true(meta_messages_count > 400);
    for (uint32_t i = 0; i < meta_messages_count; i++) {
        const struct meta_message *m = &meta_messages[i];
        assert_string_equal(meta_str(m->name), m->desc->name);
        assert_ptr_equal(meta_of(m->desc), m);
        unsigned end = m->first_field + m->desc->n_fields;
        if (i + 1 < meta_messages_count)
            assert_int_equal(end, meta_messages[i + 1].first_field);
        for (unsigned f = 0; f < m->desc->n_fields; f++) {
            const struct meta_field *field = meta_field(m, f);
            /* `base` is renamed in C only. */
            if (strcmp(m->desc->fields[f].name, "base_layer") != 0)
                assert_string_equal(meta_str(field->name), m->desc->fields[f].name);
            bool in_oneof = (m->desc->fields[f].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
            assert_int_equal(field->oneof >= 0, in_oneof);
            assert_true(field->oneof < (int)m->n_oneofs);
            if (field->flags & META_FIELD_MAP)
                assert_int_equal(m->desc->fields[f].label, PROTOBUF_C_LABEL_REPEATED);
            if (field->cls != META_IMPLEMENTED)
                assert_true(meta_str(field->reason)[0] != '\0');
        }
    }
}

static void test_every_enum_agrees(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < meta_enums_count; i++) {
        assert_string_equal(meta_str(meta_enums[i].name), meta_enums[i].desc->name);
        if (i + 1 < meta_enums_count)
            assert_int_equal(meta_enums[i].first_value + meta_enums[i].desc->n_values,
                             meta_enums[i + 1].first_value);
    }
}

static void test_lookup(void **state)
{
    (void)state;
    const struct meta_message *m =
        meta_by_type_url(SLICE_LIT("type.googleapis.com/envoy.config.core.v3.Node"));
    assert_non_null(m);
    assert_true(meta_find_field(m, SLICE_LIT("userAgentName")) >= 0);
    assert_int_equal(meta_find_field(m, SLICE_LIT("userAgentName")),
                     meta_find_field(m, SLICE_LIT("user_agent_name")));
    assert_int_equal(meta_find_field(m, SLICE_LIT("user_agent")), -1);
    assert_null(meta_by_type_url(SLICE_LIT("envoy.config.core.v3.Node")));
    assert_null(meta_by_type_url(SLICE_LIT("")));
    assert_null(meta_by_type_url(SLICE_LIT("/")));
    assert_null(meta_by_name(SLICE_LIT("envoy.config.core.v3.Nod")));
    assert_true(meta_is_foreign(SLICE_LIT("envoy.extensions.filters.http.tap.v3.Tap")));
    assert_false(meta_is_foreign(SLICE_LIT("envoy.extensions.filters.http.router.v3.Router")));
}

static void test_classes(void **state)
{
    (void)state;
    const struct meta_message *m = meta_by_name(SLICE_LIT("envoy.config.bootstrap.v3.Bootstrap"));
    assert_int_equal(meta_field(m, (unsigned)meta_find_field(m, SLICE_LIT("admin")))->cls, META_IMPLEMENTED);
    assert_int_equal(meta_field(m, (unsigned)meta_find_field(m, SLICE_LIT("watchdogs")))->cls, META_INERT);
    assert_int_equal(meta_field(m, (unsigned)meta_find_field(m, SLICE_LIT("dynamic_resources")))->cls,
                     META_REFUSED);
    m = meta_by_name(SLICE_LIT("envoy.config.cluster.v3.Cluster"));
    const ProtobufCFieldDescriptor *type =
        protobuf_c_message_descriptor_get_field_by_name(m->desc, "lb_policy");
    assert_int_equal(meta_enum_value(type->descriptor, 0)->cls, META_IMPLEMENTED); /* ROUND_ROBIN */
    assert_null(meta_enum_value(type->descriptor, 99));
    type = protobuf_c_message_descriptor_get_field_by_name(m->desc, "type");
    assert_int_equal(meta_enum_value(type->descriptor, 3)->cls, META_REFUSED); /* EDS */
}

static size_t read_all(const char *dir_variable, const char *name, char *out, size_t size)
{
    const char *dir = getenv(dir_variable);
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", dir ? dir : ".", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t len = fread(out, 1, size, f);
    assert_int_equal(fclose(f), 0);
    assert_true(len < size);
    return len;
}

/* The page that people read is the table that the program uses. */
static void test_fields_page_is_current(void **state)
{
    (void)state;
    static char page[1 << 20];
    static char made[1 << 20];
    if (!getenv("WEIR_BUILD_DIR"))
        skip();
    size_t page_len = read_all("WEIR_SOURCE_DIR", "docs/fields.md", page, sizeof page);
    size_t made_len = read_all("WEIR_BUILD_DIR", "gen/fields.md", made, sizeof made);
    if (page_len != made_len || memcmp(page, made, made_len) != 0)
        fail_msg("docs/fields.md is old: copy build/gen/fields.md over it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_agrees),
        cmocka_unit_test(test_every_enum_agrees),
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_fields_page_is_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
