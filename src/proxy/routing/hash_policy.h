/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a request decides which host it goes to, for clusters with consistent hashing: a list of policies,
 * whose hashes are combined as Envoy combines them. Never decides anything itself.
 */
#ifndef WEIR_PROXY_HASH_POLICY_H
#define WEIR_PROXY_HASH_POLICY_H

#include "http/headers.h"

struct filter_state;
struct regex;
struct stream;

enum hash_source {
    HASH_HEADER,
    HASH_COOKIE,
    HASH_SOURCE_IP,
    HASH_QUERY_PARAMETER,
    HASH_FILTER_STATE,
};

struct hash_policy {
    enum hash_source source;
    bool terminal;        /* with a hash by now the policies behind it do not count */
    struct slice name;    /* of the header, cookie, parameter or filter state */
    struct slice pattern; /* header: its values are rewritten first; ptr NULL: they are not */
    struct slice replacement;
    struct regex *regex;      /* by finish */
    bool generate;            /* cookie: one is made when the client has none */
    uint64_t max_age_seconds; /* of the cookie made; 0: until the browser closes */
    struct slice suffix;      /* "; Path=/; SameSite=Lax; HttpOnly", behind Max-Age */
};

struct hash_policies {
    struct hash_policy *items;
    uint32_t count;
};

/* A set-cookie value that the answer shall carry, in the stream's arena. */
struct hash_cookie {
    struct hash_cookie *next;
    struct slice value;
};

/* false: no policy gave a hash. Cookies to be set are put before *cookies; NULL: none is made. */
bool hash_policies_apply(const struct hash_policies *policies, struct stream *s,
                         const struct header_map *headers, uint64_t *hash, struct hash_cookie **cookies);

/* Compiles the patterns; fini frees them. `path` is that of the list. */
struct build_errors;
void hash_policies_finish(struct hash_policies *policies, const char *path, struct build_errors *errors);
void hash_policies_fini(const struct hash_policies *policies);

/* For connections without HTTP: the client's address, or a value that a filter left. */
struct address;
bool hash_of_address(const struct address *a, uint64_t *hash);
bool hash_of_filter_state(const struct filter_state *fs, struct slice name, uint64_t *hash);

#endif
