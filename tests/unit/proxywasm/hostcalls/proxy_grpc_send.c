/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_grpc_send: no stream exists.
 */
#include "guest.h"

int test_proxy_grpc_send(void);

TEST_ON_BOTH(grpc_send_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_grpc_send", ARGS(6, 0, 0, 0)), PW_STATUS_NOT_FOUND);
    guest_close(&g);
}

static void grpc_send_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_grpc_send", ARGS(6, 0, UINT32_MAX, 0)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

int test_proxy_grpc_send(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(grpc_send_right),
        cmocka_unit_test(grpc_send_bad_pointer),
    };
    return cmocka_run_group_tests_name("proxy_grpc_send", tests, NULL, NULL);
}
