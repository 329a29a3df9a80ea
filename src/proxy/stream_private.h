/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a stream that only the connection manager's own files touch: stream.c, filter_manager.c,
 * filter_calls.c, response.c, request_setup.c, stream_timers.c, local_reply.c, downstream.c.
 */
#ifndef WEIR_PROXY_STREAM_PRIVATE_H
#define WEIR_PROXY_STREAM_PRIVATE_H

#include "base/list.h"
#include "net/worker.h"
#include "proxy/hcm_config.h"
#include "proxy/http_chain.h"
#include "proxy/local_reply.h"
#include "proxy/stream.h"

struct stream_private {
    struct stream *stream;
    struct list node;        /* downstream->streams */
    struct turn_task finish; /* the stream is over: logs, destroy */
    struct turn_task release;
    struct http_chain chain; /* the router is the last */
    uint32_t buffer_limit;   /* bytes that filters may hold in a direction; 0: no limit */
    unsigned callbacks;      /* filter callbacks on the stack, of all chains */
    bool reset;
    bool reply_prepared; /* waits for the callbacks on the stack to return */
    bool reply_direct;   /* past the filters */
    bool codec_reset;    /* the codec ended the stream itself */
    bool upgrade_counted;
    uint32_t redirects;                   /* internal ones, so far */
    struct redirect_step *redirect_steps; /* those that a predicate remembers */
    struct stream_restart *restart;       /* waits for the turn's end; NULL: none */
    struct local_reply reply;
    struct timer idle_timer;
    struct timer headers_timer;
    struct timer request_timer;
    struct timer duration_timer;
    uint64_t idle_timeout_ms;
    uint64_t active_ms; /* loop time of the last byte or event */
};

/* stream.c */

struct codec_stream;
/* NULL when memory is out. */
struct stream *stream_create(struct downstream *d, struct codec_stream *cs);
/* The stream is over: `finish` runs at the turn's end. Twice is fine. */
void stream_over(struct stream *s);
/* Ends it hard. `details` is constant; NULL keeps what is there. */
void stream_reset(struct stream *s, const char *details, uint64_t flags);

/* request_setup.c: from a codec's headers to the first filter. */
void stream_request_headers(struct stream *s, struct header_map *headers, bool end);
/* Checks and normalises path and host. false: the stream was answered. */
bool stream_request_path(struct stream *s);
/* The route, and the filters that it has. false: the stream was answered. */
bool stream_request_filters(struct stream *s);

/* stream_restart.c */

/*
 * At the turn's end, ends what the filters made of the request so far, logs it with `status`, and begins anew
 * with another request: route, filters, upstream. Nothing has been answered; all of the old request is here.
 * Moves all bytes out of `body`. false: memory is out, and a part of them may be gone.
 */
bool stream_restart(struct stream *s, struct header_map *headers, struct header_map *trailers,
                    struct chain *body, unsigned status);
/* Only while one is waiting. */
void stream_restart_cancel(struct stream *s);

/* In place of an answer whose head filters have spoilt. */
extern const struct local_reply stream_reply_bad_head;
extern const struct local_reply stream_reply_no_status;
/* response.c: from the last filter to the codec. Each looks after what a failed send means. */
void stream_emit_informational(struct stream *s, struct header_map *headers);
void stream_emit_headers(struct stream *s, bool end);
void stream_emit_data(struct stream *s, struct chain *data, bool end);
void stream_emit_trailers(struct stream *s, struct header_map *trailers);

/* local_reply.c */

/* Answers the stream; inside a filter's callback it takes effect when that returns. False: response headers
 * are gone, the stream was reset. */
bool stream_local_reply(struct stream *s, const struct local_reply *reply);
/* A reply past the filters, at once. */
void stream_direct_reply(struct stream *s, const struct local_reply *reply);
void stream_reply_execute(struct stream *s);

/* filter_api.c */

/* After the route is known: decides which filters of the list take part. False: answered with 500 already. */
bool filters_create(struct stream *s, const struct filter_list *list);

/* filter_calls.c: one callback, with its bookkeeping. */
enum filter_headers_status filter_call_headers(struct filter *f, bool response, struct header_map *headers,
                                               bool end);
enum filter_data_status filter_call_data(struct filter *f, bool response, struct chain *data, bool end);
enum filter_trailers_status filter_call_trailers(struct filter *f, bool response,
                                                 struct header_map *trailers);

/* stream_timers.c */

void stream_timers_init(struct stream *s);
void stream_timers_begin(struct stream *s);   /* first byte of the request */
void stream_timers_headers(struct stream *s); /* headers are complete */
void stream_timers_route(struct stream *s);   /* the route's own values hold */
void stream_timers_request_end(struct stream *s);
void stream_timers_stop(struct stream *s);
void stream_timers_look(struct stream *s); /* the idle limit has changed: it may be over */

#endif
