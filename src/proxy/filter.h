/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP filter: a const table of functions with per-stream state. Native filters, Wasm plugins and the
 * router (the last one) are equal. Request callbacks run in chain order, response callbacks in reverse.
 * Statuses mean what they mean in Envoy (envoy/http/filter.h).
 */
#ifndef WEIR_PROXY_FILTER_H
#define WEIR_PROXY_FILTER_H

#include "base/chain.h"
#include "http/headers.h"

struct stream;
struct filter;
struct http_chain;
struct worker;

enum filter_headers_status {
    FILTER_HEADERS_CONTINUE,
    FILTER_HEADERS_STOP,             /* hold the headers; data and trailers still come to this filter */
    FILTER_HEADERS_CONTINUE_AND_END, /* go on, and pretend that the message ends here */
    FILTER_HEADERS_STOP_ALL_BUFFER,  /* nothing more to this filter; buffer up to the limit, then 413 / 500 */
    FILTER_HEADERS_STOP_ALL_WATERMARK, /* nothing more to this filter; at the limit, push back on the sender
                                        */
};

enum filter_data_status {
    FILTER_DATA_CONTINUE,
    FILTER_DATA_STOP_BUFFER,    /* keep the data; the next call sees data and buffered() separately. 413 / 500
                                   above the    limit */
    FILTER_DATA_STOP_WATERMARK, /* keep the data; push back at the limit */
    FILTER_DATA_STOP_NO_BUFFER, /* the filter took or dropped what it wants; the rest is dropped */
    /* The filter cannot look at it now: it took the bytes, and the sender is held back until filter_offer. */
    FILTER_DATA_LATER,
};

enum filter_trailers_status {
    FILTER_TRAILERS_CONTINUE,
    FILTER_TRAILERS_STOP,
    FILTER_TRAILERS_LATER, /* as FILTER_DATA_LATER; the filter keeps the map */
};

/*
 * Any function may be NULL: continue. During a callback the filter may change headers, move bytes out of or
 * into `data`, send a local reply, or reset the stream; after the last two its status is ignored. No callback
 * comes after `destroy`; none comes while another callback of the same filter is on the stack.
 */
struct filter_ops {
    const char *name;   /* "envoy.filters.http.wasm" */
    size_t state_bytes; /* zeroed, from the stream's arena; filter->state */
    bool takes_laps;    /* its time is counted by worker->filter_lap: others' must not be in there */

    /* When the chain is made, before request_headers. false: the stream is answered with 500. */
    bool (*init)(struct filter *f);

    enum filter_headers_status (*request_headers)(struct filter *f, struct header_map *headers,
                                                  bool end_of_stream);
    enum filter_data_status (*request_data)(struct filter *f, struct chain *data, bool end_of_stream);
    enum filter_trailers_status (*request_trailers)(struct filter *f, struct header_map *trailers);

    /* 1xx: seen by the router and codecs only. */
    enum filter_headers_status (*response_headers)(struct filter *f, struct header_map *headers,
                                                   bool end_of_stream);
    enum filter_data_status (*response_data)(struct filter *f, struct chain *data, bool end_of_stream);
    enum filter_trailers_status (*response_trailers)(struct filter *f, struct header_map *trailers);

    /* The response (or the lack of one) is complete: access logs and on_log. Headers and trailers are still
     * there. */
    void (*complete)(struct filter *f);
    /* Release what the state holds. Always the last call; also when init failed half-way. */
    void (*destroy)(struct filter *f);
    /* Router only: the response side is above (true) or below its watermark: stop or go on producing. */
    void (*response_backpressure)(struct filter *f, bool on);
    /* Body bytes that wait in the filter's own keeping; asked only when memory is short. */
    uint64_t (*held_bytes)(const struct filter *f);
};

/* One entry of a listener's filter chain: immutable, shared by workers, owned by the hcm_config. */
struct filter_config {
    const struct filter_ops *ops;
    const void *config; /* the filter's own immutable resource */
    struct slice name;  /* as written in the configuration */
    bool disabled;      /* unless a route enables it */
    void (*destroy)(void *config);
};

/* A chain as configured, the filter that sends things on last. */
struct filter_list {
    struct filter_config *items; /* in an arena of their owner */
    size_t count;
};

/* Calls each one's destroy. */
static inline void filter_list_fini(const struct filter_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->items[i].destroy)
            l->items[i].destroy((void *)(uintptr_t)l->items[i].config);
    }
}

/* One filter in one stream. Lives in the stream's arena. */
struct filter {
    const struct filter_ops *ops;
    const struct filter_config *config;
    struct stream *stream;
    struct http_chain *chain;
    void *state;
    uint16_t index;
    /* Private to the filter manager. */
    uint8_t request_state;
    uint8_t response_state;
    bool in_callback : 1;
    bool destroyed : 1;
    bool request_headers_seen : 1;
    bool response_headers_seen : 1;
};

/*
 * What a filter may ask of its stream. Never from another thread; never after destroy.
 */

/* Go on after a stop; not stopped is fine. Takes effect at once when the filter is not inside its callback,
 * otherwise when the callback returns. */
void filter_continue_request(struct filter *f);
void filter_continue_response(struct filter *f);
/* For a filter that stopped all at a message's headers because it could not run yet: shows them again, and
 * what came meanwhile follows as if it came now. Never from inside its callbacks. */
void filter_retry_request(struct filter *f);
void filter_retry_response(struct filter *f);
/* Shows a filter what it wanted later, in the order in which it came: `data` (moved), then `trailers` (NULL:
 * none). `end`: the message ends with that. Never from inside its callbacks. */
void filter_offer(struct filter *f, bool response, struct chain *data, struct header_map *trailers, bool end);

/* The filter's configuration of the most specific level of the route (weighted cluster, route, virtual host,
 * table) that has one: a level may only switch the filter on or off. NULL: none has. */
const void *filter_route_config(const struct filter *f);

/* Header maps and bodies; NULL when not there (yet). The buffered body is what stopped filters have kept. */
struct header_map *filter_request_headers(struct filter *f);
struct header_map *filter_request_trailers(struct filter *f);
struct header_map *filter_response_headers(struct filter *f);
struct header_map *filter_response_trailers(struct filter *f);
struct chain *filter_request_body(struct filter *f); /* buffered at this filter; never NULL, may be empty */
struct chain *filter_response_body(struct filter *f);
/* After bytes were taken out of a buffered body: a sender that was held back may go on. */
void filter_body_drained(struct filter *f);
/* Creates trailers in the callback of the last data (end_of_stream true), which is then not the end. NULL
 * otherwise. */
struct header_map *filter_add_request_trailers(struct filter *f);
struct header_map *filter_add_response_trailers(struct filter *f);

/* Answers in place of the upstream: runs the response filters from the first to be called in reverse order as
 * Envoy does for local replies. Ignored (false) when response headers have gone to the codec: the stream is
 * reset instead. */
struct local_reply;
bool filter_local_reply(struct filter *f, const struct local_reply *reply);
/* Ends the stream hard; `details` is a constant string for the access log. */
void filter_reset_stream(struct filter *f, const char *details);
/* The same on purpose, as Envoy logs it: no response flag, and `details` only where none are known yet. */
void filter_close_stream(struct filter *f, const char *details);
/* Match the route again at the next use. */
void filter_clear_route(struct filter *f);

/* The router hands the upstream's answer to the chain by these, in this order, each part once. Data is moved.
 */
void filter_encode_informational(struct filter *f, struct header_map *headers);
void filter_encode_headers(struct filter *f, struct header_map *headers, bool end_of_stream);
void filter_encode_data(struct filter *f, struct chain *data, bool end_of_stream);
void filter_encode_trailers(struct filter *f, struct header_map *trailers);
/* The router cannot take more request body (on) / can again (off): stops reading from the client. */
void filter_request_backpressure(struct filter *f, bool on);

#endif
