/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared data (ABI 3.11): key-value pairs per vm_id, seen by all VMs of that vm_id on all threads. A space
 * lives as long as some VM refers to it. Values are immutable and counted, so a reader holds no lock while it
 * copies into its guest.
 */
#ifndef PROXYWASM_SHARED_STORE_H
#define PROXYWASM_SHARED_STORE_H

#include "base/bytes.h"
#include "base/map.h"
#include "proxywasm/budget.h"
#include "proxywasm/limit_check.h"

#include <proxywasm/types.h>
#include <pthread.h>
#include <stdatomic.h>

struct shared_store {
    pthread_mutex_t lock;  /* guards `spaces` and the counts in it */
    struct map spaces;     /* vm_id -> struct shared_space */
    struct budget *budget; /* charged with what the spaces hold; outlives the store */
    _Atomic uint32_t cas;  /* last one given out; never 0 */
};

struct shared_space;

void shared_store_init(struct shared_store *store, struct budget *budget);
/* All spaces must be closed. */
void shared_store_fini(struct shared_store *store);
void shared_store_count(struct shared_store *store, uint64_t *keys, uint64_t *bytes);

/* The space of vm_id, made if need be; NULL when memory is out. Close it once. */
struct shared_space *shared_space_open(struct shared_store *store, struct slice vm_id);
/* The last close drops the data. Clears the pointer; NULL content is fine. */
void shared_space_close(struct shared_store *store, struct shared_space **space);

/* *value gets a reference (NULL: empty value). NOT_FOUND. [any thread] */
enum pw_status shared_space_get(struct shared_space *space, struct slice key, struct bytes **value,
                                uint32_t *cas);
/* cas 0: always. CAS_MISMATCH; INTERNAL_FAILURE over a limit or without memory. [any thread] */
enum pw_status shared_space_set(struct shared_store *store, struct shared_space *space, struct slice key,
                                struct slice value, uint32_t cas, struct limit_check *check);

#endif
