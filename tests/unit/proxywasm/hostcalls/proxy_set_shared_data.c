/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_set_shared_data: compare-and-swap, caps, separate namespaces.
 */
#include "guest.h"

int test_proxy_set_shared_data(void);

TEST_ON_BOTH(set_shared_cas)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t k = guest_text(&g, "key");
    uint64_t v = guest_text(&g, "value");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    uint64_t c = guest_slot(&g);
    /* a key that does not exist is made whatever the cas */
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_shared_data", ARGS(k, 3, v, 5, 777)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_shared_data", ARGS(k, 3, p, n, c)), PW_STATUS_OK);
    uint64_t cas = guest_out(&g, c);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_shared_data", ARGS(k, 3, v, 1, cas + 1)),
                     PW_STATUS_CAS_MISMATCH);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_shared_data", ARGS(k, 3, v, 2, cas)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_shared_data", ARGS(k, 3, v, 1, cas)),
                     PW_STATUS_CAS_MISMATCH);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_shared_data", ARGS(k, 3, v, 3, 0)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_get_shared_data", ARGS(k, 3, p, n, c)), PW_STATUS_OK);
    guest_assert_given(&g, p, n, "val");
    assert_true(guest_out(&g, c) > cas);
    guest_close(&g);
}

static void set_shared_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_shared_data", ARGS(guest_bad(&g), 9, 0, 0, 0)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_shared_data", ARGS(0, 0, 0, UINT32_MAX, 0)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

static void set_shared_caps(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_shared_data", ARGS(AT_DATA, 4096 + 1, 0, 0, 0)),
                     PW_STATUS_INTERNAL_FAILURE);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_shared_data", ARGS(AT_DATA, 4096, 0, 0, 0)),
                     PW_STATUS_OK);
    /* 64 MiB a vm_id, in pieces of 1 MiB under different keys */
    unsigned stored = 0;
    while (stored < 100 && guest_do(&g, IN_HEADERS, "proxy_set_shared_data",
                                    ARGS(AT_DATA, stored + 1, AT_HEAP, 1 << 20, 0)) == PW_STATUS_OK)
        stored++;
    assert_int_equal(stored, 63);
    struct pw_host_stats stats;
    pw_host_stats(g.host, &stats);
    assert_int_equal(stats.shared_data_keys, 64);
    assert_in_range(stats.shared_data_bytes, 63 << 20, 64 << 20);
    /* replacing a big one by a small one makes room */
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_set_shared_data", ARGS(AT_DATA, 1, 0, 0, 0)),
                     PW_STATUS_OK);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_set_shared_data", ARGS(AT_DATA, 99, AT_HEAP, 1 << 20, 0)),
        PW_STATUS_OK);
    guest_close(&g);
}

static void set_shared_namespaces(void **state)
{
    (void)state;
    struct guest a, b, c;
    guest_open(&a, &(struct guest_options){.vm_id = "one"});
    guest_open(&b, &(struct guest_options){.vm_id = "two"});
    guest_open(&c, &(struct guest_options){.vm_id = "one"});
    uint64_t k = guest_text(&a, "k");
    assert_int_equal(guest_text(&b, "k"), k);
    assert_int_equal(guest_text(&c, "k"), k);
    uint64_t p = guest_slot(&c), n = guest_slot(&c), cas = guest_slot(&c);
    guest_slot(&b), guest_slot(&b), guest_slot(&b);
    assert_int_equal(guest_do(&a, IN_HEADERS, "proxy_set_shared_data", ARGS(k, 1, k, 1, 0)), PW_STATUS_OK);
    assert_int_equal(guest_do(&b, IN_HEADERS, "proxy_get_shared_data", ARGS(k, 1, p, n, cas)),
                     PW_STATUS_NOT_FOUND);
    guest_close(&a);
    assert_int_equal(guest_do(&c, IN_HEADERS, "proxy_get_shared_data", ARGS(k, 1, p, n, cas)), PW_STATUS_OK);
    guest_assert_given(&c, p, n, "k");
    guest_close(&b);
    guest_close(&c);
    struct pw_host_stats stats;
    pw_host_stats(guest_host(), &stats);
    assert_int_equal(stats.shared_data_keys, 0); /* gone with the last VM */
    assert_int_equal(stats.shared_data_bytes, 0);
}

int test_proxy_set_shared_data(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(set_shared_cas),
        cmocka_unit_test(set_shared_bad_pointer),
        cmocka_unit_test(set_shared_caps),
        cmocka_unit_test(set_shared_namespaces),
    };
    return cmocka_run_group_tests_name("proxy_set_shared_data", tests, NULL, NULL);
}
