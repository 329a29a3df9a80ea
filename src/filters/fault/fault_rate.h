/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A body that passes at so many bytes per second. It keeps what is too early, and its sender is held back
 * meanwhile: it never takes in more than came before that.
 */
#ifndef WEIR_FILTERS_FAULT_RATE_H
#define WEIR_FILTERS_FAULT_RATE_H

#include "net/timer.h"
#include "proxy/filter.h"

struct fault_rate {
    struct filter *filter;
    uint64_t bytes_per_s; /* 0: everything passes */
    uint64_t credit;      /* thousandths of bytes that may pass */
    uint64_t since_ms;    /* when that was so; 0: nothing has come yet */
    struct chain held;
    struct header_map *trailers; /* behind it */
    bool end;                    /* the body ends with what is held */
    bool passing;                /* what comes now is what may pass */
    struct timer timer;
};

void fault_rate_init(struct fault_rate *r, struct filter *f);
void fault_rate_begin(struct fault_rate *r, uint64_t kib_per_s);
void fault_rate_fini(struct fault_rate *r);

/* The filter's callbacks for that body. */
enum filter_data_status fault_rate_data(struct fault_rate *r, struct chain *data, bool end);
enum filter_trailers_status fault_rate_trailers(struct fault_rate *r, struct header_map *trailers);

#endif
