/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RBAC per connection. A denied connection is closed at once, or is left alone for a while before, so that
 * who tries again and again is slowed down.
 */
#include "filters/rbac/rbac_network.h"

#include "net/worker.h"
#include "proxy/dynamic_metadata.h"
#include "proxy/listener/network_chain.h"
#include "telemetry/log.h"

struct checked {
    struct network_filter *filter;
    bool asked;
    bool allowed;
    bool denied; /* waits for its close */
    struct timer delay;
};

static const struct rbac_network *config_of(const struct network_filter *f)
{
    return f->config->config;
}

static void delay_over(struct timer *t)
{
    struct checked *c = WEIR_CONTAINER_OF(t, struct checked, delay);
    network_filter_close(c->filter, CONN_CLOSE_NOW);
}

static void init(struct network_filter *f)
{
    struct checked *c = f->state;
    c->filter = f;
    timer_init(&c->delay, delay_over);
}

static bool ask(const struct network_filter *f)
{
    const struct rbac_engine *engine = &config_of(f)->engine;
    const struct rbac_pair *pair = &engine->own;
    struct stream *s = network_filter_stream(f);
    struct rbac_fields fields = {.count = 0};
    rbac_log_subject(s, NULL);
    if (pair->shadow.rules) {
        rbac_engine_ask(engine, &pair->shadow, true, s, NULL, &fields);
        dynamic_metadata_put(&s->info, &s->arena, SLICE_LIT("envoy.filters.network.rbac"), fields.items,
                             fields.count);
    }
    if (!pair->enforced.rules) {
        log_write(RBAC, DEBUG, "no engine, allowed by default");
        return true;
    }
    struct rbac_verdict v = rbac_engine_ask(engine, &pair->enforced, false, s, NULL, &fields);
    if (!v.allowed)
        s->info.connection_termination_details = rbac_denied_details(v);
    return v.allowed;
}

static void deny(struct network_filter *f)
{
    struct checked *c = f->state;
    uint64_t delay_ms = config_of(f)->delay_ms;
    if (delay_ms == 0) {
        network_filter_close(f, CONN_CLOSE_NOW);
        return;
    }
    c->denied = true;
    network_filter_pause_reading(f, true);
    timer_set(&f->chain->worker->loop, &c->delay, delay_ms);
}

static enum network_status on_data(struct network_filter *f, enum network_direction direction,
                                   struct chain *data, bool end)
{
    struct checked *c = f->state;
    (void)data;
    (void)end;
    if (direction == NETWORK_UPSTREAM_DATA)
        return NETWORK_CONTINUE;
    if (c->denied)
        return NETWORK_STOP;
    if (!c->asked || config_of(f)->continuous) {
        c->asked = true;
        c->allowed = ask(f);
    }
    if (c->allowed)
        return NETWORK_CONTINUE;
    deny(f);
    return NETWORK_STOP;
}

static void gone(struct network_filter *f)
{
    struct checked *c = f->state;
    timer_stop(&f->chain->worker->loop, &c->delay);
}

const struct network_filter_ops rbac_network_ops = {
    .name = "envoy.filters.network.rbac",
    .state_bytes = sizeof(struct checked),
    .init = init,
    .data = on_data,
    .destroy = gone,
};
