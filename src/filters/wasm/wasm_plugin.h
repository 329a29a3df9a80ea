/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin as the configuration describes it, and the immutable resource made from it. A resource is loaded,
 * compiled, instantiated for every worker and configured (the trial configure) before a configuration that
 * names it is accepted; none of that happens on a serving thread. Runtime state per worker is wasm_vm.h's.
 */
#ifndef WEIR_FILTERS_WASM_WASM_PLUGIN_H
#define WEIR_FILTERS_WASM_WASM_PLUGIN_H

#include "base/arena.h"
#include "filters/wasm/wasm_policy.h"
#include "proxy/filter.h"
#include "telemetry/stats.h"
#include "upstream/typed_value.h"

#include <proxywasm/proxywasm.h>
#include <stdatomic.h>

struct wasm_service;
struct wasm_vm;

enum wasm_failure_policy { WASM_FAIL_CLOSED, WASM_FAIL_OPEN, WASM_FAIL_RELOAD };

enum wasm_sharing {
    WASM_SHARE_PLUGIN, /* one VM per plugin configuration and worker */
    WASM_SHARE_VM_KEY, /* Envoy's rule: equal vm_id, VM configuration and code share one per worker */
    WASM_SHARE_STREAM, /* a fresh one per stream, which begins as the worker's VM was after configure */
};

/*
 * What envoy.extensions.wasm.v3.PluginConfig and the policy say, in plain C. Borrowed by wasm_plugin_create,
 * which copies. The configuration room fills it.
 */
struct wasm_spec {
    struct slice name;
    struct slice root_id;
    struct slice vm_id;
    struct slice runtime;     /* as written: "envoy.wasm.runtime.v8", ...; blank is v8 */
    struct slice code;        /* the module's bytes; for the null runtime the plugin's name */
    struct slice code_origin; /* for messages: the file name, or "inline" */
    struct slice vm_configuration;
    struct slice configuration;
    const struct pw_pair *environment; /* host variables are resolved already */
    size_t environment_count;
    const struct pw_slice *capabilities;
    size_t capabilities_count;
    bool allow_on_headers_stop_iteration;
    enum wasm_failure_policy failure_policy;
    uint64_t reload_backoff_ms;                  /* FAIL_RELOAD: base interval; 0: 1 s */
    struct slice listener_direction;             /* "inbound", "outbound" or blank */
    uint32_t direction;                          /* the same as Envoy's TrafficDirection */
    const struct typed_value *listener_metadata; /* NULL: none */
    const struct typed_value *node;              /* NULL: none */
    struct slice listener;                       /* its name, for the policy */
    enum wasm_sharing sharing;
    bool singleton; /* one VM in the process, on the thread for such plugins, not one per worker */
    struct wasm_policy *policy; /* NULL: the defaults */
};

/* "envoy.wasm.runtime.v8" and the like; false when the runtime is not one that Weir knows. */
bool wasm_runtime_known(struct slice runtime, bool *is_null);

struct wasm_plugin_stats {
    stat_id vm_reload;
    stat_id vm_reload_backoff;
    stat_id vm_reload_success;
    stat_id vm_reload_failure;
    stat_id stream_vm_exhausted; /* streams for which no fresh VM could be had */
};

struct wasm_plugin {
    atomic_uint refs;
    struct wasm_service *service;
    struct wasm_group *group;
    uint32_t index_in_group;
    struct pw_plugin *pw;
    char *name;
    char *root_id;
    char *listener;
    enum wasm_failure_policy failure_policy;
    bool allow_on_headers_stop_iteration;
    bool routes_have_own;            /* some route has a plugin for this filter */
    struct wasm_plugin *chain;       /* a route's: the one of the filter chain, a reference. Else NULL */
    struct slice configuration;      /* a route's: in `shown` */
    struct wasm_policy *policy;      /* a reference; under the service's policy_lock */
    struct wasm_policy *next_policy; /* while all plugins' are being decided anew */
    struct wasm_plugin_stats stats;
    /* What its properties show of the place where it runs; in `shown`. */
    struct arena shown;
    const struct typed_value *node;
    const struct typed_value *listener_metadata;
    uint32_t direction;
};

/*
 * Loads the module (or finds it loaded) and makes the resource. Slow: not on a serving thread. One reference.
 * NULL with a message that names the plugin when the module is bad. Plugins that share VMs find their group
 * here, so all plugins of a configuration are created before wasm_service_prepare.
 */
struct wasm_plugin *wasm_plugin_create(struct wasm_service *service, const struct wasm_spec *spec,
                                       struct pw_message *why);
/*
 * One more root context in the VMs of `chain`, a filter's plugin, for the routes that configure it: `spec`
 * gives name, root_id and configuration, all else is the filter's. Equal ones are one. Before
 * wasm_service_prepare. One reference; NULL with a message.
 */
struct wasm_plugin *wasm_plugin_create_for_route(struct wasm_plugin *chain, const struct wasm_spec *spec,
                                                 struct pw_message *why);
struct wasm_plugin *wasm_plugin_ref(struct wasm_plugin *plugin);
void wasm_plugin_unref(struct wasm_plugin **plugin);
/* What the policy says of it now: a reference for the caller. [any thread] */
struct wasm_policy *wasm_plugin_policy(struct wasm_plugin *plugin);

/* Fills `out` (ops, config, destroy) with one HTTP filter over the plugin; takes the caller's reference over.
 */
/* The plugin of a chain's entry; NULL when it is no Wasm filter. */
struct wasm_plugin *wasm_filter_plugin(const struct filter_config *config);
void wasm_filter_config_init(struct filter_config *out, struct slice filter_name, struct wasm_plugin *plugin);

#endif
