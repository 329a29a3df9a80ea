/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics under Envoy's names. A stat is registered once, when configuration is built, and is a number
 * from then on. Each thread counts in a shard of its own with plain relaxed stores; readers sum the shards.
 * Counting never allocates after the first touch of a shard's page and never locks.
 */
#ifndef WEIR_TELEMETRY_STATS_H
#define WEIR_TELEMETRY_STATS_H

#include "base/slice.h"

#include <stdatomic.h>

/* A registered stat. 0 is "no stat": counting on it is a harmless no-op. */
typedef uint32_t stat_id;

enum stat_type { STAT_COUNTER, STAT_GAUGE, STAT_SHARED_GAUGE, STAT_HISTOGRAM };

#define STATS_MAX        (1u << 20) /* slots: 1 Mi numbers, histograms take several */
#define STATS_PAGE_SLOTS 1024u      /* 8 KiB of a shard are allocated at a time */
#define STATS_NAME_MAX   1024u

/*
 * Registration: from any thread, takes a lock, allocates. The same name and type give the same stat again; a
 * name that exists with another type, or one slot too many, gives 0 and one warning in the log.
 */
stat_id stat_counter(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Goes up and down on any thread by stat_add / stat_sub; the sum counts. */
stat_id stat_gauge(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* One atomic that can be set (stat_set) from any thread. */
stat_id stat_shared_gauge(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Milliseconds or other units; buckets are Envoy's defaults. */
stat_id stat_histogram(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The counting functions; the calling thread gets its shard at the first use. */
struct stats_shard {
    _Atomic(_Atomic uint64_t *) pages[STATS_MAX / STATS_PAGE_SLOTS];
};
extern __thread struct stats_shard *stats_shard_self;
_Atomic uint64_t *stats_slot_slow(stat_id id);

static inline _Atomic uint64_t *stats_slot(stat_id id)
{
    struct stats_shard *shard = stats_shard_self;
    if (__builtin_expect(shard != NULL, 1)) {
        _Atomic uint64_t *page =
            atomic_load_explicit(&shard->pages[id / STATS_PAGE_SLOTS], memory_order_relaxed);
        if (__builtin_expect(page != NULL, 1))
            return &page[id % STATS_PAGE_SLOTS];
    }
    return stats_slot_slow(id);
}

/* One writer per slot: a load and a store, no locked instruction. */
static inline void stat_add(stat_id id, uint64_t n)
{
    _Atomic uint64_t *slot = stats_slot(id);
    atomic_store_explicit(slot, atomic_load_explicit(slot, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline void stat_inc(stat_id id)
{
    stat_add(id, 1);
}
static inline void stat_sub(stat_id id, uint64_t n)
{
    stat_add(id, 0 - n);
}
static inline void stat_dec(stat_id id)
{
    stat_add(id, (uint64_t)0 - 1);
}
/* Shared gauges only. */
void stat_set(stat_id id, uint64_t value);
void stat_shared_add(stat_id id, int64_t delta);
/* Histograms only. */
void stat_record(stat_id id, uint64_t value);

/* Reading: sums over shards; other threads may be counting. */
uint64_t stat_value(stat_id id);

#define STAT_HISTOGRAM_BUCKETS 20
/* Upper bounds (inclusive) of all buckets but the last, which is infinity. Values in the unit of the stat,
 * halves exist in Envoy's list (0.5) and are rounded down to 0 here. */
extern const double stat_histogram_bounds[STAT_HISTOGRAM_BUCKETS - 1];

struct stat_view {
    stat_id id;
    enum stat_type type;
    struct slice name;
    bool used;      /* counted at least once */
    uint64_t value; /* counter, gauge (as int64) */
    uint64_t sum;   /* histogram */
    uint64_t count;
    uint64_t buckets[STAT_HISTOGRAM_BUCKETS]; /* not cumulative */
};
/* Calls `fn` for every stat in order of name. [any thread] */
void stats_for_each(void (*fn)(void *arg, const struct stat_view *view), void *arg);
/* Envoy's /reset_counters: counters read as 0 from now on. */
void stats_reset_counters(void);
/* Frees everything; no thread may count any more. For tests and the end of main. */
void stats_fini(void);

#endif
