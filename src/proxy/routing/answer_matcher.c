/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Predicates are as deep as the configuration could be read, which is bounded there.
 */
#include "proxy/routing/answer_matcher.h"

void answer_matcher_finish(struct answer_matcher *m, struct arena *arena, const char *path,
                           struct build_errors *errors)
{
    for (uint32_t i = 0; i < m->headers_count; i++)
        header_matcher_finish(&m->headers[i], arena, path, errors);
    for (uint32_t i = 0; i < m->children_count; i++)
        answer_matcher_finish(&m->children[i], arena, path, errors);
}

void answer_matcher_fini(struct answer_matcher *m)
{
    for (uint32_t i = 0; i < m->headers_count; i++)
        header_matcher_fini(&m->headers[i]);
    for (uint32_t i = 0; i < m->children_count; i++)
        answer_matcher_fini(&m->children[i]);
}

static bool headers_match(const struct answer_matcher *m, const struct header_map *headers)
{
    for (uint32_t i = 0; i < m->headers_count; i++) {
        if (!header_matcher_match(&m->headers[i], headers))
            return false;
    }
    return true;
}

/* Whether some child answers `wanted`. */
static bool some_child(const struct answer_matcher *m, const struct header_map *headers, bool wanted)
{
    for (uint32_t i = 0; i < m->children_count; i++) {
        if (answer_matcher_match(&m->children[i], headers) == wanted)
            return true;
    }
    return false;
}

bool answer_matcher_match(const struct answer_matcher *m, const struct header_map *headers)
{
    switch (m->kind) {
    case ANSWER_ANY:
        return true;
    case ANSWER_NEVER:
        return false;
    case ANSWER_HEADERS:
        return headers_match(m, headers);
    case ANSWER_ONE_OF:
        return some_child(m, headers, true);
    case ANSWER_NOT:
    case ANSWER_ALL_OF:
        break;
    }
    return some_child(m, headers, false) == (m->kind == ANSWER_NOT);
}
