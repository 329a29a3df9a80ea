/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream hosts. Never decides who is picked: that is host_set.c's.
 */
#include "upstream/host.h"

#include "base/assert.h"
#include "base/refs.h"
#include "net/address_list.h"
#include "net/tls_sessions.h"
#include "upstream/health_host.h"
#include "upstream/outlier.h"
#include "upstream/pool_index.h"
#include "upstream/upstream_proxy.h"
#include "upstream/upstream_tls.h"

#include <stdio.h>
#include <stdlib.h>

static char *put_text(char **at, struct slice text)
{
    char *start = *at;
    if (text.len)
        memcpy(start, text.ptr, text.len);
    start[text.len] = '\0';
    *at += text.len + 1;
    return start;
}

/* Bytes of metadata of one host. */
#define HOST_SHOWN_BYTES_MAX ((size_t)4 << 20)

static void shown_destroy(struct host_shown *shown)
{
    if (shown)
        arena_fini(&shown->arena);
    free(shown);
}

/* False: memory is out. */
static bool shown_create(struct host *h, const struct endpoint_config *e,
                         const struct locality_config *locality)
{
    if (!e->metadata && !locality->metadata && !locality->message)
        return true;
    struct host_shown *shown = calloc(1, sizeof(*shown));
    if (!shown)
        return false;
    arena_init(&shown->arena, HOST_SHOWN_BYTES_MAX, NULL);
    shown->metadata = typed_value_dup(&shown->arena, e->metadata);
    shown->locality_metadata = typed_value_dup(&shown->arena, locality->metadata);
    shown->locality = typed_value_dup(&shown->arena, locality->message);
    h->shown = shown;
    return (shown->metadata || !e->metadata) && (shown->locality_metadata || !locality->metadata) &&
           (shown->locality || !locality->message);
}

static uint32_t flags_of(enum endpoint_health health)
{
    switch (health) {
    case ENDPOINT_UNHEALTHY:
    case ENDPOINT_TIMEOUT:
        return HOST_FAILED_EDS_HEALTH;
    case ENDPOINT_DRAINING:
        return HOST_EDS_STATUS_DRAINING;
    case ENDPOINT_DEGRADED:
        return HOST_DEGRADED_EDS_HEALTH;
    case ENDPOINT_UNKNOWN:
    case ENDPOINT_HEALTHY:
        break;
    }
    return 0;
}

struct host *host_create(const struct address *address, const struct endpoint_config *e,
                         const struct locality_config *locality, struct slice hostname, uint32_t workers)
{
    struct host *h = NULL;
    size_t size = sizeof(*h) + workers * sizeof(struct host_shard);
    size_t text = hostname.len + locality->region.len + locality->zone.len + locality->sub_zone.len + 4;
    char *at = malloc(text);
    if (!at || posix_memalign((void **)&h, 64, size) != 0) {
        free(at);
        return NULL;
    }
    memset(h, 0, size);
    atomic_init(&h->refs, 1);
    h->address = *address;
    h->weight = e->weight;
    h->priority = locality->priority;
    h->locality_weight = locality->weight;
    h->health = e->health;
    atomic_init(&h->health_flags, flags_of(e->health));
    h->shards_count = workers;
    h->hostname = put_text(&at, hostname);
    h->locality[0] = put_text(&at, locality->region);
    h->locality[1] = put_text(&at, locality->zone);
    h->locality[2] = put_text(&at, locality->sub_zone);
    h->tls = e->tls ? upstream_tls_ref(e->tls) : NULL;
    h->proxy = e->proxy ? upstream_proxy_ref(e->proxy) : NULL;
    if (health_host_configured(e))
        h->checks = health_host_create(e);
    if ((!h->checks && health_host_configured(e)) || !shown_create(h, e, locality))
        host_unref(&h);
    return h;
}

bool host_has_addresses(struct host *h, const struct address *addresses, size_t count,
                        const struct address_order *order)
{
    WEIR_ASSERT(!h->any && !h->moving);
    if (count > 1)
        h->any = address_list_create(addresses, count, order);
    return count <= 1 || h->any != NULL;
}

void host_place_put(struct host_place *place, const struct host_place *now)
{
    struct address_list *before = place->any;
    place->address = now->address;
    place->any = address_list_ref(now->any);
    address_list_unref(&before);
}

bool host_make_moving(struct host *h)
{
    const struct host_place here = {h->address, h->any};
    h->moving = calloc(h->shards_count + 1, sizeof(*h->moving));
    for (uint32_t i = 0; h->moving && i <= h->shards_count; i++)
        host_place_put(&h->moving[i], &here);
    return h->moving != NULL;
}

struct host *host_ref(struct host *h)
{
    refs_take(&h->refs);
    return h;
}

void host_unref(struct host **host)
{
    struct host *h = *host;
    *host = NULL;
    if (!h || !refs_drop(&h->refs))
        return;
    for (uint32_t i = 0; i < h->shards_count; i++) {
        tls_sessions_destroy(&h->shards[i].tls_sessions);
        pool_index_destroy(&h->shards[i].wanted_pools);
    }
    upstream_tls_unref(&h->tls);
    upstream_proxy_unref(&h->proxy);
    shown_destroy(h->shown);
    for (uint32_t i = 0; h->moving && i <= h->shards_count; i++)
        address_list_unref(&h->moving[i].any);
    free(h->moving);
    address_list_unref(&h->any);
    health_host_destroy(&h->checks);
    outlier_host_destroy(&h->outlier);
    free(h->hostname);
    free(h);
}

/* Messages are equal when their bytes are. */
static bool same_value(const struct typed_value *a, const struct typed_value *b)
{
    return a == b || (a && b && slice_eq(a->bytes, b->bytes));
}

static bool same_shown(const struct host_shown *a, const struct host_shown *b)
{
    return a == b || (a && b && same_value(a->metadata, b->metadata) &&
                      same_value(a->locality_metadata, b->locality_metadata));
}

bool host_same(const struct host *a, const struct host *b)
{
    return address_eq(&a->address, &b->address) && address_list_eq(a->any, b->any) &&
           strcmp(a->hostname, b->hostname) == 0 && a->weight == b->weight && a->priority == b->priority &&
           a->health == b->health && a->locality_weight == b->locality_weight &&
           strcmp(a->locality[0], b->locality[0]) == 0 && strcmp(a->locality[1], b->locality[1]) == 0 &&
           strcmp(a->locality[2], b->locality[2]) == 0 && a->tls == b->tls && a->proxy == b->proxy &&
           same_shown(a->shown, b->shown) && health_host_same(a->checks, b->checks);
}

bool host_change_health(struct host *h, uint32_t set, uint32_t clear, uint64_t now_ms)
{
    uint32_t old = atomic_load_explicit(&h->health_flags, memory_order_relaxed), new;
    WEIR_ASSERT((set & clear) == 0);
    do {
        new = (old | set) & ~clear;
    } while (!atomic_compare_exchange_weak_explicit(&h->health_flags, &old, new, memory_order_relaxed,
                                                    memory_order_relaxed));
    if ((old & ~new &HOST_FAILED_ACTIVE_HC) != 0)
        atomic_store_explicit(&h->healthy_since_ms, now_ms, memory_order_relaxed);
    return host_standing_of(old) != host_standing_of(new) || ((old ^ new) & HOST_EXCLUDED_FLAGS) != 0;
}

char *host_health_text(uint32_t flags, char dst[HOST_HEALTH_TEXT_MAX])
{
    size_t at = 0;
    memcpy(dst, "healthy", sizeof("healthy"));
#define HOST_HEALTH_X(name, bit, text)                                                                       \
    if (flags & (bit))                                                                                       \
        at += (size_t)snprintf(dst + at, HOST_HEALTH_TEXT_MAX - at, "/%s", text);
    HOST_HEALTH_FLAGS(HOST_HEALTH_X)
#undef HOST_HEALTH_X
    WEIR_ASSERT(at < HOST_HEALTH_TEXT_MAX);
    return dst;
}

const struct typed_value *host_lb_metadata(const struct host *h, struct slice name)
{
    const struct typed_value *fields = h->shown ? lb_match_fields(h->shown->metadata) : NULL;
    return fields ? typed_value_member(fields, name) : NULL;
}

bool host_is_canary(const struct host *h)
{
    const struct typed_value *canary = host_lb_metadata(h, SLICE_LIT("canary"));
    return canary && canary->kind == TYPED_BOOL && canary->boolean;
}
