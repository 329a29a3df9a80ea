/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Context ids and the common part of roots and streams: one counter per VM from 1 on, skipping ids that live.
 */
#ifndef PROXYWASM_CONTEXT_H
#define PROXYWASM_CONTEXT_H

#include "proxywasm/vm_impl.h"

/* Gives an id and links the context. PW_ERR_LIMIT, PW_ERR_NOMEM. */
int context_init(struct context *c, struct pw_vm *vm, enum context_kind kind, struct pw_root *root);
/* Takes the id and the links back. */
void context_fini(struct context *c);
/* NULL when no such context lives. */
struct context *context_find(const struct pw_vm *vm, uint32_t id);

static inline void context_hold(struct context *c)
{
    c->holds++;
}

void context_free(struct context *c);
/* Frees a destroyed context after its last hold. */
static inline void context_release(struct context *c)
{
    WEIR_ASSERT(c->holds > 0);
    if (--c->holds == 0 && WEIR_UNLIKELY(c->destroyed))
        context_free(c);
}
/* Marks as destroyed and frees when nothing holds it. context_fini was called. */
void context_destroy(struct context *c);

#endif
