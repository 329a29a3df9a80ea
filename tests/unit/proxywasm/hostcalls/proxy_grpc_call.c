/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_grpc_call: numbers, refusals, the one answer or the one failure, start-up.
 */
#include "guest.h"

int test_proxy_grpc_call(void);

struct call {
    uint64_t args[12];
};

static struct call call_of(struct guest *g)
{
    static const char pair[] = "\1\0\0\0\1\0\0\0\1\0\0\0a\0b";
    return (struct call){{guest_text(g, "cluster"), 7, guest_text(g, "p.S"), 3, guest_text(g, "M"), 1,
                          guest_bytes(g, pair, sizeof(pair)), sizeof(pair), guest_text(g, "message"), 7, 500,
                          guest_slot(g)}};
}

static uint32_t do_call(struct guest *g, enum guest_function in, const struct call *call)
{
    return guest_do(g, in, "proxy_grpc_call", call->args, 12);
}

TEST_ON_BOTH(grpc_call_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    struct call c = call_of(&g);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, c.args[11]), 5);
    assert_string_equal(g.callouts.asked, "cluster|/p.S/M|a=b,|message|500");
    assert_int_equal(do_call(&g, IN_TICK, &c), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, c.args[11]), 9);
    /* Success is the message alone. */
    uint64_t p = guest_slot(&g), n = guest_slot(&g);
    struct guest_step body = guest_plan(&g, GUEST_proxy_on_grpc_receive, "proxy_get_buffer_bytes",
                                        ARGS(PW_BUFFER_GRPC_MESSAGE, 0, 99, p, n));
    struct guest_step cancel = guest_plan(&g, GUEST_proxy_on_grpc_receive, "proxy_grpc_cancel", ARGS(5));
    pw_callout_grpc_answer(&g.callouts.open[0], (struct pw_slice){"answer", 6});
    assert_int_equal(guest_result(&g, body), PW_STATUS_OK);
    guest_assert_given(&g, p, n, "answer");
    assert_int_equal(guest_result(&g, cancel), PW_STATUS_OK); /* the number is known inside */
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_grpc_close), 0);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_cancel", ARGS(5)), PW_STATUS_NOT_FOUND);
    assert_int_equal(
        guest_do(&g, IN_TICK, "proxy_get_buffer_bytes", ARGS(PW_BUFFER_GRPC_MESSAGE, 0, 99, p, n)),
        PW_STATUS_NOT_FOUND);
    /* Failure is the status alone. */
    uint64_t code = guest_slot(&g), mp = guest_slot(&g), mn = guest_slot(&g);
    struct guest_step status =
        guest_plan(&g, GUEST_proxy_on_grpc_close, "proxy_get_status", ARGS(code, mp, mn));
    pw_callout_grpc_close(&g.callouts.open[1], 7, (struct pw_slice){"denied", 6});
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_grpc_close, 1), 9);
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_grpc_close, 2), 7);
    assert_int_equal(guest_result(&g, status), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, code), 7);
    guest_assert_given(&g, mp, mn, "denied");
    guest_close(&g);
    assert_int_equal(g.callouts.cancels, 0);
}

TEST_ON_BOTH(grpc_call_refused)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    struct call c = call_of(&g);
    g.callouts.answer = PW_STATUS_PARSE_FAILURE;
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_PARSE_FAILURE);
    assert_true(guest_slot_untouched(&g, c.args[11]));
    g.callouts.answer = PW_STATUS_INTERNAL_FAILURE;
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_INTERNAL_FAILURE);
    assert_true(guest_slot_untouched(&g, c.args[11]));
    g.callouts.answer = PW_STATUS_OK;
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, c.args[11]), 9);
    c.args[7] = 3; /* malformed metadata is none */
    c.args[9] = 0; /* an empty message is one */
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    assert_string_equal(g.callouts.asked, "cluster|/p.S/M|||500");
    guest_close(&g);
}

TEST_ON_BOTH(grpc_call_bad_pointer)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    struct call c = call_of(&g);
    for (size_t i = 0; i <= 10; i += 2) {
        struct call bad = c;
        bad.args[i < 10 ? i : 11] = guest_bad(&g);
        if (i < 10)
            bad.args[i + 1] = 100;
        assert_int_equal(do_call(&g, IN_HEADERS, &bad), PW_STATUS_INVALID_MEMORY_ACCESS);
    }
    assert_int_equal(g.callouts.started, 0);
    guest_close(&g);
}

TEST_ON_BOTH(grpc_call_from_start)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .no_root = true, .no_attach = true});
    struct call c = call_of(&g);
    guest_plan(&g, GUEST_proxy_on_configure, "proxy_grpc_call", c.args, 12);
    guest_plan(&g, GUEST_proxy_on_configure, "proxy_grpc_call", c.args, 12);
    struct guest_step cancel = guest_plan(&g, GUEST_proxy_on_configure, "proxy_grpc_cancel", ARGS(5));
    assert_int_equal(guest_root(&g), PW_OK);
    assert_int_equal(guest_result(&g, cancel), PW_STATUS_OK);
    guest_attach(&g);
    assert_int_equal(g.callouts.started, 1);
    assert_int_equal(pw_callout_id(g.callouts.open[0]), 9);
    assert_string_equal(g.callouts.asked, "cluster|/p.S/M|a=b,|message|500");
    guest_close(&g);
    assert_int_equal(g.callouts.cancels, 1);
}

int test_proxy_grpc_call(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(grpc_call_right),
        ON_BOTH(grpc_call_refused),
        ON_BOTH(grpc_call_bad_pointer),
        ON_BOTH(grpc_call_from_start),
    };
    return cmocka_run_group_tests_name("proxy_grpc_call", tests, NULL, NULL);
}
