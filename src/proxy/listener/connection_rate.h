/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits how fast connections come, by a token bucket: the network filter and the listener filter
 * local_ratelimit. Who finds the bucket empty is closed at once.
 */
#ifndef WEIR_PROXY_CONNECTION_RATE_H
#define WEIR_PROXY_CONNECTION_RATE_H

#include "base/token_bucket.h"
#include "proxy/listener/listener_filter.h"
#include "proxy/listener/network_filter.h"

/* A bucket that several filters may share. */
struct connection_rate;

/* With one reference. NULL: memory is out. */
struct connection_rate *connection_rate_create(struct token_rate rate);
struct connection_rate *connection_rate_ref(struct connection_rate *r);
void connection_rate_unref(struct connection_rate **r);

/* Fill ops, config and destroy, and take the reference over, also when memory is out: false. */
bool connection_rate_network_init(struct network_filter_config *f, struct slice stat_prefix,
                                  struct connection_rate *r);
bool connection_rate_listener_init(struct listener_filter_config *f, struct slice stat_prefix,
                                   struct connection_rate *r);

#endif
