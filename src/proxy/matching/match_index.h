/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An index over prefixes, of texts or of IP addresses, that finds all of them that a value begins with, the
 * longest first. Prefixes lie inside each other or apart, so that sorted ones with a link to the next
 * enclosing one are enough: a look-up is one binary search, and a step per answer or so. Read from the end,
 * the same finds suffixes.
 */
#ifndef WEIR_PROXY_MATCH_INDEX_H
#define WEIR_PROXY_MATCH_INDEX_H

#include "base/slice.h"

struct match_outcome;
struct address;
struct cidr;

struct match_entry {
    struct slice key; /* borrowed */
    uint32_t bits;    /* of the key that count; those behind them are zero */
    uint32_t order;   /* of equal keys the lowest comes first */
    bool whole;       /* only a value that is the key */
    bool exclusive;   /* only as the first of a value's answers */
    const struct match_outcome *outcome;
    uint32_t parent; /* by match_index_build: entry + 1 that encloses it; 0: none */
};

struct match_index {
    struct match_entry *entries; /* filled by the owner */
    uint32_t count;
    bool backwards; /* keys and values are read from their ends */
};

/* Sorts and links. Once, before the first look-up. */
void match_index_build(struct match_index *index);

/* An address as keys and values have it: the family, and its bytes. */
#define MATCH_IP_BYTES 17u
/* Empty for what is no IP address. */
struct slice match_ip_key(const struct address *a, uint8_t out[MATCH_IP_BYTES]);
/* The bits of a range's key. */
uint32_t match_ip_bits(const struct cidr *range);

struct match_walk {
    const struct match_index *index;
    uint32_t next;   /* entry + 1 */
    uint32_t common; /* bits of it that the value has */
    uint32_t bits;   /* of the value */
};

void match_walk_init(struct match_walk *w, const struct match_index *index, struct slice value);
/* NULL at the end. */
const struct match_entry *match_walk_next(struct match_walk *w);

#endif
