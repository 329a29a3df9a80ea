/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ClientHello reader: whole, cut at every byte, split over records, too large, and what is no hello.
 */
#include "net/client_hello.h"

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena arena;

struct writer {
    char bytes[4096];
    size_t len;
};

static void put(struct writer *w, uint32_t n, size_t bytes)
{
    while (bytes-- > 0)
        w->bytes[w->len++] = (char)(n >> 8 * bytes);
}

static void put_text(struct writer *w, struct slice s)
{
    memcpy(w->bytes + w->len, s.ptr, s.len);
    w->len += s.len;
}

/* Handshake message with the extensions given, without record. */
static struct writer hello(struct slice extensions)
{
    struct writer body = {.len = 0}, w = {.len = 0};
    put(&body, 0x0303, 2);
    for (int i = 0; i < 8; i++)
        put(&body, 0x01020304, 4);
    put(&body, 0, 1); /* session */
    put(&body, 2, 2);
    put(&body, 0x1301, 2);
    put(&body, 0x0100, 2); /* compression */
    put(&body, (uint32_t)extensions.len, 2);
    put_text(&body, extensions);
    put(&w, 1, 1);
    put(&w, (uint32_t)body.len, 3);
    put_text(&w, slice_of(body.bytes, body.len));
    return w;
}

static struct slice extensions_for(struct writer *w, struct slice name, struct slice alpn)
{
    put(w, 0, 2);
    put(w, (uint32_t)name.len + 5, 2);
    put(w, (uint32_t)name.len + 3, 2);
    put(w, 0, 1);
    put(w, (uint32_t)name.len, 2);
    put_text(w, name);
    put(w, 16, 2);
    put(w, (uint32_t)alpn.len + 3, 2);
    put(w, (uint32_t)alpn.len + 1, 2);
    put(w, (uint32_t)alpn.len, 1);
    put_text(w, alpn);
    return slice_of(w->bytes, w->len);
}

/* The message in records of at most `max` bytes. */
static struct writer records(const struct writer *message, size_t max)
{
    struct writer w = {.len = 0};
    for (size_t at = 0; at < message->len; at += max) {
        size_t n = message->len - at < max ? message->len - at : max;
        put(&w, 0x160301, 3);
        put(&w, (uint32_t)n, 2);
        put_text(&w, slice_of(message->bytes + at, n));
    }
    return w;
}

static enum client_hello_result parse(const struct writer *w, struct client_hello *out)
{
    return client_hello_parse(slice_of(w->bytes, w->len), 16384, &arena, out);
}

static void check_example(const struct client_hello *h)
{
    struct slice rest = h->alpn, name;
    assert_true(slice_eq(h->server_name, SLICE_LIT("www.example.com")));
    assert_true(client_hello_alpn(&rest, &name) && slice_eq(name, SLICE_LIT("h2")));
    assert_false(client_hello_alpn(&rest, &name));
    assert_int_equal(h->version, 0x0303);
}

static void whole_and_cut(void **state)
{
    (void)state;
    struct writer e = {.len = 0};
    struct writer m = hello(extensions_for(&e, SLICE_LIT("www.example.com"), SLICE_LIT("h2")));
    struct client_hello h;
    for (size_t size = 1; size < 200; size += 3) {
        struct writer w = records(&m, size);
        assert_int_equal(parse(&w, &h), CLIENT_HELLO_OK);
        check_example(&h);
        for (size_t cut = 1; cut < w.len; cut++) {
            char *part = malloc(cut); /* exactly so long: sanitizers see a step too far */
            assert_non_null(part);
            memcpy(part, w.bytes, cut);
            assert_int_equal(client_hello_parse(slice_of(part, cut), 16384, &arena, &h), CLIENT_HELLO_MORE);
            free(part);
        }
    }
}

static void not_tls(void **state)
{
    (void)state;
    static const char *const texts[] = {"G", "GET / HTTP/1.1\r\n", "\x16\x02", "\x16\x03\x01\x50\x01",
                                        "\x15\x03\x01"};
    struct client_hello h;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++)
        assert_int_equal(client_hello_parse(slice_str(texts[i]), 16384, &arena, &h), CLIENT_HELLO_NONE);
    /* An empty record, and a handshake that is no ClientHello. */
    assert_int_equal(client_hello_parse(SLICE_LIT("\x16\x03\x01\x00\x00"), 16384, &arena, &h),
                     CLIENT_HELLO_NONE);
    assert_int_equal(client_hello_parse(SLICE_LIT("\x16\x03\x01\x00\x05\x02"), 16384, &arena, &h),
                     CLIENT_HELLO_NONE);
}

static void too_large(void **state)
{
    (void)state;
    struct client_hello h;
    assert_int_equal(client_hello_parse(SLICE_LIT("\x16\x03\x01\x40\x00\x01\x00\x40\x00"), 16384, &arena, &h),
                     CLIENT_HELLO_TOO_LARGE);
    struct writer m = hello(SLICE_LIT(""));
    struct writer w = records(&m, 1);
    assert_int_equal(client_hello_parse(slice_of(w.bytes, 100), 100, &arena, &h), CLIENT_HELLO_TOO_LARGE);
}

static void malformed(void **state)
{
    (void)state;
    static const struct slice bad[] = {
        {"\x00\x00\x00\x09\x00\x07\x00\x00\x04"
         "a\0bc",
         13},                                        /* NUL in the name */
        {"\x00\x00\x00\x05\x00\x03\x00\x00\x00", 9}, /* empty name */
        {"\x00\x00\x00\x05\x00\x04\x00\x00\x01", 9}, /* list longer than its extension */
        {"\x00\x10\x00\x02\x00\x00", 6},             /* no protocol */
        {"\x00\x10\x00\x03\x00\x01\x00", 7},         /* empty protocol */
        {"\x00\x10\x00\x04\x00\x02\x05h", 8},        /* protocol beyond the end */
        {"\x00\x17\x00", 3},                         /* half an extension */
        {"\x00\x10\x00\x04\x00\x02\x01h\x00\x10\x00\x04\x00\x02\x01h", 16}, /* twice */
    };
    struct client_hello h;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        struct writer m = hello(bad[i]);
        struct writer w = records(&m, 4000);
        assert_int_equal(parse(&w, &h), CLIENT_HELLO_MALFORMED);
    }
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 16 << 20, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_and_cut),
        cmocka_unit_test(not_tls),
        cmocka_unit_test(too_large),
        cmocka_unit_test(malformed),
    };
    return cmocka_run_group_tests_name("client_hello", tests, setup, teardown);
}
