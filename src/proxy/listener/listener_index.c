/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses to listeners, exactly or by a wildcard of the same port: Envoy's rule. For a listener that goes
 * on it finds nobody who has stopped.
 */
#include "proxy/listener/listener_index.h"

#include "base/map.h"

#include <stdlib.h>

#define KEY_BYTES 18u /* the IP in its mapped form, and the port */

struct listener_index {
    struct map by_address; /* struct listener */
};

/* Empty for what is no IP address. */
static struct slice key_of(const struct address *a, char out[KEY_BYTES])
{
    uint16_t port = address_port(a);
    if (!address_ip_bytes(a, (uint8_t *)out))
        return SLICE_EMPTY;
    memcpy(out + 16, &port, sizeof(port));
    return slice_of(out, KEY_BYTES);
}

/* 0.0.0.0 or ::, with the port of `a`. */
static struct address wildcard_of(const struct address *a, sa_family_t family)
{
    struct address any = {.len = family == AF_INET ? sizeof(any.in4) : sizeof(any.in6)};
    any.sa.sa_family = family;
    address_set_port(&any, address_port(a));
    return any;
}

static bool is_v4(const struct address *a)
{
    return a->sa.sa_family == AF_INET ||
           (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr));
}

/* The second address that a listener on :: answers for with ipv4_compat. */
static bool compat_of(const struct listener *l, struct address *out)
{
    if (!l->at->ipv4_compat || l->bound.sa.sa_family != AF_INET6 || !address_is_wildcard(&l->bound))
        return false;
    *out = wildcard_of(&l->bound, AF_INET);
    return true;
}

static bool put(struct listener_index *index, const struct address *a, struct listener *l)
{
    char bytes[KEY_BYTES];
    struct slice key = key_of(a, bytes);
    return key.len == 0 || map_put(&index->by_address, key, l);
}

static void take_out(struct listener_index *index, const struct address *a, const struct listener *l)
{
    char bytes[KEY_BYTES];
    struct slice key = key_of(a, bytes);
    if (key.len && map_get(&index->by_address, key) == l)
        map_remove(&index->by_address, key);
}

bool listener_index_put(struct worker *w, struct listener *l)
{
    struct listener_index *index = w->slots[WORKER_SLOT_LISTENERS];
    struct address compat;
    if (!index)
        index = w->slots[WORKER_SLOT_LISTENERS] = calloc(1, sizeof(*index));
    if (index && put(index, &l->bound, l) && (!compat_of(l, &compat) || put(index, &compat, l)))
        return true;
    listener_index_remove(w, l);
    return false;
}

void listener_index_remove(struct worker *w, struct listener *l)
{
    struct listener_index *index = w->slots[WORKER_SLOT_LISTENERS];
    struct address compat;
    if (!index)
        return;
    take_out(index, &l->bound, l);
    if (compat_of(l, &compat))
        take_out(index, &compat, l);
    if (!list_empty(&w->listeners))
        return;
    map_fini(&index->by_address);
    free(index);
    w->slots[WORKER_SLOT_LISTENERS] = NULL;
}

static struct listener *look_up(const struct listener *from, const struct address *a)
{
    const struct listener_index *index = from->worker->slots[WORKER_SLOT_LISTENERS];
    char bytes[KEY_BYTES];
    struct slice key = key_of(a, bytes);
    struct listener *l = index && key.len ? map_get(&index->by_address, key) : NULL;
    return l && (l->open || !from->open) ? l : NULL;
}

struct listener *listener_find(const struct listener *from, const struct address *address)
{
    struct listener *l = look_up(from, address);
    if (l)
        return l;
    struct address any = wildcard_of(address, is_v4(address) ? AF_INET : AF_INET6);
    return look_up(from, &any);
}
