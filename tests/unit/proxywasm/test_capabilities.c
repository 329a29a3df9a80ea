/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capability restriction: what is not named is denied, still links, and answers with a fixed code; denied
 * callbacks are as if they were not exported.
 */
#include "guest.h"

static const char *const some[] = {"proxy_log",
                                   "proxy_on_context_create",
                                   "proxy_on_vm_start",
                                   "proxy_on_configure",
                                   "proxy_on_request_headers",
                                   "fd_write",
                                   "no_such_capability",
                                   NULL};

TEST_ON_BOTH(denied_calls)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .capabilities = some});
    uint64_t text = guest_text(&g, "x"), slot = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_log", ARGS(2, text, 1)), PW_STATUS_OK);
    guest_logs_clear();
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_current_time_nanoseconds", ARGS(slot)),
                     PW_STATUS_INTERNAL_FAILURE);
    assert_true(guest_slot_untouched(&g, slot));
    assert_int_equal(guest_logs_count(), 1);
    assert_string_equal(guest_log_back(0)->text, "Attempted call to restricted proxy-wasm capability: "
                                                 "proxy_get_current_time_nanoseconds");
    assert_false(guest_log_back(0)->from_guest);
    assert_string_equal(guest_log_back(0)->plugin, "steps");
    /* and after it everything else still works */
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_log", ARGS(2, text, 1)), PW_STATUS_OK);
    guest_close(&g);
}

static void denied_wasi(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.capabilities = some});
    uint64_t slot = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "clock_time_get", ARGS(0, 0, slot)), 76);
    assert_true(guest_slot_untouched(&g, slot));
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_write", ARGS(1, 0, 0, slot)), 0);
    /* neither is a capability */
    assert_int_equal(guest_do(&g, IN_HEADERS, "pthread_equal", ARGS(1, 1)), 1);
    guest_close(&g);
}

TEST_ON_BOTH(denied_callbacks)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .capabilities = some});
    guest_returns(&g, IN_RESPONSE, 1);
    guest_drive(&g, IN_RESPONSE);
    assert_int_equal(g.action, PW_ACTION_CONTINUE);
    assert_int_equal(guest_calls(&g, IN_RESPONSE), 0);
    guest_drive(&g, IN_HEADERS);
    assert_int_equal(guest_calls(&g, IN_HEADERS), 1);
    pw_stream_destroy(&g.stream);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_delete), 0);
    guest_close(&g);
}

TEST_ON_BOTH(nothing_denied)
{
    static const char *const none[] = {NULL};
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .capabilities = none});
    uint64_t slot = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_RESPONSE, "proxy_get_current_time_nanoseconds", ARGS(slot)),
                     PW_STATUS_OK);
    guest_close(&g);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(denied_calls),
        cmocka_unit_test(denied_wasi),
        ON_BOTH(denied_callbacks),
        ON_BOTH(nothing_denied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
