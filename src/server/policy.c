/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy file while the proxy runs: SIGHUP and POST /policy/reload read it again, on the main thread. A
 * file with a mistake changes nothing, and whoever asked is told why.
 */
#include "config/policy.h"
#include "base/bytes.h"
#include "config/dump.h"
#include "config/load.h"
#include "server/server_impl.h"
#include "telemetry/log.h"

#include <google/protobuf/wrappers.pb-c.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#define TEXT_BYTES_MAX (4u << 20)
#define ASK_WAIT_SEC   10

/* --- what holds now --- */

static void keep_dump(struct server *s)
{
    struct strbuf text;
    strbuf_init(&text, TEXT_BYTES_MAX);
    struct bytes *dump =
        config_dump(s->policy, s->policy->root, 3, &text) ? bytes_create(strbuf_slice(&text)) : NULL;
    strbuf_fini(&text);
    pthread_mutex_lock(&s->policy_lock);
    struct bytes *old = s->policy_dump;
    s->policy_dump = dump;
    pthread_mutex_unlock(&s->policy_lock);
    bytes_unref(&old);
}

void server_policy_applied(struct server *s)
{
    const Google__Protobuf__UInt64Value *total =
        s->policy ? config_policy(s->policy)->memory_total_max_bytes : NULL;
    wasm_service_set_memory_max(s->wasm, total ? total->value : UINT64_MAX);
    if (s->policy)
        keep_dump(s);
}

struct bytes *server_policy_dump(struct server *s)
{
    pthread_mutex_lock(&s->policy_lock);
    struct bytes *dump = bytes_ref(s->policy_dump);
    pthread_mutex_unlock(&s->policy_lock);
    return dump;
}

/* --- another one --- */

static struct wasm_policy *decide(void *ctx, struct slice plugin, struct slice sha256, struct slice listener)
{
    const struct policy_subject who = {plugin, sha256, listener};
    return policy_make(policy_find(config_policy(ctx), &who));
}

bool server_policy_reload(struct server *s, struct strbuf *text)
{
    struct config_diag diag;
    struct config_doc *doc = NULL;
    uint32_t later = 0;
    bool done = false;
    config_diag_init(&diag);
    if (!s->options->policy_path)
        strbuf_append_str(text, "there is no policy: start with --policy FILE\n");
    else if (config_load_policy(s->options->policy_path, &diag, &doc) != CONFIG_OK)
        config_diag_print_errors(&diag, text);
    else if (!wasm_service_repolicy(s->wasm, decide, doc, &later))
        strbuf_append_str(text, "out of memory\n");
    else
        done = true;
    config_diag_fini(&diag);
    if (!done) {
        config_doc_destroy(&doc);
        return false;
    }
    config_doc_destroy(&s->policy);
    s->policy = doc;
    server_policy_applied(s);
    strbuf_printf(text, "policy %s is in force\n", s->options->policy_path);
    if (later)
        strbuf_printf(text,
                      "sharing or time_check changed for %" PRIu32
                      " plugins: that part holds from the next start\n",
                      later);
    return true;
}

static void log_lines(enum log_level level, const struct strbuf *text)
{
    struct slice rest = strbuf_slice(text);
    for (struct slice line; slice_split(&rest, '\n', &line);) {
        if (line.len > 0 && level == LOG_ERROR)
            log_write(CONFIG, ERROR, "policy: %.*s", SLICE_ARG(line));
        else if (line.len > 0)
            log_write(CONFIG, INFO, "policy: %.*s", SLICE_ARG(line));
    }
}

bool server_policy_reload_logged(struct server *s, struct strbuf *text)
{
    bool done = server_policy_reload(s, text);
    log_lines(done ? LOG_INFO : LOG_ERROR, text);
    if (!done && s->options->policy_path)
        log_write(CONFIG, ERROR, "policy: the one before stays in force");
    return done;
}

/* --- asked for by the admin thread --- */

/* Shared by the asking thread and the post; the last one frees it. */
struct question {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct server *server;
    struct strbuf text;
    unsigned refs;
    bool has_answer;
    bool done;
};

static void question_unref_locked(struct question *q)
{
    bool last = --q->refs == 0;
    pthread_mutex_unlock(&q->lock);
    if (!last)
        return;
    strbuf_fini(&q->text);
    pthread_cond_destroy(&q->answered);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* On the main thread. */
static void answer(void *arg)
{
    struct question *q = arg;
    pthread_mutex_lock(&q->lock);
    q->done = server_policy_reload_logged(q->server, &q->text);
    q->has_answer = true;
    pthread_cond_signal(&q->answered);
    question_unref_locked(q);
}

/* The main loop has ended. */
static void no_answer(void *arg)
{
    struct question *q = arg;
    pthread_mutex_lock(&q->lock);
    q->has_answer = true;
    pthread_cond_signal(&q->answered);
    question_unref_locked(q);
}

bool server_ask_policy_reload(struct server *s, struct strbuf *text)
{
    struct question *q = calloc(1, sizeof(*q));
    if (!q)
        return false;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->answered, NULL);
    strbuf_init(&q->text, TEXT_BYTES_MAX);
    q->server = s;
    q->refs = 2;
    pthread_mutex_lock(&q->lock);
    if (!loop_post_owned(&s->loop, answer, no_answer, q)) {
        q->refs--;
        q->has_answer = true;
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ASK_WAIT_SEC;
    while (!q->has_answer && pthread_cond_timedwait(&q->answered, &q->lock, &until) == 0) {
    }
    bool done = q->has_answer && q->done;
    strbuf_append(text, q->has_answer ? strbuf_slice(&q->text)
                                      : SLICE_LIT("the main thread is busy: look at the log\n"));
    question_unref_locked(q);
    return done;
}
