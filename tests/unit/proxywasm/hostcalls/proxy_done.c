/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_done: only for a root whose on_done said false.
 */
#include "guest.h"

int test_proxy_done(void);

TEST_ON_BOTH(done_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    pw_stream_destroy(&g.stream);
    guest_returns(&g, GUEST_proxy_on_done, 0);
    guest_drive(&g, GUEST_proxy_on_done);
    assert_false(g.done);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_done", ARGS()), PW_STATUS_OK);
    assert_int_equal(g.root_dones, 1);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_done", ARGS()), PW_STATUS_NOT_FOUND);
    assert_int_equal(g.root_dones, 1);
    pw_root_destroy(&g.root);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_delete), 2);
    guest_close(&g);
}

TEST_ON_BOTH(done_wrong)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_done", ARGS()), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_done", ARGS()), PW_STATUS_NOT_FOUND);
    guest_drive(&g, GUEST_proxy_on_done);
    assert_true(g.done);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_done", ARGS()), PW_STATUS_NOT_FOUND);
    guest_close(&g);
}

TEST_ON_BOTH(done_inside_on_done)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    guest_returns(&g, GUEST_proxy_on_done, 0);
    struct guest_step s = guest_plan(&g, GUEST_proxy_on_done, "proxy_done", ARGS());
    guest_drive(&g, GUEST_proxy_on_done);
    assert_int_equal(guest_result(&g, s), PW_STATUS_OK);
    assert_true(g.done);
    assert_int_equal(g.root_dones, 0);
    guest_close(&g);
}

TEST_ON_BOTH(done_from_a_stream)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    guest_returns(&g, GUEST_proxy_on_done, 0);
    guest_drive(&g, GUEST_proxy_on_done);
    assert_false(g.done);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_done", ARGS()), PW_STATUS_OK);
    assert_int_equal(g.root_dones, 1);
    guest_close(&g);
}

int test_proxy_done(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(done_right),
        ON_BOTH(done_wrong),
        ON_BOTH(done_inside_on_done),
        ON_BOTH(done_from_a_stream),
    };
    return cmocka_run_group_tests_name("proxy_done", tests, NULL, NULL);
}
