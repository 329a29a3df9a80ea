/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matchers on strings, headers and query parameters, with Envoy's meaning. Plain data that the configuration
 * fills and a *_finish function completes; immutable after that.
 */
#ifndef WEIR_PROXY_MATCHER_H
#define WEIR_PROXY_MATCHER_H

#include "base/build_error.h"
#include "http/headers.h"
#include "proxy/routing/regex.h"

/* type.matcher.v3.StringMatcher, and the deprecated forms of HeaderMatcher that mean the same. */
enum string_match_kind { STRING_EXACT, STRING_PREFIX, STRING_SUFFIX, STRING_CONTAINS, STRING_REGEX };

struct string_matcher {
    enum string_match_kind kind;
    struct slice value;  /* for STRING_REGEX the pattern */
    bool ignore_case;    /* has no effect on STRING_REGEX, as in Envoy */
    struct regex *regex; /* made by finish, freed by fini */
};

bool string_matcher_finish(struct string_matcher *m, const char *path, struct build_errors *errors);
void string_matcher_fini(struct string_matcher *m);
bool string_matcher_match(const struct string_matcher *m, struct slice text);

/* route.v3.HeaderMatcher. No specifier at all means HEADER_MATCH_PRESENT with present = true. */
enum header_match_kind { HEADER_MATCH_PRESENT, HEADER_MATCH_STRING, HEADER_MATCH_RANGE };

struct header_matcher {
    struct slice name;
    enum header_match_kind kind;
    bool present;                 /* HEADER_MATCH_PRESENT: present_match's value */
    struct string_matcher string; /* HEADER_MATCH_STRING */
    int64_t range_start;          /* HEADER_MATCH_RANGE: [start, end) */
    int64_t range_end;
    bool invert;
    bool treat_missing_as_empty;
    uint16_t id; /* by finish: enum header_id */
};

bool header_matcher_finish(struct header_matcher *m, struct arena *arena, const char *path,
                           struct build_errors *errors);
void header_matcher_fini(struct header_matcher *m);
/* Of several fields of the name one is enough; inverted: none of them may match (as Envoy 1.40). */
bool header_matcher_match(const struct header_matcher *m, const struct header_map *headers);

/* route.v3.QueryParameterMatcher. */
enum query_match_kind { QUERY_MATCH_PRESENT, QUERY_MATCH_STRING };

struct query_matcher {
    struct slice name;
    enum query_match_kind kind;
    bool present; /* QUERY_MATCH_PRESENT: present_match's value; true when there is no specifier */
    struct string_matcher string;
};

bool query_matcher_finish(struct query_matcher *m, const char *path, struct build_errors *errors);
void query_matcher_fini(struct query_matcher *m);
/* `query` is what follows "?", without a fragment. The first parameter of the name counts; names and values
 * are compared as written, not decoded. */
bool query_matcher_match(const struct query_matcher *m, struct slice query);
/* The same of a parameter's value; ptr NULL: it is not there. */
bool query_matcher_match_value(const struct query_matcher *m, struct slice value);

/* route.v3.CookieMatcher. A cookie that is not there has no value that matches. */
struct cookie_matcher {
    struct slice name;
    bool invert;
    struct string_matcher string;
};

bool cookie_matcher_match(const struct cookie_matcher *m, const struct header_map *headers);

#endif
