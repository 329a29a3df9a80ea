/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dividing hosts into subsets, on the main thread. A host without some key of a selector is in none of its
 * subsets; with list_as_any one whose value is a list is in the subset of each of its elements. A subset of a
 * selector with single_host_per_subset keeps the first host of each priority, and uses that of the first one.
 */
#include "upstream/host_subsets.h"

#include "base/assert.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "telemetry/log.h"
#include "upstream/limits.h"

#include <stdlib.h>

/* A subset while its hosts are gathered. */
struct draft {
    struct slice text;
    struct host **hosts;
    uint32_t count;
    uint32_t room;
    bool single;
};

struct drafts {
    struct map by_text; /* text -> struct draft */
    struct host_set *set;
    const struct lb_subset_config *config;
    uint32_t duplicates;
    uint64_t steps_left; /* calls of divide() */
    bool failed;
};

static bool has_priority(const struct draft *draft, uint32_t priority)
{
    for (uint32_t i = 0; i < draft->count; i++) {
        if (draft->hosts[i]->priority == priority)
            return true;
    }
    return false;
}

/* What a subset is follows from the selector that made it (Envoy). */
static void draft_add(struct drafts *d, struct slice text, struct host *h, bool single)
{
    struct draft *draft = map_get(&d->by_text, text);
    if (!draft) {
        draft = calloc(1, sizeof(*draft));
        if (draft) {
            draft->text = arena_dup(&d->set->arena, text);
            draft->single = single;
        }
        if (!draft || !draft->text.ptr || d->by_text.count >= LB_SUBSETS_MAX ||
            !map_put(&d->by_text, text, draft)) {
            free(draft);
            d->failed = true;
            return;
        }
    }
    if (draft->count > 0 && draft->hosts[draft->count - 1] == h)
        return; /* two elements of a list may be equal */
    if (draft->single && has_priority(draft, h->priority)) {
        d->duplicates++;
        return;
    }
    if (draft->count == draft->room) {
        uint32_t room = draft->room ? draft->room * 2 : 4;
        struct host **more = realloc(draft->hosts, room * sizeof(struct host *));
        if (!more) {
            d->failed = true;
            return;
        }
        draft->hosts = more;
        draft->room = room;
    }
    draft->hosts[draft->count++] = h;
}

/* Adds the host to all subsets of the selector whose first `at` labels are given. */
static void divide(struct drafts *d, struct host *h, const struct lb_selector *selector,
                   struct lb_label *labels, uint32_t at)
{
    struct strbuf text;
    /* Lists multiply also when their elements are equal, or a label behind them has none. */
    if (d->steps_left == 0)
        d->failed = true;
    if (d->failed)
        return;
    d->steps_left--;
    if (at == selector->keys_count) {
        strbuf_init(&text, LB_MATCH_BYTES_MAX);
        if (lb_match_text(labels, at, &text))
            draft_add(d, strbuf_slice(&text), h, selector->single_host);
        strbuf_fini(&text);
        return;
    }
    const struct typed_value *value = host_lb_metadata(h, selector->keys[at]);
    if (!value)
        return;
    bool each = d->config->list_as_any && value->kind == TYPED_LIST;
    size_t count = each ? value->members_count : 1;
    for (size_t i = 0; i < count && !d->failed; i++) {
        strbuf_init(&text, LB_MATCH_BYTES_MAX);
        if (typed_value_json(each ? &value->members[i].value : value, &text)) {
            labels[at] = (struct lb_label){selector->keys[at], strbuf_slice(&text), SLICE_EMPTY};
            divide(d, h, selector, labels, at + 1);
        }
        strbuf_fini(&text);
    }
}

static bool has_label(const struct host *h, const struct lb_label *label, bool list_as_any)
{
    const struct typed_value *value = host_lb_metadata(h, label->key);
    bool each = value && list_as_any && value->kind == TYPED_LIST, found = false;
    size_t count = !value ? 0 : each ? value->members_count : 1;
    for (size_t i = 0; i < count && !found; i++) {
        struct strbuf text;
        strbuf_init(&text, LB_MATCH_BYTES_MAX);
        found = typed_value_json(each ? &value->members[i].value : value, &text) &&
                slice_eq(strbuf_slice(&text), label->value);
        strbuf_fini(&text);
    }
    return found;
}

bool host_has_labels(const struct host *h, const struct lb_match *match, bool list_as_any)
{
    for (uint32_t i = 0; i < match->count; i++) {
        if (!has_label(h, &match->labels[i], list_as_any))
            return false;
    }
    return true;
}

/* The hosts that default_subset selects: all of them when it is empty. Its text cannot be any match's. */
#define DEFAULT_TEXT SLICE_LIT("default")

static void divide_default(struct drafts *d)
{
    const struct lb_match *wanted = d->config->default_subset;
    for (uint32_t i = 0; i < d->set->count; i++) {
        if (!wanted || host_has_labels(d->set->hosts[i], wanted, d->config->list_as_any))
            draft_add(d, DEFAULT_TEXT, d->set->hosts[i], false);
    }
}

static struct host *single_of(const struct draft *draft)
{
    struct host *first = draft->hosts[0];
    for (uint32_t i = 1; i < draft->count; i++)
        first = draft->hosts[i]->priority < first->priority ? draft->hosts[i] : first;
    return first;
}

/* The hosts of the draft as a set of their own. */
static struct host_set *part_of(const struct drafts *d, const struct draft *draft,
                                const struct cluster_config *config, uint64_t now_ms)
{
    for (uint32_t i = 0; i < draft->count; i++)
        host_ref(draft->hosts[i]);
    return host_set_create_part(draft->hosts, draft->count, d->set, config, now_ms);
}

static bool finish(struct drafts *d, struct host_subsets *out, const struct cluster_config *config,
                   uint64_t now_ms)
{
    struct arena *arena = &d->set->arena;
    size_t cursor = 0, size = 4;
    while (size < d->by_text.count * 2)
        size *= 2;
    out->items = ARENA_NEW_N(arena, struct host_subset, d->by_text.count + 1);
    out->index = ARENA_NEW_N(arena, uint32_t, size);
    out->index_mask = (uint32_t)size - 1;
    out->duplicates = d->duplicates;
    if (!out->items || !out->index)
        return false;
    for (struct map_entry *e; (e = map_next(&d->by_text, &cursor)) != NULL;) {
        struct draft *draft = e->value;
        struct host_subset *s = &out->items[out->count];
        s->text = draft->text;
        s->hash = slice_hash(s->text);
        if (draft->single)
            s->single = single_of(draft);
        else if (!(s->set = part_of(d, draft, config, now_ms)))
            return false;
        if (slice_eq(s->text, DEFAULT_TEXT))
            out->default_subset = out->count;
        uint32_t slot = (uint32_t)s->hash & out->index_mask;
        while (out->index[slot])
            slot = (slot + 1) & out->index_mask;
        out->index[slot] = ++out->count;
    }
    return true;
}

bool host_subsets_make(struct host_set *s, const struct cluster_config *config, uint64_t now_ms)
{
    const struct lb_subset_config *subsets = config->lb.subsets;
    const uint64_t steps = LB_SUBSET_STEPS_MAX + (uint64_t)s->count * LB_SUBSET_STEPS_PER_HOST;
    struct drafts d = {.set = s, .config = subsets, .steps_left = steps};
    struct lb_label labels[LB_SELECTOR_KEYS_MAX];
    size_t cursor = 0;
    if (!subsets)
        return true;
    for (uint32_t i = 0; i < subsets->selectors_count; i++) {
        for (uint32_t n = 0; n < s->count; n++)
            divide(&d, s->hosts[n], &subsets->selectors[i], labels, 0);
    }
    if (subsets->wants_default)
        divide_default(&d);
    s->subsets = ARENA_NEW(&s->arena, struct host_subsets);
    if (s->subsets)
        s->subsets->default_subset = UINT32_MAX;
    bool ok = !d.failed && s->subsets && finish(&d, s->subsets, config, now_ms);
    if (!ok)
        log_write(UPSTREAM, ERROR,
                  "cluster '" SLICE_FMT
                  "': its %u hosts cannot be divided into subsets: more than %u subsets, "
                  "or than %llu steps of dividing, or memory is out",
                  SLICE_ARG(config->name), s->count, LB_SUBSETS_MAX, (unsigned long long)steps);
    for (struct map_entry *e; (e = map_next(&d.by_text, &cursor)) != NULL;) {
        free(((struct draft *)e->value)->hosts);
        free(e->value);
    }
    map_fini(&d.by_text);
    return ok;
}

void host_subsets_fini(struct host_subsets *subsets)
{
    for (uint32_t i = 0; subsets && i < subsets->count; i++)
        host_set_unref(&subsets->items[i].set);
}

uint32_t host_subsets_find(const struct host_subsets *subsets, struct slice text, uint64_t hash)
{
    for (uint32_t slot = (uint32_t)hash & subsets->index_mask; subsets->index[slot];
         slot = (slot + 1) & subsets->index_mask) {
        uint32_t number = subsets->index[slot] - 1;
        if (subsets->items[number].hash == hash && slice_eq(subsets->items[number].text, text))
            return number;
    }
    return UINT32_MAX;
}
