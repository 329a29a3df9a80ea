/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains: sharing never lets one side see the other's writes, memory that fails changes nothing and loses
 * nothing, and a long random walk agrees with a flat copy.
 */
#include "failing.h"

#include "base/chain.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct block_pool pool;

static int set_up(void **state)
{
    (void)state;
    failing_after = -1;
    block_pool_init(&pool, 8);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    failing_after = -1;
    block_pool_fini(&pool);
    return 0;
}

static void add(struct chain *c, const char *text)
{
    assert_true(chain_append_copy(c, &pool, slice_str(text)));
}

static void check(const struct chain *c, const char *text)
{
    char copy[256];
    size_t segs = 0;
    assert_int_equal(c->bytes, strlen(text));
    assert_int_equal(chain_copy_out(c, 0, copy, sizeof(copy)), strlen(text));
    assert_memory_equal(copy, text, strlen(text));
    for (size_t i = 0; i < c->count; i++) {
        assert_true(chain_seg_at(c, i).len > 0);
        segs += chain_seg_at(c, i).len;
    }
    assert_int_equal(segs, c->bytes);
    assert_int_equal(chain_empty(c), text[0] == '\0');
}

static void sharing(void **state)
{
    struct chain a, b;
    (void)state;
    chain_init(&a);
    chain_init(&b);
    add(&a, "hello");
    assert_true(chain_append_shared(&b, &a));
    check(&b, "hello");
    /* Both point into one block: neither may write behind it now. */
    add(&a, " one");
    add(&b, " two");
    check(&a, "hello one");
    check(&b, "hello two");
    chain_fini(&a);
    add(&b, "!");
    check(&b, "hello two!");
    chain_fini(&b);
    assert_int_equal(pool.idle_count > 0, 1);
}

/* A block whose end was drained from one chain still belongs to the other. */
static void shared_tail_is_not_overwritten(void **state)
{
    struct chain a, b;
    (void)state;
    chain_init(&a);
    chain_init(&b);
    add(&a, "abcdef");
    assert_true(chain_move(&b, &a, 3));
    check(&a, "def");
    check(&b, "abc");
    add(&b, "X");
    check(&a, "def");
    check(&b, "abcX");
    chain_drain(&a, 3);
    /* b is the only owner now, but not of the bytes behind its own. */
    add(&b, "Y");
    check(&b, "abcXY");
    chain_fini(&a);
    chain_fini(&b);
}

static void prepending(void **state)
{
    static const char text[] = "jihgfedcba";
    struct chain c;
    (void)state;
    chain_init(&c);
    for (size_t i = 10; i > 0; i--) {
        assert_true(chain_prepend_copy(&c, &pool, slice_of(text + i - 1, 1)));
        check(&c, text + i - 1);
    }
    assert_true(chain_prepend_copy(&c, &pool, SLICE_EMPTY));
    check(&c, text);
    chain_fini(&c);
}

static void count_release(void *arg)
{
    ++*(int *)arg;
}

static void release_is_called_once(void **state)
{
    struct chain a, b;
    int released = 0;
    char memory[] = "foreign";
    (void)state;
    chain_init(&a);
    chain_init(&b);
    struct block *w = block_wrap(slice_of(memory, 7), count_release, &released);
    assert_true(chain_append_block(&a, w, slice_of(w->data, 7)));
    block_unref(&w);
    assert_true(chain_append_shared(&b, &a));
    add(&a, "!");
    check(&a, "foreign!");
    assert_string_equal(memory, "foreign");
    chain_fini(&a);
    assert_int_equal(released, 0);
    chain_drain(&b, 6);
    assert_int_equal(released, 0);
    chain_drain(&b, 1);
    assert_int_equal(released, 1);
    chain_fini(&b);
    assert_int_equal(released, 1);
}

static void views(void **state)
{
    struct chain c;
    struct iovec iov[8];
    char out[8];
    (void)state;
    chain_init(&c);
    assert_int_equal(chain_front(&c).len, 0);
    assert_int_equal(chain_iov(&c, iov, 8), 0);
    for (int i = 0; i < 6; i++)
        assert_true(chain_prepend_copy(&c, &pool, SLICE_LIT("ab")));
    assert_int_equal(c.count, 6);
    assert_int_equal(chain_iov(&c, iov, 4), 4);
    assert_int_equal(chain_iov(&c, iov, 8), 6);
    assert_memory_equal(iov[5].iov_base, "ab", 2);
    assert_int_equal(chain_copy_out(&c, 3, out, 4), 4);
    assert_memory_equal(out, "baba", 4);
    assert_int_equal(chain_copy_out(&c, 11, out, 8), 1);
    assert_int_equal(chain_copy_out(&c, 12, out, 8), 0);
    assert_true(slice_eq(chain_front(&c), SLICE_LIT("ab")));
    chain_fini(&c);
}

static void pool_keeps_at_most_its_cap(void **state)
{
    struct block *blocks[20];
    (void)state;
    for (int i = 0; i < 20; i++)
        blocks[i] = block_get(&pool);
    for (int i = 0; i < 20; i++)
        block_unref(&blocks[i]);
    assert_int_equal(pool.idle_count, 8);
    failing_calls = 0;
    for (int i = 0; i < 8; i++) {
        blocks[i] = block_get(&pool);
        assert_true(blocks[i]->used == 0 && blocks[i]->refs == 1 && blocks[i]->cap == BLOCK_BYTES);
    }
    assert_int_equal(failing_calls, 0);
    for (int i = 0; i < 8; i++)
        block_unref(&blocks[i]);
    struct block *none = block_get(NULL);
    block_unref(&none);
    assert_null(block_create((size_t)UINT32_MAX + 1));
    assert_null(block_wrap(slice_of("", (size_t)UINT32_MAX + 1), NULL, NULL));
}

static void fill(struct chain *c, char first, size_t len)
{
    char *text = (malloc)(len);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(first + (char)(i % 23));
    assert_true(chain_append_copy(c, NULL, slice_of(text, len)));
    free(text);
}

/* Every operation with the n-th allocation failing: it says no and nothing is lost or changed. */
static void memory_runs_out(void **state)
{
    enum { LEN = 3 * BLOCK_BYTES + 100 };
    char *before = (malloc)(2 * LEN), *after = (malloc)(2 * LEN);
    (void)state;
    for (int op = 0; op < 4; op++) {
        bool ok = false;
        for (long n = 0; !ok; n++) {
            struct chain a, b;
            assert_true(n < 50);
            chain_init(&a);
            chain_init(&b);
            fill(&a, 'a', 10);
            fill(&b, 'A', LEN);
            chain_copy_out(&a, 0, before, 2 * LEN);
            size_t total = a.bytes + b.bytes;
            failing_after = n;
            ok = op == 0   ? chain_append_copy(&a, NULL, slice_of(after, LEN))
                 : op == 1 ? chain_prepend_copy(&a, NULL, slice_of(after, LEN))
                 : op == 2 ? chain_append_shared(&a, &b)
                           : chain_move(&a, &b, b.bytes);
            failing_after = -1;
            if (op < 2 && !ok) {
                assert_int_equal(a.bytes, 10);
                chain_copy_out(&a, 0, after, 10);
                assert_memory_equal(before, after, 10);
                /* The free end is as usable as before. */
                fill(&a, 'x', 5);
                assert_int_equal(a.bytes, 15);
                assert_int_equal(a.count, 1);
            }
            if (op == 3)
                assert_int_equal(a.bytes + b.bytes, total);
            chain_fini(&a);
            chain_fini(&b);
        }
    }
    failing_after = 0;
    assert_null(block_get(NULL));
    failing_after = 0;
    assert_null(block_create(1));
    failing_after = 0;
    assert_null(block_wrap(SLICE_LIT("x"), NULL, NULL));
    failing_after = -1;
    (free)(before);
    (free)(after);
}

/* A flat copy of what two chains must hold. */
struct flat {
    char text[1u << 16];
    size_t len;
};

static void flat_check(const struct chain *c, const struct flat *f)
{
    static char copy[sizeof(f->text)];
    assert_int_equal(c->bytes, f->len);
    assert_int_equal(chain_copy_out(c, 0, copy, sizeof(copy)), f->len);
    assert_memory_equal(copy, f->text, f->len);
}

static void flat_cut(struct flat *f, size_t n)
{
    memmove(f->text, f->text + n, f->len - n);
    f->len -= n;
}

static void random_walk(void **state)
{
    static struct flat flat[2];
    struct chain chains[2];
    uint32_t random = 99;
    (void)state;
    flat[0].len = flat[1].len = 0;
    chain_init(&chains[0]);
    chain_init(&chains[1]);
    for (int i = 0; i < 20000; i++) {
        random = random * 1664525u + 1013904223u;
        int me = (random >> 9) & 1;
        struct chain *c = &chains[me], *other = &chains[!me];
        struct flat *f = &flat[me], *g = &flat[!me];
        char text[40];
        size_t n = (random >> 12) % sizeof(text) + 1;
        memset(text, 'a' + i % 26, sizeof(text));
        if (f->len + n > sizeof(f->text) / 4 || f->len + g->len > sizeof(f->text) / 2) {
            chain_drain(c, f->len);
            f->len = 0;
        }
        switch ((random >> 20) % 6) {
        case 0:
        case 1:
            assert_true(chain_append_copy(c, &pool, slice_of(text, n)));
            memcpy(f->text + f->len, text, n);
            f->len += n;
            break;
        case 2:
            assert_true(chain_prepend_copy(c, &pool, slice_of(text, n)));
            memmove(f->text + n, f->text, f->len);
            memcpy(f->text, text, n);
            f->len += n;
            break;
        case 3:
            n = n < f->len ? n : f->len;
            chain_drain(c, n);
            flat_cut(f, n);
            break;
        case 4:
            assert_true(chain_move(other, c, n));
            n = n < f->len ? n : f->len;
            memcpy(g->text + g->len, f->text, n);
            g->len += n;
            flat_cut(f, n);
            break;
        default:
            if (f->len < 2000) {
                assert_true(chain_append_shared(other, c));
                memcpy(g->text + g->len, f->text, f->len);
                g->len += f->len;
            }
        }
        flat_check(&chains[0], &flat[0]);
        flat_check(&chains[1], &flat[1]);
    }
    chain_fini(&chains[0]);
    chain_fini(&chains[1]);
}

/* Bytes written behind the last segment, for its only owner. */
static void tail_space(void **state)
{
    (void)state;
    struct chain c, other;
    size_t room = 1;
    chain_init(&c);
    chain_init(&other);
    assert_null(chain_tail_space(&c, &room));
    assert_int_equal(room, 0);
    assert_true(chain_append_copy(&c, NULL, SLICE_LIT("abc")));
    char *tail = chain_tail_space(&c, &room);
    assert_non_null(tail);
    assert_int_equal(room, BLOCK_BYTES - 3);
    memcpy(tail, "de", 2);
    chain_tail_commit(&c, 2);
    assert_int_equal(c.bytes, 5);
    assert_int_equal(c.count, 1);
    assert_memory_equal(chain_front(&c).ptr, "abcde", 5);
    assert_true(chain_append_shared(&other, &c)); /* two owners: nothing may be written behind */
    assert_null(chain_tail_space(&c, &room));
    chain_fini(&other);
    assert_non_null(chain_tail_space(&c, &room));
    memset(chain_tail_space(&c, &room), 'x', room);
    chain_tail_commit(&c, room);
    assert_null(chain_tail_space(&c, &room)); /* full */
    assert_int_equal(c.bytes, BLOCK_BYTES);
    chain_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sharing),
        cmocka_unit_test(tail_space),
        cmocka_unit_test(shared_tail_is_not_overwritten),
        cmocka_unit_test(prepending),
        cmocka_unit_test(release_is_called_once),
        cmocka_unit_test(views),
        cmocka_unit_test(pool_keeps_at_most_its_cap),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(random_walk),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
