/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles a module in a child process with limits on its time and memory, so that a module made to hurt the
 * compiler costs an error message and nothing else.
 */
#ifndef WEIR_CLI_TRIAL_H
#define WEIR_CLI_TRIAL_H

#include "base/slice.h"

#include <proxywasm/types.h>

struct trial {
    int error; /* of pw_module_load, or PW_ERR_LIMIT when the child was ended */
    uint64_t load_ns;
    uint64_t compiled_bytes;
    struct pw_message why;
};

/* No thread may run in this process yet: it forks and goes on. */
void trial_compile(struct trial *out, struct slice code);

#endif
