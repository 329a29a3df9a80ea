/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matching API: from xds.type.matcher.v3.Matcher to a match_tree. One builder for all who have such a
 * tree; each says what may be asked there and what its actions are. Private to this room.
 */
#ifndef WEIR_CONFIG_BUILD_MATCHER_H
#define WEIR_CONFIG_BUILD_MATCHER_H

#include "config/builder.h"
#include "proxy/matching/match_tree.h"

#include <xds/type/matcher/v3/matcher.pb-c.h>

/* What is known of a connection before it has a chain, and of a request with its headers (MATCH_INPUT bits).
 */
#define MATCHER_CONNECTION_INPUTS                                                                            \
    ((1u << MATCH_INPUT_DESTINATION_IP) | (1u << MATCH_INPUT_DESTINATION_PORT) |                             \
     (1u << MATCH_INPUT_SOURCE_IP) | (1u << MATCH_INPUT_SOURCE_PORT) |                                       \
     (1u << MATCH_INPUT_DIRECT_SOURCE_IP) | (1u << MATCH_INPUT_SOURCE_TYPE) |                                \
     (1u << MATCH_INPUT_SERVER_NAME) | (1u << MATCH_INPUT_FILTER_STATE) | (1u << MATCH_INPUT_URI_SAN) |      \
     (1u << MATCH_INPUT_DNS_SAN) | (1u << MATCH_INPUT_SUBJECT) | (1u << MATCH_INPUT_CONSTANT))
#define MATCHER_CHAIN_INPUTS                                                                                 \
    (MATCHER_CONNECTION_INPUTS | (1u << MATCH_INPUT_TRANSPORT_PROTOCOL) |                                    \
     (1u << MATCH_INPUT_APPLICATION_PROTOCOL))
#define MATCHER_REQUEST_INPUTS                                                                               \
    (MATCHER_CONNECTION_INPUTS | (1u << MATCH_INPUT_METADATA) | (1u << MATCH_INPUT_HEADER) |                 \
     (1u << MATCH_INPUT_QUERY_PARAM))

struct matcher_use {
    uint32_t inputs;    /* bits 1 << enum match_input_kind */
    const char *where;  /* for errors: "for a filter chain" */
    bool decides_alone; /* there is nothing that could go on: keep_matching is an error, as in Envoy */
    /* What a typed action holds, as the pointer that match_tree_find returns; NULL after an error, which it
     * has reported about `owner`. */
    const void *(*action)(void *arg, const Xds__Core__V3__TypedExtensionConfig *owner,
                          const ProtobufCMessage *config);
    void *arg;
};

/* Everything lies in `arena`; match_tree_fini is the owner's to call, after errors too. */
void builder_match_tree(struct builder *b, struct arena *arena, const Xds__Type__Matcher__V3__Matcher *in,
                        const struct matcher_use *use, struct match_tree *out);

#endif
