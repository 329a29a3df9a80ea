/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_add_header_map_value: names are lower-cased, the embedder may refuse, request headers clear the
 * route.
 */
#include "guest.h"

int test_proxy_add_header_map_value(void);

TEST_ON_BOTH(add_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, ":path", "/p");
    fake_add(&g.fake, 0, "accept", "a");
    fake_add(&g.fake, 0, "accept", "b");
    uint64_t k = guest_text(&g, "ACCEPT");
    uint64_t v = guest_text(&g, "c");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_add_header_map_value", ARGS(0, k, 6, v, 1)),
                     PW_STATUS_OK);
    assert_int_equal(g.fake.maps[0].count, 4);
    assert_string_equal(fake_get(&g.fake, 0, "accept"), "a");
    assert_int_equal(g.fake.route_clears, 1);
    assert_int_equal(guest_do(&g, IN_RESPONSE, "proxy_add_header_map_value", ARGS(2, k, 6, v, 1)),
                     PW_STATUS_OK);
    assert_string_equal(fake_get(&g.fake, 2, "accept"), "c");
    assert_int_equal(g.fake.route_clears, 1);
    assert_int_equal(guest_do(&g, IN_RESPONSE, "proxy_add_header_map_value", ARGS(2, k, 6, 0, 0)),
                     PW_STATUS_OK);
    guest_close(&g);
}

TEST_ON_BOTH(add_phases)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t k = guest_text(&g, "k");
    uint64_t v = guest_text(&g, "v");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_add_header_map_value", ARGS(2, k, 1, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_RESPONSE, "proxy_add_header_map_value", ARGS(0, k, 1, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_add_header_map_value", ARGS(0, k, 1, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_add_header_map_value", ARGS(0, k, 1, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_LOG, "proxy_add_header_map_value", ARGS(2, k, 1, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_add_header_map_value", ARGS(8, k, 1, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_add_header_map_value", ARGS(6, k, 1, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_add_header_map_value", ARGS(4, k, 1, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_add_header_map_value", ARGS(1, k, 1, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    for (int i = 0; i < 4; i++)
        assert_int_equal(g.fake.maps[i].count, 0);
    guest_close(&g);
}

TEST_ON_BOTH(add_refused)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t k = guest_text(&g, "k");
    uint64_t v = guest_text(&g, "v");
    g.fake.write_status = PW_STATUS_BAD_ARGUMENT;
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_add_header_map_value", ARGS(0, k, 1, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(g.fake.route_clears, 0);
    guest_close(&g);
}

TEST_ON_BOTH(add_makes_trailers)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t k = guest_text(&g, "k");
    uint64_t v = guest_text(&g, "v");
    fake_body(&g.fake, PW_BUFFER_REQUEST_BODY, "0123456789");
    assert_false(g.fake.maps[1].exists);
    assert_int_equal(guest_do(&g, IN_BODY, "proxy_add_header_map_value", ARGS(1, k, 1, v, 1)),
                     PW_STATUS_BAD_ARGUMENT);
    struct guest_step s = guest_plan(&g, IN_BODY, "proxy_add_header_map_value", ARGS(1, k, 1, v, 1));
    guest_drive_eos(&g, IN_BODY, true);
    assert_int_equal(guest_result(&g, s), PW_STATUS_OK);
    assert_string_equal(fake_get(&g.fake, 1, "k"), "v");
    guest_close(&g);
}

static void add_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t k = guest_text(&g, "k");
    uint64_t v = guest_text(&g, "v");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_add_header_map_value", ARGS(0, guest_bad(&g), 9, v, 1)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_add_header_map_value", ARGS(0, k, 1, v, UINT32_MAX)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_add_header_map_value", ARGS(0, k, UINT32_MAX, v, 1)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(g.fake.maps[0].count, 0);
    guest_close(&g);
}

static uint64_t taken(void)
{
    struct pw_host_stats stats;
    pw_host_stats(guest_host(), &stats);
    return stats.memory_bytes;
}

/* What is written counts against what all VMs may hold, to the byte when that is short. */
TEST_ON_BOTH(add_is_charged)
{
    enum { LEN = 250 };
    static char text[LEN];
    struct guest g;
    uint64_t before = taken();
    guest_open(&g, &(struct guest_options){.engine = engine});
    memset(text, 'v', sizeof(text));
    uint64_t idle = taken();
    uint64_t k = guest_text(&g, "k");
    uint64_t v = guest_bytes(&g, text, LEN);
    pw_host_set_memory_max(guest_host(), idle + LEN);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_add_header_map_value", ARGS(0, k, 1, v, LEN)),
                     PW_STATUS_INTERNAL_FAILURE);
    pw_host_set_memory_max(guest_host(), idle + LEN + 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_add_header_map_value", ARGS(0, k, 1, v, LEN)),
                     PW_STATUS_OK);
    assert_int_equal(taken(), idle + LEN + 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_add_header_map_value", ARGS(0, k, 1, v, 1)),
                     PW_STATUS_INTERNAL_FAILURE);
    pw_host_set_memory_max(guest_host(), UINT64_MAX);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_add_header_map_value", ARGS(0, k, 1, v, LEN)),
                         PW_STATUS_OK);
    assert_true(taken() >= idle + 41 * (LEN + 1));
    /* When the stream is gone only a little is kept for the next, and nothing when the VM is. */
    pw_stream_destroy(&g.stream);
    assert_true(taken() <= idle + 2 * PREPAID_BYTES);
    guest_close(&g);
    assert_int_equal(taken(), before);
}

int test_proxy_add_header_map_value(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(add_right),          ON_BOTH(add_phases),     ON_BOTH(add_refused),
        ON_BOTH(add_makes_trailers), ON_BOTH(add_is_charged), cmocka_unit_test(add_bad_pointer),
    };
    return cmocka_run_group_tests_name("proxy_add_header_map_value", tests, NULL, NULL);
}
