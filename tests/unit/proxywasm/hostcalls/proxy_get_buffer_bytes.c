/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_get_buffer_bytes: ranges, what is attached when, configurations.
 */
#include "guest.h"

int test_proxy_get_buffer_bytes(void);

TEST_ON_BOTH(get_buffer_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_body(&g.fake, PW_BUFFER_REQUEST_BODY, "0123456789");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_bytes", ARGS(0, 0, 10, p, n)), PW_STATUS_OK);
    guest_assert_given(&g, p, n, "0123456789");
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_bytes", ARGS(0, 3, 4, p, n)), PW_STATUS_OK);
    guest_assert_given(&g, p, n, "3456");
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_bytes", ARGS(0, 8, 100, p, n)), PW_STATUS_OK);
    guest_assert_given(&g, p, n, "89");
    guest_close(&g);
}

TEST_ON_BOTH(get_buffer_out_of_range)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_body(&g.fake, PW_BUFFER_REQUEST_BODY, "0123456789");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_bytes", ARGS(0, 10, 5, p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_bytes", ARGS(0, UINT32_MAX, UINT32_MAX, p, n)),
                     PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_bytes", ARGS(0, 0, 0, p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    assert_int_equal(*guest_word(&g, AT_MALLOC_COUNT), 0);
    guest_close(&g);
}

TEST_ON_BOTH(get_buffer_wrong_phase)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_body(&g.fake, PW_BUFFER_REQUEST_BODY, "0123456789");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    /* a body that is not attached reads as empty */
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_buffer_bytes", ARGS(0, 0, 10, p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_get_buffer_bytes", ARGS(0, 0, 10, p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_get_buffer_bytes", ARGS(0, 0, 10, p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_bytes", ARGS(1, 0, 10, p, n)), PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    guest_close(&g);
}

TEST_ON_BOTH(get_buffer_paused)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_body(&g.fake, PW_BUFFER_REQUEST_BODY, "0123456789");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    guest_returns(&g, IN_BODY, 1);
    guest_drive(&g, IN_BODY);
    assert_int_equal(g.action, PW_ACTION_STOP_BUFFER);
    /* still attached while paused: from a tick, over the effective context */
    guest_plan(&g, IN_TICK, "proxy_set_effective_context", ARGS(2));
    struct guest_step s = guest_plan(&g, IN_TICK, "proxy_get_buffer_bytes", ARGS(0, 0, 3, p, n));
    guest_drive(&g, IN_TICK);
    assert_int_equal(guest_result(&g, s), PW_STATUS_OK);
    guest_assert_given(&g, p, n, "012");
    guest_close(&g);
}

TEST_ON_BOTH(get_buffer_configuration)
{
    struct guest g;
    guest_open(&g,
               &(struct guest_options){
                   .engine = engine, .configuration = "conf", .vm_configuration = "vmconf", .no_root = true});
    uint64_t p1 = guest_slot(&g);
    uint64_t n1 = guest_slot(&g);
    uint64_t p2 = guest_slot(&g);
    uint64_t n2 = guest_slot(&g);
    uint64_t p3 = guest_slot(&g);
    uint64_t n3 = guest_slot(&g);
    uint64_t p4 = guest_slot(&g);
    uint64_t n4 = guest_slot(&g);
    struct guest_step create = guest_plan(&g, GUEST_proxy_on_context_create, "proxy_get_buffer_bytes",
                                          ARGS(PW_BUFFER_PLUGIN_CONFIGURATION, 0, 99, p1, n1));
    struct guest_step start = guest_plan(&g, GUEST_proxy_on_vm_start, "proxy_get_buffer_bytes",
                                         ARGS(PW_BUFFER_PLUGIN_CONFIGURATION, 0, 99, p2, n2));
    struct guest_step start_vm = guest_plan(&g, GUEST_proxy_on_vm_start, "proxy_get_buffer_bytes",
                                            ARGS(PW_BUFFER_VM_CONFIGURATION, 0, 99, p3, n3));
    struct guest_step configure = guest_plan(&g, GUEST_proxy_on_configure, "proxy_get_buffer_bytes",
                                             ARGS(PW_BUFFER_PLUGIN_CONFIGURATION, 1, 2, p4, n4));
    assert_int_equal(guest_root(&g), PW_OK);
    assert_int_equal(guest_result(&g, create), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, n1), 4);
    assert_int_equal(guest_result(&g, start), PW_STATUS_NOT_FOUND);
    assert_true(guest_slot_untouched(&g, p2));
    assert_int_equal(guest_result(&g, start_vm), PW_STATUS_OK);
    assert_memory_equal(guest_ptr(&g, guest_out(&g, p3)), "vmconf", 6);
    assert_int_equal(guest_result(&g, configure), PW_STATUS_OK);
    guest_assert_given(&g, p4, n4, "on");
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_vm_start, 1), 6);
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_configure, 1), 4);
    guest_forget(&g, GUEST_proxy_on_context_create);
    assert_int_equal(guest_stream(&g), PW_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_buffer_bytes",
                              ARGS(PW_BUFFER_PLUGIN_CONFIGURATION, 0, 9, p1, n1)),
                     PW_STATUS_NOT_FOUND);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_get_buffer_bytes", ARGS(PW_BUFFER_VM_CONFIGURATION, 0, 9, p1, n1)),
        PW_STATUS_OK);
    guest_assert_given(&g, p1, n1, "vmconf");
    guest_close(&g);
}

TEST_ON_BOTH(get_buffer_types)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_bytes", ARGS(9, 0, 1, p, n)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(
        guest_do(&g, IN_BODY, "proxy_get_buffer_bytes", ARGS(PW_BUFFER_HTTP_CALL_BODY, 0, 1, p, n)),
        PW_STATUS_NOT_FOUND);
    assert_int_equal(
        guest_do(&g, IN_BODY, "proxy_get_buffer_bytes", ARGS(PW_BUFFER_GRPC_MESSAGE, 0, 1, p, n)),
        PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_bytes", ARGS(PW_BUFFER_CALL_DATA, 0, 1, p, n)),
                     PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    guest_close(&g);
}

TEST_ON_BOTH(get_buffer_bad_pointer)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_body(&g.fake, PW_BUFFER_REQUEST_BODY, "0123456789");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_bytes", ARGS(0, 0, 4, guest_bad(&g), n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_bytes", ARGS(0, 0, 4, p, guest_bad(&g))),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

TEST_ON_BOTH(get_buffer_no_memory)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_body(&g.fake, PW_BUFFER_REQUEST_BODY, "0123456789");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    *guest_word(&g, AT_MALLOC_MODE) = MALLOC_NONE;
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_get_buffer_bytes", ARGS(0, 0, 4, p, n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_true(guest_slot_untouched(&g, p));
    assert_false(pw_vm_failed(g.vm));
    guest_close(&g);
}

TEST_ON_BOTH(get_buffer_tcp)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_body(&g.fake, PW_BUFFER_DOWNSTREAM_DATA, "down");
    fake_body(&g.fake, PW_BUFFER_UPSTREAM_DATA, "up");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(
        guest_do(&g, GUEST_proxy_on_downstream_data, "proxy_get_buffer_bytes", ARGS(2, 0, 9, p, n)),
        PW_STATUS_OK);
    guest_assert_given(&g, p, n, "down");
    assert_int_equal(
        guest_do(&g, GUEST_proxy_on_upstream_data, "proxy_get_buffer_bytes", ARGS(3, 0, 9, p, n)),
        PW_STATUS_OK);
    guest_assert_given(&g, p, n, "up");
    guest_close(&g);
}

int test_proxy_get_buffer_bytes(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(get_buffer_right),       ON_BOTH(get_buffer_out_of_range),  ON_BOTH(get_buffer_wrong_phase),
        ON_BOTH(get_buffer_paused),      ON_BOTH(get_buffer_configuration), ON_BOTH(get_buffer_types),
        ON_BOTH(get_buffer_bad_pointer), ON_BOTH(get_buffer_no_memory),     ON_BOTH(get_buffer_tcp),
    };
    return cmocka_run_group_tests_name("proxy_get_buffer_bytes", tests, NULL, NULL);
}
