/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which filter chain takes a connection: an index over the matches of one listener, one level per step of
 * Envoy's order. A connection goes down once and never back: the most specific key of a step decides.
 */
#ifndef WEIR_PROXY_FILTER_CHAIN_MATCH_H
#define WEIR_PROXY_FILTER_CHAIN_MATCH_H

#include "base/arena.h"
#include "net/address.h"

struct connection_facts;

enum source_type { SOURCE_ANY, SOURCE_SAME_IP_OR_LOOPBACK, SOURCE_EXTERNAL };

/* FilterChainMatch; empty members match everything. */
struct filter_chain_match {
    uint16_t destination_port; /* 0: any */
    const struct cidr *destination_ranges;
    size_t destination_ranges_count;
    const struct slice *server_names; /* lower case; "*.example.com": all below example.com */
    size_t server_names_count;
    struct slice transport_protocol; /* "raw_buffer", "tls" */
    const struct slice *application_protocols;
    size_t application_protocols_count;
    const struct cidr *direct_source_ranges;
    size_t direct_source_ranges_count;
    enum source_type source_type;
    const struct cidr *source_ranges;
    size_t source_ranges_count;
    const uint16_t *source_ports;
    size_t source_ports_count;
};

/* What a connection is matched by. */
struct filter_chain_facts {
    const struct address *remote;
    const struct address *direct_remote; /* of the socket, whatever a PROXY header said */
    const struct address *local;
    struct slice server_name;                  /* lower case; empty: none was seen */
    struct slice transport_protocol;           /* "raw_buffer" unless an inspector saw another */
    const struct slice *application_protocols; /* in the client's order */
    size_t application_protocols_count;
    const struct connection_facts *more; /* of listener filters; NULL: there were none */
};

/* SOURCE_SAME_IP_OR_LOOPBACK, and any peer of a Unix socket. */
bool filter_chain_source_is_local(const struct address *remote, const struct address *local);

struct chain_node;

enum filter_chain_index_result {
    FILTER_CHAIN_INDEX_OK,
    FILTER_CHAIN_INDEX_OVERLAP, /* two chains, or one twice, for the same connections */
    FILTER_CHAIN_INDEX_NO_MEMORY,
};

/* Indexes matches[0..count-1] into `arena`; *out is NULL when count is 0. The matches' texts are kept by
 * reference. */
enum filter_chain_index_result filter_chain_index(const struct filter_chain_match *const *matches,
                                                  size_t count, struct arena *arena,
                                                  const struct chain_node **out);
/* The number of the match, or -1: none. */
ptrdiff_t filter_chain_find(const struct chain_node *root, const struct filter_chain_facts *facts);

#endif
