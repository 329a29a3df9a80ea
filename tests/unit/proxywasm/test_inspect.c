/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking into a module without an engine: what is told of a good one, of one that is no plugin, and that no
 * damage to the file leads to a crash.
 */
#include "engine_fixture.h"

#include <proxywasm/inspect.h>
#include <wasmtime.h>

static const char plugin[] =
    "(module (import \"env\" \"proxy_log\" (func (param i32 i32 i32) (result i32)))"
    " (import \"env\" \"proxy_increment_metric\" (func (param i32 i64) (result i32)))"
    " (import \"env\" \"no_such\" (func (param f64)))"
    " (memory (export \"memory\") 2 5)"
    " (func (export \"proxy_abi_version_0_2_0\"))"
    " (func (export \"malloc\") (param i32) (result i32) (i32.const 8))"
    " (func (export \"proxy_on_tick\") (param i32))"
    " (func $begin) (start $begin)"
    " (func (export \"helper\") (param i64) (result i32) (i32.const 1))"
    " (data (i32.const 0) \"some data\"))";

static struct pw_inspection *inspect(const char *wat, wasm_byte_vec_t *binary)
{
    struct pw_inspection *inspection;
    struct pw_message why;
    assert_null(wasmtime_wat2wasm(wat, strlen(wat), binary));
    assert_int_equal(pw_inspect((struct pw_slice){binary->data, binary->size}, &inspection, &why), PW_OK);
    return inspection;
}

static void assert_text(struct pw_slice s, const char *wanted)
{
    assert_int_equal(s.len, strlen(wanted));
    assert_memory_equal(s.ptr, wanted, s.len);
}

static void sizes_and_memory_are_told(void **state)
{
    wasm_byte_vec_t binary;
    struct pw_inspection *inspection = inspect(plugin, &binary);
    const struct pw_inspection_info *info = pw_inspection_info(inspection);
    (void)state;
    assert_true(info->has_abi);
    assert_int_equal(info->abi, PW_ABI_0_2_0);
    assert_int_equal(info->code_bytes, binary.size);
    assert_true(info->instructions_bytes > 10 && info->data_bytes > 9);
    assert_int_equal(info->functions, 8);
    assert_true(info->has_memory && info->has_start_section);
    assert_int_equal(info->memory_min_bytes, 2 * 65536);
    assert_int_equal(info->memory_max_bytes, 5 * 65536);
    pw_inspection_destroy(&inspection);
    assert_null(inspection);
    wasm_byte_vec_delete(&binary);
}

static void imports_are_judged(void **state)
{
    wasm_byte_vec_t binary;
    struct pw_inspection *inspection = inspect(plugin, &binary);
    struct pw_import import;
    (void)state;
    assert_true(pw_inspection_import(inspection, 1, &import));
    assert_text(import.module, "env");
    assert_text(import.name, "proxy_increment_metric");
    assert_string_equal(import.type, "(i32, i64) -> (i32)");
    assert_true(import.supplied);
    assert_true(pw_inspection_import(inspection, 2, &import));
    assert_text(import.name, "no_such");
    assert_false(import.supplied);
    assert_false(pw_inspection_import(inspection, 3, &import));
    assert_int_equal(pw_inspection_info(inspection)->error, PW_ERR_MISSING_IMPORT);
    assert_non_null(strstr(pw_inspection_info(inspection)->why.text, "env.no_such"));
    pw_inspection_destroy(&inspection);
    wasm_byte_vec_delete(&binary);
}

static void exports_are_told_by_use(void **state)
{
    static const enum pw_export_use wanted[] = {PW_EXPORT_MEMORY, PW_EXPORT_MARKER, PW_EXPORT_ALLOCATOR,
                                                PW_EXPORT_CALLBACK, PW_EXPORT_UNUSED};
    wasm_byte_vec_t binary;
    struct pw_inspection *inspection = inspect(plugin, &binary);
    struct pw_export export;
    size_t i = 0;
    (void)state;
    for (; pw_inspection_export(inspection, i, &export); i++)
        assert_int_equal(export.use, wanted[i]);
    assert_int_equal(i, 5);
    assert_true(pw_inspection_export(inspection, 4, &export));
    assert_text(export.name, "helper");
    assert_string_equal(export.type, "(i64) -> (i32)");
    pw_inspection_destroy(&inspection);
    wasm_byte_vec_delete(&binary);
}

static void sections_borrow_from_the_code(void **state)
{
    wasm_byte_vec_t binary;
    struct pw_inspection *inspection = inspect(plugin, &binary);
    struct pw_custom_section section;
    (void)state;
    assert_true(pw_inspection_section(inspection, 0, &section));
    assert_text(section.name, "name");
    assert_true(section.content.ptr > binary.data);
    assert_true(section.content.ptr + section.content.len <= binary.data + binary.size);
    assert_false(pw_inspection_section(inspection, 1, &section));
    pw_inspection_destroy(&inspection);
    wasm_byte_vec_delete(&binary);
}

static void a_module_that_is_no_plugin_says_so(void **state)
{
    wasm_byte_vec_t binary;
    struct pw_inspection *inspection = inspect("(module)", &binary);
    const struct pw_inspection_info *info = pw_inspection_info(inspection);
    (void)state;
    assert_false(info->has_abi || info->has_memory);
    assert_int_equal(info->error, PW_ERR_BAD_MODULE);
    assert_non_null(strstr(info->why.text, "proxy_abi_version"));
    pw_inspection_destroy(&inspection);
    wasm_byte_vec_delete(&binary);
}

static void read_everything(const struct pw_inspection *inspection)
{
    struct pw_import import;
    struct pw_export export;
    struct pw_custom_section section;
    volatile char last = 0;
    for (size_t i = 0; pw_inspection_import(inspection, i, &import); i++)
        continue;
    for (size_t i = 0; pw_inspection_export(inspection, i, &export); i++)
        continue;
    for (size_t i = 0; pw_inspection_section(inspection, i, &section); i++)
        if (section.content.len > 0)
            last = section.content.ptr[section.content.len - 1];
    (void)last;
}

static void every_cut_and_damaged_byte_is_survived(void **state)
{
    static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    wasm_byte_vec_t binary;
    struct pw_inspection *inspection = inspect(plugin, &binary);
    struct pw_message why;
    size_t refused = 0;
    (void)state;
    pw_inspection_destroy(&inspection);
    for (size_t at = 0; at < binary.size; at++) {
        for (size_t v = 0; v <= sizeof(values); v++) {
            /* The last round cuts. A copy of its own shows reads past the end to the sanitizer. */
            size_t len = v == sizeof(values) ? at : binary.size;
            char *copy = malloc(len ? len : 1);
            memcpy(copy, binary.data, len);
            if (v < sizeof(values))
                copy[at] = (char)values[v];
            if (pw_inspect((struct pw_slice){copy, len}, &inspection, &why) == PW_OK) {
                read_everything(inspection);
                pw_inspection_destroy(&inspection);
            } else {
                assert_null(inspection);
                assert_true(strlen(why.text) > 10);
                refused++;
            }
            free(copy);
        }
    }
    assert_true(refused > binary.size);
    wasm_byte_vec_delete(&binary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_memory_are_told),
        cmocka_unit_test(imports_are_judged),
        cmocka_unit_test(exports_are_told_by_use),
        cmocka_unit_test(sections_borrow_from_the_code),
        cmocka_unit_test(a_module_that_is_no_plugin_says_so),
        cmocka_unit_test(every_cut_and_damaged_byte_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
