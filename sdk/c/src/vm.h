/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.h: the SDK's own state of one VM: its contexts, found by id, and the scratch memory of the running
 * callback. Plugins must never see these types.
 */
#ifndef WSDK_VM_H
#define WSDK_VM_H

#include "limits.h"
#include <wsdk/call.h>
#include <wsdk/plugin.h>

/* A piece of memory that belongs to a context or to the running callback. */
struct wsdk_block {
    struct wsdk_block *next;
    _Alignas(16) char data[];
};

/* What WSDK allocates for a context; its state follows at `state`. */
struct wsdk_context {
    struct wsdk_vm *vm;
    struct wsdk_context *root;  /* itself for a root */
    struct wsdk_context *chain; /* the next one in its slot */
    struct wsdk_block *blocks;  /* wsdk_alloc */
    uint32_t id;                /* never 0 */
    uint32_t streams;           /* of a root: streams that still point to it */
    bool deleted;               /* a root that waits for its last stream */
    _Alignas(16) char state[];
};

/* Memory until the running callback returns: a fixed chunk first, single blocks when it is full. */
struct wsdk_scratch {
    char *chunk;
    size_t used;
    struct wsdk_block *blocks;
};

/* A call whose answer has a function: then.c. */
struct wsdk_wait {
    struct wsdk_wait *next;
    uint32_t call;
    uint32_t context; /* the id, as the context may be gone */
    union {
        void (*http)(struct wsdk_context *ctx, const struct wsdk_http_answer *answer, void *data);
        void (*grpc)(struct wsdk_context *ctx, const struct wsdk_grpc_answer *answer, void *data);
    } then;
    void *data;
};

struct wsdk_vm {
    const struct pw_null_host *host; /* NULL in Wasm */
    void *host_ctx;

    /* Chains by id, at most half as many contexts as slots: ids are consecutive, so most chains have one, and
     * a deletion touches no other context. The capacity is 0 or a power of two. */
    struct wsdk_context **table;
    size_t capacity, count;
    struct wsdk_context *last;  /* the last one found: callbacks come in runs */
    struct wsdk_context *root;  /* the last one that got a stream, or asked for as one */
    struct wsdk_context *spare; /* freed stream contexts, chained by `root` */
    size_t spare_count;

    struct wsdk_wait *waits;
    struct wsdk_scratch scratch;
    uint32_t depth; /* callbacks on the stack */
    bool trapped;
};

/* The context with this id, or NULL. */
struct wsdk_context *wsdk_vm_find(struct wsdk_vm *vm, uint32_t id);

/* Make and enter a context; NULL when the ids are wrong or memory is short. */
struct wsdk_context *wsdk_vm_add(struct wsdk_vm *vm, uint32_t id, uint32_t parent_id);

/* Take a context out of the VM and free it. */
void wsdk_vm_remove(struct wsdk_vm *vm, struct wsdk_context *ctx);

/* Scratch memory; reset frees all of it. */
void *wsdk_scratch_take(struct wsdk_scratch *scratch, size_t bytes);
void wsdk_scratch_reset(struct wsdk_scratch *scratch);
void wsdk_scratch_fini(struct wsdk_scratch *scratch);

/* wsdk_trap where there may be no context. */
void wsdk_vm_trap(struct wsdk_vm *vm, const char *why);

#endif
