/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TCP proxy, a terminal network filter: one downstream and one upstream connection, and the bytes between
 * them.
 */
#ifndef WEIR_PROXY_TCP_PROXY_H
#define WEIR_PROXY_TCP_PROXY_H

#include "proxy/listener/listener.h"
#include "proxy/tcp/tcp_proxy_config.h"

struct tcp_session;

/* Takes the connection over; false when memory is out (drop it). Its filters begin here. */
bool tcp_proxy_open(struct listener *l, struct conn *conn, const struct filter_chain *chain);
/* Closes both connections hard. `node` is in listener->sessions. */
void tcp_proxy_close_now(struct list *node);

#endif
