/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damerau-Levenshtein distance (adjacent swaps count once) with a cap on length, over names of a few dozen
 * bytes.
 */
#include "config/suggest.h"

#include "base/assert.h"

#define SUGGEST_BYTES_MAX 128

void suggest_init(struct suggest *s, struct slice wanted)
{
    *s = (struct suggest){.wanted = wanted};
    size_t limit = wanted.len / 3;
    s->best_distance = (unsigned)(limit < 1 ? 1 : limit > 5 ? 5 : limit) + 1;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Case and '_' against '-' cost nothing: those are the usual slips. */
static char fold(char c)
{
    return c == '-' ? '_' : ascii_lower(c);
}

static unsigned distance(struct slice a, struct slice b)
{
    unsigned rows[3][SUGGEST_BYTES_MAX + 1];
    WEIR_ASSERT(b.len <= SUGGEST_BYTES_MAX);
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a.len; i++) {
        unsigned *now = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3];
        const unsigned *above2 = rows[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            char x = fold(a.ptr[i - 1]);
            char y = fold(b.ptr[j - 1]);
            now[j] = min3(now[j - 1] + 1, above[j] + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == fold(b.ptr[j - 2]) && fold(a.ptr[i - 2]) == y &&
                above2[j - 2] + 1 < now[j])
                now[j] = above2[j - 2] + 1;
        }
    }
    return rows[a.len % 3][b.len];
}

void suggest_try(struct suggest *s, const char *name)
{
    struct slice candidate = slice_str(name);
    if (s->wanted.len == 0 || s->wanted.len > SUGGEST_BYTES_MAX || candidate.len > SUGGEST_BYTES_MAX)
        return;
    unsigned d = distance(s->wanted, candidate);
    if (d < s->best_distance) {
        s->best_distance = d;
        s->best = name;
    }
}
