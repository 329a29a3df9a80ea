/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyed hash against another implementation's values, and a map under keys that collide without a secret.
 */
#include "base/keyed_hash.h"

#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void known_values(void **state)
{
    (void)state;
    /* Key 00..0f, input 00 01 02 ...; from an implementation whose 2-4 form gives the published vectors. */
    const uint64_t secret[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    unsigned char in[16];
    for (unsigned i = 0; i < sizeof(in); i++)
        in[i] = (unsigned char)i;
    const struct {
        size_t len;
        uint64_t hash;
    } rows[] = {{0, UINT64_C(0xabac0158050fc4dc)},
                {1, UINT64_C(0xc9f49bf37d57ca93)},
                {7, UINT64_C(0xd3927d989bb11140)},
                {8, UINT64_C(0x369095118d299a8e)},
                {15, UINT64_C(0xd320d86d2a519956)}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(keyed_hash_with(secret, slice_of(in, rows[i].len)), rows[i].hash);
}

static void depends_on_the_secret(void **state)
{
    (void)state;
    const uint64_t a[2] = {1, 2}, b[2] = {1, 3};
    struct slice s = SLICE_LIT("some key");
    assert_int_not_equal(keyed_hash_with(a, s), keyed_hash_with(b, s));
    assert_int_equal(keyed_hash(s), keyed_hash(s));
    assert_int_not_equal(keyed_hash(s), slice_hash(s));
}

/* Keys that all fall into one bucket of a table by the unkeyed hash, as a client could choose them. */
static void chosen_keys_spread(void **state)
{
    (void)state;
    enum { BUCKETS = 256, KEYS = 200 };
    unsigned hit[BUCKETS] = {0}, found = 0, worst = 0;
    for (unsigned i = 0; found < KEYS; i++) {
        char text[16];
        struct slice key = slice_of(text, (size_t)snprintf(text, sizeof(text), "%u", i));
        if (slice_hash(key) % BUCKETS != 0)
            continue;
        found++;
        unsigned n = ++hit[keyed_hash(key) % BUCKETS];
        worst = n > worst ? n : worst;
    }
    assert_true(worst < 12); /* by chance 11 comes once in 10^9 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_values),
                                       cmocka_unit_test(depends_on_the_secret),
                                       cmocka_unit_test(chosen_keys_spread)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
