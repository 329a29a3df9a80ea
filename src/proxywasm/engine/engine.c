/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Engines by name, their tick and their interrupt. It must not know what an engine does with either.
 */
#include "proxywasm/engine/engine_impl.h"

#include "base/assert.h"
#include "proxywasm/engine/native.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/message.h"

#include <stdlib.h>
#include <string.h>

#define ENGINE_CONFIG_SIZE_MIN offsetof(struct pw_engine_config, no_signal_handlers)

static const struct engine_ops *const engines[] = {&engine_wasmtime, &engine_null};

static const struct engine_ops *find_engine(const char *name)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(engines); i++)
        if (strcmp(engines[i]->name, name) == 0)
            return engines[i];
    return NULL;
}

int pw_engine_create(struct pw_host *host, const char *name, const struct pw_engine_config *config,
                     struct pw_engine **out, struct pw_message *why)
{
    struct pw_engine_config full = {.size = sizeof(full)};
    const struct engine_ops *ops;
    struct pw_engine *engine;
    int error;

    if (!host || !name || !config || config->size < ENGINE_CONFIG_SIZE_MIN)
        return message_error(PW_ERR_INVALID_ARGUMENT, why, "pw_engine_create: an argument is missing");
    ops = find_engine(name);
    if (!ops)
        return message_error(PW_ERR_INVALID_ARGUMENT, why, "no engine \"%s\"", name);
    memcpy(&full, config, config->size < sizeof(full) ? config->size : sizeof(full));
    engine = calloc(1, sizeof(*engine));
    if (!engine)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    engine->host = host;
    engine->ops = ops;
    list_init(&engine->deadlines);
    pthread_mutex_init(&engine->lock, NULL);
    error = ops->engine_init(engine, &full, why);
    if (error != PW_OK) {
        pthread_mutex_destroy(&engine->lock);
        free(engine);
        return error;
    }
    *out = engine;
    return PW_OK;
}

void pw_engine_destroy(struct pw_engine **engine_ptr)
{
    struct pw_engine *engine = *engine_ptr;

    if (!engine)
        return;
    WEIR_ASSERT(atomic_load(&engine->modules) == 0);
    WEIR_ASSERT(list_empty(&engine->deadlines));
    engine->ops->engine_fini(engine);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
    *engine_ptr = NULL;
}

const char *pw_engine_name(const struct pw_engine *engine)
{
    return engine->ops->name;
}

struct pw_host *engine_host(const struct pw_engine *engine)
{
    return engine->host;
}

const struct engine_ops *engine_operations(const struct pw_engine *engine)
{
    return engine->ops;
}

uint64_t pw_engine_tick(struct pw_engine *engine)
{
    uint64_t away_ns;
    bool overdue;

    pthread_mutex_lock(&engine->lock);
    overdue = deadline_scan(engine, host_cycles(engine->host), &away_ns);
    pthread_mutex_unlock(&engine->lock);
    if (overdue)
        engine->ops->interrupt(engine);
    return away_ns;
}

void pw_engine_interrupt(struct pw_engine *engine)
{
    /* Two atomic additions: safe in a signal handler. */
    atomic_fetch_add_explicit(&engine->interrupts, 1, memory_order_release);
    engine->ops->interrupt(engine);
}

int pw_engine_add_native(struct pw_engine *engine, const char *name, const void *entry)
{
    if (!engine || engine->ops != &engine_null || !name || !entry)
        return PW_ERR_INVALID_ARGUMENT;
    return native_add(engine, name, entry);
}
