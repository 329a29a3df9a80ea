/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.c: contexts by id and their memory. It never calls the host and never runs a callback.
 */
#include "vm.h"
#include <stdlib.h>

static size_t vm_slot(const struct wsdk_vm *vm, uint32_t id)
{
    /* Ids are handed out one after the other, so the id itself spreads best. */
    return id & (vm->capacity - 1);
}

struct wsdk_context *wsdk_vm_find(struct wsdk_vm *vm, uint32_t id)
{
    if (vm->last != NULL && vm->last->id == id)
        return vm->last;
    if (vm->capacity == 0)
        return NULL;
    struct wsdk_context *ctx = vm->table[vm_slot(vm, id)];
    while (ctx != NULL && ctx->id != id)
        ctx = ctx->chain;
    if (ctx != NULL)
        vm->last = ctx;
    return ctx;
}

static void vm_insert(struct wsdk_vm *vm, struct wsdk_context *ctx)
{
    struct wsdk_context **slot = &vm->table[vm_slot(vm, ctx->id)];
    ctx->chain = *slot;
    *slot = ctx;
}

static bool vm_grow(struct wsdk_vm *vm)
{
    size_t capacity = vm->capacity == 0 ? WSDK_TABLE_SLOTS_MIN : vm->capacity * 2;
    struct wsdk_context **old = vm->table;
    size_t old_capacity = vm->capacity;
    struct wsdk_context **table = calloc(capacity, sizeof(struct wsdk_context *));
    if (table == NULL)
        return false;
    vm->table = table;
    vm->capacity = capacity;
    for (size_t i = 0; i < old_capacity; i++) {
        for (struct wsdk_context *ctx = old[i], *next; ctx != NULL; ctx = next) {
            next = ctx->chain;
            vm_insert(vm, ctx);
        }
    }
    free(old);
    return true;
}

static struct wsdk_context *vm_context_memory(struct wsdk_vm *vm, bool is_root)
{
    size_t state_bytes = is_root ? wsdk_plugin_table.root_bytes : wsdk_plugin_table.stream_bytes;
    size_t bytes = sizeof(struct wsdk_context) + state_bytes;
    struct wsdk_context *ctx = vm->spare;
    if (is_root || ctx == NULL)
        return calloc(1, bytes);
    vm->spare = ctx->root;
    vm->spare_count--;
    memset(ctx, 0, bytes);
    return ctx;
}

/* The root of a new stream: mostly the one of the stream before. */
static struct wsdk_context *vm_root(struct wsdk_vm *vm, uint32_t id)
{
    if (vm->root == NULL || vm->root->id != id)
        vm->root = wsdk_vm_find(vm, id);
    return vm->root;
}

struct wsdk_context *wsdk_vm_add(struct wsdk_vm *vm, uint32_t id, uint32_t parent_id)
{
    struct wsdk_context *root = parent_id == 0 ? NULL : vm_root(vm, parent_id);
    if (id == 0 || wsdk_vm_find(vm, id) != NULL)
        return NULL;
    if (parent_id != 0 && (root == NULL || root->root != root || root->deleted))
        return NULL;
    if ((vm->count + 1) * 2 > vm->capacity && !vm_grow(vm))
        return NULL;
    struct wsdk_context *ctx = vm_context_memory(vm, root == NULL);
    if (ctx == NULL)
        return NULL;
    ctx->vm = vm;
    ctx->id = id;
    ctx->root = root == NULL ? ctx : root;
    if (root != NULL)
        root->streams++;
    vm_insert(vm, ctx);
    vm->count++;
    vm->last = ctx;
    return ctx;
}

static void blocks_free(struct wsdk_block **blocks)
{
    while (*blocks != NULL) {
        struct wsdk_block *block = *blocks;
        *blocks = block->next;
        free(block);
    }
}

static void vm_context_free(struct wsdk_vm *vm, struct wsdk_context *ctx)
{
    bool is_root = ctx->root == ctx;
    blocks_free(&ctx->blocks);
    if (is_root || vm->spare_count == WSDK_SPARE_CONTEXTS_MAX) {
        free(ctx);
        return;
    }
    ctx->root = vm->spare;
    vm->spare = ctx;
    vm->spare_count++;
}

void wsdk_vm_remove(struct wsdk_vm *vm, struct wsdk_context *ctx)
{
    struct wsdk_context *root = ctx->root;
    struct wsdk_context **link = &vm->table[vm_slot(vm, ctx->id)];
    if (ctx == root && ctx->streams != 0) {
        ctx->deleted = true; /* a host deletes streams first; if not, they still point here */
        return;
    }
    while (*link != ctx)
        link = &(*link)->chain;
    *link = ctx->chain;
    vm->count--;
    vm->last = NULL;
    if (vm->root == ctx)
        vm->root = NULL;
    vm_context_free(vm, ctx);
    if (ctx != root && --root->streams == 0 && root->deleted)
        wsdk_vm_remove(vm, root);
}

void *wsdk_scratch_take(struct wsdk_scratch *scratch, size_t bytes)
{
    size_t rounded = (bytes + 15) & ~(size_t)15;
    if (rounded < bytes || rounded > SIZE_MAX - sizeof(struct wsdk_block))
        return NULL;
    if (scratch->chunk == NULL)
        scratch->chunk = malloc(WSDK_SCRATCH_CHUNK_BYTES);
    if (scratch->chunk != NULL && rounded <= WSDK_SCRATCH_CHUNK_BYTES - scratch->used) {
        void *at = scratch->chunk + scratch->used;
        scratch->used += rounded;
        return at;
    }
    struct wsdk_block *block = malloc(sizeof(struct wsdk_block) + rounded);
    if (block == NULL)
        return NULL;
    block->next = scratch->blocks;
    scratch->blocks = block;
    return block->data;
}

void wsdk_scratch_reset(struct wsdk_scratch *scratch)
{
    blocks_free(&scratch->blocks);
    scratch->used = 0;
}

void wsdk_scratch_fini(struct wsdk_scratch *scratch)
{
    wsdk_scratch_reset(scratch);
    free(scratch->chunk);
    scratch->chunk = NULL;
}

void *wsdk_alloc(struct wsdk_context *ctx, size_t bytes)
{
    if (bytes > SIZE_MAX - sizeof(struct wsdk_block))
        return NULL;
    struct wsdk_block *block = calloc(1, sizeof(struct wsdk_block) + bytes);
    if (block == NULL)
        return NULL;
    block->next = ctx->blocks;
    ctx->blocks = block;
    return block->data;
}

struct wsdk_bytes wsdk_keep(struct wsdk_context *ctx, struct wsdk_bytes text)
{
    char *copy = text.len == SIZE_MAX ? NULL : wsdk_alloc(ctx, text.len + 1);
    if (copy == NULL)
        return WSDK_NONE;
    if (text.len != 0)
        memcpy(copy, text.data, text.len);
    return (struct wsdk_bytes){copy, text.len};
}

void *wsdk_temp(struct wsdk_context *ctx, size_t bytes)
{
    return wsdk_scratch_take(&ctx->vm->scratch, bytes);
}

uint32_t wsdk_id(const struct wsdk_context *ctx)
{
    return ctx->id;
}

bool wsdk_is_root(const struct wsdk_context *ctx)
{
    return ctx->root == ctx;
}

struct wsdk_context *wsdk_root(struct wsdk_context *ctx)
{
    return ctx->root;
}

void *wsdk_state(struct wsdk_context *ctx)
{
    return ctx->state;
}

void *wsdk_root_state(struct wsdk_context *ctx)
{
    return ctx->root->state;
}

struct wsdk_context *wsdk_find(struct wsdk_context *ctx, uint32_t id)
{
    return wsdk_vm_find(ctx->vm, id);
}

#ifdef __wasm__

struct wsdk_vm *wsdk_vm_wasm(void)
{
    static _Alignas(64) struct wsdk_vm vm; /* one cache line */
    return &vm;
}

#else

void *wsdk_vm_create(const struct pw_null_host *host, void *host_ctx)
{
    if (host == NULL || host->version != PW_NULL_CONTRACT_VERSION || host->size < sizeof(struct pw_null_host))
        return NULL;
    struct wsdk_vm *vm = calloc(1, sizeof(struct wsdk_vm));
    if (vm == NULL)
        return NULL;
    vm->host = host;
    vm->host_ctx = host_ctx;
    return vm;
}

void wsdk_vm_destroy(void *instance)
{
    struct wsdk_vm *vm = instance;
    for (size_t i = 0; i < vm->capacity; i++) {
        for (struct wsdk_context *ctx = vm->table[i], *next; ctx != NULL; ctx = next) {
            next = ctx->chain;
            blocks_free(&ctx->blocks);
            free(ctx);
        }
    }
    while (vm->spare != NULL) {
        struct wsdk_context *ctx = vm->spare;
        vm->spare = ctx->root;
        free(ctx);
    }
    while (vm->waits != NULL) {
        struct wsdk_wait *wait = vm->waits;
        vm->waits = wait->next;
        free(wait);
    }
    wsdk_scratch_fini(&vm->scratch);
    free(vm->table);
    free(vm);
}

#endif

void *wsdk_vm_allocate(void *vm, uint64_t bytes)
{
    struct wsdk_vm *self = vm;
    return bytes > SIZE_MAX ? NULL : wsdk_scratch_take(&self->scratch, (size_t)bytes);
}
