/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiler, here or in a process of its own. It must not use the host: the other process has none.
 */
#include "proxywasm/engine/compiler.h"

#include "base/assert.h"
#include "proxywasm/engine/wasmtime_impl.h"
#include "proxywasm/host_impl.h"
#include "proxywasm/message.h"

#include <string.h>

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

int compile_inside(wasm_engine_t *engine, const struct compile_job *job, wasmtime_module_t **out,
                   struct pw_message *why)
{
    wasmtime_error_t *error = wasmtime_module_new(engine, (const uint8_t *)job->code.ptr, job->code.len, out);

    if (!error)
        return PW_OK;
    wt_error_take(error, "", why);
    return PW_ERR_BAD_MODULE;
}

static bool read_order(struct pw_slice order, struct compile_job *job)
{
    struct order_head head;
    uint64_t rest = order.len - sizeof(head);

    if (order.len < sizeof(head))
        return false;
    memcpy(&head, order.ptr, sizeof(head));
    if (memcmp(head.magic, order_magic, sizeof(order_magic)) != 0 || head.form > COMPILE_SNAPSHOT)
        return false;
    if (head.code_bytes > rest || head.state_bytes != rest - head.code_bytes)
        return false;
    *job = (struct compile_job){
        .code = slice_of(order.ptr + sizeof(head), head.code_bytes),
        .state = slice_of(order.ptr + sizeof(head) + head.code_bytes, head.state_bytes),
        .form = (enum compile_form)head.form,
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
