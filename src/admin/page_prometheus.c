/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /stats/prometheus: names without their variable parts, which become labels as Envoy's default tags do. A
 * plugin's own metric keeps its name, without the "envoy_" in front.
 */
#include "admin/plugin_costs.h"
#include "admin/stats_filter.h"
#include "base/assert.h"
#include "base/utf8.h"
#include "proxy/stat_tags.h"

#include <inttypes.h>
#include <stdlib.h>

/* Where the variable part of a name ends: cluster names and prefixes may hold dots, what follows them starts
 * like this. */
static const char *const cluster_rests[] = {"upstream_",
                                            "membership_",
                                            "update_",
                                            "lb_",
                                            "circuit_breakers.",
                                            "version",
                                            "max_host_weight",
                                            "bind_errors",
                                            "assignment_",
                                            "health_check.",
                                            "outlier_detection.",
                                            "external.",
                                            "internal.",
                                            "default.",
                                            "warming_state",
                                            "retry_or_shadow_",
                                            "retry.",
                                            "http1.",
                                            "http2.",
                                            NULL};
static const char *const virtual_host_rests[] = {"vcluster.", "route.", NULL};
static const char *const route_rests[] = {"upstream_rq_", NULL};
static const char *const http_rests[] = {"downstream_", "no_route", "no_cluster",  "rq_",
                                         "rs_",         "tracing.", "user_agent.", "passthrough_internal_",
                                         NULL};
static const char *const rate_limit_rests[] = {"rate_limited", NULL};
static const char *const http_rate_limit_rests[] = {"http_local_rate_limit.", NULL};
static const char *const listener_rests[] = {
    "downstream_", "no_filter_chain_match", "http.", "ssl.", "admin.", "worker_", "main_thread.", NULL};

/* Labels of one name: some hundred configured tags with long values. */
#define LABELS_BYTES_MAX (64u << 10)

struct split {
    char *name;   /* sanitised, with "envoy_" */
    char *labels; /* "a=\"b\",c=\"d\"" */
};

static void split_free(struct split *split)
{
    if (!split)
        return;
    free(split->name);
    free(split->labels);
    free(split);
}

struct sample {
    struct split *split;
    struct stat_view view;
};

struct samples {
    struct stats_filter filter;
    const struct stat_tags *tags;
    struct sample *items;
    size_t count;
    size_t cap;
    bool failed;
};

/* Offset of the '.' behind the variable part that begins `rest`, or -1. */
static ptrdiff_t variable_end(struct slice rest, const char *const *known)
{
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.ptr[i] != '.')
            continue;
        for (size_t k = 0; known[k]; k++) {
            if (slice_starts_with(slice_skip(rest, i + 1), slice_str(known[k])))
                return (ptrdiff_t)i;
        }
    }
    return -1;
}

/* A plugin can have any byte in its metrics' names; the format wants UTF-8. */
static void append_label(struct strbuf *labels, const char *key, struct slice value)
{
    strbuf_printf(labels, "%s%s=\"", labels->len ? "," : "", key);
    for (size_t i = 0, n; i < value.len; i += n) {
        n = utf8_sequence((const unsigned char *)value.ptr + i, value.len - i);
        if (value.ptr[i] == '\\' || value.ptr[i] == '"')
            strbuf_append_char(labels, '\\');
        if (value.ptr[i] == '\n')
            strbuf_append_str(labels, "\\n");
        else
            strbuf_append(labels, n ? slice_of(value.ptr + i, n) : SLICE_LIT("\xef\xbf\xbd"));
        n = n ? n : 1;
    }
    strbuf_append_char(labels, '"');
}

/* Cuts "PREFIX.<variable>." off the name's variable part. `name` becomes PREFIX.rest in `out`. */
static bool take_variable(struct slice *name, struct slice prefix, const char *const *known,
                          const char *label, struct strbuf *out, struct strbuf *labels)
{
    if (!slice_starts_with(*name, prefix))
        return false;
    struct slice rest = slice_skip(*name, prefix.len);
    ptrdiff_t end = variable_end(rest, known);
    if (end < 0)
        return false;
    append_label(labels, label, slice_take(rest, (size_t)end));
    strbuf_append(out, prefix);
    *name = slice_skip(rest, (size_t)end + 1);
    return true;
}

/* "..._rq_2xx" -> "..._rq_xx" {class 2}; "..._rq_200" -> "..._rq" {code 200}. */
static struct slice take_response_code(struct slice name, struct strbuf *labels)
{
    static const struct slice mark = {"_rq_", 4};
    if (name.len < 7 || !slice_eq(slice_take(slice_skip(name, name.len - 7), 4), mark))
        return name;
    struct slice code = slice_skip(name, name.len - 3);
    uint64_t number;
    if (code.ptr[0] >= '1' && code.ptr[0] <= '5' && code.ptr[1] == 'x' && code.ptr[2] == 'x') {
        append_label(labels, "envoy_response_code_class", slice_take(code, 1));
        return slice_take(name, name.len - 3);
    }
    if (slice_parse_u64(code, &number) && number >= 100) {
        append_label(labels, "envoy_response_code", code);
        return slice_take(name, name.len - 4);
    }
    return name;
}

static void append_sanitized(struct strbuf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    (c >= '0' && c <= '9' && (i > 0 || out->len > 0));
        strbuf_append_char(out, fine ? c : '_');
    }
}

/* One tag of stats_config: its name as a label's. The first of a name counts. */
static void configured_tag(void *arg, struct slice name, struct slice value)
{
    struct strbuf *labels = arg, key;
    strbuf_init(&key, STATS_NAME_MAX);
    append_sanitized(&key, name);
    strbuf_append_str(&key, "=");
    ptrdiff_t at = slice_find(strbuf_slice(labels), strbuf_slice(&key));
    if (key.len > 1 && (at < 0 || (at > 0 && labels->ptr[at - 1] != ','))) {
        key.ptr[--key.len] = '\0';
        append_label(labels, key.ptr, value);
    }
    strbuf_fini(&key);
}

static struct split *split_name(const struct stat_tags *tags, const struct stat_view *view)
{
    struct strbuf plain, labels, sanitized, left;
    struct split *split = calloc(1, sizeof(*split));
    if (!split)
        return NULL;
    strbuf_init(&plain, STATS_NAME_MAX);
    strbuf_init(&labels, LABELS_BYTES_MAX);
    strbuf_init(&sanitized, STATS_NAME_MAX + 64);
    strbuf_init(&left, STATS_NAME_MAX);
    stat_tags_extract(tags, view->name, &left, configured_tag, &labels);
    bool custom = stats_is_custom(strbuf_slice(&left));
    struct slice name = stats_shown_name(strbuf_slice(&left));
    if (!custom)
        strbuf_append_str(&sanitized, "envoy_");
    if (!custom && stat_tags_defaults(tags)) {
        take_variable(&name, SLICE_LIT("listener."), listener_rests, "envoy_listener_address", &plain,
                      &labels);
        take_variable(&name, SLICE_LIT("http."), http_rests, "envoy_http_conn_manager_prefix", &plain,
                      &labels);
        take_variable(&name, SLICE_LIT(""), http_rate_limit_rests, "envoy_local_http_ratelimit_prefix",
                      &plain, &labels);
        take_variable(&name, SLICE_LIT("local_rate_limit."), rate_limit_rests,
                      "envoy_local_network_ratelimit_prefix", &plain, &labels);
        take_variable(&name, SLICE_LIT("listener_local_ratelimit."), rate_limit_rests,
                      "envoy_local_listener_ratelimit_prefix", &plain, &labels);
        take_variable(&name, SLICE_LIT("cluster."), cluster_rests, "envoy_cluster_name", &plain, &labels);
        if (take_variable(&name, SLICE_LIT("vhost."), virtual_host_rests, "envoy_virtual_host", &plain,
                          &labels)) {
            take_variable(&name, SLICE_LIT("vcluster."), route_rests, "envoy_virtual_cluster", &plain,
                          &labels);
            take_variable(&name, SLICE_LIT("route."), route_rests, "envoy_route", &plain, &labels);
        }
    }
    struct slice cut = stat_tags_defaults(tags) ? take_response_code(name, &labels) : name;
    strbuf_append(&plain, cut);
    if (cut.len + 3 == name.len)
        strbuf_append_str(&plain, "xx");
    append_sanitized(&sanitized, strbuf_slice(&plain));
    if (sanitized.len == 0)
        strbuf_append_char(&sanitized, '_');
    split->name = slice_strdup(strbuf_slice(&sanitized));
    split->labels = slice_strdup(labels.len ? strbuf_slice(&labels) : SLICE_LIT(""));
    /* A cut label would break the whole page. */
    bool ok = split->name && split->labels && !labels.failed;
    strbuf_fini(&plain);
    strbuf_fini(&labels);
    strbuf_fini(&sanitized);
    strbuf_fini(&left);
    if (!ok) {
        split_free(split);
        split = NULL;
    }
    return split;
}

static void collect(void *arg, const struct stat_view *view)
{
    struct samples *s = arg;
    if (s->failed || !stats_filter_pass(&s->filter, view))
        return;
    if (s->count == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 256;
        struct sample *items = realloc(s->items, cap * sizeof(*items));
        s->failed = !items;
        if (!items)
            return;
        s->items = items;
        s->cap = cap;
    }
    struct split *split = split_name(s->tags, view);
    if (split)
        s->items[s->count++] = (struct sample){split, *view};
    else
        s->failed = true;
}

static int sample_order(const void *a, const void *b)
{
    const struct sample *x = a;
    const struct sample *y = b;
    int order = strcmp(x->split->name, y->split->name);
    return order ? order : strcmp(x->split->labels, y->split->labels);
}

static void append_histogram(struct strbuf *out, const struct sample *s)
{
    const char *labels = s->split->labels;
    const char *comma = labels[0] ? "," : "";
    uint64_t cumulative = 0;
    for (size_t i = 0; i < STAT_HISTOGRAM_BUCKETS; i++) {
        cumulative += s->view.buckets[i];
        strbuf_printf(out, "%s_bucket{%s%sle=\"", s->split->name, labels, comma);
        if (i < STAT_HISTOGRAM_BUCKETS - 1)
            strbuf_printf(out, "%.10g\"} %" PRIu64 "\n", stat_histogram_bounds[i], cumulative);
        else
            strbuf_printf(out, "+Inf\"} %" PRIu64 "\n", cumulative);
    }
    strbuf_printf(out, "%s_sum{%s} %" PRIu64 "\n%s_count{%s} %" PRIu64 "\n", s->split->name, labels,
                  s->view.sum, s->split->name, labels, s->view.count);
}

static void append_sample(struct strbuf *out, const struct sample *s, bool first_of_name)
{
    static const char *const types[] = {[STAT_COUNTER] = "counter",
                                        [STAT_GAUGE] = "gauge",
                                        [STAT_SHARED_GAUGE] = "gauge",
                                        [STAT_HISTOGRAM] = "histogram"};
    if (first_of_name)
        strbuf_printf(out, "# TYPE %s %s\n", s->split->name, types[s->view.type]);
    if (s->view.type == STAT_HISTOGRAM)
        append_histogram(out, s);
    else if (s->view.type == STAT_COUNTER)
        strbuf_printf(out, "%s{%s} %" PRIu64 "\n", s->split->name, s->split->labels, s->view.value);
    else
        strbuf_printf(out, "%s{%s} %" PRId64 "\n", s->split->name, s->split->labels, (int64_t)s->view.value);
}

void page_prometheus(const struct admin_request *request, struct admin_response *response)
{
    struct samples s = {.tags = request->process->stat_tags};
    if (!stats_filter_init(&s.filter, request, response))
        return;
    stats_for_each(collect, &s);
    if (s.count)
        qsort(s.items, s.count, sizeof(*s.items), sample_order);
    response->content_type = "text/plain; version=0.0.4; charset=UTF-8";
    for (size_t i = 0; i < s.count; i++)
        append_sample(&response->body, &s.items[i],
                      i == 0 || strcmp(s.items[i - 1].split->name, s.items[i].split->name) != 0);
    for (size_t i = 0; i < s.count; i++)
        split_free(s.items[i].split);
    free(s.items);
    if (request->process->wasm &&
        !plugin_costs_prometheus(request->process->wasm, &s.filter, &response->body))
        s.failed = true;
    stats_filter_fini(&s.filter);
    if (s.failed)
        admin_fail(response, 500, "out of memory");
}
