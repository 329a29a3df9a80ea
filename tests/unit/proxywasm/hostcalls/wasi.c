/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The WASI functions that modules depend on: output, clocks, random, environment.
 */
#include "guest.h"

int test_wasi(void);

static void fd_write_right(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t t = guest_text(&g, "one\ntwo\n");
    uint32_t iov[6] = {(uint32_t)t, 4, 0xfffffff0, 0, (uint32_t)t + 4, 4};
    uint64_t v = guest_bytes(&g, iov, sizeof(iov));
    uint64_t n = guest_slot(&g);
    guest_logs_clear();
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_write", ARGS(1, v, 3, n)), 0);
    assert_int_equal(guest_out(&g, n), 8);
    assert_int_equal(guest_logs_count(), 1);
    assert_string_equal(guest_log_back(0)->text, "one\ntwo"); /* one line, one newline less */
    assert_int_equal(guest_log_back(0)->level, PW_LOG_INFO);
    assert_int_equal(guest_do(&g, IN_TICK, "fd_write", ARGS(2, v, 1, n)), 0);
    assert_string_equal(guest_log_back(0)->text, "one");
    assert_int_equal(guest_log_back(0)->level, PW_LOG_ERROR);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_pwrite", ARGS(2, v, 1, 77, n)), 0);
    assert_int_equal(guest_logs_count(), 3);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_write", ARGS(1, v, 0, n)), 0);
    assert_int_equal(guest_out(&g, n), 0);
    assert_int_equal(guest_logs_count(), 3);
    guest_close(&g);
}

static void fd_write_wrong(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint32_t iov[4] = {0x7fffffff, 4, 0, 0xffffffff};
    uint64_t v = guest_bytes(&g, iov, sizeof(iov));
    uint64_t n = guest_slot(&g);
    guest_logs_clear();
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_write", ARGS(0, v, 1, n)), 8);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_write", ARGS(3, v, 1, n)), 8);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_write", ARGS(1, v, 1, n)), 21);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_write", ARGS(1, v + 8, 1, n)), 21);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_write", ARGS(1, guest_bad(&g), 1, n)), 21);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_write", ARGS(1, v, UINT32_MAX, n)), 28);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_write", ARGS(1, v, 0, guest_bad(&g))), 21);
    assert_int_equal(guest_logs_count(), 0);
    guest_close(&g);
}

static void fd_write_long(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint32_t iov[4] = {AT_HEAP, LOG_LINE_BYTES_MAX, AT_HEAP, LOG_LINE_BYTES_MAX};
    uint64_t v = guest_bytes(&g, iov, sizeof(iov));
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_write", ARGS(1, v, 2, n)), 0);
    assert_int_equal(guest_out(&g, n), 2 * LOG_LINE_BYTES_MAX);
    assert_int_equal(guest_log_back(0)->text_len, LOG_LINE_BYTES_MAX);
    guest_close(&g);
}

static void environment(void **state)
{
    (void)state;
    static const struct pw_pair environment[] = {{{"A", 1}, {"1", 1}}, {{"LONG", 4}, {"", 0}}};
    struct guest g;
    guest_open(&g, &(struct guest_options){.environment = environment, .environment_count = 2});
    uint64_t c = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "environ_sizes_get", ARGS(c, n)), 0);
    assert_int_equal(guest_out(&g, c), 2);
    assert_int_equal(guest_out(&g, n), 10);
    uint64_t ptrs = guest_slot(&g), text = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "environ_get", ARGS(ptrs, text)), 0);
    assert_memory_equal(guest_ptr(&g, text), "A=1\0LONG=", 10);
    uint32_t at[2];
    memcpy(at, guest_ptr(&g, ptrs), 8);
    assert_int_equal(at[0], text);
    assert_int_equal(at[1], text + 4);
    assert_int_equal(guest_do(&g, IN_HEADERS, "environ_get", ARGS(guest_bad(&g), text)), 21);
    assert_int_equal(guest_do(&g, IN_HEADERS, "environ_get", ARGS(ptrs, guest_bad(&g))), 21);
    assert_int_equal(guest_do(&g, IN_HEADERS, "environ_sizes_get", ARGS(c, guest_bad(&g))), 21);
    guest_close(&g);
}

static void environment_refused(void **state)
{
    (void)state;
    static const struct pw_pair bad[][2] = {{{{"A", 1}, {"1", 1}}, {{"A", 1}, {"2", 1}}},
                                            {{{"", 0}, {"1", 1}}, {{"B", 1}, {"2", 1}}},
                                            {{{"A=", 2}, {"1", 1}}, {{"B", 1}, {"2", 1}}},
                                            {{{"A", 1}, {"1\0", 2}}, {{"B", 1}, {"2", 1}}}};
    const struct guest_options options = {0};
    struct pw_module *module = guest_module(&options);
    for (size_t i = 0; i < 4; i++) {
        struct pw_vm *vm = NULL;
        struct pw_message why = {""};
        const struct pw_vm_config config = {
            .size = sizeof(config), .environment = bad[i], .environment_count = 2};
        assert_int_equal(pw_vm_create(module, &config, &vm, &why), PW_ERR_INVALID_ARGUMENT);
        assert_null(vm);
        assert_non_null(strstr(why.text, "environment variable"));
    }
    pw_module_unref(&module);
}

static void arguments_none(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t c = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "args_sizes_get", ARGS(c, n)), 0);
    assert_int_equal(guest_out(&g, c), 0);
    assert_int_equal(guest_out(&g, n), 0);
    assert_int_equal(guest_do(&g, IN_HEADERS, "args_get", ARGS(guest_bad(&g), 0)), 0);
    assert_int_equal(guest_do(&g, IN_HEADERS, "args_sizes_get", ARGS(c, guest_bad(&g))), 21);
    guest_close(&g);
}

static void clocks(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t t = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "clock_time_get", ARGS(0, 1, t)), 0);
    assert_true(guest_out64(&g, t) == guest_realtime_ns);
    assert_int_equal(guest_do(&g, IN_HEADERS, "clock_time_get", ARGS(1, 1, t)), 0);
    assert_true(guest_out64(&g, t) == guest_monotonic_ns);
    assert_int_equal(guest_do(&g, IN_HEADERS, "clock_time_get", ARGS(2, 1, t)), 58);
    assert_int_equal(guest_do(&g, IN_HEADERS, "clock_time_get", ARGS(0, 1, guest_bad(&g))), 21);
    assert_int_equal(guest_do(&g, IN_HEADERS, "clock_res_get", ARGS(1, t)), 0);
    assert_true(guest_out64(&g, t) == 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "clock_res_get", ARGS(2, t)), 58);
    guest_close(&g);
}

static void random(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t t = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "random_get", ARGS(t, 3)), 0);
    assert_memory_equal(guest_ptr(&g, t), "\x5a\x5a\x5a\xee", 4);
    assert_int_equal(guest_do(&g, IN_HEADERS, "random_get", ARGS(guest_bad(&g), 0)), 0);
    assert_int_equal(guest_do(&g, IN_HEADERS, "random_get", ARGS(guest_bad(&g), 32)), 21);
    assert_int_equal(guest_do(&g, IN_HEADERS, "random_get", ARGS(AT_HEAP, 65536)), 0);
    assert_int_equal(guest_do(&g, IN_HEADERS, "random_get", ARGS(AT_HEAP, 65537)), 28);
    guest_random_fails = true;
    assert_int_equal(guest_do(&g, IN_HEADERS, "random_get", ARGS(t, 3)), 28);
    guest_random_fails = false;
    guest_close(&g);
}

static void runtime_calls(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "sched_yield", ARGS()), 0);
    assert_int_equal(guest_do(&g, IN_HEADERS, "poll_oneoff", ARGS(0, 0, 1, n)), 0);
    assert_int_equal(guest_out(&g, n), 0);
    guest_logs_clear();
    guest_plan(&g, IN_TICK, "proc_exit", ARGS(3));
    guest_drive(&g, IN_TICK);
    assert_false(pw_vm_failed(g.vm)); /* returns to the guest */
    assert_int_equal(guest_logs_count(), 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "pthread_equal", ARGS(5, 5)), 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "pthread_equal", ARGS(5, 6)), 0);
    guest_close(&g);
}

int test_wasi(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(fd_write_right),
        cmocka_unit_test(fd_write_wrong),
        cmocka_unit_test(fd_write_long),
        cmocka_unit_test(environment),
        cmocka_unit_test(environment_refused),
        cmocka_unit_test(arguments_none),
        cmocka_unit_test(clocks),
        cmocka_unit_test(random),
        cmocka_unit_test(runtime_calls),
    };
    return cmocka_run_group_tests_name("wasi", tests, NULL, NULL);
}
