/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filter state: named values that filters leave for later filters, for access logs and for the router, as in
 * Envoy. A stream has one, whose parent is that of its connection: what is set for the connection outlives
 * the stream. All on one worker's thread; memory is the arena's of the level.
 */
#ifndef WEIR_PROXY_FILTER_STATE_H
#define WEIR_PROXY_FILTER_STATE_H

#include "base/arena.h"

/* Envoy's PerConnectionCluster: where the TCP proxy sends a connection, whatever its configuration says. */
#define TCP_PROXY_CLUSTER_KEY SLICE_LIT("envoy.tcp_proxy.cluster")

/* How long a value lives: Envoy's FilterState::LifeSpan, same numbers. */
enum filter_state_span { FILTER_STATE_STREAM, FILTER_STATE_REQUEST, FILTER_STATE_CONNECTION };
/* What the bytes are: Envoy's CelStateType, same numbers as its WasmType. */
enum filter_state_type {
    FILTER_STATE_BYTES,
    FILTER_STATE_STRING,
    FILTER_STATE_FLATBUFFERS,
    FILTER_STATE_PROTOBUF,
    FILTER_STATE_OBJECT,  /* one of Envoy's own objects, which has only a text form */
    FILTER_STATE_MESSAGE, /* one that has only a message, of which the value is the JSON */
};

/* How a value that does not exist yet is made. */
struct filter_state_prototype {
    struct slice schema; /* name of the message (PROTOBUF) */
    enum filter_state_type type;
    enum filter_state_span span;
    bool read_only; /* set once */
};

struct filter_state_entry {
    struct filter_state_entry *next;
    struct slice key;
    struct slice value;
    size_t value_cap; /* bytes that stand there for it */
    struct slice schema;
    enum filter_state_type type;
    enum filter_state_span span;
    bool read_only;
};

struct filter_state {
    struct filter_state *parent; /* the connection's; NULL: this is it */
    struct arena *arena;
    struct filter_state_entry *first;
};

enum filter_state_result { FILTER_STATE_OK, FILTER_STATE_READ_ONLY, FILTER_STATE_FULL };

/* `prototype` NULL: bytes, for the stream, to be set again. Copies everything. A value that exists keeps what
 * it was made with. FULL: the arena's cap is reached. */
enum filter_state_result filter_state_set(struct filter_state *fs, struct slice key, struct slice value,
                                          const struct filter_state_prototype *prototype);
/* Forgets what lives as long as the filters that set it: the request goes through others from here on. The
 * parent's values stay. */
void filter_state_end_pass(struct filter_state *fs);
/* NULL: absent, here and at the connection. */
const struct filter_state_entry *filter_state_get(const struct filter_state *fs, struct slice key);

#endif
