/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group: the plugins that live in one VM per worker (one plugin, unless sharing by VM key was chosen), the
 * module and the VM's configuration. Immutable once its VMs were made. Private to this folder.
 */
#ifndef WEIR_FILTERS_WASM_WASM_GROUP_H
#define WEIR_FILTERS_WASM_WASM_GROUP_H

#include "base/list.h"
#include "filters/wasm/wasm_plugin.h"
#include "filters/wasm/wasm_quarantine.h"

#define WASM_GROUP_PLUGINS_MAX 256
#define WASM_SPEC_BYTES_MAX    (64u << 20) /* configurations and environment of one VM */

struct wasm_group {
    struct list node; /* in the service's list */
    struct wasm_service *service;
    struct arena arena; /* copies of the VM's configuration */
    struct slice key;   /* who may share; empty: nobody */
    struct pw_module *module;
    int engine;                                          /* enum wasm_engine_kind */
    bool is_null;                                        /* on the null engine */
    bool singleton;                                      /* one VM, on the thread for singletons */
    struct pw_vm_config vm_config;                       /* limits apart, see wasm_group_limits */
    struct slice runtime;                                /* as written, blank filled in */
    struct wasm_plugin *plugins[WASM_GROUP_PLUGINS_MAX]; /* borrowed: a plugin holds its group */
    uint32_t plugins_count;
    uint64_t reload_backoff_ms;
    bool reload;                  /* FAIL_RELOAD: respawn by back-off, not from the bucket */
    bool stream;                  /* a fresh VM per stream */
    struct pw_snapshot *snapshot; /* ... which begins like this; taken while the first VM is prepared */
    struct wasm_quarantine quarantine;
    /* Once prepared, else NULL: by worker index, and one more for the thread for singletons. NULL where the
     * group does not run. */
    struct wasm_vm **vms;
    stat_id created;
    stat_id active;
};

/* Finds or makes the group for the spec. NULL with a message. */
struct wasm_group *wasm_group_for(struct wasm_service *service, const struct wasm_spec *spec, bool is_null,
                                  struct pw_module *module, struct pw_message *why);
/* Removes the plugin; the last one takes the group with it. The workers must have let go of it. */
void wasm_group_leave(struct wasm_group *group, struct wasm_plugin *plugin);

/* The tightest of the limits that the policies of its plugins give now. [any thread] */
void wasm_group_limits(struct wasm_group *group, struct pw_limits *out);

/* One VM with all roots of a group, on any thread. */
struct wasm_instance {
    struct pw_vm *vm;
    struct pw_root *roots[WASM_GROUP_PLUGINS_MAX];
};
/* PW_OK or the error; *why names the plugin. Runs guest start-up code: not on a serving thread. */
int wasm_instance_create(struct wasm_group *group, struct wasm_instance *out, struct pw_message *why);
void wasm_instance_destroy(struct wasm_instance *instance);

#endif
