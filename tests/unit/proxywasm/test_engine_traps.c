/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a trap says: the reason in plain words, the function, and a backtrace with names that no control byte
 * of the guest's survives in.
 */
#include "engine_fixture.h"

static int failed_error;
static char failed_function[64];
static char message[512];
static char backtrace[2048];

static void on_failed(void *ctx, const struct pw_failure *failure)
{
    (void)ctx;
    failed_error = failure->error;
    (void)snprintf(failed_function, sizeof(failed_function), "%s", failure->function);
    (void)snprintf(message, sizeof(message), "%.*s", (int)failure->message.len, failure->message.ptr);
    (void)snprintf(backtrace, sizeof(backtrace), "%.*s", (int)failure->backtrace.len, failure->backtrace.ptr);
}

/* Runs proxy_on_tick of a plugin with these functions. */
static void tick(const char *functions)
{
    static const struct pw_vm_ops ops = {.size = sizeof(ops), .failed = on_failed};
    struct pw_module *module;
    struct vm_fixture v;

    failed_error = 0;
    module = must_load(functions);
    if (vm_open(&v, module, NULL) != PW_OK)
        fail_msg("open: %s", fixture.why.text);
    pw_vm_attach(v.vm, &ops, NULL);
    pw_root_tick(v.root);
    vm_close(&v);
    pw_module_unref(&module);
}

#define TICK(body)                                                                                           \
    WAT_HEAD WAT_BODY "(table 2 funcref) (func (export \"proxy_on_tick\") (param i32) " body ")" WAT_TAIL

static void reasons_are_plain_words(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } rows[] = {
        {TICK("unreachable"), "unreachable executed"},
        {TICK("(drop (i32.load (i32.const 131072)))"), "out of bounds memory access"},
        {TICK("(drop (i32.div_u (i32.const 1) (i32.const 0)))"), "integer divide by zero"},
        {TICK("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))"), "integer overflow"},
        {TICK("(drop (i32.trunc_f32_s (f32.const nan)))"), "invalid conversion to an integer"},
        {TICK("(call_indirect (i32.const 5))"), "out of bounds table access"},
        {TICK("(call_indirect (i32.const 1))"), "indirect call to an empty table element"},
        {WAT_HEAD WAT_BODY
         "(func $deep (call $deep)) (func (export \"proxy_on_tick\") (param i32) call $deep)" WAT_TAIL,
         "stack overflow"},
        {WAT_HEAD WAT_BODY
         "(table funcref (elem $malloc)) (func (export \"proxy_on_tick\") (param i32) (call_indirect "
         "(i32.const 0)))" WAT_TAIL,
         "indirect call with the wrong type"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        tick(rows[i].text);
        assert_int_equal(failed_error, PW_ERR_TRAP);
        assert_string_equal(message, rows[i].message);
        assert_string_equal(failed_function, "proxy_on_tick");
    }
}

static void backtraces_have_names_and_offsets(void **state)
{
    (void)state;
    tick(WAT_HEAD WAT_BODY
         "(func $inner unreachable) (func $middle call $inner) (func (param i32) call $middle) "
         "(export \"proxy_on_tick\" (func 4))" WAT_TAIL);
    assert_true(strncmp(backtrace, "  0: 0x", 7) == 0);
    assert_non_null(strstr(backtrace, " - inner\n  1: 0x"));
    assert_non_null(strstr(backtrace, " - middle\n  2: 0x"));
    /* Without a name: the export's. */
    assert_non_null(strstr(backtrace, " - proxy_on_tick\n"));
}

static void backtraces_are_cut_at_20_frames(void **state)
{
    (void)state;
    tick(WAT_HEAD WAT_BODY
         "(func $deep (call $deep)) (func (export \"proxy_on_tick\") (param i32) call $deep)" WAT_TAIL);
    assert_non_null(strstr(backtrace, " 19: 0x"));
    assert_null(strstr(backtrace, " 20: 0x"));
}

static void hostile_names_are_cleaned(void **state)
{
    char text[4096];
    char name[2001];

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    tick(WAT_HEAD WAT_BODY "(func $\"a\\1b[31m\\0d\" unreachable) (func (export \"proxy_on_tick\") (param "
                           "i32) call 2)" WAT_TAIL);
    for (const char *p = backtrace; *p; p++)
        assert_true(*p == '\n' || ((unsigned char)*p >= ' ' && *p != 0x7f));
    if (!strstr(backtrace, " - a?[31m?\n"))
        fail_msg("%s", backtrace);
    (void)snprintf(text, sizeof(text),
                   WAT_HEAD WAT_BODY
                   "(func $%s unreachable) (func (export \"proxy_on_tick\") (param i32) call 2)" WAT_TAIL,
                   name);
    tick(text);
    assert_true(strlen(backtrace) < 300);
}

static void closed_host_functions_trap_by_name(void **state)
{
    struct pw_module *module;
    struct vm_fixture v;

    (void)state;
    module = must_load(WAT_HEAD "(import \"env\" \"proxy_done\" (func $done (result i32))) " WAT_BODY
                                "(func (export \"_initialize\") (drop (call $done)))" WAT_TAIL);
    assert_int_equal(vm_open(&v, module, NULL), PW_ERR_TRAP);
    assert_non_null(strstr(fixture.why.text, "restricted_callback: proxy_done"));
    assert_non_null(strstr(fixture.why.text, " - _initialize\n"));
    vm_close(&v);
    pw_module_unref(&module);
    /* In the start section too, where logging is allowed and reads the memory. */
    module = must_load(
        WAT_HEAD "(import \"env\" \"proxy_log\" (func $log (param i32 i32 i32) (result i32))) " WAT_BODY
                 "(data (i32.const 16) \"from the start section\") (func $s (if (call $log (i32.const 2) "
                 "(i32.const 16) (i32.const 22)) (then unreachable))) (start $s)" WAT_TAIL);
    assert_int_equal(vm_open(&v, module, NULL), PW_OK);
    assert_non_null(strstr(fixture.log, "from the start section\n"));
    vm_close(&v);
    pw_module_unref(&module);
    module = must_load(WAT_HEAD "(import \"env\" \"proxy_done\" (func $done (result i32))) " WAT_BODY
                                "(func $s (drop (call $done))) (start $s)" WAT_TAIL);
    assert_int_equal(vm_open(&v, module, NULL), PW_ERR_TRAP);
    assert_non_null(strstr(fixture.why.text, "restricted_callback: proxy_done"));
    vm_close(&v);
    pw_module_unref(&module);
}

/* The host call comes back with an error, but the guest does not go on. */
static void a_trap_in_malloc_ends_the_outer_call(void **state)
{
    (void)state;
    tick("(module (import \"env\" \"proxy_get_property\" (func $get (param i32 i32 i32 i32) (result i32))) "
         "(memory (export \"memory\") 1) (data (i32.const 64) \"plugin_name\") "
         "(func (export \"proxy_abi_version_0_2_1\")) "
         "(func $bad (export \"malloc\") (param i32) (result i32) (i32.div_u (i32.const 1) (i32.const 0))) "
         "(func (export \"proxy_on_tick\") (param i32) (drop (call $get (i32.const 64) (i32.const 11) "
         "(i32.const 0) "
         "(i32.const 4))) unreachable))");
    assert_int_equal(failed_error, PW_ERR_TRAP);
    assert_string_equal(message, "integer divide by zero");
    assert_non_null(strstr(backtrace, "  0: 0x"));
    assert_non_null(strstr(backtrace, " - bad\n"));
    assert_string_equal(failed_function, "proxy_on_tick");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reasons_are_plain_words),
        cmocka_unit_test(backtraces_have_names_and_offsets),
        cmocka_unit_test(backtraces_are_cut_at_20_frames),
        cmocka_unit_test(hostile_names_are_cleaned),
        cmocka_unit_test(closed_host_functions_trap_by_name),
        cmocka_unit_test(a_trap_in_malloc_ends_the_outer_call),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
