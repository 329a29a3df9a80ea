/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_set_effective_context: any live id, until the callback returns.
 */
#include "guest.h"

int test_proxy_set_effective_context(void);

TEST_ON_BOTH(effective_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t k = guest_text(&g, "accept");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    guest_returns(&g, IN_HEADERS, 1);
    guest_drive(&g, IN_HEADERS);
    guest_plan(&g, IN_TICK, "proxy_set_effective_context", ARGS(2));
    struct guest_step in = guest_plan(&g, IN_TICK, "proxy_get_header_map_value", ARGS(0, k, 6, p, n));
    guest_plan(&g, IN_TICK, "proxy_set_effective_context", ARGS(0));
    struct guest_step out = guest_plan(&g, IN_TICK, "proxy_get_header_map_value", ARGS(0, k, 6, p, n));
    guest_plan(&g, IN_TICK, "proxy_set_effective_context", ARGS(2));
    guest_drive(&g, IN_TICK);
    assert_int_equal(guest_result(&g, in), PW_STATUS_OK);
    assert_int_equal(guest_result(&g, out), PW_STATUS_BAD_ARGUMENT);
    /* gone with the callback */
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_get_header_map_value", ARGS(0, k, 6, p, n)),
                     PW_STATUS_BAD_ARGUMENT);
    guest_close(&g);
}

TEST_ON_BOTH(effective_wrong)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_effective_context", ARGS(3)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_effective_context", ARGS(UINT32_MAX)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_effective_context", ARGS(1)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_effective_context", ARGS(2)), PW_STATUS_OK);
    pw_stream_destroy(&g.stream);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_set_effective_context", ARGS(2)), PW_STATUS_BAD_ARGUMENT);
    guest_close(&g);
}

TEST_ON_BOTH(effective_in_done)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    struct guest_step s = guest_plan(&g, GUEST_proxy_on_delete, "proxy_set_effective_context", ARGS(2));
    pw_stream_destroy(&g.stream);
    assert_int_equal(guest_result(&g, s), PW_STATUS_OK); /* lives until on_delete has returned */
    guest_close(&g);
}

int test_proxy_set_effective_context(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(effective_right),
        ON_BOTH(effective_wrong),
        ON_BOTH(effective_in_done),
    };
    return cmocka_run_group_tests_name("proxy_set_effective_context", tests, NULL, NULL);
}
