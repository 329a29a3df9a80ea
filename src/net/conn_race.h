/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting to whichever of several addresses answers first (RFC 8305, as Envoy does it): the next attempt
 * begins a moment after the one before, or at once when that fails. Internal to conn.c and conn_open.c. Only
 * sockets race: what is sent first, and TLS, begin on the winner alone.
 */
#ifndef WEIR_NET_CONN_RACE_H
#define WEIR_NET_CONN_RACE_H

#include "net/conn_private.h"

struct conn_target;

/* For a conn without a socket; conn_connected follows with the winner's, or conn_end when all have failed.
 * false: memory is out. */
bool conn_race_start(struct conn *c, const struct conn_target *to);
/* Gives all attempts up; conn->race is NULL then. */
void conn_race_end(struct conn *c);

#endif
