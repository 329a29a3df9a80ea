/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token for each connection, over all workers. Never keeps anything of a connection.
 */
#include "proxy/listener/connection_rate.h"

#include "base/clock.h"
#include "base/refs.h"
#include "proxy/listener/network_chain.h"

#include <stdlib.h>

struct connection_rate {
    atomic_uint refs;
    struct token_rate rate;
    struct token_bucket bucket;
};

/* Of one filter. */
struct rate_filter {
    struct connection_rate *shared; /* owned reference */
    stat_id rate_limited;
};

struct connection_rate *connection_rate_create(struct token_rate rate)
{
    struct connection_rate *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    atomic_init(&r->refs, 1);
    r->rate = rate;
    return r;
}

struct connection_rate *connection_rate_ref(struct connection_rate *r)
{
    refs_take(&r->refs);
    return r;
}

void connection_rate_unref(struct connection_rate **rate)
{
    struct connection_rate *r = *rate;
    *rate = NULL;
    if (r && refs_drop(&r->refs))
        free(r);
}

static bool within(const struct rate_filter *f)
{
    if (token_bucket_take(&f->shared->bucket, &f->shared->rate, monotonic_ns(), 1))
        return true;
    stat_inc(f->rate_limited);
    return false;
}

static struct rate_filter *create(stat_id rate_limited, struct connection_rate *r)
{
    struct rate_filter *f = calloc(1, sizeof(*f));
    if (!f) {
        connection_rate_unref(&r);
        return NULL;
    }
    *f = (struct rate_filter){r, rate_limited};
    return f;
}

static void destroy(void *config)
{
    struct rate_filter *f = config;
    connection_rate_unref(&f->shared);
    free(f);
}

/* --- the network filter --- */

static enum network_status new_connection(struct network_filter *f)
{
    if (within(f->config->config))
        return NETWORK_CONTINUE;
    /* Envoy's flag for it. */
    stream_info_flag(&f->chain->stream.info, RESPONSE_FLAG(UPSTREAM_RETRY_LIMIT_EXCEEDED));
    network_filter_close(f, CONN_CLOSE_NOW);
    return NETWORK_STOP;
}

static const struct network_filter_ops network_ops = {.name = "local_ratelimit",
                                                      .new_connection = new_connection};

bool connection_rate_network_init(struct network_filter_config *f, struct slice stat_prefix,
                                  struct connection_rate *r)
{
    *f = (struct network_filter_config){
        .ops = &network_ops,
        .config =
            create(stat_counter("local_rate_limit." SLICE_FMT ".rate_limited", SLICE_ARG(stat_prefix)), r),
        .name = SLICE_LIT("local_ratelimit"),
        .destroy = destroy};
    return f->config != NULL;
}

/* --- the listener filter --- */

static enum listener_filter_status look(const void *config, struct listener_look *look)
{
    (void)look;
    return within(config) ? LISTENER_FILTER_CONTINUE : LISTENER_FILTER_CLOSE;
}

static const struct listener_filter_ops listener_ops = {
    .name = "local_ratelimit", .look = look, .destroy = destroy};

bool connection_rate_listener_init(struct listener_filter_config *f, struct slice stat_prefix,
                                   struct connection_rate *r)
{
    f->ops = &listener_ops;
    f->config = create(
        stat_counter("listener_local_ratelimit." SLICE_FMT ".rate_limited", SLICE_ARG(stat_prefix)), r);
    return f->config != NULL;
}
