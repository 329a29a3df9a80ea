/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths, queries and authorities: normalisation as Envoy does it, splitting, percent-encoding. Input is what
 * a codec or a filter put into `:path` and `:authority`; nothing here trusts it. Results borrow from the
 * input or lie in the arena that is passed.
 */
#ifndef WEIR_HTTP_URL_H
#define WEIR_HTTP_URL_H

#include "base/arena.h"

/* path_with_escaped_slashes_action: what happens to %2F and %5C in a path. */
enum url_escaped_slashes {
    URL_SLASHES_KEEP,
    URL_SLASHES_REJECT,
    URL_SLASHES_REDIRECT, /* unescape and answer 307 with the new path */
    URL_SLASHES_FORWARD,  /* unescape */
};

struct url_path_options {
    bool normalize;      /* RFC 3986 6.2.2: dot segments, escaped unreserved characters; "\" is "/" */
    bool merge_slashes;  /* after normalize */
    bool strip_fragment; /* else a fragment is rejected (Envoy's default) */
    enum url_escaped_slashes escaped_slashes; /* before normalize */
};

enum url_path_result {
    URL_PATH_OK,
    URL_PATH_REDIRECT, /* *out is the new path */
    URL_PATH_REJECT,   /* 400, details "path_normalization_failed" */
    URL_PATH_NO_MEMORY,
};

/* *out is `path` itself when nothing changes, which costs one look at it. The query is never touched. */
enum url_path_result url_path_apply(const struct url_path_options *options, struct slice path,
                                    struct arena *arena, struct slice *out);

/* "/a?b=c" -> "/a" and "b=c". Without "?" the query's ptr is NULL. A fragment is in neither. */
void url_split_path(struct slice target, struct slice *path, struct slice *query);

/*
 * Takes the first "name=value" off a query. The parts are raw (not decoded), as routes compare them; empty
 * ones are passed over. `value` has a NULL ptr when there is no "=". False at the end.
 */
bool url_query_next(struct slice *rest, struct slice *name, struct slice *value);

/* "h:80" -> "h", "80"; "[::1]:80" -> "[::1]", "80". Without a port its ptr is NULL. */
void url_split_host(struct slice authority, struct slice *host, struct slice *port);
/* strip_matching_host_port: without the port if it is this one. */
struct slice url_strip_port(struct slice authority, uint16_t port);
/* strip_any_host_port */
struct slice url_strip_any_port(struct slice authority);
/* strip_trailing_host_dot: "h.:80" -> "h:80". ptr is NULL when the arena is full. */
struct slice url_strip_trailing_dot(struct slice authority, struct arena *arena);

/* Everything but unreserved characters becomes %XX, "/" too unless keep_slash. ptr NULL: no memory. */
struct slice url_encode(struct slice s, bool keep_slash, struct arena *arena);
/* %XX becomes its byte; what is no escape stays as it is. ptr NULL: no memory. */
struct slice url_decode(struct slice s, struct arena *arena);

#endif
