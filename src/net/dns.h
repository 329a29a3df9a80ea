/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Name resolution without blocking, on c-ares: the hosts file, then the servers. One resolver belongs to one
 * loop; answers come from that loop, never inline.
 */
#ifndef WEIR_NET_DNS_H
#define WEIR_NET_DNS_H

#include "base/slice.h"
#include "net/address.h"

struct dns_query;
struct dns_resolver;
struct loop;

enum dns_lookup {
    DNS_LOOKUP_V4,
    DNS_LOOKUP_V6,
    DNS_LOOKUP_V4_THEN_V6, /* the second only when the first has no address */
    DNS_LOOKUP_V6_THEN_V4,
    DNS_LOOKUP_BOTH,
};

struct dns_answer {
    const struct address *addresses; /* with the port that was asked for */
    size_t count;                    /* 0 and !failed: the name has no address of the family */
    uint32_t ttl_seconds;            /* the smallest; 0 when there is none */
    bool failed;                     /* no server gave an answer; nothing is known */
    const char *error;               /* why, for people; "" */
};

typedef void (*dns_answer_fn)(void *arg, const struct dns_answer *answer);

/* How questions are asked; zero is as the system is configured, with Envoy's times. */
struct dns_options {
    const struct address *servers; /* none: the system's */
    size_t servers_count;
    bool fallback;       /* `servers` only if the system has none */
    bool routable;       /* no addresses of families that no interface but the loopback has */
    bool tcp;            /* never over UDP */
    bool no_search;      /* names are complete: no search domains */
    bool rotate;         /* servers take turns */
    uint64_t timeout_ms; /* of one question to one server; 0: 5 s */
    uint32_t tries;      /* 0: 4 */
};

/* NULL when memory is out or the system's configuration cannot be read. */
struct dns_resolver *dns_resolver_create(struct loop *loop, const struct dns_options *options);
/* Queries that run are dropped without an answer. */
void dns_resolver_destroy(struct dns_resolver **r);
/* NULL when memory is out. The query is dead once fn was called. */
struct dns_query *dns_resolve(struct dns_resolver *r, struct slice name, uint16_t port,
                              enum dns_lookup lookup, dns_answer_fn fn, void *arg);
/* No answer is wanted any more. */
void dns_cancel(struct dns_query **q);

#endif
