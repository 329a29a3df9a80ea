/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.h: every bound of the SDK, with its unit and its reason. Nothing else belongs here.
 */
#ifndef WSDK_LIMITS_H
#define WSDK_LIMITS_H

/* Bytes of scratch kept between callbacks: a header value or two never reach the allocator. */
#define WSDK_SCRATCH_CHUNK_BYTES 4096u

/* Freed stream contexts kept for the next streams: covers the concurrency of one worker in most uses. */
#define WSDK_SPARE_CONTEXTS_MAX 64u

/* Slots of the context table at the start (contexts at most half of it). */
#define WSDK_TABLE_SLOTS_MIN 16u

/* Bytes of a formatted log line; it lives on the stack. */
#define WSDK_LOG_LINE_BYTES 2000u

/* Bytes of a JSON document: a configuration beyond it is a mistake. */
#define WSDK_JSON_BYTES_MAX (1024u * 1024u)

/* Values inside each other: far beyond any configuration, bounds the length of a path. */
#define WSDK_JSON_DEPTH_MAX 64

/* Bytes of a field path and of a message about it. */
#define WSDK_JSON_PATH_BYTES    512u
#define WSDK_JSON_MESSAGE_BYTES 512u

/* Mistakes reported for one document: the rest would only scroll the first away. */
#define WSDK_JSON_ERRORS_MAX 20u

/* Bytes of a field name for which "did you mean" is worked out; bounds its quadratic time. */
#define WSDK_JSON_GUESS_BYTES_MAX 64u

#endif
