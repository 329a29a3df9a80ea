/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_grpc_stream: no client yet: a code that SDKs survive, nothing written.
 */
#include "guest.h"

int test_proxy_grpc_stream(void);

TEST_ON_BOTH(grpc_stream_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t id = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_grpc_stream", ARGS(0, 0, 0, 0, 0, 0, 0, 0, id)),
                     PW_STATUS_INTERNAL_FAILURE);
    assert_true(guest_slot_untouched(&g, id));
    guest_close(&g);
}

static void grpc_stream_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t id = guest_slot(&g);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_grpc_stream", ARGS(guest_bad(&g), 9, 0, 0, 0, 0, 0, 0, id)),
        PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

int test_proxy_grpc_stream(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(grpc_stream_right),
        cmocka_unit_test(grpc_stream_bad_pointer),
    };
    return cmocka_run_group_tests_name("proxy_grpc_stream", tests, NULL, NULL);
}
