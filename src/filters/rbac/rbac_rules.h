/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of role-based access control (config.rbac.v3.RBAC): named policies, each of permissions and
 * principals. Plain data that the configuration fills, immutable after that and shared by workers. Asking
 * them allocates nothing but a path without its parameters, where routes compare such paths.
 */
#ifndef WEIR_FILTERS_RBAC_RULES_H
#define WEIR_FILTERS_RBAC_RULES_H

#include "net/address.h"
#include "net/tls_san.h"
#include "proxy/routing/state_matcher.h"
#include "telemetry/stats.h"

struct header_map;
struct stream;

/* Same numbers as RBAC.Action. */
enum rbac_action { RBAC_ALLOW, RBAC_DENY, RBAC_LOG };

/* Permissions and principals alike. */
enum rbac_kind {
    RBAC_ANY,
    RBAC_AND,
    RBAC_OR,
    RBAC_NOT,
    RBAC_HEADER,
    RBAC_PATH,
    RBAC_TEMPLATE, /* uri_template */
    RBAC_DESTINATION_IP,
    RBAC_DESTINATION_PORTS,
    RBAC_CONNECTION_IP, /* source_ip: the connection's, after a PROXY header */
    RBAC_DIRECT_IP,     /* of the socket */
    RBAC_REMOTE_IP,     /* after x-forwarded-for */
    RBAC_SERVER_NAME,
    RBAC_METADATA,
    RBAC_ROUTE_METADATA,
    RBAC_FILTER_STATE,
    RBAC_AUTHENTICATED,
    RBAC_MTLS,
};

/* mtls_authenticated: a name of the client's certificate. */
struct rbac_san {
    enum tls_san_type type;
    struct string_matcher text;
};

struct rbac_rule {
    enum rbac_kind kind;
    uint32_t items_count; /* AND, OR, NOT (one) */
    union {
        struct rbac_rule *items;
        struct header_matcher *header;
        struct string_matcher *text; /* PATH, SERVER_NAME, AUTHENTICATED (NULL: whoever has TLS) */
        struct regex *regex;         /* TEMPLATE */
        struct cidr *range;          /* the IPs */
        struct metadata_matcher *metadata;
        struct filter_state_matcher *state;
        struct rbac_san *san; /* MTLS; NULL: any certificate that was checked */
        struct {
            uint32_t from, to; /* DESTINATION_PORTS: [from, to) */
        };
    };
};

struct rbac_policy {
    struct slice name;
    struct rbac_rule permissions; /* OR */
    struct rbac_rule principals;  /* OR */
    struct slice denied_details;  /* "rbac_access_denied_matched_policy[NAME]" */
    stat_id matched;              /* 0: matches are not counted one by one */
};

struct rbac_rules {
    enum rbac_action action;
    struct rbac_policy *policies; /* in order of their names, as bytes */
    uint32_t policies_count;
};

struct rbac_verdict {
    bool allowed;
    const struct rbac_policy *policy; /* NULL: none matches */
};

/* `headers` NULL: there are none, only a connection. */
struct rbac_verdict rbac_rules_ask(const struct rbac_rules *rules, struct stream *s,
                                   const struct header_map *headers);
/* source_ip; NULL: not known. */
const struct address *rbac_connection_address(const struct stream *s);

/* Frees what the regular expressions hold; NULL is fine. */
void rbac_rules_fini(struct rbac_rules *rules);

#endif
