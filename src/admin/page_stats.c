/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /stats as text and JSON, in Envoy's forms.
 */
#include "admin/stats_filter.h"
#include "base/assert.h"

#include <inttypes.h>

#define CUSTOM_PREFIX SLICE_LIT("wasmcustom.")

bool stats_filter_init(struct stats_filter *f, const struct admin_request *request,
                       struct admin_response *response)
{
    char pattern[1024];
    char error[REGEX_ERROR_MAX];
    *f = (struct stats_filter){.used_only = admin_query_has(request, "usedonly")};
    if (!admin_query(request, "filter", pattern, sizeof(pattern)) || !pattern[0])
        return true;
    f->regex = regex_create(slice_str(pattern), error);
    if (!f->regex)
        admin_fail(response, 400, "bad filter expression: %s", error);
    return f->regex != NULL;
}

void stats_filter_fini(struct stats_filter *f)
{
    regex_destroy(&f->regex);
}

bool stats_is_custom(struct slice name)
{
    return slice_starts_with(name, CUSTOM_PREFIX);
}

struct slice stats_shown_name(struct slice name)
{
    return stats_is_custom(name) ? slice_skip(name, CUSTOM_PREFIX.len) : name;
}

bool stats_filter_pass(const struct stats_filter *f, const struct stat_view *view)
{
    if (f->used_only && !view->used)
        return false;
    return !f->regex || regex_search(f->regex, view->name);
}

struct stats_page {
    struct stats_filter filter;
    struct strbuf *out;
    struct strbuf histograms;
    bool any;
    bool any_histogram;
};

static void append_value(struct strbuf *out, const struct stat_view *view)
{
    if (view->type == STAT_COUNTER)
        strbuf_printf(out, "%" PRIu64, view->value);
    else
        strbuf_printf(out, "%" PRId64, (int64_t)view->value);
}

static const double quantiles[] = {0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100};

/* The quantile's value, linear inside its bucket; the last bucket has no upper end and gives its lower one.
 */
static double quantile(const struct stat_view *view, double percent)
{
    double rank = percent / 100.0 * (double)view->count;
    double below = 0;
    for (size_t i = 0; i < STAT_HISTOGRAM_BUCKETS; i++) {
        double in = (double)view->buckets[i];
        if (in > 0 && below + in >= rank) {
            double low = i == 0 ? 0 : stat_histogram_bounds[i - 1];
            double high = i < STAT_HISTOGRAM_BUCKETS - 1 ? stat_histogram_bounds[i] : low;
            return low + (high - low) * ((rank - below) / in);
        }
        below += in;
    }
    return 0;
}

static void append_histogram_text(struct strbuf *out, const struct stat_view *view)
{
    strbuf_append(out, view->name);
    strbuf_append_str(out, ":");
    if (view->count == 0)
        strbuf_append_str(out, " No recorded values");
    for (size_t i = 0; view->count > 0 && i < WEIR_ARRAY_LEN(quantiles); i++)
        strbuf_printf(out, " P%g(nan,%g)", quantiles[i], quantile(view, quantiles[i]));
    strbuf_append_char(out, '\n');
}

static void append_text(void *arg, const struct stat_view *view)
{
    struct stats_page *page = arg;
    if (!stats_filter_pass(&page->filter, view))
        return;
    if (view->type == STAT_HISTOGRAM) {
        append_histogram_text(&page->histograms, view);
        return;
    }
    strbuf_append(page->out, view->name);
    strbuf_append_str(page->out, ": ");
    append_value(page->out, view);
    strbuf_append_char(page->out, '\n');
}

static void append_histogram_json(struct strbuf *out, const struct stat_view *view, bool first)
{
    strbuf_append_str(out, first ? "{\"name\":" : ",{\"name\":");
    strbuf_append_json(out, view->name);
    strbuf_append_str(out, ",\"values\":[");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(quantiles); i++) {
        strbuf_append_str(out,
                          i ? ",{\"interval\":null,\"cumulative\":" : "{\"interval\":null,\"cumulative\":");
        if (view->count)
            strbuf_printf(out, "%g}", quantile(view, quantiles[i]));
        else
            strbuf_append_str(out, "null}");
    }
    strbuf_append_str(out, "]}");
}

static void append_json(void *arg, const struct stat_view *view)
{
    struct stats_page *page = arg;
    if (!stats_filter_pass(&page->filter, view))
        return;
    if (view->type == STAT_HISTOGRAM) {
        append_histogram_json(&page->histograms, view, !page->any_histogram);
        page->any_histogram = true;
        return;
    }
    strbuf_append_str(page->out, page->any ? ",{\"name\":" : "{\"name\":");
    strbuf_append_json(page->out, view->name);
    strbuf_append_str(page->out, ",\"value\":");
    append_value(page->out, view);
    strbuf_append_char(page->out, '}');
    page->any = true;
}

static void finish_json(struct stats_page *page)
{
    if (page->any_histogram) {
        strbuf_append_str(page->out, page->any ? "," : "");
        strbuf_append_str(page->out, "{\"histograms\":{\"supported_quantiles\":[");
        for (size_t i = 0; i < WEIR_ARRAY_LEN(quantiles); i++)
            strbuf_printf(page->out, "%s%g", i ? "," : "", quantiles[i]);
        strbuf_append_str(page->out, "],\"computed_quantiles\":[");
        strbuf_append(page->out, strbuf_slice(&page->histograms));
        strbuf_append_str(page->out, "]}}");
    }
    strbuf_append_str(page->out, "]}\n");
}

void page_stats(const struct admin_request *request, struct admin_response *response)
{
    char format[16] = "text";
    struct stats_page page = {.out = &response->body};
    admin_query(request, "format", format, sizeof(format));
    if (strcmp(format, "prometheus") == 0) {
        page_prometheus(request, response);
        return;
    }
    bool json = strcmp(format, "json") == 0;
    if (!json && format[0] && strcmp(format, "text") != 0) {
        admin_fail(response, 400, "unknown format \"%s\": use text, json or prometheus", format);
        return;
    }
    if (!stats_filter_init(&page.filter, request, response))
        return;
    strbuf_init(&page.histograms, ADMIN_RESPONSE_BYTES_MAX);
    if (json) {
        response->content_type = "application/json";
        strbuf_append_str(&response->body, "{\"stats\":[");
    }
    stats_for_each(json ? append_json : append_text, &page);
    if (json)
        finish_json(&page);
    else
        strbuf_append(&response->body, strbuf_slice(&page.histograms));
    strbuf_fini(&page.histograms);
    stats_filter_fini(&page.filter);
}
