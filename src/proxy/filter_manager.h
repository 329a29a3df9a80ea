/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of one filter in one direction, and where it stands in it. Private to filter_manager.c and
 * filter_api.c.
 */
#ifndef WEIR_PROXY_FILTER_MANAGER_H
#define WEIR_PROXY_FILTER_MANAGER_H

#include "proxy/stream_private.h"

/* filter->request_state, filter->response_state: bits. */
enum fm_state {
    FM_STOP_SINGLE = 1,        /* headers or data were held; further parts still come to this filter */
    FM_STOP_ALL = 2,           /* nothing comes to this filter */
    FM_STOP_ALL_WATERMARK = 4, /* ... and above the limit the sender is held back (with FM_STOP_ALL) */
    FM_HEADERS_PASSED = 8,     /* the headers went on behind this filter */
    FM_END_SEEN = 16,          /* this filter has seen the end of the message */
    FM_PENDING_CONTINUE = 32,  /* asked for in its own callback */
};
#define FM_STOPPED (FM_STOP_SINGLE | FM_STOP_ALL)

static inline struct fm_side *fm_side(struct http_chain *c, bool response)
{
    return response ? &c->response : &c->request;
}
static inline struct filter *fm_at(const struct http_chain *c, const struct fm_side *side, unsigned pos)
{
    return &c->filters[side->response ? c->count - 1u - pos : pos];
}
static inline unsigned fm_pos(const struct filter *f, const struct fm_side *side)
{
    return side->response ? f->chain->count - 1u - f->index : f->index;
}
static inline uint8_t *fm_state(struct filter *f, const struct fm_side *side)
{
    return side->response ? &f->response_state : &f->request_state;
}
static inline bool fm_dead(const struct http_chain *c, const struct fm_side *side)
{
    return side->aborted || c->stream->priv->reset;
}

/*
 * While filters are called one after the other, the end of one is the beginning of the next for those that
 * count their time. Off when the loop over them ends, and while anything else runs.
 */
static inline void fm_laps(const struct stream *s, bool on)
{
    s->worker->filter_lap = on;
}

/* Answers in place of the upstream, from a filter of this chain. */
static inline bool fm_reply(struct http_chain *c, const struct local_reply *reply)
{
    return WEIR_UNLIKELY(c->ends != NULL) ? c->ends->reply(c, reply) : stream_local_reply(c->stream, reply);
}

/* Goes on behind a stopped filter (or with it, when it was skipped). */
void fm_continue(struct filter *f, bool response);
/* Lets the sender go on when the buffer has room again. */
void fm_hold_release(struct http_chain *c, const struct fm_side *side);
/* Visits a filter again that stopped all at a message's headers. */
void fm_retry(struct filter *f, bool response);
/* Visits a filter with a part of a message that it wanted later. */
void fm_offer(struct filter *f, bool response, struct chain *data, struct header_map *trailers, bool end);

#endif
