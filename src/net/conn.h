/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream socket with an input and an output chain, for both sides of the proxy. Reads are pushed to the
 * owner; writes are appended to `out` and leave in one system call at the end of the loop turn. Knows
 * watermarks, pausing by reasons, half-close and delayed close; knows nothing of HTTP. The bytes go through a
 * transport: raw, or TLS (net/tls.h).
 */
#ifndef WEIR_NET_CONN_H
#define WEIR_NET_CONN_H

#include "base/chain.h"
#include "net/address.h"
#include "net/loop.h"

struct address_list;
struct conn;
struct conn_options;
struct conn_race;
struct connection_facts;

enum conn_close {
    CONN_CLOSE_NONE,
    CONN_CLOSE_REMOTE,          /* EOF or reset from the peer */
    CONN_CLOSE_LOCAL,           /* conn_close was called */
    CONN_CLOSE_CONNECT_FAILED,  /* client: refused, unreachable, no TLS session */
    CONN_CLOSE_SETUP_FAILED,    /* client: its socket could not be made as wanted */
    CONN_CLOSE_BIND_FAILED,     /* client: nor bound to its source */
    CONN_CLOSE_CONNECT_TIMEOUT, /* client; server: the TLS handshake took too long */
    CONN_CLOSE_ERROR,           /* any other errno; conn->error holds it */
};

/* It was our doing: the peer had no part in it. */
static inline bool conn_closed_by_us(enum conn_close why)
{
    return why == CONN_CLOSE_LOCAL || why == CONN_CLOSE_CONNECT_TIMEOUT || why == CONN_CLOSE_SETUP_FAILED ||
           why == CONN_CLOSE_BIND_FAILED;
}

struct conn_events {
    /* Client: connected (TLS: handshake done). Server: not called. */
    void (*connected)(struct conn *conn);
    /* conn->in grew. The owner takes what it can use; the rest stays. */
    void (*data)(struct conn *conn);
    /* The peer has shut its writing side; conn->in holds the last bytes. Called once, and on the client side
     * not while reading is paused. The owner closes, or goes on writing (half-close). */
    void (*eof)(struct conn *conn);
    /* After a flush at the turn's end: `out` is above the high watermark / fell below the low one again. */
    void (*write_high)(struct conn *conn);
    void (*write_low)(struct conn *conn);
    /* The socket is gone. The last event, never called from inside conn_close. The owner drops its pointer:
     * the conn is freed at the end of the turn. */
    void (*closed)(struct conn *conn, enum conn_close why);
    /* Server with TLS: the handshake is done, before the first `data`. NULL: of no interest. */
    void (*secured)(struct conn *conn);
};

struct transport_ops {
    const char *name;
    /* 0: done (the peer's first bytes may be here: recv_more), -EAGAIN: waits for the socket
     * (conn->want_write: to be writable), or another negative errno. NULL: there is none. */
    int (*handshake)(struct conn *conn);
    /* Appends about max bytes to `in`. >0, 0: EOF, -EAGAIN, or another negative errno. Leaves nothing behind
     * that the socket would not tell of; except for an end or an error, and then conn->recv_more is set. */
    ssize_t (*recv)(struct conn *conn, struct chain *in, size_t max);
    /* Writes from the front of `out` and drains what was taken: so many, 0 too; or -EAGAIN, or another
     * negative errno. What it has taken and not sent is in conn->sealed_bytes. */
    ssize_t (*send)(struct conn *conn, struct chain *out);
    /* Announces the end of our data (shutdown(SHUT_WR), close_notify). */
    int (*shutdown)(struct conn *conn);
    void (*destroy)(struct conn *conn);
};
extern const struct transport_ops transport_raw;

/* Reasons for not reading; counted as bits. */
enum conn_pause {
    CONN_PAUSE_WATERMARK = 1, /* the other side of the proxy cannot take more */
    CONN_PAUSE_CODEC = 2,     /* pipelined requests wait for the current response */
    CONN_PAUSE_FILTER = 4,
    CONN_PAUSE_LIMIT = 8, /* network filters keep as much as they may */
};

/*
 * What stands between the socket and the owner (network filters). Installed before the first event; none of
 * its functions is called from inside a function that the owner calls.
 */
struct conn_filter {
    /* Bytes were read into `raw`, the end was read (*eof), or conn_filter_kick was called. Puts what the
     * owner may see into conn->in and says whether that grew; leaves *eof set, once, when the owner may hear
     * of the end. */
    bool (*read)(struct conn_filter *f, struct conn *conn, bool *eof);
    /* Before sending: takes what the owner has appended from `fresh`; puts into conn->out what may go. `end`:
     * the owner wants to shut down writing. Returns whether the end may be announced now. */
    bool (*write)(struct conn_filter *f, struct conn *conn, struct chain *fresh, bool end);
    /* Before the owner's event of the same name. */
    void (*closed)(struct conn_filter *f, struct conn *conn, enum conn_close why);
    struct chain raw;
    size_t held_bytes;   /* kept back on their way out; they count as unsent */
    size_t passed_bytes; /* at the front of conn->out; private to conn_write.c */
    bool holds_end;      /* private to conn_write.c */
};

/* What goes first on a connection that is being made, below its transport: a PROXY header. */
struct conn_preface {
    uint32_t len;
    uint32_t sent;
    bool own_line; /* a version 1 line of the connection's own addresses, written once they are known */
    char bytes[];
};

struct conn {
    struct loop *loop;
    const struct conn_events *events;
    void *owner;
    const struct transport_ops *transport;
    void *transport_state;
    int fd;    /* -1: the race is not decided */
    int error; /* errno of the failure */
    uv_poll_t *poll;
    struct chain in;
    struct chain out;
    struct address local;
    struct address remote;
    uint32_t high_watermark; /* bytes of `out`; low is half. Also caps `in` */
    uint8_t paused;          /* enum conn_pause bits */
    uint8_t state;           /* private */
    uint8_t polled;          /* private: what libuv was asked for */
    uint16_t attempts;       /* client: sockets that were begun */
    uint16_t bind_failures;  /* so many of them could not be bound */
    size_t sealed_bytes;     /* taken from `out` by the transport, and still to be sent */
    enum conn_close close_reason;
    bool above_high : 1;
    bool read_eof : 1;
    bool shut_wanted : 1; /* conn_shutdown_write: once `out` is empty */
    bool write_shut : 1;
    bool want_write : 1;   /* the socket refused bytes: wait for writability */
    bool eof_held : 1;     /* the `eof` event waits for reading to go on */
    bool offer : 1;        /* bytes in `in` are to be offered again */
    bool linger : 1;       /* CONN_CLOSE_DELAYED */
    bool timed_out : 1;    /* the delayed close ended by its timer */
    bool kicked : 1;       /* conn_filter_kick */
    bool recv_more : 1;    /* the transport has something for `recv` that the socket will not tell of */
    bool server : 1;       /* accepted */
    bool cut : 1;          /* closed with bytes unsent: the peer must not take it for an orderly end */
    bool bulk : 1;         /* private: the last event read more than a block */
    bool refused : 1;      /* client: connect() itself failed, with `error` */
    bool detect_close : 1; /* a peer that closes while reading is paused ends the connection (server side) */
    uint64_t delay_ms;
    struct conn_preface *preface;   /* owned, to be freed; NULL: none, or all of it was sent */
    struct conn_filter *filter;     /* NULL: none */
    struct conn_race *race;         /* which of several addresses it will be; NULL: one is known */
    struct connection_facts *facts; /* of listener filters, kept by the owner; NULL: none */
    struct turn_task flush;
    struct timer timer; /* connect timeout, then delayed close */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t id; /* process-wide, from 1 */
};

/* Takes over an accepted socket (non-blocking, TCP_NODELAY from its listener). NULL (fd closed) when memory
 * is out. Reading starts at once. `local` NULL: the socket is asked. */
struct conn *conn_accepted(struct loop *loop, int fd, const struct address *remote,
                           const struct address *local, const struct conn_events *events, void *owner,
                           uint32_t high_watermark);
/* Starts connecting; `connected` or `closed` comes later, never inline. NULL with errno when it cannot even
 * start. */
struct conn *conn_connect(struct loop *loop, const struct address *to, uint64_t timeout_ms,
                          const struct conn_events *events, void *owner, uint32_t high_watermark);

/* Where a connection goes, and how. */
struct conn_target {
    const struct address *address;
    struct address_list *any;           /* one of these instead, whichever answers first; NULL: none */
    const struct conn_options *options; /* NULL: none. They live until `connected` or `closed` */
};
/* The same with a choice. What cannot be set on the socket is a failure to connect. The timeout holds for all
 * attempts together. */
struct conn *conn_connect_to(struct loop *loop, const struct conn_target *to, uint64_t timeout_ms,
                             const struct conn_events *events, void *owner, uint32_t high_watermark);

/* Of a connection that has written nothing yet; 0: no limit. */
void conn_set_high_watermark(struct conn *conn, uint32_t bytes);
/* After appending to conn->out: schedules the flush and checks the watermark. */
void conn_flush_later(struct conn *conn);
/* The same as soon as the event at hand is over: for so many bytes that the processor's cache would not hold
 * them until the turn ends. Also when it was called for the turn's end before. */
void conn_flush_soon(struct conn *conn);
void conn_pause(struct conn *conn, enum conn_pause reason);
/* Reading again when no reason is left. Bytes that wait in `in` are offered again at the turn's end. */
void conn_resume(struct conn *conn, enum conn_pause reason);

/* Where the client of an accepted connection wanted to go before a firewall redirected it here, by REDIRECT
 * or TPROXY; false: nobody did. */
bool conn_original_destination(const struct conn *conn, struct address *out);
/* The owner has changed: what waits in `in` is offered to the new one, or goes to the filter, at the turn's
 * end. False: memory is out; close. */
bool conn_offer(struct conn *conn);

enum conn_close_mode {
    CONN_CLOSE_RESET,   /* drop what is unsent, and let the peer know: a TCP reset */
    CONN_CLOSE_NOW,     /* drop what is unsent */
    CONN_CLOSE_FLUSH,   /* send `out`, then close */
    CONN_CLOSE_DELAYED, /* send, shut down writing, read and drop until the peer closes or delay_ms passed:
                           the peer gets our last bytes although it is still sending (RFC 9112 9.6) */
};
/* `closed` follows with CONN_CLOSE_LOCAL in a later step. Calling again with a harder mode is fine. */
void conn_close(struct conn *conn, enum conn_close_mode mode, uint64_t delay_ms);
/* Half-close after `out` is flushed. */
void conn_shutdown_write(struct conn *conn);
/* For a transport that was put below a conn just accepted: nothing is told before its handshake is done.
 * timeout_ms 0: no limit. `begin`: bytes are there already. */
void conn_start_handshake(struct conn *conn, uint64_t timeout_ms, bool begin);
/* For the filter: `read` and `write` are called at the turn's end although nothing came. */
void conn_filter_kick(struct conn *conn);

#endif
