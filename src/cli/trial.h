/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles a module in a process with limits on its time and memory (weirctl starts itself), so that a module
 * made to hurt the compiler costs an error message and nothing else.
 */
#ifndef WEIR_CLI_TRIAL_H
#define WEIR_CLI_TRIAL_H

#include "base/slice.h"

#include <proxywasm/types.h>

/* The argument that makes weirctl a compiler, and the command for pw_posix_config.compiler. */
#define TRIAL_ARGUMENT "--compile-plugin"
extern const char *const trial_compiler[];

struct trial {
    int error; /* of pw_module_load */
    uint64_t load_ns;
    uint64_t compiled_bytes;
    struct pw_message why;
};

void trial_compile(struct trial *out, struct slice code);

#endif
