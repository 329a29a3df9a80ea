/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading lists of retry conditions, and compiling the matchers of a policy. Decides nothing about a request.
 */
#include "proxy/routing/retry_policy.h"

#include "base/build_error.h"

const struct retry_policy retry_policy_default = {
    .num_retries = 1,
    .back_off_base_ms = 25,
    .back_off_max_ms = 250,
    .reset_max_ms = 300000,
    .host_attempts = 1,
    .eligible_percent = 100,
};

struct condition {
    struct slice text;
    uint32_t bit;
};

static uint32_t find(const struct condition *rows, size_t count, struct slice word)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_eq(word, rows[i].text))
            return rows[i].bit;
    }
    return 0;
}

static uint32_t find_http(struct slice word)
{
    static const struct condition rows[] = {
#define RETRY_X(name, text) {{text, sizeof(text) - 1}, RETRY_ON(name)},
        RETRY_CONDITIONS(RETRY_X)
#undef RETRY_X
    };
    return find(rows, WEIR_ARRAY_LEN(rows), word);
}

static uint32_t find_grpc(struct slice word)
{
    static const struct condition rows[] = {
#define RETRY_X(name, text, status) {{text, sizeof(text) - 1}, RETRY_ON(name)},
        RETRY_GRPC_CONDITIONS(RETRY_X)
#undef RETRY_X
    };
    return find(rows, WEIR_ARRAY_LEN(rows), word);
}

static uint32_t parse(struct slice text, bool http, bool grpc, struct slice *unknown)
{
    uint32_t bits = 0;
    struct slice word;
    while (slice_split(&text, ',', &word)) {
        word = slice_trim(word);
        uint32_t bit = http ? find_http(word) : 0;
        if (!bit && grpc)
            bit = find_grpc(word);
        if (!bit && word.len > 0 && unknown && !unknown->ptr)
            *unknown = word;
        bits |= bit;
    }
    return bits;
}

uint32_t retry_on_parse(struct slice text, struct slice *unknown)
{
    *unknown = SLICE_EMPTY;
    return parse(text, true, true, unknown);
}

uint32_t retry_on_parse_http(struct slice text)
{
    return parse(text, true, false, NULL);
}

uint32_t retry_on_parse_grpc(struct slice text)
{
    return parse(text, false, true, NULL);
}

static void finish_matchers(struct header_matcher *m, uint32_t count, struct arena *arena, const char *path,
                            const char *name, struct build_errors *errors)
{
    char inner[BUILD_PATH_BYTES_MAX];
    for (uint32_t i = 0; i < count; i++)
        header_matcher_finish(&m[i], arena, build_path(inner, path, "%s[%u]", name, i), errors);
}

void retry_policy_finish(struct retry_policy *p, struct arena *arena, const char *path,
                         struct build_errors *errors)
{
    finish_matchers(p->headers, p->headers_count, arena, path, "retriable_headers", errors);
    finish_matchers(p->request_headers, p->request_headers_count, arena, path, "retriable_request_headers",
                    errors);
}

void retry_policy_fini(struct retry_policy *p)
{
    for (uint32_t i = 0; i < p->headers_count; i++)
        header_matcher_fini(&p->headers[i]);
    for (uint32_t i = 0; i < p->request_headers_count; i++)
        header_matcher_fini(&p->request_headers[i]);
}
