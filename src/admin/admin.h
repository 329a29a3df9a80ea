/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin interface: an HTTP server on a thread and a loop of its own, so that neither a busy worker nor a
 * large reload starves /ready. Pages and paths are Envoy's. It reads what other parts publish and asks the
 * process to act through a table of functions.
 */
#ifndef WEIR_ADMIN_ADMIN_H
#define WEIR_ADMIN_ADMIN_H

#include "base/strbuf.h"
#include "net/address.h"

struct bytes;
struct cluster_manager;
struct config_doc;
struct stat_tags;
struct tls_config;
struct wasm_service;

enum admin_state { ADMIN_PRE_INITIALIZING, ADMIN_INITIALIZING, ADMIN_LIVE, ADMIN_DRAINING };

struct admin_listener {
    struct slice name;
    struct address address; /* as bound */
    bool additional;        /* one more address of the listener before */
};

/* What pages read and what actions call. All functions may be called from the admin thread at any time. */
struct admin_process {
    void *ctx;
    enum admin_state (*state)(void *ctx);
    /* Whether /healthcheck/fail is in force: /ready answers 503 then. */
    bool (*healthcheck_failed)(void *ctx);
    void (*set_healthcheck)(void *ctx, bool failed);
    /* Stop accepting; graceful: tell clients to go first. */
    void (*drain_listeners)(void *ctx, bool graceful, bool inbound_only);
    void (*quit)(void *ctx);
    /* Reads the policy file again; `text` gets the reasons when it cannot be used (false). */
    bool (*reload_policy)(void *ctx, struct strbuf *text);
    /* The policy in force as JSON: a reference, or NULL when there is none. */
    struct bytes *(*policy_dump)(void *ctx);
    void (*each_listener)(void *ctx, void (*fn)(void *arg, const struct admin_listener *l), void *arg);

    /* Constant while admin runs; NULL where there is none. */
    struct wasm_service *wasm;
    struct cluster_manager *clusters;
    const struct config_doc *config;
    const struct stat_tags *stat_tags;
    const struct tls_config *const *tls;
    size_t tls_count;
    uint32_t concurrency;
    int argc;
    char **argv;
    uint64_t start_realtime_ns;
    const char *hot_restart_version; /* constant text */
};

struct admin;

/* Binds, or takes a listening socket over (fd >= 0), and starts the thread. NULL with errno and, in `bound`,
 * nothing. `process` is copied. */
struct admin *admin_start(const struct address *address, int fd, const struct admin_process *process,
                          struct address *bound);
/* Stops listening for the good of another process: the caller owns the copy of the socket that it gets. A
 * negative errno when there are no descriptors left; then nothing has changed. */
int admin_release(struct admin *admin);
/* Listens again on what admin_release gave; takes the fd over. */
void admin_resume(struct admin *admin, int fd);
/* Closes the socket and open connections and joins the thread. */
void admin_stop(struct admin **admin);

#endif
