/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network filter and the listener filter that limit how fast connections come. Filters with the same
 * share_key and equal buckets have one in common.
 */
#include "config/builder.h"

#include "proxy/listener/connection_rate.h"

#include <envoy/extensions/filters/listener/local_ratelimit/v3/local_ratelimit.pb-c.h>
#include <envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit.pb-c.h>

typedef Envoy__Extensions__Filters__Network__LocalRatelimit__V3__LocalRateLimit network_message;
typedef Envoy__Extensions__Filters__Listener__LocalRatelimit__V3__LocalRateLimit listener_message;

/* The bucket of that name, which the builder keeps for others until its end. NULL: memory is out. */
static struct connection_rate *shared(struct builder *b, struct slice name, struct token_rate rate)
{
    struct connection_rate *r = map_get(&b->connection_rates, name);
    if (!r) {
        r = connection_rate_create(rate);
        if (!r || !map_put(&b->connection_rates, name, r)) {
            connection_rate_unref(&r);
            return NULL;
        }
    }
    return connection_rate_ref(r);
}

/* One reference; NULL: the filter is off, or after an error. */
static struct connection_rate *rate_of(struct builder *b, const ProtobufCMessage *in,
                                       const Envoy__Type__V3__TokenBucket *bucket,
                                       const Envoy__Config__Core__V3__RuntimeFeatureFlag *on,
                                       const char *share_key)
{
    struct token_rate rate;
    bool enabled = !on || builder_runtime_flag(b, on);
    if (!bucket || !builder_token_bucket(b, bucket, &rate) || !enabled)
        return NULL;
    char *name = arena_printf(&b->scratch, "%llu %llu %s", (unsigned long long)rate.token,
                              (unsigned long long)rate.capacity, share_key);
    struct connection_rate *r = !name          ? NULL
                                : share_key[0] ? shared(b, slice_str(name), rate)
                                               : connection_rate_create(rate);
    if (!r)
        config_error_at(b->doc, b->diag, in, NULL, -1, "out of memory");
    return r;
}

void builder_connection_rates_fini(struct builder *b)
{
    size_t cursor = 0;
    for (struct map_entry *e; (e = map_next(&b->connection_rates, &cursor)) != NULL;) {
        struct connection_rate *r = e->value;
        connection_rate_unref(&r);
    }
    map_fini(&b->connection_rates);
}

bool builder_is_connection_rate(const ProtobufCMessage *config)
{
    return config->descriptor ==
           &envoy__extensions__filters__network__local_ratelimit__v3__local_rate_limit__descriptor;
}

bool builder_connection_rate(struct builder *b, const ProtobufCMessage *msg,
                             struct network_filter_config *out)
{
    const network_message *in = (const network_message *)msg;
    struct connection_rate *r = rate_of(b, msg, in->token_bucket, in->runtime_enabled, in->share_key);
    if (!r)
        return false;
    if (connection_rate_network_init(out, slice_str(in->stat_prefix), r))
        return true;
    builder_error(b, in, NULL, "out of memory");
    return false;
}

bool builder_is_listener_rate(const ProtobufCMessage *config)
{
    return config->descriptor ==
           &envoy__extensions__filters__listener__local_ratelimit__v3__local_rate_limit__descriptor;
}

bool builder_listener_rate(struct builder *b, const ProtobufCMessage *msg, struct listener_filter_config *out)
{
    const listener_message *in = (const listener_message *)msg;
    struct connection_rate *r = rate_of(b, msg, in->token_bucket, in->runtime_enabled, "");
    if (!r)
        return false;
    if (connection_rate_listener_init(out, slice_str(in->stat_prefix), r))
        return true;
    builder_error(b, in, NULL, "out of memory");
    return false;
}
