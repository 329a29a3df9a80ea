/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS statistics: registration, and the small tables from cipher numbers to counters. The tables only grow;
 * two threads that meet at a new key both register the same name and get the same counter.
 */
#include "net/tls_stats.h"

#include "base/assert.h"
#include "base/refs.h"

#include <stdio.h>
#include <stdlib.h>

struct tls_stats *tls_stats_create(struct slice prefix)
{
    struct tls_stats *s = calloc(1, sizeof(*s));
    char *text = malloc(prefix.len + sizeof("ssl."));
    if (!s || !text) {
        free(s);
        free(text);
        return NULL;
    }
    (void)snprintf(text, prefix.len + sizeof("ssl."), "%.*sssl.", (int)prefix.len, prefix.ptr);
    atomic_init(&s->refs, 1);
    s->prefix = text;
#define TLS_STAT_X(name) s->name = stat_counter("%s" #name, text);
    TLS_STATS(TLS_STAT_X)
#undef TLS_STAT_X
    return s;
}

struct tls_stats *tls_stats_ref(struct tls_stats *s)
{
    refs_take(&s->refs);
    return s;
}

void tls_stats_unref(struct tls_stats **stats)
{
    struct tls_stats *s = *stats;
    *stats = NULL;
    if (!s)
        return;
    if (!refs_drop(&s->refs))
        return;
    free(s->prefix);
    free(s);
}

void tls_stats_count(struct tls_stats *s, struct tls_stats_kind *kind, const char *kind_name, uint32_t key,
                     const char *name)
{
    if (key == 0 || !name)
        return;
    for (size_t i = 0; i < TLS_STATS_KINDS_MAX; i++) {
        uint32_t found = atomic_load_explicit(&kind->keys[i], memory_order_acquire);
        if (found == key) {
            /* 0 for a moment when another thread is just registering it: one count is late by nothing. */
            stat_id id = atomic_load_explicit(&kind->ids[i], memory_order_acquire);
            stat_inc(id ? id : stat_counter("%s%s.%s", s->prefix, kind_name, name));
            return;
        }
        if (found != 0)
            continue;
        stat_id id = stat_counter("%s%s.%s", s->prefix, kind_name, name);
        if (atomic_compare_exchange_strong(&kind->keys[i], &found, key)) {
            atomic_store_explicit(&kind->ids[i], id, memory_order_release);
            stat_inc(id);
            return;
        }
        if (found == key) {
            stat_inc(id);
            return;
        }
    }
}

void tls_stats_expiration(const struct tls_stats *s, struct slice name, int64_t seconds)
{
    stat_set(stat_shared_gauge("%scertificate." SLICE_FMT ".expiration_unix_time_seconds", s->prefix,
                               SLICE_ARG(name)),
             seconds > 0 ? (uint64_t)seconds : 0);
}
