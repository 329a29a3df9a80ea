/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies of plugins: making, sharing, and what they hide.
 */
#include "filters/wasm/wasm_policy.h"

#include "base/assert.h"
#include "base/glob.h"
#include "base/refs.h"

#include <stdlib.h>

/* Longer paths and names than these are nobody's; hidden to be safe. */
#define PATH_BYTES_MAX 4096u
#define NAME_BYTES_MAX 4096u

#define STATE  "filter_state."
#define STORED STATE "wasm."

struct wasm_policy *wasm_policy_create(struct slice rule)
{
    struct wasm_policy *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    atomic_init(&p->refs, 1);
    arena_init(&p->arena, WASM_POLICY_BYTES_MAX, NULL);
    p->worker_time_percent = WASM_WORKER_TIME_PERCENT;
    p->pause_max_ms = WASM_PAUSE_MAX_MS;
    p->done_max_ms = WASM_DONE_MAX_MS;
    pw_limits_fill(&p->limits);
    p->rule = arena_dup(&p->arena, rule);
    if (!p->rule.ptr)
        wasm_policy_unref(&p);
    return p;
}

struct wasm_policy *wasm_policy_ref(struct wasm_policy *policy)
{
    refs_take(&policy->refs);
    return policy;
}

void wasm_policy_unref(struct wasm_policy **policy)
{
    struct wasm_policy *p = *policy;
    *policy = NULL;
    if (!p || !refs_drop(&p->refs))
        return;
    arena_fini(&p->arena);
    free(p);
}

static struct slice lower_dup(struct arena *arena, struct slice text)
{
    struct slice copy = arena_dup(arena, text);
    char *at = (char *)copy.ptr;
    for (size_t i = 0; at && i < copy.len; i++)
        at[i] = ascii_lower(at[i]);
    return copy;
}

bool wasm_policy_hide(struct wasm_policy *policy, struct wasm_patterns *list, char *const *patterns,
                      size_t count)
{
    bool fold = list == &policy->hidden_headers;
    if (count == 0)
        return true;
    list->items = ARENA_NEW_N(&policy->arena, struct slice, count);
    if (!list->items)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct slice text = slice_str(patterns[i]);
        list->items[i] = fold ? lower_dup(&policy->arena, text) : arena_dup(&policy->arena, text);
        if (!list->items[i].ptr)
            return false;
    }
    list->count = count;
    policy->hides = true;
    return true;
}

static bool any_matches(const struct wasm_patterns *list, struct slice text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (glob_match(list->items[i], text))
            return true;
    }
    return false;
}

bool wasm_policy_hides_header(const struct wasm_policy *policy, struct slice name)
{
    char lower[NAME_BYTES_MAX];
    if (policy->hidden_headers.count == 0)
        return false;
    if (name.len > sizeof(lower))
        return true;
    for (size_t i = 0; i < name.len; i++)
        lower[i] = ascii_lower(name.ptr[i]);
    return any_matches(&policy->hidden_headers, slice_of(lower, name.len));
}

/* `dotted` has room for one byte more. */
static bool hides_path(const struct wasm_patterns *list, char *dotted, size_t len)
{
    for (size_t i = 0; i <= len; i++) {
        if ((i == len || dotted[i] == '.') && any_matches(list, slice_of(dotted, i)))
            return true; /* itself, or what it lies below */
    }
    dotted[len] = '.';
    for (size_t i = 0; i < list->count; i++) {
        if (glob_match_prefix(list->items[i], slice_of(dotted, len + 1)))
            return true; /* it would show a hidden one below it */
    }
    return false;
}

bool wasm_policy_hides_property(const struct wasm_policy *policy, struct slice path)
{
    static const char xds[] = "xds.";
    char text[sizeof(xds) + PATH_BYTES_MAX + 1];
    char *dotted = text + sizeof(xds) - 1;
    const struct wasm_patterns *list = &policy->hidden_properties;
    if (list->count == 0)
        return false;
    if (path.len > PATH_BYTES_MAX)
        return true;
    for (size_t i = 0; i < path.len; i++)
        dotted[i] = path.ptr[i] ? path.ptr[i] : '.';
    /* xds.NAME answers to NAME too. */
    memcpy(text, xds, sizeof(xds) - 1);
    if (hides_path(list, dotted, path.len) || hides_path(list, text, sizeof(xds) - 1 + path.len))
        return true;
    /* What plugins store under NAME is filter state "wasm.NAME". */
    size_t skip = sizeof(STORED) - 1;
    return path.len > skip && memcmp(dotted, STORED, skip) == 0 &&
           hides_path(list, dotted + skip, path.len - skip);
}

bool wasm_policy_hides_state(const struct wasm_policy *policy, struct slice key)
{
    char path[sizeof(STATE) + PATH_BYTES_MAX];
    if (key.len > PATH_BYTES_MAX - sizeof(STATE))
        return policy->hidden_properties.count > 0;
    memcpy(path, STATE, sizeof(STATE) - 1);
    memcpy(path + sizeof(STATE) - 1, key.ptr, key.len);
    return wasm_policy_hides_property(policy, slice_of(path, sizeof(STATE) - 1 + key.len));
}

bool wasm_policy_hides_cluster(const struct wasm_policy *policy, struct slice name)
{
    return any_matches(&policy->hidden_clusters, name);
}
