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

/* Cost of one callback, or group of callbacks that always run together. */
struct journal_cost {
    const char *name;
    uint64_t count;
    uint64_t time_ns;
    uint64_t time_max_ns;
    uint64_t host_calls;
};

#define JOURNAL_COSTS_MAX 16

struct journal {
    pthread_mutex_t lock;
    struct strbuf text; /* of all lines */
    struct journal_line *lines;
    size_t lines_count;
    size_t lines_cap;
    uint64_t lines_dropped;
    enum pw_log_level level; /* lines below are not kept */
    struct map metrics;      /* struct journal_metric */
    struct journal_cost costs[JOURNAL_COSTS_MAX];
    size_t costs_count;
};

void journal_init(struct journal *j, enum pw_log_level level);
void journal_fini(struct journal *j);
/* Sets log, log_level and the metric callbacks; their ctx is the journal. Clocks and the rest stay. */
void journal_log(struct journal *j, const struct pw_log_record *record);
void *journal_metric_define(struct journal *j, enum pw_metric_type type, struct pw_slice name);
void journal_metric_add(struct journal *j, struct journal_metric *metric, int64_t delta);
void journal_metric_record(struct journal *j, struct journal_metric *metric, uint64_t value);
uint64_t journal_metric_get(struct journal *j, struct journal_metric *metric);

/* Adds what the VM spent between the two snapshots, when it was called at all. `name` is a constant. */
void journal_cost_add(struct journal *j, const char *name, const struct pw_vm_stats *before,
                      const struct pw_vm_stats *after);

/* Lines from `first` on: [{"level": "info", "text": "..."}]. */
json_t *journal_json_lines(const struct journal *j, size_t first);
/* {"name": {"type": "counter", "value": 3}} */
json_t *journal_json_metrics(const struct journal *j);
json_t *journal_json_costs(const struct journal *j);

#endif
