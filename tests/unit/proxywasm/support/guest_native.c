/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the same steps as the WebAssembly guest; addresses are pointers here, so nothing is checked.
 */
#include "guest_native.h"

#include "../../../../sdk/c/include/proxy_wasm_null.h"
#include "guest_steps.h"
#include "proxywasm/abi/hostcalls.h"

#include <stdlib.h>

struct native {
    const struct pw_null_host *host;
    void *ctx;
    char *memory;
    size_t heap;
};

static char *last_memory;

static const struct {
    const char *name;
    unsigned nargs;
} natives[] = {
#define PW_NULL_X(name, nargs) {#name, nargs},
    PW_NULL_HOST_FUNCTIONS(PW_NULL_X)
#undef PW_NULL_X
};

static void *instance_create(const struct pw_null_host *host, void *ctx)
{
    struct native *n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    n->memory = calloc(1, GUEST_BYTES);
    if (!n->memory) {
        free(n);
        return NULL;
    }
    n->host = host;
    n->ctx = ctx;
    n->heap = AT_HEAP;
    last_memory = n->memory;
    return n;
}

static void instance_destroy(void *instance)
{
    struct native *n = instance;
    free(n->memory);
    free(n);
}

static uint32_t *word(struct native *n, size_t at)
{
    return (uint32_t *)(n->memory + at);
}

static void *allocate(void *instance, uint64_t bytes)
{
    struct native *n = instance;
    *word(n, AT_MALLOC_SIZE) = (uint32_t)bytes;
    (*word(n, AT_MALLOC_COUNT))++;
    if (*word(n, AT_MALLOC_MODE) == MALLOC_NONE)
        return NULL;
    WEIR_ASSERT(n->heap + bytes <= GUEST_BYTES);
    void *p = n->memory + n->heap;
    n->heap = (n->heap + bytes + 15) & ~(size_t)15;
    return p;
}

static int32_t run_step(struct native *n, const struct step *s)
{
    WEIR_ASSERT(s->function < host_functions_count);
    const char *name = host_functions[s->function].name;
    for (uint32_t i = 0; i < PW_NULL_HOST_FUNCTION_COUNT; i++) {
        if (!strcmp(natives[i].name, name))
            return n->host->call(n->ctx, i, s->args, natives[i].nargs);
    }
    return PW_STATUS_UNIMPLEMENTED;
}

static enum pw_null_outcome call(void *instance, uint32_t callback, const uint64_t *args, size_t nargs,
                                 uint64_t *result)
{
    struct native *n = instance;
    (*word(n, AT_CALLS + callback * 4))++;
    for (size_t i = 0; i < nargs && i < 3; i++)
        *word(n, AT_ARGS + callback * 12 + i * 4) = (uint32_t)args[i];
    for (uint32_t at = *word(n, AT_HEADS + callback * 4); at;) {
        struct step *s = (struct step *)(n->memory + at);
        s->ran = 1;
        if (s->function == STEP_TRAP)
            return PW_NULL_TRAPPED;
        s->result = (uint32_t)run_step(n, s);
        at = s->next;
    }
    *result = *word(n, AT_RETURNS + callback * 4);
    return PW_NULL_DONE;
}

static const struct pw_null_plugin plugin = {
    .size = sizeof(plugin),
    .version = PW_NULL_CONTRACT_VERSION,
    .abi = PW_NULL_ABI,
    .name = "steps",
    .exports = (UINT64_C(1) << PW_NULL_CALLBACK_COUNT) - 1,
    .instance_create = instance_create,
    .instance_destroy = instance_destroy,
    .allocate = allocate,
    .call = call,
};

static const struct pw_null_plugin *entry(void)
{
    return &plugin;
}

void *guest_native_entry(void)
{
    pw_null_plugin_entry_fn fn = entry;
    void *p;
    memcpy(&p, &fn, sizeof(p));
    return p;
}

char *guest_native_memory(void)
{
    return last_memory;
}
