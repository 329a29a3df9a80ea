/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_engines.c: the same plugins on both engines of libproxywasm, with the same messages: the Wasm module
 * in the sandbox and the native object on the null engine must answer alike, and a plugin that misbehaves
 * ends its own VM only.
 */
#include "embedder.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char *const engines[] = {"wasmtime", "null"};
#define EACH_ENGINE(engine)                                                                                  \
    for (const char *const *engine = engines; engine < engines + sizeof(engines) / sizeof(engines[0]);       \
         engine++)

static struct embedder e; /* large; one at a time */

/* cmocka takes over the signals by which traps are found: the engine's own handlers go back for each test. */
static const int trap_signals[] = {SIGILL, SIGFPE, SIGSEGV, SIGBUS};
static struct sigaction engine_handlers[sizeof(trap_signals) / sizeof(trap_signals[0])];

static void keep_engine_handlers(void)
{
    embedder_open(&e, "wasmtime", "tests/plugins/trivial");
    embedder_close(&e);
    for (size_t i = 0; i < sizeof(trap_signals) / sizeof(trap_signals[0]); i++)
        sigaction(trap_signals[i], NULL, &engine_handlers[i]);
}

static void use_engine_handlers(void)
{
    for (size_t i = 0; i < sizeof(trap_signals) / sizeof(trap_signals[0]); i++)
        sigaction(trap_signals[i], &engine_handlers[i], NULL);
}

static void configured(const char *engine, const char *plugin, const char *configuration)
{
    use_engine_handlers();
    embedder_open(&e, engine, plugin);
    int error = embedder_configure(&e, configuration, NULL);
    if (error != PW_OK)
        fail_msg("%s on %s: %s: %s", plugin, engine, pw_error_str(error), e.logs);
}

/* A GET of `path`; true when it passed. */
static bool passes(const char *path, const char *authorization)
{
    assert_int_equal(embedder_begin(&e), PW_OK);
    embedder_header(&e, PW_MAP_REQUEST_HEADERS, ":method", "GET");
    embedder_header(&e, PW_MAP_REQUEST_HEADERS, ":path", path);
    embedder_header(&e, PW_MAP_REQUEST_HEADERS, ":authority", "a.example:80");
    if (authorization != NULL)
        embedder_header(&e, PW_MAP_REQUEST_HEADERS, "authorization", authorization);
    enum pw_action action = embedder_request_headers(&e, true);
    bool passed = action == PW_ACTION_CONTINUE;
    assert_int_equal(e.replies, passed ? 0 : 1);
    embedder_end(&e);
    return passed;
}

static void test_basic_auth(void **state)
{
    (void)state;
    EACH_ENGINE(engine)
    {
        configured(
            *engine, "plugins/basic-auth",
            "{\"basic_auth_rules\":[{\"prefix\":\"/productpage\",\"request_methods\":[\"GET\",\"POST\"],"
            "\"credentials\":[\"ok:test\",\"YWRtaW4zOmFkbWluMw==\"]}]}");
        for (int round = 0; round < 200; round++) {
            assert_false(passes("/productpage", NULL));
            assert_int_equal(e.reply_status, 401);
            assert_string_equal(embedder_value(&e.reply_headers, "www-authenticate"),
                                "Basic realm=\"istio\"");
            assert_false(passes("/productpage?x", "Basic b2s6dGVzdB=="));
            assert_true(passes("/productpage?x", "Basic b2s6dGVzdA=="));
            assert_true(passes("/productpage/1", "Basic YWRtaW4zOmFkbWluMw=="));
            assert_true(passes("/", NULL));
        }
        embedder_close(&e);
    }
}

static void test_add_header(void **state)
{
    (void)state;
    EACH_ENGINE(engine)
    {
        configured(*engine, "plugins/add-header",
                   "{\"request\":{\"x-a\":\"1\",\"x-b\":\"\"},\"response\":{\"hello\":\"world\"}}");
        assert_int_equal(embedder_begin(&e), PW_OK);
        embedder_header(&e, PW_MAP_REQUEST_HEADERS, ":path", "/");
        assert_int_equal(embedder_request_headers(&e, true), PW_ACTION_CONTINUE);
        assert_int_equal(e.maps[PW_MAP_REQUEST_HEADERS].count, 3);
        assert_string_equal(embedder_value(&e.maps[PW_MAP_REQUEST_HEADERS], "x-a"), "1");
        assert_string_equal(embedder_value(&e.maps[PW_MAP_REQUEST_HEADERS], "x-b"), "");
        embedder_header(&e, PW_MAP_RESPONSE_HEADERS, ":status", "200");
        assert_int_equal(embedder_response_headers(&e, true), PW_ACTION_CONTINUE);
        assert_string_equal(embedder_value(&e.maps[PW_MAP_RESPONSE_HEADERS], "hello"), "world");
        embedder_end(&e);
        embedder_close(&e);
    }
}

static void test_wrong_configuration(void **state)
{
    (void)state;
    EACH_ENGINE(engine)
    {
        embedder_open(&e, *engine, "plugins/basic-auth");
        assert_int_equal(embedder_configure(&e, "{\"basic_auth_rules\":[{\"prefx\":\"/\"}]}", NULL),
                         PW_ERR_CONFIGURE_FAILED);
        assert_true(embedder_logged(
            &e,
            "4 basic-auth: configuration, line 1, column 23: basic_auth_rules[0].prefx: unknown field; did "
            "you mean \"prefix\"?"));
        embedder_close(&e);
        embedder_open(&e, *engine, "plugins/add-header");
        assert_int_equal(embedder_configure(&e, "", NULL), PW_ERR_CONFIGURE_FAILED);
        embedder_close(&e);
    }
}

/* Scripts of probe: commands of one stream, and what each must answer on both engines. */
struct step {
    const char *command, *expected;
};

static const struct step script_headers[] = {{"header_remove 0 x-probe", "0"},
                                             {"header 0 :path", "0 /probe"},
                                             {"header 0 nope", "1"},
                                             {"header_add 0 x-a 1", "0"},
                                             {"header_add 0 x-a 2", "0"},
                                             {"header 0 X-A", "0 1"},
                                             {"header_set 0 x-a 3", "0"},
                                             {"header_remove 0 :authority", "0"},
                                             {"header_remove 0 nope", "0"},
                                             {"pairs 0", "0 3 :method=GET :path=/probe x-a=3"},
                                             {"pairs_set 0 x-b 4", "0"},
                                             {"pairs 0", "0 4 :method=GET :path=/probe x-a=3 x-b=4"},
                                             {"header 9 x", "2"},
                                             {"header_add 9 x y", "2"},
                                             {"header_add 2 x-too-early 1", "2"},
                                             {NULL, NULL}};

static const struct step script_general[] = {{"log_level", "0 2"},
                                             {"property request.method", "0 GET"},
                                             {"property nope", "1"},
                                             {"property_u64 source.port", "0 4711"},
                                             {"property plugin_name", "0 test"},
                                             {"property_set a.b c", "0"},
                                             {"buffer 9 0 10", "2"},
                                             {"buffer_append 0 x", "2"},
                                             {"foreign nope x", "1"},
                                             {"http_call nope /", "10 0"},
                                             {"grpc_call nope", "10 0"},
                                             {"grpc_send 1 x", "2"},
                                             {"grpc_cancel 1", "1"},
                                             {"grpc_close 1", "1"},
                                             {"effective 1", "0"},
                                             {"unknown", "12 unknown probe"}};

static const struct step script_stores[] = {{"shared_get nope", "1  cas 0"}, {"shared_set k v 0", "0"},
                                            {"shared_get k", "0 v cas 1"},   {"shared_set k w 99", "8"},
                                            {"shared_set k - 1", "0"},       {"shared_get k", "0  cas 2"},
                                            {"queue_resolve - nope", "1 0"}, {"queue_register q", "0 1"},
                                            {"queue_resolve - q", "0 1"},    {"queue_push 1 hello", "0"},
                                            {"queue_pop 1", "0 hello"},      {"queue_pop 1", "7"},
                                            {"queue_pop 77", "1"},           {NULL, NULL}};

static const struct step script_metrics[] = {{"metric_define 0 probe_counter", "0 4"},
                                             {"metric_add 4 5", "0"},
                                             {"metric_get 4", "0 5"},
                                             {"metric_add 4 -1", "2"},
                                             {"metric_define 1 probe_gauge", "0 5"},
                                             {"metric_record 5 18446744073709551615", "0"},
                                             {"metric_get 5", "0 18446744073709551615"},
                                             {"metric_define 7 nope", "2 0"},
                                             {"metric_get 4711", "2 0"},
                                             {"tick 10", "0"},
                                             {NULL, NULL}};

static void run_script(const char *engine, const struct step *script)
{
    char commands[EMBEDDER_TEXT_BYTES] = "", name[16];
    for (size_t i = 0; i < 16 && script[i].command != NULL; i++) {
        size_t len = strlen(commands);
        snprintf(commands + len, sizeof(commands) - len, "%s; ", script[i].command);
    }
    assert_int_equal(embedder_begin(&e), PW_OK);
    embedder_header(&e, PW_MAP_REQUEST_HEADERS, ":method", "GET");
    embedder_header(&e, PW_MAP_REQUEST_HEADERS, ":path", "/probe");
    embedder_header(&e, PW_MAP_REQUEST_HEADERS, ":authority", "a.example");
    embedder_header(&e, PW_MAP_REQUEST_HEADERS, "x-probe", commands);
    assert_int_equal(embedder_request_headers(&e, true), PW_ACTION_CONTINUE);
    assert_int_equal(embedder_response_headers(&e, true), PW_ACTION_CONTINUE);
    for (size_t i = 0; i < 16 && script[i].command != NULL; i++) {
        snprintf(name, sizeof(name), "x-probe-%zu", i + 1);
        const char *answer = embedder_value(&e.maps[PW_MAP_RESPONSE_HEADERS], name);
        if (answer == NULL || strcmp(answer, script[i].expected) != 0)
            fail_msg("%s: %s: '%s' instead of '%s'", engine, script[i].command,
                     answer == NULL ? "nothing" : answer, script[i].expected);
    }
    embedder_end(&e);
}

static void test_probe(void **state)
{
    (void)state;
    EACH_ENGINE(engine)
    {
        configured(*engine, "tests/plugins/probe", "trace");
        run_script(*engine, script_headers);
        run_script(*engine, script_general);
        run_script(*engine, script_stores);
        run_script(*engine, script_metrics);
        assert_true(embedder_logged(&e, "probe: call context_create 2 1 0"));
        assert_true(embedder_logged(&e, "probe: call request_headers 2 4 1"));
        assert_true(embedder_logged(&e, "probe: call delete 2 0 0"));
        embedder_close(&e);
    }
}

static void test_bodies(void **state)
{
    (void)state;
    EACH_ENGINE(engine)
    {
        configured(*engine, "tests/plugins/probe", "");
        assert_int_equal(embedder_begin(&e), PW_OK);
        embedder_header(
            &e, PW_MAP_REQUEST_HEADERS, "x-probe",
            "@request_body buffer 0 1 3; @request_body buffer_append 0 END; @request_body "
            "buffer_prepend 0 <; @request_body buffer_bytes 0; @request_body pause; @response_body "
            "buffer_replace 1 new; @response_body buffer 1 0 99; @response_body buffer_splice 1 1 1 x");
        assert_int_equal(embedder_request_headers(&e, false), PW_ACTION_CONTINUE);
        embedder_body(&e, PW_BUFFER_REQUEST_BODY, "hello");
        assert_int_equal(pw_stream_request_body(e.stream, 5, true), PW_ACTION_STOP_BUFFER);
        assert_int_equal(e.body_lens[0], 9);
        assert_memory_equal(e.bodies[0], "<helloEND", 9);
        assert_int_equal(embedder_response_headers(&e, false), PW_ACTION_CONTINUE);
        assert_string_equal(embedder_value(&e.maps[PW_MAP_RESPONSE_HEADERS], "x-probe-1"), "0 ell");
        assert_string_equal(embedder_value(&e.maps[PW_MAP_RESPONSE_HEADERS], "x-probe-4"), "0 9");
        embedder_body(&e, PW_BUFFER_RESPONSE_BODY, "old body");
        assert_int_equal(pw_stream_response_body(e.stream, 8, true), PW_ACTION_CONTINUE);
        assert_int_equal(e.body_lens[1], 3);
        assert_memory_equal(e.bodies[1], "new", 3);
        assert_true(embedder_logged(&e, "probe: 7 buffer: 0 new"));
        assert_true(embedder_logged(&e, "probe: 8 buffer_splice: 2")); /* the middle is refused */
        embedder_end(&e);
        embedder_close(&e);
    }
}

/* One request with `script` in x-hostile; the action of the request headers. */
static enum pw_action hostile(const char *script)
{
    assert_int_equal(embedder_begin(&e), PW_OK);
    embedder_header(&e, PW_MAP_REQUEST_HEADERS, ":method", "GET");
    embedder_header(&e, PW_MAP_REQUEST_HEADERS, ":path", "/");
    embedder_header(&e, PW_MAP_REQUEST_HEADERS, "x-hostile", script);
    return embedder_request_headers(&e, true);
}

static void expect_failure(const char *engine, const char *script, const char *text)
{
    configured(engine, "tests/plugins/hostile", "");
    assert_int_equal(hostile("note:on_request_headers"), PW_ACTION_CONTINUE);
    embedder_end(&e);
    assert_int_equal(hostile(script), PW_ACTION_VM_FAILED);
    assert_int_equal(e.vm_failures, 1);
    assert_true(pw_vm_failed(e.vm));
    if (strstr(e.failure, text) == NULL)
        fail_msg("%s on %s: no '%s' in: %s", script, engine, text, e.failure);
    pw_stream_destroy(&e.stream);
    assert_int_equal(embedder_begin(&e), PW_ERR_VM_FAILED);
    embedder_close(&e);
}

static void test_traps(void **state)
{
    (void)state;
    EACH_ENGINE(engine)
    expect_failure(*engine, "trap:on_request_headers", "proxy_on_request_headers: ");
    expect_failure("wasmtime", "trap:on_request_headers", "hostile_inner");
    expect_failure("wasmtime", "recurse:on_request_headers", "recurse");
    expect_failure("wasmtime", "oob:on_request_headers", "out of bounds");
    expect_failure("wasmtime", "divide:on_request_headers", "divide by zero");
    expect_failure("wasmtime", "reply_trap:on_request_headers", "hostile_inner");
}

/* The embedder destroys stream and VM in the midst of the callback that failed; the sanitizers watch. */
static void test_destroyed_while_failing(void **state)
{
    static const char *const phases[] = {"on_request_headers", "on_response_headers", "on_log", "on_done",
                                         "on_delete"};
    (void)state;
    EACH_ENGINE(engine)
    {
        for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
            char script[64];
            snprintf(script, sizeof(script), "trap:%s", phases[i]);
            configured(*engine, "tests/plugins/hostile", "");
            e.destroy_on_failure = true;
            hostile(script);
            if (e.stream != NULL)
                embedder_response_headers(&e, true);
            if (e.stream != NULL)
                pw_stream_log(e.stream);
            if (e.stream != NULL)
                pw_stream_destroy(&e.stream);
            assert_int_equal(e.vm_failures, 1);
            assert_null(e.vm);
            embedder_close(&e);
        }
    }
}

static void test_time(void **state)
{
    (void)state;
    expect_failure("wasmtime", "loop:on_request_headers", pw_error_str(PW_ERR_TIMEOUT));
    expect_failure("wasmtime", "loop_calls:on_request_headers", pw_error_str(PW_ERR_TIMEOUT));
}

/* The guest sees malloc fail at the cap, and goes on. */
static void test_memory(void **state)
{
    const struct pw_limits limits = {.memory_max_bytes = 8 << 20};
    (void)state;
    embedder_open(&e, "wasmtime", "tests/plugins/hostile");
    assert_int_equal(embedder_configure(&e, "", &limits), PW_OK);
    assert_int_equal(hostile("alloc:on_request_headers"), PW_ACTION_CONTINUE);
    assert_true(embedder_logged(&e, "hostile: out of memory after 7 MiB") ||
                embedder_logged(&e, "hostile: out of memory after 6 MiB"));
    embedder_end(&e);
    assert_int_equal(hostile("note:on_request_headers"), PW_ACTION_CONTINUE);
    embedder_end(&e);
    embedder_close(&e);
}

static void test_two_replies(void **state)
{
    (void)state;
    EACH_ENGINE(engine)
    {
        configured(*engine, "tests/plugins/hostile", "");
        assert_int_equal(hostile("two_replies:on_request_headers"), PW_ACTION_STOP_ALL_WATERMARK);
        assert_int_equal(e.replies, 1);
        assert_int_equal(e.reply_status, 418);
        embedder_end(&e);
        embedder_close(&e);
    }
}

/* Host calls from each callback, right and wrong: a status for each, and the stream goes on. */
static void test_wrong_phase(void **state)
{
    static const char *const phases[] = {
        "on_context_create", "on_request_headers", "on_response_headers", "on_log", "on_done", "on_delete"};
    (void)state;
    EACH_ENGINE(engine)
    {
        for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
            char script[64];
            snprintf(script, sizeof(script), "wrong_phase:%s", phases[i]);
            configured(*engine, "tests/plugins/hostile", script);
            hostile("note:on_request_headers");
            embedder_response_headers(&e, true);
            embedder_end(&e);
            assert_int_equal(e.vm_failures, 0);
            assert_true(embedder_logged(&e, "hostile: header_get map 7: status "));
            assert_true(embedder_logged(&e, "hostile: buffer_append buffer 8: status 2"));
            embedder_close(&e);
        }
    }
}

static void test_wild_pointers(void **state)
{
    (void)state;
    configured("wasmtime", "tests/plugins/wild", "");
    assert_int_equal(embedder_begin(&e), PW_OK);
    assert_int_equal(embedder_request_headers(&e, true), PW_ACTION_CONTINUE);
    assert_int_equal(embedder_response_headers(&e, true), PW_ACTION_CONTINUE);
    assert_int_equal(e.vm_failures, 0);
    assert_string_equal(embedder_value(&e.maps[PW_MAP_RESPONSE_HEADERS], "x-wild"), "589");
    embedder_end(&e);
    embedder_close(&e);
}

/* What the guest's allocator may answer, and what the host call that asked for memory makes of it. */
static void test_allocators(void **state)
{
    static const char *const answers[][2] = {
        {"good", "2 allocator: 0 /path"}, {"zero", "2 allocator: 6 "},      {"wild", "2 allocator: 6 "},
        {"end", "2 allocator: 6 "},       {"grow", "2 allocator: 0 /path"}, {"odd", "2 allocator: 0 /path"},
        {"log", "2 allocator: 0 /path"}};
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        configured("wasmtime", "tests/plugins/allocator", answers[i][0]);
        for (int round = 0; round < 3; round++) {
            assert_true(passes("/path", NULL));
            if (!embedder_logged(&e, answers[i][1]))
                fail_msg("%s: %s", answers[i][0], e.logs);
            e.logs_len = 0;
        }
        embedder_close(&e);
    }
    static const char *const fatal[][2] = {
        {"trap", "unreachable"}, {"loop", "time"}, {"calls", "proxy_get_header_map_value"}};
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
        configured("wasmtime", "tests/plugins/allocator", fatal[i][0]);
        assert_int_equal(hostile(""), PW_ACTION_VM_FAILED);
        assert_int_equal(e.vm_failures, 1);
        if (strstr(e.failure, fatal[i][1]) == NULL)
            fail_msg("%s: %s", fatal[i][0], e.failure);
        embedder_close(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_basic_auth),
        cmocka_unit_test(test_add_header),
        cmocka_unit_test(test_wrong_configuration),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_traps),
        cmocka_unit_test(test_destroyed_while_failing),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_two_replies),
        cmocka_unit_test(test_wrong_phase),
        cmocka_unit_test(test_wild_pointers),
        cmocka_unit_test(test_allocators),
    };
    keep_engine_handlers();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
