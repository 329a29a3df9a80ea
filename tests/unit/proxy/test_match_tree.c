/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matching trees: the index beside a plain search through all keys, predicates, nodes inside each other, and
 * that trees which share outcomes are not asked again and again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/assert.h"
#include "proxy/listener/filter_chain_match.h"
#include "proxy/matching/match_tree.h"

#define KEYS_MAX 512u

/* --- the index --- */

static uint32_t random_state = 4711;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

static bool bit_of(struct slice s, uint32_t i, bool backwards)
{
    size_t at = backwards ? s.len - 1 - i / 8 : i / 8;
    return ((uint8_t)s.ptr[at] >> (7 - i % 8)) & 1;
}

static bool begins_with(struct slice value, const struct match_entry *e, bool backwards)
{
    if (e->bits > value.len * 8 || (e->whole && e->bits != value.len * 8))
        return false;
    for (uint32_t i = 0; i < e->bits; i++) {
        if (bit_of(value, i, backwards) != bit_of(e->key, i, backwards))
            return false;
    }
    return true;
}

/* The next one that a plain search finds behind `last`: shorter, or as long and later. */
static const struct match_entry *plain_next(const struct match_index *index, struct slice value,
                                            const struct match_entry *last)
{
    const struct match_entry *best = NULL;
    for (uint32_t i = 0; i < index->count; i++) {
        const struct match_entry *e = &index->entries[i];
        bool behind = !last || e->bits < last->bits || (e->bits == last->bits && e->order > last->order);
        bool better = !best || e->bits > best->bits || (e->bits == best->bits && e->order < best->order);
        if (behind && better && begins_with(value, e, index->backwards))
            best = e;
    }
    return best;
}

static void check_walk(const struct match_index *index, struct slice value)
{
    struct match_walk walk;
    const struct match_entry *last = NULL, *got;
    match_walk_init(&walk, index, value);
    do {
        got = match_walk_next(&walk);
        last = plain_next(index, value, last);
        assert_ptr_equal(got, last);
    } while (got);
}

/* Few different letters, so that keys stand inside each other. */
static struct slice random_text(char *to, uint32_t max)
{
    uint32_t len = random_below(max + 1);
    for (uint32_t i = 0; i < len; i++)
        to[i] = "ab\xff"[random_below(3)];
    return slice_of(to, len);
}

static void index_of_texts(void **state)
{
    static char texts[KEYS_MAX][16];
    static struct match_entry entries[KEYS_MAX];
    (void)state;
    for (uint32_t round = 0; round < 400; round++) {
        struct match_index index = {.entries = entries, .backwards = round % 2};
        index.count = random_below(round < 390 ? 12 : KEYS_MAX);
        for (uint32_t i = 0; i < index.count; i++) {
            struct slice key = random_text(texts[i], 7);
            entries[i] = (struct match_entry){
                .key = key, .bits = (uint32_t)key.len * 8, .order = i, .whole = random_below(3) == 0};
        }
        match_index_build(&index);
        for (uint32_t i = 0; i < 60; i++) {
            char value[16];
            check_walk(&index, random_text(value, 9));
        }
    }
}

static void index_of_bits(void **state)
{
    static uint8_t bytes[KEYS_MAX][4];
    static struct match_entry entries[KEYS_MAX];
    (void)state;
    for (uint32_t round = 0; round < 300; round++) {
        struct match_index index = {.entries = entries, .count = random_below(40)};
        for (uint32_t i = 0; i < index.count; i++) {
            uint32_t bits = random_below(33);
            for (uint32_t b = 0; b < 4; b++)
                bytes[i][b] = (uint8_t)(random_below(4) << 6 | random_below(2));
            address_mask_bytes(bytes[i], 4, bits);
            entries[i] = (struct match_entry){.key = slice_of(bytes[i], 4), .bits = bits, .order = i};
        }
        match_index_build(&index);
        for (uint32_t i = 0; i < 60; i++) {
            uint8_t value[4];
            for (uint32_t b = 0; b < 4; b++)
                value[b] = (uint8_t)(random_below(4) << 6 | random_below(2));
            check_walk(&index, slice_of(value, 4));
        }
    }
}

static void keys_of_addresses(void **state)
{
    struct address a;
    uint8_t v4[MATCH_IP_BYTES], mapped[MATCH_IP_BYTES], v6[MATCH_IP_BYTES];
    struct cidr range;
    (void)state;
    assert_true(address_parse_ip(SLICE_LIT("10.1.2.3"), 0, &a));
    struct slice plain = match_ip_key(&a, v4);
    assert_int_equal(plain.len, 5);
    assert_true(address_parse_ip(SLICE_LIT("::ffff:10.1.2.3"), 0, &a));
    assert_true(slice_eq(match_ip_key(&a, mapped), plain));
    assert_true(address_parse_ip(SLICE_LIT("2001:db8::1"), 0, &a));
    assert_int_equal(match_ip_key(&a, v6).len, 17);
    assert_int_not_equal(v6[0], v4[0]); /* so that ::/0 has no IPv4 address in it */
    assert_true(address_unix(SLICE_LIT("/a"), &a));
    assert_int_equal(match_ip_key(&a, v6).len, 0);
    assert_true(cidr_init(&range, SLICE_LIT("10.0.0.0"), 9));
    assert_int_equal(match_ip_bits(&range), 17);
    /* A range of IPv4 addresses written as IPv6: no more bits than its key has. */
    assert_true(cidr_init(&range, SLICE_LIT("::ffff:10.1.0.0"), 112));
    assert_int_equal(match_ip_key(&range.base, mapped).len, 5);
    assert_int_equal(match_ip_bits(&range), 8 + 16);
    assert_true(cidr_init(&range, SLICE_LIT("::ffff:0.0.0.0"), 95));
    assert_int_equal(match_ip_key(&range.base, v6).len, 17);
    assert_int_equal(match_ip_bits(&range), 8 + 95);
}

/* --- trees --- */

static const struct match_input server_name = {.kind = MATCH_INPUT_SERVER_NAME};
static const struct match_input certificate = {.kind = MATCH_INPUT_SUBJECT};

static const void *find_name(const struct match_node *root, const char *name)
{
    struct address any;
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.1"), 80, &any));
    struct arena arena;
    arena_init(&arena, MATCH_ARENA_BYTES_MAX, NULL);
    const struct filter_chain_facts facts = {
        .remote = &any, .direct_remote = &any, .local = &any, .server_name = slice_str(name)};
    const struct match_subject subject = {.connection = &facts, .arena = &arena};
    const struct match_tree tree = {.root = root};
    const void *action = match_tree_find(&tree, &subject);
    arena_fini(&arena);
    return action;
}

static struct match_predicate is(const char *text)
{
    return (struct match_predicate){.kind = MATCH_STRING,
                                    .input = server_name,
                                    .string = {.kind = STRING_EXACT, .value = slice_str(text)}};
}

static void predicates(void **state)
{
    struct match_predicate either[] = {is("a"), is("b")},
                           unknown = {.kind = MATCH_STRING, .input = certificate};
    struct match_predicate mixed[] = {unknown, is("a")}, not_a = is("a"), not_unknown = unknown;
    const struct {
        struct match_predicate p;
        const char *yes, *no, *unknown;
    } cases[] = {
        {is("a"), "a", "b", NULL},
        {{.kind = MATCH_OR, .children = either, .children_count = 2}, "b", "c", NULL},
        {{.kind = MATCH_AND, .children = either, .children_count = 2}, NULL, "a", NULL},
        {{.kind = MATCH_AND}, "x", NULL, NULL},
        {{.kind = MATCH_OR}, NULL, "x", NULL},
        {{.kind = MATCH_NOT, .children = &not_a, .children_count = 1}, "b", "a", NULL},
        {{.kind = MATCH_NOT, .children = &not_a, .children_count = 1}, "", "a", NULL}, /* no name at all */
        {{.kind = MATCH_OR, .children = mixed, .children_count = 2}, "a", NULL, "b"},
        {{.kind = MATCH_AND, .children = mixed, .children_count = 2}, NULL, NULL, "a"},
        {{.kind = MATCH_NOT, .children = &not_unknown, .children_count = 1}, NULL, NULL, "a"},
        {{.kind = MATCH_METADATA, .input = server_name, .invert = true}, NULL, "a", NULL},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct match_rule rule = {.predicate = cases[i].p, .outcome = {.action = "yes"}};
        const struct match_node list = {
            .kind = MATCH_NODE_LIST, .rules = &rule, .rules_count = 1, .no_match = {.action = "no"}};
        if (cases[i].yes)
            assert_string_equal(find_name(&list, cases[i].yes), "yes");
        if (cases[i].no)
            assert_string_equal(find_name(&list, cases[i].no), "no");
        if (cases[i].unknown)
            assert_null(find_name(&list, cases[i].unknown));
    }
}

/* What a client sends too much of is not known: it is not as if it had sent nothing. */
static void no_room(void **state)
{
    const struct slice protocols[] = {SLICE_LIT("h2"), SLICE_LIT("http/1.1")};
    const struct filter_chain_facts facts = {.application_protocols = protocols,
                                             .application_protocols_count = WEIR_ARRAY_LEN(protocols)};
    struct match_predicate offers = is("'h2','http/1.1'");
    offers.input = (struct match_input){.kind = MATCH_INPUT_APPLICATION_PROTOCOL};
    struct match_rule rule = {
        .predicate = {.kind = MATCH_NOT, .children = &offers, .children_count = 1},
        .outcome = {.action = "others"},
    };
    const struct match_node list = {
        .kind = MATCH_NODE_LIST, .rules = &rule, .rules_count = 1, .no_match = {.action = "http"}};
    const struct match_tree tree = {.root = &list};
    struct arena arena;
    (void)state;
    arena_init(&arena, MATCH_ARENA_BYTES_MAX, NULL);
    const struct match_subject subject = {.connection = &facts, .arena = &arena};
    assert_string_equal(match_tree_find(&tree, &subject), "http");
    arena_fini(&arena);
    arena_init(&arena, 8, NULL);
    assert_null(match_tree_find(&tree, &subject));
    arena_fini(&arena);
}

static void no_tree(void **state)
{
    const struct match_node any = {.kind = MATCH_NODE_ANY, .no_match = {.action = "always"}};
    const struct match_node kept = {.kind = MATCH_NODE_ANY,
                                    .no_match = {.node = &any, .keep_matching = true}};
    (void)state;
    assert_null(find_name(NULL, "a"));
    assert_string_equal(find_name(&any, "a"), "always");
    assert_null(find_name(&kept, "a"));
}

/* A tree of trees in which each level has many keys for the same one below: without care the leaves would be
 * asked 8 to the power of 24 times. */
static void shared_outcomes(void **state)
{
    static const char domain[] = "a.b.c.d.e.f.g.h";
    enum { LEVELS = 24, KEYS = 8 };
    static struct match_entry entries[LEVELS][KEYS];
    static struct match_node nodes[LEVELS];
    static struct match_outcome outcomes[LEVELS];
    (void)state;
    for (unsigned level = 0; level < LEVELS; level++) {
        nodes[level] = (struct match_node){.kind = MATCH_NODE_NAME,
                                           .input = server_name,
                                           .shared = true,
                                           .index = {entries[level], KEYS, true}};
        outcomes[level].node = level + 1 < LEVELS ? &nodes[level + 1] : NULL;
        for (uint32_t i = 0; i < KEYS; i++) {
            struct slice key = slice_skip(slice_str(domain), i ? i * 2 - 1 : 0);
            entries[level][i] = (struct match_entry){
                .key = key, .bits = (uint32_t)key.len * 8, .order = i, .outcome = &outcomes[level]};
        }
        match_index_build(&nodes[level].index);
    }
    assert_null(find_name(&nodes[0], domain));
    nodes[0].no_match.action = "end";
    assert_string_equal(find_name(&nodes[0], domain), "end");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_of_texts),    cmocka_unit_test(index_of_bits),
        cmocka_unit_test(keys_of_addresses), cmocka_unit_test(predicates),
        cmocka_unit_test(no_tree),           cmocka_unit_test(shared_outcomes),
        cmocka_unit_test(no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
