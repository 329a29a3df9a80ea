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
        if (lb_update(&subsets[i], s->items[i].set))
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

static struct host *pick_for(struct lb *lb, const struct lb_match *match, const struct lb_request *rq);

/* The match with some of its labels only; its text stands on the stack. */
static struct host *pick_fewer(struct lb *lb, const struct lb_selector *selector, const struct lb_match *m,
                               const struct lb_request *rq)
{
    struct lb_label labels[LB_SELECTOR_KEYS_MAX];
    char text[LB_MATCH_BYTES_MAX];
    struct lb_match fewer = {.labels = labels};
    size_t len = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        for (uint32_t n = 0; n < selector->fallback_keys_count; n++) {
            if (!slice_eq(m->labels[i].key, selector->fallback_keys[n]))
                continue;
            WEIR_ASSERT(fewer.count < LB_SELECTOR_KEYS_MAX && m->labels[i].line.len <= sizeof(text) - len);
            labels[fewer.count++] = m->labels[i];
            memcpy(text + len, m->labels[i].line.ptr, m->labels[i].line.len);
            len += m->labels[i].line.len;
            break;
        }
    }
    fewer.text = slice_of(text, len);
    fewer.hash = slice_hash(fewer.text);
    return pick_for(lb, &fewer, rq);
}

/* `match` NULL: the request asks for nothing. */
static struct host *pick_for(struct lb *lb, const struct lb_match *match, const struct lb_request *rq)
{
    const struct lb_subset_config *config = lb->config->subsets;
    if (match) {
        uint32_t number = host_subsets_find(lb->hosts->subsets, match->text, match->hash);
        if (number != UINT32_MAX) {
            stat_inc(lb->stats ? lb->stats->lb_subsets_selected : 0);
            return lb_pick_plain(&lb->subsets[number], rq);
        }
        const struct lb_selector *selector = selector_of(config, match);
        if (selector && selector->fallback == LB_FALLBACK_KEYS)
            return pick_fewer(lb, selector, match, rq);
        if (selector && selector->fallback != LB_FALLBACK_UNSET)
            return pick_fallback(lb, selector->fallback, rq);
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
    return pick_for(lb, rq ? rq->match : NULL, rq);
}
