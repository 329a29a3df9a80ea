/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The callouts of a VM: their numbers, their caps, what was asked for before the VM was attached, and what of
 * an answer is readable during its callback (ABI 3.8). Never calls the guest from inside a guest call.
 */
#ifndef PROXYWASM_CALLOUT_IMPL_H
#define PROXYWASM_CALLOUT_IMPL_H

#include "proxywasm/vm_impl.h"

#include <proxywasm/callout.h>

/* The low two bits of a number. */
enum callout_kind { CALLOUT_HTTP = 0, CALLOUT_GRPC_CALL = 1, CALLOUT_GRPC_STREAM = 2 };
#define CALLOUT_KIND_BITS 3u
#define CALLOUT_ID_STEP   4u

struct pw_callout {
    struct list node;           /* in root->callouts */
    struct list linger;         /* in callouts.lingering */
    struct pw_callout *id_next; /* chain of a bucket */
    struct pw_root *root;
    void *data;
    uint64_t bytes; /* charged */
    uint32_t id;
    uint32_t holds;    /* deliveries of it on the stack */
    bool started;      /* the embedder holds it */
    bool refused;      /* ... would not have it when the VM was attached: its failure is due */
    bool ended;        /* nothing more comes; a stream's number lives on until the guest closes it */
    bool local_closed; /* a stream whose end was sent */
    bool dead;         /* freed by the last hold */
};

enum pw_status callout_http(struct pw_root *root, const struct pw_http_call *call, uint32_t *id);
/* `stream`: of both kinds. */
enum pw_status callout_grpc(struct pw_root *root, bool stream, const struct pw_grpc_call *call, uint32_t *id);
/* The one with that number that belongs to `root`, or NULL. */
struct pw_callout *callout_find(const struct pw_root *root, uint32_t id);
enum pw_status callout_send(struct pw_callout *c, struct pw_slice message, bool end);
/* proxy_grpc_close of a stream. */
enum pw_status callout_close(struct pw_callout *c);
void callout_cancel(struct pw_callout *c);

/* pw_vm_attach: starts what was recorded. */
void callouts_attach(struct pw_vm *vm);
/* pw_vm_run: tells the guest what the embedder would not start. */
void callouts_run(struct pw_vm *vm);
/* The root goes. */
void callouts_drop_root(struct pw_root *root);
void callouts_fini(struct pw_vm *vm);

/* Maps 4..7 and buffers 4, 5: open during the callback that brings them. */
bool callout_map_open(const struct pw_vm *vm, uint32_t map);
const struct pw_pair *callout_map_pairs(const struct pw_vm *vm, enum pw_map map, size_t *count);
/* False: NOT_FOUND. */
bool callout_buffer(const struct pw_vm *vm, enum pw_buffer buffer, struct slice *bytes);

#endif
