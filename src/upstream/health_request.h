/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of HTTP and gRPC health checks: making the request, judging the answer. No connection, no
 * state.
 */
#ifndef WEIR_UPSTREAM_HEALTH_REQUEST_H
#define WEIR_UPSTREAM_HEALTH_REQUEST_H

#include "http/headers.h"
#include "upstream/health_config.h"

/* The request's head in the arena; NULL when its cap is reached. */
struct header_map *health_request_headers(struct arena *arena, const struct health_config *config,
                                          struct slice authority, bool secure);
/* What follows the head; empty: nothing. In the arena. */
struct slice health_request_body(struct arena *arena, const struct health_config *config);

/* An answer as far as it is looked at. */
struct health_answer {
    const struct header_map *headers;
    const struct header_map *trailers; /* NULL: none */
    struct slice body;
    bool body_cut; /* there was more of it than is kept */
};

enum health_verdict { HEALTH_VERDICT_PASS, HEALTH_VERDICT_RETRIABLE, HEALTH_VERDICT_FAIL };

unsigned health_answer_status(const struct health_answer *a);
/* Whether a header of that name is there, whatever it says. */
bool health_answer_says(const struct health_answer *a, struct slice name);
/* `verified` becomes true when the service's name was looked at. */
enum health_verdict health_answer_http(const struct health_answer *a, const struct health_config *config,
                                       bool *verified);
/* SERVING, in exactly one message, with grpc-status 0. */
enum health_verdict health_answer_grpc(const struct health_answer *a);

#endif
