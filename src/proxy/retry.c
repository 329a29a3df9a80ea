/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envoy's decisions about another try (its retry_state_impl.cc is the model), the wait between tries, and the
 * cluster's count of retries under way. One verdict per failed try; a verdict ends what the one before began.
 */
#include "proxy/retry.h"

#include "base/assert.h"
#include "base/clock.h"
#include "http/status.h"
#include "net/worker.h"
#include "proxy/limits.h"
#include "proxy/stream.h"
#include "upstream/host_subsets.h"

/* Which priorities were tried, and what follows of it. */
struct retry_priorities {
    uint32_t tries; /* since nothing was left and all began anew */
    bool tried[HOST_PRIORITIES_MAX];
    struct host_shares shares;
    const struct host_set *shares_of; /* only to be compared: a newer set has shares of its own */
};

static struct cluster_stats *stats_of(const struct retry *r)
{
    return &r->cluster->cluster->stats;
}

/* On the cluster, the route and the virtual cluster. */
#define COUNT(r, field)                                                                                      \
    do {                                                                                                     \
        stat_inc(stats_of(r)->field);                                                                        \
        REQUEST_SCOPES_INC((r)->scopes, field);                                                              \
    } while (0)

static struct breakers *breakers_of(const struct retry *r)
{
    return &r->cluster->cluster->breakers[r->priority];
}

static void fired(struct timer *t)
{
    struct retry *r = WEIR_CONTAINER_OF(t, struct retry, timer);
    struct cluster_stats *stats = stats_of(r);
    WEIR_ASSERT(r->pending);
    r->pending = false;
    COUNT(r, upstream_rq_retry);
    stat_inc(r->asked ? stats->upstream_rq_retry_backoff_ratelimited
                      : stats->upstream_rq_retry_backoff_exponential);
    r->again(r->request);
}

/* Retries may be limited to requests that look like this. */
static bool request_fits(const struct retry_policy *p, struct stream *s)
{
    bool fits = p->request_headers_count == 0;
    for (uint32_t i = 0; i < p->request_headers_count && !fits; i++)
        fits = header_matcher_match(&p->request_headers[i], s->request_headers);
    return fits;
}

struct retry *retry_create(struct stream *s, const struct retry_policy *policy,
                           const struct steering *steering, struct worker_cluster *cluster,
                           enum breaker_priority priority)
{
    uint32_t retry_on = policy->retry_on | steering->retry_on;
    if (!retry_on || !request_fits(policy, s))
        return NULL;
    struct retry *r = ARENA_NEW(&s->arena, struct retry);
    if (!r)
        return NULL;
    r->policy = policy;
    r->stream = s;
    r->cluster = cluster;
    r->priority = priority;
    r->retry_on = retry_on;
    r->remaining = steering->has_max_retries ? steering->max_retries : policy->num_retries;
    r->back_off_ms = policy->back_off_base_ms;
    r->status_codes = steering->status_codes;
    r->header_names = steering->header_names;
    if (policy->priority_frequency > 0)
        r->priorities = ARENA_NEW(&s->arena, struct retry_priorities);
    timer_init(&r->timer, fired);
    return r;
}

static void give_back(struct retry *r)
{
    if (r->counted)
        breaker_retry_give(breakers_of(r));
    r->counted = false;
}

static void stop_waiting(struct retry *r)
{
    timer_stop(&r->stream->worker->loop, &r->timer);
    r->pending = false;
}

void retry_end(struct retry *r)
{
    stop_waiting(r);
    give_back(r);
    for (uint32_t i = 0; i < r->tried_count; i++)
        host_unref(&r->tried[i]);
    r->tried_count = 0;
    r->remaining = 0;
}

void retry_move(struct retry *r, struct worker_cluster *cluster)
{
    bool counted = r->counted;
    give_back(r);
    r->cluster = cluster;
    r->counted = counted && breaker_retry_try(breakers_of(r));
}

/* --- the wait --- */

/* Seconds that the answer asks for, as milliseconds; 0: it says nothing that counts. */
static uint64_t asked_wait(const struct retry *r, const struct header_map *response)
{
    const struct retry_policy *p = r->policy;
    for (uint32_t i = 0; response && i < p->reset_headers_count; i++) {
        const struct header *h = header_map_find(response, p->reset_headers[i].name);
        uint64_t seconds;
        if (!h || !slice_parse_u64(h->value, &seconds))
            continue;
        if (p->reset_headers[i].unix_timestamp) {
            uint64_t now = worker_realtime_ns(r->stream->worker, monotonic_ns()) / 1000000000u;
            if (seconds < now)
                continue;
            seconds -= now;
        }
        if (seconds <= p->reset_max_ms / 1000)
            return seconds * 1000;
    }
    return 0;
}

/* Fully jittered and exponential; when the answer named a time, a little more than that. */
static uint64_t next_wait(struct retry *r, uint64_t asked_ms)
{
    struct worker *w = r->stream->worker;
    const struct retry_policy *p = r->policy;
    r->asked = asked_ms > 0;
    if (r->asked)
        return asked_ms + worker_random(w, asked_ms / 2);
    uint64_t bound = r->back_off_ms;
    r->back_off_ms = bound < p->back_off_max_ms / 2 ? bound * 2 : p->back_off_max_ms;
    return worker_random(w, bound);
}

/* --- verdicts --- */

static enum retry_verdict verdict(struct retry *r, bool wanted, uint64_t asked_ms)
{
    if (r->counted && !wanted)
        COUNT(r, upstream_rq_retry_success);
    stop_waiting(r);
    give_back(r);
    if (!wanted)
        return RETRY_NO;
    if (r->remaining == 0) {
        COUNT(r, upstream_rq_retry_limit_exceeded);
        return RETRY_LIMIT;
    }
    r->remaining--;
    r->counted = breaker_retry_try(breakers_of(r));
    if (!r->counted) {
        COUNT(r, upstream_rq_retry_overflow);
        return RETRY_OVERFLOW;
    }
    if (r->policy->eligible_percent < 100 &&
        worker_random(r->stream->worker, 100) >= r->policy->eligible_percent) {
        give_back(r);
        return RETRY_NO;
    }
    r->pending = true;
    timer_set(&r->stream->worker->loop, &r->timer, next_wait(r, asked_ms));
    return RETRY_YES;
}

static bool in_codes(const struct retry *r, unsigned status)
{
    struct slice rest = r->status_codes, part;
    for (uint32_t i = 0; i < r->policy->status_codes_count; i++) {
        if (r->policy->status_codes[i] == status)
            return true;
    }
    while (rest.len > 0 && slice_split(&rest, ',', &part)) {
        uint64_t code;
        if (slice_parse_u64(slice_trim(part), &code) && code == status)
            return true;
    }
    return false;
}

static bool has_retriable_header(const struct retry *r, const struct header_map *response)
{
    struct slice rest = r->header_names, part;
    for (uint32_t i = 0; i < r->policy->headers_count; i++) {
        if (header_matcher_match(&r->policy->headers[i], response))
            return true;
    }
    while (rest.len > 0 && slice_split(&rest, ',', &part)) {
        if (header_map_find(response, slice_trim(part)))
            return true;
    }
    return false;
}

static bool grpc_wanted(uint32_t retry_on, const struct header_map *response)
{
    static const struct {
        uint64_t status;
        uint32_t bit;
    } rows[] = {
#define RETRY_X(name, text, status) {status, RETRY_ON(name)},
        RETRY_GRPC_CONDITIONS(RETRY_X)
#undef RETRY_X
    };
    uint64_t status;
    if (!slice_parse_u64(header_map_get_id(response, HDR_GRPC_STATUS), &status))
        return false;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        if (rows[i].status == status)
            return retry_on & rows[i].bit;
    }
    return false;
}

bool retry_wanted(const struct retry *r, const struct header_map *response)
{
    uint32_t on = r->retry_on;
    unsigned status = status_parse(header_map_get_id(response, HDR_STATUS));
    if (header_map_find(response, SLICE_LIT("x-envoy-ratelimited")))
        return on & RETRY_ON(ENVOY_RATELIMITED);
    return ((on & RETRY_ON(5XX)) && status >= 500 && status < 600) ||
           ((on & RETRY_ON(GATEWAY_ERROR)) && status >= 502 && status <= 504) ||
           ((on & RETRY_ON(RETRIABLE_4XX)) && status == 409) ||
           ((on & RETRY_ON(RETRIABLE_STATUS_CODES)) && in_codes(r, status)) ||
           ((on & RETRY_ON(RETRIABLE_HEADERS)) && has_retriable_header(r, response)) ||
           grpc_wanted(on, response);
}

enum retry_verdict retry_on_headers(struct retry *r, const struct header_map *response)
{
    r->timeout = false;
    bool wanted = retry_wanted(r, response);
    return verdict(r, wanted, wanted ? asked_wait(r, response) : 0);
}

static bool reset_wanted(const struct retry *r, enum upstream_reset why, bool sent)
{
    uint32_t on = r->retry_on;
    bool connect = why == UPSTREAM_LOCAL_CONNECTION_FAILURE || why == UPSTREAM_REMOTE_CONNECTION_FAILURE ||
                   why == UPSTREAM_CONNECTION_TIMEOUT;
    if (why == UPSTREAM_OVERFLOW)
        return false;
    return (connect && (on & RETRY_ON(CONNECT_FAILURE))) ||
           (!sent && (on & RETRY_ON(RESET_BEFORE_REQUEST))) ||
           (on & (RETRY_ON(RESET) | RETRY_ON(5XX) | RETRY_ON(GATEWAY_ERROR))) ||
           (why == UPSTREAM_REMOTE_REFUSED && (on & RETRY_ON(REFUSED_STREAM)));
}

enum retry_verdict retry_on_reset(struct retry *r, enum upstream_reset why, bool sent)
{
    r->timeout = false;
    return verdict(r, reset_wanted(r, why, sent), 0);
}

enum retry_verdict retry_on_late(struct retry *r)
{
    r->timeout = true;
    return verdict(r, true, 0);
}

/* --- hosts --- */

static bool was_tried(const struct retry *r, const struct host *host)
{
    for (uint32_t i = 0; i < r->tried_count; i++) {
        if (r->tried[i] == host)
            return true;
    }
    return false;
}

void retry_note_host(struct retry *r, struct host *host, uint32_t priority)
{
    if (r->priorities) {
        r->priorities->tries++;
        r->priorities->tried[priority] = true;
    }
    if (!r->policy->previous_hosts || was_tried(r, host))
        return;
    if (!r->tried)
        r->tried = ARENA_NEW_N(&r->stream->arena, struct host *, RETRY_HOSTS_MAX);
    if (r->tried && r->tried_count < RETRY_HOSTS_MAX)
        r->tried[r->tried_count++] = host_ref(host);
}

bool retry_host_unwanted(const struct retry *r, const struct host *host)
{
    const struct retry_policy *p = r->policy;
    if ((p->previous_hosts && was_tried(r, host)) || (p->omit_canary && host_is_canary(host)))
        return true;
    for (uint32_t i = 0; i < p->omit_labels_count; i++) {
        if (host_has_labels(host, p->omit_labels[i], true))
            return true;
    }
    return false;
}

/* --- priorities --- */

/* As Envoy's previous_priorities: after each so many tries, those that were tried are left out; when nobody
 * else is left, all begins anew. */
const struct host_shares *retry_priority_shares(struct retry *r, const struct host_set *hosts)
{
    struct retry_priorities *p = r->priorities;
    if (!p || p->tries < r->policy->priority_frequency)
        return NULL;
    if (p->tries % r->policy->priority_frequency != 0 && p->shares_of == hosts)
        return &p->shares;
    p->shares_of = hosts;
    if (host_set_share_without(hosts, p->tried, &p->shares))
        return &p->shares;
    memset(p->tried, 0, sizeof(p->tried));
    p->tries = 0;
    return host_set_share_without(hosts, p->tried, &p->shares) ? &p->shares : NULL;
}
