/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools by what their requests want: each is found whatever the number of others, in the order of use, and
 * what is equal in one respect only is another pool.
 */
#include "upstream/pool.h"
#include "upstream/upstream_proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 2000 };

static struct pool pools[MANY];
static struct pool_index *ix;

static struct pool *find(const struct pool *like)
{
    return pool_index_find(ix, upstream_wants_hash(&like->wants), like->priority, like->kind, &like->wants);
}

static void add(struct pool *p)
{
    list_init(&p->place.order);
    pool_index_add(ix, p, upstream_wants_hash(&p->wants));
}

static int setup(void **state)
{
    (void)state;
    memset(pools, 0, sizeof(pools));
    ix = pool_index_create();
    return ix ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    for (struct pool *p; (p = pool_index_first(ix)) != NULL;)
        pool_index_remove(ix, p);
    pool_index_destroy(&ix);
    return 0;
}

static void each_of_many_is_found(void **state)
{
    (void)state;
    for (int i = 0; i < MANY; i++) {
        pools[i].wants.downstream = (uint64_t)i + 1;
        assert_null(find(&pools[i]));
        add(&pools[i]);
    }
    for (int i = 0; i < MANY; i++)
        assert_ptr_equal(find(&pools[i]), &pools[i]);
    for (int i = 0; i < MANY; i += 2)
        pool_index_remove(ix, &pools[i]);
    for (int i = 0; i < MANY; i++)
        assert_ptr_equal(find(&pools[i]), i % 2 ? &pools[i] : NULL);
}

static void the_last_used_comes_first(void **state)
{
    (void)state;
    assert_null(pool_index_first(NULL));
    assert_null(pool_index_first(ix));
    for (int i = 0; i < 3; i++) {
        pools[i].wants.downstream = (uint64_t)i + 1;
        add(&pools[i]);
    }
    (void)find(&pools[1]);
    assert_ptr_equal(pool_index_first(ix), &pools[1]);
    assert_ptr_equal(pool_index_next(ix, &pools[1]), &pools[2]);
    assert_ptr_equal(pool_index_next(ix, &pools[2]), &pools[0]);
    assert_null(pool_index_next(ix, &pools[0]));
}

static void each_want_counts(void **state)
{
    static const char *const addresses[] = {"10.0.0.1", "10.0.0.2", "::1"};
    struct upstream_origin origins[4];
    int n = 0;
    (void)state;
    memset(origins, 0, sizeof(origins));
    for (int i = 0; i < 3; i++) {
        assert_true(address_parse_ip(slice_str(addresses[i]), 1, &origins[i].from));
        assert_true(address_parse_ip(slice_str(addresses[2 - i]), 2, &origins[i].to));
        pools[n++].wants.origin = &origins[i];
    }
    pools[n++].wants = (struct upstream_wants){.sni = SLICE_LIT("a")};
    pools[n++].wants = (struct upstream_wants){.san = SLICE_LIT("a")};
    pools[n++].wants = (struct upstream_wants){.sni = SLICE_LIT("a"), .san = SLICE_LIT("a")};
    pools[n].wants = (struct upstream_wants){.sni = SLICE_LIT("a")};
    pools[n++].priority = BREAKER_HIGH;
    pools[n].wants = (struct upstream_wants){.sni = SLICE_LIT("a")};
    pools[n++].kind = POOL_HTTP2;
    for (int i = 0; i < n; i++) {
        assert_null(find(&pools[i]));
        add(&pools[i]);
    }
    for (int i = 0; i < n; i++)
        assert_ptr_equal(find(&pools[i]), &pools[i]);
    /* The same addresses at another place. */
    origins[3] = origins[1];
    struct pool like = {.wants = {.origin = &origins[3]}};
    assert_ptr_equal(find(&like), &pools[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_of_many_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_used_comes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(each_want_counts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
