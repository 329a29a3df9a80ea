/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matchers on the head of an answer: common.matcher.v3.MatchPredicate as far as it can be told from that.
 * What it says of other parts of an exchange never matches (Envoy).
 */
#ifndef WEIR_PROXY_ANSWER_MATCHER_H
#define WEIR_PROXY_ANSWER_MATCHER_H

#include "proxy/routing/matcher.h"

enum answer_match_kind { ANSWER_ANY, ANSWER_NEVER, ANSWER_NOT, ANSWER_ALL_OF, ANSWER_ONE_OF, ANSWER_HEADERS };

struct answer_matcher {
    enum answer_match_kind kind;
    struct answer_matcher *children; /* NOT: one */
    uint32_t children_count;
    struct header_matcher *headers; /* all of them must match */
    uint32_t headers_count;
};

void answer_matcher_finish(struct answer_matcher *m, struct arena *arena, const char *path,
                           struct build_errors *errors);
void answer_matcher_fini(struct answer_matcher *m);
bool answer_matcher_match(const struct answer_matcher *m, const struct header_map *headers);

#endif
