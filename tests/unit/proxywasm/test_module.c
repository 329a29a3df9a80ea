/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading modules: what is refused and with which words, what is recognised, and that a module is shared.
 */
#include "engine_fixture.h"

#include "proxywasm/engine/scan.h"

#include <wasmtime.h>

/* A small complete plugin in binary. */
static wasm_byte_vec_t small_binary(const char *more)
{
    wasm_byte_vec_t whole, binary;
    size_t end;
    char text[4096];

    (void)snprintf(text, sizeof(text),
                   WAT_HEAD "(import \"env\" \"proxy_log\" (func (param i32 i32 i32) "
                            "(result i32))) " WAT_BODY
                            "(func $tick (export \"proxy_on_tick\") (param i32)) %s" WAT_TAIL,
                   more);
    assert_null(wasmtime_wat2wasm(text, strlen(text), &whole));
    /* Without the name section at the end, every cut is a loss. Sizes here take one byte. */
    for (end = 8; end < whole.size && whole.data[end] != 0;)
        end += 2 + (size_t)whole.data[end + 1];
    wasm_byte_vec_new(&binary, end, whole.data);
    wasm_byte_vec_delete(&whole);
    return binary;
}

static void every_truncation_says_why(void **state)
{
    wasm_byte_vec_t binary = small_binary("");
    struct pw_module *module;

    (void)state;
    for (size_t len = 0; len < binary.size; len++) {
        /* A copy of its own, so that the sanitizer sees a read past the end. */
        char *copy = malloc(len ? len : 1);
        memcpy(copy, binary.data, len);
        int error = load_bytes(copy, len, &module);
        free(copy);
        if (error == PW_OK)
            fail_msg("%zu of %zu bytes were accepted", len, binary.size);
        assert_null(module);
        assert_true(error == PW_ERR_BAD_MODULE || error == PW_ERR_BAD_EXPORT);
        assert_true(strlen(fixture.why.text) > 10);
    }
    assert_int_equal(load_bytes(binary.data, binary.size, &module), PW_OK);
    pw_module_unref(&module);
    wasm_byte_vec_delete(&binary);
}

static void every_damaged_byte_is_survived(void **state)
{
    wasm_byte_vec_t binary = small_binary("");
    static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    size_t refused = 0;

    (void)state;
    for (size_t at = 0; at < binary.size; at++) {
        for (size_t v = 0; v < sizeof(values); v++) {
            unsigned char *copy = malloc(binary.size);
            struct pw_module *module;

            memcpy(copy, binary.data, binary.size);
            copy[at] = values[v];
            if (load_bytes(copy, binary.size, &module) == PW_OK)
                pw_module_unref(&module);
            else
                refused++;
            free(copy);
        }
    }
    assert_true(refused > binary.size);
    wasm_byte_vec_delete(&binary);
}

static void random_bytes_are_refused(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        unsigned char bytes[256];
        struct pw_module *module;
        size_t len = (size_t)round % sizeof(bytes);

        for (size_t i = 0; i < len; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            bytes[i] = (unsigned char)(seed >> 56);
        }
        if (round % 2 && len > 8) /* past the header, into the sections */
            memcpy(bytes, "\0asm\1\0\0\0", 8);
        assert_int_equal(load_bytes(bytes, len, &module), PW_ERR_BAD_MODULE);
        assert_true(fixture.why.text[0] != '\0');
    }
}

static void hostile_lengths_do_not_allocate(void **state)
{
    /* A type section that announces 2^32 - 1 types in 5 bytes, and one whose size passes the end. */
    static const char types[] = "\0asm\1\0\0\0\x01\x05\xff\xff\xff\xff\x0f";
    static const char size[] = "\0asm\1\0\0\0\x07\xff\xff\xff\xff\x0f";
    static const char endless[] = "\0asm\1\0\0\0\x07\x80\x80\x80\x80\x80\x80\x80";
    static const char twice[] = "\0asm\1\0\0\0\x01\x01\x00\x01\x01\x00";
    struct pw_module *module;

    (void)state;
    assert_int_equal(load_bytes(types, sizeof(types) - 1, &module), PW_ERR_BAD_MODULE);
    assert_non_null(strstr(fixture.why.text, "the type section at offset 15"));
    assert_int_equal(load_bytes(size, sizeof(size) - 1, &module), PW_ERR_BAD_MODULE);
    assert_string_equal(fixture.why.text,
                        "truncated: the export section at offset 8 has 4294967295 bytes, 0 are left");
    assert_int_equal(load_bytes(endless, sizeof(endless) - 1, &module), PW_ERR_BAD_MODULE);
    assert_non_null(strstr(fixture.why.text, "a number is too long"));
    assert_int_equal(load_bytes(twice, sizeof(twice) - 1, &module), PW_ERR_BAD_MODULE);
    assert_non_null(strstr(fixture.why.text, "a repetition in the type section"));
}

static void what_is_no_module_is_named(void **state)
{
    struct pw_module *module;

    (void)state;
    assert_int_equal(load_bytes("", 0, &module), PW_ERR_BAD_MODULE);
    assert_string_equal(fixture.why.text, "the module is empty");
    assert_int_equal(load_bytes("#!/bin/sh\n", 10, &module), PW_ERR_BAD_MODULE);
    assert_non_null(strstr(fixture.why.text, "not WebAssembly"));
    assert_int_equal(load_bytes("\0asm\x0d\0\1\0", 8, &module), PW_ERR_BAD_MODULE);
    assert_non_null(strstr(fixture.why.text, "component"));
    must_not_load(WAT_HEAD WAT_BODY "(func (i32.add))" WAT_TAIL, PW_ERR_BAD_MODULE, "type mismatch");
    must_not_load("(module (func", PW_ERR_BAD_MODULE, "text format: ");
    must_not_load("(module)", PW_ERR_BAD_MODULE, "not a Proxy-Wasm plugin");
}

static void oversize_is_refused_unread(void **state)
{
    struct pw_module *module;

    (void)state;
    assert_int_equal(load_bytes("\0asm", (size_t)257 << 20, &module), PW_ERR_LIMIT);
    assert_non_null(strstr(fixture.why.text, "268435456"));
}

static enum pw_abi_version abi_of(const char *text)
{
    struct pw_module *module = must_load(text);
    enum pw_abi_version abi = pw_module_info(module)->abi;

    pw_module_unref(&module);
    return abi;
}

static void abi_version_is_found(void **state)
{
    (void)state;
    assert_int_equal(abi_of(WAT_HEAD WAT_BODY_OF("0_1_0") WAT_TAIL), PW_ABI_0_1_0);
    assert_int_equal(abi_of(WAT_HEAD WAT_BODY_OF("0_2_0") WAT_TAIL), PW_ABI_0_2_0);
    assert_int_equal(abi_of(WAT_HEAD WAT_BODY_OF("0_2_1") WAT_TAIL), PW_ABI_0_2_1);
    /* The first in export order counts; a marker that is no function does not. */
    assert_int_equal(
        abi_of(WAT_HEAD "(func $f) (export \"proxy_abi_version_0_2_0\" (func $f)) " WAT_BODY WAT_TAIL),
        PW_ABI_0_2_0);
    assert_int_equal(
        abi_of(WAT_HEAD "(global (export \"proxy_abi_version_0_1_0\") i32 (i32.const 0)) " WAT_BODY WAT_TAIL),
        PW_ABI_0_2_1);
    must_not_load(WAT_HEAD WAT_BODY_OF("0_3_0") WAT_TAIL, PW_ERR_BAD_MODULE, "not a Proxy-Wasm plugin");
}

#define IMPORT_F(module, name, type) "(import \"" module "\" \"" name "\" (func " type "))"

static void missing_imports_are_all_named(void **state)
{
    (void)state;
    must_not_load(
        WAT_HEAD IMPORT_F("env", "foo", "") IMPORT_F("env", "proxy_done", "(result i32)")
            IMPORT_F("wasi_snapshot_preview1", "bar", "") IMPORT_F("other", "fd_write", "") WAT_BODY WAT_TAIL,
        PW_ERR_MISSING_IMPORT, "missing import: env.foo, wasi_snapshot_preview1.bar, other.fd_write");
    must_not_load(WAT_HEAD IMPORT_F("env", "proxy_get_log_level", "(param i32) (result i32)")
                      WAT_BODY_OF("0_2_0") WAT_TAIL,
                  PW_ERR_MISSING_IMPORT,
                  "env.proxy_get_log_level (exists in ABI 0.2.1, the module is 0.2.0)");
    must_not_load(
        WAT_HEAD IMPORT_F("env", "proxy_log", "(param i32 i64) (result i32)") WAT_BODY WAT_TAIL,
        PW_ERR_MISSING_IMPORT,
        "env.proxy_log (type mismatch: the module has (i32, i64) -> (i32), the host (i32, i32, i32) -> "
        "(i32))");
    must_not_load(WAT_HEAD "(import \"env\" \"g\" (global i32)) " WAT_BODY WAT_TAIL, PW_ERR_MISSING_IMPORT,
                  "env.g (a global, the host supplies functions)");
}

static void real_imports_link(void **state)
{
    struct pw_module *module;

    (void)state;
    module = must_load(
        WAT_HEAD IMPORT_F("wasi_unstable", "fd_write", "(param i32 i32 i32 i32) (result i32)")
            IMPORT_F("wasi_snapshot_preview1", "fd_write", "(param i32 i32 i32 i32) (result i32)")
                IMPORT_F("wasi_snapshot_preview1", "fd_write", "(param i32 i32 i32 i32) (result i32)")
                    IMPORT_F("wasi_snapshot_preview1", "proc_exit", "(param i32)") WAT_BODY WAT_TAIL);
    struct pw_slice from, name;
    assert_true(pw_module_import_at(module, 0, &from, &name));
    assert_memory_equal(from.ptr, "wasi_unstable", from.len);
    assert_memory_equal(name.ptr, "fd_write", name.len);
    assert_true(pw_module_import_at(module, 3, &from, &name));
    assert_false(pw_module_import_at(module, 4, &from, &name));
    assert_true(pw_module_export_at(module, 0, &name));
    assert_memory_equal(name.ptr, "memory", name.len);
    assert_false(pw_module_export_at(module, 3, &name));
    pw_module_unref(&module);
}

/* Preview1's own types, and those of the reference host, which forgot a parameter. */
static void links_of_both_arities_link(void **state)
{
    struct pw_module *module;

    (void)state;
    module = must_load(WAT_HEAD IMPORT_F("wasi_snapshot_preview1", "path_link",
                                         "(param i32 i32 i32 i32 i32 i32 i32) (result i32)")
                           IMPORT_F("wasi_snapshot_preview1", "path_symlink",
                                    "(param i32 i32 i32 i32 i32) (result i32)") WAT_BODY WAT_TAIL);
    pw_module_unref(&module);
    module = must_load(
        WAT_HEAD IMPORT_F("wasi_unstable", "path_link", "(param i32 i32 i32 i32 i32 i32) (result i32)")
            IMPORT_F("wasi_unstable", "path_symlink", "(param i32 i32 i32 i32) (result i32)")
                WAT_BODY WAT_TAIL);
    pw_module_unref(&module);
    must_not_load(WAT_HEAD IMPORT_F("wasi_unstable", "path_link", "(param i32) (result i32)")
                      WAT_BODY WAT_TAIL,
                  PW_ERR_MISSING_IMPORT, "type mismatch: the module has (i32) -> (i32)");
}

static void wrong_exports_are_named(void **state)
{
    (void)state;
    must_not_load(WAT_HEAD WAT_BODY "(func (export \"proxy_on_tick\"))" WAT_TAIL, PW_ERR_BAD_EXPORT,
                  "export proxy_on_tick has the type () -> (), wanted is (i32) -> ()");
    must_not_load(WAT_HEAD WAT_BODY "(global (export \"proxy_on_log\") i32 (i32.const 0))" WAT_TAIL,
                  PW_ERR_BAD_EXPORT, "export proxy_on_log is a global, wanted is a function (i32) -> ()");
    must_not_load(WAT_HEAD WAT_BODY "(func (export \"_start\") (param i32))" WAT_TAIL, PW_ERR_BAD_EXPORT,
                  "export _start has the type (i32) -> (), wanted is () -> ()");
    must_not_load("(module (memory (export \"memory\") 1) (func (export \"proxy_abi_version_0_2_1\")))",
                  PW_ERR_BAD_EXPORT, "no allocator");
    must_not_load(
        "(module (memory 1) (func (export \"proxy_abi_version_0_2_1\")) (func (export \"malloc\") (param "
        "i32) (result i32) (i32.const 0)))",
        PW_ERR_BAD_EXPORT, "no memory");
    must_not_load(
        "(module (memory (export \"a\") 1) (memory 1) (func (export \"proxy_abi_version_0_2_1\")) (func "
        "(export \"malloc\") (param i32) (result i32) (i32.const 0)))",
        PW_ERR_BAD_MODULE, "2 memories");
}

/* A type of a thousand values does not pass the end of a message. */
static void long_types_are_cut(void **state)
{
    char letters[1001];
    char text[64];
    struct scan_type type = {letters, letters};

    (void)state;
    memset(letters, 'I', sizeof(letters) - 1);
    letters[sizeof(letters) - 1] = '\0';
    memset(text, 'x', sizeof(text));
    scan_type_print(&type, text, sizeof(text) - 1);
    assert_int_equal(strlen(text), sizeof(text) - 2);
    assert_int_equal(text[sizeof(text) - 1], 'x');
    assert_memory_equal(text, "(i64, i64, ", 11);
    type = (struct scan_type){"", "iIfFVr?"};
    scan_type_print(&type, text, sizeof(text));
    assert_string_equal(text, "() -> (i32, i64, f32, f64, v128, ref, ?)");
}

static void either_arity_of_headers_loads(void **state)
{
    struct pw_module *module;

    (void)state;
    module =
        must_load(WAT_HEAD WAT_BODY_OF("0_1_0") "(func (export \"proxy_on_request_headers\") (param i32 i32) "
                                                "(result i32) (i32.const 0))" WAT_TAIL);
    pw_module_unref(&module);
    module =
        must_load(WAT_HEAD WAT_BODY_OF("0_1_0") "(func (export \"proxy_on_request_headers\") (param i32 i32 "
                                                "i32) (result i32) (i32.const 0))" WAT_TAIL);
    pw_module_unref(&module);
    must_not_load(WAT_HEAD WAT_BODY
                  "(func (export \"proxy_on_request_headers\") (param i32) (result i32) (i32.const "
                  "0))" WAT_TAIL,
                  PW_ERR_BAD_EXPORT, "wanted is (i32, i32, i32) -> (i32)");
}

static void info_is_filled(void **state)
{
    struct pw_module *module;
    const struct pw_module_info *info;

    (void)state;
    module = must_load(WAT_HEAD WAT_BODY WAT_TAIL);
    info = pw_module_info(module);
    assert_int_equal(info->code_bytes, strlen(WAT_HEAD WAT_BODY WAT_TAIL));
    assert_int_equal(strlen(info->sha256), 64);
    assert_int_equal(info->memory_min_bytes, 2 * 65536);
    assert_true(info->compiled_bytes > 0);
    assert_false(info->from_cache);
    assert_true(info->load_ns > 0);
    pw_module_unref(&module);
    assert_null(module);
}

static void sha256_is_the_standard_one(void **state)
{
    struct pw_module *module;

    (void)state;
    /* printf '(module)' is refused, but hashed alike; FIPS 180-4's "abc" needs the function itself. */
    extern void weir_sha256(const void *data, size_t len, unsigned char *out);
    static const unsigned char wanted[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                           0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                           0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    unsigned char got[32];
    weir_sha256("abc", 3, got);
    assert_memory_equal(got, wanted, sizeof(wanted));
    (void)module;
}

/* A custom section after the header. */
static size_t with_custom(const wasm_byte_vec_t *binary, const char *name, const char *content, char *out)
{
    size_t name_len = strlen(name);
    size_t content_len = strlen(content);
    size_t at = 8;

    memcpy(out, binary->data, 8);
    out[at++] = 0;
    out[at++] = (char)(1 + name_len + content_len);
    out[at++] = (char)name_len;
    memcpy(out + at, name, name_len);
    memcpy(out + at + name_len, content, content_len);
    at += name_len + content_len;
    memcpy(out + at, binary->data + 8, binary->size - 8);
    return at + binary->size - 8;
}

static void precompiled_code_is_cut_out(void **state)
{
    wasm_byte_vec_t binary = small_binary("");
    char code[4096];
    size_t len = with_custom(&binary, "precompiled_wee8_v1", "native", code);
    struct pw_message why;
    struct pw_module *module;
    struct scan scan;
    char *stripped;

    (void)state;
    assert_int_equal(scan_module(&scan, slice_of(code, len), &why), PW_OK);
    assert_true(scan.has_precompiled);
    scan_fini(&scan);
    stripped = scan_strip(slice_of(code, len), &len);
    assert_int_equal(len, binary.size);
    assert_memory_equal(stripped, binary.data, len);
    free(stripped);
    len = with_custom(&binary, "precompiled_wee8_v1", "native", code);
    assert_int_equal(load_bytes(code, len, &module), PW_OK);
    pw_module_unref(&module);
    /* Others stay. */
    len = with_custom(&binary, "producers", "x", code);
    assert_int_equal(scan_module(&scan, slice_of(code, len), &why), PW_OK);
    assert_false(scan.has_precompiled);
    scan_fini(&scan);
    wasm_byte_vec_delete(&binary);
}

static void imported_memory_and_table_are_made(void **state)
{
    struct vm_fixture v;
    struct pw_module *module = must_load(
        "(module (import \"env\" \"memory\" (memory 3 10)) (import \"env\" \"table\" (table 4 funcref)) "
        "(func (export \"proxy_abi_version_0_2_1\")) (func (export \"malloc\") (param i32) (result i32) "
        "(i32.const "
        "8)))");

    (void)state;
    assert_int_equal(pw_module_info(module)->memory_min_bytes, 3 * 65536);
    for (int i = 0; i < 2; i++) { /* each VM has its own */
        struct pw_vm_stats stats;

        assert_int_equal(vm_open(&v, module, NULL), PW_OK);
        pw_vm_stats(v.vm, &stats);
        assert_int_equal(stats.memory_bytes, 3 * 65536);
        vm_close(&v);
    }
    pw_module_unref(&module);
}

static void memory_may_have_any_name(void **state)
{
    struct vm_fixture v;
    struct pw_vm_stats stats;
    struct pw_module *module =
        must_load("(module (memory (export \"heap of mine\") 5) (func (export \"proxy_abi_version_0_2_1\")) "
                  "(func (export "
                  "\"proxy_on_memory_allocate\") (param i32) (result i32) (i32.const 8)))");

    (void)state;
    assert_int_equal(vm_open(&v, module, NULL), PW_OK);
    pw_vm_stats(v.vm, &stats);
    assert_int_equal(stats.memory_bytes, 5 * 65536);
    vm_close(&v);
    pw_module_unref(&module);
}

struct sharer {
    struct pw_module *module;
    unsigned failed;
};

static void *share_module(void *arg)
{
    struct sharer *sharer = arg;
    struct pw_module *mine = pw_module_ref(sharer->module);

    for (int i = 0; i < 50; i++) {
        struct pw_vm_config config = {.size = sizeof(config)};
        struct pw_message why;
        struct pw_vm *vm;
        struct pw_module *again = pw_module_ref(mine);

        if (pw_vm_create(again, &config, &vm, &why) == PW_OK)
            pw_vm_destroy(&vm);
        else
            sharer->failed++;
        pw_module_unref(&again);
    }
    pw_module_unref(&mine);
    return NULL;
}

static void threads_share_a_module(void **state)
{
    struct pw_module *module = must_load(WAT_HEAD WAT_BODY WAT_TAIL);
    struct sharer sharers[2] = {{.module = module}, {.module = module}};
    pthread_t threads[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, share_module, &sharers[i]), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(sharers[i].failed, 0);
    }
    pw_module_unref(&module);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_truncation_says_why),
        cmocka_unit_test(every_damaged_byte_is_survived),
        cmocka_unit_test(random_bytes_are_refused),
        cmocka_unit_test(hostile_lengths_do_not_allocate),
        cmocka_unit_test(what_is_no_module_is_named),
        cmocka_unit_test(oversize_is_refused_unread),
        cmocka_unit_test(abi_version_is_found),
        cmocka_unit_test(missing_imports_are_all_named),
        cmocka_unit_test(real_imports_link),
        cmocka_unit_test(links_of_both_arities_link),
        cmocka_unit_test(wrong_exports_are_named),
        cmocka_unit_test(long_types_are_cut),
        cmocka_unit_test(either_arity_of_headers_loads),
        cmocka_unit_test(info_is_filled),
        cmocka_unit_test(sha256_is_the_standard_one),
        cmocka_unit_test(precompiled_code_is_cut_out),
        cmocka_unit_test(imported_memory_and_table_are_made),
        cmocka_unit_test(memory_may_have_any_name),
        cmocka_unit_test(threads_share_a_module),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
