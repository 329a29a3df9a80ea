/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two sides of a hot restart share. Private to the hot_restart*.c files.
 */
#ifndef WEIR_SERVER_HOT_RESTART_IMPL_H
#define WEIR_SERVER_HOT_RESTART_IMPL_H

#include "base/strbuf.h"
#include "net/fd_channel.h"
#include "server/hot_restart.h"
#include "telemetry/stats.h"

enum hot_restart_kind {
    WIRE_HELLO = 1, /* both: text is HOT_RESTART_VERSION */
    WIRE_SOCKETS,   /* new: a listener's key. Old: descriptors, in messages until one has none. */
    WIRE_ADMIN,     /* new: an address. Old: the admin interface's socket, or nothing */
    WIRE_DRAIN,     /* new: I serve. Old: done */
    WIRE_STATS,     /* new: asks. Old: struct wire_stat rows, in messages until one is empty. */
    WIRE_TERMINATE, /* new: end now. No answer but the end of the connection. */
};

/* One statistic in WIRE_STATS, followed by its name. */
struct wire_stat {
    uint64_t value;
    uint32_t type; /* enum stat_type */
    uint32_t name_len;
};

/* Counters, and gauges of what is under way: the rest describes one process and is not added up. */
bool hot_restart_imports(enum stat_type type, struct slice name);

/* By which two processes know the same listener: its address, and its name where the system picks the port.
 */
void hot_restart_listener_key(const struct listener_config *config, const struct listener_address *at,
                              struct strbuf *key);

/* hot_restart_parent.c: successors may come from now on. false: no memory. */
bool hot_restart_listen(struct server *s);
/* Says the last numbers and closes all. The workers have ended, the loop can still close handles. */
void hot_restart_leave(struct server *s);

#endif
