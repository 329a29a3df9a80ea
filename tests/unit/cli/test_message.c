/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of weirctl: URLs, HTTP text as people write it and as curl -v prints it, and what is refused.
 */
#include "cli/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct message message;
static struct message_error error;

static int setup(void **state)
{
    (void)state;
    message_init(&message);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    message_fini(&message);
    return 0;
}

static void assert_header(const char *name, const char *wanted)
{
    const struct header *h = header_map_find(&message.headers, slice_str(name));
    assert_non_null(h);
    assert_int_equal(h->value.len, strlen(wanted));
    assert_memory_equal(h->value.ptr, wanted, h->value.len);
}

static void a_request_has_all_that_it_needs(void **state)
{
    (void)state;
    assert_true(message_parse_request(&message, SLICE_LIT("GET /x"), &error));
    assert_int_equal(message.headers.count, 4);
    assert_header(":method", "GET");
    assert_header(":path", "/x");
    assert_header(":authority", "localhost");
    assert_header(":scheme", "http");
}

static void url_host_and_header_host(void **state)
{
    (void)state;
    assert_true(message_parse_request(
        &message,
        SLICE_LIT(
            "# comment\n\n// another\nPOST https://a.example/x?y HTTP/1.1\r\nHost: b.example:1\r\nX: 1\r\n"
            "x: 2\r\n\r\nbody\n"),
        &error));
    assert_header(":method", "POST");
    assert_header(":path", "/x?y");
    assert_header(":scheme", "https");
    assert_header(":authority", "b.example:1");
    assert_int_equal(message.headers.count, 6);
    assert_string_equal(strbuf_cstr(&message.body), "body\n");
}

static void content_length_cuts_the_body(void **state)
{
    (void)state;
    assert_true(message_parse_request(&message, SLICE_LIT("PUT /\ncontent-length: 4\n\nbody\n"), &error));
    assert_string_equal(strbuf_cstr(&message.body), "body");
}

static void curl_marks_are_stripped(void **state)
{
    (void)state;
    assert_true(message_parse_response(
        &message, SLICE_LIT("* Connected\n< HTTP/2 503 \n< x-a: > b\n* more\n< \nrest"), &error));
    assert_int_equal(message_status(&message), 503);
    assert_header("x-a", "> b");
    assert_string_equal(strbuf_cstr(&message.body), "rest");
}

static void pseudo_headers_come_first_and_can_be_given(void **state)
{
    uint32_t cursor = 0;
    (void)state;
    assert_true(message_parse_request(&message, SLICE_LIT("GET /a\nx: 1\n:scheme: https\n"), &error));
    assert_header(":scheme", "https");
    for (int i = 0; i < 4; i++)
        assert_int_equal(header_map_next(&message.headers, &cursor)->name.ptr[0], ':');
}

static void bad_texts_are_refused_with_the_line(void **state)
{
    static const struct {
        const char *text;
        bool is_response;
        const char *words;
    } rows[] = {
        {"", false, "empty"},
        {"# only a comment\n", false, "empty"},
        {"GET", false, "line 1: \"GET\" is no URL"},
        {"G@T /", false, "request line"},
        {"GET nowhere", false, "is no URL"},
        {"GET http:///x", false, "no host"},
        {"GET /\nname\n", false, "line 2"},
        {"GET /\na b: c\n", false, "line 2: \"a b\" is not a header name"},
        {"GET /\na: b\x01\n", false, "control character"},
        {"GET /\n:nonsense: 1\n", false, "line 2"},
        {"GET /\ncontent-length: 5\n\nbody", false, "content-length is 5, the body has 4"},
        {"GET /\ncontent-length: x\n\nbody", false, "content-length is x"},
        {"HTTP/1.1 99 x\n", true, "200 to 599"},
        {"HTTP/1.1\n", true, "200 to 599"},
        {"GET /\n", true, "200 to 599"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice text = slice_str(rows[i].text);
        message_fini(&message);
        message_init(&message);
        bool done = rows[i].is_response ? message_parse_response(&message, text, &error)
                                        : message_parse_request(&message, text, &error);
        if (done || !strstr(error.text, rows[i].words))
            fail_msg("\"%s\": %s", rows[i].text, done ? "accepted" : error.text);
    }
}

/* Every cut and every damaged byte: no crash, and what is accepted is whole. */
static void damage_is_survived(void **state)
{
    static const char text[] =
        "> POST http://h/p HTTP/1.1\r\n> Host: x\r\n> a: b\r\n> content-length: 3\r\n> \r\nabc";
    static const unsigned char values[] = {0, '\n', '\r', ' ', ':', 0xff, '>'};
    (void)state;
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        for (size_t v = 0; v <= sizeof(values); v++) {
            size_t len = v == sizeof(values) ? at : sizeof(text) - 1;
            char *copy = malloc(len ? len : 1);
            memcpy(copy, text, len);
            if (v < sizeof(values))
                copy[at] = (char)values[v];
            message_fini(&message);
            message_init(&message);
            if (message_parse_request(&message, slice_of(copy, len), &error))
                assert_true(message.headers.count >= 4);
            else
                assert_true(strlen(error.text) > 5);
            free(copy);
        }
    }
}

static void a_copy_is_whole(void **state)
{
    struct message copy;
    (void)state;
    assert_true(message_parse_request(&message, SLICE_LIT("GET /x\na: b\n\nbody"), &error));
    header_map_add(&message.trailers, SLICE_LIT("t"), SLICE_LIT("1"));
    message.has_trailers = true;
    message_init(&copy);
    message_copy(&copy, &message);
    assert_int_equal(copy.headers.count, 5);
    assert_int_equal(copy.trailers.count, 1);
    assert_true(copy.has_trailers);
    assert_string_equal(strbuf_cstr(&copy.body), "body");
    message_fini(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_has_all_that_it_needs, setup, teardown),
        cmocka_unit_test_setup_teardown(url_host_and_header_host, setup, teardown),
        cmocka_unit_test_setup_teardown(content_length_cuts_the_body, setup, teardown),
        cmocka_unit_test_setup_teardown(curl_marks_are_stripped, setup, teardown),
        cmocka_unit_test_setup_teardown(pseudo_headers_come_first_and_can_be_given, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_texts_are_refused_with_the_line, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_survived, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_is_whole, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
