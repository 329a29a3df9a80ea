/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that makes VMs while the proxy serves: start-up code of a plugin never runs on a serving thread.
 * Jobs come from workers and their results go back there. Private to this folder.
 */
#ifndef WEIR_FILTERS_WASM_WASM_LOADER_H
#define WEIR_FILTERS_WASM_WASM_LOADER_H

#include "filters/wasm/wasm_group.h"
#include "net/loop.h"

struct wasm_loader;

enum wasm_job_state { WASM_JOB_QUEUED, WASM_JOB_RUNNING, WASM_JOB_POSTED };

struct wasm_job {
    struct list node;
    struct wasm_loader *loader;
    struct wasm_group *group;
    struct wasm_vm *vm;
    struct loop *loop;
    enum wasm_job_state state;
    bool cancelled;
    int error;
    struct wasm_instance instance; /* the result, when error is PW_OK */
    struct pw_message why;
};

/* NULL when the thread cannot be made. */
struct wasm_loader *wasm_loader_create(void);
/* Waits for the running job; workers are gone. */
void wasm_loader_destroy(struct wasm_loader **loader);

/* On a worker: makes an instance of the group elsewhere, then calls wasm_vm_job_done on this worker. NULL
 * when memory is out. The job belongs to the loader. */
struct wasm_job *wasm_loader_submit(struct wasm_loader *loader, struct wasm_vm *vm, struct wasm_group *group,
                                    struct loop *loop);
/* On the same worker: the result is not wanted any more; no call comes. */
void wasm_loader_cancel(struct wasm_loader *loader, struct wasm_job *job);

#endif
