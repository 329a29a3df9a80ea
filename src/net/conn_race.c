/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attempts of one conn that is connecting. Never calls the conn's owner: the last failure is told as a
 * single connect's would be, by conn_end.
 */
#include "net/conn_race.h"

#include "net/address_list.h"
#include "net/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct conn_attempt {
    struct conn_race *race;
    uv_poll_t *poll; /* NULL: not begun yet, or over */
    int fd;
};

struct conn_race {
    struct conn *conn;
    struct address_list *to; /* owned reference */
    const struct conn_options *options;
    struct timer pace;
    uint32_t begun;
    uint32_t open;
    enum conn_close why; /* of the last failure, with the next two */
    int error;
    uint32_t failed;
    struct conn_attempt attempts[]; /* one per address */
};

static void next_attempt(struct conn_race *r);
static void attempt_polled(uv_poll_t *poll, int status, int events);

/* Leaves the descriptor open. */
static void let_go(struct conn_race *r, struct conn_attempt *a)
{
    WEIR_ASSERT(a->poll && r->open > 0);
    poll_give(r->conn->loop, &a->poll, a->fd);
    r->open--;
}

static void note_failure(struct conn_race *r, uint32_t i, enum conn_close why, int error, bool at_once)
{
    r->conn->refused = at_once && why == CONN_CLOSE_CONNECT_FAILED;
    r->failed = i;
    r->why = why;
    r->error = error;
    r->conn->bind_failures += why == CONN_CLOSE_BIND_FAILED;
}

static bool begin(struct conn_race *r, uint32_t i)
{
    struct conn_attempt *a = &r->attempts[i];
    struct conn_begun begun = conn_begin(&r->to->at[i], r->options);
    r->conn->attempts++;
    if (begun.error == 0 && !(a->poll = poll_take(r->conn->loop, begun.fd)))
        begun.error = ENOMEM;
    if (begun.error != 0) {
        note_failure(r, i, begun.why, begun.error, true);
        if (begun.fd >= 0)
            close(begun.fd);
        return false;
    }
    a->race = r;
    a->fd = begun.fd;
    a->poll->data = a;
    int rc = uv_poll_start(a->poll, UV_WRITABLE, attempt_polled);
    WEIR_ASSERT(rc == 0);
    r->open++;
    return true;
}

static void on_pace(struct timer *t)
{
    next_attempt(WEIR_CONTAINER_OF(t, struct conn_race, pace));
}

/* One that fails at once makes room for the one behind it. The last failure is the one that is told. */
static void next_attempt(struct conn_race *r)
{
    struct conn *c = r->conn;
    timer_stop(c->loop, &r->pace);
    while (r->begun < r->to->count) {
        if (!begin(r, r->begun++))
            continue;
        if (r->begun < r->to->count)
            timer_set(c->loop, &r->pace, CONN_RACE_PACE_MS);
        return;
    }
    if (r->open > 0)
        return;
    c->remote = r->to->at[r->failed];
    conn_end(c, r->why, r->error); /* ends the race too */
}

static void won(struct conn_race *r, struct conn_attempt *a)
{
    struct conn *c = r->conn;
    uv_poll_stop(a->poll);
    c->fd = a->fd;
    c->poll = a->poll;
    c->poll->data = c;
    c->remote = r->to->at[a - r->attempts];
    a->poll = NULL;
    r->open--;
    conn_race_end(c);
    conn_connected(c);
}

static void attempt_polled(uv_poll_t *poll, int status, int events)
{
    struct conn_attempt *a = poll->data;
    (void)events;
    if (!a)
        return;
    struct conn_race *r = a->race;
    struct loop *loop = r->conn->loop;
    loop_refresh(loop);
    int error = conn_socket_error(a->fd);
    if (error == 0 && status < 0)
        error = -status;
    if (error == 0) {
        won(r, a);
    } else {
        let_go(r, a);
        close(a->fd);
        note_failure(r, (uint32_t)(a - r->attempts), CONN_CLOSE_CONNECT_FAILED, error, false);
        next_attempt(r);
    }
    loop_event_over(loop);
}

bool conn_race_start(struct conn *c, const struct conn_target *to)
{
    struct conn_race *r = calloc(1, sizeof(*r) + to->any->count * sizeof(r->attempts[0]));
    if (!r)
        return false;
    r->conn = c;
    r->to = address_list_ref(to->any);
    r->options = to->options;
    timer_init(&r->pace, on_pace);
    c->race = r;
    next_attempt(r);
    return true;
}

void conn_race_end(struct conn *c)
{
    struct conn_race *r = c->race;
    c->race = NULL;
    timer_stop(c->loop, &r->pace);
    for (uint32_t i = 0; i < r->begun; i++) {
        struct conn_attempt *a = &r->attempts[i];
        if (!a->poll)
            continue;
        let_go(r, a);
        close(a->fd);
    }
    address_list_unref(&r->to);
    free(r);
}
