/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overload manager of a server whose configuration has one. Main thread.
 */
#ifndef WEIR_SERVER_OVERLOAD_H
#define WEIR_SERVER_OVERLOAD_H

struct server;
struct server_overload;

/* Before workers start: sets limits and registers statistics. NULL: memory is out. */
struct server_overload *server_overload_create(struct server *s);
/* Measures now, and every refresh interval; workers are there. */
void server_overload_start(struct server_overload *o);
/* NULL content is fine. */
void server_overload_destroy(struct server_overload **o);

#endif
