/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout of the POSIX embedder's object, for the files of this folder.
 */
#ifndef PROXYWASM_POSIX_POSIX_IMPL_H
#define PROXYWASM_POSIX_POSIX_IMPL_H

#include "base/list.h"

#include <proxywasm/posix.h>

#include <pthread.h>
#include <stdatomic.h>

struct pw_posix {
    int cache_fd; /* -1: no cache */
    uint64_t cache_bytes_max;
    char *native_dir; /* absolute; NULL: none */
    atomic_uint counter;
    const char *const *compiler; /* NULL: none */
    uint64_t compile_memory_max_bytes;
    uint32_t compile_cpu_max_s;
    uint32_t compile_time_max_s;
    pthread_mutex_t compilers_lock; /* guards the next two */
    struct list compilers;          /* running ones */
    bool compile_stop;
};

#endif
