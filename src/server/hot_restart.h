/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hot restart, as Envoy's: a new process (--restart-epoch N+1) takes the listening sockets over from the one
 * that serves (epoch N), which then only finishes what it has. The two talk over a Unix socket named after
 * --base-id. The sockets are never closed in between, so that no connection attempt is lost.
 */
#ifndef WEIR_SERVER_HOT_RESTART_H
#define WEIR_SERVER_HOT_RESTART_H

#include "base/map.h"
#include "net/address.h"
#include "net/loop.h"

struct listener_address;
struct listener_config;
struct server;

/* What --hot-restart-version prints and /hot_restart_version answers: processes of the same text understand
 * each other. */
#define HOT_RESTART_VERSION "weir.1"

struct hot_restart {
    bool enabled;
    uint32_t base_id;
    /* For a successor, which may come at any time. */
    int listen_fd; /* -1: none */
    uv_poll_t *listen_poll;
    int child_fd; /* -1: nobody there */
    uv_poll_t *child_poll;
    int admin_fd; /* a copy of the admin interface's socket, for the case that the successor fails; -1: none
                   */
    struct timer go_away_timer; /* the end of the drain time, after handing over */
    bool handed_over;           /* the successor serves; this process only finishes */
    /* The predecessor. */
    int parent_fd; /* -1: there is none (any more) */
    uv_poll_t *parent_poll;
    struct map parent_stats; /* name -> struct parent_stat (owned) */
    struct timer stats_timer;
    struct timer parent_timer; /* the end of its time */
};

static inline void hot_restart_init(struct hot_restart *hr)
{
    *hr = (struct hot_restart){.listen_fd = -1, .child_fd = -1, .admin_fd = -1, .parent_fd = -1};
}
/* Claims the name of this base id and epoch, and connects to the predecessor where there should be one.
 * false: stderr says why. Before anything is opened. */
bool hot_restart_begin(struct server *s);
/* The predecessor's sockets of the listener with this address (and name, where the port is 0), at most `max`:
 * how many are in fds, 0 when it has none. The caller owns them. */
uint32_t hot_restart_take_sockets(struct server *s, const struct listener_config *config,
                                  const struct listener_address *at, int *fds, uint32_t max);
/* The listening socket of its admin interface on this address, which it stops using; -1: none. */
int hot_restart_take_admin(struct server *s, const struct address *address);
/* This process serves: the predecessor shall finish, and a successor may come. On the main loop. */
void hot_restart_live(struct server *s);
/* After the workers have ended, before the loop is closed. */
void hot_restart_end(struct server *s);

#endif
