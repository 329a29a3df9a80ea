/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network filter manager: walks bytes through the filters in both directions, keeps what a filter stops,
 * and pushes back when too much is kept. Never destroys a filter while one of its functions is on the stack.
 */
#include "proxy/listener/network_chain.h"
#include "net/tls_info.h"

#include "base/assert.h"
#include "base/clock.h"
#include "net/tls.h"
#include "net/worker.h"
#include "proxy/connection_facts.h"
#include "proxy/limits.h"
#include "upstream/host.h"

#include <stddef.h>
#include <stdlib.h>

static struct network_chain *chain_of(struct conn_filter *hook)
{
    return WEIR_CONTAINER_OF(hook, struct network_chain, hook);
}

static bool closing(const struct network_chain *c)
{
    return !c->conn || c->conn->close_reason != CONN_CLOSE_NONE;
}

/* --- one filter --- */

/* The filter's answer; network_filter_continue inside the callback beats a STOP. */
static bool settle(struct network_stage *s, enum network_status status)
{
    s->stopped = status == NETWORK_STOP && !s->go;
    s->go = false;
    return !s->stopped;
}

/* Whether the filter lets the direction on. It is asked only about what it has not seen. */
static bool ask(struct network_filter *f, enum network_direction d)
{
    struct network_stage *s = &f->stages[d];
    bool go = s->go;
    s->go = false;
    if (!s->fresh) {
        s->stopped = s->stopped && !go;
        return !s->stopped;
    }
    s->fresh = false; /* what has come since it was let go is not let go with it */
    if (!f->config->ops->data)
        return true;
    return settle(s, f->config->ops->data(f, d, &s->held, s->end && !s->end_passed));
}

static bool introduce(struct network_filter *f)
{
    struct network_stage *s = &f->stages[NETWORK_DOWNSTREAM_DATA];
    if (f->started)
        return true;
    f->started = true;
    return !f->config->ops->new_connection || settle(s, f->config->ops->new_connection(f));
}

/* Moves what passed to the next stage, or to `last`; false when memory is out: the connection ends. */
static bool hand_on(struct network_chain *c, struct network_stage *s, struct network_stage *next,
                    struct chain *last, bool *end)
{
    bool some = !chain_empty(&s->held);
    *end = s->end && !s->end_passed;
    s->end_passed = s->end;
    s->fresh = false;
    if (next) {
        next->end = next->end || s->end;
        next->fresh = next->fresh || some || *end;
    }
    if (chain_move(next ? &next->held : last, &s->held, s->held.bytes))
        return true;
    conn_close(c->conn, CONN_CLOSE_NOW, 0);
    return false;
}

/* --- towards the upstream --- */

static void tell_owner(struct network_chain *c)
{
    if (c->owner_told)
        return;
    c->owner_told = true;
    if (c->conn->events->connected)
        c->conn->events->connected(c->conn);
}

static void limit_input(struct network_chain *c)
{
    size_t kept = 0;
    for (uint32_t i = 0; i < c->filters_count; i++)
        kept += c->filters[i].stages[NETWORK_DOWNSTREAM_DATA].held.bytes;
    bool over = kept >= c->conn->high_watermark;
    if (over == c->over_limit)
        return;
    c->over_limit = over;
    if (over)
        conn_pause(c->conn, CONN_PAUSE_LIMIT);
    else
        conn_resume(c->conn, CONN_PAUSE_LIMIT);
}

/* From the first filter to the last. Whether all let it pass; *end: so did the end, now. */
static bool walk_in(struct network_chain *c, bool *end)
{
    *end = false;
    for (uint32_t i = 0; i < c->filters_count; i++) {
        struct network_filter *f = &c->filters[i];
        struct network_stage *s = &f->stages[NETWORK_DOWNSTREAM_DATA];
        struct network_stage *next = i + 1 < c->filters_count ? &f[1].stages[NETWORK_DOWNSTREAM_DATA] : NULL;
        if (!introduce(f) || closing(c) || !ask(f, NETWORK_DOWNSTREAM_DATA) || closing(c))
            return false;
        if (!hand_on(c, s, next, &c->conn->in, end))
            return false;
    }
    tell_owner(c);
    return !closing(c);
}

static bool hook_read(struct conn_filter *hook, struct conn *conn, bool *eof)
{
    struct network_chain *c = chain_of(hook);
    struct network_stage *first = &c->filters[0].stages[NETWORK_DOWNSTREAM_DATA];
    size_t before = conn->in.bytes;
    bool passed_end;
    first->fresh = first->fresh || *eof || !chain_empty(&hook->raw);
    first->end = first->end || *eof;
    *eof = false;
    if (!chain_move(&first->held, &hook->raw, hook->raw.bytes) ||
        !chain_move(&conn->in, &c->injected[NETWORK_DOWNSTREAM_DATA], SIZE_MAX)) {
        conn_close(conn, CONN_CLOSE_NOW, 0);
        return false;
    }
    c->passing++;
    walk_in(c, &passed_end);
    c->passing--;
    if (closing(c))
        return conn->close_reason == CONN_CLOSE_REMOTE && conn->in.bytes > before;
    limit_input(c);
    *eof = passed_end;
    return conn->in.bytes > before;
}

/* --- towards the client --- */

static bool drop_output(struct network_chain *c)
{
    for (uint32_t i = 0; i < c->filters_count; i++)
        chain_clear(&c->filters[i].stages[NETWORK_UPSTREAM_DATA].held);
    c->hook.held_bytes = 0;
    return true;
}

static bool hook_write(struct conn_filter *hook, struct conn *conn, struct chain *fresh, bool end)
{
    struct network_chain *c = chain_of(hook);
    struct network_stage *s = &c->filters[c->filters_count - 1].stages[NETWORK_UPSTREAM_DATA];
    bool ended = false;
    s->fresh = s->fresh || !chain_empty(fresh) || (end && !s->end);
    s->end = s->end || end;
    if (!chain_move(&s->held, fresh, SIZE_MAX) ||
        !chain_move(&conn->out, &c->injected[NETWORK_UPSTREAM_DATA], SIZE_MAX))
        conn_close(conn, CONN_CLOSE_NOW, 0);
    if (c->cut)
        return drop_output(c);
    c->passing++;
    for (uint32_t i = c->filters_count; i-- > 0;) {
        struct network_filter *f = &c->filters[i];
        s = &f->stages[NETWORK_UPSTREAM_DATA];
        struct network_stage *next = i > 0 ? &f[-1].stages[NETWORK_UPSTREAM_DATA] : NULL;
        if (!ask(f, NETWORK_UPSTREAM_DATA) || !hand_on(c, s, next, &conn->out, &ended))
            break;
    }
    c->passing--;
    hook->held_bytes = 0;
    for (uint32_t i = 0; i < c->filters_count; i++)
        hook->held_bytes += c->filters[i].stages[NETWORK_UPSTREAM_DATA].held.bytes;
    return c->filters[0].stages[NETWORK_UPSTREAM_DATA].end_passed;
}

/* --- the end --- */

static void chain_free(struct turn_task *task)
{
    struct network_chain *c = WEIR_CONTAINER_OF(task, struct network_chain, release);
    WEIR_ASSERT(c->users == 0);
    host_unref(&c->stream.info.upstream_host);
    connection_facts_unref(&c->facts);
    tls_info_unref(&c->stream.info.upstream_tls);
    arena_fini(&c->stream.arena);
    tls_info_unref(&c->tls);
    listener_config_unref(&c->listener);
    free(c);
}

static void drop_use(struct network_chain *c)
{
    WEIR_ASSERT(c->users > 0);
    if (--c->users == 0)
        loop_defer_destroy(&c->worker->loop, &c->release);
}

void network_chain_release(struct network_chain **chain)
{
    struct network_chain *c = *chain;
    *chain = NULL;
    if (c)
        drop_use(c);
}

static void count_bytes(struct network_chain *c, const struct conn *conn)
{
    c->stream.info.request_body_bytes = conn->bytes_in;
    c->stream.info.response_body_bytes = conn->bytes_out;
}

void network_chain_look(struct network_chain *c, const struct conn *conn)
{
    c->stream.info.end_ns = monotonic_ns();
    count_bytes(c, conn);
}

void network_chain_log(struct network_chain *c, const struct conn *conn)
{
    network_chain_look(c, conn);
    c->stream.info.log_moment = LOG_NOT_SET;
    for (size_t i = 0; i < c->listener->access_logs_count; i++)
        c->listener->access_logs[i]->write(c->listener->access_logs[i], &c->stream);
}

static void hook_closed(struct conn_filter *hook, struct conn *conn, enum conn_close why)
{
    struct network_chain *c = chain_of(hook);
    bool remote = why == CONN_CLOSE_REMOTE || why == CONN_CLOSE_ERROR || c->ended_by_peer ||
                  (c->http && conn->read_eof);
    WEIR_ASSERT(c->passing == 0 && c->conn == conn);
    network_chain_look(c, conn);
    c->conn = NULL;
    for (uint32_t i = 0; i < c->filters_count; i++) {
        struct network_filter *f = &c->filters[i];
        if (f->config->ops->closed)
            f->config->ops->closed(f, remote);
    }
    for (uint32_t i = 0; i < c->filters_count; i++) {
        struct network_filter *f = &c->filters[i];
        if (f->config->ops->log)
            f->config->ops->log(f);
        if (f->config->ops->destroy)
            f->config->ops->destroy(f);
        for (size_t d = 0; d < NETWORK_DIRECTIONS; d++)
            chain_fini(&f->stages[d].held);
    }
    for (size_t d = 0; d < NETWORK_DIRECTIONS; d++)
        chain_fini(&c->injected[d]);
    chain_fini(&hook->raw);
    conn->filter = NULL;
    drop_use(c);
}

/* --- the beginning --- */

static void fill_stream(struct network_chain *c, struct conn *conn)
{
    struct stream *s = &c->stream;
    arena_init(&s->arena, NETWORK_STREAM_BYTES_MAX, &c->worker->loop.arenas);
    s->filter_state.arena = &s->arena;
    s->worker = c->worker;
    s->info.facts = c->facts;
    if (c->facts)
        s->filter_state.parent = &c->facts->filter_state;
    s->info.start_ns = monotonic_ns();
    s->info.start_realtime_ns = worker_realtime_ns(c->worker, s->info.start_ns);
    s->info.connection_id = conn->id;
    s->info.stream_id = ++c->worker->stream_ids;
}

/* The addresses outlive the socket: access logs are written after it. */
static bool copy_addresses(struct network_chain *c, const struct conn *conn)
{
    struct address *a = arena_alloc(&c->stream.arena, 2 * sizeof(*a));
    if (!a)
        return false;
    a[0] = conn->remote;
    a[1] = conn->local;
    c->stream.info.downstream_remote = &a[0];
    c->stream.info.downstream_direct_remote = c->facts ? &c->facts->direct_remote : &a[0];
    c->stream.info.downstream_local = &a[1];
    return true;
}

static void init_filter(struct network_chain *c, uint32_t i, const struct network_filter_config *config,
                        char *state)
{
    struct network_filter *f = &c->filters[i];
    f->config = config;
    f->chain = c;
    f->state = state;
    for (size_t d = 0; d < NETWORK_DIRECTIONS; d++)
        chain_init(&f->stages[d].held);
    if (config->ops->init)
        config->ops->init(f);
}

struct network_chain *network_chain_create(struct worker *w, const struct listener_config *listener,
                                           const struct filter_chain *config, struct conn *conn)
{
    const size_t align = _Alignof(max_align_t);
    size_t fixed = sizeof(struct network_chain) + config->network_count * sizeof(struct network_filter);
    size_t bytes = fixed = (fixed + align - 1) & ~(align - 1);
    for (size_t i = 0; i < config->network_count; i++)
        bytes += (config->network[i].ops->state_bytes + align - 1) & ~(align - 1);
    struct network_chain *c = calloc(1, bytes);
    if (!c)
        return NULL;
    c->worker = w;
    c->facts = conn->facts;
    fill_stream(c, conn);
    if (!copy_addresses(c, conn)) {
        arena_fini(&c->stream.arena);
        free(c);
        return NULL;
    }
    connection_facts_ref(c->facts);
    c->conn = conn;
    c->name = c->stream.info.filter_chain_name = config->name;
    c->tls = tls_info_of(conn) ? tls_info_ref(tls_info_of(conn)) : NULL;
    c->stream.info.tls = c->tls;
    c->listener = listener_config_ref(listener);
    c->hook = (struct conn_filter){.read = hook_read, .write = hook_write, .closed = hook_closed};
    chain_init(&c->hook.raw);
    for (size_t d = 0; d < NETWORK_DIRECTIONS; d++)
        chain_init(&c->injected[d]);
    turn_task_init(&c->release, chain_free);
    c->users = config->network_count > 0 ? 2 : 1;
    c->filters_count = (uint32_t)config->network_count;
    char *state = (char *)c + fixed;
    for (uint32_t i = 0; i < c->filters_count; i++) {
        init_filter(c, i, &config->network[i], state);
        state += (config->network[i].ops->state_bytes + align - 1) & ~(align - 1);
    }
    if (c->filters_count > 0)
        conn->filter = &c->hook;
    return c;
}

void network_chain_start(struct network_chain *c)
{
    bool end;
    c->passing++;
    walk_in(c, &end);
    c->passing--;
}

/* --- for filters --- */

static void walk_again(struct network_chain *c, enum network_direction direction)
{
    if (c->over_limit && direction == NETWORK_DOWNSTREAM_DATA) {
        c->over_limit = false;
        conn_resume(c->conn, CONN_PAUSE_LIMIT);
    }
    conn_filter_kick(c->conn);
}

void network_filter_continue(struct network_filter *f, enum network_direction direction)
{
    if (closing(f->chain))
        return;
    f->stages[direction].go = true;
    walk_again(f->chain, direction);
}

void network_filter_ask_again(struct network_filter *f, enum network_direction direction)
{
    if (closing(f->chain))
        return;
    f->stages[direction].fresh = true;
    walk_again(f->chain, direction);
}

bool network_filter_inject(struct network_filter *f, enum network_direction direction, struct chain *data)
{
    struct network_chain *c = f->chain;
    bool in = direction == NETWORK_DOWNSTREAM_DATA;
    bool last = in ? f + 1 == c->filters + c->filters_count : f == c->filters;
    if (closing(c))
        return true;
    conn_filter_kick(c->conn);
    if (last)
        return chain_move(&c->injected[direction], data, SIZE_MAX);
    struct network_stage *next = &f[in ? 1 : -1].stages[direction];
    next->fresh = next->fresh || !chain_empty(data);
    return chain_move(&next->held, data, SIZE_MAX);
}

void network_filter_close(struct network_filter *f, enum conn_close_mode mode)
{
    f->chain->cut = true;
    if (f->chain->conn)
        conn_close(f->chain->conn, mode, NETWORK_FLUSH_MS);
}

struct stream *network_filter_stream(const struct network_filter *f)
{
    if (f->chain->conn)
        count_bytes(f->chain, f->chain->conn);
    return &f->chain->stream;
}

void network_filter_pause_reading(struct network_filter *f, bool on)
{
    struct conn *conn = f->chain->conn;
    if (!conn)
        return;
    if (on)
        conn_pause(conn, CONN_PAUSE_FILTER);
    else
        conn_resume(conn, CONN_PAUSE_FILTER);
}
