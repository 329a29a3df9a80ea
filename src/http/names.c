/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lookup of well-known header names: a switch on the length, inside which the compiler keeps only the
 * comparisons of that length and turns each into a few loads. No table, no hash, no start-up.
 */
#include "http/names.h"

#include "base/assert.h"

#define NAME_X(id, text)                                                                                     \
    if (sizeof(text) - 1 == LEN && memcmp(name.ptr, text, sizeof(text) - 1) == 0)                            \
        return HDR_##id;
#define NAMES_OF_LENGTH(n)                                                                                   \
    case n: {                                                                                                \
        enum { LEN = n };                                                                                    \
        HEADER_NAMES(NAME_X)                                                                                 \
        break;                                                                                               \
    }

#define NAME_X_MAX 31
#define NAME_FITS(id, text)                                                                                  \
    _Static_assert(sizeof(text) - 1 >= 2 && sizeof(text) - 1 <= NAME_X_MAX, "add a case below for " text);
HEADER_NAMES(NAME_FITS)

WEIR_HOT enum header_id header_id_of(struct slice name)
{
    switch (name.len) {
        NAMES_OF_LENGTH(2)
        NAMES_OF_LENGTH(3)
        NAMES_OF_LENGTH(4)
        NAMES_OF_LENGTH(5)
        NAMES_OF_LENGTH(6)
        NAMES_OF_LENGTH(7)
        NAMES_OF_LENGTH(8)
        NAMES_OF_LENGTH(9)
        NAMES_OF_LENGTH(10)
        NAMES_OF_LENGTH(11)
        NAMES_OF_LENGTH(12)
        NAMES_OF_LENGTH(13)
        NAMES_OF_LENGTH(14)
        NAMES_OF_LENGTH(15)
        NAMES_OF_LENGTH(16)
        NAMES_OF_LENGTH(17)
        NAMES_OF_LENGTH(18)
        NAMES_OF_LENGTH(19)
        NAMES_OF_LENGTH(20)
        NAMES_OF_LENGTH(21)
        NAMES_OF_LENGTH(22)
        NAMES_OF_LENGTH(23)
        NAMES_OF_LENGTH(24)
        NAMES_OF_LENGTH(25)
        NAMES_OF_LENGTH(26)
        NAMES_OF_LENGTH(27)
        NAMES_OF_LENGTH(28)
        NAMES_OF_LENGTH(29)
        NAMES_OF_LENGTH(30)
        NAMES_OF_LENGTH(31)
    default:
        break;
    }
    return HDR_OTHER;
}

struct slice header_id_name(enum header_id id)
{
    static const struct slice texts[HDR_COUNT] = {
#define TEXT_X(id, text) [HDR_##id] = {text, sizeof(text) - 1},
        HEADER_NAMES(TEXT_X)
#undef TEXT_X
    };
    WEIR_ASSERT(id > HDR_OTHER && id < HDR_COUNT);
    return texts[id];
}
