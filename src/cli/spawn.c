/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes: fork, exec, one pipe.
 */
#include "cli/spawn.h"

#include "cli/file.h"
#include "cli/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noreturn)) static void child(const struct spawn *s, int out)
{
    int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    close(out);
    for (const char *const *e = s->env; e && *e; e++)
        putenv((char *)(uintptr_t)*e);
    (void)alarm(s->limit_seconds); /* it outlives exec */
    if (!s->directory || chdir(s->directory) == 0)
        execvp(s->argv[0], (char *const *)(uintptr_t)s->argv);
    dprintf(STDERR_FILENO, "%s: %s\n", s->argv[0], strerror(errno));
    _exit(127);
}

static void drain(int fd, struct strbuf *output)
{
    char block[16384];
    for (;;) {
        ssize_t n = read(fd, block, sizeof(block));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        strbuf_append(output, slice_of(block, (size_t)n)); /* beyond the cap it is dropped */
    }
}

int spawn_run(const struct spawn *s, struct strbuf *output)
{
    int fds[2], status;
    if (pipe2(fds, O_CLOEXEC) != 0)
        return 127;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        child(s, fds[1]);
    close(fds[1]);
    if (pid > 0)
        drain(fds[0], output);
    close(fds[0]);
    if (pid < 0)
        return 127;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 127;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool spawn_find(const char *name, char *out)
{
    const char *path = getenv("PATH");
    struct slice rest = slice_str(path ? path : "/usr/bin:/bin"), part;
    while (rest.ptr && slice_split(&rest, ':', &part)) {
        int n = snprintf(out, CLI_PATH_BYTES, SLICE_FMT "/%s", SLICE_ARG(part), name);
        if (n > 0 && n < (int)CLI_PATH_BYTES && access(out, X_OK) == 0 && !file_is_directory(out))
            return true;
    }
    return false;
}
