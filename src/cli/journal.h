/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a plugin did during a run, besides the messages: log lines, metrics, cost of callbacks. Filled by the
 * host's callbacks, which may come from several threads; read when no guest runs.
 */
#ifndef WEIR_CLI_JOURNAL_H
#define WEIR_CLI_JOURNAL_H

#include "base/map.h"
#include "base/strbuf.h"

#include <jansson.h>
#include <proxywasm/proxywasm.h>
#include <pthread.h>

struct journal_line {
    enum pw_log_level level;
    bool from_guest;
    size_t offset; /* of its text */
    size_t len;
};

struct journal_metric {
    enum pw_metric_type type;
    uint64_t value; /* of a histogram: the last sample */
    uint64_t samples;
    uint64_t sum;
};

struct journal {
    pthread_mutex_t lock;
    struct strbuf text; /* of all lines */
    struct journal_line *lines;
    size_t lines_count;
    size_t lines_cap;
    uint64_t lines_dropped;
    enum pw_log_level level; /* lines below are not kept */
    struct map metrics;      /* struct journal_metric */
    struct pw_costs costs;   /* the library adds to them (pw_root_set_costs) */
    struct pw_costs seen;    /* as journal_costs_note found them last */
    uint64_t cycles_max[PW_CALLBACKS_MAX];
};

void journal_init(struct journal *j, enum pw_log_level level);
void journal_fini(struct journal *j);
/* Sets log, log_level and the metric callbacks; their ctx is the journal. Clocks and the rest stay. */
void journal_log(struct journal *j, const struct pw_log_record *record);
void *journal_metric_define(struct journal *j, enum pw_metric_type type, struct pw_slice name);
void journal_metric_add(struct journal *j, struct journal_metric *metric, int64_t delta);
void journal_metric_record(struct journal *j, struct journal_metric *metric, uint64_t value);
uint64_t journal_metric_get(struct journal *j, struct journal_metric *metric);

/* To be called after each step of the guest: notes the longest callback. */
void journal_costs_note(struct journal *j);

/* Lines from `first` on: [{"level": "info", "text": "..."}]. */
json_t *journal_json_lines(const struct journal *j, size_t first);
/* {"name": {"type": "counter", "value": 3}} */
json_t *journal_json_metrics(const struct journal *j);
json_t *journal_json_costs(const struct journal *j, const struct pw_host *host);
/* {"log_lines_per_sec": 12}: limits that were passed, and how often. */
json_t *journal_json_limits(const struct journal *j);

#endif
