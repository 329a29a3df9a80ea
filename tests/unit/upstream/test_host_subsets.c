/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subsets: dividing hosts by their labels, finding a subset by its text, fallbacks, and updates that make
 * subsets come and go under a balancer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"
#include "upstream/host_subsets.h"
#include "upstream/lb.h"
#include "upstream/lb_table.h"

#include <string.h>

static struct cluster_config *config;
static struct arena arena;
static struct lb_subset_config subsets;
static struct lb_selector selectors[2];

static uint64_t first_of(void *arg, uint64_t bound)
{
    (void)arg;
    (void)bound;
    return 0;
}

static struct typed_value text_value(const char *text)
{
    return (struct typed_value){.kind = TYPED_STRING, .bytes = slice_str(text)};
}

static struct typed_value map_value(const struct typed_member *members, size_t count)
{
    return (struct typed_value){.kind = TYPED_MAP, .members = members, .members_count = count};
}

static int setup(void **state)
{
    (void)state;
    static struct slice version[] = {{"version", 7}}, both[] = {{"stage", 5}, {"version", 7}};
    config = cluster_config_create();
    arena_init(&arena, 1 << 20, NULL);
    selectors[0] = (struct lb_selector){.keys = version, .keys_count = 1, .fallback = LB_FALLBACK_UNSET};
    selectors[1] = (struct lb_selector){.keys = both,
                                        .keys_count = 2,
                                        .fallback = LB_FALLBACK_KEYS,
                                        .fallback_keys = version,
                                        .fallback_keys_count = 1};
    subsets =
        (struct lb_subset_config){.fallback = LB_FALLBACK_NONE, .selectors = selectors, .selectors_count = 2};
    config->lb.subsets = &subsets;
    return config ? 0 : -1;
}

static int teardown(void **state)
{
    const struct cluster_config *drop = config;
    (void)state;
    cluster_config_unref(&drop);
    arena_fini(&arena);
    return 0;
}

/* A host with these labels; NULL: it has not. */
static struct host *make_host_in(const struct locality_config *place, uint16_t port, const char *version,
                                 const char *stage)
{
    struct typed_member labels[2], filter = {.name = SLICE_LIT("envoy.lb")}, whole;
    size_t count = 0;
    struct address a;
    struct endpoint_config e;
    if (version)
        labels[count++] = (struct typed_member){SLICE_LIT("version"), text_value(version)};
    if (stage)
        labels[count++] = (struct typed_member){SLICE_LIT("stage"), text_value(stage)};
    filter.value = map_value(labels, count);
    whole = (struct typed_member){SLICE_LIT("filter_metadata"), map_value(&filter, 1)};
    struct typed_value metadata = {.kind = TYPED_MESSAGE, .members = &whole, .members_count = 1};
    endpoint_config_init(&e);
    e.metadata = &metadata;
    assert_true(address_parse_ip(SLICE_LIT("10.0.0.1"), port, &a));
    struct host *h = host_create(&a, &e, place, SLICE_EMPTY, 1);
    assert_non_null(h);
    return h;
}

static struct host *make_host(uint16_t port, const char *version, const char *stage)
{
    static const struct locality_config nowhere;
    return make_host_in(&nowhere, port, version, stage);
}

static const struct lb_match *match(const char *version, const char *stage)
{
    struct typed_member *labels = ARENA_NEW_N(&arena, struct typed_member, 2);
    size_t count = 0;
    if (version)
        labels[count++] = (struct typed_member){SLICE_LIT("version"), text_value(version)};
    if (stage)
        labels[count++] = (struct typed_member){SLICE_LIT("stage"), text_value(stage)};
    struct typed_value fields = map_value(labels, count);
    return lb_match_make(&arena, &fields, NULL);
}

static struct host_set *four_hosts(void)
{
    struct host *hosts[] = {make_host(1, "1", "prod"), make_host(2, "1", "dev"), make_host(3, "2", NULL),
                            make_host(4, NULL, "dev")};
    struct host_set *set = host_set_create(hosts, 4, config, 1);
    assert_non_null(set);
    return set;
}

/* The ports that two picks give; 0: nobody. */
static void assert_picks(struct lb *lb, const struct lb_match *m, uint16_t first, uint16_t second)
{
    const struct lb_request rq = {.match = m};
    for (int i = 0; i < 2; i++) {
        struct host *h = lb_pick(lb, &rq);
        assert_int_equal(h ? address_port(&h->address) : 0, i == 0 ? first : second);
    }
}

static void hosts_are_divided(void **state)
{
    (void)state;
    struct host_set *set = four_hosts();
    const struct host_subsets *s = set->subsets;
    assert_int_equal(s->count, 4); /* versions 1 and 2; prod 1 and dev 1 */
    assert_int_equal(s->default_subset, UINT32_MAX);
    const struct lb_match *m = match("1", NULL);
    uint32_t number = host_subsets_find(s, m->text, m->hash);
    assert_true(number < s->count);
    assert_int_equal(s->items[number].set->count, 2);
    m = match("1", "dev");
    number = host_subsets_find(s, m->text, m->hash);
    assert_int_equal(s->items[number].set->count, 1);
    m = match("3", NULL);
    assert_int_equal(host_subsets_find(s, m->text, m->hash), UINT32_MAX);
    host_set_unref(&set);
}

static void picks_within_the_subset(void **state)
{
    struct lb lb;
    (void)state;
    struct host_set *set = four_hosts();
    lb_init(&lb, config, first_of, NULL);
    assert_true(lb_update(&lb, set));
    assert_picks(&lb, match("1", NULL), 1, 2);
    assert_picks(&lb, match("1", "dev"), 2, 2);
    assert_picks(&lb, match("2", NULL), 3, 3);
    assert_picks(&lb, match("2", "prod"), 3, 3); /* the selector falls back to its version */
    assert_picks(&lb, match("9", "prod"), 0, 0);
    assert_picks(&lb, match(NULL, "prod"), 0, 0); /* no selector has these keys */
    assert_picks(&lb, NULL, 0, 0);
    assert_null(lb_pick(&lb, NULL));
    lb_fini(&lb);
    host_set_unref(&set);
}

static void fallbacks(void **state)
{
    struct lb lb;
    (void)state;
    subsets.fallback = LB_FALLBACK_ANY;
    struct host_set *set = four_hosts();
    lb_init(&lb, config, first_of, NULL);
    assert_true(lb_update(&lb, set));
    assert_picks(&lb, match("9", NULL), 1, 2);
    assert_picks(&lb, NULL, 3, 4);
    lb_fini(&lb);
    host_set_unref(&set);
    subsets.fallback = LB_FALLBACK_DEFAULT;
    subsets.wants_default = true;
    subsets.default_subset = match(NULL, "dev");
    set = four_hosts();
    lb_init(&lb, config, first_of, NULL);
    assert_true(lb_update(&lb, set));
    assert_picks(&lb, match("9", NULL), 2, 4);
    lb_fini(&lb);
    host_set_unref(&set);
    subsets.default_subset = match(NULL, "nowhere");
    subsets.panic_mode_any = true;
    set = four_hosts();
    lb_init(&lb, config, first_of, NULL);
    assert_true(lb_update(&lb, set));
    assert_picks(&lb, NULL, 1, 2);
    lb_fini(&lb);
    host_set_unref(&set);
}

static void subsets_come_and_go(void **state)
{
    struct lb lb;
    (void)state;
    struct host_set *four = four_hosts();
    struct host *hosts[] = {host_ref(four->hosts[2]), make_host(5, "3", "dev")};
    struct host_set *two = host_set_create(hosts, 2, config, 1);
    lb_init(&lb, config, first_of, NULL);
    assert_true(lb_update(&lb, four));
    assert_true(lb_update(&lb, two));
    host_set_unref(&four);
    assert_picks(&lb, match("1", NULL), 0, 0);
    assert_picks(&lb, match("2", NULL), 3, 3);
    assert_picks(&lb, match("3", "dev"), 5, 5);
    lb_fini(&lb);
    host_set_unref(&two);
}

/* Keys and values with any bytes cannot be taken for another set of labels. */
static void texts_are_unambiguous(void **state)
{
    struct typed_member a[] = {{SLICE_LIT("a"), text_value("1\"\n\"b\":\"2")}};
    struct typed_member b[] = {{SLICE_LIT("a"), text_value("1")}, {SLICE_LIT("b"), text_value("2")}};
    (void)state;
    struct typed_value one = map_value(a, 1), two = map_value(b, 2);
    const struct lb_match *x = lb_match_make(&arena, &one, NULL), *y = lb_match_make(&arena, &two, NULL);
    assert_false(slice_eq(x->text, y->text));
    assert_true(slice_eq(y->labels[1].line, SLICE_LIT("\"b\":\"2\"\n")));
    const struct lb_match *over = lb_match_make(&arena, &one, y); /* replaces a */
    assert_int_equal(over->count, 2);
    assert_true(slice_eq(over->labels[0].value, x->labels[0].value));
    assert_null(lb_match_make(&arena, NULL, NULL));
}

static struct typed_value list_value(const struct typed_member *members, size_t count)
{
    return (struct typed_value){.kind = TYPED_LIST, .members = members, .members_count = count};
}

static void asks_in_the_order_of_a_list(void **state)
{
    static struct typed_member nine[1], two[1], items[3], labels[2];
    struct lb lb;
    (void)state;
    nine[0] = (struct typed_member){SLICE_LIT("version"), text_value("9")};
    two[0] = (struct typed_member){SLICE_LIT("version"), text_value("2")};
    items[0].value = map_value(nine, 1);
    items[1].value = text_value("no labels");
    items[2].value = map_value(two, 1);
    labels[0] = (struct typed_member){SLICE_LIT("version"), text_value("8")};
    labels[1] = (struct typed_member){SLICE_LIT("fallback_list"), list_value(items, 3)};
    struct typed_value fields = map_value(labels, 2);
    const struct lb_match *m = lb_match_make(&arena, &fields, NULL);
    assert_non_null(m);
    assert_int_equal(m->fallbacks_count, 3);
    assert_int_equal(m->fallbacks[1]->count, 1);
    struct host_set *set = four_hosts();
    lb_init(&lb, config, first_of, NULL);
    assert_true(lb_update(&lb, set));
    assert_picks(&lb, m, 0, 0); /* the policy is off: a label like others */
    subsets.fallback_list = true;
    assert_picks(&lb, m, 3, 3);
    lb_fini(&lb);
    host_set_unref(&set);
}

static void a_single_host_is_the_subset(void **state)
{
    struct lb lb;
    (void)state;
    selectors[0].single_host = true;
    struct host_set *set = four_hosts();
    assert_int_equal(set->subsets->duplicates, 1);
    lb_init(&lb, config, first_of, NULL);
    assert_true(lb_update(&lb, set));
    assert_picks(&lb, match("1", NULL), 1, 1);
    assert_picks(&lb, match("3", NULL), 0, 0);
    lb_fini(&lb);
    host_set_unref(&set);
}

static void redundant_labels_do_not_count(void **state)
{
    static struct typed_member labels[2];
    struct lb lb;
    (void)state;
    labels[0] = (struct typed_member){SLICE_LIT("version"), text_value("2")};
    labels[1] = (struct typed_member){SLICE_LIT("x"), text_value("y")};
    struct typed_value fields = map_value(labels, 2);
    const struct lb_match *m = lb_match_make(&arena, &fields, NULL);
    struct host_set *set = four_hosts();
    lb_init(&lb, config, first_of, NULL);
    assert_true(lb_update(&lb, set));
    assert_picks(&lb, m, 0, 0);
    subsets.redundant_keys = true;
    assert_picks(&lb, m, 3, 3);
    lb_fini(&lb);
    host_set_unref(&set);
}

/* A place that is configured twice, with two weights, is one place: no subset has a greater share of the hash
 * table than the whole, or its ring would be longer than there is room for. */
static void one_place_has_one_weight(void **state)
{
    const struct locality_config light = {.zone = SLICE_LIT("a"), .weight = 1},
                                 heavy = {.zone = SLICE_LIT("a"), .weight = 100};
    struct host *hosts[] = {make_host_in(&light, 1, "1", NULL), make_host_in(&heavy, 2, "2", NULL)};
    (void)state;
    config->lb.policy = LB_RING_HASH;
    config->lb.locality_weighted = true;
    subsets.locality_weight_aware = true;
    struct host_set *set = host_set_create(hosts, 2, config, 1);
    assert_non_null(set);
    for (uint32_t i = 0; i < set->subsets->count; i++) {
        const struct host_level *level = &set->subsets->items[i].set->levels[0];
        assert_int_equal(level->localities[0].weight, 1);
        assert_int_equal(level->absent_weight, 0);
        assert_int_equal(level->table->size, config->lb.ring_size_min);
    }
    host_set_unref(&set);
}

/* A host whose KEYS labels are lists of ELEMENTS values each, which may all be the same. */
enum { KEYS = 24, ELEMENTS = 20 };

static struct host_set *divide_lists(bool equal, size_t last_count)
{
    static const struct locality_config nowhere;
    static struct typed_member elements[ELEMENTS], labels[KEYS], filter, whole;
    static char names[KEYS][2], texts[ELEMENTS][2];
    static struct slice keys[KEYS];
    struct endpoint_config e;
    struct address a;
    for (int i = 0; i < ELEMENTS; i++) {
        texts[i][0] = equal ? 'a' : (char)('a' + i);
        elements[i].value = text_value(texts[i]);
    }
    for (int i = 0; i < KEYS; i++) {
        names[i][0] = (char)('A' + i);
        keys[i] = slice_str(names[i]);
        labels[i].name = keys[i];
        labels[i].value =
            (struct typed_value){.kind = TYPED_LIST, .members = elements, .members_count = ELEMENTS};
    }
    labels[KEYS - 1].value.members_count = last_count;
    filter = (struct typed_member){SLICE_LIT("envoy.lb"), map_value(labels, KEYS)};
    whole = (struct typed_member){SLICE_LIT("filter_metadata"), map_value(&filter, 1)};
    struct typed_value metadata = {.kind = TYPED_MESSAGE, .members = &whole, .members_count = 1};
    endpoint_config_init(&e);
    e.metadata = &metadata;
    assert_true(address_parse_ip(SLICE_LIT("10.0.0.1"), 1, &a));
    struct host *h = host_create(&a, &e, &nowhere, SLICE_EMPTY, 1);
    selectors[0] = (struct lb_selector){.keys = keys, .keys_count = KEYS};
    subsets.selectors_count = 1;
    subsets.list_as_any = true;
    return host_set_create(&h, 1, config, 1);
}

/* Lists may multiply: what cannot be divided is given up at once, not when all of it was tried. */
static void too_many_subsets_end_at_once(void **state)
{
    (void)state;
    assert_null(divide_lists(false, ELEMENTS));
}

/* The same when all that work would come to one subset, or to none. */
static void too_much_dividing_ends_at_once(void **state)
{
    (void)state;
    assert_null(divide_lists(true, ELEMENTS));
    assert_null(divide_lists(true, 0));
}

int main(void)
{
#define SUBSET_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        SUBSET_TEST(hosts_are_divided),
        SUBSET_TEST(picks_within_the_subset),
        SUBSET_TEST(fallbacks),
        SUBSET_TEST(subsets_come_and_go),
        SUBSET_TEST(texts_are_unambiguous),
        SUBSET_TEST(asks_in_the_order_of_a_list),
        SUBSET_TEST(a_single_host_is_the_subset),
        SUBSET_TEST(redundant_labels_do_not_count),
        SUBSET_TEST(one_place_has_one_weight),
        SUBSET_TEST(too_many_subsets_end_at_once),
        SUBSET_TEST(too_much_dividing_ends_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
