/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operator's policy decides about one plugin, as an immutable resource: limits, what a stream gets
 * that the plugin cannot serve, what is hidden from it. The configuration room makes it; workers get another
 * one when the policy is read again.
 */
#ifndef WEIR_FILTERS_WASM_WASM_POLICY_H
#define WEIR_FILTERS_WASM_WASM_POLICY_H

#include "base/arena.h"

#include <proxywasm/vm_limits.h>
#include <stdatomic.h>

#define WASM_POLICY_BYTES_MAX (1u << 20) /* 768 patterns of 255 bytes */

#define WASM_WORKER_TIME_PERCENT 20u
#define WASM_PAUSE_MAX_MS        60000u
#define WASM_DONE_MAX_MS         1000u

enum wasm_fallback { WASM_FALLBACK_AS_PLUGIN, WASM_FALLBACK_OPEN, WASM_FALLBACK_CLOSED };

struct wasm_patterns {
    struct slice *items; /* `*` stands for any run of bytes */
    size_t count;
};

struct wasm_policy {
    atomic_uint refs;
    struct arena arena; /* holds everything below */
    struct slice rule;  /* which rule decided; empty: there is no policy */
    struct pw_limits limits;
    uint32_t worker_time_percent; /* of each second; 100: no limit */
    uint64_t pause_max_ms;        /* 0: for ever */
    uint64_t done_max_ms;         /* between proxy_on_done that said false and proxy_done */
    enum wasm_fallback fallback;
    uint32_t crash_failures; /* 0: no budget */
    uint64_t crash_window_ms;
    bool time_check_off;
    int sharing; /* enum wasm_sharing: for comparing, it is decided when the plugin is made */
    struct wasm_patterns hidden_headers; /* lower case */
    struct wasm_patterns hidden_properties;
    struct wasm_patterns hidden_clusters;
    bool hides; /* any of the three: streams get the view */
};

/* With the defaults; the maker fills it in before anyone else sees it. NULL when memory is out. */
struct wasm_policy *wasm_policy_create(struct slice rule);
struct wasm_policy *wasm_policy_ref(struct wasm_policy *policy);
void wasm_policy_unref(struct wasm_policy **policy);

/* Copies the patterns. false when memory is out. */
bool wasm_policy_hide(struct wasm_policy *policy, struct wasm_patterns *list, char *const *patterns,
                      size_t count);

/* Any case. */
bool wasm_policy_hides_header(const struct wasm_policy *policy, struct slice name);
/* `path` has segments divided by NUL or '.'. Hidden is what matches, what lies below it, and what it lies
 * below. Not asked here: whether the path shows a hidden header. */
bool wasm_policy_hides_property(const struct wasm_policy *policy, struct slice path);
/* The same of a key of filter state. */
bool wasm_policy_hides_state(const struct wasm_policy *policy, struct slice key);
/* A callout there is answered as if the cluster did not exist. */
bool wasm_policy_hides_cluster(const struct wasm_policy *policy, struct slice name);

#endif
