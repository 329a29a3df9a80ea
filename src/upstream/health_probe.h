/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a checker and the protocols it checks by: one host under checks (session) and one connection that
 * carries them (probe). A probe begins a check when told to and tells its session one result; it never
 * outlives its connection, and may outlive its session. Private to health_*.c.
 */
#ifndef WEIR_UPSTREAM_HEALTH_PROBE_H
#define WEIR_UPSTREAM_HEALTH_PROBE_H

#include "net/conn.h"
#include "upstream/cluster_config.h"
#include "upstream/cluster_stats.h"
#include "upstream/health_state.h"
#include "upstream/host.h"
#include "upstream/upstream_tls.h"

struct health_checker;
struct health_probe;

struct health_session {
    struct list node; /* of its checker */
    struct health_checker *checker;
    struct host *host; /* owned reference */
    struct address address;
    struct health_state state;
    struct timer interval;
    struct timer timeout;
    struct health_probe *probe; /* NULL: no connection */
    bool checking;              /* a result is waited for */
    bool listed;                /* the update under way names it */
};

/* How a check ended. */
struct health_result {
    bool passed;
    bool degraded;  /* passed; x-envoy-degraded */
    bool retriable; /* failed, by a retriable status */
    bool immediate; /* failed, and said x-envoy-immediate-health-check-fail */
    enum health_failure failure;
    unsigned status; /* of HTTP; 0: none */
};

struct health_probe {
    struct health_session *session; /* NULL: nobody waits for results any more */
    struct conn *conn;              /* NULL once closed */
    struct tls_info *tls;           /* owned reference; NULL: clear text */
    /* On the connection, which is there. */
    void (*begin)(struct health_probe *p);
};

/* Start connecting; the first check begins by itself. NULL when that is impossible. */
struct health_probe *health_http_open(struct health_session *s);
struct health_probe *health_tcp_open(struct health_session *s);
/* Connects p->conn to the session's address, through TLS where requests go through TLS. false: it cannot even
 * begin. */
bool health_probe_connect(struct health_probe *p, const struct conn_events *events, void *owner,
                          enum upstream_alpn alpn);
/* The session wants nothing of it any more. */
void health_probe_drop(struct health_probe *p);

/* The connection has gone; a check that was under way has failed. The probe is not the session's any more. */
void health_session_lost(struct health_session *s);
/* The check's end. The session may be gone when this returns. */
void health_session_result(struct health_session *s, const struct health_result *result);

const struct cluster_config *health_session_cluster(const struct health_session *s);
const struct cluster_stats *health_session_stats(const struct health_session *s);
const struct health_config *health_session_config(const struct health_session *s);
struct loop *health_session_loop(const struct health_session *s);
/* The service_name_matcher was asked. */
void health_session_count_verify(struct health_session *s);
/* What the probe calls itself: the endpoint's name for checks, the check's host, the cluster's name. */
struct slice health_session_authority(const struct health_session *s);

#endif
