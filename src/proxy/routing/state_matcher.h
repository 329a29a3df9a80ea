/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matchers on what is known of a stream beside its headers: TLS, dynamic metadata, filter state. Plain data
 * that the configuration fills and a *_finish function completes; immutable after that.
 */
#ifndef WEIR_PROXY_STATE_MATCHER_H
#define WEIR_PROXY_STATE_MATCHER_H

#include "proxy/routing/matcher.h"
#include "upstream/typed_value.h"

struct stream;

/* type.matcher.v3.ValueMatcher. A value that is not there matches none of them. */
enum value_match_kind {
    VALUE_MATCH_NULL,
    VALUE_MATCH_DOUBLE,
    VALUE_MATCH_RANGE,
    VALUE_MATCH_STRING,
    VALUE_MATCH_BOOL,
    VALUE_MATCH_PRESENT,
    VALUE_MATCH_LIST, /* one of a list's members matches items[0] */
    VALUE_MATCH_OR,
};

struct value_matcher {
    enum value_match_kind kind;
    bool boolean;                 /* BOOL, and PRESENT: false matches nothing at all, as in Envoy */
    double start, end;            /* RANGE: [start, end); DOUBLE: start */
    struct string_matcher string; /* STRING */
    struct value_matcher *items;  /* LIST, OR */
    uint32_t items_count;
};

bool value_matcher_finish(struct value_matcher *m, const char *path, struct build_errors *errors);
void value_matcher_fini(struct value_matcher *m);
bool value_matcher_match(const struct value_matcher *m, const struct typed_value *v);

/* type.matcher.v3.MetadataMatcher: a value in dynamic metadata. */
struct metadata_matcher {
    struct slice space;
    struct slice *path;
    uint32_t path_count;
    struct value_matcher value;
    bool invert;
};

bool metadata_matcher_finish(struct metadata_matcher *m, const char *path, struct build_errors *errors);
void metadata_matcher_fini(struct metadata_matcher *m);
/* What it looks at; NULL: it is not there. */
const struct typed_value *metadata_matcher_value(const struct metadata_matcher *m, const struct stream *s);
/* `s` NULL: nothing is known. */
bool metadata_matcher_match(const struct metadata_matcher *m, const struct stream *s);
/* The same in another map of namespaces; NULL: an empty one. */
bool metadata_matcher_match_in(const struct metadata_matcher *m, const struct typed_value *spaces);

/* type.matcher.v3.FilterStateMatcher on the text of a value. */
struct filter_state_matcher {
    struct slice key;
    struct string_matcher string;
};

/* `s` NULL: nothing is known. */
bool filter_state_matcher_match(const struct filter_state_matcher *m, const struct stream *s);

enum tls_expectation { TLS_EXPECT_ANY, TLS_EXPECT_NO, TLS_EXPECT_YES };

/* All of it must match. */
struct state_matcher {
    enum tls_expectation presented; /* the client's certificate */
    enum tls_expectation validated;
    struct metadata_matcher *metadata;
    struct filter_state_matcher *filter_state;
    uint32_t metadata_count;
    uint32_t filter_state_count;
};

bool state_matcher_finish(struct state_matcher *m, const char *path, struct build_errors *errors);
void state_matcher_fini(struct state_matcher *m);
/* `s` NULL: nothing is known. */
bool state_matcher_match(const struct state_matcher *m, const struct stream *s);

#endif
