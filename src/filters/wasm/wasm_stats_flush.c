/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flush: one snapshot of all counters and gauges that were ever used, in Envoy's layout, for all sinks.
 * Deltas are since the flush before, by whomever counters were reset meanwhile. Histograms are not in it, as
 * in Envoy.
 *
 *   twice (counters: type 1, gauges: type 2):
 *     u32 size of the block, these 12 bytes included; u32 type; u32 items
 *     items x { u32 length, name, padding to 8 bytes from the start, u64 value, [counters: u64 delta] }
 */
#include "filters/wasm/wasm_stats_flush.h"

#include "base/assert.h"
#include "base/strbuf.h"
#include "filters/wasm/wasm_group.h"
#include "filters/wasm/wasm_vm.h"
#include "telemetry/log.h"

#include <endian.h>
#include <stdlib.h>

/* The largest snapshot: a guest must take it into its memory at once. */
#define SNAPSHOT_BYTES_MAX (64u << 20)

struct wasm_stats_flush {
    struct worker *worker;
    struct wasm_plugin *const *sinks;
    size_t sinks_count;
    uint64_t interval_ms;
    struct timer timer;
    uint64_t *last; /* values of counters at the flush before, by stat_id */
    size_t last_count;
    bool out_of_memory;
    /* the snapshot under way */
    struct strbuf out;
    bool gauges;
    uint32_t items;
};

static void put_u32(struct strbuf *b, uint64_t n)
{
    uint32_t le = htole32((uint32_t)n);
    strbuf_append(b, slice_of(&le, sizeof(le)));
}

static void put_u64(struct strbuf *b, uint64_t n)
{
    n = htole64(n);
    strbuf_append(b, slice_of(&n, sizeof(n)));
}

static void set_u32(struct strbuf *b, size_t at, size_t n)
{
    uint32_t le = htole32((uint32_t)n);
    if (!b->failed)
        memcpy(b->ptr + at, &le, sizeof(le));
}

/* What the counter has grown by; remembers its value. */
static uint64_t delta_of(struct wasm_stats_flush *f, const struct stat_view *v)
{
    if (v->id >= f->last_count) {
        size_t count = (size_t)v->id + STATS_PAGE_SLOTS;
        uint64_t *last = realloc(f->last, count * sizeof(*last));
        if (!last) {
            f->out_of_memory = true;
            return 0;
        }
        memset(last + f->last_count, 0, (count - f->last_count) * sizeof(*last));
        f->last = last;
        f->last_count = count;
    }
    uint64_t before = f->last[v->id];
    f->last[v->id] = v->value;
    return v->value >= before ? v->value - before : v->value; /* smaller: it was reset */
}

static void add_stat(void *arg, const struct stat_view *v)
{
    struct wasm_stats_flush *f = arg;
    bool gauge = v->type == STAT_GAUGE || v->type == STAT_SHARED_GAUGE;
    if (!v->used || v->type == STAT_HISTOGRAM || gauge != f->gauges)
        return;
    put_u32(&f->out, v->name.len);
    strbuf_append(&f->out, v->name);
    while (f->out.len % sizeof(uint64_t) != 0 && strbuf_append_char(&f->out, '\0')) {
    }
    put_u64(&f->out, v->value);
    if (!gauge)
        put_u64(&f->out, delta_of(f, v));
    f->items++;
}

static void add_block(struct wasm_stats_flush *f, bool gauges)
{
    size_t start = f->out.len;
    f->gauges = gauges;
    f->items = 0;
    put_u32(&f->out, 0);
    put_u32(&f->out, gauges ? 2 : 1);
    put_u32(&f->out, 0);
    stats_for_each(add_stat, f);
    set_u32(&f->out, start, f->out.len - start);
    set_u32(&f->out, start + 8, f->items);
}

static void flush_fired(struct timer *timer)
{
    struct wasm_stats_flush *f = WEIR_CONTAINER_OF(timer, struct wasm_stats_flush, timer);
    strbuf_reset(&f->out);
    add_block(f, false);
    add_block(f, true);
    if (f->out.failed || f->out_of_memory)
        log_write(WASM, ERROR, "statistics are not flushed: more than %u bytes, or memory is out",
                  SNAPSHOT_BYTES_MAX);
    for (size_t i = 0; !f->out.failed && i < f->sinks_count; i++) {
        const struct wasm_plugin *p = f->sinks[i];
        struct wasm_vm *vm = p->group->vms[f->worker->index];
        /* A root that is done is gone while others still have their time. */
        if (vm->state != WASM_VM_READY || !vm->instance.roots[p->index_in_group])
            continue;
        struct wasm_seat *seat = vm->seats[p->index_in_group];
        if (!wasm_seat_may_run(seat, f->worker->loop.now_ms))
            seat->counts.calls_skipped++;
        else
            pw_root_stats_update(vm->instance.roots[p->index_in_group],
                                 (struct pw_slice){f->out.ptr, f->out.len});
    }
    timer_set(&f->worker->loop, timer, f->interval_ms);
}

struct wasm_stats_flush *wasm_stats_flush_create(struct worker *worker, struct wasm_plugin *const *sinks,
                                                 size_t count, uint64_t interval_ms)
{
    struct wasm_stats_flush *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->worker = worker;
    f->sinks = sinks;
    f->sinks_count = count;
    f->interval_ms = interval_ms;
    strbuf_init(&f->out, SNAPSHOT_BYTES_MAX);
    timer_init(&f->timer, flush_fired);
    timer_set(&worker->loop, &f->timer, interval_ms);
    return f;
}

void wasm_stats_flush_destroy(struct wasm_stats_flush **flush)
{
    struct wasm_stats_flush *f = *flush;
    *flush = NULL;
    if (!f)
        return;
    timer_stop(&f->worker->loop, &f->timer);
    strbuf_fini(&f->out);
    free(f->last);
    free(f);
}
