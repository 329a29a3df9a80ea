/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMs: what start-up code may call, bad configurations, accounting, and the host object.
 */
#include "guest.h"

#define HEAD                                                                                                 \
    "(module (import \"env\" \"proxy_log\" (func $log (param i32 i32 i32) (result i32)))"                    \
    "(import \"env\" \"proxy_get_current_time_nanoseconds\" (func $time (param i32) (result i32)))"          \
    "(import \"wasi_snapshot_preview1\" \"random_get\" (func $random (param i32 i32) (result i32)))"         \
    "(import \"wasi_unstable\" \"fd_close\" (func $close (param i32) (result i32)))"                         \
    "(memory (export \"memory\") 1) (data (i32.const 16) \"started\")"                                       \
    "(func (export \"proxy_abi_version_0_2_1\"))"                                                            \
    "(func (export \"malloc\") (param i32) (result i32) (i32.const 1024))"
#define LOG  "(drop (call $log (i32.const 2) (i32.const 16) (i32.const 7)))"
#define TIME "(drop (call $time (i32.const 0)))"

static int create(const char *wat, const struct pw_vm_config *config, struct pw_vm **vm,
                  struct pw_message *why)
{
    struct guest g; /* only to set the engine and its signals up */
    guest_open(&g, &(struct guest_options){0});
    guest_close(&g);
    const struct guest_options options = {.wat = wat};
    struct pw_module *module = guest_module(&options);
    int error = pw_vm_create(module, config, vm, why);
    pw_module_unref(&module);
    return error;
}

static void start_may_log(void **state)
{
    (void)state;
    static const char *const wats[] = {
        HEAD "(func (export \"_initialize\") " LOG ") )",
        HEAD "(func (export \"_start\") " LOG ") )",
        HEAD "(func $s " LOG ") (start $s) )",
        HEAD "(func (export \"_initialize\") (drop (call $random (i32.const 0) (i32.const 8))) " LOG ") )",
    };
    const struct pw_vm_config config = {.size = sizeof(config), .vm_id = {"v1", 2}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(wats); i++) {
        struct pw_vm *vm;
        struct pw_message why = {""};
        guest_logs_clear();
        if (create(wats[i], &config, &vm, &why))
            fail_msg("%zu: %s", i, why.text);
        assert_int_equal(guest_logs_count(), 1);
        assert_string_equal(guest_log_back(0)->text, "started");
        assert_string_equal(guest_log_back(0)->vm_id, "v1");
        assert_string_equal(guest_log_back(0)->plugin, "");
        pw_vm_destroy(&vm);
    }
}

static void start_may_not(void **state)
{
    (void)state;
    static const char *const wats[] = {
        HEAD "(func (export \"_initialize\") " TIME ") )",
        HEAD "(func (export \"_start\") " TIME ") )",
        HEAD "(func $s " TIME ") (start $s) )",
        HEAD "(func (export \"_initialize\") (drop (call $close (i32.const 1)))) )",
    };
    const struct pw_vm_config config = {.size = sizeof(config)};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(wats); i++) {
        struct pw_vm *vm;
        struct pw_message why = {""};
        assert_int_equal(create(wats[i], &config, &vm, &why), PW_ERR_TRAP);
        assert_null(vm);
        assert_non_null(strstr(why.text, "restricted_callback"));
    }
}

static void start_traps(void **state)
{
    (void)state;
    const struct pw_vm_config config = {.size = sizeof(config)};
    struct pw_vm *vm;
    struct pw_message why = {""};
    assert_int_equal(create(HEAD "(func (export \"_initialize\") (unreachable)) )", &config, &vm, &why),
                     PW_ERR_TRAP);
    assert_null(vm);
    assert_non_null(strstr(why.text, "cannot start the module: "));
}

static void bad_configurations(void **state)
{
    (void)state;
    static char big[IDENTITY_BYTES_MAX + 1];
    struct pw_slice many[1];
    struct pw_vm_config rows[] = {
        {.size = 4},
        {.size = sizeof(rows[0]), .vm_id = {big, sizeof(big)}},
        {.size = sizeof(rows[0]), .configuration = {big, CONFIGURATION_BYTES_MAX + 1}},
        {.size = sizeof(rows[0]), .capabilities = many, .capabilities_count = CAPABILITIES_MAX + 1},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct pw_vm *vm;
        struct pw_message why = {""};
        assert_int_equal(create(HEAD ")", &rows[i], &vm, &why),
                         i == 0 ? PW_ERR_INVALID_ARGUMENT : PW_ERR_LIMIT);
        assert_null(vm);
        assert_true(why.text[0]);
    }
}

TEST_ON_BOTH(accounting)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .configuration = "c"});
    struct pw_vm_stats a, b;
    pw_vm_stats(g.vm, &a);
    assert_int_equal(a.calls, 4); /* two creates, start, configure */
    assert_int_equal(a.roots, 1);
    assert_int_equal(a.streams, 1);
    assert_int_equal(a.memory_bytes, engine == ON_WASM ? GUEST_BYTES : 0);
    assert_in_range(a.host_bytes, 1000, 100000);
    uint64_t slot = guest_slot(&g);
    guest_plan(&g, IN_HEADERS, "proxy_get_current_time_nanoseconds", ARGS(slot));
    guest_plan(&g, IN_HEADERS, "proxy_get_current_time_nanoseconds", ARGS(slot));
    guest_monotonic_ns += 1000000000;
    guest_drive(&g, IN_HEADERS);
    pw_vm_stats(g.vm, &b);
    assert_int_equal(b.calls, a.calls + 1);
    assert_int_equal(b.host_calls, a.host_calls + 2);
    assert_true(b.time_ns > a.time_ns);
    guest_close(&g);
}

/* Scratch memory of one call is gone after it. */
TEST_ON_BOTH(scratch_is_reset)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t path = guest_text(&g, "big"), p = guest_slot(&g), n = guest_slot(&g);
    size_t before = g.vm->scratch.used_bytes;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, 3, p, n)), PW_STATUS_OK);
        assert_int_equal(g.vm->scratch.used_bytes, before);
    }
    guest_close(&g);
}

static void host_refusals(void **state)
{
    (void)state;
    struct pw_host_ops ops = {.size = sizeof(ops)};
    assert_null(pw_host_create(NULL, NULL));
    assert_null(pw_host_create(&ops, NULL)); /* mandatory callbacks are missing */
    ops.size = 8;
    assert_null(pw_host_create(&ops, NULL));
    struct pw_host *none = NULL;
    pw_host_destroy(&none);
}

static void error_phrases(void **state)
{
    (void)state;
    for (int error = 10; error >= -110; error--)
        assert_true(strlen(pw_error_str(error)) > 3);
    assert_string_equal(pw_error_str(PW_ERR_TIMEOUT), "the plugin passed its time limit");
    assert_string_equal(pw_error_str(-55), "unknown error");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_may_log),
        cmocka_unit_test(start_may_not),
        cmocka_unit_test(start_traps),
        cmocka_unit_test(bad_configurations),
        ON_BOTH(accounting),
        ON_BOTH(scratch_is_reset),
        cmocka_unit_test(host_refusals),
        cmocka_unit_test(error_phrases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
