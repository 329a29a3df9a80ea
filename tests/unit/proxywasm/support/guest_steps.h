/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory layout of the scripted guest: the same for the WebAssembly module that the harness writes as
 * text and for the native plugin. A callback runs a list of steps; each step is one host call, or mischief.
 */
#ifndef TEST_GUEST_STEPS_H
#define TEST_GUEST_STEPS_H

#include <stdint.h>

#define STEPS_ARGS 12

/* Offsets from the start of the guest's memory. */
#define AT_HEADS        0x1000 /* u32 per guest_function: offset of the first step */
#define AT_RETURNS      0x1100 /* u32 per guest_function */
#define AT_MALLOC_MODE  0x1200 /* u32, enum malloc_mode */
#define AT_MALLOC_SIZE  0x1204 /* u32: the last request */
#define AT_MALLOC_COUNT 0x1208
#define AT_CALLS        0x1300 /* u32 per guest_function: how often it was called */
#define AT_ARGS         0x1400 /* 3 x u32 per guest_function: of the last call */
#define AT_STEPS        0x2000
#define AT_DATA         0x20000
#define AT_HEAP         0x100000
#define GUEST_BYTES     0x200000
#define GUEST_BYTES_MAX 0x400000

enum malloc_mode {
    MALLOC_WORKS,
    MALLOC_NONE, /* gives 0 */
    MALLOC_WILD, /* gives an address outside of memory; none on the null engine */
    MALLOC_TRAPS,
    MALLOC_LOGS,  /* calls proxy_log, which is allowed */
    MALLOC_CALLS, /* calls proxy_done, which is not */
    MALLOC_GROWS, /* grows the memory and gives the new page */
};

struct step {
    uint32_t function; /* index in host_functions[], or mischief above */
    uint32_t result;
    uint64_t args[STEPS_ARGS];
    uint32_t next; /* offset, 0: the end */
    uint32_t ran;
};

#define STEP_TRAP 1000
#define STEP_LOOP 1001

#endif
