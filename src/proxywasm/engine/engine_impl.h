/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout of the engine object, for the files of this folder and module.c. The hot path reads `interrupts`
 * only; the lock is taken when VMs come and go, and by the watcher.
 */
#ifndef PROXYWASM_ENGINE_ENGINE_IMPL_H
#define PROXYWASM_ENGINE_ENGINE_IMPL_H

#include "base/list.h"
#include "proxywasm/engine/engine.h"

#include <pthread.h>
#include <stdatomic.h>

struct pw_engine {
    struct pw_host *host;
    const struct engine_ops *ops;
    void *state; /* the engine's own; made by engine_init, freed by engine_fini */
    bool interruptible;
    _Atomic uint32_t interrupts; /* how often pw_engine_interrupt was called */
    atomic_uint modules;         /* live ones */
    pthread_mutex_t lock;        /* guards `deadlines` */
    struct list deadlines;       /* of live VMs */
};

/* Whether some call is near or past its limit at `now_cycles`; it is marked then. *away_ns: when to come
 * again. Under the lock. */
bool deadline_scan(struct pw_engine *engine, uint64_t now_cycles, uint64_t *away_ns);

#endif
