/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HealthCheckEvent as JSON. The order of members is Envoy's.
 */
#include "upstream/health_event.h"

#include "upstream/event_line.h"
#include "upstream/host.h"

static void put_failure(struct strbuf *line, const struct health_event *e)
{
    strbuf_printf(line, "\"failure_type\":\"%s\"", health_failure_name(e->failure));
    if (e->kind == HEALTH_EVENT_FAILED)
        strbuf_printf(line, ",\"first_check\":%s", e->first ? "true" : "false");
    strbuf_printf(line, ",\"http_status_code\":%u}", e->status);
}

/* Members of the oneof that come before the time, by their numbers. */
static void put_early(struct strbuf *line, const struct health_event *e)
{
    if (e->kind == HEALTH_EVENT_EJECTED) {
        strbuf_append_str(line, ",\"eject_unhealthy_event\":{");
        put_failure(line, e);
    } else if (e->kind == HEALTH_EVENT_ADDED) {
        strbuf_printf(line, ",\"add_healthy_event\":{\"first_check\":%s}", e->first ? "true" : "false");
    }
}

static void put_late(struct strbuf *line, const struct health_event *e)
{
    if (e->kind == HEALTH_EVENT_FAILED) {
        strbuf_append_str(line, ",\"health_check_failure_event\":{");
        put_failure(line, e);
    } else if (e->kind == HEALTH_EVENT_DEGRADED) {
        strbuf_append_str(line, ",\"degraded_healthy_host\":{}");
    } else if (e->kind == HEALTH_EVENT_NO_LONGER_DEGRADED) {
        strbuf_append_str(line, ",\"no_longer_degraded_host\":{}");
    }
}

void health_event_write(struct log_file *file, const struct health_event *e)
{
    static const char *const kinds[] = {[HEALTH_HTTP] = "HTTP", [HEALTH_TCP] = "TCP", [HEALTH_GRPC] = "GRPC"};
    static const char *const places[] = {"region", "zone", "sub_zone"};
    struct strbuf line;
    event_line_begin(&line);
    strbuf_printf(&line, "{\"health_checker_type\":\"%s\",\"host\":", kinds[e->checker]);
    event_line_address(&line, e->host);
    strbuf_append_str(&line, ",\"cluster_name\":");
    strbuf_append_json(&line, e->cluster);
    put_early(&line, e);
    strbuf_append_char(&line, ',');
    event_line_timestamp(&line);
    put_late(&line, e);
    strbuf_append_str(&line, ",\"locality\":");
    for (int i = 0; i < 3; i++) {
        strbuf_printf(&line, "%s\"%s\":", i ? "," : "{", places[i]);
        strbuf_append_json(&line, slice_str(e->host->locality[i]));
    }
    strbuf_append_char(&line, '}');
    if (e->kind == HEALTH_EVENT_PASSED)
        strbuf_append_str(&line, ",\"successful_health_check_event\":{}");
    strbuf_append_char(&line, '}');
    event_line_end(&line, file);
}
