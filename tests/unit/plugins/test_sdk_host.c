/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sdk_host.c: each function of the SDK makes the host call of its name with the arguments of the ABI, in
 * order. A wrong order here would show on no engine but as nonsense at run time.
 */
#include "fake_host.h"
#include <string.h>
#include <wsdk.h>

static struct fake_host fake;

/* The last call was `function`, with these arguments; slots are not compared (SLOT). */
#define SLOT UINT64_C(0x510751075107)
#define EXPECT(function, ...)                                                                                \
    expect(PW_NULL_HOST_##function, (const uint64_t[]){__VA_ARGS__},                                         \
           sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void expect(uint32_t function, const uint64_t *args, size_t nargs)
{
    assert_int_equal(fake.last_function, function);
    assert_int_equal(fake.last_nargs, nargs);
    for (size_t i = 0; i < nargs; i++) {
        if (args[i] == SLOT)
            assert_int_equal(fake.last_args[i] % 8, 0);
        else
            assert_int_equal(fake.last_args[i], args[i]);
    }
}

static const struct wsdk_bytes a = {"aaa", 3}, b = {"bb", 2}, c = {"c", 1};
#define A (uintptr_t) a.data, 3
#define B (uintptr_t) b.data, 2
#define C (uintptr_t) c.data, 1

static void check_general(struct wsdk_context *root)
{
    struct wsdk_bytes value;
    uint64_t number;
    uint32_t id;
    wsdk_now_ns(root, &number);
    EXPECT(proxy_get_current_time_nanoseconds, SLOT);
    wsdk_tick_ms(root, 250);
    EXPECT(proxy_set_tick_period_milliseconds, 250);
    wsdk_property_get(root, a, &value);
    EXPECT(proxy_get_property, A, SLOT, SLOT);
    wsdk_property_set(root, a, b);
    EXPECT(proxy_set_property, A, B);
    wsdk_metric_define(root, WSDK_HISTOGRAM, a, &id);
    EXPECT(proxy_define_metric, 2, A, SLOT);
    wsdk_metric_add(root, 4, -3);
    EXPECT(proxy_increment_metric, 4, UINT64_MAX - 2);
    wsdk_metric_record(root, 5, UINT64_MAX);
    EXPECT(proxy_record_metric, 5, UINT64_MAX);
    wsdk_metric_get(root, 6, &number);
    EXPECT(proxy_get_metric, 6, SLOT);
    wsdk_shared_get(root, a, &value, &id);
    EXPECT(proxy_get_shared_data, A, SLOT, SLOT, SLOT);
    wsdk_shared_set(root, a, b, 9);
    EXPECT(proxy_set_shared_data, A, B, 9);
    wsdk_queue_register(root, a, &id);
    EXPECT(proxy_register_shared_queue, A, SLOT);
    wsdk_queue_resolve(root, a, b, &id);
    EXPECT(proxy_resolve_shared_queue, A, B, SLOT);
    wsdk_queue_push(root, 8, a);
    EXPECT(proxy_enqueue_shared_queue, 8, A);
    wsdk_queue_pop(root, 8, &value);
    EXPECT(proxy_dequeue_shared_queue, 8, SLOT, SLOT);
    wsdk_effective(root, root);
    EXPECT(proxy_set_effective_context, 1);
    wsdk_foreign(root, a, b, &value);
    EXPECT(proxy_call_foreign_function, A, B, SLOT, SLOT);
    wsdk_foreign(root, a, b, NULL);
    EXPECT(proxy_call_foreign_function, A, B, 0, 0);
    wsdk_done(root);
    assert_int_equal(fake.last_function, PW_NULL_HOST_proxy_done);
    assert_int_equal(fake.last_nargs, 0);
}

static void check_http(struct wsdk_context *root)
{
    size_t bytes;
    wsdk_header_add(root, WSDK_RESPONSE_HEADERS, a, b);
    EXPECT(proxy_add_header_map_value, 2, A, B);
    wsdk_header_set(root, WSDK_RESPONSE_HEADERS, a, b);
    EXPECT(proxy_replace_header_map_value, 2, A, B);
    wsdk_header_remove(root, WSDK_REQUEST_HEADERS, a);
    EXPECT(proxy_remove_header_map_value, 0, A);
    wsdk_headers_bytes(root, WSDK_RESPONSE_TRAILERS, &bytes);
    EXPECT(proxy_get_header_map_size, 3, SLOT);
    wsdk_buffer_bytes(root, WSDK_RESPONSE_BODY, &bytes);
    EXPECT(proxy_get_buffer_status, 1, SLOT, SLOT);
    wsdk_buffer_splice(root, WSDK_REQUEST_BODY, 3, 4, a);
    EXPECT(proxy_set_buffer_bytes, 0, 3, 4, A);
    wsdk_buffer_replace(root, WSDK_REQUEST_BODY, a);
    EXPECT(proxy_set_buffer_bytes, 0, 0, UINT64_MAX, A);
    wsdk_buffer_prepend(root, WSDK_REQUEST_BODY, a);
    EXPECT(proxy_set_buffer_bytes, 0, 0, 0, A);
    wsdk_buffer_append(root, WSDK_REQUEST_BODY, a);
    EXPECT(proxy_set_buffer_bytes, 0, UINT64_MAX, 0, A);
    wsdk_continue(root, WSDK_HTTP_RESPONSE);
    EXPECT(proxy_continue_stream, 1);
    wsdk_close(root, WSDK_DOWNSTREAM);
    EXPECT(proxy_close_stream, 2);
    wsdk_reply_send(root, &(struct wsdk_reply){.status = 403, .details = a, .body = b});
    EXPECT(proxy_send_local_response, 403, A, B, 0, 0, UINT32_MAX);
    wsdk_reply_send(root, &(struct wsdk_reply){.status = 200, .has_grpc_status = true, .grpc_status = 7});
    EXPECT(proxy_send_local_response, 200, 0, 0, 0, 0, 0, 0, 7);
}

static void check_calls(struct wsdk_context *root)
{
    struct wsdk_bytes message;
    uint32_t id;
    const struct wsdk_http_request http = {.upstream = a, .body = b, .timeout_ms = 70};
    const struct wsdk_grpc_request grpc = {
        .upstream = a, .service = b, .method = c, .message = a, .timeout_ms = 9};
    fake.answer = WSDK_INTERNAL_FAILURE;
    assert_int_equal(wsdk_http_call(root, &http, &id), WSDK_INTERNAL_FAILURE);
    EXPECT(proxy_http_call, A, 0, 0, B, 0, 0, 70, SLOT);
    assert_int_equal(wsdk_grpc_call(root, &grpc, &id), WSDK_INTERNAL_FAILURE);
    EXPECT(proxy_grpc_call, A, B, C, 0, 0, A, 9, SLOT);
    assert_int_equal(wsdk_grpc_stream(root, &grpc, &id), WSDK_INTERNAL_FAILURE);
    EXPECT(proxy_grpc_stream, A, B, C, 0, 0, SLOT);
    fake.answer = 0;
    wsdk_grpc_send(root, 6, a, true);
    EXPECT(proxy_grpc_send, 6, A, 1);
    wsdk_grpc_cancel(root, 6);
    EXPECT(proxy_grpc_cancel, 6);
    wsdk_grpc_close(root, 6);
    EXPECT(proxy_grpc_close, 6);
    wsdk_call_status(root, &id, &message);
    EXPECT(proxy_get_status, SLOT, SLOT, SLOT);
}

/* Whole maps, out and back in through the serialised form. */
static void check_maps(struct wsdk_context *root)
{
    const struct wsdk_header list[] = {{a, b}, {b, WSDK_NONE}, {c, a}};
    struct wsdk_headers headers;
    struct wsdk_bytes name, value;
    size_t n = 0;
    assert_int_equal(wsdk_headers_set(root, WSDK_RESPONSE_HEADERS, list, 3), WSDK_OK);
    assert_int_equal(fake.maps[2].count, 3);
    assert_string_equal(fake.maps[2].items[2].value, "aaa");
    assert_int_equal(wsdk_headers_get(root, WSDK_RESPONSE_HEADERS, &headers), WSDK_OK);
    assert_int_equal(headers.count, 3);
    for (; wsdk_headers_next(&headers, &name, &value); n++)
        assert_true(wsdk_equal(name, list[n].name) && wsdk_equal(value, list[n].value));
    assert_int_equal(n, 3);
    assert_int_equal(wsdk_headers_set(root, WSDK_RESPONSE_HEADERS, NULL, 0), WSDK_OK);
    assert_int_equal(wsdk_headers_get(root, WSDK_RESPONSE_HEADERS, &headers), WSDK_OK);
    assert_false(wsdk_headers_next(&headers, &name, &value));
    assert_int_equal(wsdk_header_get(root, WSDK_REQUEST_HEADERS, a, &value), WSDK_NOT_FOUND);
}

static bool configure(struct wsdk_context *root, size_t bytes)
{
    struct wsdk_bytes text;
    assert_int_equal(wsdk_buffer_get(root, WSDK_PLUGIN_CONFIGURATION, 1, bytes, &text), WSDK_OK);
    EXPECT(proxy_get_buffer_bytes, 7, 1, bytes, SLOT, SLOT);
    assert_true(wsdk_equal(text, WSDK_STR("onfig")));
    check_general(root);
    check_http(root);
    check_calls(root);
    check_maps(root);
    wsdk_log(root, WSDK_DEBUG, "below the host's level"); /* asks for the level, logs nothing */
    assert_int_equal(fake.last_function, PW_NULL_HOST_proxy_get_log_level);
    wsdk_log(root, WSDK_INFO, "%s", "shown");
    return true;
}

#define CALLBACKS(ON) ON(on_configure, configure)
WSDK_PLUGIN("host", 0, 0, CALLBACKS);

static void test_calls(void **state)
{
    (void)state;
    fake_open(&fake, pw_null_plugin_entry());
    assert_true(fake_configure(&fake, "config"));
    assert_int_equal(fake.log_count, 1);
    assert_string_equal(fake.logs[0], "shown");
    fake_close(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_calls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
