/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listener filter proxy_protocol: takes the PROXY header off a connection, and its addresses for the
 * connection's own.
 */
#ifndef WEIR_PROXY_PROXY_PROTOCOL_H
#define WEIR_PROXY_PROXY_PROTOCOL_H

#include "proxy/listener/listener_filter.h"

/* A TLV of this type goes into the connection's dynamic metadata under a name. */
struct proxy_protocol_rule {
    uint8_t type;
    struct slice space;
    struct slice key;
};

struct proxy_protocol_options {
    bool allow_without; /* a connection without a header is served as it is */
    bool v1_disallowed;
    bool v2_disallowed;
    struct slice stat_prefix;
    const struct proxy_protocol_rule *rules; /* kept by reference */
    size_t rules_count;
    bool pass_all; /* TLVs that upstreams may be told: all, or those whose bit is set */
    uint8_t pass[32];
};

/* Fills ops, config and bytes_max. False: memory is out. */
bool proxy_protocol_init(struct listener_filter_config *f, const struct proxy_protocol_options *options);

#endif
