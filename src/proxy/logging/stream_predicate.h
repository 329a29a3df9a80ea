/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditions over a complete or answered stream: access log filters and local reply mappers
 * (accesslog.v3.AccessLogFilter). Made by the configuration, immutable. Each maker returns NULL when memory
 * is out; makers that take children own them, also on failure.
 */
#ifndef WEIR_PROXY_STREAM_PREDICATE_H
#define WEIR_PROXY_STREAM_PREDICATE_H

#include "proxy/logging/access_log.h"
#include "proxy/routing/state_matcher.h"

enum stream_comparison { COMPARE_EQ, COMPARE_GE, COMPARE_LE, COMPARE_NE };

/* The value is compared as response code (0 when nothing was sent) or as whole milliseconds since the start.
 */
struct stream_predicate *predicate_status(enum stream_comparison op, uint64_t value);
struct stream_predicate *predicate_duration(enum stream_comparison op, uint64_t ms);
struct stream_predicate *predicate_not_healthcheck(void);
/* Any of the RESPONSE_FLAG bits; 0: any flag at all. */
struct stream_predicate *predicate_flags(uint64_t flags);
/* Takes the finished matcher over (header_matcher_fini at the end). */
struct stream_predicate *predicate_header(const struct header_matcher *matcher);
/* `items` is copied, its elements are owned. A NULL element (a maker that failed) makes this fail too. */
struct stream_predicate *predicate_and(struct stream_predicate *const *items, size_t count);
struct stream_predicate *predicate_or(struct stream_predicate *const *items, size_t count);
/* Logs that are written at one of these moments (1 << enum log_moment), or not at them. */
struct stream_predicate *predicate_moments(uint32_t moments, bool exclude);
/* Answers of one of these gRPC statuses (1 << status), or not of them; without one, by the HTTP status. */
struct stream_predicate *predicate_grpc_status(uint32_t statuses, bool exclude);
/* A part of all: the same requests wherever their id is looked at, or with `independent` any. */
struct stream_predicate *predicate_share(uint32_t numerator, uint32_t denominator, bool independent);
/* By dynamic metadata. The caller fills the matcher that it gets, in the arena that it gets, and finishes it.
 */
struct stream_predicate *predicate_metadata(bool match_if_absent, struct metadata_matcher **matcher,
                                            struct arena **arena);
/* "UH" and the like to a bit; false when unknown. */
bool response_flag_parse(struct slice name, uint64_t *out);

#endif
