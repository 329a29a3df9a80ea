/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maglev (Eisenbud et al., NSDI 2016, 3.4): hosts take turns in claiming the next free slot of their own
 * permutation of a table. Hosts are spread more evenly than on a ring; when one leaves a few others move too.
 */
#include "base/assert.h"
#include "base/stable_hash.h"
#include "upstream/lb_table.h"

#include <stdlib.h>

struct claimant {
    uint32_t host;
    char *key;
    uint64_t offset;
    uint64_t skip;
    uint64_t next;
    double target;
    uint32_t slots;
};

/* The order of turns is part of the result: by key. */
static int by_key(const void *a, const void *b)
{
    const struct claimant *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->host < y->host ? -1 : x->host > y->host);
}

static uint64_t place(struct claimant *c, uint64_t size)
{
    return (c->offset + c->skip * c->next++) % size;
}

static void claim(struct lb_table *t, struct claimant *c)
{
    uint64_t slot;
    do {
        slot = place(c, t->size);
    } while (t->slots[slot] != UINT32_MAX);
    t->slots[slot] = c->host;
    c->slots++;
}

/* A host of the greatest weight claims in every round, one of half of it in every second. */
static void play(struct lb_table *t, struct claimant *claimants)
{
    uint32_t taken = 0;
    for (uint64_t round = 1; taken < t->size; round++) {
        for (uint32_t i = 0; i < t->hosts_count && taken < t->size; i++) {
            struct claimant *c = &claimants[i];
            if ((double)round * t->weights[c->host] < c->target)
                continue;
            c->target += t->weight_max;
            claim(t, c);
            taken++;
        }
    }
}

static bool prepare(struct lb_table *t, struct claimant *claimants)
{
    char address[ADDRESS_TEXT_MAX];
    for (uint32_t i = 0; i < t->hosts_count; i++) {
        struct claimant *c = &claimants[i];
        struct slice key = lb_table_key(t, i, address);
        c->host = i;
        c->key = slice_strdup(key);
        c->offset = xxh64(key, 0) % t->size;
        c->skip = t->size > 1 ? xxh64(key, 1) % (t->size - 1) + 1 : 1;
        if (!c->key)
            return false;
    }
    qsort(claimants, t->hosts_count, sizeof(claimants[0]), by_key);
    return true;
}

static bool fill(struct lb_table *t, struct arena *arena, const struct cluster_config *config)
{
    struct claimant *claimants = calloc(t->hosts_count, sizeof(*claimants));
    t->size = t->hosts_count > 1 ? config->lb.maglev_size : 1;
    t->slots = ARENA_NEW_N(arena, uint32_t, t->size);
    bool ok = claimants && t->slots && prepare(t, claimants);
    if (ok) {
        memset(t->slots, 0xff, t->size * sizeof(t->slots[0]));
        play(t, claimants);
        t->least_per_host = t->size;
    }
    for (uint32_t i = 0; claimants && i < t->hosts_count; i++) {
        uint32_t slots = claimants[i].slots;
        t->least_per_host = slots < t->least_per_host ? slots : t->least_per_host;
        t->most_per_host = slots > t->most_per_host ? slots : t->most_per_host;
        free(claimants[i].key);
    }
    free(claimants);
    return ok;
}

static uint32_t pick(const struct lb_table *t, uint64_t hash, uint32_t attempt)
{
    if (attempt > 0)
        hash ^= ~UINT64_C(0) - attempt + 1;
    return t->slots[hash % t->size];
}

const struct lb_table_ops lb_maglev = {fill, pick};
