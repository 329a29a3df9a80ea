/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RetryPolicy messages to retry_policy. A condition that nobody knows is an error: Envoy would skip it, and
 * the retries that its author counts on would never come.
 */
#include "config/builder.h"

#include "base/assert.h"

#include <envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb-c.h>

typedef Envoy__Config__Route__V3__RetryPolicy retry_message;

static void back_off(struct builder *b, const Envoy__Config__Route__V3__RetryPolicy__RetryBackOff *in,
                     struct retry_policy *out)
{
    if (!in)
        return;
    uint64_t base = builder_ms(in->base_interval, out->back_off_base_ms);
    out->back_off_base_ms = base ? base : 1;
    out->back_off_max_ms = builder_ms(in->max_interval, out->back_off_base_ms * 10);
    if (out->back_off_max_ms < out->back_off_base_ms)
        builder_error(b, in, "max_interval", "must not be less than base_interval");
}

static void rate_limited(struct builder *b, struct arena *arena,
                         const Envoy__Config__Route__V3__RetryPolicy__RateLimitedRetryBackOff *in,
                         struct retry_policy *out)
{
    if (!in)
        return;
    struct retry_reset_header *headers = builder_array(b, arena, in->n_reset_headers, sizeof *headers);
    out->reset_headers = headers;
    out->reset_headers_count = headers ? (uint32_t)in->n_reset_headers : 0;
    for (uint32_t i = 0; i < out->reset_headers_count; i++) {
        headers[i].name = builder_text(b, arena, in->reset_headers[i]->name);
        headers[i].unix_timestamp =
            in->reset_headers[i]->format ==
            ENVOY__CONFIG__ROUTE__V3__RETRY_POLICY__RESET_HEADER_FORMAT__UNIX_TIMESTAMP;
    }
    out->reset_max_ms = builder_ms(in->max_interval, out->reset_max_ms);
}

static struct header_matcher *matchers(struct builder *b, struct arena *arena,
                                       Envoy__Config__Route__V3__HeaderMatcher *const *in, size_t count,
                                       uint32_t *out_count)
{
    struct header_matcher *out = builder_array(b, arena, count, sizeof *out);
    *out_count = out ? (uint32_t)count : 0;
    for (uint32_t i = 0; i < *out_count; i++)
        builder_header_matcher(b, arena, in[i], &out[i]);
    return out;
}

static void hosts(struct builder *b, const retry_message *in, struct retry_policy *out)
{
    for (size_t i = 0; i < in->n_retry_host_predicate; i++) {
        const Envoy__Config__Route__V3__RetryPolicy__RetryHostPredicate *p = in->retry_host_predicate[i];
        const ProtobufCMessage *inside = config_any_message(b->doc, p->typed_config);
        if (!p->typed_config)
            builder_error(b, p, "typed_config", "is required: it says which predicate this is");
        if (inside &&
            inside->descriptor ==
                &envoy__extensions__retry__host__previous_hosts__v3__previous_hosts_predicate__descriptor)
            out->previous_hosts = true;
    }
    if (in->host_selection_retry_max_attempts < 0 || in->host_selection_retry_max_attempts > UINT32_MAX)
        builder_error(b, in, "host_selection_retry_max_attempts", "must be between 0 and 4294967295");
    else if (in->host_selection_retry_max_attempts > 0)
        out->host_attempts = (uint32_t)in->host_selection_retry_max_attempts;
}

struct retry_policy *builder_retry(struct builder *b, struct arena *arena, const retry_message *in)
{
    struct retry_policy *out = in ? builder_array(b, arena, 1, sizeof *out) : NULL;
    if (!out)
        return NULL;
    *out = retry_policy_default;
    struct slice unknown;
    out->retry_on = retry_on_parse(slice_str(in->retry_on), &unknown);
    if (unknown.ptr)
        builder_error(b, in, "retry_on", "\"%.*s\" is no condition of a retry", SLICE_ARG(unknown));
    out->num_retries = builder_u32(in->num_retries, out->num_retries);
    out->per_try_timeout_ms = builder_ms(in->per_try_timeout, 0);
    out->per_try_idle_timeout_ms = builder_ms(in->per_try_idle_timeout, 0);
    back_off(b, in->retry_back_off, out);
    rate_limited(b, arena, in->rate_limited_retry_back_off, out);
    uint32_t *codes = builder_array(b, arena, in->n_retriable_status_codes, sizeof *codes);
    out->status_codes = codes;
    out->status_codes_count = codes ? (uint32_t)in->n_retriable_status_codes : 0;
    if (codes)
        memcpy(codes, in->retriable_status_codes, in->n_retriable_status_codes * sizeof *codes);
    out->headers = matchers(b, arena, in->retriable_headers, in->n_retriable_headers, &out->headers_count);
    out->request_headers = matchers(b, arena, in->retriable_request_headers, in->n_retriable_request_headers,
                                    &out->request_headers_count);
    hosts(b, in, out);
    return out;
}
