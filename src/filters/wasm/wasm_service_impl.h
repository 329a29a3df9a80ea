/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service's own state. Private to this folder.
 */
#ifndef WEIR_FILTERS_WASM_WASM_SERVICE_IMPL_H
#define WEIR_FILTERS_WASM_WASM_SERVICE_IMPL_H

#include "base/list.h"
#include "base/map.h"
#include "filters/wasm/wasm_loader.h"
#include "filters/wasm/wasm_service.h"

/* What a post to a worker is about. */
struct wasm_attached {
    struct wasm_service *service;
    struct worker *worker; /* NULL: not running. Under attached_lock */
};

enum wasm_engine_kind { WASM_SANDBOX, WASM_UNCHECKED, WASM_NULL };

struct wasm_service {
    uint32_t workers;
    struct wasm_attached *attached; /* by worker index */
    pthread_mutex_t attached_lock;
    struct pw_posix *posix;
    struct pw_host *host;
    struct pw_engine *sandbox;
    struct pw_engine *unchecked; /* without interruption points; made when a policy asks for it */
    struct pw_engine *null;
    struct pw_watchdog *watchdog;
    uint32_t stream_vms;
    struct pw_engine *pool; /* of fresh VMs; NULL until a plugin wants them */
    struct pw_watchdog *pool_watchdog;
    struct wasm_loader *loader;
    pthread_mutex_t policy_lock; /* guards wasm_plugin.policy */
    struct wasm_optimiser *optimiser;
    struct list groups;
};

static inline enum wasm_engine_kind wasm_plugin_engine(const struct wasm_policy *policy, bool is_null)
{
    if (is_null)
        return WASM_NULL;
    return policy && policy->time_check_off ? WASM_UNCHECKED : WASM_SANDBOX;
}

/* A loaded module with a reference for the caller; the same code is loaded once as long as a plugin uses it.
 */
int wasm_service_module(struct wasm_service *service, enum wasm_engine_kind kind, struct slice name,
                        struct slice code, struct pw_module **out, struct pw_message *why);

/* The same for a plugin with a fresh VM per stream: never shared, as a snapshot is taken of it. */
int wasm_service_model(struct wasm_service *service, bool is_null, struct slice name, struct slice code,
                       struct pw_module **out, struct pw_message *why);

#endif
