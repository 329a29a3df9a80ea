/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request through the plugin and its answer back, or the bytes of one connection, with the pausing and
 * buffering rules of a proxy. The whole request passes before the answer begins. It must never run guest code
 * from inside the plugin's own calls: what these ask for is done when they have returned.
 */
#ifndef WEIR_CLI_EXCHANGE_H
#define WEIR_CLI_EXCHANGE_H

#include "cli/sandbox.h"

enum exchange_way { EXCHANGE_REQUEST, EXCHANGE_RESPONSE };
enum exchange_place { AT_HEADERS, AT_BODY, AT_TRAILERS, AT_END };

/* One direction. */
struct exchange_half {
    struct message message; /* headers and trailers as the plugin leaves them; the body is what comes in */
    enum exchange_place place;
    size_t taken;       /* bytes of the body that were shown */
    struct strbuf view; /* what the plugin may read and change now: kept bytes and the newest chunk */
    struct strbuf out;  /* body that was let go */
    bool viewing;       /* inside a body callback, or the plugin keeps bytes */
    bool last_chunk;    /* trailers may be made now */
    bool blocked;       /* nothing more is delivered until it continues */
    bool held;          /* delivered but not let go */
};

enum exchange_outcome {
    EXCHANGE_UPSTREAM, /* the upstream answered */
    EXCHANGE_LOCAL,    /* the plugin answered */
    EXCHANGE_PAUSED,   /* it waits for something that does not come */
    EXCHANGE_RESET,    /* the plugin closed the stream */
    EXCHANGE_FAILED,   /* the VM failed */
    EXCHANGE_CLOSED,   /* the connection came to its end */
};

struct exchange {
    struct sandbox *box;
    const struct test_case *test;
    size_t chunk_bytes; /* bodies come in pieces of this size; 0: whole */
    struct pw_stream *stream;
    struct exchange_half halves[2];
    struct message answer; /* the response before the plugin saw it */
    bool upstream_ended;   /* TCP */
    bool reached;          /* the request went through to the upstream */
    bool responding;       /* response maps exist */
    bool answered;         /* by the plugin */
    struct message reply;
    bool reply_waits;
    char *reply_details;
    bool closed;
    bool failed;
    json_t *properties; /* those that the plugin set: path with dots -> text */
    enum exchange_outcome outcome;
};

extern const struct pw_stream_ops exchange_ops;

void exchange_init(struct exchange *x, struct sandbox *box, const struct test_case *test, size_t chunk_bytes);
void exchange_run(struct exchange *x);
void exchange_fini(struct exchange *x);

const char *exchange_outcome_str(enum exchange_outcome outcome);

/* For the files of an exchange. Creates the context; false after a failure. */
bool exchange_begin(struct exchange *x);
/* What the plugin has seen goes on. */
void exchange_release(struct exchange_half *half);
/* exchange_tcp.c: the whole of a connection. */
void exchange_run_tcp(struct exchange *x);

/* exchange_properties.c */
enum pw_status exchange_property_get(void *ctx, struct pw_slice path, struct pw_value *out);
enum pw_status exchange_property_set(void *ctx, struct pw_slice path, struct pw_slice value);
/* For root contexts: only what the user gave. ctx is the sandbox. */
enum pw_status exchange_root_property(void *ctx, struct pw_slice path, struct pw_value *out);

#endif
