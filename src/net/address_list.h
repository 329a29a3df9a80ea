/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses of one peer, in the order in which they are tried (RFC 8305). Immutable, shared by threads,
 * counted by reference.
 */
#ifndef WEIR_NET_ADDRESS_LIST_H
#define WEIR_NET_ADDRESS_LIST_H

#include "net/address.h"

#include <stdatomic.h>

/* `first_count` addresses of the first family, then one of another, and so on (Envoy). */
struct address_order {
    sa_family_t first;    /* 0: that of the first address */
    uint32_t first_count; /* 0: 1 */
};

struct address_list {
    atomic_uint refs;
    uint32_t count;
    struct address at[];
};

/* With one reference. NULL when memory is out. */
struct address_list *address_list_create(const struct address *addresses, size_t count,
                                         const struct address_order *order);
/* NULL, and NULL content, are fine. [any thread] */
struct address_list *address_list_ref(struct address_list *l);
void address_list_unref(struct address_list **l);
/* The same addresses in the same order; NULL is the same as NULL only. */
bool address_list_eq(const struct address_list *a, const struct address_list *b);

#endif
