/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Balancing within the subset that a request asks for. Each subset has a balancer of its own; when there is
 * no such subset, the selector with the same keys or the cluster says who is picked instead.
 */
#include "upstream/lb.h"

#include "base/assert.h"
#include "upstream/host_subsets.h"
#include "upstream/limits.h"

#include <stdlib.h>

void lb_subsets_free(struct lb *subsets, uint32_t count)
{
    for (uint32_t i = 0; subsets && i < count; i++)
        lb_fini(&subsets[i]);
    free(subsets);
}

struct lb *lb_subsets_make(const struct lb *lb, const struct host_set *hosts)
{
    const struct host_subsets *s = hosts->subsets;
    struct lb *subsets = calloc(s->count + 1, sizeof(*subsets));
    for (uint32_t i = 0; subsets && i < s->count; i++) {
        subsets[i] = (struct lb){
            .ops = lb->ops,
            .config = lb->config,
            .random = lb->random,
            .random_arg = lb->random_arg,
            .now_ms = lb->now_ms,
            .in_flight = {lb->in_flight[0], lb->in_flight[1]},
            .stats = lb->stats,
            .local = lb->local,
        };
        if (s->items[i].single || lb_update(&subsets[i], s->items[i].set))
            continue;
        lb_subsets_free(subsets, i);
        return NULL;
    }
    return subsets;
}

/* The selector whose keys are those of the match; NULL: none. */
static const struct lb_selector *selector_of(const struct lb_subset_config *config, const struct lb_match *m)
{
    for (uint32_t i = 0; i < config->selectors_count; i++) {
        const struct lb_selector *s = &config->selectors[i];
        bool same = s->keys_count == m->count;
        for (uint32_t n = 0; same && n < m->count; n++)
            same = slice_eq(s->keys[n], m->labels[n].key);
        if (same)
            return s;
    }
    return NULL;
}

static struct host *pick_fallback(struct lb *lb, enum lb_subset_fallback policy, const struct lb_request *rq)
{
    uint32_t number = lb->hosts->subsets->default_subset;
    if (policy == LB_FALLBACK_ANY)
        return lb_pick_plain(lb, rq);
    if (policy == LB_FALLBACK_DEFAULT && number != UINT32_MAX)
        return lb_pick_plain(&lb->subsets[number], rq);
    return NULL;
}

/* A match with some of the labels of another one, whose memory they lie in. */
struct fewer {
    struct lb_match match;
    struct lb_label labels[LB_SELECTOR_KEYS_MAX];
    char text[LB_MATCH_BYTES_MAX];
};

/* false: not all of these keys are among the match's. */
static bool reduce(struct fewer *f, const struct lb_match *m, const struct slice *keys, uint32_t count)
{
    size_t len = 0;
    f->match = (struct lb_match){.labels = f->labels};
    for (uint32_t i = 0; i < m->count; i++) {
        for (uint32_t n = 0; n < count; n++) {
            if (!slice_eq(m->labels[i].key, keys[n]))
                continue;
            WEIR_ASSERT(f->match.count < LB_SELECTOR_KEYS_MAX &&
                        m->labels[i].line.len <= sizeof(f->text) - len);
            f->labels[f->match.count++] = m->labels[i];
            memcpy(f->text + len, m->labels[i].line.ptr, m->labels[i].line.len);
            len += m->labels[i].line.len;
            break;
        }
    }
    f->match.text = slice_of(f->text, len);
    f->match.hash = slice_hash(f->match.text);
    return f->match.count == count;
}

static struct host *pick_for(struct lb *lb, const struct lb_match *match, const struct lb_request *rq);

static struct host *pick_fewer(struct lb *lb, const struct lb_selector *selector, const struct lb_match *m,
                               const struct lb_request *rq)
{
    struct fewer f;
    reduce(&f, m, selector->fallback_keys, selector->fallback_keys_count);
    return pick_for(lb, &f.match, rq);
}

/* The subset itself, or what its selector says; *done: that was it, and not the cluster's fallback. */
static struct host *pick_exactly(struct lb *lb, const struct lb_match *match, const struct lb_request *rq,
                                 bool *done)
{
    uint32_t number = host_subsets_find(lb->hosts->subsets, match->text, match->hash);
    *done = true;
    if (number != UINT32_MAX) {
        struct host *single = lb->hosts->subsets->items[number].single;
        stat_inc(lb->stats ? lb->stats->lb_subsets_selected : 0);
        return single ? single : lb_pick_plain(&lb->subsets[number], rq);
    }
    const struct lb_selector *selector = selector_of(lb->config->subsets, match);
    if (selector && selector->fallback == LB_FALLBACK_KEYS)
        return pick_fewer(lb, selector, match, rq);
    if (selector && selector->fallback != LB_FALLBACK_UNSET)
        return pick_fallback(lb, selector->fallback, rq);
    *done = false;
    return NULL;
}

/* With allow_redundant_keys the first selector counts whose keys are all asked for. */
static struct host *pick_redundant(struct lb *lb, const struct lb_match *m, const struct lb_request *rq,
                                   bool *done)
{
    const struct lb_subset_config *config = lb->config->subsets;
    struct fewer f;
    for (uint32_t i = 0; i < config->selectors_count; i++) {
        if (reduce(&f, m, config->selectors[i].keys, config->selectors[i].keys_count))
            return pick_exactly(lb, &f.match, rq, done);
    }
    return pick_exactly(lb, m, rq, done);
}

/* `match` NULL: the request asks for nothing. */
static struct host *pick_for(struct lb *lb, const struct lb_match *match, const struct lb_request *rq)
{
    const struct lb_subset_config *config = lb->config->subsets;
    if (match) {
        bool done;
        struct host *h = config->redundant_keys ? pick_redundant(lb, match, rq, &done)
                                                : pick_exactly(lb, match, rq, &done);
        if (done)
            return h;
    }
    struct host *h = pick_fallback(lb, config->fallback, rq);
    if (h) {
        stat_inc(lb->stats ? lb->stats->lb_subsets_fallback : 0);
    } else if (config->panic_mode_any && config->fallback != LB_FALLBACK_NONE) {
        h = lb_pick_plain(lb, rq);
        stat_inc(h && lb->stats ? lb->stats->lb_subsets_fallback_panic : 0);
    }
    return h;
}

struct host *lb_pick_subset(struct lb *lb, const struct lb_request *rq)
{
    const struct lb_match *m = rq ? rq->match : NULL;
    if (!m || !m->fallbacks || !lb->config->subsets->fallback_list)
        return pick_for(lb, m, rq);
    struct host *h = NULL;
    for (uint32_t i = 0; !h && i < m->fallbacks_count; i++)
        h = pick_for(lb, m->fallbacks[i], rq);
    return h;
}
