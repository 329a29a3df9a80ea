/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin without a proxy: host, engine, module, one VM with one root context, its callouts, ticks and
 * queues. Everything that a proxy's loop would bring runs when sandbox_progress is called, nothing by itself.
 */
#ifndef WEIR_CLI_SANDBOX_H
#define WEIR_CLI_SANDBOX_H

#include "cli/cases.h"
#include "cli/cli.h"
#include "cli/journal.h"

#include <proxywasm/proxywasm.h>
#include <stdatomic.h>

struct sandbox_options {
    const char *engine; /* "wasmtime", "null" */
    const char *file;   /* NAME.wasm, or NAME.so for the null engine */
    struct pw_limits limits;
    const char *const *environment; /* "NAME=VALUE" */
    size_t environment_count;
    bool allow_stop_iteration;
    bool no_cache; /* compiled code is not kept */
    enum pw_log_level level;
};

enum sandbox_call_kind { CALL_HTTP, CALL_GRPC, CALL_GRPC_STREAM };

/* A callout that waits for its answer. */
struct sandbox_call {
    struct pw_callout *callout; /* NULL: cancelled */
    enum sandbox_call_kind kind;
    const struct test_callout *answer;
};

#define SANDBOX_CALLS_MAX 1024 /* pw_limits.callouts_max */

struct sandbox {
    struct cases *cases;
    const struct sandbox_options *options;
    struct journal journal;
    struct pw_posix *posix;
    struct pw_host *host;
    struct pw_engine *engine;
    struct pw_watchdog *watchdog;
    struct pw_module *module;
    struct pw_plugin *plugin;
    struct pw_vm *vm;
    struct pw_root *root;
    uint32_t tick_period_ms; /* 0: it asked for none */
    uint32_t ticks_left;
    uint64_t ticks_run;
    atomic_bool woken;
    struct sandbox_call calls[SANDBOX_CALLS_MAX];
    size_t calls_count;
    json_t *calls_made; /* [{"cluster": ..., "path": ...}], since the last sandbox_take_calls */
    json_t *failure;    /* of the VM: NULL while it is well */
    uint64_t failures;
};

/* PW_OK, or what went wrong with *why. sandbox_fini in both cases. */
int sandbox_open(struct sandbox *box, struct cases *cases, const struct sandbox_options *options,
                 struct pw_message *why);
/* Makes VM and root, and configures; also again after a failure. */
int sandbox_start(struct sandbox *box, struct pw_message *why);
void sandbox_fini(struct sandbox *box);

/* Does one thing that waits: a queue notification, the answer to a callout, a tick while some are left.
 * False: nothing waits. */
bool sandbox_progress(struct sandbox *box);
/* sandbox_callouts.c: the table for the VM, and the delivery of the answer that waits for longest; false:
 * none waits. */
extern const struct pw_callout_ops sandbox_callout_ops;
bool sandbox_deliver(struct sandbox *box);
/* [{"cluster", "method", "path", "answer"}] since the last time. */
json_t *sandbox_take_calls(struct sandbox *box);

/* Runs a statement that enters the guest, and notes what it cost. */
#define SANDBOX_STEP(box, statement)                                                                         \
    do {                                                                                                     \
        statement;                                                                                           \
        journal_costs_note(&(box)->journal);                                                                 \
    } while (0)

#endif
