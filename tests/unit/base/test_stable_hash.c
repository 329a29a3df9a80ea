/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH64 and MurmurHash64A against values that the reference implementations give (the sanity check of the
 * xxHash repository: bytes of its generator; std::hash<std::string>).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/stable_hash.h"

#define PRIME32 UINT64_C(2654435761)
#define PRIME64 UINT64_C(11400714785074694797)

static void xxh64_of_the_reference(void **state)
{
    static const struct {
        size_t len;
        uint64_t seed;
        uint64_t hash;
    } cases[] = {
        {0, 0, UINT64_C(0xEF46DB3751D8E999)},         {0, PRIME32, UINT64_C(0xAC75FDA2929B17EF)},
        {1, 0, UINT64_C(0xE934A84ADB052768)},         {1, PRIME32, UINT64_C(0x5014607643A9B4C3)},
        {4, 0, UINT64_C(0x9136A0DCA57457EE)},         {14, 0, UINT64_C(0x8282DCC4994E35C8)},
        {14, PRIME32, UINT64_C(0xC3BD6BF63DEB6DF0)},  {222, 0, UINT64_C(0xB641AE8CB691C174)},
        {222, PRIME32, UINT64_C(0x20CB8AB7AE10C14A)},
    };
    char bytes[222];
    uint64_t generator = PRIME32;
    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(generator >> 56);
        generator *= PRIME64;
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_true(xxh64(slice_of(bytes, cases[i].len), cases[i].seed) == cases[i].hash);
    assert_true(xxh64(SLICE_LIT("a"), 0) == UINT64_C(0xD24EC4F1A98C6E5B));
    assert_true(xxh64(SLICE_EMPTY, 0) == UINT64_C(0xEF46DB3751D8E999));
}

static void murmur64_of_the_reference(void **state)
{
    (void)state;
    /* As std::hash<std::string> of GNU C++ prints them. */
    assert_true(murmur64(SLICE_LIT(""), MURMUR64_STD_SEED) == UINT64_C(6142509188972423790));
    assert_true(murmur64(SLICE_LIT("a"), MURMUR64_STD_SEED) == UINT64_C(4993892634952068459));
    assert_true(murmur64(SLICE_LIT("abcdefgh"), MURMUR64_STD_SEED) == UINT64_C(8664279048047335611));
    assert_true(murmur64(SLICE_LIT("10.0.0.1:80_123"), MURMUR64_STD_SEED) == UINT64_C(1774502415473338005));
    assert_true(murmur64(SLICE_LIT("abcdefghi"), MURMUR64_STD_SEED) == UINT64_C(13036955925923793583));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xxh64_of_the_reference),
        cmocka_unit_test(murmur64_of_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
