/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building and releasing route tables. The finish step is the only writer; it never accepts a table in which
 * a route could do something else than its text says.
 */
#include "proxy/routing/route_config.h"

#include "base/assert.h"
#include "base/refs.h"
#include "proxy/limits.h"
#include "proxy/logging/access_log.h"
#include "proxy/routing/path_template.h"
#include "proxy/routing/route_index.h"

#include <stdio.h>
#include <stdlib.h>

#define ROUTE_TIMEOUT_DEFAULT_MS 15000u

struct route_table *route_table_create(void)
{
    struct route_table *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    atomic_init(&t->refs, 1);
    arena_init(&t->arena, ROUTE_TABLE_BYTES_MAX, NULL);
    t->max_direct_response_bytes = DIRECT_RESPONSE_BYTES_DEFAULT;
    return t;
}

void route_match_init(struct route_match *m)
{
    *m = (struct route_match){.case_sensitive = true};
}

void route_action_init(struct route_action *a)
{
    *a = (struct route_action){
        .cluster_not_found_status = 503,
        .timeout_ms = ROUTE_TIMEOUT_DEFAULT_MS,
        .idle_timeout_ms = ROUTE_TIMEOUT_UNSET,
        .max_stream_duration_ms = ROUTE_TIMEOUT_UNSET,
        .grpc_timeout_header_max_ms = ROUTE_TIMEOUT_UNSET,
        .max_grpc_timeout_ms = ROUTE_TIMEOUT_UNSET,
    };
}

/* What the finish functions carry around. `path` is the field path of what is being checked. */
struct finish {
    struct route_table *table;
    struct build_errors *errors;
    char path[BUILD_PATH_BYTES_MAX];
};

static void report(struct finish *f, const char *name, const char *text)
{
    char path[BUILD_PATH_BYTES_MAX];
    build_error(f->errors, build_path(path, f->path, "%s", name), "%s", text);
}

static void finish_mutation(struct finish *f, struct header_mutation *m, const char *what)
{
    char add[BUILD_PATH_BYTES_MAX], remove[BUILD_PATH_BYTES_MAX];
    header_mutation_finish(m, &f->table->arena, build_path(add, f->path, "%s_to_add", what),
                           build_path(remove, f->path, "%s_to_remove", what), f->errors);
}

static void finish_mutations(struct finish *f, struct header_mutation *request,
                             struct header_mutation *response)
{
    finish_mutation(f, request, "request_headers");
    finish_mutation(f, response, "response_headers");
}

static void finish_rewrite(struct finish *f, struct regex_rewrite *rw, const char *name)
{
    char error[REGEX_ERROR_MAX];
    if (!rw->pattern.ptr)
        return;
    rw->regex = regex_create(rw->pattern, error);
    if (!rw->regex || !regex_check_substitution(rw->regex, rw->substitution, error))
        report(f, name, error);
}

/* Keeps what was made of a template, or reports why there is nothing. */
static bool keep_text(struct finish *f, const char *field, const char *wrong, const struct strbuf *text,
                      struct slice *out)
{
    *out = wrong ? SLICE_EMPTY : arena_dup(&f->table->arena, strbuf_slice(text));
    if (!out->ptr)
        report(f, field, wrong ? wrong : "is too long");
    return out->ptr != NULL;
}

/* The expressions of a template and of the rewrite that goes with it. */
static void template_texts(struct finish *f, struct route *r)
{
    struct path_template_variables variables;
    struct slice rewrite = r->kind == ROUTE_FORWARD ? r->action.template_rewrite : SLICE_EMPTY;
    struct strbuf text;
    strbuf_init(&text, (size_t)REGEX_PATTERN_BYTES_MAX * 2);
    const char *wrong = path_template_pattern(r->match.path, &text, &variables);
    bool ok = keep_text(f, "match.path_match_policy", wrong, &text, &r->match.pattern);
    if (ok && rewrite.ptr) {
        strbuf_reset(&text);
        wrong = path_template_substitution(rewrite, &variables, &text);
        if (keep_text(f, "route.path_rewrite_policy", wrong, &text, &r->action.regex_rewrite.substitution))
            r->action.regex_rewrite.pattern = r->match.pattern;
    }
    strbuf_fini(&text);
}

static void finish_template(struct finish *f, struct route *r)
{
    bool rewrites = r->kind == ROUTE_FORWARD && r->action.template_rewrite.ptr;
    if (rewrites && (r->action.prefix_rewrite.ptr || r->action.regex_rewrite.pattern.ptr))
        report(f, "route.path_rewrite_policy", "cannot be combined with prefix_rewrite or regex_rewrite");
    if (r->match.kind == PATH_MATCH_TEMPLATE) {
        template_texts(f, r);
        if (r->action.prefix_rewrite.ptr)
            report(f, "route.prefix_rewrite",
                   "cannot be combined with path_match_policy, which has no prefix");
        if (r->redirect.prefix_rewrite.len > 0)
            report(f, "redirect.prefix_rewrite",
                   "cannot be combined with path_match_policy, which has no prefix");
    } else if (rewrites) {
        report(f, "route.path_rewrite_policy", "needs a path_match_policy, whose variables it takes");
    }
}

static void finish_match(struct finish *f, struct route_match *m)
{
    char path[BUILD_PATH_BYTES_MAX], error[REGEX_ERROR_MAX];
    if (m->kind == PATH_MATCH_REGEX) {
        m->regex = regex_create(m->path, error);
        if (!m->regex)
            report(f, "match.safe_regex", error);
    }
    if (m->pattern.ptr) {
        m->regex = regex_create(m->pattern, error);
        if (!m->regex)
            report(f, "match.path_match_policy", error);
    }
    if (m->state)
        state_matcher_finish(m->state, build_path(path, f->path, "match"), f->errors);
    if (m->kind == PATH_MATCH_SEPARATED_PREFIX &&
        (m->path.len < 2 || m->path.ptr[0] != '/' || m->path.ptr[m->path.len - 1] == '/' ||
         slice_find_char(m->path, '?') >= 0 || slice_find_char(m->path, '#') >= 0))
        report(f, "match.path_separated_prefix",
               "must begin with / and must not end with it, nor hold ? or #");
    for (uint32_t i = 0; i < m->headers_count; i++) {
        build_path(path, f->path, "match.headers[%u]", i);
        header_matcher_finish(&m->headers[i], &f->table->arena, path, f->errors);
    }
    for (uint32_t i = 0; i < m->query_count; i++) {
        build_path(path, f->path, "match.query_parameters[%u]", i);
        query_matcher_finish(&m->query[i], path, f->errors);
    }
    for (uint32_t i = 0; i < m->cookies_count; i++) {
        build_path(path, f->path, "match.cookies[%u].string_match", i);
        string_matcher_finish(&m->cookies[i].string, path, f->errors);
    }
}

static void finish_weighted(struct finish *f, struct route_action *a)
{
    struct finish inner = *f;
    a->weighted_total = 0;
    for (uint32_t i = 0; i < a->weighted_count; i++) {
        struct weighted_cluster *w = &a->weighted[i];
        build_path(inner.path, f->path, "route.weighted_clusters.clusters[%u]", i);
        if ((w->name.len > 0) == (w->cluster_header.len > 0))
            report(&inner, "name", "exactly one of name and cluster_header is needed");
        finish_mutations(&inner, &w->request_headers, &w->response_headers);
        w->name_hash = slice_hash(w->name);
        a->weighted_total += w->weight;
    }
    if (a->weighted_total == 0 || a->weighted_total > UINT32_MAX)
        report(f, "route.weighted_clusters", "the weights must sum to between 1 and 4294967295");
}

static void finish_forward(struct finish *f, struct route_action *a)
{
    char path[BUILD_PATH_BYTES_MAX];
    if (a->cluster_kind == ROUTE_CLUSTER_WEIGHTED)
        finish_weighted(f, a);
    else if (a->cluster_kind == ROUTE_CLUSTER_NAME && a->cluster.len == 0)
        report(f, "route.cluster", "must not be empty");
    else if (a->cluster_kind == ROUTE_CLUSTER_HEADER && !header_name_valid(a->cluster_header) &&
             !slice_starts_with(a->cluster_header, SLICE_LIT(":")))
        report(f, "route.cluster_header", "not a header name");
    a->cluster_hash = slice_hash(a->cluster);
    finish_rewrite(f, &a->regex_rewrite, "route.regex_rewrite");
    finish_rewrite(f, &a->host_rewrite_regex, "route.host_rewrite_path_regex");
    hash_policies_finish(&a->hash_policies, build_path(path, f->path, "route.hash_policy"), f->errors);
    rate_limits_finish(&a->rate_limits, &f->table->arena, build_path(path, f->path, "route.rate_limits"),
                       f->errors);
    a->steers = a->hash_policies.count > 0 || a->match;
    for (uint32_t i = 0; i < a->weighted_count; i++)
        a->steers = a->steers || a->weighted[i].match;
    if (a->prefix_rewrite.len > 0 && a->regex_rewrite.pattern.ptr)
        report(f, "route.regex_rewrite", "cannot be combined with prefix_rewrite");
    if (a->host_rewrite == HOST_REWRITE_LITERAL && !header_value_valid(a->host_rewrite_value))
        report(f, "route.host_rewrite_literal", "holds a character that no header may have");
}

static void finish_redirect(struct finish *f, struct redirect_action *r)
{
    finish_rewrite(f, &r->regex_rewrite, "redirect.regex_rewrite");
    if (r->status == 0)
        r->status = 301;
    if (r->status != 301 && r->status != 302 && r->status != 303 && r->status != 307 && r->status != 308)
        report(f, "redirect.response_code", "not a redirect's status");
    if (!header_value_valid(r->host) || !header_value_valid(r->path) ||
        !header_value_valid(r->prefix_rewrite) || !header_value_valid(r->scheme))
        report(f, "redirect", "holds a character that no header may have");
    if (r->port > 65535)
        report(f, "redirect.port_redirect", "a port is at most 65535");
}

static void finish_retry(struct finish *f, struct retry_policy *p, const char *name)
{
    char path[BUILD_PATH_BYTES_MAX];
    if (p)
        retry_policy_finish(p, &f->table->arena, build_path(path, f->path, "%s", name), f->errors);
}

/* A route has all of the virtual host's policy or none of it: nothing is merged (Envoy). */
static void inherit(struct route_action *a, const struct virtual_host *vh)
{
    if (!a->retry)
        a->retry = vh->retry;
    if (a->mirrors.count == 0)
        a->mirrors = vh->mirrors.count > 0 ? vh->mirrors : vh->table->mirrors;
    if (!a->has_hedge_policy)
        a->hedge_on_per_try_timeout = vh->hedge_on_per_try_timeout;
    if (!a->request_buffer.set)
        a->request_buffer = vh->request_buffer;
    if (!a->body_buffer.set)
        a->body_buffer = vh->body_buffer;
}

static void finish_direct(struct finish *f, const struct direct_response *d)
{
    char path[BUILD_PATH_BYTES_MAX];
    if (d->status < 200 || d->status > 599)
        report(f, "direct_response.status", "must be between 200 and 599");
    if (d->body.len > f->table->max_direct_response_bytes)
        build_error(f->errors, build_path(path, f->path, "direct_response.body"),
                    "response body size is %zu bytes; maximum is %u", d->body.len,
                    f->table->max_direct_response_bytes);
}

/* Whether any level that the route passes through does something. */
static void finish_route_flags(const struct route_table *t, const struct virtual_host *vh, struct route *r)
{
    r->mutates_request = !header_mutation_empty(&r->request_headers) ||
                         !header_mutation_empty(&vh->request_headers) ||
                         !header_mutation_empty(&t->request_headers);
    r->mutates_response = !header_mutation_empty(&r->response_headers) ||
                          !header_mutation_empty(&vh->response_headers) ||
                          !header_mutation_empty(&t->response_headers);
    r->has_overrides = r->overrides.count + vh->overrides.count + t->overrides.count > 0;
    for (uint32_t i = 0; i < r->action.weighted_count; i++) {
        const struct weighted_cluster *w = &r->action.weighted[i];
        r->mutates_request |= !header_mutation_empty(&w->request_headers);
        r->mutates_response |= !header_mutation_empty(&w->response_headers);
        r->has_overrides |= w->overrides.count > 0;
    }
}

/* Envoy has them for routes that are not forwarded, too, where nothing is counted. */
static void finish_route_stats(struct finish *f, const struct virtual_host *vh, struct route *r)
{
    if (r->stat_prefix.len > 0) {
        r->stats = route_stats_create(&f->table->arena, vh->name, "route", r->stat_prefix);
        if (!r->stats)
            report(f, "stat_prefix", "out of memory");
    }
    r->counted = r->stats || vh->virtual_clusters.count > 0;
}

static void finish_route(struct finish *f, const struct virtual_host *vh, struct route *r)
{
    finish_template(f, r);
    finish_match(f, &r->match);
    if (r->kind == ROUTE_FORWARD) {
        finish_forward(f, &r->action);
        finish_retry(f, r->action.retry, "route.retry_policy");
        inherit(&r->action, vh);
    } else if (r->kind == ROUTE_REDIRECT) {
        finish_redirect(f, &r->redirect);
    } else if (r->kind == ROUTE_DIRECT_RESPONSE) {
        finish_direct(f, &r->response);
    }
    finish_mutations(f, &r->request_headers, &r->response_headers);
    r->virtual_host = vh;
    r->index = (uint32_t)(r - vh->routes);
    finish_route_stats(f, vh, r);
    finish_route_flags(f->table, vh, r);
}

static void finish_virtual_host(struct finish *f, struct virtual_host *vh)
{
    struct finish inner = *f;
    vh->table = f->table;
    if (vh->domains_count == 0)
        report(f, "domains", "at least one is needed");
    finish_mutations(f, &vh->request_headers, &vh->response_headers);
    finish_retry(f, vh->retry, "retry_policy");
    virtual_clusters_finish(&vh->virtual_clusters, &f->table->arena, vh->name,
                            build_path(inner.path, f->path, "virtual_clusters"), f->errors);
    rate_limits_finish(&vh->rate_limits, &f->table->arena, build_path(inner.path, f->path, "rate_limits"),
                       f->errors);
    for (uint32_t i = 0; i < vh->routes_count; i++) {
        build_path(inner.path, f->path, "routes[%u]", i);
        finish_route(&inner, vh, &vh->routes[i]);
    }
    if (vh->routes_count >= ROUTE_INDEX_MIN && !vh->matcher.root) {
        vh->index = route_index_create(vh);
        if (!vh->index)
            report(f, "routes", "out of memory");
    }
}

bool route_table_finish(struct route_table *t, struct build_errors *errors)
{
    struct finish f = {t, errors, ""};
    unsigned before = errors->count;
    WEIR_ASSERT(!t->finished);
    finish_mutations(&f, &t->request_headers, &t->response_headers);
    for (uint32_t i = 0; i < t->virtual_hosts_count; i++) {
        build_path(f.path, "", "virtual_hosts[%u]", i);
        finish_virtual_host(&f, &t->virtual_hosts[i]);
    }
    t->hosts = host_index_create(t, errors);
    if (!t->hosts && errors->count == before)
        build_error(errors, "virtual_hosts", "out of memory");
    t->finished = true;
    return errors->count == before;
}

const struct route_table *route_table_ref(const struct route_table *t)
{
    if (t)
        refs_take(&((struct route_table *)(uintptr_t)t)->refs);
    return t;
}

static void overrides_fini(struct filter_overrides *o)
{
    for (uint32_t i = 0; i < o->count; i++) {
        struct filter_override *item = &o->items[i];
        if (item->destroy && item->config)
            item->destroy((void *)(uintptr_t)item->config);
        item->config = NULL;
    }
}

static void route_fini(struct route *r)
{
    if (r->response.format)
        r->response.format->destroy(r->response.format);
    regex_destroy(&r->match.regex);
    if (r->match.state)
        state_matcher_fini(r->match.state);
    for (uint32_t i = 0; i < r->match.headers_count; i++)
        header_matcher_fini(&r->match.headers[i]);
    for (uint32_t i = 0; i < r->match.query_count; i++)
        query_matcher_fini(&r->match.query[i]);
    for (uint32_t i = 0; i < r->match.cookies_count; i++)
        string_matcher_fini(&r->match.cookies[i].string);
    if (r->action.retry && (!r->virtual_host || r->action.retry != r->virtual_host->retry))
        retry_policy_fini(r->action.retry);
    const struct virtual_host *vh = r->virtual_host; /* may have lent its mirrors, or the table's */
    if (!vh ||
        (r->action.mirrors.items != vh->mirrors.items && r->action.mirrors.items != vh->table->mirrors.items))
        mirror_policies_fini(&r->action.mirrors);
    regex_destroy(&r->action.regex_rewrite.regex);
    regex_destroy(&r->action.host_rewrite_regex.regex);
    hash_policies_fini(&r->action.hash_policies);
    rate_limits_fini(&r->action.rate_limits);
    regex_destroy(&r->redirect.regex_rewrite.regex);
    for (uint32_t i = 0; i < r->action.weighted_count; i++) {
        header_mutation_fini(&r->action.weighted[i].request_headers);
        header_mutation_fini(&r->action.weighted[i].response_headers);
        overrides_fini(&r->action.weighted[i].overrides);
    }
    header_mutation_fini(&r->request_headers);
    header_mutation_fini(&r->response_headers);
    overrides_fini(&r->overrides);
    route_stats_fini(r->stats);
}

static void virtual_host_fini(struct virtual_host *vh)
{
    for (uint32_t i = 0; i < vh->routes_count; i++)
        route_fini(&vh->routes[i]);
    if (vh->retry)
        retry_policy_fini(vh->retry);
    route_index_destroy(&vh->index);
    match_tree_fini(&vh->matcher);
    virtual_clusters_fini(&vh->virtual_clusters);
    mirror_policies_fini(&vh->mirrors);
    rate_limits_fini(&vh->rate_limits);
    header_mutation_fini(&vh->request_headers);
    header_mutation_fini(&vh->response_headers);
    overrides_fini(&vh->overrides);
}

void route_table_unref(const struct route_table **table)
{
    struct route_table *t = (struct route_table *)(uintptr_t)*table;
    *table = NULL;
    if (!t || !refs_drop(&t->refs))
        return;
    for (uint32_t i = 0; i < t->virtual_hosts_count; i++)
        virtual_host_fini(&t->virtual_hosts[i]);
    for (struct cluster_matcher *m = t->cluster_matchers; m; m = m->next)
        match_tree_fini(&m->tree);
    host_index_destroy(&t->hosts);
    mirror_policies_fini(&t->mirrors);
    header_mutation_fini(&t->request_headers);
    header_mutation_fini(&t->response_headers);
    overrides_fini(&t->overrides);
    arena_fini(&t->arena);
    free(t);
}
