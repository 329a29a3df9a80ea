/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals, on the main loop: the first SIGTERM or SIGINT drains, the second ends the process at once, SIGUSR1
 * opens log files again, SIGHUP reads the policy again (and is ignored, as by Envoy, when there is none).
 */
#include "server/server_impl.h"
#include "telemetry/log.h"

#include <signal.h>
#include <unistd.h>

/* What a bad policy file has to be told. */
#define POLICY_TEXT_BYTES_MAX (4u << 20)

static void on_terminate(uv_signal_t *handle, int number)
{
    struct server *s = handle->data;
    loop_refresh(&s->loop);
    if (s->stopping) {
        /* In the middle of draining: no more patience was asked for. Nothing here needs an orderly end. */
        _exit(128 + number);
    }
    log_write(MAIN, WARN, "caught %s: draining", number == SIGTERM ? "SIGTERM" : "SIGINT");
    server_drain(s);
}

static void on_reopen(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    log_write(MAIN, INFO, "caught SIGUSR1: opening log files again");
    log_reopen();
}

static void on_hangup(uv_signal_t *handle, int number)
{
    struct server *s = handle->data;
    struct strbuf text;
    (void)number;
    loop_refresh(&s->loop);
    if (!s->options->policy_path) {
        log_write(MAIN, WARN, "caught and eating SIGHUP");
        return;
    }
    log_write(MAIN, INFO, "caught SIGHUP: reading the policy again");
    strbuf_init(&text, POLICY_TEXT_BYTES_MAX);
    server_policy_reload_logged(s, &text);
    strbuf_fini(&text);
}

int server_signals_start(struct server *s)
{
    static const struct {
        int number;
        uv_signal_cb callback;
    } rows[] = {{SIGTERM, on_terminate}, {SIGINT, on_terminate}, {SIGUSR1, on_reopen}, {SIGHUP, on_hangup}};
    int error = 0;
    for (size_t i = 0; i < 4 && !error; i++) {
        error = uv_signal_init(&s->loop.uv, &s->signals[i]);
        s->signals[i].data = s;
        if (!error)
            error = uv_signal_start(&s->signals[i], rows[i].callback, rows[i].number);
    }
    s->signals_ready = true;
    return error;
}

void server_signals_stop(struct server *s)
{
    /* Without a handler the next one would end with a bad status a process that is ending well. */
    sigset_t all;
    sigemptyset(&all);
    for (size_t i = 0; s->signals_ready && i < 4; i++)
        sigaddset(&all, s->signals[i].signum);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (size_t i = 0; s->signals_ready && i < 4; i++) {
        if (s->signals[i].data)
            uv_close((uv_handle_t *)&s->signals[i], NULL); /* loop_fini waits for it */
    }
}
