/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiler's process. It ties its own hands before it looks at the module: processor time, memory, files,
 * no descriptor but three, no life beyond its parent's.
 */
#include "base/assert.h"
#include "proxywasm/posix/compile_job.h"

#include <proxywasm/posix.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Threads of the compiler, where there are so many processors: each takes memory for the function it is at,
 * and the largest ones of a Go plugin take hundreds of megabytes. */
#define THREADS_MAX 4
/* Addresses that are no memory: the program, its libraries, reserved heaps and stacks. */
#define ADDRESSES_BYTES ((rlim_t)2 << 30)
#define BACKGROUND_NICE 19

/* A sanitizer's shadow takes terabytes of addresses. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIMIT_MEMORY false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LIMIT_MEMORY false
#endif
#endif
#ifndef LIMIT_MEMORY
#define LIMIT_MEMORY true
#endif

static bool limit(int what, rlim_t soft, rlim_t hard)
{
    struct rlimit now;
    struct rlimit wanted = {soft, hard};

    /* Never above what this process was given. */
    if (getrlimit(what, &now) != 0)
        return false;
    if (wanted.rlim_max > now.rlim_max)
        wanted.rlim_max = now.rlim_max;
    if (wanted.rlim_cur > wanted.rlim_max)
        wanted.rlim_cur = wanted.rlim_max;
    return setrlimit(what, &wanted) == 0;
}

static bool limit_memory(rlim_t bytes)
{
    if (!LIMIT_MEMORY)
        return true;
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, THREADS_MAX);
#endif
    /* The first counts what can be written and is not shared, the second is for systems that do not. */
    return limit(RLIMIT_DATA, bytes, bytes) &&
           limit(RLIMIT_AS, bytes + ADDRESSES_BYTES, bytes + ADDRESSES_BYTES);
}

static void give_way(void)
{
    const struct sched_param none = {0};

    if (setpriority(PRIO_PROCESS, 0, BACKGROUND_NICE) != 0)
        return; /* then it does not */
    (void)sched_setscheduler(0, SCHED_IDLE, &none);
}

static bool limit_threads(void)
{
    cpu_set_t allowed;
    int processors = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
    char number[16];

    (void)snprintf(number, sizeof(number), "%d", processors < THREADS_MAX ? processors : THREADS_MAX);
    return setenv("RAYON_NUM_THREADS", number, 1) == 0;
}

/* When memory is short the kernel takes the compiler, not the proxy that waits for it. */
static void be_the_first_to_go(void)
{
    static const char most[] = "1000";
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd >= 0 && write(fd, most, sizeof(most) - 1) < 0)
        errno = 0; /* as it was, then */
    if (fd >= 0)
        close(fd);
}

static bool restrain(const struct compile_limits *limits)
{
    bool ok = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;

    /* The parent may have gone before the signal was asked for. */
    ok = ok && getppid() == limits->parent;
    (void)syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, 0); /* all are close-on-exec anyhow */
    ok = ok && limit(RLIMIT_CORE, 0, 0);
    ok = ok && limit(RLIMIT_CPU, limits->cpu_max_s, (rlim_t)limits->cpu_max_s + 1);
    ok = ok && limit(RLIMIT_FSIZE, limits->memory_max_bytes, limits->memory_max_bytes);
    ok = ok && limit_memory(limits->memory_max_bytes);
    be_the_first_to_go();
    if (limits->background)
        give_way();
    return ok && limit_threads();
}

static bool put(void *ctx, struct pw_slice bytes)
{
    (void)ctx;
    while (bytes.len > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes.ptr, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes.ptr += n;
        bytes.len -= (size_t)n;
    }
    return true;
}

static int say(const char *text, int status)
{
    ssize_t n = write(STDERR_FILENO, text, strlen(text));

    (void)n; /* nobody else to tell */
    return status;
}

int pw_posix_compiler_main(void)
{
    struct pw_message why = {0};
    struct compile_limits limits;
    struct stat status;
    struct pw_slice order;
    char *bytes;
    int error;

    if (read(STDIN_FILENO, &limits, sizeof(limits)) != sizeof(limits) ||
        memcmp(limits.magic, compile_magic, sizeof(compile_magic)) != 0)
        return say("this command is for the proxy's own use", COMPILE_EXIT_FAILED);
    if (!restrain(&limits))
        return say("the compiler cannot limit itself", COMPILE_EXIT_FAILED);
    if (fstat(STDIN_FILENO, &status) != 0 || status.st_size < (off_t)sizeof(limits))
        return say("the order cannot be read", COMPILE_EXIT_FAILED);
    bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, STDIN_FILENO, 0);
    if (bytes == MAP_FAILED)
        return say(strerror(errno), COMPILE_EXIT_FAILED);
    order = (struct pw_slice){bytes + sizeof(limits), (size_t)status.st_size - sizeof(limits)};
    error = pw_compiler_run(order, put, NULL, &why);
    if (error == PW_OK)
        _exit(0); /* nothing here wants to be torn down */
    return say(why.text, error == PW_ERR_BAD_MODULE ? COMPILE_EXIT_BAD_MODULE : COMPILE_EXIT_FAILED);
}
