/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matching with one point to go back to: the last star that was passed.
 */
#include "base/glob.h"

/* Matches `text` from the pattern's start; *rest is where the pattern stands afterwards, the earliest place
 * that is possible. */
static bool consume(struct slice pattern, struct slice text, size_t *rest)
{
    size_t p = 0;
    size_t t = 0;
    size_t star = SIZE_MAX; /* where to go on when the literal part after the last star does not fit */
    size_t star_text = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = ++p;
            star_text = t;
        } else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star;
            t = ++star_text;
        } else {
            return false;
        }
    }
    *rest = p;
    return true;
}

bool glob_match(struct slice pattern, struct slice text)
{
    size_t p;
    if (!consume(pattern, text, &p))
        return false;
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

bool glob_match_prefix(struct slice pattern, struct slice prefix)
{
    size_t p;
    /* After a star anything may follow, so that `consume` got through is enough; before the first one the
     * pattern must be the longer. */
    return consume(pattern, prefix, &p);
}
