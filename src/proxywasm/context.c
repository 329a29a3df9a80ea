/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of context ids: a chained hash on the id, as ids are nearly consecutive. Growing it may fail
 * without harm.
 */
#include "proxywasm/context.h"

#include "proxywasm/stream_impl.h"

#include <stdlib.h>

#define BUCKETS_FIRST 16

static bool buckets_grow(struct pw_vm *vm)
{
    uint32_t size = vm->buckets ? (vm->buckets_mask + 1) * 2 : BUCKETS_FIRST;
    struct context **buckets = calloc(size, sizeof(struct context *));
    if (!buckets)
        return vm->buckets != NULL; /* longer chains, still right */
    for (uint32_t i = 0; vm->buckets && i <= vm->buckets_mask; i++) {
        for (struct context *c = vm->buckets[i], *next; c; c = next) {
            next = c->id_next;
            c->id_next = buckets[c->id & (size - 1)];
            buckets[c->id & (size - 1)] = c;
        }
    }
    free(vm->buckets);
    vm->buckets = buckets;
    vm->buckets_mask = size - 1;
    return true;
}

struct context *context_find(const struct pw_vm *vm, uint32_t id)
{
    if (!vm->buckets || id == 0)
        return NULL;
    struct context *c = vm->buckets[id & vm->buckets_mask];
    while (c && c->id != id)
        c = c->id_next;
    return c;
}

static uint32_t next_id(struct pw_vm *vm)
{
    do {
        vm->next_id++;
    } while (vm->next_id == 0 || context_find(vm, vm->next_id));
    return vm->next_id;
}

WEIR_HOT int context_init(struct context *c, struct pw_vm *vm, enum context_kind kind, struct pw_root *root)
{
    if (vm->contexts >= vm->limits.contexts_max)
        return PW_ERR_LIMIT;
    if ((!vm->buckets || vm->contexts > vm->buckets_mask) && !buckets_grow(vm))
        return PW_ERR_NOMEM;
    c->vm = vm;
    c->root = root;
    c->kind = kind;
    c->id = next_id(vm);
    c->id_next = vm->buckets[c->id & vm->buckets_mask];
    vm->buckets[c->id & vm->buckets_mask] = c;
    list_push_back(kind == CONTEXT_ROOT ? &vm->roots : &vm->streams, &c->node);
    vm->contexts++;
    if (kind == CONTEXT_ROOT) {
        vm->roots_count++;
    } else {
        vm->streams_count++;
        root->streams++;
    }
    return PW_OK;
}

WEIR_HOT void context_fini(struct context *c)
{
    struct pw_vm *vm = c->vm;
    struct context **link = &vm->buckets[c->id & vm->buckets_mask];
    while (*link != c) {
        WEIR_ASSERT(*link);
        link = &(*link)->id_next;
    }
    *link = c->id_next;
    list_remove(&c->node);
    WEIR_ASSERT(vm->contexts > 0);
    vm->contexts--;
    if (c->kind == CONTEXT_ROOT) {
        vm->roots_count--;
    } else {
        WEIR_ASSERT(c->root->streams > 0);
        vm->streams_count--;
        c->root->streams--;
    }
}

WEIR_HOT void context_free(struct context *c)
{
    if (c->kind == CONTEXT_STREAM)
        stream_give_back(c->vm, context_stream(c));
    else
        free(c->root);
}

WEIR_HOT void context_destroy(struct context *c)
{
    WEIR_ASSERT(!c->destroyed);
    c->destroyed = true;
    if (c->holds == 0)
        context_free(c);
}
