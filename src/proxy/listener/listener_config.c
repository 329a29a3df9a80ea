/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a listener's resource: defaults, sealing, references.
 */
#include "proxy/listener/listener_config.h"

#include "base/assert.h"
#include "base/refs.h"

#include <stdio.h>
#include <stdlib.h>

const struct filter_chain filter_chain_unknown;

struct listener_config *listener_config_create(void)
{
    struct listener_config *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    atomic_init(&l->refs, 1);
    arena_init(&l->arena, LISTENER_CONFIG_BYTES_MAX, NULL);
    l->per_connection_buffer_limit_bytes = 1u << 20;
    l->bind_to_port = true;
    l->reuse_port = true;
    l->backlog = 4096;
    l->accepts_per_event_max = 64;
    l->filters_timeout_ms = 15000;
    return l;
}

enum filter_chain_index_result listener_config_index(struct listener_config *l)
{
    const struct filter_chain_match **matches =
        calloc(l->chains_count, sizeof(const struct filter_chain_match *));
    if (!matches && l->chains_count > 0)
        return FILTER_CHAIN_INDEX_NO_MEMORY;
    for (size_t i = 0; i < l->chains_count; i++)
        matches[i] = &l->chains[i].match;
    enum filter_chain_index_result r =
        filter_chain_index(matches, l->chains_count, &l->arena, &l->chain_index);
    free(matches);
    return r;
}

const struct listener_address *listener_config_address(const struct listener_config *l, size_t i)
{
    WEIR_ASSERT(i <= l->more_count);
    return i == 0 ? &l->main : &l->more[i - 1];
}

size_t listener_config_stat_prefix(const struct listener_config *l, char *dst, size_t size)
{
    char text[ADDRESS_TEXT_MAX];
    struct slice p = l->stat_prefix.len ? l->stat_prefix : slice_str(address_format(&l->main.where, text));
    int n = snprintf(dst, size, "listener." SLICE_FMT ".", SLICE_ARG(p));
    for (size_t i = 0; l->stat_prefix.len == 0 && dst[i]; i++) /* Envoy: "listener.127.0.0.1_8080." */
        dst[i] = dst[i] == ':' ? '_' : dst[i];
    return (size_t)n < size ? (size_t)n : size - 1;
}

bool listener_config_limit(struct listener_config *l, uint64_t max)
{
    l->connections_max = max;
    if (!l->open)
        l->open = calloc(1, sizeof(*l->open));
    return l->open != NULL;
}

void listener_config_seal(struct listener_config *l)
{
    enum filter_chain_index_result indexed =
        l->chain_index || l->matcher.root ? FILTER_CHAIN_INDEX_OK : listener_config_index(l);
    WEIR_ASSERT(indexed == FILTER_CHAIN_INDEX_OK);
    char prefix[STATS_NAME_MAX / 2];
    listener_config_stat_prefix(l, prefix, sizeof(prefix));
#define LISTENER_STAT_X(stat, kind) l->stats.stat = stat_##kind("%s" #stat, prefix);
    LISTENER_STATS(LISTENER_STAT_X)
#undef LISTENER_STAT_X
    for (size_t i = 0; i <= l->chains_count; i++) {
        const struct filter_chain *c = i < l->chains_count ? &l->chains[i] : l->default_chain;
        if (c && c->hcm)
            hcm_config_seal_listener(c->hcm, prefix);
    }
}

const struct listener_config *listener_config_ref(const struct listener_config *l)
{
    struct listener_config *own = (struct listener_config *)(uintptr_t)l;
    refs_take(&own->refs);
    return l;
}

static void filter_chain_fini(struct filter_chain *c)
{
    for (size_t i = 0; i < c->network_count; i++) {
        if (c->network[i].destroy)
            c->network[i].destroy((void *)(uintptr_t)c->network[i].config);
    }
    tls_config_unref(&c->tls);
    hcm_config_unref(&c->hcm);
    tcp_proxy_config_unref(&c->tcp);
}

void listener_config_unref(const struct listener_config **config)
{
    struct listener_config *l = (struct listener_config *)(uintptr_t)*config;
    *config = NULL;
    if (!l)
        return;
    if (!refs_drop(&l->refs))
        return;
    for (size_t i = 0; i < l->access_logs_count; i++)
        l->access_logs[i]->destroy(l->access_logs[i]);
    for (size_t i = 0; i < l->chains_count; i++)
        filter_chain_fini(&l->chains[i]);
    if (l->default_chain)
        filter_chain_fini(l->default_chain);
    for (size_t i = 0; i < l->filters_count; i++) {
        if (l->filters[i].ops->destroy)
            l->filters[i].ops->destroy((void *)(uintptr_t)l->filters[i].config);
    }
    match_tree_fini(&l->matcher);
    arena_fini(&l->arena);
    free(l->open);
    free(l);
}
