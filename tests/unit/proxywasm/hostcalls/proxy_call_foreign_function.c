/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_call_foreign_function: result protocol, statuses, effective context, the built-in one.
 */
#include "guest.h"

int test_proxy_call_foreign_function(void);

static enum pw_status echo(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments)
{
    assert_string_equal(ctx, "echo's ctx");
    if (arguments.len && !pw_foreign_result(call, (struct pw_slice){"lost", 4}))
        return PW_STATUS_INTERNAL_FAILURE;
    return pw_foreign_result(call, arguments) ? PW_STATUS_OK : PW_STATUS_INTERNAL_FAILURE;
}

static struct pw_stream *seen_stream;
static struct pw_root *seen_root;

static enum pw_status fails(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments)
{
    (void)ctx;
    (void)arguments;
    seen_stream = pw_foreign_stream(call);
    seen_root = pw_foreign_root(call);
    return PW_STATUS_CAS_MISMATCH;
}

static void add_functions(void)
{
    assert_int_equal(pw_host_add_foreign(guest_host(), "echo", fails, NULL), PW_OK);
    assert_int_equal(pw_host_add_foreign(guest_host(), "echo", echo, "echo's ctx"), PW_OK); /* replaced */
    assert_int_equal(pw_host_add_foreign(guest_host(), "fails", fails, NULL), PW_OK);
}

TEST_ON_BOTH(foreign_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    add_functions();
    uint64_t e = guest_text(&g, "echo");
    uint64_t a = guest_text(&g, "args");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_call_foreign_function", ARGS(e, 4, a, 4, p, n)),
                     PW_STATUS_OK);
    guest_assert_given(&g, p, n, "args");
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_call_foreign_function", ARGS(e, 4, 0, 0, p, n)),
                     PW_STATUS_OK);
    guest_assert_given_nothing(&g, p, n);
    /* nobody wants the result */
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_call_foreign_function", ARGS(e, 4, a, 4, 0, 0)),
                     PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_call_foreign_function", ARGS(e, 4, a, 4, 0, n)),
                     PW_STATUS_OK);
    assert_int_equal(guest_out(&g, n), 4);
    guest_close(&g);
}

TEST_ON_BOTH(foreign_statuses)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    add_functions();
    uint64_t u = guest_text(&g, "unknown");
    uint64_t b = guest_text(&g, "fails");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_call_foreign_function", ARGS(u, 7, 0, 0, p, n)),
                     PW_STATUS_NOT_FOUND);
    assert_true(guest_slot_untouched(&g, p));
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_call_foreign_function", ARGS(b, 5, 0, 0, p, n)),
                     PW_STATUS_INTERNAL_FAILURE);
    guest_assert_given_nothing(&g, p, n); /* written even when it fails */
    assert_ptr_equal(seen_stream, g.stream);
    assert_ptr_equal(seen_root, g.root);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_call_foreign_function", ARGS(b, 5, 0, 0, p, n)),
                     PW_STATUS_INTERNAL_FAILURE);
    assert_null(seen_stream);
    guest_forget(&g, IN_TICK);
    guest_plan(&g, IN_TICK, "proxy_set_effective_context", ARGS(2));
    guest_plan(&g, IN_TICK, "proxy_call_foreign_function", ARGS(b, 5, 0, 0, p, n));
    guest_drive(&g, IN_TICK);
    assert_ptr_equal(seen_stream, g.stream);
    guest_close(&g);
}

TEST_ON_BOTH(foreign_clear_route)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint64_t c = guest_text(&g, "clear_route_cache");
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_call_foreign_function", ARGS(c, 17, 0, 0, 0, 0)),
                     PW_STATUS_OK);
    assert_int_equal(g.fake.route_clears, 1);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_call_foreign_function", ARGS(c, 17, 0, 0, 0, 0)),
                     PW_STATUS_OK);
    guest_close(&g);
}

static void foreign_bad_pointer(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    add_functions();
    uint64_t e = guest_text(&g, "echo");
    uint64_t p = guest_slot(&g);
    uint64_t n = guest_slot(&g);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_call_foreign_function", ARGS(guest_bad(&g), 9, 0, 0, p, n)),
        PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(guest_do(&g, IN_HEADERS, "proxy_call_foreign_function", ARGS(e, 4, 0, UINT32_MAX, p, n)),
                     PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_call_foreign_function", ARGS(e, 4, e, 4, guest_bad(&g), n)),
        PW_STATUS_INVALID_MEMORY_ACCESS);
    assert_int_equal(
        guest_do(&g, IN_HEADERS, "proxy_call_foreign_function", ARGS(e, 4, e, 4, p, guest_bad(&g))),
        PW_STATUS_INVALID_MEMORY_ACCESS);
    guest_close(&g);
}

int test_proxy_call_foreign_function(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(foreign_right),
        ON_BOTH(foreign_statuses),
        ON_BOTH(foreign_clear_route),
        cmocka_unit_test(foreign_bad_pointer),
    };
    return cmocka_run_group_tests_name("proxy_call_foreign_function", tests, NULL, NULL);
}
