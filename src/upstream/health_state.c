/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envoy's rules for active health checks: the first result counts at once; an answer that fails ejects at
 * once; network failures and retriable statuses eject after unhealthy_threshold of them.
 */
#include "upstream/health_state.h"

const char *health_failure_name(enum health_failure failure)
{
    static const char *const names[] = {
#define HEALTH_FAILURE_X(name) #name,
        HEALTH_FAILURES(HEALTH_FAILURE_X)
#undef HEALTH_FAILURE_X
    };
    return names[failure];
}

/* A host that was left out until its first check now counts, whatever came of it. */
static void clear_pending(struct health_state *s, struct health_outcome *o)
{
    if (s->pending)
        o->change = HEALTH_CHANGED;
    s->pending = false;
}

struct health_outcome health_state_passed(struct health_state *s, const struct health_config *config,
                                          bool degraded)
{
    struct health_outcome o = {.change = HEALTH_SAME, .first = s->first};
    s->unhealthy_count = 0;
    if (s->failed) {
        if (s->first || ++s->healthy_count == config->healthy_threshold) {
            s->failed = false;
            s->timeout = false;
            o.added = true;
            o.change = HEALTH_CHANGED;
        } else {
            o.change = HEALTH_PENDING;
        }
    }
    clear_pending(s, &o);
    if (degraded != s->degraded) {
        s->degraded = degraded;
        o.degraded = degraded;
        o.degraded_over = !degraded;
        if (o.change == HEALTH_SAME)
            o.change = HEALTH_CHANGED;
    }
    s->first = false;
    return o;
}

struct health_outcome health_state_failed(struct health_state *s, const struct health_config *config,
                                          enum health_failure failure, bool retriable)
{
    struct health_outcome o = {.change = HEALTH_SAME, .first = s->first};
    bool counted =
        failure == HEALTH_FAILURE_NETWORK || failure == HEALTH_FAILURE_NETWORK_TIMEOUT || retriable;
    s->healthy_count = 0;
    if (!s->failed) {
        if (!counted || ++s->unhealthy_count == config->unhealthy_threshold) {
            s->failed = true;
            o.ejected = true;
            o.change = HEALTH_CHANGED;
        } else {
            o.change = HEALTH_PENDING;
        }
    }
    s->timeout = s->failed && failure == HEALTH_FAILURE_NETWORK_TIMEOUT;
    clear_pending(s, &o);
    s->first = false;
    return o;
}

uint64_t health_interval_ms(const struct health_config *config, bool passed, enum health_change change,
                            bool used, uint64_t (*draw)(void *arg, uint64_t bound), void *arg)
{
    bool edge = change == HEALTH_PENDING;
    uint64_t ms;
    if (!used)
        ms = passed && !edge ? config->no_traffic_healthy_interval_ms : config->no_traffic_interval_ms;
    else if (passed)
        ms = edge ? config->healthy_edge_interval_ms : config->interval_ms;
    else
        ms = edge ? config->unhealthy_edge_interval_ms : config->unhealthy_interval_ms;
    uint64_t percent = config->interval_jitter_percent * ms / 100;
    if (percent > 0)
        ms += draw(arg, percent);
    if (config->interval_jitter_ms > 0)
        ms += draw(arg, config->interval_jitter_ms);
    if (config->interval_most_ms > 0 && ms > config->interval_most_ms)
        ms = config->interval_most_ms;
    if (ms < config->interval_least_ms)
        ms = config->interval_least_ms;
    return ms > 0 ? ms : 1;
}
