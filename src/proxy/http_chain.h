/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters in their order, and where a request and its answer stand between them: those of a stream, or those
 * of one try at an upstream. Private to the connection manager's own files and the router's.
 */
#ifndef WEIR_PROXY_HTTP_CHAIN_H
#define WEIR_PROXY_HTTP_CHAIN_H

#include "proxy/filter.h"

/* Why a direction is held back; bits. */
enum stream_hold {
    HOLD_FILTER_BUFFER = 1, /* a stopped filter's buffer is above the limit */
    HOLD_FILTER_LATER = 16, /* a filter cannot look at more now */
    HOLD_ROUTER = 2, /* request: the last filter takes no more; response of a try: the router does not */
    HOLD_CONN = 4,   /* response only: the downstream socket takes no more */
    HOLD_WINDOW = 8, /* response only: the client's HTTP/2 window is closed */
};

/* One direction through the filters. Filters are visited by position: request from the first to the last,
 * response from the last to the first. */
struct fm_side {
    struct header_map **headers; /* where the message's maps are, each NULL when not there (yet) */
    struct header_map **trailers;
    bool response;
    bool has_buffer; /* `buffer` is to be handed on, even when it is empty */
    bool streaming;  /* above the limit: push back instead of failing */
    bool ended;      /* the end of the message has entered the filters */
    bool aborted;    /* no filter is called any more */
    uint8_t holds;   /* enum stream_hold */
    uint16_t cut;    /* a filter ended the message before its end (CONTINUE_AND_END): for those from this
                        position on it has ended. 0: none did, as nobody stands before the first */
    struct chain buffer;
};

struct http_chain;
struct local_reply;

/* What is at the ends of a chain that is not the stream's own. */
struct http_chain_ends {
    /* The answer has passed all filters. */
    void (*headers)(struct http_chain *c, bool end);
    void (*data)(struct http_chain *c, struct chain *data, bool end);
    void (*trailers)(struct http_chain *c);
    /* The request is held back, or may go on. */
    void (*hold)(struct http_chain *c, bool on);
    /* A filter answers in place of the upstream. Nothing goes through the chain after that. */
    bool (*reply)(struct http_chain *c, const struct local_reply *reply);
};

struct http_chain {
    struct stream *stream;
    const struct http_chain_ends *ends; /* NULL: the stream's own chain */
    struct filter *filters;             /* in chain order */
    uint16_t count;
    struct fm_side request;
    struct fm_side response;
};

/* Makes the filters of the list that take part: all that are not disabled, or as the stream's route says too.
 * false: one could not be made, or memory is out. */
bool http_chain_create(struct http_chain *c, const struct filter_list *list, bool by_route);
void filters_request_headers(struct http_chain *c, bool end);
/* Moves all bytes out of `data`. */
void filters_request_data(struct http_chain *c, struct chain *data, bool end);
void filters_request_trailers(struct http_chain *c);
/* The response side from its first filter; its headers are set. */
void filters_response_headers(struct http_chain *c, bool end);
void filters_response_data(struct http_chain *c, struct chain *data, bool end);
void filters_response_trailers(struct http_chain *c);
void filters_complete(struct http_chain *c);
void filters_destroy(struct http_chain *c);
void filters_hold_request(struct http_chain *c, enum stream_hold why, bool on);
void filters_hold_response(struct http_chain *c, enum stream_hold why, bool on);

#endif
