/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of a run. A plugin that logs without end is cut off and counted, not refused.
 */
#include "cli/journal.h"

#include "base/assert.h"
#include "cli/cli.h"
#include "cli/limits.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const level_names[] = {"trace", "debug", "info", "warn", "error", "critical"};
static const char *const type_names[] = {"counter", "gauge", "histogram"};

void journal_init(struct journal *j, enum pw_log_level level)
{
    *j = (struct journal){.level = level};
    pthread_mutex_init(&j->lock, NULL);
    strbuf_init(&j->text, CLI_LOG_BYTES_MAX);
    map_init(&j->metrics);
}

void journal_fini(struct journal *j)
{
    size_t cursor = 0;
    for (struct map_entry *e; (e = map_next(&j->metrics, &cursor));)
        free(e->value);
    map_fini(&j->metrics);
    strbuf_fini(&j->text);
    free(j->lines);
    pthread_mutex_destroy(&j->lock);
}

static bool reserve_line(struct journal *j)
{
    if (j->lines_count < j->lines_cap)
        return true;
    size_t cap = j->lines_cap ? j->lines_cap * 2 : 64;
    struct journal_line *bigger =
        j->lines_count < CLI_LOG_LINES_MAX ? realloc(j->lines, cap * sizeof(*bigger)) : NULL;
    if (!bigger)
        return false;
    j->lines = bigger;
    j->lines_cap = cap;
    return true;
}

void journal_log(struct journal *j, const struct pw_log_record *record)
{
    if (record->level < j->level)
        return;
    pthread_mutex_lock(&j->lock);
    size_t offset = j->text.len;
    if (reserve_line(j) && strbuf_append(&j->text, slice_of(record->text.ptr, record->text.len)))
        j->lines[j->lines_count++] =
            (struct journal_line){record->level, record->from_guest, offset, record->text.len};
    else
        j->lines_dropped++;
    pthread_mutex_unlock(&j->lock);
}

void *journal_metric_define(struct journal *j, enum pw_metric_type type, struct pw_slice name)
{
    struct slice key = slice_of(name.ptr, name.len);
    pthread_mutex_lock(&j->lock);
    struct journal_metric *metric = map_get(&j->metrics, key);
    if (!metric && (metric = calloc(1, sizeof(*metric)))) {
        metric->type = type;
        if (!map_put(&j->metrics, key, metric)) {
            free(metric);
            metric = NULL;
        }
    }
    pthread_mutex_unlock(&j->lock);
    return metric;
}

void journal_metric_add(struct journal *j, struct journal_metric *metric, int64_t delta)
{
    pthread_mutex_lock(&j->lock);
    metric->value += (uint64_t)delta;
    pthread_mutex_unlock(&j->lock);
}

void journal_metric_record(struct journal *j, struct journal_metric *metric, uint64_t value)
{
    pthread_mutex_lock(&j->lock);
    metric->value = value;
    metric->samples++;
    metric->sum += value;
    pthread_mutex_unlock(&j->lock);
}

uint64_t journal_metric_get(struct journal *j, struct journal_metric *metric)
{
    pthread_mutex_lock(&j->lock);
    uint64_t value = metric->value;
    pthread_mutex_unlock(&j->lock);
    return value;
}

void journal_costs_note(struct journal *j)
{
    for (unsigned i = 0; i < PW_CALLBACKS_MAX; i++) {
        uint64_t calls = j->costs.callback[i].calls - j->seen.callback[i].calls;
        uint64_t cycles = j->costs.callback[i].cycles - j->seen.callback[i].cycles;
        if (calls > 0 && cycles / calls > j->cycles_max[i])
            j->cycles_max[i] = cycles / calls; /* a step runs a callback more than once only at a queue */
    }
    j->seen = j->costs;
}

json_t *journal_json_lines(const struct journal *j, size_t first)
{
    json_t *list = json_array();
    for (size_t i = first; i < j->lines_count; i++) {
        const struct journal_line *line = &j->lines[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o}", "level",
                            level_names[line->level <= PW_LOG_CRITICAL ? line->level : PW_LOG_CRITICAL],
                            "from", line->from_guest ? "plugin" : "host", "text",
                            cli_json_string(slice_of(j->text.ptr + line->offset, line->len))));
    }
    return list;
}

json_t *journal_json_metrics(const struct journal *j)
{
    json_t *object = json_object();
    size_t cursor = 0;
    for (struct map_entry *e; (e = map_next(&j->metrics, &cursor));) {
        const struct journal_metric *m = e->value;
        json_t *value = json_pack("{s:s, s:I}", "type", type_names[m->type], "value", (json_int_t)m->value);
        if (m->type == PW_METRIC_HISTOGRAM)
            json_object_update_new(
                value, json_pack("{s:I, s:I}", "samples", (json_int_t)m->samples, "sum", (json_int_t)m->sum));
        json_t *name = cli_json_string(map_entry_key(e));
        json_object_set_new(object, json_string_value(name), value);
        json_decref(name);
    }
    return object;
}

static double to_us(const struct pw_host *host, uint64_t cycles)
{
    return (double)pw_host_cycles_to_ns(host, cycles) / 1e3;
}

json_t *journal_json_costs(const struct journal *j, const struct pw_host *host)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < PW_CALLBACKS_MAX && pw_callback_name(i); i++) {
        const struct pw_cost *c = &j->costs.callback[i];
        char name[64];
        if (c->calls == 0)
            continue;
        snprintf(name, sizeof(name), "proxy_%s", pw_callback_name(i));
        json_array_append_new(
            list, json_pack("{s:s, s:I, s:f, s:f, s:f, s:I, s:I, s:I}", "callback", name, "count",
                            (json_int_t)c->calls, "total_us", to_us(host, c->cycles), "mean_us",
                            to_us(host, c->cycles) / (double)c->calls, "max_us",
                            to_us(host, j->cycles_max[i]), "host_calls", (json_int_t)c->host_calls, "bytes",
                            (json_int_t)c->bytes, "failures", (json_int_t)c->failures));
    }
    return list;
}

json_t *journal_json_limits(const struct journal *j)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < PW_LIMIT_COUNT; i++)
        if (j->costs.limit_hits[i] > 0)
            json_object_set_new(object, pw_limit_name((enum pw_limit)i),
                                json_integer((json_int_t)j->costs.limit_hits[i]));
    return object;
}
