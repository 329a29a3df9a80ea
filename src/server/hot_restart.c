/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The side of a hot restart that begins: which process this is, and what it takes from its predecessor. Until
 * it serves it may fail at any point: the predecessor then goes on.
 */
#include "server/hot_restart_impl.h"
#include "server/server_impl.h"
#include "telemetry/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The predecessor's main thread answers at once; loading a policy may keep it for a moment. */
#define ANSWER_MS 5000
/* While this process serves it does not wait long for numbers. */
#define STATS_ANSWER_MS   1000
#define STATS_INTERVAL_MS 5000u
#define BASE_ID_TRIES     64

/* A gauge's or counter's last value in the predecessor. */
struct parent_stat {
    stat_id id;
    enum stat_type type;
    uint64_t value;
};

bool hot_restart_imports(enum stat_type type, struct slice name)
{
    return type == STAT_COUNTER || (type == STAT_GAUGE && slice_ends_with(name, SLICE_LIT("_active")));
}

void hot_restart_listener_key(const struct listener_config *config, const struct listener_address *at,
                              struct strbuf *key)
{
    char text[ADDRESS_TEXT_MAX];
    strbuf_append_str(key, address_format(&at->where, text));
    if (at->where.sa.sa_family == AF_UNIX || address_port(&at->where) != 0)
        return;
    /* Of several free ports each is itself. In front of the name, which may be anything. */
    if (at != &config->main)
        strbuf_printf(key, "/%zu", (size_t)(at - config->more));
    strbuf_printf(key, " %.*s", SLICE_ARG(config->name));
}

/* --- names --- */

static bool write_base_id(const char *path, uint32_t base_id)
{
    FILE *f = fopen(path, "we");
    bool ok = f && fprintf(f, "%" PRIu32, base_id) > 0;
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok)
        fprintf(stderr, "weir: cannot write the base id to %s: %s\n", path, strerror(errno));
    return ok;
}

static const char *name_of(uint32_t base_id, uint32_t epoch, char out[FD_CHANNEL_NAME_MAX])
{
    snprintf(out, FD_CHANNEL_NAME_MAX, "weir_hot_restart_%" PRIu32 "_%" PRIu32, base_id, epoch);
    return out;
}

static int claim_name(uint32_t base_id, uint32_t epoch)
{
    char name[FD_CHANNEL_NAME_MAX];
    return fd_channel_listen(name_of(base_id, epoch, name));
}

static int claim_dynamic(struct hot_restart *hr)
{
    int fd = -EADDRINUSE;
    for (int i = 0; i < BASE_ID_TRIES && fd == -EADDRINUSE; i++) {
        uint32_t random = 0;
        if (getentropy(&random, sizeof(random)) != 0)
            return -errno;
        hr->base_id = random & 0x7fffffff;
        fd = claim_name(hr->base_id, 0);
    }
    return fd;
}

/* Two proxies of one base id cannot both be found by a successor. Who chose the id is told; who did not, only
 * loses the hot restart. */
static bool claim(struct server *s)
{
    const struct server_options *o = s->options;
    struct hot_restart *hr = &s->hot_restart;
    hr->base_id = o->base_id;
    int fd = o->base_id_dynamic ? claim_dynamic(hr) : claim_name(o->base_id, o->restart_epoch);
    if (fd >= 0) {
        hr->listen_fd = fd;
        return !o->base_id_path || write_base_id(o->base_id_path, hr->base_id);
    }
    if (o->base_id_given || o->base_id_dynamic || o->restart_epoch > 0) {
        fprintf(stderr,
                "weir: cannot claim base id %" PRIu32 ", epoch %" PRIu32
                ": %s; another one runs with it (see --base-id, --restart-epoch, --disable-hot-restart)\n",
                hr->base_id, o->restart_epoch, strerror(-fd));
        return false;
    }
    log_write(
        MAIN, INFO,
        "another weir has base id 0: no hot restart of this one (see --base-id, --use-dynamic-base-id)");
    hr->enabled = false;
    return true;
}

/* --- talking --- */

static void lose_parent(struct hot_restart *hr)
{
    if (hr->parent_poll)
        uv_close((uv_handle_t *)hr->parent_poll, (uv_close_cb)free);
    hr->parent_poll = NULL;
    if (hr->parent_fd >= 0)
        close(hr->parent_fd);
    hr->parent_fd = -1;
}

static bool ask(struct hot_restart *hr, enum hot_restart_kind kind, struct slice text, struct fd_message *m)
{
    if (hr->parent_fd < 0)
        return false;
    if (fd_channel_send(hr->parent_fd, kind, text, NULL, 0) &&
        fd_channel_receive(hr->parent_fd, m, ANSWER_MS)) {
        if (m->kind == (uint32_t)kind)
            return true;
        fd_message_fini(m);
    }
    lose_parent(hr);
    return false;
}

static bool meet_parent(struct server *s)
{
    const struct server_options *o = s->options;
    struct hot_restart *hr = &s->hot_restart;
    struct fd_message *m = malloc(sizeof(*m));
    char name[FD_CHANNEL_NAME_MAX];
    int fd = fd_channel_connect(name_of(hr->base_id, o->restart_epoch - 1, name));
    if (fd < 0 || !m) {
        free(m);
        if (fd >= 0)
            close(fd);
        if (o->skip_no_parent)
            return true;
        fprintf(stderr,
                "weir: no predecessor of base id %" PRIu32 " with epoch %" PRIu32
                ": %s; start with --restart-epoch 0, or --skip-hot-restart-on-no-parent\n",
                hr->base_id, o->restart_epoch - 1, fd < 0 ? strerror(-fd) : "no memory");
        return false;
    }
    hr->parent_fd = fd;
    bool ok = ask(hr, WIRE_HELLO, slice_str(HOT_RESTART_VERSION), m) &&
              slice_eq(slice_of(m->text, m->len), slice_str(HOT_RESTART_VERSION));
    if (!ok)
        fprintf(stderr, "weir: the predecessor does not speak \"" HOT_RESTART_VERSION
                        "\": stop it and start with --restart-epoch 0\n");
    free(m);
    return ok;
}

bool hot_restart_begin(struct server *s)
{
    const struct server_options *o = s->options;
    struct hot_restart *hr = &s->hot_restart;
    hr->enabled = !o->hot_restart_disabled;
    if (!hr->enabled)
        return true;
    if (!claim(s))
        return false;
    return o->restart_epoch == 0 || meet_parent(s);
}

uint32_t hot_restart_take_sockets(struct server *s, const struct listener_config *config,
                                  const struct listener_address *at, int *fds, uint32_t max)
{
    struct hot_restart *hr = &s->hot_restart;
    struct strbuf key;
    uint32_t count = 0;
    struct fd_message *m = hr->parent_fd >= 0 ? malloc(sizeof(*m)) : NULL;
    strbuf_init(&key, FD_CHANNEL_BYTES_MAX);
    hot_restart_listener_key(config, at, &key);
    bool more = m && !key.failed && ask(hr, WIRE_SOCKETS, strbuf_slice(&key), m);
    while (more && m->fds_count > 0) {
        for (uint32_t i = 0; i < m->fds_count && count < max; i++) {
            fds[count++] = m->fds[i];
            m->fds[i] = -1;
        }
        fd_message_fini(m);
        more = fd_channel_receive(hr->parent_fd, m, ANSWER_MS) && m->kind == WIRE_SOCKETS;
        if (!more)
            lose_parent(hr);
    }
    strbuf_fini(&key);
    free(m);
    return count;
}

int hot_restart_take_admin(struct server *s, const struct address *address)
{
    struct hot_restart *hr = &s->hot_restart;
    char text[ADDRESS_TEXT_MAX];
    int fd = -1;
    struct fd_message *m = hr->parent_fd >= 0 ? malloc(sizeof(*m)) : NULL;
    if (m && ask(hr, WIRE_ADMIN, slice_str(address_format(address, text)), m) && m->fds_count > 0) {
        fd = m->fds[0];
        m->fds[0] = -1;
        fd_message_fini(m);
    }
    free(m);
    return fd;
}

/* --- the predecessor's numbers --- */

static void import_one(struct hot_restart *hr, const struct wire_stat *row, struct slice name)
{
    struct parent_stat *p = map_get(&hr->parent_stats, name);
    if (!hot_restart_imports((enum stat_type)row->type, name) || name.len >= STATS_NAME_MAX)
        return;
    if (!p) {
        p = calloc(1, sizeof(*p));
        if (!p || !map_put(&hr->parent_stats, name, p)) {
            free(p);
            return;
        }
        p->type = (enum stat_type)row->type;
        p->id = p->type == STAT_COUNTER ? stat_counter("%.*s", SLICE_ARG(name))
                                        : stat_gauge("%.*s", SLICE_ARG(name));
    }
    /* A counter that went down was reset there. */
    if (p->type == STAT_GAUGE || row->value > p->value)
        stat_add(p->id, row->value - p->value);
    p->value = row->value;
}

static void import_rows(struct hot_restart *hr, struct slice rows)
{
    while (rows.len >= sizeof(struct wire_stat)) {
        struct wire_stat row;
        memcpy(&row, rows.ptr, sizeof(row));
        rows = slice_skip(rows, sizeof(row));
        if (row.name_len > rows.len)
            return;
        import_one(hr, &row, slice_take(rows, row.name_len));
        rows = slice_skip(rows, row.name_len);
    }
}

/* All messages of one answer; the first is there or comes soon. */
static bool import_stats(struct hot_restart *hr)
{
    struct fd_message *m = malloc(sizeof(*m));
    bool ok = m != NULL;
    do {
        ok = ok && fd_channel_receive(hr->parent_fd, m, STATS_ANSWER_MS) && m->kind == WIRE_STATS;
        if (!ok)
            break;
        fd_message_fini(m);
        import_rows(hr, slice_of(m->text, m->len));
    } while (m->len > 0);
    free(m);
    return ok;
}

static void forget_parent(struct server *s)
{
    struct hot_restart *hr = &s->hot_restart;
    size_t cursor = 0;
    lose_parent(hr);
    timer_stop(&s->loop, &hr->stats_timer);
    timer_stop(&s->loop, &hr->parent_timer);
    for (struct map_entry *e; (e = map_next(&hr->parent_stats, &cursor)) != NULL;) {
        struct parent_stat *p = e->value;
        if (p->type == STAT_GAUGE)
            stat_sub(p->id, p->value);
        free(p);
    }
    map_fini(&hr->parent_stats);
    map_init(&hr->parent_stats);
}

/* Unasked it says its last numbers, and then it is gone. */
static void parent_readable(uv_poll_t *poll, int status, int events)
{
    struct server *s = poll->data;
    (void)events;
    loop_refresh(&s->loop);
    if (status == 0 && import_stats(&s->hot_restart))
        return;
    log_write(MAIN, INFO, "hot restart: the predecessor has ended");
    forget_parent(s);
}

static void stats_due(struct timer *timer)
{
    struct server *s = WEIR_CONTAINER_OF(timer, struct server, hot_restart.stats_timer);
    struct hot_restart *hr = &s->hot_restart;
    if (!fd_channel_send(hr->parent_fd, WIRE_STATS, SLICE_EMPTY, NULL, 0) || !import_stats(hr)) {
        forget_parent(s);
        return;
    }
    timer_set(&s->loop, timer, STATS_INTERVAL_MS);
}

static void parent_time_over(struct timer *timer)
{
    struct server *s = WEIR_CONTAINER_OF(timer, struct server, hot_restart.parent_timer);
    log_write(MAIN, INFO, "hot restart: ending the predecessor");
    fd_channel_send(s->hot_restart.parent_fd, WIRE_TERMINATE, SLICE_EMPTY, NULL, 0);
}

static bool watch_parent(struct server *s)
{
    struct hot_restart *hr = &s->hot_restart;
    uv_poll_t *poll = malloc(sizeof(*poll));
    if (!poll || uv_poll_init(&s->loop.uv, poll, hr->parent_fd) != 0) {
        free(poll);
        return false;
    }
    poll->data = s;
    hr->parent_poll = poll;
    return uv_poll_start(poll, UV_READABLE, parent_readable) == 0;
}

void hot_restart_live(struct server *s)
{
    struct hot_restart *hr = &s->hot_restart;
    struct fd_message *m = malloc(sizeof(*m));
    if (m && ask(hr, WIRE_DRAIN, SLICE_EMPTY, m)) {
        fd_message_fini(m);
        timer_init(&hr->stats_timer, stats_due);
        timer_init(&hr->parent_timer, parent_time_over);
        if (!watch_parent(s))
            lose_parent(hr); /* it ends by itself */
    }
    free(m);
    if (hr->parent_fd >= 0) {
        log_write(MAIN, INFO, "hot restart: serving in place of epoch %" PRIu32,
                  s->options->restart_epoch - 1);
        if (!s->options->skip_parent_stats)
            timer_set(&s->loop, &hr->stats_timer, 0);
        timer_set(&s->loop, &hr->parent_timer, (uint64_t)s->options->parent_shutdown_time_s * 1000);
    }
    if (!hot_restart_listen(s))
        log_write(MAIN, WARN, "hot restart: no successor can come: no memory");
}

void hot_restart_end(struct server *s)
{
    struct hot_restart *hr = &s->hot_restart;
    if (hr->parent_fd >= 0 && hr->parent_poll)
        forget_parent(s);
    lose_parent(hr);
    map_fini(&hr->parent_stats);
    hot_restart_leave(s);
}
