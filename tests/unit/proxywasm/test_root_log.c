/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a root context is given beyond its own life: a stream to log, Envoy's statistics; and the order in
 * which a TCP stream ends.
 */
#include "guest.h"

TEST_ON_BOTH(logging)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .no_stream = true});
    fake_stream_init(&g.fake);
    fake_add(&g.fake, PW_MAP_REQUEST_HEADERS, ":path", "/p");
    fake_add(&g.fake, PW_MAP_REQUEST_TRAILERS, "t", "hidden");
    uint64_t path = guest_text(&g, ":path"), t = guest_text(&g, "t"), v = guest_text(&g, "v");
    uint64_t value = guest_slot(&g), size = guest_slot(&g), other = guest_slot(&g);
    struct guest_step read = guest_plan(&g, IN_LOG, "proxy_get_header_map_value",
                                        ARGS(PW_MAP_REQUEST_HEADERS, path, 5, value, size));
    struct guest_step trailer = guest_plan(&g, IN_LOG, "proxy_get_header_map_value",
                                           ARGS(PW_MAP_REQUEST_TRAILERS, t, 1, other, other));
    struct guest_step absent = guest_plan(&g, IN_LOG, "proxy_get_header_map_value",
                                          ARGS(PW_MAP_RESPONSE_HEADERS, path, 5, other, other));
    struct guest_step write =
        guest_plan(&g, IN_LOG, "proxy_add_header_map_value", ARGS(PW_MAP_REQUEST_HEADERS, t, 1, v, 1));
    struct guest_step set = guest_plan(&g, IN_LOG, "proxy_set_property", ARGS(t, 1, v, 1));
    struct guest_step on = guest_plan(&g, IN_LOG, "proxy_continue_stream", ARGS(PW_STREAM_HTTP_REQUEST));
    pw_root_log(g.root, &fake_stream_ops, &g.fake);
    assert_int_equal(guest_calls(&g, IN_LOG), 1);
    assert_int_equal(guest_arg(&g, IN_LOG, 0), 1); /* the root */
    assert_int_equal(guest_result(&g, read), PW_STATUS_OK);
    guest_assert_given(&g, value, size, "/p");
    assert_int_equal(guest_result(&g, trailer), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_result(&g, absent), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_result(&g, write), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_result(&g, set), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_result(&g, on), PW_STATUS_OK);
    assert_string_equal(g.fake.order, "");
    assert_int_equal(g.fake.maps[PW_MAP_REQUEST_HEADERS].count, 1);
    /* Nothing is left of it in the next callback. */
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_get_header_map_value",
                              ARGS(PW_MAP_REQUEST_HEADERS, path, 5, other, other)),
                     PW_STATUS_BAD_ARGUMENT);
    guest_close(&g);
}

TEST_ON_BOTH(logging_traps)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .no_stream = true});
    fake_stream_init(&g.fake);
    guest_plan(&g, IN_LOG, NULL, NULL, 0);
    pw_root_log(g.root, &fake_stream_ops, &g.fake);
    assert_true(pw_vm_failed(g.vm));
    assert_int_equal(g.failures, 1);
    assert_int_equal(g.fake.vm_failures, 0); /* it is no stream of the VM */
    pw_root_log(g.root, &fake_stream_ops, &g.fake);
    assert_int_equal(guest_calls(&g, IN_LOG), 1);
    guest_close(&g);
}

TEST_ON_BOTH(tcp_ends_logged)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t path = guest_text(&g, "k"), out = guest_slot(&g);
    struct guest_step seen = guest_plan(&g, IN_LOG, "proxy_get_property", ARGS(path, 1, out, guest_slot(&g)));
    pw_stream_destroy_logged(&g.stream);
    assert_null(g.stream);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_done), 1);
    assert_int_equal(guest_calls(&g, IN_LOG), 1);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_delete), 1);
    assert_true(guest_ran(&g, seen));
    pw_stream_destroy_logged(&g.stream); /* nothing there: fine */
    guest_close(&g);
}

TEST_ON_BOTH(statistics)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .no_stream = true});
    if (!(g.vm->exports >> GUEST_envoy_on_stats_update & 1)) { /* the scripted guest does not have it */
        pw_root_stats_update(g.root, (struct pw_slice){"snapshot", 8});
        assert_int_equal(guest_calls(&g, IN_TICK), 0);
        assert_false(pw_vm_failed(g.vm));
        guest_close(&g);
        return;
    }
    uint64_t value = guest_slot(&g), size = guest_slot(&g);
    struct guest_step read = guest_plan(&g, GUEST_envoy_on_stats_update, "proxy_get_buffer_bytes",
                                        ARGS(PW_BUFFER_CALL_DATA, 0, 100, value, size));
    pw_root_stats_update(g.root, (struct pw_slice){"snapshot", 8});
    assert_int_equal(guest_arg(&g, GUEST_envoy_on_stats_update, 1), 8);
    assert_int_equal(guest_result(&g, read), PW_STATUS_OK);
    guest_assert_given(&g, value, size, "snapshot");
    assert_int_equal(g.vm->foreign_arguments.len, 0);
    guest_close(&g);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(logging),
        ON_BOTH(logging_traps),
        ON_BOTH(tcp_ends_logged),
        ON_BOTH(statistics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
