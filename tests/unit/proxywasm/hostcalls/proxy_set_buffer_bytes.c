/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_set_buffer_bytes: prepend, replace, append, never the middle.
 */
#include "guest.h"

int test_proxy_set_buffer_bytes(void);

TEST_ON_BOTH(set_buffer_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_body(&g.fake, PW_BUFFER_REQUEST_BODY, "0123456789");
    uint64_t v;
    v = guest_text(&g, "ab");
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_set_buffer_bytes", ARGS(0, 0, 0, v, 2)), PW_STATUS_OK);
    assert_string_equal(g.fake.buffers[0], "ab0123456789");
    v = guest_text(&g, "X");
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_set_buffer_bytes", ARGS(0, 0, 4, v, 1)), PW_STATUS_OK);
    assert_string_equal(g.fake.buffers[0], "X23456789");
    v = guest_text(&g, "end");
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_set_buffer_bytes", ARGS(0, 9, 0, v, 3)), PW_STATUS_OK);
    assert_string_equal(g.fake.buffers[0], "X23456789end");
    v = guest_text(&g, "!");
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_set_buffer_bytes", ARGS(0, UINT32_MAX, 5, v, 1)),
                     PW_STATUS_OK);
    assert_string_equal(g.fake.buffers[0], "X23456789end!");
    v = guest_text(&g, "new");
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_set_buffer_bytes", ARGS(0, 0, UINT32_MAX, v, 3)),
                     PW_STATUS_OK);
    assert_string_equal(g.fake.buffers[0], "new");
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_set_buffer_bytes", ARGS(0, 0, UINT32_MAX, 0, 0)),
                     PW_STATUS_OK);
    assert_string_equal(g.fake.buffers[0], "");
    guest_close(&g);
}

TEST_ON_BOTH(set_buffer_middle)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_body(&g.fake, PW_BUFFER_REQUEST_BODY, "0123456789");
    uint64_t v;
    v = guest_text(&g, "x");
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_set_buffer_bytes", ARGS(0, 1, 0, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    v = guest_text(&g, "x");
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_set_buffer_bytes", ARGS(0, 9, 1, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_string_equal(g.fake.buffers[0], "0123456789");
    guest_close(&g);
}

TEST_ON_BOTH(set_buffer_wrong_phase)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_body(&g.fake, PW_BUFFER_REQUEST_BODY, "0123456789");
    uint64_t v;
    v = guest_text(&g, "x");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_buffer_bytes", ARGS(0, 0, 0, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    v = guest_text(&g, "x");
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_set_buffer_bytes", ARGS(0, 0, 0, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    v = guest_text(&g, "x");
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_set_buffer_bytes", ARGS(0, 0, 0, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    v = guest_text(&g, "x");
    assert_int_equal(
        guest_do(&g, IN_BODY, "proxy_set_buffer_bytes", ARGS(PW_BUFFER_VM_CONFIGURATION, 0, 0, v, 1)),
        PW_STATUS_BAD_ARGUMENT);
    v = guest_text(&g, "x");
    assert_int_equal(
        guest_do(&g, IN_BODY, "proxy_set_buffer_bytes", ARGS(PW_BUFFER_PLUGIN_CONFIGURATION, 0, 0, v, 1)),
        PW_STATUS_NOT_FOUND);
    v = guest_text(&g, "x");
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_set_buffer_bytes", ARGS(9, 0, 0, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    v = guest_text(&g, "x");
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_set_buffer_bytes", ARGS(PW_BUFFER_CALL_DATA, 0, 0, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_string_equal(g.fake.buffers[0], "0123456789");
    guest_close(&g);
}

static void set_buffer_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    fake_body(&g.fake, PW_BUFFER_REQUEST_BODY, "0123456789");
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_set_buffer_bytes", ARGS(0, 0, 0, guest_bad(&g), 100)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_set_buffer_bytes", ARGS(0, 0, 0, 0, UINT32_MAX)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_set_buffer_bytes", ARGS(0, 0, 0, UINT32_MAX, UINT32_MAX)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_string_equal(g.fake.buffers[0], "0123456789");
    guest_close(&g);
}

int test_proxy_set_buffer_bytes(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(set_buffer_right),
        ON_BOTH(set_buffer_middle),
        ON_BOTH(set_buffer_wrong_phase),
        cmocka_unit_test(set_buffer_bad_pointer),
    };
    return cmocka_run_group_tests_name("proxy_set_buffer_bytes", tests, NULL, NULL);
}
