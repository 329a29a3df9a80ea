/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hosts and host sets. Who is picked from a set is decided here once per update, not per request.
 */
#include "upstream/host.h"

#include "base/assert.h"

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
    h->health = e->health;
    h->shards_count = workers;
    h->hostname = put_text(&at, hostname);
    h->locality[0] = put_text(&at, locality->region);
    h->locality[1] = put_text(&at, locality->zone);
    h->locality[2] = put_text(&at, locality->sub_zone);
    if (!shown_create(h, e, locality))
        host_unref(&h);
    return h;
}

struct host *host_ref(struct host *h)
{
    atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
    return h;
}

void host_unref(struct host **host)
{
    struct host *h = *host;
    *host = NULL;
    WEIR_ASSERT(!h || atomic_load_explicit(&h->refs, memory_order_relaxed) > 0);
    if (!h || atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1)
        return;
    shown_destroy(h->shown);
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
    return address_eq(&a->address, &b->address) && strcmp(a->hostname, b->hostname) == 0 &&
           a->weight == b->weight && a->priority == b->priority && a->health == b->health &&
           strcmp(a->locality[0], b->locality[0]) == 0 && strcmp(a->locality[1], b->locality[1]) == 0 &&
           strcmp(a->locality[2], b->locality[2]) == 0 && same_shown(a->shown, b->shown);
}

/* The first priority with a healthy host; the first of all if none has one. */
static uint32_t choose_priority(const struct host_set *s)
{
    uint32_t healthy = UINT32_MAX, any = UINT32_MAX;
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t p = s->hosts[i]->priority;
        if (p < any)
            any = p;
        if (host_is_healthy(s->hosts[i]) && p < healthy)
            healthy = p;
    }
    return healthy != UINT32_MAX ? healthy : any;
}

static void choose_usable(struct host_set *s, uint32_t panic_threshold)
{
    uint32_t priority = choose_priority(s), total = 0, healthy = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        bool ok = host_is_healthy(s->hosts[i]);
        s->healthy_count += ok;
        total += s->hosts[i]->priority == priority;
        healthy += s->hosts[i]->priority == priority && ok;
    }
    s->panic = total == 0 || (uint64_t)healthy * 100 < (uint64_t)total * panic_threshold;
    for (uint32_t i = 0; i < s->count; i++) {
        struct host *h = s->hosts[i];
        if (h->priority != priority || (!s->panic && !host_is_healthy(h)))
            continue;
        s->weighted = s->weighted || (s->usable_count > 0 && h->weight != s->usable[0]->weight);
        s->usable[s->usable_count++] = h;
    }
}

struct host_set *host_set_create(struct host **hosts, uint32_t count, uint32_t panic_threshold)
{
    struct host_set *s = calloc(1, sizeof(*s) + count * sizeof(s->hosts[0]));
    struct host **usable = calloc(count + 1, sizeof(*usable));
    if (!s || !usable) {
        for (uint32_t i = 0; i < count; i++)
            host_unref(&hosts[i]);
        free(s);
        free(usable);
        return NULL;
    }
    atomic_init(&s->refs, 1);
    s->count = count;
    s->usable = usable;
    for (uint32_t i = 0; i < count; i++)
        s->hosts[i] = hosts[i];
    choose_usable(s, panic_threshold);
    WEIR_ASSERT(s->usable_count <= s->count);
    return s;
}

struct host_set *host_set_ref(struct host_set *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void host_set_unref(struct host_set **set)
{
    struct host_set *s = *set;
    *set = NULL;
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < s->count; i++)
        host_unref(&s->hosts[i]);
    free(s->usable);
    free(s);
}
