/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A downstream connection with network filters, without HTTP, or of a listener with access logs: the filters
 * between socket and owner, and the connection's own record (addresses, bytes, flags, values) for access logs
 * and plugins. Plain HTTP connections do not have one.
 */
#ifndef WEIR_PROXY_NETWORK_CHAIN_H
#define WEIR_PROXY_NETWORK_CHAIN_H

#include "proxy/listener/listener_config.h"
#include "proxy/listener/network_filter.h"

struct network_chain {
    struct conn_filter hook; /* conn->filter, when there are filters */
    struct conn *conn;       /* NULL once closed */
    struct worker *worker;
    struct stream stream;
    struct slice name;                      /* of the filter chain */
    struct connection_facts *facts;         /* owned reference; NULL: no listener filters */
    struct tls_info *tls;                   /* owned reference; NULL: clear text */
    const struct listener_config *listener; /* owned reference: the filters' configurations lie in it */
    struct turn_task release;
    unsigned users;     /* the filters, and the terminal one */
    unsigned passing;   /* filters' callbacks on the stack */
    bool http;          /* the connection manager is behind the filters */
    bool cut;           /* a filter closed it: what has not passed all filters never will */
    bool owner_told;    /* `connected` was called */
    bool ended_by_peer; /* the client's end came last: closing only follows it */
    bool over_limit;
    struct chain injected[NETWORK_DIRECTIONS]; /* behind the last filter */
    uint32_t filters_count;
    struct network_filter filters[];
};

/*
 * For a connection that was just accepted and has its owner already; the owner's `connected` follows, maybe
 * from in here, when all filters have let the connection through. NULL when memory is out: drop it.
 * One use belongs to the connection's filters, if there are any, and ends by itself; one to the caller.
 */
struct network_chain *network_chain_create(struct worker *w, const struct listener_config *listener,
                                           const struct filter_chain *config, struct conn *conn);
/* Runs `new_connection` of the filters. */
void network_chain_start(struct network_chain *c);
/* Brings the record up to date. */
void network_chain_look(struct network_chain *c, const struct conn *conn);
/* The connection has ended: completes the record and writes the listener's access logs. By the owner, in its
 * `closed`. */
void network_chain_log(struct network_chain *c, const struct conn *conn);
/* The terminal filter needs the stream no more. Freed at the turn's end. */
void network_chain_release(struct network_chain **c);

#endif
