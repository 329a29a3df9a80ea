/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ordering addresses by family. Every address is in the list once for each time it was given.
 */
#include "net/address_list.h"

#include "base/assert.h"
#include "base/refs.h"

#include <stdlib.h>

/* The next one from `at` on that is (or is not) of the family; count: there is none. */
static size_t next_of(const struct address *list, size_t count, size_t at, sa_family_t family, bool is)
{
    while (at < count && (list[at].sa.sa_family == family) != is)
        at++;
    return at;
}

static void put_in_order(struct address_list *l, const struct address *in, size_t count,
                         const struct address_order *order)
{
    sa_family_t family = order->first ? order->first : in[0].sa.sa_family;
    uint32_t in_a_row = order->first_count ? order->first_count : 1;
    size_t first = next_of(in, count, 0, family, true), other = next_of(in, count, 0, family, false);
    while (first < count || other < count) {
        for (uint32_t i = 0; i < in_a_row && first < count; i++) {
            l->at[l->count++] = in[first];
            first = next_of(in, count, first + 1, family, true);
        }
        if (other < count) {
            l->at[l->count++] = in[other];
            other = next_of(in, count, other + 1, family, false);
        }
    }
}

struct address_list *address_list_create(const struct address *addresses, size_t count,
                                         const struct address_order *order)
{
    WEIR_ASSERT(count > 0 && count <= UINT32_MAX);
    struct address_list *l = calloc(1, sizeof(*l) + count * sizeof(l->at[0]));
    if (!l)
        return NULL;
    atomic_init(&l->refs, 1);
    put_in_order(l, addresses, count, order);
    WEIR_ASSERT(l->count == count);
    return l;
}

struct address_list *address_list_ref(struct address_list *l)
{
    if (l)
        refs_take(&l->refs);
    return l;
}

void address_list_unref(struct address_list **list)
{
    struct address_list *l = *list;
    *list = NULL;
    if (l && refs_drop(&l->refs))
        free(l);
}

bool address_list_eq(const struct address_list *a, const struct address_list *b)
{
    if (!a || !b || a->count != b->count)
        return a == b;
    for (uint32_t i = 0; i < a->count; i++) {
        if (!address_eq(&a->at[i], &b->at[i]))
            return false;
    }
    return true;
}
