/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registration and reading of statistics, and the slow path of counting. The fast path is inline in stats.h.
 * Must never move or free a page while a thread may count on it: pages live until stats_fini.
 */
#include "telemetry/stats.h"

#include "base/assert.h"
#include "base/map.h"
#include "telemetry/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A histogram's slots: its buckets, then count and sum. */
#define HISTOGRAM_COUNT STAT_HISTOGRAM_BUCKETS
#define HISTOGRAM_SUM   (STAT_HISTOGRAM_BUCKETS + 1)
#define HISTOGRAM_SLOTS (STAT_HISTOGRAM_BUCKETS + 2)
#define PAGES           (STATS_MAX / STATS_PAGE_SLOTS)
/* Threads that count: workers, main, admin, log, pool threads; far above any core count. */
#define SHARDS_MAX 4096

const double stat_histogram_bounds[STAT_HISTOGRAM_BUCKETS - 1] = {
    0.5,  1,    5,     10,    25,    50,     100,    250,     500,    1000,
    2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000};

struct stat {
    char *name;
    size_t name_len;
    stat_id id;
    enum stat_type type;
    _Atomic uint64_t shared; /* value of a shared gauge */
    _Atomic bool shared_used;
    uint64_t base; /* what a counter had at the last reset */
};

/* All of it under `lock`, except what the fast path reads: shard pages and, by id, `shared`. */
static struct {
    pthread_mutex_t lock;
    struct map by_name; /* name -> struct stat */
    struct stat **sorted;
    size_t count;
    size_t sorted_cap;
    bool sorted_stale;
    _Atomic(struct stat *) by_id[STATS_MAX];
    uint32_t next_id;
    struct stats_shard *shards[SHARDS_MAX];
    size_t shard_count;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER, .next_id = 1};

__thread struct stats_shard *stats_shard_self;
/* Threads beyond SHARDS_MAX, and counting when memory is out, land here: lost, but harmless. */
static __thread _Atomic uint64_t slot_of_last_resort[HISTOGRAM_SLOTS];

static struct stats_shard *shard_create_locked(void)
{
    if (registry.shard_count == SHARDS_MAX)
        return NULL;
    struct stats_shard *shard = calloc(1, sizeof(*shard));
    if (shard)
        registry.shards[registry.shard_count++] = shard;
    return shard;
}

_Atomic uint64_t *stats_slot_slow(stat_id id)
{
    WEIR_ASSERT(id < STATS_MAX);
    pthread_mutex_lock(&registry.lock);
    if (!stats_shard_self)
        stats_shard_self = shard_create_locked();
    _Atomic uint64_t *page = NULL;
    if (stats_shard_self) {
        size_t at = id / STATS_PAGE_SLOTS;
        page = atomic_load_explicit(&stats_shard_self->pages[at], memory_order_relaxed);
        if (!page) {
            page = calloc(STATS_PAGE_SLOTS, sizeof(*page));
            /* Release: a reader that sees the page sees zeros in it. */
            atomic_store_explicit(&stats_shard_self->pages[at], page, memory_order_release);
        }
    }
    pthread_mutex_unlock(&registry.lock);
    return page ? &page[id % STATS_PAGE_SLOTS] : slot_of_last_resort;
}

static size_t slots_of(enum stat_type type)
{
    return type == STAT_HISTOGRAM ? HISTOGRAM_SLOTS : 1;
}

/* A histogram must not straddle two pages, so that one look-up serves all of its slots. */
static bool take_ids(enum stat_type type, stat_id *out)
{
    uint32_t id = registry.next_id;
    uint32_t slots = (uint32_t)slots_of(type);
    if (id % STATS_PAGE_SLOTS + slots > STATS_PAGE_SLOTS)
        id = (id / STATS_PAGE_SLOTS + 1) * STATS_PAGE_SLOTS;
    if (id + slots > STATS_MAX)
        return false;
    registry.next_id = id + slots;
    *out = id;
    return true;
}

static bool reserve_sorted(void)
{
    if (registry.count < registry.sorted_cap)
        return true;
    size_t cap = registry.sorted_cap ? registry.sorted_cap * 2 : 256;
    struct stat **sorted = realloc(registry.sorted, cap * sizeof(*sorted));
    if (!sorted)
        return false;
    registry.sorted = sorted;
    registry.sorted_cap = cap;
    return true;
}

static struct stat *stat_create_locked(struct slice name, enum stat_type type)
{
    struct stat *s = calloc(1, sizeof(*s));
    char *copy = malloc(name.len + 1);
    if (!s || !copy || !reserve_sorted() || !take_ids(type, &s->id) || !map_put(&registry.by_name, name, s)) {
        free(copy);
        free(s);
        return NULL;
    }
    memcpy(copy, name.ptr, name.len);
    copy[name.len] = '\0';
    s->name = copy;
    s->name_len = name.len;
    s->type = type;
    registry.sorted[registry.count++] = s;
    registry.sorted_stale = true;
    atomic_store_explicit(&registry.by_id[s->id], s, memory_order_release);
    return s;
}

static stat_id stat_register(enum stat_type type, const char *fmt, va_list args)
{
    char name[STATS_NAME_MAX];
    int n = vsnprintf(name, sizeof(name), fmt, args);
    if (n <= 0)
        return 0;
    struct slice key = slice_of(name, (size_t)n < sizeof(name) ? (size_t)n : sizeof(name) - 1);
    pthread_mutex_lock(&registry.lock);
    struct stat *s = map_get(&registry.by_name, key);
    if (!s)
        s = stat_create_locked(key, type);
    stat_id id = s && s->type == type ? s->id : 0;
    pthread_mutex_unlock(&registry.lock);
    if (id == 0)
        log_write(MAIN, WARN, "statistic %s is not counted: %s", name,
                  s ? "the name is in use with another type" : "too many statistics");
    return id;
}

#define STAT_DEFINE(function, type)                                                                          \
    stat_id function(const char *fmt, ...)                                                                   \
    {                                                                                                        \
        va_list args;                                                                                        \
        va_start(args, fmt);                                                                                 \
        stat_id id = stat_register(type, fmt, args);                                                         \
        va_end(args);                                                                                        \
        return id;                                                                                           \
    }
STAT_DEFINE(stat_counter, STAT_COUNTER)
STAT_DEFINE(stat_gauge, STAT_GAUGE)
STAT_DEFINE(stat_shared_gauge, STAT_SHARED_GAUGE)
STAT_DEFINE(stat_histogram, STAT_HISTOGRAM)
#undef STAT_DEFINE

static struct stat *stat_of(stat_id id)
{
    return id < STATS_MAX ? atomic_load_explicit(&registry.by_id[id], memory_order_acquire) : NULL;
}

void stat_set(stat_id id, uint64_t value)
{
    struct stat *s = stat_of(id);
    if (!s)
        return;
    WEIR_ASSERT(s->type == STAT_SHARED_GAUGE);
    atomic_store_explicit(&s->shared, value, memory_order_relaxed);
    atomic_store_explicit(&s->shared_used, true, memory_order_relaxed);
}

void stat_shared_add(stat_id id, int64_t delta)
{
    struct stat *s = stat_of(id);
    if (!s)
        return;
    WEIR_ASSERT(s->type == STAT_SHARED_GAUGE);
    atomic_fetch_add_explicit(&s->shared, (uint64_t)delta, memory_order_relaxed);
    atomic_store_explicit(&s->shared_used, true, memory_order_relaxed);
}

static void slot_add(_Atomic uint64_t *slot, uint64_t n)
{
    atomic_store_explicit(slot, atomic_load_explicit(slot, memory_order_relaxed) + n, memory_order_relaxed);
}

void stat_record(stat_id id, uint64_t value)
{
    if (id == 0)
        return;
    _Atomic uint64_t *slots = stats_slot(id);
    size_t bucket = 0;
    while (bucket < STAT_HISTOGRAM_BUCKETS - 1 && (double)value > stat_histogram_bounds[bucket])
        bucket++;
    slot_add(&slots[bucket], 1);
    slot_add(&slots[HISTOGRAM_COUNT], 1);
    slot_add(&slots[HISTOGRAM_SUM], value);
}

static uint64_t slot_sum_locked(uint32_t slot)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < registry.shard_count; i++) {
        _Atomic uint64_t *page =
            atomic_load_explicit(&registry.shards[i]->pages[slot / STATS_PAGE_SLOTS], memory_order_acquire);
        if (page)
            sum += atomic_load_explicit(&page[slot % STATS_PAGE_SLOTS], memory_order_relaxed);
    }
    return sum;
}

static void stat_read_locked(const struct stat *s, struct stat_view *view)
{
    *view = (struct stat_view){.id = s->id, .type = s->type, .name = slice_of(s->name, s->name_len)};
    if (s->type == STAT_SHARED_GAUGE) {
        view->value = atomic_load_explicit(&s->shared, memory_order_relaxed);
        view->used = atomic_load_explicit(&s->shared_used, memory_order_relaxed);
    } else if (s->type == STAT_HISTOGRAM) {
        for (uint32_t i = 0; i < STAT_HISTOGRAM_BUCKETS; i++)
            view->buckets[i] = slot_sum_locked(s->id + i);
        view->count = slot_sum_locked(s->id + HISTOGRAM_COUNT);
        view->sum = slot_sum_locked(s->id + HISTOGRAM_SUM);
        view->used = view->count > 0;
    } else {
        uint64_t sum = slot_sum_locked(s->id);
        view->value = sum - s->base;
        view->used = sum != 0;
    }
}

uint64_t stat_value(stat_id id)
{
    struct stat_view view = {0};
    struct stat *s = stat_of(id);
    if (!s)
        return 0;
    pthread_mutex_lock(&registry.lock);
    stat_read_locked(s, &view);
    pthread_mutex_unlock(&registry.lock);
    return s->type == STAT_HISTOGRAM ? view.count : view.value;
}

static int stat_order(const void *a, const void *b)
{
    const struct stat *x = *(struct stat *const *)a;
    const struct stat *y = *(struct stat *const *)b;
    return slice_cmp(slice_of(x->name, x->name_len), slice_of(y->name, y->name_len));
}

void stats_for_each(void (*fn)(void *arg, const struct stat_view *view), void *arg)
{
    pthread_mutex_lock(&registry.lock);
    if (registry.sorted_stale) {
        qsort(registry.sorted, registry.count, sizeof(struct stat *), stat_order);
        registry.sorted_stale = false;
    }
    for (size_t i = 0; i < registry.count; i++) {
        struct stat_view view;
        stat_read_locked(registry.sorted[i], &view);
        fn(arg, &view);
    }
    pthread_mutex_unlock(&registry.lock);
}

void stats_reset_counters(void)
{
    pthread_mutex_lock(&registry.lock);
    for (size_t i = 0; i < registry.count; i++) {
        struct stat *s = registry.sorted[i];
        if (s->type == STAT_COUNTER)
            s->base = slot_sum_locked(s->id);
    }
    pthread_mutex_unlock(&registry.lock);
}

void stats_fini(void)
{
    pthread_mutex_lock(&registry.lock);
    for (size_t i = 0; i < registry.count; i++) {
        atomic_store_explicit(&registry.by_id[registry.sorted[i]->id], NULL, memory_order_relaxed);
        free(registry.sorted[i]->name);
        free(registry.sorted[i]);
    }
    for (size_t i = 0; i < registry.shard_count; i++) {
        for (size_t p = 0; p < PAGES; p++)
            free(atomic_load_explicit(&registry.shards[i]->pages[p], memory_order_relaxed));
        free(registry.shards[i]);
    }
    free(registry.sorted);
    map_fini(&registry.by_name);
    registry.sorted = NULL;
    registry.count = registry.sorted_cap = registry.shard_count = 0;
    registry.next_id = 1;
    stats_shard_self = NULL;
    pthread_mutex_unlock(&registry.lock);
}
