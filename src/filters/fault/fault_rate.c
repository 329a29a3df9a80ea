/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As Envoy's limiter: it begins with what passes in 50 ms, and never saves more than a second's share.
 */
#include "filters/fault/fault_rate.h"

#include "net/worker.h"
#include "proxy/stream.h"

#define TICK_MS   50u
#define SECOND_MS 1000u

static struct loop *loop_of(const struct fault_rate *r)
{
    return &r->filter->stream->worker->loop;
}

/* How many bytes may pass now. */
static uint64_t allowance(struct fault_rate *r)
{
    const uint64_t now = loop_of(r)->now_ms, most = r->bytes_per_s * SECOND_MS;
    if (r->since_ms == 0) {
        r->credit = r->bytes_per_s * TICK_MS;
    } else {
        uint64_t ms = now - r->since_ms < SECOND_MS ? now - r->since_ms : SECOND_MS;
        r->credit = r->credit + r->bytes_per_s * ms < most ? r->credit + r->bytes_per_s * ms : most;
    }
    r->since_ms = now;
    return r->credit / SECOND_MS;
}

/* What is held goes on as far as it may; the rest is held anew, which holds the sender back again. */
static void tick(struct timer *timer)
{
    struct fault_rate *r = WEIR_CONTAINER_OF(timer, struct fault_rate, timer);
    struct filter *f = r->filter;
    struct header_map *trailers = r->trailers;
    const bool end = r->end;
    uint64_t bytes = allowance(r);
    struct chain now, later;
    chain_init(&now);
    chain_init(&later);
    bytes = bytes < r->held.bytes ? bytes : r->held.bytes;
    const bool all = bytes == r->held.bytes;
    r->credit -= bytes * SECOND_MS;
    r->trailers = NULL;
    r->end = false;
    if (!chain_move(&now, &r->held, bytes) || !chain_move(&later, &r->held, r->held.bytes)) {
        filter_reset_stream(f, "filter_buffer_out_of_memory");
    } else {
        r->passing = true;
        filter_offer(f, true, &now, all ? trailers : NULL, all && end);
        r->passing = false;
        if (!all && !f->destroyed)
            filter_offer(f, true, &later, trailers, end);
    }
    chain_fini(&now);
    chain_fini(&later);
}

void fault_rate_init(struct fault_rate *r, struct filter *f)
{
    r->filter = f;
    chain_init(&r->held);
    timer_init(&r->timer, tick);
}

void fault_rate_begin(struct fault_rate *r, uint64_t kib_per_s)
{
    r->bytes_per_s = kib_per_s * 1024;
}

void fault_rate_fini(struct fault_rate *r)
{
    timer_stop(loop_of(r), &r->timer);
    chain_fini(&r->held);
}

static void arm(struct fault_rate *r)
{
    if (!timer_active(&r->timer))
        timer_set(loop_of(r), &r->timer, r->since_ms == 0 ? 1 : TICK_MS);
}

enum filter_data_status fault_rate_data(struct fault_rate *r, struct chain *data, bool end)
{
    if (r->bytes_per_s == 0 || r->passing)
        return FILTER_DATA_CONTINUE;
    if (!chain_move(&r->held, data, data->bytes)) {
        filter_reset_stream(r->filter, "filter_buffer_out_of_memory");
        return FILTER_DATA_STOP_NO_BUFFER;
    }
    r->end = end;
    arm(r);
    return FILTER_DATA_LATER;
}

enum filter_trailers_status fault_rate_trailers(struct fault_rate *r, struct header_map *trailers)
{
    if (r->bytes_per_s == 0 || r->passing || chain_empty(&r->held))
        return FILTER_TRAILERS_CONTINUE;
    r->trailers = trailers;
    r->end = true;
    return FILTER_TRAILERS_LATER;
}
