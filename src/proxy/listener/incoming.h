/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection that was accepted and has no owner yet: listener filters look at it, then a filter chain is
 * chosen. Connections of listeners without listener filters only pass through.
 */
#ifndef WEIR_PROXY_INCOMING_H
#define WEIR_PROXY_INCOMING_H

#include "proxy/listener/listener.h"

struct incoming;

/* For listener.c: takes the fd over; false when nothing came of it (fd closed). */
bool incoming_accept(struct listener *l, int fd, const struct address *remote);
/* The listener drains: the connection is served if its filters are content soon. */
void incoming_drain(struct list *node);
/* Closes hard. `node` is in listener->incoming. */
void incoming_close_now(struct list *node);

#endif
