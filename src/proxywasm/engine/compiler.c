/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiler, here or in a process of its own. It must not use the host: the other process has none.
 */
#include "proxywasm/engine/compiler.h"

#include "base/assert.h"
#include "proxywasm/engine/image.h"
#include "proxywasm/engine/segments.h"
#include "proxywasm/engine/state.h"
#include "proxywasm/engine/wasmtime_impl.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/message.h"

#include <stdlib.h>
#include <string.h>
#include <weir_snapshot.h>

static const char order_magic[16] = "weir compile  1";

/* In front of the code and the state. */
struct order_head {
    char magic[sizeof(order_magic)];
    uint64_t code_bytes;
    uint64_t state_bytes;
    uint32_t form;
    struct wt_codegen codegen;
};

int compile_outside(struct pw_host *host, const struct compile_job *job, int *fd, struct pw_message *why)
{
    struct order_head head;
    struct pw_slice parts[3];
    const struct pw_compile_order order = {parts, WEIR_ARRAY_LEN(parts), job->background};

    WEIR_ASSERT(host->ops.compile);
    memset(&head, 0, sizeof(head)); /* the padding leaves the process too */
    memcpy(head.magic, order_magic, sizeof(order_magic));
    head.code_bytes = job->code.len;
    head.state_bytes = job->state.len;
    head.form = job->form;
    head.codegen = job->codegen;
    parts[0] = (struct pw_slice){(const char *)&head, sizeof(head)};
    parts[1] = (struct pw_slice){job->code.ptr, job->code.len};
    parts[2] = (struct pw_slice){job->state.ptr, job->state.len};
    return host->ops.compile(host->ctx, &order, fd, why);
}

static int compile_bytes(wasm_engine_t *engine, const void *code, size_t len, wasmtime_module_t **out,
                         struct pw_message *why)
{
    wasmtime_error_t *error = wasmtime_module_new(engine, code, len, out);

    if (!error)
        return PW_OK;
    wt_error_take(error, "", why);
    return PW_ERR_BAD_MODULE;
}

static void read_global(void *user, const char *name, uint8_t value[16])
{
    struct slice found = state_find(*(struct slice *)user, name);

    memset(value, 0, 16);
    memcpy(value, found.ptr, found.len < 16 ? found.len : 16);
}

static const uint8_t *read_memory(void *user, const char *name, size_t *len)
{
    struct slice found = state_find(*(struct slice *)user, name);

    *len = found.len;
    return (const uint8_t *)found.ptr;
}

/* The module of job->form. False: the reason is in *out. */
static bool rewrite(const struct compile_job *job, struct weir_bytes *out)
{
    struct slice state = job->state;
    struct weir_instance_state access = {&state, read_global, read_memory};
    const uint8_t *code = (const uint8_t *)job->code.ptr;

    if (job->form == MODULE_INSTRUMENTED)
        return weir_snapshot_instrument(code, job->code.len, out);
    return weir_snapshot_take(code, job->code.len, &access, out);
}

/* A snapshot with one data segment, or the module with few, where that works, which is nearly always. */
static int compile_with_few_segments(wasm_engine_t *engine, struct slice code, struct slice state,
                                     wasmtime_module_t **out, struct pw_message *why)
{
    char *fewer;
    size_t len;
    int error = PW_ERR_BAD_MODULE;

    if (state.len > 0 ? image_merge(code, state_find(state, STATE_MEMORY_PREFIX "0"), &fewer, &len)
                      : segments_join(code, &fewer, &len)) {
        error = compile_bytes(engine, fewer, len, out, why);
        free(fewer);
    }
    /* Also for the error: its offsets are those of the author's file. */
    return error == PW_OK ? PW_OK : compile_bytes(engine, code.ptr, code.len, out, why);
}

int compile_inside(wasm_engine_t *engine, const struct compile_job *job, wasmtime_module_t **out,
                   struct pw_message *why)
{
    struct weir_bytes bytes;
    int error;

    if (job->form == MODULE_PLAIN)
        return compile_with_few_segments(engine, job->code, SLICE_EMPTY, out, why);
    if (rewrite(job, &bytes))
        error = compile_with_few_segments(engine, slice_of((const char *)bytes.data, bytes.len), job->state,
                                          out, why);
    else
        error = message_error(PW_ERR_BAD_MODULE, why, "no snapshot can be taken of this module: %.*s",
                              (int)(bytes.len < 1000 ? bytes.len : 1000), (const char *)bytes.data);
    weir_bytes_free(&bytes);
    return error;
}

static bool read_order(struct pw_slice order, struct compile_job *job)
{
    struct order_head head;
    uint64_t rest = order.len - sizeof(head);

    if (order.len < sizeof(head))
        return false;
    memcpy(&head, order.ptr, sizeof(head));
    if (memcmp(head.magic, order_magic, sizeof(order_magic)) != 0 || head.form > MODULE_SNAPSHOT)
        return false;
    if (head.code_bytes > rest || head.state_bytes != rest - head.code_bytes)
        return false;
    *job = (struct compile_job){
        .code = slice_of(order.ptr + sizeof(head), head.code_bytes),
        .state = slice_of(order.ptr + sizeof(head) + head.code_bytes, head.state_bytes),
        .form = (enum module_form)head.form,
        .codegen = head.codegen,
    };
    return true;
}

int pw_compiler_run(struct pw_slice order, bool (*put)(void *ctx, struct pw_slice bytes), void *ctx,
                    struct pw_message *why)
{
    struct compile_job job;
    wasmtime_module_t *compiled;
    wasmtime_error_t *failure;
    wasm_engine_t *engine;
    wasm_byte_vec_t content;
    int error;

    if (!read_order(order, &job))
        return message_error(PW_ERR_INVALID_ARGUMENT, why, "not an order to the compiler of this build");
    engine = wasm_engine_new_with_config(wt_codegen_config(&job.codegen));
    error = compile_inside(engine, &job, &compiled, why);
    if (error == PW_OK) {
        failure = wasmtime_module_serialize(compiled, &content);
        if (failure) {
            wt_error_take(failure, "", why);
            error = PW_ERR_BAD_MODULE;
        } else {
            if (!put(ctx, (struct pw_slice){content.data, content.size}))
                error = message_error(PW_ERR_IO, why, "the compiled code could not be handed over");
            wasm_byte_vec_delete(&content);
        }
        wasmtime_module_delete(compiled);
    }
    wasm_engine_delete(engine);
    return error;
}
