/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_log: level, text, where it may be called.
 */
#include "guest.h"

int test_proxy_log(void);

TEST_ON_BOTH(log_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t t = guest_text(&g, "hello");
    guest_logs_clear();
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_log", ARGS(PW_LOG_WARN, t, 5)), PW_STATUS_OK);
    const struct guest_log *log = guest_log_back(0);
    assert_int_equal(log->level, PW_LOG_WARN);
    assert_true(log->from_guest);
    assert_string_equal(log->text, "hello");
    assert_string_equal(log->plugin, "steps");
    assert_string_equal(log->root_id, "the_root");
    guest_close(&g);
}

TEST_ON_BOTH(log_levels)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t t = guest_text(&g, "x");
    for (uint32_t level = 0; level <= 5; level++)
        assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_log", ARGS(level, t, 1)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_log", ARGS(6, t, 1)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_log", ARGS(UINT32_MAX, t, 1)), PW_STATUS_BAD_ARGUMENT);
    guest_close(&g);
}

static void log_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_log", ARGS(2, guest_bad(&g), 100)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_log", ARGS(2, 0, UINT32_MAX)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_log", ARGS(2, 0x7fffffff, 0)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    /* the level is looked at first */
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_log", ARGS(6, guest_bad(&g), 100)),
                     PW_STATUS_BAD_ARGUMENT);
    guest_close(&g);
}

TEST_ON_BOTH(log_empty)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    guest_logs_clear();
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_log", ARGS(2, 0, 0)), PW_STATUS_OK);
    assert_int_equal(guest_logs_count(), 1);
    assert_int_equal(guest_log_back(0)->text_len, 0);
    guest_close(&g);
}

static void log_cut(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    guest_logs_clear();
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_log", ARGS(2, AT_HEAP, LOG_LINE_BYTES_MAX + 1)),
                     PW_STATUS_OK);
    assert_int_equal(guest_log_back(0)->text_len, LOG_LINE_BYTES_MAX);
    guest_close(&g);
}

TEST_ON_BOTH(log_everywhere)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t t = guest_text(&g, "x");
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_log", ARGS(2, t, 1)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_log", ARGS(2, t, 1)), PW_STATUS_OK);
    guest_close(&g);
}

int test_proxy_log(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(log_right), ON_BOTH(log_levels),       cmocka_unit_test(log_bad_pointer),
        ON_BOTH(log_empty), cmocka_unit_test(log_cut), ON_BOTH(log_everywhere),
    };
    return cmocka_run_group_tests_name("proxy_log", tests, NULL, NULL);
}
