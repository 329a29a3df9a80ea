/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration and policy to resources, with the plugins loaded and configured once. Errors go to stderr:
 * they are for the person who started the program, whatever the log's level is.
 */
#include "server/server_impl.h"

#include "base/assert.h"
#include "config/forget.h"
#include "telemetry/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRINT_BYTES_MAX (4u << 20) /* 100 errors with long paths are far less */

static void print_errors(struct config_diag *diag)
{
    struct strbuf text;
    strbuf_init(&text, PRINT_BYTES_MAX);
    config_diag_print_errors(diag, &text);
    fwrite(strbuf_cstr(&text), 1, text.len, stderr);
    strbuf_fini(&text);
}

/* In validate mode the list is the result; when serving it is a warning a line. */
static void report_notes(const struct server *s, const struct config_diag *diag)
{
    struct strbuf text;
    strbuf_init(&text, PRINT_BYTES_MAX);
    config_diag_print_notes(diag, &text);
    if (s->options->mode == SERVER_VALIDATE) {
        fwrite(strbuf_cstr(&text), 1, text.len, stdout);
    } else {
        struct slice rest = strbuf_slice(&text);
        for (struct slice line; slice_split(&rest, '\n', &line);) {
            if (line.len > 0)
                log_write(CONFIG, WARN, "%.*s", SLICE_ARG(line));
        }
    }
    strbuf_fini(&text);
}

/* $XDG_CACHE_HOME/weir, ~/.cache/weir, or /var/cache/weir for root. false: there is no place. */
static bool default_cache_dir(char *out, size_t size)
{
    const char *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int n;
    if (xdg && xdg[0] == '/')
        n = snprintf(out, size, "%s/weir", xdg);
    else if (geteuid() == 0)
        n = snprintf(out, size, "/var/cache/weir");
    else if (home && home[0] == '/')
        n = snprintf(out, size, "%s/.cache/weir", home);
    else
        return false;
    if (n <= 0 || (size_t)n >= size)
        return false;
    /* The parent may be missing on a fresh account; the directory itself is made by its user. */
    char *slash = strrchr(out, '/');
    WEIR_ASSERT(slash);
    *slash = '\0';
    mkdir(out, 0700);
    *slash = '/';
    return true;
}

/* This program again. NULL where it cannot be found. */
static const char *const *compiler_command(void)
{
    static const char *const command[] = {"/proc/self/exe", SERVER_COMPILE_ARGUMENT, NULL};
    if (access(command[0], X_OK) == 0)
        return command;
    log_write(WASM, WARN, "plugins are compiled in this process, without limits: %s cannot be run",
              command[0]);
    return NULL;
}

static bool create_wasm(struct server *s)
{
    char dir[4096];
    struct pw_message why = {0};
    struct wasm_service_options options = {
        .workers = s->concurrency,
        .native_dir = s->options->native_dir,
        .compiler = compiler_command(),
        .compile_memory_max_bytes = (uint64_t)s->options->compile_memory_mib << 20,
        .compile_cpu_max_s = s->options->compile_cpu_s,
        .compile_time_max_s = s->options->compile_time_s,
        .stream_vms = s->options->stream_vms,
    };
    bool given = s->options->cache_dir != NULL;
    if (given && strcmp(s->options->cache_dir, "none") != 0)
        options.cache_dir = s->options->cache_dir;
    else if (!given && default_cache_dir(dir, sizeof(dir)))
        options.cache_dir = dir;
    s->wasm = wasm_service_create(&options, &why);
    if (!s->wasm && !given && options.cache_dir) {
        /* The default place cannot be used: compile each time rather than not start. */
        log_write(WASM, WARN, "compiled plugins are not kept: %s; --wasm-cache-dir names another place",
                  why.text);
        options.cache_dir = NULL;
        why.text[0] = '\0';
        s->wasm = wasm_service_create(&options, &why);
    }
    if (!s->wasm)
        fprintf(stderr, "weir: cannot set up plugins: %s\n", why.text);
    return s->wasm != NULL;
}

static bool build(struct server *s, struct config_diag *diag)
{
    struct pw_message why = {0};
    const struct config_build_options options = {.wasm = s->wasm, .policy = s->policy};
    if (config_build(s->doc, &options, diag, &s->resources) != CONFIG_OK)
        return false;
    if (wasm_service_prepare(s->wasm, &why))
        return true;
    fprintf(stderr, "weir: %s\n", why.text);
    return false;
}

bool server_load(struct server *s)
{
    const struct config_source source = {s->options->config_path, s->options->config_yaml};
    struct config_diag diag;
    config_diag_init(&diag);
    bool ok = config_load_bootstrap(&source, &diag, &s->doc) == CONFIG_OK;
    if (s->options->policy_path)
        ok = config_load_policy(s->options->policy_path, &diag, &s->policy) == CONFIG_OK && ok;
    ok = ok && create_wasm(s);
    if (ok)
        server_policy_applied(s); /* before the first VM is made */
    ok = ok && build(s, &diag);
    if (ok)
        config_forget_secrets(s->doc);
    if (config_diag_failed(&diag))
        print_errors(&diag);
    if (ok)
        report_notes(s, &diag);
    config_diag_fini(&diag);
    return ok;
}
