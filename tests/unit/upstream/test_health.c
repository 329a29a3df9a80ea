/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Health checks without a socket: thresholds, times between checks, requests as they are sent, and answers of
 * every kind, the hostile ones first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"
#include "upstream/health_request.h"
#include "upstream/health_state.h"

static struct health_config make(void)
{
    struct health_config h = {.interval_ms = 1000, .unhealthy_threshold = 3, .healthy_threshold = 2};
    struct build_errors errors = {0};
    health_config_defaults(&h);
    assert_true(health_config_finish(&h, "", &errors));
    return h;
}

/* --- thresholds --- */

static struct health_state fresh(void)
{
    return (struct health_state){.failed = true, .first = true};
}

static void first_result_counts_at_once(void **state)
{
    (void)state;
    struct health_config h = make();
    struct health_state s = fresh();
    struct health_outcome o = health_state_passed(&s, &h, false);
    assert_true(o.added && o.first && !s.failed && !s.first);
    assert_int_equal(o.change, HEALTH_CHANGED);
    s = fresh();
    o = health_state_failed(&s, &h, HEALTH_FAILURE_NETWORK, false);
    assert_true(o.first && !o.ejected && s.failed);
    assert_int_equal(o.change, HEALTH_SAME);
    /* From now on it takes two. */
    assert_int_equal(health_state_passed(&s, &h, false).change, HEALTH_PENDING);
    assert_true(health_state_passed(&s, &h, false).added);
}

static void network_failures_add_up(void **state)
{
    (void)state;
    struct health_config h = make();
    struct health_state s = fresh();
    health_state_passed(&s, &h, false);
    for (int i = 0; i < 2; i++)
        assert_int_equal(health_state_failed(&s, &h, HEALTH_FAILURE_NETWORK, false).change, HEALTH_PENDING);
    health_state_passed(&s, &h, false); /* begins anew */
    for (int i = 0; i < 2; i++)
        assert_int_equal(health_state_failed(&s, &h, HEALTH_FAILURE_NETWORK, false).change, HEALTH_PENDING);
    assert_false(s.timeout);
    struct health_outcome o = health_state_failed(&s, &h, HEALTH_FAILURE_NETWORK_TIMEOUT, false);
    assert_true(o.ejected && s.failed && s.timeout);
    assert_int_equal(health_state_failed(&s, &h, HEALTH_FAILURE_NETWORK, false).change, HEALTH_SAME);
    assert_false(s.timeout);
    health_state_passed(&s, &h, false);
    health_state_failed(&s, &h, HEALTH_FAILURE_ACTIVE, false); /* one success does not stay */
    assert_int_equal(health_state_passed(&s, &h, false).change, HEALTH_PENDING);
    assert_int_equal(health_state_passed(&s, &h, false).change, HEALTH_CHANGED);
}

static void answers_that_fail_eject_at_once(void **state)
{
    (void)state;
    struct health_config h = make();
    static const enum health_failure failures[] = {HEALTH_FAILURE_ACTIVE, HEALTH_FAILURE_PASSIVE};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(failures); i++) {
        struct health_state s = fresh();
        health_state_passed(&s, &h, false);
        assert_true(health_state_failed(&s, &h, failures[i], false).ejected);
    }
    struct health_state s = fresh();
    health_state_passed(&s, &h, false);
    for (int i = 0; i < 2; i++) /* retriable statuses count like the network's failures */
        assert_int_equal(health_state_failed(&s, &h, HEALTH_FAILURE_ACTIVE, true).change, HEALTH_PENDING);
    assert_true(health_state_failed(&s, &h, HEALTH_FAILURE_ACTIVE, true).ejected);
}

static void degraded_and_pending(void **state)
{
    (void)state;
    struct health_config h = make();
    struct health_state s = fresh();
    s.pending = true;
    struct health_outcome o = health_state_passed(&s, &h, true);
    assert_true(o.added && o.degraded && s.degraded && !s.pending);
    o = health_state_passed(&s, &h, true);
    assert_int_equal(o.change, HEALTH_SAME);
    o = health_state_passed(&s, &h, false);
    assert_true(o.degraded_over && !s.degraded);
    assert_int_equal(o.change, HEALTH_CHANGED);
    s = fresh();
    s.pending = true; /* a first failure changes who is counted */
    assert_int_equal(health_state_failed(&s, &h, HEALTH_FAILURE_NETWORK, false).change, HEALTH_CHANGED);
    assert_false(s.pending);
}

/* --- times --- */

static uint64_t largest(void *arg, uint64_t bound)
{
    *(uint64_t *)arg = bound;
    return bound - 1;
}

static void times_between_checks(void **state)
{
    (void)state;
    uint64_t bound = 0;
    struct health_config h = {.interval_ms = 1000, .unhealthy_interval_ms = 300};
    struct build_errors errors = {0};
    health_config_defaults(&h);
    health_config_finish(&h, "", &errors);
    assert_int_equal(health_interval_ms(&h, true, HEALTH_SAME, true, largest, &bound), 1000);
    assert_int_equal(health_interval_ms(&h, true, HEALTH_PENDING, true, largest, &bound), 1000);
    assert_int_equal(health_interval_ms(&h, false, HEALTH_SAME, true, largest, &bound), 300);
    assert_int_equal(health_interval_ms(&h, false, HEALTH_PENDING, true, largest, &bound), 300);
    assert_int_equal(health_interval_ms(&h, true, HEALTH_SAME, false, largest, &bound), 60000);
    h.unhealthy_edge_interval_ms = 50;
    h.healthy_edge_interval_ms = 60;
    h.no_traffic_healthy_interval_ms = 90000;
    assert_int_equal(health_interval_ms(&h, false, HEALTH_PENDING, true, largest, &bound), 50);
    assert_int_equal(health_interval_ms(&h, false, HEALTH_CHANGED, true, largest, &bound), 300);
    assert_int_equal(health_interval_ms(&h, true, HEALTH_PENDING, true, largest, &bound), 60);
    assert_int_equal(health_interval_ms(&h, true, HEALTH_SAME, false, largest, &bound), 90000);
    assert_int_equal(health_interval_ms(&h, true, HEALTH_PENDING, false, largest, &bound), 60000);
    assert_int_equal(health_interval_ms(&h, false, HEALTH_SAME, false, largest, &bound), 60000);
    assert_int_equal(bound, 0);
    h.interval_jitter_percent = 50;
    assert_int_equal(health_interval_ms(&h, true, HEALTH_SAME, true, largest, &bound), 1499);
    assert_int_equal(bound, 500);
    h.interval_jitter_ms = 10;
    assert_int_equal(health_interval_ms(&h, true, HEALTH_SAME, true, largest, &bound), 1508);
    h = (struct health_config){0};
    assert_int_equal(health_interval_ms(&h, true, HEALTH_SAME, true, largest, &bound), 1);
}

/* --- configuration --- */

static void count_error(void *arg, const char *path, const char *text)
{
    (void)text;
    *(const char **)arg = path[0] ? "told" : "";
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct health_range bad[] = {{200, 200}, {99, 200}, {200, 601}, {0, 0}, {300, 200}};
    const char *told = NULL;
    struct build_errors errors = {.report = count_error, .arg = &told};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        struct health_range r = bad[i];
        struct health_config h = {.interval_ms = 1, .pass = &r, .pass_count = 1};
        health_config_defaults(&h);
        assert_false(health_config_finish(&h, "x", &errors));
    }
    struct slice piece = SLICE_LIT("0123456789");
    struct health_config h = {.interval_ms = 1, .receive = &piece, .receive_count = 1};
    health_config_defaults(&h);
    h.response_max = 9;
    assert_false(health_config_finish(&h, "x", &errors));
    h.response_max = 10;
    assert_true(health_config_finish(&h, "x", &errors));
    h.send = piece;
    assert_false(health_config_finish(&h, "x", &errors)); /* GET has no body */
    h.method = SLICE_LIT("POST");
    assert_true(health_config_finish(&h, "x", &errors));
    assert_string_equal(told, "told");
}

static void hexadecimal(void **state)
{
    (void)state;
    struct arena a;
    struct slice out;
    arena_init(&a, 1 << 16, NULL);
    assert_true(health_hex(&a, "00fFa1", &out));
    assert_true(slice_eq(out, SLICE_LIT("\x00\xff\xa1")));
    assert_true(health_hex(&a, "", &out));
    assert_int_equal(out.len, 0);
    assert_false(health_hex(&a, "0", &out));
    assert_false(health_hex(&a, "0g", &out));
    assert_false(health_hex(&a, " 0", &out));
    arena_fini(&a);
}

static void pieces_in_order(void **state)
{
    (void)state;
    static const struct slice pieces[] = {{"ab", 2}, {"cd", 2}, {"ab", 2}};
    struct health_config h = {.receive = pieces, .receive_count = 3};
    assert_true(health_receive_match(&h, SLICE_LIT("xabxcdxabx")));
    assert_false(health_receive_match(&h, SLICE_LIT("abcd")));
    assert_false(health_receive_match(&h, SLICE_LIT("cdabab")));
    assert_false(health_receive_match(&h, SLICE_LIT("")));
    h.receive_count = 0;
    assert_true(health_receive_match(&h, SLICE_LIT("")));
}

/* --- messages --- */

static const char *value_of(const struct header_map *m, const char *name)
{
    static char text[256];
    const struct header *h = header_map_find(m, slice_str(name));
    if (!h || h->value.len >= sizeof(text))
        return NULL;
    memcpy(text, h->value.ptr, h->value.len);
    text[h->value.len] = '\0';
    return text;
}

static void the_request(void **state)
{
    (void)state;
    static const struct health_field add[] = {{{"x-a", 3}, {"1", 1}, HEALTH_FIELD_APPEND},
                                              {{"x-a", 3}, {"2", 1}, HEALTH_FIELD_ADD_IF_ABSENT},
                                              {{"user-agent", 10}, {"me", 2}, HEALTH_FIELD_OVERWRITE},
                                              {{"x-b", 3}, {"3", 1}, HEALTH_FIELD_OVERWRITE_IF_EXISTS}};
    static const struct slice gone[] = {{"content-length", 14}};
    struct arena a;
    arena_init(&a, 1 << 16, NULL);
    struct health_config h = make();
    h.path = SLICE_LIT("/up?x");
    struct header_map *m = health_request_headers(&a, &h, SLICE_LIT("name"), false);
    assert_string_equal(value_of(m, ":method"), "GET");
    assert_string_equal(value_of(m, ":path"), "/up?x");
    assert_string_equal(value_of(m, ":authority"), "name");
    assert_string_equal(value_of(m, ":scheme"), "http");
    assert_string_equal(value_of(m, "user-agent"), "Envoy/HC");
    assert_int_equal(m->count, 5);
    h.method = SLICE_LIT("POST");
    h.send = SLICE_LIT("12345");
    h.add = add;
    h.add_count = 4;
    m = health_request_headers(&a, &h, SLICE_LIT("name"), true);
    assert_string_equal(value_of(m, "content-length"), "5");
    assert_string_equal(value_of(m, ":scheme"), "https");
    assert_string_equal(value_of(m, "user-agent"), "me");
    assert_string_equal(value_of(m, "x-a"), "1");
    assert_null(value_of(m, "x-b"));
    assert_int_equal(m->count, 7);
    h.remove = gone;
    h.remove_count = 1;
    assert_null(value_of(health_request_headers(&a, &h, SLICE_LIT("name"), true), "content-length"));
    arena_fini(&a);
}

static void the_grpc_request(void **state)
{
    (void)state;
    char name[300];
    struct arena a;
    arena_init(&a, 1 << 16, NULL);
    struct health_config h = make();
    h.kind = HEALTH_GRPC;
    h.timeout_ms = 1500;
    struct header_map *m = health_request_headers(&a, &h, SLICE_LIT("name"), false);
    assert_string_equal(value_of(m, ":path"), "/grpc.health.v1.Health/Check");
    assert_string_equal(value_of(m, "content-type"), "application/grpc");
    assert_string_equal(value_of(m, "te"), "trailers");
    assert_string_equal(value_of(m, "grpc-timeout"), "1500m");
    assert_true(slice_eq(health_request_body(&a, &h), SLICE_LIT("\0\0\0\0\0")));
    h.grpc_service = SLICE_LIT("svc");
    assert_true(slice_eq(health_request_body(&a, &h), SLICE_LIT("\0\0\0\0\5\n\3svc")));
    memset(name, 'n', sizeof(name));
    h.grpc_service = slice_of(name, sizeof(name));
    struct slice body = health_request_body(&a, &h);
    assert_int_equal(body.len, 5 + 1 + 2 + 300);
    assert_memory_equal(body.ptr, "\0\0\0\x01\x2f\n\xac\x02n", 9);
    arena_fini(&a);
}

struct reply {
    struct arena arena;
    struct header_map headers;
    struct header_map trailers;
    struct health_answer answer;
};

static struct reply *reply(const char *status)
{
    static struct reply r;
    arena_init(&r.arena, 1 << 16, NULL);
    header_map_init(&r.headers, &r.arena, 100, 1 << 16);
    header_map_init(&r.trailers, &r.arena, 100, 1 << 16);
    header_map_add(&r.headers, SLICE_LIT(":status"), slice_str(status));
    r.answer = (struct health_answer){.headers = &r.headers, .body = SLICE_LIT("")};
    return &r;
}

static bool match_me(const void *matcher, struct slice text)
{
    return slice_eq(text, slice_str(matcher));
}

static void http_answers(void **state)
{
    (void)state;
    static struct health_range pass[] = {{200, 201}, {300, 400}}, retriable[] = {{500, 600}};
    static const struct slice pieces[] = {{"good", 4}};
    char service[] = "me";
    struct health_config h = make();
    bool verified = false;
    struct reply *r = reply("201");
    assert_int_equal(health_answer_http(&r->answer, &h, &verified), HEALTH_VERDICT_FAIL);
    arena_fini(&r->arena);
    r = reply("200");
    assert_int_equal(health_answer_http(&r->answer, &h, &verified), HEALTH_VERDICT_PASS);
    h.receive = pieces;
    h.receive_count = 1;
    assert_int_equal(health_answer_http(&r->answer, &h, &verified), HEALTH_VERDICT_FAIL);
    r->answer.body = SLICE_LIT("all good");
    assert_int_equal(health_answer_http(&r->answer, &h, &verified), HEALTH_VERDICT_PASS);
    assert_false(verified);
    h.service_name = (struct health_text_test){match_me, NULL, service};
    assert_int_equal(health_answer_http(&r->answer, &h, &verified), HEALTH_VERDICT_FAIL);
    assert_true(verified);
    header_map_add(&r->headers, SLICE_LIT("x-envoy-upstream-healthchecked-cluster"), SLICE_LIT("me"));
    assert_int_equal(health_answer_http(&r->answer, &h, &verified), HEALTH_VERDICT_PASS);
    arena_fini(&r->arena);
    h = make();
    h.pass = pass;
    h.pass_count = 2;
    h.retriable = retriable;
    h.retriable_count = 1;
    r = reply("399");
    assert_int_equal(health_answer_http(&r->answer, &h, &verified), HEALTH_VERDICT_PASS);
    arena_fini(&r->arena);
    r = reply("400");
    assert_int_equal(health_answer_http(&r->answer, &h, &verified), HEALTH_VERDICT_FAIL);
    arena_fini(&r->arena);
    r = reply("503");
    assert_int_equal(health_answer_http(&r->answer, &h, &verified), HEALTH_VERDICT_RETRIABLE);
    arena_fini(&r->arena);
}

static enum health_verdict grpc(const char *type, const char *status, struct slice body)
{
    struct reply *r = reply("200");
    header_map_add(&r->headers, SLICE_LIT("content-type"), slice_str(type));
    if (status) {
        header_map_add(&r->trailers, SLICE_LIT("grpc-status"), slice_str(status));
        r->answer.trailers = &r->trailers;
    }
    r->answer.body = body;
    enum health_verdict v = health_answer_grpc(&r->answer);
    arena_fini(&r->arena);
    return v;
}

#define GRPC(bytes) grpc("application/grpc", "0", SLICE_LIT(bytes))

static void grpc_answers(void **state)
{
    (void)state;
    /* Cut, overlong, compressed, doubled, not serving, nonsense. */
    assert_int_equal(GRPC(""), HEALTH_VERDICT_FAIL);
    assert_int_equal(GRPC("\0\0\0"), HEALTH_VERDICT_FAIL);
    assert_int_equal(GRPC("\0\0\0\0\0"), HEALTH_VERDICT_FAIL);
    assert_int_equal(GRPC("\0\0\0\0\2\x08"), HEALTH_VERDICT_FAIL);
    assert_int_equal(GRPC("\0\xff\xff\xff\xff\x08\1"), HEALTH_VERDICT_FAIL);
    assert_int_equal(GRPC("\1\0\0\0\2\x08\1"), HEALTH_VERDICT_FAIL);
    assert_int_equal(GRPC("\0\0\0\0\2\x08\2"), HEALTH_VERDICT_FAIL);
    assert_int_equal(GRPC("\0\0\0\0\2\x08\1\0\0\0\0\2\x08\1"), HEALTH_VERDICT_FAIL);
    assert_int_equal(GRPC("\0\0\0\0\2\x08\1x"), HEALTH_VERDICT_FAIL);
    assert_int_equal(GRPC("\0\0\0\0\1\x08"), HEALTH_VERDICT_FAIL);
    assert_int_equal(GRPC("\0\0\0\0\2\x0f\1"), HEALTH_VERDICT_FAIL);
    assert_int_equal(GRPC("\0\0\0\0\4\x12\x7f\x08\1"), HEALTH_VERDICT_FAIL);
    assert_int_equal(GRPC("\0\0\0\0\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"), HEALTH_VERDICT_FAIL);
    assert_int_equal(GRPC("\0\0\0\0\2\x08\1"), HEALTH_VERDICT_PASS);
    assert_int_equal(GRPC("\0\0\0\0\0\0\0\0\0\2\x08\1"), HEALTH_VERDICT_PASS); /* an empty frame before it */
    assert_int_equal(GRPC("\0\0\0\0\6\x12\2ab\x08\1"), HEALTH_VERDICT_PASS);   /* a field of tomorrow */
    struct slice good = SLICE_LIT("\0\0\0\0\2\x08\1");
    assert_int_equal(grpc("application/grpc+proto", "0", good), HEALTH_VERDICT_PASS);
    assert_int_equal(grpc("text/html", "0", good), HEALTH_VERDICT_FAIL);
    assert_int_equal(grpc("application/grpc", "5", good), HEALTH_VERDICT_FAIL);
    assert_int_equal(grpc("application/grpc", NULL, good), HEALTH_VERDICT_FAIL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_result_counts_at_once),
        cmocka_unit_test(network_failures_add_up),
        cmocka_unit_test(answers_that_fail_eject_at_once),
        cmocka_unit_test(degraded_and_pending),
        cmocka_unit_test(times_between_checks),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(hexadecimal),
        cmocka_unit_test(pieces_in_order),
        cmocka_unit_test(the_request),
        cmocka_unit_test(the_grpc_request),
        cmocka_unit_test(http_answers),
        cmocka_unit_test(grpc_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
