/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_http_call: arguments are checked, then INTERNAL_FAILURE, as the embedder has no client.
 */
#include "guest.h"

int test_proxy_http_call(void);

TEST_ON_BOTH(http_call_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t u = guest_text(&g, "cluster");
    static const char pairs[] = "\3\0\0\0\7\0\0\0\3\0\0\0\5\0\0\0\1\0\0\0\12\0\0\0\1\0\0\0"
                                ":method\0GET\0:path\0/\0:authority\0a";
    uint64_t h = guest_bytes(&g, pairs, sizeof(pairs));
    uint64_t id = guest_slot(&g);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_http_call", ARGS(u, 7, h, sizeof(pairs), 0, 0, 0, 0, 1000, id)),
        PW_STATUS_INTERNAL_FAILURE);
    assert_int_equal(guest_out(&g, id), 0);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_http_call", ARGS(u, 7, h, sizeof(pairs), 0, 0, 0, 0, UINT32_MAX, id)),
        PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_http_call", ARGS(u, 7, h, 4, 0, 0, 0, 0, 1000, id)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_http_call", ARGS(u, 7, 0, 0, 0, 0, 0, 0, 1000, id)),
                     PW_STATUS_BAD_ARGUMENT);
    guest_close(&g);
}

TEST_ON_BOTH(http_call_bad_pointer)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_http_call", ARGS(0, 0, 0, 0, 0, 0, 0, 0, 0, guest_bad(&g))),
        PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

int test_proxy_http_call(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(http_call_right),
        ON_BOTH(http_call_bad_pointer),
    };
    return cmocka_run_group_tests_name("proxy_http_call", tests, NULL, NULL);
}
