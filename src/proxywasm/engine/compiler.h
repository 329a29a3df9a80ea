/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders to the compiler: bytes that one process writes and another one of the same build reads, and what it
 * does with them. The reader checks lengths all the same, and never trusts the module in them.
 */
#ifndef PROXYWASM_ENGINE_COMPILER_H
#define PROXYWASM_ENGINE_COMPILER_H

#include "base/slice.h"
#include "proxywasm/engine/wasmtime_config.h"
#include "proxywasm/module_impl.h"

#include <proxywasm/host.h>

struct compile_job {
    struct slice code; /* binary, as the author made it */
    enum module_form form;
    struct slice state; /* MODULE_SNAPSHOT; see state.h */
    struct wt_codegen codegen;
    bool background;
};

/* In the embedder's process for compilers. *fd: a file with the compiled code, to be closed by the caller. */
int compile_outside(struct pw_host *host, const struct compile_job *job, int *fd, struct pw_message *why);
/* In this process, into the memory of `engine`, whose configuration has job->codegen. */
int compile_inside(wasm_engine_t *engine, const struct compile_job *job, wasmtime_module_t **out,
                   struct pw_message *why);

#endif
