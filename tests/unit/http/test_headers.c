/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header map: what it refuses, order, holes, limits, and a long random walk against a naive model.
 */
#include "base/assert.h"
#include "http/headers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define L SLICE_LIT

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 1u << 20, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static struct header_map new_map(void)
{
    struct header_map m;
    header_map_init(&m, &arena, 100, 10000);
    return m;
}

/* "name=value name=value" */
static const char *text_of(const struct header_map *m)
{
    static char text[8192];
    size_t n = 0, bytes = 0;
    uint32_t cursor = 0, count = 0;
    text[0] = '\0';
    for (const struct header *h; (h = header_map_next(m, &cursor)) != NULL; count++) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s" SLICE_FMT "=" SLICE_FMT, n ? " " : "",
                              SLICE_ARG(h->name), SLICE_ARG(h->value));
        bytes += h->name.len + h->value.len;
        assert_int_equal(h->id, header_id_of(h->name));
    }
    assert_int_equal(count, m->count);
    assert_int_equal(bytes, m->bytes);
    return text;
}

static void refuses_what_could_split_messages(void **state)
{
    static const char *const values[] = {
        "a\r", "a\n", "\r\n", "a\x01", "\x7f", "\x1b[", "0123456789abcdef\x02"};
    static const char *const names[] = {"",    " a",       "a ",     "a:",    ":", ":a",  "a b",
                                        "a\r", "\xc3\xa9", ":pathx", "a\x7f", "(", "a\"", ":Path "};
    struct header_map m = new_map();
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(values); i++) {
        struct slice v = slice_str(values[i]);
        assert_int_equal(header_map_add(&m, L("x"), v), HEADER_BAD_VALUE);
        assert_int_equal(header_map_set(&m, L("x"), v), HEADER_BAD_VALUE);
        assert_int_equal(header_map_set_id(&m, HDR_PATH, v), HEADER_BAD_VALUE);
        assert_int_equal(header_map_join_id(&m, HDR_VIA, v), HEADER_BAD_VALUE);
    }
    assert_int_equal(header_map_add(&m, L("x"), slice_of("a\0b", 3)), HEADER_BAD_VALUE);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++) {
        assert_int_equal(header_map_add(&m, slice_str(names[i]), L("v")), HEADER_BAD_NAME);
        assert_int_equal(header_map_set(&m, slice_str(names[i]), L("v")), HEADER_BAD_NAME);
        assert_int_equal(header_map_remove(&m, slice_str(names[i])), 0);
        assert_null(header_map_find(&m, slice_str(names[i])));
    }
    assert_int_equal(header_map_add(&m, slice_of("a\0", 2), L("v")), HEADER_BAD_NAME);
    assert_int_equal(m.count, 0);
    assert_int_equal(m.bytes, 0);
    /* A bad join leaves the old value. */
    assert_int_equal(header_map_set_id(&m, HDR_VIA, L("a")), HEADER_OK);
    assert_int_equal(header_map_join_id(&m, HDR_VIA, L("\n")), HEADER_BAD_VALUE);
    assert_int_equal(header_map_set_id(&m, HDR_VIA, L("\n")), HEADER_BAD_VALUE);
    assert_string_equal(text_of(&m), "via=a");
}

static void adds_finds_and_folds(void **state)
{
    struct header_map m = new_map();
    (void)state;
    char name[] = "X-Mixed", value[] = "v1";
    assert_int_equal(header_map_add(&m, L(":PATH"), L("/")), HEADER_OK);
    assert_int_equal(header_map_add(&m, slice_str(name), slice_str(value)), HEADER_OK);
    memset(name, '!', sizeof(name) - 1);
    memset(value, '!', sizeof(value) - 1);
    assert_int_equal(header_map_add(&m, L("Content-Type"), L("")), HEADER_OK);
    assert_int_equal(header_map_add(&m, L("x-mixed"), L("v2")), HEADER_OK);
    assert_string_equal(text_of(&m), ":path=/ x-mixed=v1 content-type= x-mixed=v2");
    assert_true(header_map_has_id(&m, HDR_CONTENT_TYPE));
    assert_non_null(header_map_get_id(&m, HDR_CONTENT_TYPE).ptr);
    assert_false(header_map_has_id(&m, HDR_HOST));
    assert_null(header_map_get_id(&m, HDR_HOST).ptr);
    const struct header *h = header_map_find(&m, L("x-MIXED"));
    assert_true(h && slice_eq(h->value, L("v1")));
    h = header_map_find_next(&m, L("X-mixed"), h);
    assert_true(h && slice_eq(h->value, L("v2")));
    assert_null(header_map_find_next(&m, L("x-mixed"), h));
    h = header_map_find(&m, L(":path"));
    assert_true(h && h->id == HDR_PATH);
    assert_null(header_map_find_next(&m, L(":path"), h));
    /* Names longer than the folding buffer. */
    char longer[101];
    memset(longer, 'A', 100);
    longer[100] = '\0';
    assert_int_equal(header_map_add(&m, slice_str(longer), L("long")), HEADER_OK);
    memset(longer, 'a', 100);
    h = header_map_find(&m, slice_str(longer));
    assert_true(h && slice_eq(h->name, slice_str(longer)));
    memset(longer, 'A', 100);
    assert_int_equal(header_map_remove(&m, slice_str(longer)), 1);
}

static void set_keeps_the_place(void **state)
{
    struct header_map m = new_map();
    (void)state;
    header_map_add(&m, L("a"), L("1"));
    header_map_add(&m, L("via"), L("x"));
    header_map_add(&m, L("a"), L("2"));
    header_map_add(&m, L("via"), L("y"));
    header_map_add(&m, L("b"), L("3"));
    header_map_add(&m, L("a"), L("4"));
    assert_int_equal(header_map_set(&m, L("A"), L("new")), HEADER_OK);
    assert_string_equal(text_of(&m), "a=new via=x via=y b=3");
    assert_int_equal(header_map_set_id(&m, HDR_VIA, L("z")), HEADER_OK);
    assert_string_equal(text_of(&m), "a=new via=z b=3");
    assert_int_equal(header_map_set(&m, L("c"), L("5")), HEADER_OK);
    assert_string_equal(text_of(&m), "a=new via=z b=3 c=5");
    assert_int_equal(header_map_join_id(&m, HDR_VIA, L("w")), HEADER_OK);
    assert_int_equal(header_map_join_id(&m, HDR_VIA, L("")), HEADER_OK);
    assert_int_equal(header_map_join_id(&m, HDR_X_FORWARDED_FOR, L("1.2.3.4")), HEADER_OK);
    assert_string_equal(text_of(&m), "a=new via=z,w, b=3 c=5 x-forwarded-for=1.2.3.4");
}

static void removing_moves_the_index(void **state)
{
    struct header_map m = new_map();
    uint32_t cursor = 0;
    (void)state;
    header_map_add(&m, L("cookie"), L("1"));
    header_map_add(&m, L("x"), L("2"));
    header_map_add(&m, L("cookie"), L("3"));
    assert_int_equal(header_map_remove(&m, L("X")), 1);
    assert_string_equal(text_of(&m), "cookie=1 cookie=3");
    assert_int_equal(header_map_remove_id(&m, HDR_COOKIE), 2);
    assert_int_equal(header_map_remove_id(&m, HDR_COOKIE), 0);
    assert_false(header_map_has_id(&m, HDR_COOKIE));
    assert_string_equal(text_of(&m), "");
    for (int i = 0; i < 10; i++)
        header_map_add(&m, i % 2 ? L("odd") : L("accept"), L("v"));
    /* Removing the current one while stepping. */
    for (const struct header *h; (h = header_map_next(&m, &cursor)) != NULL;) {
        if (h->id == HDR_ACCEPT)
            header_map_remove(&m, h->name);
    }
    assert_string_equal(text_of(&m), "odd=v odd=v odd=v odd=v odd=v");
    header_map_clear(&m);
    assert_string_equal(text_of(&m), "");
    assert_int_equal(header_map_add(&m, L("accept"), L("v")), HEADER_OK);
    assert_true(header_map_has_id(&m, HDR_ACCEPT));
}

static void limits(void **state)
{
    struct header_map m;
    (void)state;
    header_map_init(&m, &arena, 3, 20);
    assert_int_equal(header_map_add(&m, L("a"), L("1")), HEADER_OK);
    assert_int_equal(header_map_add(&m, L("b"), L("2")), HEADER_OK);
    assert_int_equal(header_map_add(&m, L("c"), L("3")), HEADER_OK);
    assert_int_equal(header_map_add(&m, L("d"), L("4")), HEADER_LIMIT);
    assert_int_equal(header_map_set(&m, L("d"), L("4")), HEADER_LIMIT);
    assert_int_equal(header_map_remove(&m, L("b")), 1);
    assert_int_equal(header_map_add(&m, L("d"), L("0123456789abcdef")), HEADER_LIMIT);
    assert_int_equal(header_map_add(&m, L("d"), L("0123456789abcde")), HEADER_OK);
    assert_int_equal(m.bytes, 20);
    assert_int_equal(header_map_set(&m, L("d"), L("0123456789abcdef")), HEADER_LIMIT);
    assert_int_equal(header_map_set(&m, L("d"), L("e")), HEADER_OK);
    assert_int_equal(header_map_set(&m, L("via"), L("")), HEADER_LIMIT);
    assert_int_equal(m.bytes, 6);
    /* The arena's cap is a limit too, and changes nothing. */
    struct arena small;
    arena_init(&small, 8192, NULL);
    header_map_init(&m, &small, 1000, 100000);
    enum header_result r = HEADER_OK;
    uint32_t added = 0;
    while (added < 1000 && r == HEADER_OK) {
        r = header_map_add(&m, L("name"), L("value"));
        added += r == HEADER_OK;
    }
    assert_int_equal(r, HEADER_LIMIT);
    assert_int_equal(m.count, added);
    char big[10000];
    memset(big, 'x', sizeof(big));
    assert_int_equal(header_map_set(&m, L("name"), slice_of(big, sizeof(big))), HEADER_LIMIT);
    assert_int_equal(m.count, added);
    arena_fini(&small);
}

static void copies(void **state)
{
    struct header_map from = new_map(), to = new_map();
    struct header_map tight;
    struct arena other;
    (void)state;
    arena_init(&other, 65536, NULL);
    header_map_init(&from, &other, 100, 10000);
    header_map_add(&from, L("gone"), L("1"));
    header_map_add(&from, L("host"), L("h"));
    header_map_append(&from, HDR_OTHER, L("x-y"), L("2"), L("X-y"));
    header_map_remove(&from, L("gone"));
    header_map_add(&to, L("host"), L("first"));
    header_map_init(&tight, &arena, 1, 1000);
    assert_int_equal(header_map_copy(&tight, &from), HEADER_LIMIT);
    assert_int_equal(header_map_copy(&to, &from), HEADER_OK);
    arena_fini(&other);
    assert_string_equal(text_of(&to), "host=first host=h x-y=2");
    assert_true(slice_eq(header_map_find(&to, L("x-y"))->spelling, L("X-y")));
}

static void every_known_name(void **state)
{
    (void)state;
    for (int id = HDR_OTHER + 1; id < HDR_COUNT; id++) {
        struct slice name = header_id_name((enum header_id)id);
        char near[64];
        assert_int_equal(header_id_of(name), id);
        memcpy(near, name.ptr, name.len);
        near[name.len] = 'x';
        assert_int_equal(header_id_of(slice_of(near, name.len + 1)), HDR_OTHER);
        near[name.len - 1] ^= 1;
        assert_int_equal(header_id_of(slice_of(near, name.len)), HDR_OTHER);
        for (size_t i = 0; i < name.len; i++)
            assert_int_equal(ascii_lower(name.ptr[i]), name.ptr[i]);
    }
    assert_int_equal(header_id_of(L("")), HDR_OTHER);
    assert_int_equal(header_id_of(L("Host")), HDR_OTHER);
}

/* The naive model: parallel arrays. */
struct model {
    int names[200];
    int values[200];
    int count;
};

static const char *const walk_names[] = {"host", "via", "x-a", "X-B", "cookie", "accept", "x-c"};

static void model_remove(struct model *d, int name, int from)
{
    int to = from;
    for (int i = from; i < d->count; i++) {
        if (d->names[i] != name) {
            d->names[to] = d->names[i];
            d->values[to++] = d->values[i];
        }
    }
    d->count = to;
}

static void model_set(struct model *d, int name, int value)
{
    for (int i = 0; i < d->count; i++) {
        if (d->names[i] == name) {
            d->values[i] = value;
            model_remove(d, name, i + 1);
            return;
        }
    }
    d->names[d->count] = name;
    d->values[d->count++] = value;
}

static void compare(const struct model *d, const struct header_map *m)
{
    uint32_t cursor = 0;
    assert_int_equal(d->count, m->count);
    for (int i = 0; i < d->count; i++) {
        const struct header *h = header_map_next(m, &cursor);
        assert_non_null(h);
        assert_true(slice_eq_nocase(h->name, slice_str(walk_names[d->names[i]])));
        uint64_t value;
        assert_true(slice_parse_u64(h->value, &value));
        assert_int_equal(value, d->values[i]);
    }
    assert_null(header_map_next(m, &cursor));
    for (size_t n = 0; n < WEIR_ARRAY_LEN(walk_names); n++) {
        int first = 0;
        while (first < d->count && d->names[first] != (int)n)
            first++;
        const struct header *h = header_map_find(m, slice_str(walk_names[n]));
        assert_int_equal(h != NULL, first < d->count);
        enum header_id id = header_id_of(slice_str(walk_names[n]));
        if (id)
            assert_int_equal(header_map_has_id(m, id), h != NULL);
    }
}

static void random_walk(void **state)
{
    struct model d = {0};
    struct header_map m;
    struct arena big;
    uint32_t random = 12345;
    (void)state;
    arena_init(&big, 32u << 20, NULL);
    header_map_init(&m, &big, 60, 10000);
    for (int i = 0; i < 20000; i++) {
        random = random * 1664525u + 1013904223u;
        int name = (int)((random >> 8) % WEIR_ARRAY_LEN(walk_names));
        struct slice n = slice_str(walk_names[name]);
        char value[16];
        snprintf(value, sizeof(value), "%d", i);
        switch ((random >> 20) % 8) {
        case 0:
            header_map_remove(&m, n);
            model_remove(&d, name, 0);
            break;
        case 1:
        case 2:
            if (header_map_set(&m, n, slice_str(value)) == HEADER_OK)
                model_set(&d, name, i);
            break;
        default:
            if (header_map_add(&m, n, slice_str(value)) == HEADER_OK) {
                d.names[d.count] = name;
                d.values[d.count++] = i;
            } else {
                assert_int_equal(d.count, 60);
            }
        }
        compare(&d, &m);
    }
    arena_fini(&big);
}

/* RFC 9110 5.6.2, without the product's tables. */
static bool is_tchar(unsigned c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != 0 && c < 0x80 && strchr("!#$%&'*+-.^_`|~", (int)c) != NULL);
}

/* Names are looked at in pieces of 4, 8 and 16 bytes: every byte at every place of every length. */
static void every_byte_of_a_name(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 36; len++) {
        for (size_t at = 0; at < len; at++) {
            for (unsigned c = 0; c < 256; c++) {
                char name[36], lower[36];
                memset(name, 'y', len);
                name[at] = (char)c;
                memcpy(lower, name, len);
                lower[at] = ascii_lower(lower[at]);
                struct arena small;
                arena_init(&small, 1u << 20, NULL);
                struct header_map m;
                header_map_init(&m, &small, 100, 10000);
                enum header_result r = header_map_add(&m, slice_of(name, len), slice_of(name, 0));
                assert_int_equal(r, is_tchar(c) ? HEADER_OK : HEADER_BAD_NAME);
                if (r == HEADER_OK)
                    assert_memory_equal(m.items[0].name.ptr, lower, len);
                arena_fini(&small);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_could_split_messages),
        cmocka_unit_test(adds_finds_and_folds),
        cmocka_unit_test(set_keeps_the_place),
        cmocka_unit_test(removing_moves_the_index),
        cmocka_unit_test(limits),
        cmocka_unit_test(copies),
        cmocka_unit_test(every_known_name),
        cmocka_unit_test(random_walk),
        cmocka_unit_test(every_byte_of_a_name),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
