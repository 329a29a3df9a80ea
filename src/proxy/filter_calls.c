/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calling one filter's function: keeps count of what is on the stack, so that a local reply or an end never
 * enters a filter that is still in another of its callbacks.
 */
#include "proxy/filter_manager.h"

struct call_mark {
    bool was_in_callback;
    bool takes_laps;
};

static inline struct call_mark call_enter(struct filter *f)
{
    struct call_mark mark = {f->in_callback, f->ops->takes_laps};
    WEIR_ASSERT(!f->destroyed);
    if (!mark.takes_laps)
        fm_laps(f->stream, false);
    f->in_callback = true;
    f->stream->priv->callbacks++;
    return mark;
}

static inline void call_leave(struct filter *f, bool response, struct call_mark mark)
{
    struct stream_private *p = f->stream->priv;
    f->in_callback = mark.was_in_callback;
    WEIR_ASSERT(p->callbacks > 0);
    p->callbacks--;
    /* The other direction was told to go on; this one's loop looks after its own. */
    uint8_t *other = response ? &f->request_state : &f->response_state;
    if (!f->in_callback && (*other & FM_PENDING_CONTINUE)) {
        *other &= (uint8_t)~FM_PENDING_CONTINUE;
        fm_continue(f, !response);
    }
    if (p->callbacks == 0 && p->reply_prepared)
        stream_reply_execute(f->stream);
    if (!mark.takes_laps)
        fm_laps(f->stream, true);
}

enum filter_headers_status filter_call_headers(struct filter *f, bool response, struct header_map *headers,
                                               bool end)
{
    enum filter_headers_status (*fn)(struct filter *, struct header_map *, bool) =
        response ? f->ops->response_headers : f->ops->request_headers;
    if (response)
        f->response_headers_seen = true;
    else
        f->request_headers_seen = true;
    if (!fn)
        return FILTER_HEADERS_CONTINUE;
    struct call_mark mark = call_enter(f);
    enum filter_headers_status status = fn(f, headers, end);
    call_leave(f, response, mark);
    return status;
}

enum filter_data_status filter_call_data(struct filter *f, bool response, struct chain *data, bool end)
{
    enum filter_data_status (*fn)(struct filter *, struct chain *, bool) =
        response ? f->ops->response_data : f->ops->request_data;
    if (!fn)
        return FILTER_DATA_CONTINUE;
    struct call_mark mark = call_enter(f);
    enum filter_data_status status = fn(f, data, end);
    call_leave(f, response, mark);
    return status;
}

enum filter_trailers_status filter_call_trailers(struct filter *f, bool response, struct header_map *trailers)
{
    enum filter_trailers_status (*fn)(struct filter *, struct header_map *) =
        response ? f->ops->response_trailers : f->ops->request_trailers;
    if (!fn)
        return FILTER_TRAILERS_CONTINUE;
    struct call_mark mark = call_enter(f);
    enum filter_trailers_status status = fn(f, trailers);
    call_leave(f, response, mark);
    return status;
}
