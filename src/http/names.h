/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header names that the proxy itself looks at, interned to small numbers. One row makes the enum and the
 * string. All lower case. Pseudo-headers come first: HTTP/1 start lines are turned into them.
 */
#ifndef WEIR_HTTP_NAMES_H
#define WEIR_HTTP_NAMES_H

#include "base/slice.h"

#include <stdint.h>

#define HEADER_NAMES(X)                                                                                      \
    X(METHOD, ":method")                                                                                     \
    X(SCHEME, ":scheme")                                                                                     \
    X(AUTHORITY, ":authority")                                                                               \
    X(PATH, ":path")                                                                                         \
    X(PROTOCOL, ":protocol")                                                                                 \
    X(STATUS, ":status")                                                                                     \
    X(HOST, "host")                                                                                          \
    X(CONNECTION, "connection")                                                                              \
    X(CONTENT_LENGTH, "content-length")                                                                      \
    X(CONTENT_TYPE, "content-type")                                                                          \
    X(TRANSFER_ENCODING, "transfer-encoding")                                                                \
    X(TE, "te")                                                                                              \
    X(TRAILER, "trailer")                                                                                    \
    X(UPGRADE, "upgrade")                                                                                    \
    X(EXPECT, "expect")                                                                                      \
    X(KEEP_ALIVE, "keep-alive")                                                                              \
    X(PROXY_CONNECTION, "proxy-connection")                                                                  \
    X(DATE, "date")                                                                                          \
    X(SERVER, "server")                                                                                      \
    X(LOCATION, "location")                                                                                  \
    X(VIA, "via")                                                                                            \
    X(USER_AGENT, "user-agent")                                                                              \
    X(REFERER, "referer")                                                                                    \
    X(ACCEPT, "accept")                                                                                      \
    X(ACCEPT_ENCODING, "accept-encoding")                                                                    \
    X(AUTHORIZATION, "authorization")                                                                        \
    X(COOKIE, "cookie")                                                                                      \
    X(SET_COOKIE, "set-cookie")                                                                              \
    X(ORIGIN, "origin")                                                                                      \
    X(GRPC_STATUS, "grpc-status")                                                                            \
    X(GRPC_MESSAGE, "grpc-message")                                                                          \
    X(GRPC_TIMEOUT, "grpc-timeout")                                                                          \
    X(X_FORWARDED_FOR, "x-forwarded-for")                                                                    \
    X(X_FORWARDED_PROTO, "x-forwarded-proto")                                                                \
    X(X_FORWARDED_HOST, "x-forwarded-host")                                                                  \
    X(X_FORWARDED_PORT, "x-forwarded-port")                                                                  \
    X(X_REQUEST_ID, "x-request-id")                                                                          \
    X(X_ENVOY_ORIGINAL_PATH, "x-envoy-original-path")                                                        \
    X(X_ENVOY_ORIGINAL_HOST, "x-envoy-original-host")                                                        \
    X(X_ENVOY_UPSTREAM_SERVICE_TIME, "x-envoy-upstream-service-time")                                        \
    X(X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, "x-envoy-expected-rq-timeout-ms")                                      \
    X(X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS, "x-envoy-upstream-rq-timeout-ms")                                      \
    X(X_ENVOY_OVERLOADED, "x-envoy-overloaded")                                                              \
    X(X_ENVOY_INTERNAL, "x-envoy-internal")                                                                  \
    X(X_ENVOY_EXTERNAL_ADDRESS, "x-envoy-external-address")                                                  \
    X(X_ENVOY_ATTEMPT_COUNT, "x-envoy-attempt-count")

enum header_id {
    HDR_OTHER = 0,
#define HEADER_X(id, text) HDR_##id,
    HEADER_NAMES(HEADER_X)
#undef HEADER_X
        HDR_COUNT
};

/* HDR_OTHER when the name is not one of the table. `name` must be lower case already. */
enum header_id header_id_of(struct slice name);
/* The text of an id other than HDR_OTHER. */
struct slice header_id_name(enum header_id id);

#endif
