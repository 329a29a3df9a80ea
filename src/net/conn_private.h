/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What conn.c (polling, reading, closing), conn_write.c and conn_open.c share. Internal to them.
 */
#ifndef WEIR_NET_CONN_PRIVATE_H
#define WEIR_NET_CONN_PRIVATE_H

#include "net/conn.h"

/* conn->state */
enum conn_state {
    ST_CONNECTING,
    ST_HANDSHAKE, /* the transport's */
    ST_OPEN,
    ST_FLUSHING,  /* conn_close: sending what is left */
    ST_LINGERING, /* all is sent and writing shut; dropping what comes */
    ST_CLOSING,   /* the `closed` event is due at the turn's end */
    ST_CLOSED,
};

/* What became of the start of a connect. */
struct conn_begun {
    int fd;              /* -1: none */
    int error;           /* 0: it is under way, or done */
    enum conn_close why; /* with an error */
};
struct conn_begun conn_begin(const struct address *to, const struct conn_options *options);
/* What the socket says of its own failure; 0: nothing. */
int conn_socket_error(int fd);
/* The socket may be connected, or have failed to. */
void conn_connected(struct conn *c);

/* Asks libuv for what the state needs. */
void conn_poll_update(struct conn *c);
/* Ends the connection: `closed` follows at the turn's end. */
void conn_end(struct conn *c, enum conn_close why, int error);
/* A failed read or write. */
void conn_failed(struct conn *c, int error);
/* What one event may read: others get their turn, and little more than the owner's watermark is read. */
size_t conn_read_share(const struct conn *c);
/* Reads what is there, at most a turn's share; false: nothing. Sets *eof when the peer has shut its side. */
bool conn_read_some(struct conn *c, bool *eof);
/* Tells the owner what came, after the filter has seen it. */
void conn_deliver(struct conn *c, bool grew, bool eof);
/* libuv's callback, the task at the turn's end, the timer. */
void conn_polled(uv_poll_t *poll, int status, int events);
void conn_turn(struct turn_task *task);
void conn_timer_fired(struct timer *t);

/* conn_write.c */
/* 0: all of it is sent, and it is gone; or a negative errno. */
int conn_write_preface(struct conn *c);
void conn_write(struct conn *c);
/* Ends our side. While lingering: again as long as it leaves want_write set. */
void conn_shut(struct conn *c);
void conn_check_watermarks(struct conn *c);

#endif
