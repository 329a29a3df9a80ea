/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a process for each module that is to be compiled and waits for it. A module is a stranger's:
 * whatever it makes the compiler do, the answer is code or a message, in bounded time, and this process pays
 * nothing.
 */
#include "proxywasm/posix/posix_impl.h"

#include "base/assert.h"
#include "proxywasm/message.h"
#include "proxywasm/posix/compile_job.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 8
/* In the background the processor is somebody else's most of the time. */
#define BACKGROUND_TIME_FACTOR 12

/* One running compiler. */
struct child {
    struct list node; /* in posix->compilers, under its lock */
    pid_t pid;
    int order_fd;
    int result_fd;
    int message_fd; /* read end; end of file when the process has gone */
    bool late;
    size_t text_len;
    char text[1024]; /* the beginning of what it said */
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool write_all(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* Descriptors 0 to 2 are given away: nothing of ours may lie there. */
static int above_stdio(int fd)
{
    int moved;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(fd);
    return moved;
}

static bool write_order(const struct pw_posix *posix, const struct pw_compile_order *order, int fd)
{
    struct compile_limits limits;
    bool ok;

    memset(&limits, 0, sizeof(limits));
    memcpy(limits.magic, compile_magic, sizeof(limits.magic));
    limits.parent = getpid();
    limits.memory_max_bytes = posix->compile_memory_max_bytes;
    limits.cpu_max_s = posix->compile_cpu_max_s;
    limits.background = order->background;
    ok = write_all(fd, &limits, sizeof(limits));
    for (size_t i = 0; ok && i < order->parts_count; i++)
        ok = write_all(fd, order->parts[i].ptr, order->parts[i].len);
    return ok && lseek(fd, 0, SEEK_SET) == 0;
}

/* The signals of this process are not those of the other: none blocked, none ignored. */
static int start(const struct pw_posix *posix, struct child *child, int message_write_fd)
{
    char *arguments[ARGUMENTS_MAX + 1] = {NULL};
    char *environment[] = {NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t signals;
    int error;

    for (size_t i = 0; i < ARGUMENTS_MAX && posix->compiler[i]; i++)
        arguments[i] = (char *)(uintptr_t)posix->compiler[i];
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    error = posix_spawn_file_actions_adddup2(&files, child->order_fd, STDIN_FILENO);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&files, child->result_fd, STDOUT_FILENO);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&files, message_write_fd, STDERR_FILENO);
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (error == 0)
        error = posix_spawn(&child->pid, arguments[0], &files, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

/* Reads what it says until it has gone. */
static void follow(const struct pw_posix *posix, struct child *child, bool background)
{
    uint64_t time_max_s = (uint64_t)posix->compile_time_max_s * (background ? BACKGROUND_TIME_FACTOR : 1);
    uint64_t until_ms = pw_posix_monotonic_ns(NULL) / 1000000 + time_max_s * 1000;
    struct pollfd pollfd = {.fd = child->message_fd, .events = POLLIN};
    char piece[512];

    for (;;) {
        uint64_t now_ms = pw_posix_monotonic_ns(NULL) / 1000000;
        uint64_t left_ms = now_ms < until_ms ? until_ms - now_ms : 0;
        ssize_t n;

        if (left_ms == 0 && !child->late) {
            child->late = true;
            kill(child->pid, SIGKILL);
        }
        if (poll(&pollfd, 1, child->late || left_ms > INT32_MAX ? -1 : (int)left_ms) <= 0)
            continue;
        n = read(child->message_fd, piece, sizeof(piece));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        if ((size_t)n > sizeof(child->text) - 1 - child->text_len)
            n = (ssize_t)(sizeof(child->text) - 1 - child->text_len);
        memcpy(child->text + child->text_len, piece, (size_t)n);
        child->text_len += (size_t)n;
    }
}

static bool says(const struct child *child, const char *words)
{
    return strstr(child->text, words) != NULL;
}

static int refuse_memory(const struct pw_posix *posix, struct pw_message *why)
{
    return message_error(PW_ERR_LIMIT, why,
                         "the compiler used up its limit of %" PRIu64 " MiB of memory; a trusted module that "
                         "needs more wants a higher compile_memory_max_bytes",
                         posix->compile_memory_max_bytes >> 20);
}

static int refuse_signal(const struct pw_posix *posix, const struct child *child, int number,
                         struct pw_message *why)
{
    if (number == SIGXCPU)
        return message_error(PW_ERR_LIMIT, why,
                             "the compiler used up its limit of %" PRIu32 " s of processor time; a trusted "
                             "module that needs more wants a higher compile_cpu_max_s",
                             posix->compile_cpu_max_s);
    if (number == SIGXFSZ)
        return refuse_memory(posix, why);
    if (number == SIGABRT && says(child, "memory allocation of"))
        return refuse_memory(posix, why);
    return message_error(PW_ERR_BAD_MODULE, why, "the compiler died by signal %d (%s)%s%.300s", number,
                         strsignal(number), child->text_len ? ": " : "", child->text);
}

static int verdict(const struct pw_posix *posix, const struct child *child, int status,
                   struct pw_message *why)
{
    if (posix->compile_stop)
        return message_error(PW_ERR_IO, why, "compiling was given up: the process ends");
    if (child->late)
        return message_error(PW_ERR_LIMIT, why,
                             "the compiler did not end within its limit of %" PRIu32
                             " s on the clock; a trusted module that needs more, or a busy machine, wants a "
                             "higher compile_time_max_s",
                             posix->compile_time_max_s);
    if (WIFSIGNALED(status))
        return refuse_signal(posix, child, WTERMSIG(status), why);
    if (WEXITSTATUS(status) == 0)
        return PW_OK;
    if (WEXITSTATUS(status) == COMPILE_EXIT_BAD_MODULE && !says(child, "Cannot allocate memory"))
        return message_error(PW_ERR_BAD_MODULE, why, "%s", child->text);
    if (says(child, "Cannot allocate memory") || says(child, "Resource temporarily unavailable"))
        return refuse_memory(posix, why);
    return message_error(PW_ERR_IO, why, "the compiler's process ended with status %d%s%s",
                         WEXITSTATUS(status), child->text_len ? ": " : "", child->text);
}

/* Registers it, so that pw_posix_stop_compiling finds it. */
static bool enlist(struct pw_posix *posix, struct child *child)
{
    bool ok;

    pthread_mutex_lock(&posix->compilers_lock);
    ok = !posix->compile_stop;
    if (ok)
        list_push_back(&posix->compilers, &child->node);
    else
        kill(child->pid, SIGKILL);
    pthread_mutex_unlock(&posix->compilers_lock);
    return ok;
}

static int wait_for(struct pw_posix *posix, struct child *child, bool background, struct pw_message *why)
{
    bool listed = enlist(posix, child);
    int status;
    int error;

    follow(posix, child, background);
    pthread_mutex_lock(&posix->compilers_lock);
    if (listed)
        list_remove(&child->node);
    pthread_mutex_unlock(&posix->compilers_lock);
    while (waitpid(child->pid, &status, 0) < 0)
        if (errno != EINTR)
            return message_error(PW_ERR_IO, why, "cannot wait for the compiler: %s", strerror(errno));
    pthread_mutex_lock(&posix->compilers_lock);
    error = verdict(posix, child, status, why);
    pthread_mutex_unlock(&posix->compilers_lock);
    return error;
}

static int run(struct pw_posix *posix, const struct pw_compile_order *order, struct child *child,
               struct pw_message *why)
{
    int ends[2];
    int error;

    child->order_fd = above_stdio(memfd_create("weir-compile-order", MFD_CLOEXEC));
    child->result_fd = above_stdio(memfd_create("weir-compiled", MFD_CLOEXEC));
    if (child->order_fd < 0 || child->result_fd < 0 || !write_order(posix, order, child->order_fd))
        return message_error(PW_ERR_IO, why, "cannot hand the module to the compiler: %s", strerror(errno));
    if (pipe2(ends, O_CLOEXEC) != 0)
        return message_error(PW_ERR_IO, why, "cannot start the compiler: %s", strerror(errno));
    child->message_fd = above_stdio(ends[0]);
    ends[1] = above_stdio(ends[1]);
    error = start(posix, child, ends[1]);
    close_fd(&ends[1]);
    if (error != 0)
        return message_error(PW_ERR_IO, why, "cannot start the compiler %s: %s", posix->compiler[0],
                             strerror(error));
    return wait_for(posix, child, order->background, why);
}

int pw_posix_compile(void *ctx, const struct pw_compile_order *order, int *fd, struct pw_message *why)
{
    struct child child = {.order_fd = -1, .result_fd = -1, .message_fd = -1};
    int error;

    list_init(&child.node);
    error = run(ctx, order, &child, why);
    close_fd(&child.order_fd);
    close_fd(&child.message_fd);
    if (error == PW_OK)
        *fd = child.result_fd;
    else
        close_fd(&child.result_fd);
    return error;
}

void pw_posix_stop_compiling(struct pw_posix *posix)
{
    struct list *node, *tmp;

    pthread_mutex_lock(&posix->compilers_lock);
    posix->compile_stop = true;
    list_for_each(node, tmp, &posix->compilers) kill(list_entry(node, struct child, node)->pid, SIGKILL);
    pthread_mutex_unlock(&posix->compilers_lock);
}
