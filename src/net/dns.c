/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam between c-ares and the loop: c-ares says which sockets it has and when it wants to be called,
 * libuv watches them. Every answer is kept until the turn's end, because c-ares may answer from inside the
 * question.
 */
#include "net/dns.h"

#include "base/assert.h"
#include "net/dns_families.h"
#include "net/limits.h"
#include "net/loop.h"

#include <ares.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct dns_socket {
    struct list node;
    struct dns_resolver *resolver;
    uv_poll_t poll;
    ares_socket_t fd;
};

struct dns_resolver {
    struct loop *loop;
    ares_channel channel;
    struct list sockets;
    struct list queries;
    struct timer timer;
    bool routable;
    bool dying;
};

struct dns_query {
    struct list node;
    struct dns_resolver *resolver; /* NULL once it is destroyed */
    struct turn_task deliver;
    dns_answer_fn fn; /* NULL: cancelled */
    void *arg;
    enum dns_lookup lookup;
    uint16_t port;
    bool second_try; /* of a lookup in two steps */
    bool in_ares;    /* c-ares holds a pointer to it */
    struct address addresses[DNS_ADDRESSES_MAX];
    struct dns_answer answer;
    char name[256];
};

static void query_ask(struct dns_query *q);

static pthread_once_t ares_once = PTHREAD_ONCE_INIT;

static void ares_setup(void)
{
    ares_library_init(ARES_LIB_INIT_ALL);
}

static void rearm(struct dns_resolver *r)
{
    struct timeval most = {DNS_TIMER_SECONDS_MAX, 0}, wait;
    if (list_empty(&r->queries)) {
        timer_stop(r->loop, &r->timer);
        return;
    }
    struct timeval *next = ares_timeout(r->channel, &most, &wait);
    timer_set(r->loop, &r->timer, (uint64_t)next->tv_sec * 1000 + (uint64_t)(next->tv_usec + 999) / 1000);
}

static void on_timer(struct timer *t)
{
    struct dns_resolver *r = WEIR_CONTAINER_OF(t, struct dns_resolver, timer);
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm(r);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct dns_socket *s = poll->data;
    struct dns_resolver *r = s->resolver;
    ares_socket_t fd = s->fd;
    if (!r)
        return;
    loop_refresh(r->loop);
    if (status < 0)
        events = UV_READABLE | UV_WRITABLE;
    ares_process_fd(r->channel, events & UV_READABLE ? fd : ARES_SOCKET_BAD,
                    events & UV_WRITABLE ? fd : ARES_SOCKET_BAD);
    rearm(r);
}

static void socket_freed(uv_handle_t *h)
{
    free(h->data);
}

static void socket_close(struct dns_socket *s)
{
    list_remove(&s->node);
    s->resolver = NULL;
    uv_close((uv_handle_t *)&s->poll, socket_freed);
}

/* c-ares tells what it wants to know of a socket; nothing means that it closes it. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct dns_resolver *r = arg;
    struct dns_socket *s = NULL;
    struct list *node, *next;
    list_for_each(node, next, &r->sockets)
    {
        struct dns_socket *candidate = list_entry(node, struct dns_socket, node);
        if (candidate->fd == fd)
            s = candidate;
    }
    if (!readable && !writable) {
        if (s)
            socket_close(s);
        return;
    }
    if (!s) {
        s = calloc(1, sizeof(*s));
        if (!s || uv_poll_init_socket(&r->loop->uv, &s->poll, fd) != 0) {
            free(s);
            return; /* the query times out */
        }
        s->fd = fd;
        s->resolver = r;
        s->poll.data = s;
        list_push_back(&r->sockets, &s->node);
    }
    uv_poll_start(&s->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_poll);
}

/* Whether the system names no server: c-ares' own default is left then, the loopback's without a port. */
static bool is_without_servers(struct dns_resolver *r)
{
    struct ares_addr_port_node *first = NULL;
    if (ares_get_servers_ports(r->channel, &first) != ARES_SUCCESS)
        return true;
    bool none = !first || (!first->next && first->family == AF_INET && first->udp_port == 0 &&
                           first->tcp_port == 0 && first->addr.addr4.s_addr == htonl(INADDR_LOOPBACK));
    ares_free_data(first);
    return none;
}

static bool set_servers(struct dns_resolver *r, const struct dns_options *options)
{
    const struct address *servers = options->servers;
    size_t count = options->servers_count;
    if (count == 0 || (options->fallback && !is_without_servers(r)))
        return true;
    struct ares_addr_port_node *nodes = calloc(count, sizeof(*nodes));
    if (!nodes)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct address *a = &servers[i];
        nodes[i].next = i + 1 < count ? &nodes[i + 1] : NULL;
        nodes[i].family = a->sa.sa_family;
        nodes[i].udp_port = address_port(a);
        nodes[i].tcp_port = address_port(a);
        if (a->sa.sa_family == AF_INET6)
            memcpy(&nodes[i].addr.addr6, &a->in6.sin6_addr, sizeof(a->in6.sin6_addr));
        else
            nodes[i].addr.addr4 = a->in4.sin_addr;
    }
    bool ok = ares_set_servers_ports(r->channel, nodes) == ARES_SUCCESS;
    free(nodes);
    return ok;
}

static int open_channel(struct dns_resolver *r, const struct dns_options *o)
{
    struct ares_options options = {
        .timeout = o->timeout_ms ? (int)o->timeout_ms : DNS_TRY_TIMEOUT_MS,
        .tries = o->tries ? (int)o->tries : DNS_TRIES,
        .flags = (o->tcp ? ARES_FLAG_USEVC : 0) | (o->no_search ? ARES_FLAG_NOSEARCH : 0),
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = r,
    };
    int set = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    if (options.flags)
        set |= ARES_OPT_FLAGS;
    return ares_init_options(&r->channel, &options, set | (o->rotate ? ARES_OPT_ROTATE : 0));
}

struct dns_resolver *dns_resolver_create(struct loop *loop, const struct dns_options *options)
{
    struct dns_resolver *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    pthread_once(&ares_once, ares_setup);
    r->loop = loop;
    list_init(&r->sockets);
    list_init(&r->queries);
    timer_init(&r->timer, on_timer);
    if (open_channel(r, options) != ARES_SUCCESS) {
        free(r);
        return NULL;
    }
    r->routable = options->routable;
    if (!set_servers(r, options))
        dns_resolver_destroy(&r);
    return r;
}

static void query_free(struct dns_query *q)
{
    list_remove(&q->node);
    list_remove(&q->deliver.node);
    free(q);
}

void dns_resolver_destroy(struct dns_resolver **resolver)
{
    struct dns_resolver *r = *resolver;
    *resolver = NULL;
    if (!r)
        return;
    r->dying = true;
    /* Answers every open question with ARES_EDESTRUCTION, and closes the sockets. */
    ares_destroy(r->channel);
    while (!list_empty(&r->queries))
        query_free(list_first(&r->queries, struct dns_query, node));
    while (!list_empty(&r->sockets))
        socket_close(list_first(&r->sockets, struct dns_socket, node));
    timer_stop(r->loop, &r->timer);
    free(r);
}

static void deliver(struct turn_task *task)
{
    struct dns_query *q = WEIR_CONTAINER_OF(task, struct dns_query, deliver);
    list_remove(&q->node);
    if (q->fn)
        q->fn(q->arg, &q->answer);
    free(q);
}

static bool keep_address(struct dns_query *q, const struct sockaddr *sa)
{
    if (q->answer.count == DNS_ADDRESSES_MAX)
        return false;
    struct address *a = &q->addresses[q->answer.count];
    memset(a, 0, sizeof(*a));
    if (sa->sa_family == AF_INET) {
        memcpy(&a->in4, sa, sizeof(a->in4));
        a->in4.sin_port = htons(q->port);
        a->len = sizeof(a->in4);
    } else if (sa->sa_family == AF_INET6) {
        memcpy(&a->in6, sa, sizeof(a->in6));
        a->in6.sin6_port = htons(q->port);
        a->len = sizeof(a->in6);
    } else {
        return true;
    }
    q->answer.count++;
    return true;
}

static void keep_addresses(struct dns_query *q, const struct ares_addrinfo *info)
{
    struct dns_families usable = {true, true};
    if (q->resolver->routable)
        usable = dns_families_now();
    for (const struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next) {
        uint32_t ttl = n->ai_ttl > 0 ? (uint32_t)n->ai_ttl : 0;
        if (!(n->ai_family == AF_INET ? usable.v4 : usable.v6))
            continue;
        if (!keep_address(q, n->ai_addr))
            break;
        if (q->answer.count == 1 || ttl < q->answer.ttl_seconds)
            q->answer.ttl_seconds = ttl;
    }
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct dns_query *q = arg;
    (void)timeouts;
    q->in_ares = false;
    if (status == ARES_SUCCESS)
        keep_addresses(q, info);
    if (info)
        ares_freeaddrinfo(info);
    if (status == ARES_EDESTRUCTION || q->resolver->dying)
        return;
    bool no_records = status == ARES_ENODATA || status == ARES_ENOTFOUND;
    q->answer.failed = status != ARES_SUCCESS && !no_records;
    q->answer.error = status == ARES_SUCCESS ? "" : ares_strerror(status);
    bool two_steps = q->lookup == DNS_LOOKUP_V4_THEN_V6 || q->lookup == DNS_LOOKUP_V6_THEN_V4;
    if (q->answer.count == 0 && two_steps && !q->second_try && q->fn) {
        q->second_try = true;
        query_ask(q);
        return;
    }
    loop_at_turn_end(q->resolver->loop, &q->deliver);
}

static void query_ask(struct dns_query *q)
{
    struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT, .ai_socktype = SOCK_STREAM};
    switch (q->lookup) {
    case DNS_LOOKUP_V4:
        hints.ai_family = AF_INET;
        break;
    case DNS_LOOKUP_V6:
        hints.ai_family = AF_INET6;
        break;
    case DNS_LOOKUP_V4_THEN_V6:
        hints.ai_family = q->second_try ? AF_INET6 : AF_INET;
        break;
    case DNS_LOOKUP_V6_THEN_V4:
        hints.ai_family = q->second_try ? AF_INET : AF_INET6;
        break;
    case DNS_LOOKUP_BOTH:
        hints.ai_family = AF_UNSPEC;
        break;
    }
    q->in_ares = true;
    ares_getaddrinfo(q->resolver->channel, q->name, NULL, &hints, on_answer, q);
}

struct dns_query *dns_resolve(struct dns_resolver *r, struct slice name, uint16_t port,
                              enum dns_lookup lookup, dns_answer_fn fn, void *arg)
{
    WEIR_ASSERT(fn && name.len > 0);
    struct dns_query *q = calloc(1, sizeof(*q));
    if (!q || name.len >= sizeof(q->name)) {
        free(q);
        return NULL;
    }
    memcpy(q->name, name.ptr, name.len);
    q->resolver = r;
    q->fn = fn;
    q->arg = arg;
    q->lookup = lookup;
    q->port = port;
    q->answer.addresses = q->addresses;
    q->answer.error = "";
    turn_task_init(&q->deliver, deliver);
    list_push_back(&r->queries, &q->node);
    query_ask(q);
    rearm(r);
    return q;
}

void dns_cancel(struct dns_query **query)
{
    struct dns_query *q = *query;
    *query = NULL;
    if (!q)
        return;
    q->fn = NULL;
    if (!q->in_ares)
        query_free(q);
}
