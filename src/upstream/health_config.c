/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Defaults, checks and small questions of a health check's configuration.
 */
#include "upstream/health_config.h"

#include "base/assert.h"
#include "telemetry/log.h"

#define NO_TRAFFIC_DEFAULT_MS 60000u
#define RESPONSE_DEFAULT      1024u
#define STATUS_MIN            100u
#define STATUS_END            600u

void health_config_defaults(struct health_config *h)
{
    h->no_traffic_interval_ms = NO_TRAFFIC_DEFAULT_MS;
    h->reuse_connection = true;
    h->response_max = RESPONSE_DEFAULT;
    h->method = SLICE_LIT("GET");
}

static void finish_range(const struct health_range *r, const char *name, size_t i, const char *path,
                         struct build_errors *errors)
{
    char at[BUILD_PATH_BYTES_MAX];
    if (r->start >= r->end || r->start < STATUS_MIN || r->end > STATUS_END)
        build_error(errors, build_path(at, path, "http_health_check.%s[%u]", name, (unsigned)i),
                    "must be a range of statuses: 100 <= start < end <= 600");
}

static bool method_takes_body(struct slice method)
{
    return !slice_eq(method, SLICE_LIT("GET")) && !slice_eq(method, SLICE_LIT("HEAD")) &&
           !slice_eq(method, SLICE_LIT("DELETE")) && !slice_eq(method, SLICE_LIT("TRACE"));
}

static void finish_http(const struct health_config *h, const char *path, struct build_errors *errors)
{
    char at[BUILD_PATH_BYTES_MAX];
    size_t expected = 0;
    for (size_t i = 0; i < h->pass_count; i++)
        finish_range(&h->pass[i], "expected_statuses", i, path, errors);
    for (size_t i = 0; i < h->retriable_count; i++)
        finish_range(&h->retriable[i], "retriable_statuses", i, path, errors);
    if (h->send.len > 0 && !method_takes_body(h->method))
        build_error(errors, build_path(at, path, "http_health_check.send"),
                    "cannot be sent with the method " SLICE_FMT "; write POST, PUT, PATCH or OPTIONS",
                    SLICE_ARG(h->method));
    for (size_t i = 0; i < h->receive_count; i++)
        expected += h->receive[i].len;
    if (h->response_max && expected > h->response_max)
        build_error(errors, build_path(at, path, "http_health_check.receive"),
                    "is longer than response_buffer_size (%llu bytes)", (unsigned long long)h->response_max);
}

bool health_config_finish(struct health_config *h, const char *path, struct build_errors *errors)
{
    unsigned before = errors->count;
    if (h->no_traffic_healthy_interval_ms == 0)
        h->no_traffic_healthy_interval_ms = h->no_traffic_interval_ms;
    if (h->unhealthy_interval_ms == 0)
        h->unhealthy_interval_ms = h->interval_ms;
    if (h->unhealthy_edge_interval_ms == 0)
        h->unhealthy_edge_interval_ms = h->unhealthy_interval_ms;
    if (h->healthy_edge_interval_ms == 0)
        h->healthy_edge_interval_ms = h->interval_ms;
    if (h->kind == HEALTH_HTTP)
        finish_http(h, path, errors);
    return errors->count == before;
}

void health_config_fini(struct health_config *h)
{
    if (h->service_name.fini)
        h->service_name.fini(h->service_name.matcher);
    if (h->events)
        log_file_unref(&h->events);
}

static bool in_ranges(const struct health_range *ranges, size_t count, unsigned status)
{
    for (size_t i = 0; i < count; i++) {
        if (status >= ranges[i].start && status < ranges[i].end)
            return true;
    }
    return false;
}

bool health_config_passes(const struct health_config *h, unsigned status)
{
    return h->pass_count ? in_ranges(h->pass, h->pass_count, status) : status == 200;
}

bool health_config_retriable(const struct health_config *h, unsigned status)
{
    return in_ranges(h->retriable, h->retriable_count, status);
}

bool health_receive_match(const struct health_config *h, struct slice bytes)
{
    for (size_t i = 0; i < h->receive_count; i++) {
        ptrdiff_t at = slice_find(bytes, h->receive[i]);
        if (at < 0)
            return false;
        bytes = slice_skip(bytes, (size_t)at + h->receive[i].len);
    }
    return true;
}

static int hex_digit(char c)
{
    c = ascii_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool health_hex(struct arena *arena, const char *text, struct slice *out)
{
    size_t len = strlen(text);
    char *bytes = arena_alloc_text(arena, len / 2 + 1);
    if (!bytes || len % 2 != 0)
        return false;
    for (size_t i = 0; i < len; i += 2) {
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i / 2] = (char)(high << 4 | low);
    }
    *out = slice_of(bytes, len / 2);
    return true;
}
