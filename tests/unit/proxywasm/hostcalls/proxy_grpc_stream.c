/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_grpc_stream: numbers, the sequence of what comes back, what is readable in it, caps.
 */
#include "guest.h"

int test_proxy_grpc_stream(void);

struct call {
    uint64_t args[9];
};

static struct call call_of(struct guest *g)
{
    return (struct call){
        {guest_text(g, "cluster"), 7, guest_text(g, "p.S"), 3, guest_text(g, "M"), 1, 0, 0, guest_slot(g)}};
}

static uint32_t do_call(struct guest *g, enum guest_function in, const struct call *call)
{
    return guest_do(g, in, "proxy_grpc_stream", call->args, 9);
}

static const struct pw_pair metadata[] = {{{"k", 1}, {"v", 1}}};

TEST_ON_BOTH(grpc_stream_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    struct call c = call_of(&g);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, c.args[8]), 6);
    assert_string_equal(g.callouts.asked, "cluster|/p.S/M|||0");
    struct pw_callout *stream = g.callouts.open[0];
    uint64_t k = guest_text(&g, "k"), p[3], n[3];
    static const enum guest_function in[] = {GUEST_proxy_on_grpc_receive_initial_metadata,
                                             GUEST_proxy_on_grpc_receive_trailing_metadata};
    struct guest_step own[2], other[2];
    for (size_t i = 0; i < 2; i++) {
        p[i] = guest_slot(&g), n[i] = guest_slot(&g);
        own[i] = guest_plan(&g, in[i], "proxy_get_header_map_value", ARGS(4 + i, k, 1, p[i], n[i]));
        other[i] = guest_plan(&g, in[i], "proxy_get_header_map_value", ARGS(5 - i, k, 1, p[i], n[i]));
    }
    p[2] = guest_slot(&g), n[2] = guest_slot(&g);
    struct guest_step body = guest_plan(&g, GUEST_proxy_on_grpc_receive, "proxy_get_buffer_bytes",
                                        ARGS(PW_BUFFER_GRPC_MESSAGE, 0, 99, p[2], n[2]));
    pw_callout_grpc_initial_metadata(stream, metadata, 1);
    pw_callout_grpc_message(stream, (struct pw_slice){"one", 3});
    guest_assert_given(&g, p[2], n[2], "one");
    pw_callout_grpc_message(stream, (struct pw_slice){"", 0});
    guest_assert_given_nothing(&g, p[2], n[2]);
    pw_callout_grpc_trailing_metadata(stream, metadata, 1);
    pw_callout_grpc_close(&stream, 0, (struct pw_slice){"", 0});
    assert_null(stream);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(guest_calls(&g, in[i]), 1);
        assert_int_equal(guest_arg(&g, in[i], 1), 6);
        assert_int_equal(guest_arg(&g, in[i], 2), 1);
        assert_int_equal(guest_result(&g, own[i]), PW_STATUS_OK);
        assert_int_equal(guest_result(&g, other[i]), PW_STATUS_BAD_ARGUMENT);
    }
    assert_int_equal(guest_result(&g, body), PW_STATUS_OK);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_grpc_receive), 2);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_grpc_close), 1);
    guest_close(&g);
}

TEST_ON_BOTH(grpc_stream_bad_pointer)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    struct call c = call_of(&g);
    for (size_t i = 0; i <= 8; i += 2) {
        struct call bad = c;
        bad.args[i] = guest_bad(&g);
        if (i < 8)
            bad.args[i + 1] = 100;
        assert_int_equal(do_call(&g, IN_TICK, &bad), PW_STATUS_INVALID_MEMORY_ACCESS);
    }
    assert_int_equal(g.callouts.started, 0);
    g.callouts.answer = PW_STATUS_PARSE_FAILURE;
    assert_int_equal(do_call(&g, IN_TICK, &c), PW_STATUS_PARSE_FAILURE);
    assert_true(guest_slot_untouched(&g, c.args[8]));
    guest_close(&g);
}

TEST_ON_BOTH(grpc_stream_caps)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .limits = {.grpc_streams_max = 1}});
    struct call c = call_of(&g);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_INTERNAL_FAILURE);
    /* One that the peer has ended is no longer under way, though its number lives on. */
    struct guest_step next = guest_plan(&g, GUEST_proxy_on_grpc_close, "proxy_grpc_stream", c.args, 9);
    pw_callout_grpc_close(&g.callouts.open[0], 2, (struct pw_slice){"", 0});
    assert_int_equal(guest_result(&g, next), PW_STATUS_OK);
    guest_forget(&g, GUEST_proxy_on_grpc_close);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_close", ARGS(6)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_close", ARGS(6)), PW_STATUS_NOT_FOUND);
    guest_close(&g);
}

/* Only so many numbers of ended streams are kept. */
TEST_ON_BOTH(grpc_stream_forgotten)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    struct call c = call_of(&g);
    for (unsigned i = 0; i < 65; i++) {
        assert_int_equal(do_call(&g, IN_TICK, &c), PW_STATUS_OK);
        struct pw_callout *stream = g.callouts.open[--g.callouts.count];
        pw_callout_grpc_close(&stream, 0, (struct pw_slice){"", 0});
    }
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_close", ARGS(6)), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_grpc_close", ARGS(10)), PW_STATUS_OK);
    guest_close(&g);
}

TEST_ON_BOTH(grpc_stream_from_start)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .no_root = true, .no_attach = true});
    struct call c = call_of(&g);
    uint64_t m = guest_text(&g, "early");
    guest_plan(&g, GUEST_proxy_on_configure, "proxy_grpc_stream", c.args, 9);
    struct guest_step send = guest_plan(&g, GUEST_proxy_on_configure, "proxy_grpc_send", ARGS(6, m, 5, 0));
    struct guest_step close = guest_plan(&g, GUEST_proxy_on_configure, "proxy_grpc_close", ARGS(6));
    struct guest_step late = guest_plan(&g, GUEST_proxy_on_configure, "proxy_grpc_send", ARGS(6, m, 5, 0));
    assert_int_equal(guest_root(&g), PW_OK);
    assert_int_equal(guest_result(&g, send), PW_STATUS_OK);
    assert_int_equal(guest_result(&g, close), PW_STATUS_OK);
    assert_int_equal(guest_result(&g, late), PW_STATUS_BAD_ARGUMENT);
    memset(guest_ptr(&g, m), 'X', 5);
    guest_attach(&g);
    assert_int_equal(g.callouts.started, 1);
    assert_int_equal(g.callouts.sends, 2);
    assert_true(g.callouts.end);
    guest_close(&g);
    assert_int_equal(g.callouts.cancels, 1);
}

TEST_ON_BOTH(grpc_stream_refused_at_attach)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .no_root = true, .no_attach = true});
    struct call c = call_of(&g);
    uint64_t m = guest_text(&g, "early");
    guest_plan(&g, GUEST_proxy_on_configure, "proxy_grpc_stream", c.args, 9);
    guest_plan(&g, GUEST_proxy_on_configure, "proxy_grpc_send", ARGS(6, m, 5, 0));
    assert_int_equal(guest_root(&g), PW_OK);
    g.callouts.answer = PW_STATUS_PARSE_FAILURE;
    guest_attach(&g);
    assert_int_equal(g.callouts.sends, 0);
    pw_vm_run(g.vm);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_grpc_close), 1);
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_grpc_close, 2), 14);
    guest_close(&g);
    assert_int_equal(g.callouts.cancels, 0);
}

int test_proxy_grpc_stream(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(grpc_stream_right),      ON_BOTH(grpc_stream_bad_pointer),
        ON_BOTH(grpc_stream_caps),       ON_BOTH(grpc_stream_forgotten),
        ON_BOTH(grpc_stream_from_start), ON_BOTH(grpc_stream_refused_at_attach),
    };
    return cmocka_run_group_tests_name("proxy_grpc_stream", tests, NULL, NULL);
}
