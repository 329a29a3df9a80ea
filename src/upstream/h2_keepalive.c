/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers of connection_keepalive. Never touches the connection itself.
 */
#include "upstream/h2_keepalive.h"

#include "base/assert.h"

static void arm(struct h2_keepalive *k)
{
    uint64_t ms = k->config->interval_ms;
    if (ms == 0)
        return;
    if (k->config->jitter_percent) {
        /* The clock's low bits spread connections well enough; nothing depends on their quality. */
        uint64_t span = ms * k->config->jitter_percent / 100;
        uint64_t mix = ((uintptr_t)k >> 6 ^ k->loop->now_ms) * UINT64_C(0x9E3779B97F4A7C15) >> 32;
        ms += span ? mix % span : 0;
    }
    timer_set(k->loop, &k->timer, ms);
}

static void send_ping(struct h2_keepalive *k)
{
    if (timer_active(&k->timeout))
        return;
    k->ping(k);
    timer_set(k->loop, &k->timeout, k->config->timeout_ms);
}

static void on_timer(struct timer *t)
{
    struct h2_keepalive *k = WEIR_CONTAINER_OF(t, struct h2_keepalive, timer);
    /* Envoy: bytes that came within the interval are sign of life enough. */
    uint64_t quiet = k->loop->now_ms - k->active_ms;
    if (quiet < k->config->interval_ms)
        arm(k);
    else
        send_ping(k);
}

static void on_timeout(struct timer *t)
{
    struct h2_keepalive *k = WEIR_CONTAINER_OF(t, struct h2_keepalive, timeout);
    k->silent(k);
}

void h2_keepalive_init(struct h2_keepalive *k, struct loop *loop, const struct h2_keepalive_config *config,
                       void (*ping)(struct h2_keepalive *k), void (*silent)(struct h2_keepalive *k))
{
    if (config->interval_ms == 0 && config->idle_interval_ms == 0)
        return;
    *k = (struct h2_keepalive){.loop = loop, .config = config, .ping = ping, .silent = silent};
    timer_init(&k->timer, on_timer);
    timer_init(&k->timeout, on_timeout);
}

void h2_keepalive_start(struct h2_keepalive *k)
{
    if (!k->loop)
        return;
    k->active_ms = k->loop->now_ms;
    arm(k);
}

void h2_keepalive_stop(struct h2_keepalive *k)
{
    if (!k->loop)
        return;
    timer_stop(k->loop, &k->timer);
    timer_stop(k->loop, &k->timeout);
}

void h2_keepalive_pong(struct h2_keepalive *k)
{
    if (!k->loop || !timer_active(&k->timeout))
        return;
    timer_stop(k->loop, &k->timeout);
    arm(k);
}

void h2_keepalive_request(struct h2_keepalive *k)
{
    if (!k->loop || k->config->idle_interval_ms == 0)
        return;
    if (k->loop->now_ms - k->active_ms >= k->config->idle_interval_ms)
        send_ping(k);
}
