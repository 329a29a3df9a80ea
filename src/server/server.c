/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bring-up in order: log, configuration with plugins, sockets, admin, clusters warm, workers; and down again
 * in the opposite order. Each step says what is wrong and the process ends with status 1.
 */
#include "server/server.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "proxy/forwarded.h"
#include "proxy/listener/drain.h"
#include "proxy/logging/access_log_file.h"
#include "proxy/overload/overload.h"
#include "server/cores.h"
#include "server/overload.h"
#include "server/server_impl.h"
#include "telemetry/log.h"
#include "telemetry/stats.h"
#include "weir_version.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* A proxy holds two sockets per request: take all descriptors that the system grants. */
static void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool start_log(const struct server_options *o)
{
    log_set_all(o->log_level);
    for (size_t i = 0; i < o->component_levels_count; i++)
        log_set_level(o->component_levels[i].component, o->component_levels[i].level);
    if (log_start(o->log_path))
        return true;
    fprintf(stderr, "weir: cannot open the log %s: %s\n", o->log_path ? o->log_path : "on stderr",
            strerror(errno));
    return false;
}

/* --- sockets --- */

/* Sockets that a predecessor leaves stay open whatever their number is: with more of them than workers a
 * worker gets several. */
#define LISTENER_SOCKETS_MAX 4096u

/* 0 or a negative errno. */
static int open_listener(struct server *s, struct server_listener *l)
{
    int taken[LISTENER_SOCKETS_MAX];
    uint32_t have = hot_restart_take_sockets(s, l->config, l->at, taken, LISTENER_SOCKETS_MAX);
    uint32_t want = have > s->concurrency ? have : s->concurrency;
    l->fds = calloc(want, sizeof(int));
    if (!l->fds) {
        for (uint32_t i = 0; i < have; i++)
            close(taken[i]);
        return -ENOMEM;
    }
    memcpy(l->fds, taken, have * sizeof(int));
    l->fds_count = have;
    if (have > 0 && !listen_socket_address(l->fds[0], &l->bound))
        l->bound = l->at->where;
    int error = have < want ? listener_open(l->config, l->at, want - have, l->fds + have, &l->bound) : 0;
    if (error)
        return error;
    l->fds_count = want;
    return 0;
}

/* One for each address. */
static bool list_listeners(struct server *s)
{
    const struct config_resources *r = s->resources;
    size_t count = 0;
    for (size_t i = 0; i < r->listeners_count; i++)
        count += listener_config_addresses(r->listeners[i]);
    s->listeners = calloc(count ? count : 1, sizeof(*s->listeners));
    for (size_t i = 0; s->listeners && i < r->listeners_count; i++) {
        for (size_t a = 0; a < listener_config_addresses(r->listeners[i]); a++)
            s->listeners[s->listeners_count++] = (struct server_listener){
                .config = r->listeners[i], .at = listener_config_address(r->listeners[i], a)};
    }
    return s->listeners != NULL;
}

static bool open_listeners(struct server *s)
{
    if (!list_listeners(s))
        return false;
    for (size_t i = 0; i < s->listeners_count; i++) {
        struct server_listener *l = &s->listeners[i];
        char text[ADDRESS_TEXT_MAX];
        if (!l->config->bind_to_port)
            continue;
        int error = open_listener(s, l);
        if (error == 0)
            continue;
        fprintf(stderr, "weir: listener \"%.*s\" cannot listen on %s: %s\n", SLICE_ARG(l->config->name),
                address_format(&l->at->where, text), strerror(-error));
        return false;
    }
    return true;
}

static void close_listeners(struct server *s)
{
    for (size_t i = 0; i < s->listeners_count; i++) {
        for (uint32_t w = 0; !s->listeners_given && w < s->listeners[i].fds_count; w++)
            close(s->listeners[i].fds[w]);
        free(s->listeners[i].fds);
    }
    free(s->listeners);
}

/* --- admin --- */

static enum admin_state admin_get_state(void *ctx)
{
    return (enum admin_state)atomic_load(&((struct server *)ctx)->state);
}

static bool admin_healthcheck_failed(void *ctx)
{
    (void)ctx;
    return atomic_load(&drain_healthcheck_failed);
}

static void admin_set_healthcheck(void *ctx, bool failed)
{
    (void)ctx;
    atomic_store(&drain_healthcheck_failed, failed);
}

static void admin_drain_listeners(void *ctx, bool graceful, bool inbound_only)
{
    server_ask_drain_listeners(ctx, graceful, inbound_only);
}

static void admin_quit(void *ctx)
{
    server_ask_stop(ctx);
}

static void admin_each_listener(void *ctx, void (*fn)(void *arg, const struct admin_listener *l), void *arg)
{
    const struct server *s = ctx;
    for (size_t i = 0; i < s->listeners_count; i++) {
        const struct server_listener *l = &s->listeners[i];
        const struct admin_listener shown = {.name = l->config->name,
                                             .address = l->fds ? l->bound : l->at->where,
                                             .additional = l->at != &l->config->main};
        fn(arg, &shown);
    }
}

static bool admin_reload_policy(void *ctx, struct strbuf *text)
{
    return server_ask_policy_reload(ctx, text);
}

static struct bytes *admin_policy_dump(void *ctx)
{
    return server_policy_dump(ctx);
}

static bool write_admin_address(const char *path, const struct address *bound)
{
    char text[ADDRESS_TEXT_MAX];
    FILE *f = fopen(path, "we");
    bool ok = f && fputs(address_format(bound, text), f) >= 0;
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok)
        fprintf(stderr, "weir: cannot write the admin address to %s: %s\n", path, strerror(errno));
    return ok;
}

static bool start_admin(struct server *s)
{
    const struct admin_process process = {
        .ctx = s,
        .state = admin_get_state,
        .healthcheck_failed = admin_healthcheck_failed,
        .set_healthcheck = admin_set_healthcheck,
        .drain_listeners = admin_drain_listeners,
        .quit = admin_quit,
        .each_listener = admin_each_listener,
        .reload_policy = admin_reload_policy,
        .policy_dump = admin_policy_dump,
        .wasm = s->wasm,
        .clusters = s->clusters,
        .config = s->doc,
        .stat_tags = s->resources->stat_tags,
        .tls = s->resources->tls,
        .tls_count = s->resources->tls_count,
        .concurrency = s->concurrency,
        .argc = s->argc,
        .argv = s->argv,
        .start_realtime_ns = s->start_realtime_ns,
        .hot_restart_version = s->hot_restart.enabled ? HOT_RESTART_VERSION : "disabled",
    };
    struct address bound;
    char text[ADDRESS_TEXT_MAX];
    if (s->resources->admin.len == 0)
        return true;
    int fd = hot_restart_take_admin(s, &s->resources->admin);
    s->admin = admin_start(&s->resources->admin, fd, &process, &bound);
    if (!s->admin) {
        fprintf(stderr, "weir: the admin interface cannot listen on %s: %s\n",
                address_format(&s->resources->admin, text), strerror(errno));
        return false;
    }
    log_write(ADMIN, INFO, "admin address: %s", address_format(&bound, text));
    return !s->options->admin_address_path || write_admin_address(s->options->admin_address_path, &bound);
}

/* --- workers --- */

/* On the worker's thread, when its loop has ended. */
static void worker_stopped(struct worker *w, void *arg)
{
    struct server *s = arg;
    wasm_service_detach(s->wasm, w);
    cluster_manager_worker_drain(s->clusters, w);
    access_log_file_thread_end();
}

static bool give_listeners(struct server *s, struct worker *w)
{
    s->listeners_given = true;
    for (size_t i = 0; i < s->listeners_count; i++) {
        struct server_listener *l = &s->listeners[i];
        if (!l->fds && !listener_create(w, l->config, l->at, -1))
            return false;
        for (uint32_t at = w->index; at < l->fds_count; at += s->concurrency) {
            if (!listener_create(w, l->config, l->at, l->fds[at]))
                return false;
        }
    }
    return true;
}

static bool start_worker(struct server *s, uint32_t index)
{
    struct worker *w = s->workers[index] = worker_create(index);
    if (!w || cluster_manager_worker_init(s->clusters, w) != 0)
        return false;
    w->stopped = worker_stopped;
    w->stopped_arg = s;
    wasm_service_attach(s->wasm, w);
    if (!give_listeners(s, w) || worker_start(w) != 0)
        return false;
    s->workers_started++;
    return true;
}

/* Plugins that run once per process get a worker without listeners. */
static bool start_singletons(struct server *s)
{
    const struct config_resources *r = s->resources;
    if (!wasm_service_has_singletons(s->wasm))
        return true;
    struct worker *w = s->singletons = worker_create(s->concurrency);
    if (!w || cluster_manager_worker_init(s->clusters, w) != 0)
        return false;
    w->thread_name = "weir:wasm_main";
    w->stopped = worker_stopped;
    w->stopped_arg = s;
    wasm_service_attach(s->wasm, w);
    if (r->sinks_count > 0) {
        s->stats_flush = wasm_stats_flush_create(w, r->sinks, r->sinks_count, r->stats_flush_ms);
        if (!s->stats_flush)
            return false;
    }
    return worker_start(w) == 0;
}

static void stop_singletons(struct server *s)
{
    struct worker *w = s->singletons;
    if (!w)
        return;
    if (w->running)
        worker_stop(w);
    else if (w->stopped)
        worker_stopped(w, s);
    wasm_stats_flush_destroy(&s->stats_flush);
}

/* On the main loop, once clusters have their hosts. */
static void on_warm(void *arg)
{
    struct server *s = arg;
    if (s->stopping)
        return;
    if (!start_singletons(s)) {
        fprintf(stderr, "weir: the thread for plugins that run by themselves cannot start: %s\n",
                strerror(errno ? errno : ENOMEM));
        s->failed = true;
        server_stop(s);
        return;
    }
    overload_limit_connections(s->resources->connections_max);
    s->overload = s->resources->overload ? server_overload_create(s) : NULL;
    if (s->resources->overload && !s->overload) {
        fprintf(stderr, "weir: out of memory\n");
        s->failed = true;
        server_stop(s);
        return;
    }
    for (uint32_t i = 0; i < s->concurrency; i++) {
        if (!start_worker(s, i)) {
            fprintf(stderr, "weir: worker %u cannot start: %s\n", i, strerror(errno ? errno : ENOMEM));
            s->failed = true;
            server_stop(s);
            return;
        }
    }
    if (s->overload)
        server_overload_start(s->overload);
    atomic_store(&s->state, ADMIN_LIVE);
    server_stats_start(s);
    server_tls_start(s);
    hot_restart_live(s);
    log_write(MAIN, INFO, "all workers started: weir/%s serves with %u of them", WEIR_VERSION,
              s->concurrency);
}

static bool add_clusters(struct server *s)
{
    s->clusters =
        cluster_manager_create(&s->loop, s->concurrency + (wasm_service_has_singletons(s->wasm) ? 1 : 0));
    for (size_t i = 0; s->clusters && i < s->resources->clusters_count; i++) {
        int error = cluster_manager_put(s->clusters, s->resources->clusters[i]);
        if (error) {
            fprintf(stderr, "weir: cluster \"%.*s\" cannot be made: %s\n",
                    SLICE_ARG(s->resources->clusters[i]->name), strerror(-error));
            return false;
        }
    }
    return s->clusters != NULL;
}

/* --- the whole --- */

static bool bring_up(struct server *s)
{
    int error = loop_init(&s->loop);
    s->loop_ready = error == 0;
    if (!error)
        error = server_signals_start(s);
    if (error) {
        fprintf(stderr, "weir: no event loop: %s\n", strerror(-error));
        return false;
    }
    s->workers = calloc(s->concurrency, sizeof(*s->workers));
    return s->workers && hot_restart_begin(s) && open_listeners(s) && add_clusters(s) && start_admin(s);
}

static void take_down(struct server *s)
{
    server_overload_destroy(&s->overload);
    /* Their plugins' time for proxy_done runs at once, not one after the other. */
    for (uint32_t i = 0; s->workers && i < s->workers_started; i++)
        worker_stop_begin(s->workers[i]);
    for (uint32_t i = 0; s->workers && i < s->workers_started; i++)
        worker_stop(s->workers[i]);
    stop_singletons(s);
    if (s->admin)
        admin_stop(&s->admin);
    for (uint32_t i = 0; s->workers && i < s->concurrency && s->workers[i]; i++) {
        if (i >= s->workers_started)
            worker_stopped(s->workers[i], s);
        cluster_manager_worker_fini(s->clusters, s->workers[i]);
        worker_destroy(&s->workers[i]);
    }
    free(s->workers);
    if (s->singletons)
        cluster_manager_worker_fini(s->clusters, s->singletons);
    worker_destroy(&s->singletons);
    if (s->wasm)
        wasm_service_stop(s->wasm);
    if (s->clusters)
        cluster_manager_destroy(&s->clusters);
    hot_restart_end(s);
    server_signals_stop(s);
    if (s->loop_ready)
        loop_fini(&s->loop);
    if (s->resources) {
        close_listeners(s);
        config_resources_destroy(&s->resources);
    }
    wasm_service_destroy(&s->wasm);
    bytes_unref(&s->policy_dump);
    config_doc_destroy(&s->policy);
    config_doc_destroy(&s->doc);
}

static int serve(struct server *s)
{
    if (!bring_up(s))
        return EXIT_FAILURE;
    atomic_store(&s->state, ADMIN_INITIALIZING);
    cluster_manager_on_warm(s->clusters, on_warm, s);
    loop_run(&s->loop);
    log_write(MAIN, INFO, "exiting");
    return s->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int server_main(const struct server_options *options, int argc, char **argv)
{
    struct server s = {.options = options, .argc = argc, .argv = argv};
    hot_restart_init(&s.hot_restart);
    forwarded_init();
    signal(SIGPIPE, SIG_IGN);
    pthread_mutex_init(&s.policy_lock, NULL);
    signal(SIGCHLD, SIG_DFL); /* a starter that ignored it would keep us from waiting for compilers */
    raise_fd_limit();
    if (!start_log(options))
        return EXIT_FAILURE;
    s.start_realtime_ns = realtime_ns();
    s.start_ns = monotonic_ns();
    s.concurrency = options->mode == SERVER_VALIDATE ? 1
                    : options->concurrency           ? options->concurrency
                                                     : cores_allowed("");
    if (options->ignored.len)
        log_write(MAIN, WARN, "without effect here: %s", strbuf_cstr(&options->ignored));
    int status = EXIT_FAILURE;
    if (server_load(&s)) {
        status = options->mode == SERVER_VALIDATE ? EXIT_SUCCESS : serve(&s);
        if (options->mode == SERVER_VALIDATE)
            printf("configuration '%s' OK\n", options->config_path ? options->config_path : "");
    }
    take_down(&s);
    log_stop();
    stats_fini();
    return status;
}
