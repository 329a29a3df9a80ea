/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RetryPolicy messages to retry_policy. A condition that nobody knows is an error: Envoy would skip it, and
 * the retries that its author counts on would never come.
 */
#include "config/builder.h"

#include "base/assert.h"

#include <envoy/extensions/retry/host/omit_canary_hosts/v3/omit_canary_hosts.pb-c.h>
#include <envoy/extensions/retry/host/omit_host_metadata/v3/omit_host_metadata_config.pb-c.h>
#include <envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb-c.h>
#include <envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.pb-c.h>

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

#define IS(msg, type) ((msg)->descriptor == &envoy__extensions__retry__##type##__descriptor)

static void host_predicate(struct builder *b, struct arena *arena, const ProtobufCMessage *in,
                           struct retry_policy *out)
{
    if (IS(in, host__previous_hosts__v3__previous_hosts_predicate)) {
        out->previous_hosts = true;
    } else if (IS(in, host__omit_canary_hosts__v3__omit_canary_hosts_predicate)) {
        out->omit_canary = true;
    } else if (IS(in, host__omit_host_metadata__v3__omit_host_metadata_config)) {
        const Envoy__Extensions__Retry__Host__OmitHostMetadata__V3__OmitHostMetadataConfig *m =
            (const void *)in;
        const struct lb_match *labels = builder_match(b, arena, m->metadata_match, NULL);
        if (labels && out->omit_labels) /* without labels no host is left out, as in Envoy */
            out->omit_labels[out->omit_labels_count++] = labels;
    }
}

static void priority(struct builder *b, const Envoy__Config__Route__V3__RetryPolicy__RetryPriority *in,
                     struct retry_policy *out)
{
    const ProtobufCMessage *inside = in ? builder_typed(b, in, "which rule this is") : NULL;
    if (inside && IS(inside, priority__previous_priorities__v3__previous_priorities_config))
        out->priority_frequency =
            (uint32_t)((const Envoy__Extensions__Retry__Priority__PreviousPriorities__V3__PreviousPrioritiesConfig
                            *)inside)
                ->update_frequency;
}

static void hosts(struct builder *b, struct arena *arena, const retry_message *in, struct retry_policy *out)
{
    out->omit_labels = builder_array(b, arena, in->n_retry_host_predicate, sizeof(*out->omit_labels));
    for (size_t i = 0; i < in->n_retry_host_predicate; i++) {
        const Envoy__Config__Route__V3__RetryPolicy__RetryHostPredicate *p = in->retry_host_predicate[i];
        const ProtobufCMessage *inside = builder_typed(b, p, "which predicate this is");
        if (inside)
            host_predicate(b, arena, inside, out);
    }
    if (in->host_selection_retry_max_attempts < 0 || in->host_selection_retry_max_attempts > UINT32_MAX)
        builder_error(b, in, "host_selection_retry_max_attempts", "must be between 0 and 4294967295");
    else if (in->host_selection_retry_max_attempts > 0)
        out->host_attempts = (uint32_t)in->host_selection_retry_max_attempts;
}

/* The defaults, as runtime keys have them; false: they are the usual ones. */
static bool defaults(struct builder *b, struct retry_policy *out)
{
    *out = retry_policy_default;
    builder_runtime_percent(b, &out->eligible_percent, "upstream.use_retry");
    if (builder_runtime_u64(b, "upstream.base_retry_backoff_ms", &out->back_off_base_ms)) {
        if (out->back_off_base_ms == 0)
            out->back_off_base_ms = 1;
        out->back_off_max_ms = out->back_off_base_ms * 10;
    }
    return out->eligible_percent < 100 || out->back_off_base_ms != retry_policy_default.back_off_base_ms;
}

struct retry_policy *builder_retry(struct builder *b, struct arena *arena, const retry_message *in)
{
    struct retry_policy usual;
    bool changed = defaults(b, &usual);
    /* Without a policy headers of a request may still ask for retries. */
    struct retry_policy *out = in || changed ? builder_array(b, arena, 1, sizeof *out) : NULL;
    if (!out)
        return NULL;
    *out = usual;
    if (!in)
        return out;
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
    out->headers = builder_header_matchers(b, arena, in->retriable_headers, in->n_retriable_headers,
                                           &out->headers_count);
    out->request_headers =
        builder_header_matchers(b, arena, in->retriable_request_headers, in->n_retriable_request_headers,
                                &out->request_headers_count);
    hosts(b, arena, in, out);
    priority(b, in->retry_priority, out);
    return out;
}
