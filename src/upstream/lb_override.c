/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host by its address: what sticky sessions and the policy OverrideHost ask for. The index is made when the
 * first request asks for one and thrown away with the set of hosts; nobody else pays for it.
 */
#include "upstream/lb.h"

#include <stdlib.h>

/* Numbers + 1 of the set's hosts by the hash of their address's text; open addressing. */
struct lb_index {
    uint32_t mask;
    uint32_t slots[];
};

static struct lb_index *make_index(const struct host_set *hosts)
{
    char text[ADDRESS_TEXT_MAX];
    uint32_t size = 4;
    while (size < hosts->count * 2)
        size *= 2;
    struct lb_index *index = calloc(1, sizeof(*index) + size * sizeof(index->slots[0]));
    if (!index)
        return NULL;
    index->mask = size - 1;
    for (uint32_t i = 0; i < hosts->count; i++) {
        uint32_t slot = (uint32_t)slice_hash(slice_str(address_format(&hosts->hosts[i]->address, text)));
        while (index->slots[slot &= index->mask])
            slot++;
        index->slots[slot] = i + 1;
    }
    return index;
}

void lb_index_drop(struct lb *lb)
{
    free(lb->index);
    lb->index = NULL;
}

struct host *lb_find_host(struct lb *lb, struct slice address)
{
    char text[ADDRESS_TEXT_MAX];
    const struct host_set *hosts = lb->hosts;
    if (hosts->count == 1 && hosts->hosts[0]->moving)
        return hosts->hosts[0]; /* of a LOGICAL_DNS cluster: wherever it was */
    if (!lb->index)
        lb->index = make_index(hosts);
    for (uint32_t slot = (uint32_t)slice_hash(address); lb->index; slot++) {
        uint32_t number = lb->index->slots[slot & lb->index->mask];
        if (!number)
            break;
        struct host *h = hosts->hosts[number - 1];
        if (slice_eq(slice_str(address_format(&h->address, text)), address))
            return h;
    }
    return NULL;
}

/* What Envoy calls the health status of a host: failures that were seen come before what is configured. */
static enum endpoint_health status_of(const struct host *h)
{
    uint32_t flags = host_health_flags(h);
    if (flags & (HOST_FAILED_ACTIVE_HC | HOST_FAILED_OUTLIER_CHECK))
        return ENDPOINT_UNHEALTHY;
    if (h->health == ENDPOINT_UNHEALTHY || h->health == ENDPOINT_DRAINING || h->health == ENDPOINT_TIMEOUT)
        return h->health;
    return flags & HOST_DEGRADED_ACTIVE_HC ? ENDPOINT_DEGRADED : h->health;
}

bool lb_pick_override(struct lb *lb, const struct lb_override *o, struct host **out)
{
    struct host *h = lb_find_host(lb, o->address);
    *out = h && (lb->config->override_statuses & 1u << status_of(h)) ? h : NULL;
    return *out || o->strict;
}
