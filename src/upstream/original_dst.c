/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared table of an ORIGINAL_DST cluster's hosts. Its lock is taken when a worker meets a destination
 * for the first time or forgets it, never per request.
 */
#include "upstream/original_dst.h"

#include "base/map.h"
#include "telemetry/stats.h"
#include "upstream/cluster.h"
#include "upstream/cluster_health.h"
#include "upstream/limits.h"

#include <stdio.h>
#include <stdlib.h>

/* Of the map: a host and how many workers have it. */
struct place {
    struct host *host; /* owned reference */
    uint32_t workers;
};

struct original_dst {
    pthread_mutex_t lock;
    struct map places;             /* original_dst_key -> struct place; under `lock` */
    struct cluster_health *health; /* borrowed; under `lock`. NULL: nobody watches */
    stat_id overflow;
};

struct original_dst *original_dst_create(const struct cluster_config *config)
{
    struct original_dst *o = calloc(1, sizeof(*o));
    if (!o)
        return NULL;
    pthread_mutex_init(&o->lock, NULL);
    o->overflow =
        stat_counter("cluster." SLICE_FMT ".original_dst_host_overflow", SLICE_ARG(config->alt_stat_name));
    return o;
}

void original_dst_destroy(struct original_dst **original)
{
    struct original_dst *o = *original;
    *original = NULL;
    if (!o)
        return;
    WEIR_ASSERT(o->places.count == 0);
    map_fini(&o->places);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

void original_dst_watch(struct original_dst *o, struct cluster_health *health)
{
    pthread_mutex_lock(&o->lock);
    o->health = health;
    pthread_mutex_unlock(&o->lock);
}

bool original_dst_address(const struct address *a, struct address *out)
{
    struct address from = *a; /* the two may be one */
    memset(out, 0, sizeof(*out));
    if (from.len == 0)
        return false;
    if (from.sa.sa_family == AF_INET) {
        out->in4.sin_family = AF_INET;
        out->in4.sin_addr = from.in4.sin_addr;
        out->in4.sin_port = from.in4.sin_port;
        out->len = sizeof(out->in4);
        return true;
    }
    if (from.sa.sa_family != AF_INET6)
        return false;
    out->in6.sin6_family = AF_INET6;
    out->in6.sin6_addr = from.in6.sin6_addr;
    out->in6.sin6_port = from.in6.sin6_port;
    out->in6.sin6_scope_id = from.in6.sin6_scope_id;
    out->len = sizeof(out->in6);
    return true;
}

bool original_dst_parse(struct slice text, struct address *out)
{
    size_t colon = text.len;
    uint64_t port;
    struct address parsed;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (colon < 2 || !slice_parse_u64(slice_of(text.ptr + colon, text.len - colon), &port) ||
        port > UINT16_MAX)
        return false;
    struct slice ip = slice_of(text.ptr, colon - 1);
    bool six = ip.ptr[0] == '[';
    if (six && (ip.len < 2 || ip.ptr[ip.len - 1] != ']'))
        return false;
    if (six)
        ip = slice_of(ip.ptr + 1, ip.len - 2);
    return address_parse_ip(ip, (uint16_t)port, &parsed) && (parsed.sa.sa_family == AF_INET6) == six &&
           original_dst_address(&parsed, out);
}

/* Envoy's name of such a host is the cluster's with the address behind it. Under the lock. */
static struct host *make_host(const struct cluster *c, const struct address *a)
{
    static const struct locality_config nowhere;
    char address[ADDRESS_TEXT_MAX];
    struct slice name = c->config->name, text = slice_str(address_format(a, address));
    char *hostname = malloc(name.len + text.len);
    if (!hostname)
        return NULL;
    memcpy(hostname, name.ptr, name.len);
    memcpy(hostname + name.len, text.ptr, text.len);
    struct host *h =
        host_create(a, &c->config->made, &nowhere, slice_of(hostname, name.len + text.len), c->workers);
    free(hostname);
    if (h && c->original->health && !cluster_health_watch_made(c->original->health, h))
        host_unref(&h);
    return h;
}

/* Under the lock. */
static struct place *add(struct cluster *c, const struct address *a)
{
    struct original_dst *o = c->original;
    struct place *p = NULL;
    if (o->places.count >= ORIGINAL_DST_HOSTS_MAX) {
        stat_inc(o->overflow);
        return NULL;
    }
    p = calloc(1, sizeof(*p));
    if (p)
        p->host = make_host(c, a);
    if (p && p->host && map_put(&o->places, original_dst_key(a), p))
        return p;
    if (p)
        host_unref(&p->host);
    free(p);
    return NULL;
}

struct host *original_dst_take(struct cluster *c, const struct address *a)
{
    struct original_dst *o = c->original;
    struct host *h = NULL;
    bool made = false;
    pthread_mutex_lock(&o->lock);
    struct place *p = map_get(&o->places, original_dst_key(a));
    if (!p) {
        p = add(c, a);
        made = p != NULL;
    }
    if (p) {
        p->workers++;
        h = host_ref(p->host);
    }
    pthread_mutex_unlock(&o->lock);
    if (made)
        cluster_health_changed(c);
    return h;
}

void original_dst_give(struct cluster *c, struct host **host)
{
    struct original_dst *o = c->original;
    struct slice key = original_dst_key(&(*host)->address);
    pthread_mutex_lock(&o->lock);
    struct place *p = map_get(&o->places, key);
    WEIR_ASSERT(p && p->host == *host && p->workers > 0);
    bool last = --p->workers == 0;
    if (last)
        map_remove(&o->places, key);
    pthread_mutex_unlock(&o->lock);
    if (last) {
        host_unref(&p->host);
        free(p);
        cluster_health_changed(c);
    }
    host_unref(host);
}

struct host **original_dst_hosts(struct original_dst *o, uint32_t *count)
{
    size_t cursor = 0;
    *count = 0;
    pthread_mutex_lock(&o->lock);
    struct host **hosts = calloc(o->places.count + 1, sizeof(struct host *));
    for (struct map_entry *e; hosts && (e = map_next(&o->places, &cursor)) != NULL;)
        hosts[(*count)++] = host_ref(((struct place *)e->value)->host);
    pthread_mutex_unlock(&o->lock);
    return hosts;
}
