/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sdk_vm.c: contexts, their memory and their lifecycle in the SDK, against a host that keeps the
 * contract and one that does not.
 */
#include "fake_host.h"
#include <string.h>
#include <wsdk.h>

struct root {
    unsigned streams, deleted;
    char *big;
};

struct stream {
    char text[40];
};

static void created(struct wsdk_context *ctx)
{
    struct root *root = wsdk_root_state(ctx);
    static const struct stream zero;
    if (wsdk_is_root(ctx))
        return;
    assert_memory_equal(wsdk_state(ctx), &zero, sizeof(zero));
    assert_int_equal((uintptr_t)wsdk_state(ctx) % 16, 0);
    memset(wsdk_state(ctx), 0xaa, sizeof(struct stream));
    root->streams++;
}

static bool configure(struct wsdk_context *ctx, size_t bytes)
{
    struct root *root = wsdk_state(ctx);
    (void)bytes;
    root->big = wsdk_alloc(ctx, 100000);
    return root->big != NULL && root->big[99999] == 0 && wsdk_find(ctx, wsdk_id(ctx)) == ctx &&
           wsdk_find(ctx, 4711) == NULL;
}

static enum wsdk_action request_headers(struct wsdk_context *stream, size_t count, bool end)
{
    struct wsdk_bytes kept = wsdk_keep(stream, WSDK_STR("kept"));
    char *small = wsdk_temp(stream, 100), *large = wsdk_temp(stream, 100000);
    assert_string_equal(kept.data, "kept");
    assert_true(small != NULL && large != NULL && small != large);
    assert_null(wsdk_temp(stream, SIZE_MAX));
    assert_null(wsdk_temp(stream, SIZE_MAX - 20));
    assert_null(wsdk_alloc(stream, SIZE_MAX));
    memset(small, 1, 100);
    memset(large, 2, 100000);
    assert_int_equal(small[99], 1);
    return count == 7 && end ? WSDK_HEADERS_STOP_AND_BUFFER : WSDK_CONTINUE;
}

static bool done(struct wsdk_context *ctx)
{
    return !wsdk_is_root(ctx);
}

static void deleted(struct wsdk_context *ctx)
{
    struct root *root = wsdk_root_state(ctx);
    root->deleted++;
}

static void tick(struct wsdk_context *root)
{
    wsdk_trap(root, "the tick gives up");
}

#define CALLBACKS(ON)                                                                                        \
    ON(on_context_create, created)                                                                           \
    ON(on_configure, configure)                                                                              \
    ON(on_request_headers, request_headers)                                                                  \
    ON(on_done, done)                                                                                        \
    ON(on_tick, tick)                                                                                        \
    ON(on_delete, deleted)
WSDK_PLUGIN("vm", sizeof(struct root), sizeof(struct stream), CALLBACKS);

static void test_table(void **state)
{
    const struct pw_null_plugin *plugin = pw_null_plugin_entry();
    (void)state;
    assert_ptr_equal(plugin, pw_null_plugin_entry());
    assert_string_equal(plugin->name, "vm");
    assert_int_equal(plugin->exports, PW_NULL_BIT(proxy_on_context_create) | PW_NULL_BIT(proxy_on_configure) |
                                          PW_NULL_BIT(proxy_on_request_headers) | PW_NULL_BIT(proxy_on_done) |
                                          PW_NULL_BIT(proxy_on_tick) | PW_NULL_BIT(proxy_on_delete));
}

static void test_lifecycle(void **state)
{
    struct fake_host fake;
    (void)state;
    fake_open(&fake, pw_null_plugin_entry());
    assert_true(fake_configure(&fake, ""));
    fake_stream(&fake, 2);
    assert_int_equal(fake_call(&fake, PW_NULL_CB_proxy_on_request_headers, 2, 7, 1), 3);
    assert_int_equal(fake_call(&fake, PW_NULL_CB_proxy_on_request_headers, 2, 7, 0), 0);
    assert_int_equal(fake_call(&fake, PW_NULL_CB_proxy_on_request_body, 2, 5, 1),
                     0); /* not listed: continue */
    assert_int_equal(fake_call(&fake, PW_NULL_CB_proxy_on_done, 2, 0, 0), 1);
    fake_call(&fake, PW_NULL_CB_proxy_on_log, 2, 0, 0);
    fake_call(&fake, PW_NULL_CB_proxy_on_delete, 2, 0, 0);
    assert_int_equal(fake_call(&fake, PW_NULL_CB_proxy_on_done, 1, 0, 0), 0);
    fake_call(&fake, PW_NULL_CB_proxy_on_delete, 1, 0, 0);
    fake_close(&fake);
}

/* Many streams, freed in another order than made, ids that wrap around the table, and reuse of their memory.
 */
static void test_many_streams(void **state)
{
    struct fake_host fake;
    (void)state;
    fake_open(&fake, pw_null_plugin_entry());
    assert_true(fake_configure(&fake, ""));
    for (uint32_t round = 0; round < 20; round++) {
        uint32_t base = 2 + round * 977;
        for (uint32_t i = 0; i < 500; i++)
            fake_stream(&fake, base + i * 3);
        for (uint32_t i = 0; i < 500; i++) {
            uint32_t id = base + (i * 7919 % 500) * 3;
            assert_int_equal(fake_call(&fake, PW_NULL_CB_proxy_on_request_headers, id, 0, 0), 0);
            fake_call(&fake, PW_NULL_CB_proxy_on_delete, id, 0, 0);
        }
    }
    fake_close(&fake);
}

/* The root goes first: its streams still reach it. */
static void test_root_deleted_before_streams(void **state)
{
    struct fake_host fake;
    (void)state;
    fake_open(&fake, pw_null_plugin_entry());
    assert_true(fake_configure(&fake, ""));
    fake_stream(&fake, 2);
    fake_call(&fake, PW_NULL_CB_proxy_on_delete, 1, 0, 0);
    fake_call(&fake, PW_NULL_CB_proxy_on_request_headers, 2, 0, 0);
    fake_call(&fake, PW_NULL_CB_proxy_on_delete, 2, 0, 0);
    fake_call(&fake, PW_NULL_CB_proxy_on_context_create, 1, 0, 0); /* the id is free again */
    fake_close(&fake);
}

static void expect_trap(enum pw_null_callback callback, uint64_t a, uint64_t b, uint64_t c, size_t nargs,
                        const char *line)
{
    struct fake_host fake;
    const uint64_t args[5] = {a, b, c, 0, 0};
    uint64_t result = 99;
    fake_open(&fake, pw_null_plugin_entry());
    assert_true(fake_configure(&fake, ""));
    fake_stream(&fake, 2);
    assert_int_equal(fake.plugin->call(fake.instance, callback, args, nargs, &result), PW_NULL_TRAPPED);
    if (line != NULL) {
        assert_true(fake_logged(&fake, 5, line));
        /* and nothing runs in it any more */
        assert_int_equal(fake.plugin->call(fake.instance, PW_NULL_CB_proxy_on_done, args, 1, &result),
                         PW_NULL_TRAPPED);
    }
    fake_close(&fake);
}

static void test_traps(void **state)
{
    (void)state;
    expect_trap(PW_NULL_CB_proxy_on_tick, 1, 0, 0, 1, "the tick gives up");
    expect_trap(PW_NULL_CB_proxy_on_request_headers, 3, 0, 0, 3, "unknown context");
    expect_trap(PW_NULL_CB_proxy_on_delete, 0, 0, 0, 1, "unknown context");
    expect_trap(PW_NULL_CB_proxy_on_context_create, 2, 1, 0, 2, "cannot make a context"); /* there is one */
    expect_trap(PW_NULL_CB_proxy_on_context_create, 3, 2, 0, 2,
                "cannot make a context"); /* parent: a stream */
    expect_trap(PW_NULL_CB_proxy_on_context_create, 3, 9, 0, 2, "cannot make a context"); /* parent: nobody */
    expect_trap(PW_NULL_CB_proxy_on_context_create, 0, 0, 0, 2, "cannot make a context");
    expect_trap(PW_NULL_CB_proxy_on_request_headers, 2, 0, 0, 2, NULL); /* one argument too few */
}

static void test_contract_edges(void **state)
{
    struct fake_host fake;
    struct pw_null_host other = {sizeof(other), PW_NULL_CONTRACT_VERSION + 1, NULL};
    uint64_t result = 99;
    (void)state;
    assert_null(pw_null_plugin_entry()->instance_create(&other, NULL));
    fake_open(&fake, pw_null_plugin_entry());
    assert_int_equal(fake.plugin->call(fake.instance, PW_NULL_CALLBACK_COUNT, &result, 1, &result),
                     PW_NULL_MISSING);
    assert_int_equal(result, 99);
    assert_non_null(fake.plugin->allocate(fake.instance, 1));
    assert_non_null(fake.plugin->allocate(fake.instance, 1 << 20));
    assert_null(fake.plugin->allocate(fake.instance, UINT64_MAX));
    fake_close(&fake); /* outside of any callback: freed with the VM */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),        cmocka_unit_test(test_lifecycle),
        cmocka_unit_test(test_many_streams), cmocka_unit_test(test_root_deleted_before_streams),
        cmocka_unit_test(test_traps),        cmocka_unit_test(test_contract_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
