/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a connection manager's resource: Envoy's defaults, sealing, references. Nothing here runs per
 * request.
 */
#include "proxy/hcm_config.h"

#include "base/assert.h"
#include "base/refs.h"
#include "proxy/routing/header_steps.h"
#include "proxy/routing/route_config.h"

#include <stdlib.h>

struct hcm_config *hcm_config_create(void)
{
    struct hcm_config *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    atomic_init(&h->refs, 1);
    arena_init(&h->arena, HCM_CONFIG_BYTES_MAX, NULL);
    h->idle_timeout_ms = 3600 * 1000;
    h->stream_idle_timeout_ms = 300 * 1000;
    h->drain_timeout_ms = 5000;
    h->delayed_close_timeout_ms = 1000;
    h->max_request_headers_bytes = 60 * 1024;
    h->max_headers_count = 100;
    h->server_name = SLICE_LIT("envoy");
    h->generate_request_id = true;
    h->http1.allow_absolute_url = true;
    h2_settings_default(&h->http2);
    return h;
}

void hcm_config_seal(struct hcm_config *h)
{
    struct slice p = h->stat_prefix;
#define HCM_STAT_X(stat, kind) h->stats.stat = stat_##kind("http." SLICE_FMT "." #stat, SLICE_ARG(p));
    HCM_STATS(HCM_STAT_X)
#undef HCM_STAT_X
    h->http1.headers_count_max = h->max_headers_count;
    h->http1.headers_bytes_max = h->max_request_headers_bytes;
    h->http1.allow_upgrade = true; /* refused here with 403, as Envoy does, not ignored by the codec */
    h->http1.allow_connect = true; /* a route may enable it */
    h->http2.headers_count_max = h->max_headers_count;
    h->http2.headers_bytes_max = h->max_request_headers_bytes;
    h2_stats_init(&h->http2_stats, SLICE_LIT(""));
#define HTTP1_STAT_X(stat) h->http1_stats.stat = stat_counter("http1." #stat);
    HTTP1_STATS(HTTP1_STAT_X)
#undef HTTP1_STAT_X
}

void hcm_config_seal_listener(const struct hcm_config *hcm, const char *prefix)
{
    struct hcm_config *h = (struct hcm_config *)(uintptr_t)hcm;
#define HCM_LISTENER_STAT_X(name, class)                                                                     \
    h->listener_stats[class] = stat_counter("%shttp." SLICE_FMT "." #name, prefix, SLICE_ARG(h->stat_prefix));
    HCM_LISTENER_STATS(HCM_LISTENER_STAT_X)
#undef HCM_LISTENER_STAT_X
}

const struct hcm_config *hcm_config_ref(const struct hcm_config *h)
{
    struct hcm_config *own = (struct hcm_config *)(uintptr_t)h;
    refs_take(&own->refs);
    return h;
}

static void format_destroy(struct stream_format *f)
{
    if (f)
        f->destroy(f);
}

static void mapper_fini(const struct hcm_reply_mapper *m)
{
    if (m->filter)
        m->filter->destroy(m->filter);
    format_destroy(m->format);
    for (size_t i = 0; i < m->headers_count; i++)
        format_destroy(m->headers[i].format);
}

static void hcm_config_free(struct hcm_config *h)
{
    filter_list_fini(&h->filters);
    for (size_t i = 0; i < h->early_steps_count; i++)
        header_steps_fini(&h->early_steps[i]);
    for (size_t i = 0; i < h->upgrades_count; i++)
        filter_list_fini(&h->upgrades[i].filters);
    for (size_t i = 0; i < h->access_logs_count; i++)
        h->access_logs[i]->destroy(h->access_logs[i]);
    for (size_t i = 0; i < h->reply_mappers_count; i++)
        mapper_fini(&h->reply_mappers[i]);
    format_destroy(h->reply_format);
    route_table_unref(&h->route_table);
    arena_fini(&h->arena);
    free(h);
}

void hcm_config_unref(const struct hcm_config **hcm)
{
    struct hcm_config *h = (struct hcm_config *)(uintptr_t)*hcm;
    *hcm = NULL;
    if (!h)
        return;
    if (refs_drop(&h->refs))
        hcm_config_free(h);
}
