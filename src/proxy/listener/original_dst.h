/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listener filter original_dst: where a connection wanted to go before a firewall rule (iptables
 * REDIRECT) sent it here becomes its local address.
 */
#ifndef WEIR_PROXY_ORIGINAL_DST_H
#define WEIR_PROXY_ORIGINAL_DST_H

#include "proxy/listener/listener_filter.h"

void original_dst_init(struct listener_filter_config *f);

#endif
