/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What active health checks keep of a host: where and as whom it is checked, and the way from workers to the
 * checker. Owned by its host.
 */
#ifndef WEIR_UPSTREAM_HEALTH_HOST_H
#define WEIR_UPSTREAM_HEALTH_HOST_H

#include "net/address.h"

#include <stdatomic.h>

struct endpoint_config;
struct health_checker;
struct health_session;
struct host;
struct loop;

/* How workers reach the checker, whichever of the two lives longer. */
struct health_link {
    atomic_uint refs;
    struct loop *loop;
    struct health_checker *checker; /* main thread; NULL: it is gone */
};

struct health_host {
    struct address address;         /* Endpoint.health_check_config.address; len 0: the host's own */
    uint16_t port;                  /* port_value; 0: none given */
    bool disabled;                  /* disable_active_health_check */
    struct health_link *link;       /* owned reference; set before workers see the host; NULL: no checker */
    struct health_session *session; /* main thread */
    char hostname[];                /* "": none given */
};

/* NULL when memory is out. `e` NULL: an endpoint that says nothing of checks. */
struct health_host *health_host_create(const struct endpoint_config *e);
void health_host_destroy(struct health_host **hh);
/* The endpoint says something. */
bool health_host_configured(const struct endpoint_config *e);
/* The same of both; NULL is one that says nothing. */
bool health_host_same(const struct health_host *a, const struct health_host *b);

struct health_link *health_link_ref(struct health_link *l);
void health_link_unref(struct health_link **l);

/* The host said in an answer that it wants no more requests (x-envoy-immediate-health-check-fail): it leaves
 * balancing until an active check passes. Nothing without active checks. [any thread] */
void health_host_failed(struct host *h, uint64_t now_ms);

#endif
