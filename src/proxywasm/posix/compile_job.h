/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both sides of the compiler's pipe know: the limits in front of an order, and the exit statuses.
 */
#ifndef PROXYWASM_POSIX_COMPILE_JOB_H
#define PROXYWASM_POSIX_COMPILE_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

static const char compile_magic[16] = "weir limits   1";

/* Descriptor 0 holds this and then the order. */
struct compile_limits {
    char magic[sizeof(compile_magic)];
    pid_t parent;
    bool background;
    uint32_t cpu_max_s;
    uint64_t memory_max_bytes;
};

#define COMPILE_EXIT_BAD_MODULE 10
#define COMPILE_EXIT_FAILED     11

#endif
