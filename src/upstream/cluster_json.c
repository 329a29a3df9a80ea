/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cluster as Envoy's ClusterStatus message in JSON: what is zero, empty or false is left out, as protobuf
 * does it. Reads shared state only.
 */
#include "base/assert.h"
#include "base/strbuf.h"
#include "upstream/cluster_dump.h"

/* One member of an object; `*any` says whether a comma is needed. */
static void member(struct strbuf *out, int indent, bool *any, const char *name)
{
    strbuf_printf(out, "%s\n%*s\"%s\": ", *any ? "," : "", indent, "", name);
    *any = true;
}

static void put_text(struct strbuf *out, int indent, bool *any, const char *name, struct slice value)
{
    if (value.len == 0)
        return;
    member(out, indent, any, name);
    strbuf_append_json(out, value);
}

static void put_number(struct strbuf *out, int indent, bool *any, const char *name, uint32_t value)
{
    if (value == 0)
        return;
    member(out, indent, any, name);
    strbuf_printf(out, "%u", value);
}

static void put_address(struct strbuf *out, const struct address *a)
{
    char text[ADDRESS_TEXT_MAX];
    strbuf_append_str(out, "\n     \"address\": {");
    if (a->sa.sa_family == AF_UNIX) {
        strbuf_append_str(out, "\n      \"pipe\": {\n       \"path\": ");
        strbuf_append_json(out, slice_str(address_format(a, text)));
    } else {
        strbuf_append_str(out, "\n      \"socket_address\": {\n       \"address\": ");
        strbuf_append_json(out, slice_str(address_format_ip(a, text)));
        strbuf_printf(out, ",\n       \"port_value\": %u", address_port(a));
    }
    strbuf_append_str(out, "\n      }\n     }");
}

static void put_stat(struct strbuf *out, bool *any, const char *name, uint64_t value)
{
    bool gauge = slice_ends_with(slice_str(name), SLICE_LIT("_active"));
    strbuf_printf(out, "%s\n      {", *any ? "," : "");
    *any = true;
    if (gauge)
        strbuf_append_str(out, "\n       \"type\": \"GAUGE\",");
    strbuf_printf(out, "\n       \"name\": \"%s\"", name);
    if (value)
        strbuf_printf(out, ",\n       \"value\": \"%llu\"", (unsigned long long)value);
    strbuf_append_str(out, "\n      }");
}

static void put_stats(struct strbuf *out, const struct host *h)
{
    bool any = false;
    strbuf_append_str(out, ",\n     \"stats\": [");
#define HOST_COUNTER_X(name)                                                                                 \
    do {                                                                                                     \
        uint64_t sum = 0;                                                                                    \
        for (uint32_t i = 0; i < h->shards_count; i++)                                                       \
            sum += atomic_load_explicit(&h->shards[i].name, memory_order_relaxed);                           \
        put_stat(out, &any, #name, sum);                                                                     \
    } while (0);
    HOST_COUNTERS(HOST_COUNTER_X)
#undef HOST_COUNTER_X
    strbuf_append_str(out, "\n     ]");
}

static void put_health(struct strbuf *out, uint32_t flags)
{
    static const struct {
        uint32_t flag;
        const char *name;
    } members[] = {
        {HOST_FAILED_ACTIVE_HC, "failed_active_health_check"},
        {HOST_FAILED_OUTLIER_CHECK, "failed_outlier_check"},
        {HOST_DEGRADED_ACTIVE_HC, "failed_active_degraded_check"},
        {HOST_PENDING_DYNAMIC_REMOVAL, "pending_dynamic_removal"},
        {HOST_PENDING_ACTIVE_HC, "pending_active_hc"},
        {HOST_EXCLUDED_VIA_IMMEDIATE_HC_FAIL, "excluded_via_immediate_hc_fail"},
        {HOST_ACTIVE_HC_TIMEOUT, "active_hc_timeout"},
    };
    const char *eds = flags & HOST_EDS_STATUS_DRAINING   ? "DRAINING"
                      : flags & HOST_FAILED_EDS_HEALTH   ? "UNHEALTHY"
                      : flags & HOST_DEGRADED_EDS_HEALTH ? "DEGRADED"
                                                         : "HEALTHY";
    bool any = false;
    strbuf_append_str(out, ",\n     \"health_status\": {");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(members); i++) {
        if (!(flags & members[i].flag))
            continue;
        member(out, 6, &any, members[i].name);
        strbuf_append_str(out, "true");
    }
    put_text(out, 6, &any, "eds_health_status", slice_str(eds));
    strbuf_append_str(out, "\n     }");
}

static void put_host(struct strbuf *out, struct cluster *c, const struct host *h)
{
    static const char *const places[] = {"region", "zone", "sub_zone"};
    struct address address = cluster_host_address(c, h);
    bool any = true, place = false;
    put_address(out, &address);
    put_stats(out, h);
    put_health(out, host_health_flags(h));
    put_number(out, 5, &any, "weight", h->weight);
    put_text(out, 5, &any, "hostname", slice_str(h->hostname));
    put_number(out, 5, &any, "priority", h->priority);
    member(out, 5, &any, "locality");
    strbuf_append_str(out, "{");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(places); i++)
        put_text(out, 6, &place, places[i], slice_str(h->locality[i]));
    strbuf_append_str(out, place ? "\n     }" : "}");
}

static void put_breakers(struct strbuf *out, const struct cluster_config *config)
{
    strbuf_append_str(out, ",\n   \"circuit_breakers\": {\n    \"thresholds\": [");
    for (int i = 0; i < BREAKER_PRIORITY_COUNT; i++) {
        const struct breaker_config *b = &config->breakers[i];
        bool any = false;
        strbuf_append_str(out, i == 0 ? "\n     {" : ",\n     {");
        if (i == BREAKER_HIGH)
            put_text(out, 6, &any, "priority", SLICE_LIT("HIGH"));
        member(out, 6, &any, "max_connections");
        strbuf_printf(out, "%u", b->max_connections);
        member(out, 6, &any, "max_pending_requests");
        strbuf_printf(out, "%u", b->max_pending_requests);
        member(out, 6, &any, "max_requests");
        strbuf_printf(out, "%u", b->max_requests);
        member(out, 6, &any, "max_retries");
        strbuf_printf(out, "%u\n     }", b->max_retries);
    }
    strbuf_append_str(out, "\n    ]\n   }");
}

void cluster_json(struct cluster *c, struct strbuf *out)
{
    struct host_set *hosts = cluster_hosts(c);
    bool any = false;
    strbuf_append_str(out, "\n  {");
    put_text(out, 3, &any, "name", c->config->name);
    if (hosts->count > 0)
        strbuf_append_str(out, ",\n   \"host_statuses\": [");
    for (uint32_t i = 0; i < hosts->count; i++) {
        strbuf_append_str(out, i == 0 ? "\n    {" : ",\n    {");
        put_host(out, c, hosts->hosts[i]);
        strbuf_append_str(out, "\n    }");
    }
    if (hosts->count > 0)
        strbuf_append_str(out, "\n   ]");
    put_breakers(out, c->config);
    put_text(out, 3, &any, "observability_name", c->config->alt_stat_name);
    strbuf_append_str(out, "\n  }");
    host_set_unref(&hosts);
}
