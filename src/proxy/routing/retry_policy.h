/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a request is sent again: Envoy's RetryPolicy and HedgePolicy as plain data of a route or a virtual
 * host. Immutable once finished. What happens to one request is in retry.h.
 */
#ifndef WEIR_PROXY_RETRY_POLICY_H
#define WEIR_PROXY_RETRY_POLICY_H

#include "proxy/routing/matcher.h"
#include "upstream/lb_match.h"

/* Conditions of retry_on and x-envoy-retry-on: X(NAME, "text"). */
#define RETRY_CONDITIONS(X)                                                                                  \
    X(5XX, "5xx")                                                                                            \
    X(GATEWAY_ERROR, "gateway-error")                                                                        \
    X(RESET, "reset")                                                                                        \
    X(RESET_BEFORE_REQUEST, "reset-before-request")                                                          \
    X(CONNECT_FAILURE, "connect-failure")                                                                    \
    X(ENVOY_RATELIMITED, "envoy-ratelimited")                                                                \
    X(RETRIABLE_4XX, "retriable-4xx")                                                                        \
    X(REFUSED_STREAM, "refused-stream")                                                                      \
    X(RETRIABLE_STATUS_CODES, "retriable-status-codes")                                                      \
    X(RETRIABLE_HEADERS, "retriable-headers")                                                                \
    X(HTTP3_POST_CONNECT_FAILURE, "http3-post-connect-failure")

/* Those of retry_on and x-envoy-retry-grpc-on: X(NAME, "text", grpc-status). */
#define RETRY_GRPC_CONDITIONS(X)                                                                             \
    X(CANCELLED, "cancelled", 1)                                                                             \
    X(DEADLINE_EXCEEDED, "deadline-exceeded", 4)                                                             \
    X(RESOURCE_EXHAUSTED, "resource-exhausted", 8)                                                           \
    X(INTERNAL, "internal", 13)                                                                              \
    X(UNAVAILABLE, "unavailable", 14)

enum retry_condition_bit {
#define RETRY_X(name, ...) RETRY_BIT_##name,
    RETRY_CONDITIONS(RETRY_X) RETRY_GRPC_CONDITIONS(RETRY_X)
#undef RETRY_X
};
#define RETRY_ON(name) (UINT32_C(1) << RETRY_BIT_##name)

/* A header of an answer that says how long to wait. */
struct retry_reset_header {
    struct slice name;
    bool unix_timestamp; /* else seconds from now */
};

struct retry_policy {
    uint32_t retry_on;                /* RETRY_ON bits; 0: only what a request asks for by headers */
    uint32_t num_retries;             /* 1 */
    uint64_t per_try_timeout_ms;      /* 0: none */
    uint64_t per_try_idle_timeout_ms; /* 0: none */
    uint64_t back_off_base_ms;        /* 25 */
    uint64_t back_off_max_ms;         /* 250; 10 x base */
    const uint32_t *status_codes;     /* for retriable-status-codes */
    uint32_t status_codes_count;
    struct header_matcher *headers; /* for retriable-headers: of the answer */
    uint32_t headers_count;
    struct header_matcher *request_headers; /* only requests that match one are retried; none: all */
    uint32_t request_headers_count;
    const struct retry_reset_header *reset_headers; /* rate_limited_retry_back_off */
    uint32_t reset_headers_count;
    uint64_t reset_max_ms;               /* 300 s: a longer wait is not obeyed */
    uint32_t host_attempts;              /* further picks when a host is not wanted; 1 */
    bool previous_hosts;                 /* hosts that were tried are not wanted */
    bool omit_canary;                    /* nor those with the label canary: true */
    const struct lb_match **omit_labels; /* nor those with all labels of one of these */
    uint32_t omit_labels_count;
    uint32_t eligible_percent;   /* of the retries, all told; 100 */
    uint32_t priority_frequency; /* previous_priorities: looked at after so many tries; 0: off */
};

/* Whether any host is unwanted. */
static inline bool retry_policy_chooses_hosts(const struct retry_policy *p)
{
    return p->previous_hosts || p->omit_canary || p->omit_labels_count > 0;
}

/* Without a retry_policy: retries only when headers of the request ask for them. */
extern const struct retry_policy retry_policy_default;

/* The bits of a comma-separated list; what is not known is skipped (*unknown names the first such word). */
uint32_t retry_on_parse(struct slice text, struct slice *unknown);
/* The same for one of the two lists alone, as the request headers have them. */
uint32_t retry_on_parse_http(struct slice text);
uint32_t retry_on_parse_grpc(struct slice text);

void retry_policy_finish(struct retry_policy *p, struct arena *arena, const char *path,
                         struct build_errors *errors);
void retry_policy_fini(struct retry_policy *p);

#endif
