/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listener filters: what looks at a connection's first bytes before it is decided whose it is. A filter is a
 * const table and its configuration; what it finds out goes into the connection's facts. They keep no state
 * of their own: each look gets all bytes from the first on.
 */
#ifndef WEIR_PROXY_LISTENER_FILTER_H
#define WEIR_PROXY_LISTENER_FILTER_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct connection_facts;

enum listener_filter_status {
    LISTENER_FILTER_CONTINUE, /* done: the next filter, or the chain */
    LISTENER_FILTER_MORE,     /* call again when more bytes have come */
    LISTENER_FILTER_CLOSE,    /* the connection ends here */
};

/* What a filter works on. */
struct listener_look {
    struct conn *conn; /* its addresses may be replaced */
    struct connection_facts *facts;
    struct slice bytes; /* all that has come and was not taken yet, at most bytes_max */
    size_t taken;       /* out: bytes at the front that nobody behind this filter shall see */
};

struct listener_filter_ops {
    const char *name;
    /* On the worker's thread; first when the connection was accepted, with no bytes. With bytes_max of them
     * MORE is an error of the filter, and closes. */
    enum listener_filter_status (*look)(const void *config, struct listener_look *look);
    void (*destroy)(void *config); /* the resource's end; may be NULL */
};

/* Where the filter does not run: a tree as a list in prefix order. */
enum listener_predicate_kind { PREDICATE_OR, PREDICATE_AND, PREDICATE_NOT, PREDICATE_ANY, PREDICATE_PORTS };
struct listener_predicate {
    enum listener_predicate_kind kind;
    uint32_t children;          /* OR, AND, NOT */
    int32_t port_from, port_to; /* PORTS: [from, to) of the local port */
};

struct listener_filter_config {
    const struct listener_filter_ops *ops;
    const void *config;
    size_t bytes_max;                          /* how many bytes the filter can ask for */
    const struct listener_predicate *disabled; /* NULL: it always runs */
    size_t disabled_count;
};

#endif
