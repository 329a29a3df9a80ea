/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child compiles and writes one struct trial into a pipe. The parent believes nothing else of it: a child
 * that dies, or says too little, is a module that cannot be compiled.
 */
#include "cli/trial.h"

#include <errno.h>
#include <proxywasm/proxywasm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMPILE_CPU_S_MAX  120                 /* the largest known plugin takes 20 s on two cores */
#define COMPILE_MEMORY_MAX (UINT64_C(8) << 30) /* of addresses; the same plugin uses 2 GiB */

static void log_nothing(void *ctx, const struct pw_log_record *record)
{
    (void)ctx;
    (void)record;
}

static uint32_t log_off(void *ctx)
{
    (void)ctx;
    return 6;
}

static void compile(struct trial *out, struct slice code)
{
    struct pw_posix_config posix_config = {.size = sizeof(posix_config)};
    struct pw_engine_config engine_config = {.size = sizeof(engine_config), .interruptible = true};
    struct pw_host_ops ops = {.size = sizeof(ops), .log = log_nothing, .log_level = log_off};
    struct pw_slice bytes = {code.ptr, code.len}, name = {"module", 6};
    struct pw_posix *posix = NULL;
    struct pw_engine *engine = NULL;
    struct pw_module *module = NULL;
    out->error = pw_posix_create(&posix_config, &posix, &out->why);
    if (out->error != PW_OK)
        return;
    pw_posix_fill(posix, &ops);
    struct pw_host *host = pw_host_create(&ops, posix);
    out->error = host ? pw_engine_create(host, "wasmtime", &engine_config, &engine, &out->why) : PW_ERR_NOMEM;
    if (out->error == PW_OK)
        out->error = pw_module_load(engine, name, bytes, &module, &out->why);
    if (out->error == PW_OK) {
        out->load_ns = pw_module_info(module)->load_ns;
        out->compiled_bytes = pw_module_info(module)->compiled_bytes;
    }
    /* Nothing is freed: the process ends now. */
}

__attribute__((noreturn)) static void child(int fd, struct slice code)
{
    struct trial result = {0};
    struct rlimit cpu = {COMPILE_CPU_S_MAX, COMPILE_CPU_S_MAX};
    struct rlimit core = {0, 0};
    setrlimit(RLIMIT_CPU, &cpu);
    setrlimit(RLIMIT_CORE, &core);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    struct rlimit memory = {COMPILE_MEMORY_MAX, COMPILE_MEMORY_MAX};
    setrlimit(RLIMIT_AS, &memory);
#endif
    compile(&result, code);
    ssize_t n = write(fd, &result, sizeof(result)); /* below PIPE_BUF: whole or not at all */
    _exit(n == (ssize_t)sizeof(result) ? 0 : 1);
}
_Static_assert(sizeof(struct trial) <= 4096, "PIPE_BUF");

static bool read_result(int fd, struct trial *out)
{
    size_t at = 0;
    while (at < sizeof(*out)) {
        ssize_t n = read(fd, (char *)out + at, sizeof(*out) - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    out->why.text[sizeof(out->why.text) - 1] = '\0';
    return true;
}

static void describe_death(struct trial *out, int status)
{
    out->error = PW_ERR_LIMIT;
    if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
        snprintf(out->why.text, sizeof(out->why.text), "compiling took more than %d s of processor time",
                 COMPILE_CPU_S_MAX);
    else
        snprintf(out->why.text, sizeof(out->why.text),
                 "the compiler ended without an answer (%s %d): the module needs more than %d GiB of memory, "
                 "or it breaks the compiler",
                 WIFSIGNALED(status) ? "signal" : "status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                 (int)(COMPILE_MEMORY_MAX >> 30));
}

void trial_compile(struct trial *out, struct slice code)
{
    int fds[2], status = 0;
    pid_t pid = -1;
    *out = (struct trial){.error = PW_ERR_NOMEM};
    snprintf(out->why.text, sizeof(out->why.text), "no process can be started to compile it");
    if (pipe(fds) != 0)
        return;
    fflush(NULL); /* or the child would print it again */
    pid = fork();
    if (pid == 0) {
        close(fds[0]);
        child(fds[1], code);
    }
    close(fds[1]);
    bool answered = pid > 0 && read_result(fds[0], out);
    close(fds[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (pid > 0 && !answered)
        describe_death(out, status);
}
