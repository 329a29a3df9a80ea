/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network filters: what a filter over the bytes of a downstream connection implements, and what it may call.
 * They stand in front of the terminal filter (tcp_proxy, the HTTP connection manager), which is no network
 * filter here but the owner of the connection. Statuses mean what they mean in Envoy.
 */
#ifndef WEIR_PROXY_NETWORK_FILTER_H
#define WEIR_PROXY_NETWORK_FILTER_H

#include "net/conn.h"
#include "proxy/stream.h"

struct network_chain;
struct network_filter;

/* STOP: later filters see neither this event nor the bytes until there are more of them, or the filter calls
 * network_filter_continue. The bytes stay with the filter; its next call gets them all. */
enum network_status { NETWORK_CONTINUE, NETWORK_STOP };

/* By the direction of the bytes: towards the upstream, towards the client. */
enum network_direction { NETWORK_DOWNSTREAM_DATA, NETWORK_UPSTREAM_DATA, NETWORK_DIRECTIONS };

/* All on the worker's thread. NULL functions: the filter has no interest. */
struct network_filter_ops {
    const char *name;
    size_t state_bytes; /* zeroed memory at filter->state */
    void (*init)(struct network_filter *f);
    enum network_status (*new_connection)(struct network_filter *f);
    /* `data` may be changed in place. `end`: the sender has shut its side; said again after a STOP.
     * Downstream data passes filters from the first to the last, upstream data from the last to the first. */
    enum network_status (*data)(struct network_filter *f, enum network_direction direction,
                                struct chain *data, bool end);
    /* The downstream connection is gone; comes before destroy and only once. `remote`: the peer ended it. */
    void (*closed)(struct network_filter *f, bool remote);
    /* The connection's numbers are complete (stream->info). Only when `closed` came. */
    void (*log)(struct network_filter *f);
    void (*destroy)(struct network_filter *f);
};

struct network_filter_config {
    const struct network_filter_ops *ops;
    const void *config;
    struct slice name;
    void (*destroy)(void *config); /* the resource's end; may be NULL */
};

/* One direction at one filter. */
struct network_stage {
    struct chain held;
    bool end;        /* the end has come as far as this filter */
    bool end_passed; /* and beyond it */
    bool fresh;      /* bytes or the end came that the filter has not seen */
    bool stopped;    /* the filter said so last */
    bool go;         /* network_filter_continue: let `held` pass without asking again */
};

struct network_filter {
    const struct network_filter_config *config;
    struct network_chain *chain;
    void *state;
    bool started;
    struct network_stage stages[NETWORK_DIRECTIONS];
};

/* What stopped goes on, at the turn's end or when the running callback returns. Not stopped: fine. */
void network_filter_continue(struct network_filter *f, enum network_direction direction);
/* The filter's `data` is called again, at the turn's end, with what it stopped before it could look at it. */
void network_filter_ask_again(struct network_filter *f, enum network_direction direction);
/* Adds bytes behind this filter, at the turn's end; moves them out of `data`. False: no memory. */
bool network_filter_inject(struct network_filter *f, enum network_direction direction, struct chain *data);
/* Closes the downstream connection, and with it the upstream one. */
void network_filter_close(struct network_filter *f, enum conn_close_mode mode);
/* The connection as a stream without headers: info, values, arena. Valid until destroy. */
struct stream *network_filter_stream(const struct network_filter *f);
/* No downstream bytes are read (on) until off. */
void network_filter_pause_reading(struct network_filter *f, bool on);

#endif
