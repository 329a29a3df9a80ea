/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matchers of the API to those of the data path. The *_finish functions of the resources compile them.
 */
#include "config/builder.h"

/* The same fields under two names: `in` is either's message, CASE its prefix. */
#define STRING_MATCHER(b, arena, in, out, CASE)                                                              \
    do {                                                                                                     \
        const char *value = "";                                                                              \
        switch ((in)->match_pattern_case) {                                                                  \
        case CASE##_PREFIX:                                                                                  \
            (out)->kind = STRING_PREFIX;                                                                     \
            value = (in)->prefix;                                                                            \
            break;                                                                                           \
        case CASE##_SUFFIX:                                                                                  \
            (out)->kind = STRING_SUFFIX;                                                                     \
            value = (in)->suffix;                                                                            \
            break;                                                                                           \
        case CASE##_CONTAINS:                                                                                \
            (out)->kind = STRING_CONTAINS;                                                                   \
            value = (in)->contains;                                                                          \
            break;                                                                                           \
        case CASE##_SAFE_REGEX:                                                                              \
            (out)->kind = STRING_REGEX;                                                                      \
            value = (in)->safe_regex->regex;                                                                 \
            break;                                                                                           \
        default:                                                                                             \
            (out)->kind = STRING_EXACT;                                                                      \
            value = (in)->match_pattern_case == CASE##_EXACT ? (in)->exact : "";                             \
            break;                                                                                           \
        }                                                                                                    \
        (out)->value = builder_text(b, arena, value);                                                        \
        (out)->ignore_case = (in)->ignore_case;                                                              \
    } while (0)

void builder_string_matcher(struct builder *b, struct arena *arena,
                            const Envoy__Type__Matcher__V3__StringMatcher *in, struct string_matcher *out)
{
    STRING_MATCHER(b, arena, in, out, ENVOY__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN);
}

void builder_xds_string_matcher(struct builder *b, struct arena *arena,
                                const Xds__Type__Matcher__V3__StringMatcher *in, struct string_matcher *out)
{
    STRING_MATCHER(b, arena, in, out, XDS__TYPE__MATCHER__V3__STRING_MATCHER__MATCH_PATTERN);
}

/* The deprecated forms mean the same as a StringMatcher. */
static void old_form(struct builder *b, struct arena *arena, enum string_match_kind kind, const char *value,
                     struct header_matcher *out)
{
    out->kind = HEADER_MATCH_STRING;
    out->string.kind = kind;
    out->string.value = builder_text(b, arena, value);
}

void builder_header_matcher(struct builder *b, struct arena *arena,
                            const Envoy__Config__Route__V3__HeaderMatcher *in, struct header_matcher *out)
{
    out->name = builder_text(b, arena, in->name);
    out->invert = in->invert_match;
    out->treat_missing_as_empty = in->treat_missing_header_as_empty;
    switch (in->header_match_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_EXACT_MATCH:
        old_form(b, arena, STRING_EXACT, in->exact_match, out);
        break;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PREFIX_MATCH:
        old_form(b, arena, STRING_PREFIX, in->prefix_match, out);
        break;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_SUFFIX_MATCH:
        old_form(b, arena, STRING_SUFFIX, in->suffix_match, out);
        break;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_CONTAINS_MATCH:
        old_form(b, arena, STRING_CONTAINS, in->contains_match, out);
        break;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_SAFE_REGEX_MATCH:
        old_form(b, arena, STRING_REGEX, in->safe_regex_match->regex, out);
        break;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH:
        out->kind = HEADER_MATCH_STRING;
        builder_string_matcher(b, arena, in->string_match, &out->string);
        break;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_RANGE_MATCH:
        out->kind = HEADER_MATCH_RANGE;
        out->range_start = in->range_match->start;
        out->range_end = in->range_match->end;
        break;
    case ENVOY__CONFIG__ROUTE__V3__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PRESENT_MATCH:
        out->kind = HEADER_MATCH_PRESENT;
        out->present = in->present_match;
        break;
    default:
        out->kind = HEADER_MATCH_PRESENT;
        out->present = true;
        break;
    }
}

struct header_matcher *builder_header_matchers(struct builder *b, struct arena *arena,
                                               Envoy__Config__Route__V3__HeaderMatcher *const *in,
                                               size_t count, uint32_t *out_count)
{
    struct header_matcher *out = builder_array(b, arena, count, sizeof *out);
    *out_count = out ? (uint32_t)count : 0;
    for (uint32_t i = 0; i < *out_count; i++)
        builder_header_matcher(b, arena, in[i], &out[i]);
    return out;
}

void builder_query_matcher(struct builder *b, struct arena *arena,
                           const Envoy__Config__Route__V3__QueryParameterMatcher *in,
                           struct query_matcher *out)
{
    out->name = builder_text(b, arena, in->name);
    out->kind = QUERY_MATCH_PRESENT;
    out->present = true;
    switch (in->query_parameter_match_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_STRING_MATCH:
        out->kind = QUERY_MATCH_STRING;
        builder_string_matcher(b, arena, in->string_match, &out->string);
        break;
    case ENVOY__CONFIG__ROUTE__V3__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_PRESENT_MATCH:
        out->present = in->present_match;
        break;
    default:
        break;
    }
}
