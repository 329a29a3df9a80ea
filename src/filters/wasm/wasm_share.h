/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a request's callbacks when their plugin has used up its share of the worker's time. A
 * stream that only begins gets the fallback (wasm_filter.c). One that is under way and whose plugin may be
 * left out goes on without it where nothing would be cut in two; every other one waits for the next second,
 * with its sender held back. Private to this folder.
 */
#ifndef WEIR_FILTERS_WASM_WASM_SHARE_H
#define WEIR_FILTERS_WASM_WASM_SHARE_H

#include "filters/wasm/wasm_filter.h"

/* What waits of one direction: its headers, or what came behind them. */
struct wasm_later_part {
    bool headers;
    bool waits;
    bool end;
    struct chain data;
    struct header_map *trailers;
};

/* In the stream's arena, from the first time that something waits. */
struct wasm_later {
    struct wasm_stream *st;
    struct timer timer;
    uint64_t since_ms; /* loop time since which nothing was shown to the plugin */
    struct wasm_later_part part[2];
};

/* Whether earlier parts of the direction wait: then the next one does too. */
static inline bool wasm_share_waits(const struct wasm_stream *st, enum wasm_direction d)
{
    return WEIR_UNLIKELY(st->later != NULL) && st->later->part[d].waits;
}

/* Then, or when no share is left: true when the callback will be made later (the data was taken), false when
 * the fallback is due. */
bool wasm_share_later_headers(struct wasm_stream *st);
bool wasm_share_later_data(struct wasm_stream *st, enum wasm_direction d, struct chain *data, bool end);
bool wasm_share_later_trailers(struct wasm_stream *st, enum wasm_direction d, struct header_map *map);
/* The plugin is out of the stream: what waits goes on without it, soon. */
void wasm_share_bypass(struct wasm_stream *st);
/* The stream ends: nothing waits any more. */
void wasm_share_drop(struct wasm_stream *st);

#endif
