/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_grpc_close: no call exists.
 */
#include "guest.h"

int test_proxy_grpc_close(void);

TEST_ON_BOTH(grpc_close_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_grpc_close", ARGS(5)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_close", ARGS(0)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_close", ARGS(UINT32_MAX)), PW_STATUS_BAD_ARGUMENT);
    guest_close(&g);
}

int test_proxy_grpc_close(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(grpc_close_right),
    };
    return cmocka_run_group_tests_name("proxy_grpc_close", tests, NULL, NULL);
}
