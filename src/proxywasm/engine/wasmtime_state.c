/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the state of an instance through the exports that instrumentation added. Runs no guest code.
 */
#include "proxywasm/engine/state.h"
#include "proxywasm/engine/wasmtime_impl.h"

#include <string.h>

/* Little-endian, the unused high bytes zero; references are never mutable in an instrumented module. */
static bool global_bytes(struct engine_instance *instance, const wasmtime_global_t *global, uint8_t bytes[16])
{
    wasmtime_val_t value;
    uint64_t wide = 0;

    wasmtime_global_get(instance->context, global, &value);
    memset(bytes, 0, 16);
    switch (value.kind) {
    case WASMTIME_I32:
        wide = (uint32_t)value.of.i32;
        break;
    case WASMTIME_I64:
        wide = (uint64_t)value.of.i64;
        break;
    case WASMTIME_F32:
        memcpy(&wide, &value.of.f32, sizeof(value.of.f32));
        break;
    case WASMTIME_F64:
        memcpy(&wide, &value.of.f64, sizeof(value.of.f64));
        break;
    case WASMTIME_V128:
        memcpy(bytes, value.of.v128, 16);
        return true;
    default:
        return false;
    }
    memcpy(bytes, &wide, sizeof(wide)); /* the compiler's process runs on this machine */
    return true;
}

int wt_instance_state(struct engine_instance *instance, struct state_writer *out)
{
    wasmtime_extern_t item;
    uint8_t bytes[16];
    size_t name_len;
    char *name;

    for (size_t i = 0;
         wasmtime_instance_export_nth(instance->context, &instance->instance, i, &name, &name_len, &item);
         i++) {
        struct slice text = slice_of(name, name_len);

        if (slice_starts_with(text, SLICE_LIT(STATE_NAME_PREFIX))) {
            if (item.kind == WASMTIME_EXTERN_GLOBAL && global_bytes(instance, &item.of.global, bytes))
                state_add(out, text, slice_of((const char *)bytes, sizeof(bytes)));
            else if (item.kind == WASMTIME_EXTERN_MEMORY)
                state_add(out, text,
                          slice_of((const char *)wasmtime_memory_data(instance->context, &item.of.memory),
                                   wasmtime_memory_data_size(instance->context, &item.of.memory)));
        }
        wasmtime_extern_delete(&item);
    }
    return out->failed ? PW_ERR_NOMEM : PW_OK;
}
