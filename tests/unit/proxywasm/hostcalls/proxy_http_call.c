/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_http_call: numbers, refusals, the answer's maps and body, failure, caps, start-up.
 */
#include "guest.h"

int test_proxy_http_call(void);

#define IN_ANSWER GUEST_proxy_on_http_call_response

static const char three[] = "\3\0\0\0\7\0\0\0\3\0\0\0\5\0\0\0\1\0\0\0\12\0\0\0\1\0\0\0"
                            ":method\0GET\0:path\0/\0:authority\0a";

/* The arguments of a call that is right. */
struct call {
    uint64_t args[10];
};

static struct call call_of(struct guest *g)
{
    return (struct call){{guest_text(g, "cluster"), 7, guest_bytes(g, three, sizeof(three)), sizeof(three),
                          guest_text(g, "body"), 4, 0, 0, 1000, guest_slot(g)}};
}

static uint32_t do_call(struct guest *g, enum guest_function in, const struct call *call)
{
    return guest_do(g, in, "proxy_http_call", call->args, 10);
}

static const struct pw_pair answer_headers[] = {{{":status", 7}, {"200", 3}}, {{"x-a", 3}, {"1", 1}}};
static const struct pw_pair answer_trailers[] = {{{"x-t", 3}, {"2", 1}}};
static const struct pw_http_answer answer = {answer_headers, 2, {"hello", 5}, answer_trailers, 1};

TEST_ON_BOTH(http_call_right)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    struct call c = call_of(&g);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, c.args[9]), 4);
    assert_string_equal(g.callouts.asked, "cluster|:method=GET,:path=/,:authority=a,|body||1000");
    assert_int_equal(do_call(&g, IN_TICK, &c), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, c.args[9]), 8);
    assert_int_equal(do_call(&g, IN_LOG, &c), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, c.args[9]), 12);
    assert_int_equal(g.callouts.count, 3);
    assert_int_equal(pw_callout_id(g.callouts.open[1]), 8);
    assert_ptr_equal(pw_callout_root(g.callouts.open[0]), g.root);
    struct pw_vm_stats stats;
    pw_vm_stats(g.vm, &stats);
    assert_int_equal(stats.callouts, 3);
    assert_true(stats.callout_bytes > 3 * 11);
    guest_close(&g);
    assert_int_equal(g.callouts.cancels, 3);
}

TEST_ON_BOTH(http_call_answer)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    struct call c = call_of(&g);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    uint64_t name = guest_text(&g, "X-A"), p = guest_slot(&g), n = guest_slot(&g), bp = guest_slot(&g),
             bn = guest_slot(&g), tp = guest_slot(&g), tn = guest_slot(&g), sp = guest_slot(&g),
             trailer = guest_text(&g, "x-t");
    /* The stream is made effective first: the answer stays readable. */
    guest_plan(&g, IN_ANSWER, "proxy_set_effective_context", ARGS(2));
    struct guest_step get = guest_plan(&g, IN_ANSWER, "proxy_get_header_map_value",
                                       ARGS(PW_MAP_HTTP_CALL_HEADERS, name, 3, p, n));
    struct guest_step body =
        guest_plan(&g, IN_ANSWER, "proxy_get_buffer_bytes", ARGS(PW_BUFFER_HTTP_CALL_BODY, 1, 3, bp, bn));
    struct guest_step tail = guest_plan(&g, IN_ANSWER, "proxy_get_header_map_value",
                                        ARGS(PW_MAP_HTTP_CALL_TRAILERS, trailer, 3, tp, tn));
    struct guest_step missing = guest_plan(&g, IN_ANSWER, "proxy_get_header_map_value",
                                           ARGS(PW_MAP_HTTP_CALL_TRAILERS, name, 3, sp, n));
    struct guest_step size =
        guest_plan(&g, IN_ANSWER, "proxy_get_header_map_size", ARGS(PW_MAP_HTTP_CALL_HEADERS, sp));
    struct guest_step add = guest_plan(&g, IN_ANSWER, "proxy_add_header_map_value",
                                       ARGS(PW_MAP_HTTP_CALL_HEADERS, name, 3, name, 3));
    struct guest_step set =
        guest_plan(&g, IN_ANSWER, "proxy_set_buffer_bytes", ARGS(PW_BUFFER_HTTP_CALL_BODY, 0, 0, name, 3));
    struct guest_step grpc = guest_plan(&g, IN_ANSWER, "proxy_get_header_map_value",
                                        ARGS(PW_MAP_GRPC_INITIAL_METADATA, name, 3, sp, n));
    struct guest_step go = guest_plan(&g, IN_ANSWER, "proxy_continue_stream", ARGS(PW_STREAM_HTTP_REQUEST));
    pw_callout_http_response(&g.callouts.open[0], &answer);
    assert_null(g.callouts.open[0]);
    assert_int_equal(guest_calls(&g, IN_ANSWER), 1);
    assert_int_equal(guest_arg(&g, IN_ANSWER, 0), 1);
    assert_int_equal(guest_arg(&g, IN_ANSWER, 1), 4);
    assert_int_equal(guest_arg(&g, IN_ANSWER, 2), 2);
    assert_int_equal(guest_result(&g, get), PW_STATUS_OK);
    assert_memory_equal(guest_ptr(&g, guest_out(&g, p)), "1", 1);
    assert_int_equal(guest_result(&g, body), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, bn), 3);
    assert_memory_equal(guest_ptr(&g, guest_out(&g, bp)), "ell", 3);
    assert_int_equal(guest_result(&g, tail), PW_STATUS_OK);
    assert_int_equal(guest_result(&g, missing), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_result(&g, size), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_result(&g, add), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_result(&g, set), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_result(&g, grpc), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_result(&g, go), PW_STATUS_OK);
    assert_int_equal(g.fake.continued[PW_STREAM_HTTP_REQUEST], 1);
    /* Afterwards nothing of it is there. */
    assert_int_equal(
        guest_do(&g, IN_TICK, "proxy_get_header_map_value", ARGS(PW_MAP_HTTP_CALL_HEADERS, name, 3, p, n)),
        PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(
        guest_do(&g, IN_TICK, "proxy_get_buffer_bytes", ARGS(PW_BUFFER_HTTP_CALL_BODY, 0, 9, bp, bn)),
        PW_STATUS_NOT_FOUND);
    struct pw_vm_stats stats;
    pw_vm_stats(g.vm, &stats);
    assert_true(stats.callouts == 0 && stats.callout_bytes == 0);
    guest_close(&g);
    assert_int_equal(g.callouts.cancels, 0);
}

TEST_ON_BOTH(http_call_failure)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    struct call c = call_of(&g);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    pw_stream_destroy(&g.stream); /* the answer comes all the same */
    uint64_t name = guest_text(&g, ":status"), p = guest_slot(&g), n = guest_slot(&g), code = guest_slot(&g),
             mp = guest_slot(&g), mn = guest_slot(&g);
    struct guest_step status = guest_plan(&g, IN_ANSWER, "proxy_get_status", ARGS(code, mp, mn));
    struct guest_step get = guest_plan(&g, IN_ANSWER, "proxy_get_header_map_value",
                                       ARGS(PW_MAP_HTTP_CALL_HEADERS, name, 7, p, n));
    struct guest_step pairs =
        guest_plan(&g, IN_ANSWER, "proxy_get_header_map_pairs", ARGS(PW_MAP_HTTP_CALL_HEADERS, p, n));
    struct guest_step body =
        guest_plan(&g, IN_ANSWER, "proxy_get_buffer_bytes", ARGS(PW_BUFFER_HTTP_CALL_BODY, 0, 9, p, n));
    pw_callout_http_response(&g.callouts.open[0], NULL);
    assert_int_equal(guest_arg(&g, IN_ANSWER, 2), 0);
    assert_int_equal(guest_result(&g, status), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, code), PW_STATUS_BROKEN_CONNECTION);
    assert_int_equal(guest_out(&g, mn), 5);
    assert_memory_equal(guest_ptr(&g, guest_out(&g, mp)), "reset", 5);
    assert_int_equal(guest_result(&g, get), PW_STATUS_NOT_FOUND);
    assert_int_equal(guest_result(&g, pairs), PW_STATUS_OK);
    assert_int_equal(guest_result(&g, body), PW_STATUS_NOT_FOUND);
    /* The code stays, the message does not. */
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_get_status", ARGS(code, mp, mn)), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, code), PW_STATUS_BROKEN_CONNECTION);
    guest_assert_given_nothing(&g, mp, mn);
    guest_close(&g);
}

TEST_ON_BOTH(http_call_refused)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    struct call c = call_of(&g);
    g.callouts.answer = PW_STATUS_BAD_ARGUMENT; /* no such cluster: takes no number */
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_out(&g, c.args[9]), 0);
    g.callouts.answer = PW_STATUS_INTERNAL_FAILURE; /* takes one */
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_INTERNAL_FAILURE);
    assert_int_equal(guest_out(&g, c.args[9]), 0);
    g.callouts.answer = PW_STATUS_OK;
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, c.args[9]), 8);
    unsigned started = g.callouts.started;
    struct call bad = c;
    bad.args[8] = UINT32_MAX; /* negative */
    assert_int_equal(do_call(&g, IN_HEADERS, &bad), PW_STATUS_BAD_ARGUMENT);
    bad = c;
    bad.args[3] = 4; /* malformed, so empty */
    assert_int_equal(do_call(&g, IN_HEADERS, &bad), PW_STATUS_BAD_ARGUMENT);
    bad.args[2] = bad.args[3] = 0;
    assert_int_equal(do_call(&g, IN_HEADERS, &bad), PW_STATUS_BAD_ARGUMENT);
    for (size_t i = 0; i < 3; i++) { /* each of the three names is needed */
        static const char *const names[] = {":method", ":path", ":authority"};
        char *at = memmem(guest_ptr(&g, c.args[2]), sizeof(three), names[i], strlen(names[i]));
        at[1] = 'x';
        assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_BAD_ARGUMENT);
        at[1] = names[i][1];
    }
    assert_int_equal(g.callouts.started, started);
    guest_close(&g);
}

static void http_call_no_client(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM, .no_callouts = true});
    struct call c = call_of(&g);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_INTERNAL_FAILURE);
    guest_close(&g);
}

TEST_ON_BOTH(http_call_bad_pointer)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    struct call c = call_of(&g);
    for (size_t i = 0; i < 9; i += 2) {
        struct call bad = c;
        if (i < 8) {
            bad.args[i] = guest_bad(&g);
            bad.args[i + 1] = 100;
        } else {
            bad.args[9] = guest_bad(&g);
        }
        assert_int_equal(do_call(&g, IN_HEADERS, &bad), PW_STATUS_INVALID_MEMORY_ACCESS);
    }
    assert_int_equal(g.callouts.started, 0);
    guest_close(&g);
}

static void http_call_bad_length(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    struct call c = call_of(&g);
    for (size_t i = 1; i < 8; i += 2) {
        struct call bad = c;
        bad.args[i] = UINT32_MAX;
        assert_int_equal(do_call(&g, IN_HEADERS, &bad), PW_STATUS_INVALID_MEMORY_ACCESS);
    }
    assert_int_equal(g.callouts.started, 0);
    guest_close(&g);
}

TEST_ON_BOTH(http_call_caps)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine,
                                           .limits = {.callouts_max = 2, .callout_bytes_max = 4000}});
    struct call c = call_of(&g);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_INTERNAL_FAILURE);
    assert_int_equal(guest_out(&g, c.args[9]), 0);
    assert_int_equal(g.callouts.started, 2);
    /* Its place is free before its callback: a plugin at the cap can make one call after the other. */
    struct guest_step next = guest_plan(&g, IN_ANSWER, "proxy_http_call", c.args, 10);
    pw_callout_http_response(&g.callouts.open[0], &answer);
    assert_int_equal(guest_result(&g, next), PW_STATUS_OK);
    assert_int_equal(g.callouts.count, 3);
    guest_forget(&g, IN_ANSWER);
    /* What the embedder holds counts. */
    assert_true(pw_callout_charge(g.callouts.open[1], 1000));
    assert_false(pw_callout_charge(g.callouts.open[1], 4000));
    assert_false(pw_callout_charge(g.callouts.open[1], UINT64_MAX));
    pw_callout_uncharge(g.callouts.open[1], 400);
    pw_callout_http_response(&g.callouts.open[1], &answer);
    pw_callout_http_response(&g.callouts.open[2], &answer);
    struct pw_vm_stats stats;
    pw_vm_stats(g.vm, &stats);
    assert_true(stats.callouts == 0 && stats.callout_bytes == 0 && stats.callouts_refused == 3);
    c.args[5] = 3900; /* more body than all may hold */
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_INTERNAL_FAILURE);
    guest_close(&g);
}

TEST_ON_BOTH(http_call_from_start)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .no_root = true, .no_attach = true});
    struct call c = call_of(&g);
    guest_plan(&g, GUEST_proxy_on_vm_start, "proxy_http_call", c.args, 10);
    struct guest_step second = guest_plan(&g, GUEST_proxy_on_configure, "proxy_http_call", c.args, 10);
    assert_int_equal(guest_root(&g), PW_OK);
    assert_int_equal(guest_result(&g, second), PW_STATUS_OK);
    assert_int_equal(guest_out(&g, c.args[9]), 8);
    memset(guest_ptr(&g, c.args[0]), 'X', 7); /* the guest's memory is its own again */
    assert_int_equal(g.callouts.started, 0);
    guest_attach(&g);
    assert_int_equal(g.callouts.started, 2);
    assert_string_equal(g.callouts.asked, "cluster|:method=GET,:path=/,:authority=a,|body||1000");
    pw_callout_http_response(&g.callouts.open[1], &answer);
    assert_int_equal(guest_arg(&g, IN_ANSWER, 1), 8);
    guest_close(&g);
    assert_int_equal(g.callouts.cancels, 1);
}

TEST_ON_BOTH(http_call_of_a_trial)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .no_root = true, .no_attach = true});
    struct call c = call_of(&g);
    guest_plan(&g, GUEST_proxy_on_configure, "proxy_http_call", c.args, 10);
    guest_returns(&g, GUEST_proxy_on_configure, 0);
    assert_int_equal(guest_root(&g), PW_ERR_CONFIGURE_FAILED);
    guest_close(&g);
    assert_true(g.callouts.started == 0 && g.callouts.cancels == 0);
}

TEST_ON_BOTH(http_call_refused_at_attach)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .no_root = true, .no_attach = true});
    struct call c = call_of(&g);
    guest_plan(&g, GUEST_proxy_on_configure, "proxy_http_call", c.args, 10);
    assert_int_equal(guest_root(&g), PW_OK);
    g.callouts.answer = PW_STATUS_BAD_ARGUMENT;
    guest_attach(&g);
    assert_int_equal(guest_calls(&g, IN_ANSWER), 0);
    assert_int_equal(g.wakes, 1);
    pw_vm_run(g.vm);
    assert_int_equal(guest_calls(&g, IN_ANSWER), 1);
    assert_int_equal(guest_arg(&g, IN_ANSWER, 1), 4);
    assert_int_equal(guest_arg(&g, IN_ANSWER, 2), 0);
    pw_vm_run(g.vm);
    assert_int_equal(guest_calls(&g, IN_ANSWER), 1);
    guest_close(&g);
    assert_int_equal(g.callouts.cancels, 0);
}

TEST_ON_BOTH(http_call_cancelled_with_its_root)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .no_stream = true});
    struct call c = call_of(&g);
    assert_int_equal(do_call(&g, IN_TICK, &c), PW_STATUS_OK);
    /* on_done may still ask; the root's end cancels all. */
    guest_plan(&g, GUEST_proxy_on_done, "proxy_http_call", c.args, 10);
    assert_true(pw_root_shutdown(g.root));
    assert_int_equal(g.callouts.count, 2);
    pw_root_destroy(&g.root);
    assert_int_equal(g.callouts.cancels, 2);
    guest_close(&g);
}

static void http_call_vm_fails(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    struct call c = call_of(&g);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    struct pw_callout *second = g.callouts.open[1];
    guest_plan(&g, IN_ANSWER, NULL, NULL, 0); /* traps */
    pw_callout_http_response(&g.callouts.open[0], &answer);
    assert_int_equal(g.failures, 1);
    /* Delivered to a VM that has failed: swallowed. */
    g.callouts.open[0] = g.callouts.open[2];
    g.callouts.count = 1;
    pw_callout_http_response(&second, &answer);
    guest_close(&g);
    assert_int_equal(g.callouts.cancels, 1);
}

static void http_call_destroys_the_vm(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    g.destroy_vm_when_failed = true;
    struct call c = call_of(&g);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    assert_int_equal(do_call(&g, IN_HEADERS, &c), PW_STATUS_OK);
    guest_plan(&g, IN_ANSWER, NULL, NULL, 0);
    struct pw_callout *first = g.callouts.open[0];
    g.callouts.open[0] = g.callouts.open[1];
    g.callouts.count = 1;
    pw_callout_http_response(&first, &answer);
    assert_null(g.vm);
    assert_int_equal(g.callouts.cancels, 1);
    guest_close(&g);
}

int test_proxy_http_call(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(http_call_right),
        ON_BOTH(http_call_answer),
        ON_BOTH(http_call_failure),
        ON_BOTH(http_call_refused),
        cmocka_unit_test(http_call_no_client),
        ON_BOTH(http_call_bad_pointer),
        cmocka_unit_test(http_call_bad_length),
        ON_BOTH(http_call_caps),
        ON_BOTH(http_call_from_start),
        ON_BOTH(http_call_of_a_trial),
        ON_BOTH(http_call_refused_at_attach),
        ON_BOTH(http_call_cancelled_with_its_root),
        cmocka_unit_test(http_call_vm_fails),
        cmocka_unit_test(http_call_destroys_the_vm),
    };
    return cmocka_run_group_tests_name("proxy_http_call", tests, NULL, NULL);
}
