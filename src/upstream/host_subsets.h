/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subsets of a host set: for each selector of the configuration, the hosts that have the same values for
 * its keys, as a host set of their own. Immutable, made with the set that has them.
 */
#ifndef WEIR_UPSTREAM_HOST_SUBSETS_H
#define WEIR_UPSTREAM_HOST_SUBSETS_H

#include "upstream/host_set.h"
#include "upstream/lb_match.h"

struct host_subset {
    struct slice text; /* of the labels that all its hosts have */
    uint64_t hash;
    struct host_set *set; /* owned reference; NULL: it has only */
    struct host *single;  /* this host of the whole set */
};

struct host_subsets {
    struct host_subset *items;
    uint32_t count;
    uint32_t duplicates;     /* hosts that single-host subsets have no place for */
    uint32_t default_subset; /* number of the one that default_subset selects; UINT32_MAX: nobody wants it */
    uint32_t *index;         /* number + 1 by hash; open addressing */
    uint32_t index_mask;
};

/* Into s->subsets, from its arena. false when memory is out. */
bool host_subsets_make(struct host_set *s, const struct cluster_config *config, uint64_t now_ms);
void host_subsets_fini(struct host_subsets *subsets);
/* Whether the host has all these labels; with list_as_any a list has each of its members. */
bool host_has_labels(const struct host *h, const struct lb_match *match, bool list_as_any);
/* The number of the subset with exactly these labels, or UINT32_MAX. */
uint32_t host_subsets_find(const struct host_subsets *subsets, struct slice text, uint64_t hash);

#endif
