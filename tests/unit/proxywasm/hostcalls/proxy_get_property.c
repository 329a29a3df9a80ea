/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_get_property: paths, typed values, the three that the library answers, statuses that SDKs survive.
 */
#include "guest.h"

int test_proxy_get_property(void);

TEST_ON_BOTH(property_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t path;
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    path = guest_bytes(&g, "request\0path", sizeof("request\0path") - 1);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("request\0path") - 1, p, n)),
        PW_STATUS_OK);
    guest_assert_given(&g, p, n, "/a?b");
    path = guest_bytes(&g, "request\0path\0", sizeof("request\0path\0") - 1);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("request\0path\0") - 1, p, n)),
        PW_STATUS_OK);
    guest_assert_given(&g, p, n, "/a?b");
    assert_int_equal(g.fake.property_path_len, 12);
    path = guest_bytes(&g, "copied", sizeof("copied") - 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("copied") - 1, p, n)),
                     PW_STATUS_OK);
    guest_assert_given(&g, p, n, "kept");
    path = guest_bytes(&g, "empty", sizeof("empty") - 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("empty") - 1, p, n)),
                     PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    guest_close(&g);
}

TEST_ON_BOTH(property_types)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t path;
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    path = guest_bytes(&g, "int", sizeof("int") - 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("int") - 1, p, n)),
                     PW_STATUS_OK);
    assert_int_equal(guest_out(&g, n), 8);
    assert_memory_equal(guest_ptr(&g, guest_out(&g, p)), "\xfe\xff\xff\xff\xff\xff\xff\xff", 8);
    path = guest_bytes(&g, "uint", sizeof("uint") - 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("uint") - 1, p, n)),
                     PW_STATUS_OK);
    assert_memory_equal(guest_ptr(&g, guest_out(&g, p)), "\1\2\0\0\0\0\0\0", 8);
    path = guest_bytes(&g, "double", sizeof("double") - 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("double") - 1, p, n)),
                     PW_STATUS_OK);
    assert_memory_equal(guest_ptr(&g, guest_out(&g, p)), "\0\0\0\0\0\0\xf0\x3f", 8);
    path = guest_bytes(&g, "bool", sizeof("bool") - 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("bool") - 1, p, n)),
                     PW_STATUS_OK);
    assert_int_equal(guest_out(&g, n), 1);
    assert_int_equal(*guest_ptr(&g, guest_out(&g, p)), 1);
    path = guest_bytes(&g, "map", sizeof("map") - 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("map") - 1, p, n)),
                     PW_STATUS_OK);
    assert_int_equal(guest_out(&g, n), 16);
    assert_memory_equal(guest_ptr(&g, guest_out(&g, p)), "\1\0\0\0\1\0\0\0\1\0\0\0k\0v\0", 16);
    guest_close(&g);
}

TEST_ON_BOTH(property_own)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t path;
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    path = guest_bytes(&g, "plugin_name", sizeof("plugin_name") - 1);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("plugin_name") - 1, p, n)),
        PW_STATUS_OK);
    guest_assert_given(&g, p, n, "steps");
    path = guest_bytes(&g, "plugin_root_id", sizeof("plugin_root_id") - 1);
    assert_int_equal(
        guest_do(&g, IN_TICK, "proxy_get_property", ARGS(path, sizeof("plugin_root_id") - 1, p, n)),
        PW_STATUS_OK);
    guest_assert_given(&g, p, n, "the_root");
    path = guest_bytes(&g, "plugin_vm_id", sizeof("plugin_vm_id") - 1);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("plugin_vm_id") - 1, p, n)),
        PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    /* the embedder was not asked */
    assert_int_equal(g.fake.property_path_len, 0);
    path = guest_bytes(&g, "plugin_nam", sizeof("plugin_nam") - 1);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("plugin_nam") - 1, p, n)),
        PW_STATUS_NOT_FOUND);
    guest_close(&g);
}

TEST_ON_BOTH(property_statuses)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t path;
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    path = guest_bytes(&g, "unknown", sizeof("unknown") - 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("unknown") - 1, p, n)),
                     PW_STATUS_NOT_FOUND);
    assert_true(guest_slot_untouched(&g, p));
    path = guest_bytes(&g, "null", sizeof("null") - 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("null") - 1, p, n)),
                     PW_STATUS_SERIALIZATION_FAILURE);
    path = guest_bytes(&g, "odd", sizeof("odd") - 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("odd") - 1, p, n)),
                     PW_STATUS_INTERNAL_FAILURE);
    path = guest_bytes(&g, "request\0path", sizeof("request\0path") - 1);
    assert_int_equal(
        guest_do(&g, IN_TICK, "proxy_get_property", ARGS(path, sizeof("request\0path") - 1, p, n)),
        PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, 0, p, n)),
                     PW_STATUS_SERIALIZATION_FAILURE);
    guest_close(&g);
}

static void property_over_cap(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.limits.host_bytes_max = 20000});
    uint64_t path;
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    path = guest_bytes(&g, "big", sizeof("big") - 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("big") - 1, p, n)),
                     PW_STATUS_INTERNAL_FAILURE);
    path = guest_bytes(&g, "copied", sizeof("copied") - 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, sizeof("copied") - 1, p, n)),
                     PW_STATUS_OK);
    guest_close(&g);
}

static void property_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t path;
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    path = guest_bytes(&g, "request\0path", sizeof("request\0path") - 1);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(guest_bad(&g), 12, p, n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, UINT32_MAX, p, n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, 12, guest_bad(&g), n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_true(guest_slot_untouched(&g, n));
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(path, 12, p, guest_bad(&g))),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    /* the first write stays (ABI 3.16) */
    assert_false(guest_slot_untouched(&g, p));
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_get_property", ARGS(0, PROPERTY_PATH_BYTES_MAX + 2, p, n)),
        PW_STATUS_NOT_FOUND);
    guest_close(&g);
}

TEST_ON_BOTH(property_in_context_create)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .vm_id = "v", .no_root = true});
    uint64_t path = guest_text(&g, "plugin_root_id");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    struct guest_step s =
        guest_plan(&g, GUEST_proxy_on_context_create, "proxy_get_property", ARGS(path, 14, p, n));
    assert_int_equal(guest_root(&g), PW_OK);
    assert_int_equal(guest_result(&g, s), PW_STATUS_OK);
    guest_assert_given(&g, p, n, "the_root");
    guest_close(&g);
}

int test_proxy_get_property(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(property_right),
        ON_BOTH(property_types),
        ON_BOTH(property_own),
        ON_BOTH(property_statuses),
        cmocka_unit_test(property_over_cap),
        cmocka_unit_test(property_bad_pointer),
        ON_BOTH(property_in_context_create),
    };
    return cmocka_run_group_tests_name("proxy_get_property", tests, NULL, NULL);
}
