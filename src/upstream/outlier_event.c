/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OutlierDetectionEvent as JSON.
 */
#include "upstream/outlier_event.h"

#include "upstream/event_line.h"

static const char *kind_name(enum outlier_kind kind)
{
    static const char *const names[] = {
#define OUTLIER_KIND_X(id, name, enforcing) #id,
        OUTLIER_KINDS(OUTLIER_KIND_X)
#undef OUTLIER_KIND_X
    };
    return names[kind];
}

static unsigned percent(double value)
{
    return value > 0 ? (unsigned)value : 0;
}

static unsigned host_rate(const struct host *h, enum outlier_origin origin)
{
    return percent(atomic_load_explicit(&h->outlier->success_rate[origin], memory_order_relaxed));
}

static void put_reason(struct strbuf *line, const struct outlier_change *c)
{
    enum outlier_origin origin =
        c->kind == OUTLIER_SUCCESS_RATE_LOCAL_ORIGIN || c->kind == OUTLIER_FAILURE_PERCENTAGE_LOCAL_ORIGIN
            ? OUTLIER_LOCAL
            : OUTLIER_EXTERNAL;
    switch (c->kind) {
    case OUTLIER_SUCCESS_RATE:
    case OUTLIER_SUCCESS_RATE_LOCAL_ORIGIN:
        strbuf_printf(line,
                      ",\"eject_success_rate_event\":{\"host_success_rate\":%u,"
                      "\"cluster_average_success_rate\":%u,\"cluster_success_rate_ejection_threshold\":%u}",
                      host_rate(c->host, origin), percent(c->rates[origin].average),
                      percent(c->rates[origin].threshold));
        break;
    case OUTLIER_FAILURE_PERCENTAGE:
    case OUTLIER_FAILURE_PERCENTAGE_LOCAL_ORIGIN:
        strbuf_printf(line, ",\"eject_failure_percentage_event\":{\"host_success_rate\":%u}",
                      host_rate(c->host, origin));
        break;
    default:
        strbuf_append_str(line, ",\"eject_consecutive_event\":{}");
        break;
    }
}

void outlier_event_write(struct log_file *file, struct slice cluster, const struct outlier_change *c,
                         uint64_t now_ms)
{
    const struct outlier_host *o = c->host->outlier;
    uint64_t before_ms = c->ejected ? o->unejected_ms : o->ejected_ms;
    struct strbuf line;
    event_line_begin(&line);
    strbuf_printf(&line, "{\"type\":\"%s\",", kind_name(c->kind));
    event_line_timestamp(&line);
    if (before_ms)
        strbuf_printf(&line, ",\"secs_since_last_action\":\"%llu\"",
                      (unsigned long long)((now_ms - before_ms) / 1000));
    strbuf_append_str(&line, ",\"cluster_name\":");
    strbuf_append_json(&line, cluster);
    strbuf_append_str(&line, ",\"upstream_url\":");
    event_line_url(&line, c->host);
    strbuf_printf(&line, ",\"action\":\"%s\",\"num_ejections\":%u,\"enforced\":%s",
                  c->ejected ? "EJECT" : "UNEJECT", o->ejections, c->enforced ? "true" : "false");
    if (c->ejected)
        put_reason(&line, c);
    strbuf_append_char(&line, '}');
    event_line_end(&line, file);
}
