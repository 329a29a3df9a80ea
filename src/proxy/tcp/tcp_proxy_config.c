/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a TCP proxy's resource: defaults, sealing, references. Nothing here runs per connection.
 */
#include "proxy/tcp/tcp_proxy_config.h"

#include "base/assert.h"
#include "base/refs.h"
#include "proxy/tcp/tcp_tunnel.h"

#include <stdlib.h>

struct tcp_proxy_config *tcp_proxy_config_create(void)
{
    struct tcp_proxy_config *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    atomic_init(&t->refs, 1);
    arena_init(&t->arena, TCP_PROXY_CONFIG_BYTES_MAX, NULL);
    t->connect_attempts_max = 1;
    t->idle_timeout_ms = 3600 * 1000;
    return t;
}

void tcp_proxy_config_seal(struct tcp_proxy_config *t)
{
    struct slice p = t->stat_prefix;
#define TCP_PROXY_STAT_X(stat, kind) t->stats.stat = stat_##kind("tcp." SLICE_FMT "." #stat, SLICE_ARG(p));
    TCP_PROXY_STATS(TCP_PROXY_STAT_X)
#undef TCP_PROXY_STAT_X
}

const struct tcp_proxy_config *tcp_proxy_config_ref(const struct tcp_proxy_config *t)
{
    struct tcp_proxy_config *own = (struct tcp_proxy_config *)(uintptr_t)t;
    refs_take(&own->refs);
    return t;
}

void tcp_proxy_config_unref(const struct tcp_proxy_config **config)
{
    struct tcp_proxy_config *t = (struct tcp_proxy_config *)(uintptr_t)*config;
    *config = NULL;
    if (!t)
        return;
    if (!refs_drop(&t->refs))
        return;
    for (size_t i = 0; i < t->access_logs_count; i++)
        t->access_logs[i]->destroy(t->access_logs[i]);
    if (t->tunnel)
        tcp_tunnel_config_fini(t->tunnel);
    arena_fini(&t->arena);
    free(t);
}
