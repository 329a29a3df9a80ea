/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's parts. Private to this folder.
 */
#ifndef WEIR_SERVER_SERVER_IMPL_H
#define WEIR_SERVER_SERVER_IMPL_H

#include "admin/admin.h"
#include "config/build.h"
#include "filters/wasm/wasm_service.h"
#include "filters/wasm/wasm_stats_flush.h"
#include "net/loop.h"
#include "net/worker.h"
#include "proxy/listener/listener.h"
#include "server/hot_restart.h"
#include "server/server.h"
#include "upstream/cluster_manager.h"

#include <stdatomic.h>

/* Requests that are under way at SIGTERM get this long at most, whatever --drain-time-s says. */
#define SERVER_STOP_MAX_MS 30000u

/* One address of a listener. */
struct server_listener {
    const struct listener_config *config; /* borrowed from `resources` */
    const struct listener_address *at;    /* of `config` */
    struct address bound;
    int *fds; /* at least one per worker, the worker's once it has started; a successor gets copies */
    uint32_t fds_count;
    bool taken; /* a successor has them too */
};

struct server {
    const struct server_options *options;
    int argc;
    char **argv;
    uint32_t concurrency;
    uint64_t start_realtime_ns;
    uint64_t start_ns;

    struct config_doc *doc;
    struct config_doc *policy; /* main thread */
    pthread_mutex_t policy_lock;
    struct bytes *policy_dump; /* the policy as JSON, under policy_lock; NULL: none */
    struct wasm_service *wasm;
    struct config_resources *resources;

    struct loop loop; /* the main thread's */
    bool loop_ready;
    struct cluster_manager *clusters;
    struct server_listener *listeners;
    size_t listeners_count;
    struct worker **workers;
    struct worker *singletons; /* the thread of plugins that run once per process; NULL: there are none */
    struct wasm_stats_flush *stats_flush;
    struct server_overload *overload; /* NULL: none is configured */
    bool listeners_given;             /* to workers: theirs to close */
    atomic_bool listeners_drained; /* asked for by /drain_listeners: there is nothing left for a successor */
    _Atomic uint32_t workers_started; /* the admin thread looks while workers start */
    struct admin *admin;

    struct hot_restart hot_restart;
    uv_signal_t signals[4];
    bool signals_ready;
    struct timer stop_timer;  /* the end of draining */
    struct timer stats_timer; /* uptime and memory */
    struct timer tls_timer;   /* files of certificates */
    _Atomic int state;        /* enum admin_state */
    uint32_t workers_drained;
    bool stopping;
    bool failed; /* a worker could not start */
};

/* signals.c: SIGTERM, SIGINT, SIGUSR1, SIGHUP on the main loop. 0 or a negative errno. */
int server_signals_start(struct server *s);
void server_signals_stop(struct server *s);

/* drain.c, on the main thread */
void server_drain(struct server *s); /* then stops */
void server_stop(struct server *s);  /* now */
/* From any thread, through the main loop. */
void server_ask_drain_listeners(struct server *s, bool graceful, bool inbound_only);
void server_ask_stop(struct server *s);

/* policy.c. `text` gets what there is to say, in lines. */
/* The policy that was loaded is in force now. Main thread. */
void server_policy_applied(struct server *s);
/* Reads the file again; false: nothing has changed. Main thread. */
bool server_policy_reload(struct server *s, struct strbuf *text);
/* ... and says so in the log. */
bool server_policy_reload_logged(struct server *s, struct strbuf *text);
/* [any thread] Through the main loop; waits for it. */
bool server_ask_policy_reload(struct server *s, struct strbuf *text);
/* [any thread] A reference, or NULL. */
struct bytes *server_policy_dump(struct server *s);

/* server_stats.c */
void server_stats_start(struct server *s);

/* tls_reload.c: when the workers are there. */
void server_tls_start(struct server *s);

/* load.c: what was asked for on the command line to resources. false: the errors are printed. */
bool server_load(struct server *s);

#endif
