/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: ids, order of callbacks, return values, queued actions and their re-entry, and what happens to
 * all of it when the VM fails.
 */
#include "guest.h"

#include <stdlib.h>

TEST_ON_BOTH(ids_and_order)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(pw_stream_id(g.stream), 2);
    assert_ptr_equal(pw_stream_root(g.stream), g.root);
    assert_ptr_equal(pw_stream_ctx(g.stream), &g.fake);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_context_create), 2);
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_context_create, 0), 2);
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_context_create, 1), 1);
    pw_stream_log(g.stream);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_done), 0);
    pw_stream_destroy(&g.stream);
    assert_null(g.stream);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_log), 1);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_done), 1);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_delete), 1);
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_delete, 0), 2);
    assert_int_equal(guest_stream(&g), PW_OK);
    assert_int_equal(pw_stream_id(g.stream), 3);
    guest_close(&g);
}

TEST_ON_BOTH(arguments)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    fake_add(&g.fake, 0, "a", "b");
    guest_drive_eos(&g, IN_HEADERS, true);
    assert_int_equal(guest_arg(&g, IN_HEADERS, 0), 2);
    assert_int_equal(guest_arg(&g, IN_HEADERS, 1), 1);
    assert_int_equal(guest_arg(&g, IN_HEADERS, 2), 1);
    fake_body(&g.fake, 0, "12345");
    guest_drive(&g, IN_BODY);
    assert_int_equal(guest_arg(&g, IN_BODY, 1), 5);
    assert_int_equal(guest_arg(&g, IN_BODY, 2), 0);
    pw_stream_downstream_close(g.stream, PW_PEER_REMOTE);
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_downstream_connection_close, 1), PW_PEER_REMOTE);
    pw_stream_upstream_close(g.stream, PW_PEER_UNKNOWN);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_upstream_connection_close), 1);
    guest_close(&g);
}

/* The embedder is rid of them at once; the guest hears of it later, or never. */
TEST_ON_BOTH(retired)
{
    struct guest g;
    struct pw_vm_stats stats;
    guest_open(&g, &(struct guest_options){.engine = engine});
    uint32_t first = pw_stream_id(g.stream);
    pw_stream_retire(&g.stream);
    assert_null(g.stream);
    memset(&g.fake, 0xEE, sizeof(g.fake)); /* nobody looks at it any more */
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_done), 0);
    pw_vm_stats(g.vm, &stats);
    assert_int_equal(stats.streams, 1);
    assert_true(pw_root_end_retired(g.root));
    assert_false(pw_root_end_retired(g.root));
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_done), 1);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_delete), 1);
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_delete, 0), first);
    pw_vm_stats(g.vm, &stats);
    assert_int_equal(stats.streams, 0);

    fake_stream_init(&g.fake);
    assert_int_equal(guest_stream(&g), PW_OK);
    pw_stream_retire(&g.stream);
    pw_root_destroy(&g.root); /* with the stream that is due */
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_done), 1);
    pw_vm_stats(g.vm, &stats);
    assert_int_equal(stats.streams + stats.roots, 0);
    guest_close(&g);
}

/* A VM that fails does not ask the dead for their policy. */
TEST_ON_BOTH(retired_when_the_vm_fails)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    pw_stream_retire(&g.stream);
    fake_stream_init(&g.fake);
    assert_int_equal(guest_stream(&g), PW_OK);
    guest_plan(&g, IN_HEADERS, NULL, NULL, 0);
    guest_drive(&g, IN_HEADERS);
    assert_true(pw_vm_failed(g.vm));
    guest_close(&g);
}

static void headers_of_0_1_0(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.v010 = true});
    guest_drive_eos(&g, IN_HEADERS, true); /* two arguments there */
    assert_int_equal(guest_calls(&g, IN_HEADERS), 1);
    guest_close(&g);
}

#define ANY UINT32_MAX

TEST_ON_BOTH(return_values)
{
    static const struct {
        enum guest_function fn;
        uint32_t value;
        enum pw_action action;
        bool allow;
    } rows[] = {
        {IN_HEADERS, 0, PW_ACTION_CONTINUE, false},
        {IN_HEADERS, 1, PW_ACTION_STOP_ALL_WATERMARK, false},
        {IN_HEADERS, 1, PW_ACTION_STOP_ITERATION, true},
        {IN_HEADERS, 2, PW_ACTION_CONTINUE_AND_END, false},
        {IN_HEADERS, 3, PW_ACTION_STOP_ALL_BUFFER, false},
        {IN_HEADERS, 4, PW_ACTION_STOP_ALL_WATERMARK, false},
        {IN_HEADERS, 5, PW_ACTION_STOP_ALL_WATERMARK, true},
        {IN_HEADERS, ANY, PW_ACTION_STOP_ALL_WATERMARK, false},
        {IN_RESPONSE, 1, PW_ACTION_STOP_ALL_WATERMARK, false},
        {IN_RESPONSE, 1, PW_ACTION_STOP_ITERATION, true},
        {IN_BODY, 0, PW_ACTION_CONTINUE, false},
        {IN_BODY, 1, PW_ACTION_STOP_BUFFER, false},
        {IN_BODY, 2, PW_ACTION_STOP_WATERMARK, false},
        {IN_BODY, 3, PW_ACTION_STOP_NO_BUFFER, false},
        {IN_BODY, ANY, PW_ACTION_STOP_NO_BUFFER, false},
        {GUEST_proxy_on_response_body, 1, PW_ACTION_STOP_BUFFER, false},
        {IN_TRAILERS, 0, PW_ACTION_CONTINUE, false},
        {IN_TRAILERS, 1, PW_ACTION_STOP_ITERATION, false},
        {IN_TRAILERS, ANY, PW_ACTION_STOP_ITERATION, false},
        {GUEST_proxy_on_response_trailers, 1, PW_ACTION_STOP_ITERATION, false},
        {GUEST_proxy_on_new_connection, 0, PW_ACTION_CONTINUE, false},
        {GUEST_proxy_on_new_connection, 1, PW_ACTION_STOP_ITERATION, false},
        {GUEST_proxy_on_downstream_data, 7, PW_ACTION_STOP_ITERATION, false},
        {GUEST_proxy_on_upstream_data, 1, PW_ACTION_STOP_ITERATION, false},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct guest g;
        guest_open(&g, &(struct guest_options){.engine = engine, .stop_iteration = rows[i].allow});
        guest_returns(&g, rows[i].fn, rows[i].value);
        guest_drive(&g, rows[i].fn);
        if (g.action != rows[i].action)
            fail_msg("row %zu: action %d", i, (int)g.action);
        guest_close(&g);
    }
}

static void missing_callbacks(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.wat = "(module (memory (export \"memory\") 1)"
                                                  "(func (export \"proxy_abi_version_0_2_1\"))"
                                                  "(func (export \"malloc\") (param i32) (result i32) "
                                                  "(i32.const 16)))"});
    assert_int_equal(pw_stream_request_headers(g.stream, 0, true), PW_ACTION_CONTINUE);
    assert_int_equal(pw_stream_request_body(g.stream, 0, true), PW_ACTION_CONTINUE);
    assert_int_equal(pw_stream_request_trailers(g.stream, 0), PW_ACTION_CONTINUE);
    assert_int_equal(pw_stream_new_connection(g.stream), PW_ACTION_CONTINUE);
    pw_stream_log(g.stream);
    pw_stream_destroy(&g.stream);
    assert_true(pw_root_shutdown(g.root));
    struct pw_vm_stats stats;
    pw_vm_stats(g.vm, &stats);
    assert_int_equal(stats.calls, 0);
    guest_close(&g);
}

/* --- failure --- */

TEST_ON_BOTH(failure_reaches_all)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .vm_id = "vm"});
    struct fake_stream other;
    struct pw_stream *second = NULL;
    fake_stream_init(&other);
    assert_int_equal(pw_stream_create(g.root, &fake_stream_ops, &other, &second), PW_OK);
    guest_logs_clear();
    guest_monotonic_ns += 2 * TRAP_LOG_INTERVAL_NS;
    guest_plan(&g, IN_HEADERS, NULL, NULL, 0);
    guest_drive(&g, IN_HEADERS);
    assert_int_equal(g.action, PW_ACTION_VM_FAILED);
    assert_int_equal(g.fake.vm_failures, 1);
    assert_int_equal(other.vm_failures, 1);
    assert_int_equal(g.failures, 1);
    assert_int_equal(g.failure_error, PW_ERR_TRAP);
    assert_string_equal(g.failure_function, "proxy_on_request_headers");
    assert_true(pw_vm_failed(g.vm));
    assert_int_equal(guest_logs_count(), 1);
    assert_false(guest_log_back(0)->from_guest);
    assert_string_equal(guest_log_back(0)->plugin, "steps");
    assert_non_null(strstr(guest_log_back(0)->text, "Function: proxy_on_request_headers failed: "));

    /* nothing runs any more, and nobody is told twice */
    struct pw_vm_stats before, after;
    pw_vm_stats(g.vm, &before);
    guest_drive(&g, IN_BODY);
    assert_int_equal(g.action, PW_ACTION_VM_FAILED);
    assert_int_equal(pw_stream_response_headers(second, 0, true), PW_ACTION_VM_FAILED);
    pw_root_tick(g.root);
    pw_vm_run(g.vm);
    pw_stream_log(second);
    struct pw_stream *third;
    assert_int_equal(pw_stream_create(g.root, &fake_stream_ops, &other, &third), PW_ERR_VM_FAILED);
    assert_null(third);
    struct pw_root *root;
    assert_int_equal(pw_root_create(g.vm, g.plugin, &root, &g.why), PW_ERR_VM_FAILED);
    pw_stream_destroy(&second);
    pw_stream_destroy(&g.stream);
    assert_true(pw_root_shutdown(g.root));
    pw_root_destroy(&g.root);
    pw_vm_stats(g.vm, &after);
    assert_int_equal(before.calls, after.calls);
    assert_int_equal(other.vm_failures, 1);
    assert_int_equal(after.roots, 0);
    fake_stream_fini(&other);
    guest_close(&g);
}

TEST_ON_BOTH(failure_in_each_callback)
{
    static const enum guest_function callbacks[] = {
        GUEST_proxy_on_request_headers,
        GUEST_proxy_on_request_body,
        GUEST_proxy_on_request_trailers,
        GUEST_proxy_on_response_headers,
        GUEST_proxy_on_response_body,
        GUEST_proxy_on_response_trailers,
        GUEST_proxy_on_new_connection,
        GUEST_proxy_on_tick,
        GUEST_proxy_on_log,
        GUEST_proxy_on_done,
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(callbacks); i++) {
        struct guest g;
        guest_open(&g, &(struct guest_options){.engine = engine});
        guest_plan(&g, callbacks[i], NULL, NULL, 0);
        guest_drive(&g, callbacks[i]);
        assert_int_equal(g.fake.vm_failures, 1);
        assert_int_equal(g.failures, 1);
        guest_close(&g);
    }
}

TEST_ON_BOTH(failure_in_create_and_delete)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    guest_plan(&g, GUEST_proxy_on_context_create, NULL, NULL, 0);
    struct pw_stream *second;
    struct fake_stream other;
    fake_stream_init(&other);
    assert_int_equal(pw_stream_create(g.root, &fake_stream_ops, &other, &second), PW_ERR_TRAP);
    assert_null(second);
    assert_int_equal(other.vm_failures, 0); /* it never was a stream */
    assert_int_equal(g.fake.vm_failures, 1);
    guest_close(&g);

    guest_open(&g, &(struct guest_options){.engine = engine});
    assert_int_equal(pw_stream_create(g.root, &fake_stream_ops, &other, &second), PW_OK);
    guest_plan(&g, GUEST_proxy_on_done, NULL, NULL, 0);
    pw_stream_destroy(&second);
    assert_int_equal(other.vm_failures, 0); /* the embedder had let go of it */
    assert_int_equal(g.fake.vm_failures, 1);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_delete), 0);
    fake_stream_fini(&other);
    guest_close(&g);
}

TEST_ON_BOTH(failure_log_once_a_second)
{
    guest_monotonic_ns += 2 * TRAP_LOG_INTERVAL_NS;
    struct guest a, b;
    guest_open(&a, &(struct guest_options){.engine = engine});
    guest_logs_clear();
    guest_plan(&a, IN_TICK, NULL, NULL, 0);
    guest_drive(&a, IN_TICK);
    assert_int_equal(guest_logs_count(), 1);
    /* another VM of the same plugin, at once and a second later */
    for (unsigned i = 0; i < 2; i++) {
        guest_open(&b, &(struct guest_options){.engine = engine, .no_root = true});
        assert_int_equal(pw_root_create(b.vm, a.plugin, &b.root, &b.why), PW_OK);
        guest_plan(&b, IN_TICK, NULL, NULL, 0);
        pw_root_tick(b.root);
        assert_true(pw_vm_failed(b.vm));
        assert_int_equal(guest_logs_count(), 1 + i);
        guest_monotonic_ns += TRAP_LOG_INTERVAL_NS;
        guest_close(&b);
    }
    guest_close(&a);
}

/* --- callbacks that destroy things --- */

static void destroy_stream(struct fake_stream *fake, char what)
{
    (void)what;
    struct guest *g = fake->after_ctx;
    pw_stream_destroy(&g->stream);
}

TEST_ON_BOTH(destroy_inside_actions)
{
    static const struct {
        const char *function;
        uint64_t args[8];
        size_t nargs;
    } calls[] = {
        {"proxy_continue_stream", {0}, 1},
        {"proxy_close_stream", {0}, 1},
        {"proxy_send_local_response", {200}, 8},
        {NULL, {0}, 0},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(calls); i++) {
        struct guest g;
        guest_open(&g, &(struct guest_options){.engine = engine});
        g.fake.after = destroy_stream;
        g.fake.after_ctx = &g;
        guest_plan(&g, IN_HEADERS, calls[i].function, calls[i].args, calls[i].nargs);
        if (calls[i].function)
            guest_plan(&g, IN_HEADERS, "proxy_continue_stream", ARGS(1)); /* dropped with the stream */
        struct pw_stream *stream = g.stream;
        pw_stream_request_headers(stream, 0, true);
        assert_null(g.stream);
        assert_int_equal(strlen(g.fake.order), 1);
        assert_int_equal(g.vm->held_bytes, 0);
        struct pw_vm_stats stats;
        pw_vm_stats(g.vm, &stats);
        assert_int_equal(stats.streams, 0);
        guest_close(&g);
    }
}

TEST_ON_BOTH(destroy_vm_when_failed)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    g.destroy_vm_when_failed = true;
    guest_plan(&g, IN_HEADERS, NULL, NULL, 0);
    struct pw_stream *stream = g.stream;
    assert_int_equal(pw_stream_request_headers(stream, 0, true), PW_ACTION_VM_FAILED);
    assert_null(g.vm);
    assert_int_equal(g.failures, 1);
    guest_close(&g);
}

static void destroy_vm(struct fake_stream *fake, char what)
{
    (void)what;
    struct guest *g = fake->after_ctx;
    pw_vm_destroy(&g->vm);
}

TEST_ON_BOTH(destroy_vm_inside_action)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    g.fake.after = destroy_vm;
    g.fake.after_ctx = &g;
    guest_plan(&g, IN_HEADERS, "proxy_send_local_response", ARGS(200, 0, 0, 0, 0, 0, 0, 0));
    guest_plan(&g, IN_HEADERS, "proxy_continue_stream", ARGS(1));
    pw_stream_request_headers(g.stream, 0, true);
    assert_null(g.vm);
    assert_string_equal(g.fake.order, "r");
    guest_close(&g);
}

/* --- re-entry --- */

static void run_response(struct fake_stream *fake, char what)
{
    struct guest *g = fake->after_ctx;
    if (what != 'r')
        return;
    assert_int_equal(pw_stream_response_headers(g->stream, 0, true), PW_ACTION_CONTINUE);
    /* what the response asked for waits until this callback has returned */
    assert_int_equal(guest_calls(g, IN_RESPONSE), 1);
    assert_string_equal(fake->order, "r");
}

/* A local reply goes through the response callbacks of its own stream; what they ask for comes after it, in
 * order, and not inside. */
TEST_ON_BOTH(nested_callbacks)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    struct fake_stream other;
    struct pw_stream *second = NULL;
    fake_stream_init(&other);
    assert_int_equal(pw_stream_create(g.root, &fake_stream_ops, &other, &second), PW_OK);
    g.fake.after = run_response;
    g.fake.after_ctx = &g;
    guest_plan(&g, IN_HEADERS, "proxy_send_local_response", ARGS(200, 0, 0, 0, 0, 0, 0, 0));
    guest_plan(&g, IN_HEADERS, "proxy_set_effective_context", ARGS(3));
    guest_plan(&g, IN_HEADERS, "proxy_continue_stream", ARGS(0));
    guest_plan(&g, IN_RESPONSE, "proxy_close_stream", ARGS(1));
    guest_drive(&g, IN_HEADERS);
    assert_int_equal(g.action, PW_ACTION_STOP_ALL_WATERMARK);
    assert_string_equal(g.fake.order, "rx");
    assert_string_equal(other.order, "c");
    assert_int_equal(guest_calls(&g, IN_RESPONSE), 1);
    pw_stream_destroy(&second);
    fake_stream_fini(&other);
    guest_close(&g);
}

TEST_ON_BOTH(nested_failure)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    guest_plan(&g, IN_RESPONSE, NULL, NULL, 0);
    g.fake.after_ctx = &g;
    g.fake.after = NULL;
    guest_plan(&g, IN_HEADERS, "proxy_continue_stream", ARGS(0));
    guest_plan(&g, IN_HEADERS, "proxy_continue_stream", ARGS(1));
    guest_drive(&g, IN_HEADERS);
    assert_string_equal(g.fake.order, "cc");
    guest_drive(&g, IN_RESPONSE);
    assert_int_equal(g.action, PW_ACTION_VM_FAILED);
    assert_string_equal(g.fake.order, "ccf");
    guest_close(&g);
}

static void fail_in_continue(struct fake_stream *fake, char what)
{
    struct guest *g = fake->after_ctx;
    if (what == 'c')
        assert_int_equal(pw_stream_response_headers(g->stream, 0, true), PW_ACTION_VM_FAILED);
}

TEST_ON_BOTH(failure_inside_an_action)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    guest_plan(&g, IN_RESPONSE, NULL, NULL, 0);
    g.fake.after = fail_in_continue;
    g.fake.after_ctx = &g;
    guest_plan(&g, IN_HEADERS, "proxy_continue_stream", ARGS(0));
    guest_plan(&g, IN_HEADERS, "proxy_close_stream", ARGS(0)); /* dropped: the stream fails first */
    guest_drive(&g, IN_HEADERS);
    assert_int_equal(g.action, PW_ACTION_VM_FAILED);
    assert_string_equal(g.fake.order, "cf");
    assert_int_equal(g.failures, 1);
    guest_close(&g);
}

/* A reply that another stream's callback asked for does not stop this stream's next callback. */
TEST_ON_BOTH(reply_for_another_stream)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    guest_plan(&g, IN_TICK, "proxy_set_effective_context", ARGS(2));
    guest_plan(&g, IN_TICK, "proxy_send_local_response", ARGS(200, 0, 0, 0, 0, 0, 0, 0));
    guest_drive(&g, IN_TICK);
    assert_int_equal(g.fake.replies, 1);
    guest_drive(&g, IN_RESPONSE);
    assert_int_equal(g.action, PW_ACTION_CONTINUE);
    guest_close(&g);
}

TEST_ON_BOTH(actions_in_delete_are_dropped)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    guest_plan(&g, GUEST_proxy_on_done, "proxy_continue_stream", ARGS(0));
    guest_plan(&g, GUEST_proxy_on_delete, "proxy_send_local_response", ARGS(200, 0, 0, 0, 0, 0, 0, 0));
    pw_stream_destroy(&g.stream);
    assert_string_equal(g.fake.order, "");
    assert_int_equal(g.vm->held_bytes, 0);
    guest_close(&g);
}

TEST_ON_BOTH(many_streams)
{
    enum { STREAMS = 3000 };
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .limits.contexts_max = STREAMS + 2});
    struct pw_stream **streams = calloc(STREAMS + 1, sizeof(struct pw_stream *));
    assert_non_null(streams);
    for (uint32_t i = 0; i < STREAMS; i++) {
        assert_int_equal(pw_stream_create(g.root, &fake_stream_ops, &g.fake, &streams[i]), PW_OK);
        assert_int_equal(pw_stream_id(streams[i]), i + 3);
    }
    assert_int_equal(pw_stream_create(g.root, &fake_stream_ops, &g.fake, &streams[STREAMS]), PW_ERR_LIMIT);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_set_effective_context", ARGS(STREAMS + 2)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_set_effective_context", ARGS(STREAMS + 3)),
                     PW_STATUS_BAD_ARGUMENT);
    for (uint32_t i = 0; i < STREAMS; i += 2)
        pw_stream_destroy(&streams[i]);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_set_effective_context", ARGS(3)), PW_STATUS_BAD_ARGUMENT);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_set_effective_context", ARGS(4)), PW_STATUS_OK);
    struct pw_vm_stats stats;
    pw_vm_stats(g.vm, &stats);
    assert_int_equal(stats.streams, 1 + STREAMS / 2);
    assert_int_equal(stats.roots, 1);
    free(streams); /* the VM frees the rest */
    guest_close(&g);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(ids_and_order),
        ON_BOTH(arguments),
        ON_BOTH(retired),
        ON_BOTH(retired_when_the_vm_fails),
        cmocka_unit_test(headers_of_0_1_0),
        ON_BOTH(return_values),
        cmocka_unit_test(missing_callbacks),
        ON_BOTH(failure_reaches_all),
        ON_BOTH(failure_in_each_callback),
        ON_BOTH(failure_in_create_and_delete),
        ON_BOTH(failure_log_once_a_second),
        ON_BOTH(destroy_inside_actions),
        ON_BOTH(destroy_vm_when_failed),
        ON_BOTH(destroy_vm_inside_action),
        ON_BOTH(nested_callbacks),
        ON_BOTH(nested_failure),
        ON_BOTH(failure_inside_an_action),
        ON_BOTH(reply_for_another_stream),
        ON_BOTH(actions_in_delete_are_dropped),
        ON_BOTH(many_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
