/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group's VM on one worker: alive, being made again after a failure, or held back. All functions on the
 * worker's thread unless marked. Private to this folder.
 */
#ifndef WEIR_FILTERS_WASM_WASM_VM_H
#define WEIR_FILTERS_WASM_WASM_VM_H

#include "filters/wasm/wasm_loader.h"
#include "filters/wasm/wasm_seat.h"
#include "net/worker.h"

enum wasm_vm_state {
    WASM_VM_PREPARED, /* made, not yet taken over by the worker */
    WASM_VM_READY,
    WASM_VM_STARTING,    /* the loader is at it; streams wait */
    WASM_VM_BACKOFF,     /* failed; not to be tried before the timer fires. Streams get the failure outcome */
    WASM_VM_QUARANTINED, /* no VM, and none is made until an operator says so */
    WASM_VM_DETACHED,
};

/* FAIL_CLOSED and FAIL_OPEN respawn from a bucket (design: 100, refilled at 20 per second). */
#define WASM_RESPAWN_BUCKET_MAX     100u
#define WASM_RESPAWN_REFILL_PER_SEC 20u
/* How long a stream waits for a VM that is being made before it gets the failure outcome. */
#define WASM_START_WAIT_MS 1000u

struct wasm_vm_counts {
    uint64_t traps;
    uint64_t timeouts;
    uint64_t respawns;
};

struct wasm_seat_view {
    struct pw_costs costs;
    struct wasm_seat_counts counts;
};

/* What the admin thread sees: written on the worker, read under `lock`. */
struct wasm_vm_view {
    pthread_mutex_t lock;
    enum wasm_vm_state state;
    struct pw_vm_stats stats;
    struct wasm_vm_counts counts;
    struct wasm_seat_view *seats; /* of plugins_count */
    bool alive;
};

/* A stream or connection that waits for a VM; in a list while it does. */
struct wasm_waiter {
    struct list node;
    void (*wake)(struct wasm_waiter *waiter, bool ready);
};

struct wasm_root_timer {
    struct timer timer;
    struct wasm_vm *vm;
    struct pw_root *root;
    uint32_t period_ms;
};

struct wasm_vm {
    /* First what each stream looks at. */
    struct wasm_group *group;
    struct worker *worker;  /* NULL until attached */
    struct pw_fresh *fresh; /* makes the VM of each stream; NULL: all share `instance` */
    enum wasm_vm_state state;
    struct wasm_instance instance;
    struct wasm_seat *seats[WASM_GROUP_PLUGINS_MAX]; /* by index_in_group; NULL where no plugin is */
    struct wasm_root_timer ticks[WASM_GROUP_PLUGINS_MAX];
    uint64_t exhausted_logged_ms; /* loop time of the last log line about that */
    struct list waiting;          /* struct wasm_waiter */
    struct wasm_job *job;
    struct timer respawn_timer;
    struct timer wait_timer;
    struct timer run_timer; /* pw_vm_run and the last callbacks of streams, put off */
    uint64_t last_load_ms;
    uint64_t bucket_ms; /* loop time of the last refill */
    uint32_t bucket;
    uint32_t failures_in_a_row; /* of making a VM: doubles the back-off */
    bool closing;               /* shut down: no other life after this one */
    uint64_t closing_ns;        /* since when, by the monotonic clock */
    struct wasm_vm_counts counts;
    struct pw_vm_stats past; /* calls and time of the VMs before this one */
    struct wasm_vm_view view;
};

/* [main] Takes the instance over; NULL (instance untouched) when memory is out. */
struct wasm_vm *wasm_vm_create(struct wasm_group *group, struct wasm_instance *instance);
/* [main] After detach, or before attach. */
void wasm_vm_destroy(struct wasm_vm **vm);

void wasm_vm_attach(struct wasm_vm *vm, struct worker *worker);
/* Shuts the roots down: on_done, and on_delete for those that need no more time. Streams of it must be gone.
 * No VM is made again. */
void wasm_vm_shutdown(struct wasm_vm *vm);
/* Something waits for the plugins' share of time: it is run when they have some. */
void wasm_vm_run_later(struct wasm_vm *vm);
/* After shutdown: how long roots that have yet to call proxy_done may still take; 0: there are none, or their
 * time is over. */
uint64_t wasm_vm_done_left_ms(const struct wasm_vm *vm);
/* After shutdown: destroys the VM, with the roots that are still there. */
void wasm_vm_detach(struct wasm_vm *vm);
/* Takes over what the plugins' policies are now. */
void wasm_vm_take_policies(struct wasm_vm *vm);
/* The group's quarantine was lifted. */
void wasm_vm_released(struct wasm_vm *vm);
/* What a stream gets that the plugin cannot serve: the operator's word counts more than the plugin's own. */
bool wasm_vm_fails_open(const struct wasm_vm *vm, const struct wasm_plugin *plugin);
/* Notes a failure of a VM; whether the group's crash budget allows another life. */
bool wasm_vm_note_failure(struct wasm_vm *vm);

/* Whether a stream can begin. A VM that is up may be in quarantine: others of its group crashed too often. */
static inline bool wasm_vm_open(const struct wasm_vm *vm)
{
    return (vm->state == WASM_VM_READY || vm->fresh) && !wasm_quarantine_on(&vm->group->quarantine);
}
/* From the loader: a new instance, or an error. */
void wasm_vm_job_done(struct wasm_vm *vm, struct wasm_job *job);
/* Copies the numbers for the admin thread. */
void wasm_vm_publish(struct wasm_vm *vm);

/* `wake(waiter, true)` comes when the VM can serve, false when it cannot (the waiter's policy applies). */
void wasm_vm_wait(struct wasm_vm *vm, struct wasm_waiter *waiter);

#endif
