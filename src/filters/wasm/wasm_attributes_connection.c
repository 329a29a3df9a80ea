/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes of a connection and of the one behind it: connection.*, source.*, destination.*, upstream.*.
 * They need a stream_info and no HTTP stream, so TCP filters have them too.
 */
#include "base/assert.h"
#include "filters/wasm/wasm_attributes.h"
#include "http/url.h"
#include "net/tls_info.h"
#include "upstream/worker_cluster.h"

#define ATTRIBUTE(name) static enum wasm_found name(struct wasm_attribute *a)
#define INFO            (a->scope->info)

#define PLAIN_SLACK_BYTES 4096u /* what an arena takes beside the text in it */

static enum wasm_found address_text(struct wasm_attribute *a, const struct address *address)
{
    char text[ADDRESS_TEXT_MAX];
    if (!address || address->len == 0)
        return WASM_FOUND_NOTHING;
    address_format(address, text);
    pw_value_copy(a->out, (struct pw_slice){text, strlen(text)});
    return WASM_FOUND_VALUE;
}

static enum wasm_found port_of(struct wasm_attribute *a, const struct address *address)
{
    /* A path has no port (Envoy: not an IP address). */
    return address && address->len && address_port(address) ? wasm_found_i64(a, address_port(address))
                                                            : WASM_FOUND_NOTHING;
}

ATTRIBUTE(source_address)
{
    return address_text(a, INFO->downstream_remote);
}
ATTRIBUTE(source_port)
{
    return port_of(a, INFO->downstream_remote);
}
ATTRIBUTE(destination_address)
{
    return address_text(a, INFO->downstream_local);
}
ATTRIBUTE(destination_port)
{
    return port_of(a, INFO->downstream_local);
}

const struct wasm_attribute_row wasm_source_attributes[] = {
    WASM_ATTRIBUTE("address", source_address), WASM_ATTRIBUTE("port", source_port), {{0}, NULL}};
const struct wasm_attribute_row wasm_destination_attributes[] = {
    WASM_ATTRIBUTE("address", destination_address), WASM_ATTRIBUTE("port", destination_port), {{0}, NULL}};

/* --- TLS, the same for both sides --- */

/* X(attribute, member of tls_info, how an empty one reads) */
#define TLS_TEXTS(X)                                                                                         \
    X(tls_version, version, text_or_empty)                                                                   \
    X(subject_local_certificate, local.subject, text_or_empty)                                               \
    X(subject_peer_certificate, peer.subject, text_or_empty)                                                 \
    X(dns_san_local_certificate, local.dns_san, wasm_found_text)                                             \
    X(dns_san_peer_certificate, peer.dns_san, wasm_found_text)                                               \
    X(uri_san_local_certificate, local.uri_san, wasm_found_text)                                             \
    X(uri_san_peer_certificate, peer.uri_san, wasm_found_text)                                               \
    X(sha256_peer_certificate_digest, peer_sha256, wasm_found_text)                                          \
    X(peer_certificate, peer_pem, decoded_text)

/* With TLS, versions and subjects are text even when empty; the others are there or not. */
static enum wasm_found text_or_empty(struct wasm_attribute *a, struct slice text)
{
    return wasm_found_slice(a, text.len ? text : SLICE_LIT(""));
}

/* The certificate is kept as headers and logs want it; here it is plain PEM. */
static enum wasm_found decoded_text(struct wasm_attribute *a, struct slice encoded)
{
    struct arena arena;
    arena_init(&arena, encoded.len * 2 + PLAIN_SLACK_BYTES, NULL);
    struct slice plain = encoded.len ? url_decode(encoded, &arena) : SLICE_EMPTY;
    if (plain.len)
        pw_value_copy(a->out, (struct pw_slice){plain.ptr, plain.len});
    arena_fini(&arena);
    return plain.len ? WASM_FOUND_VALUE : WASM_FOUND_NOTHING;
}

#define TLS_X(name, member, found)                                                                           \
    ATTRIBUTE(downstream_##name)                                                                             \
    {                                                                                                        \
        return INFO->tls ? found(a, INFO->tls->member) : WASM_FOUND_NOTHING;                                 \
    }                                                                                                        \
    ATTRIBUTE(upstream_##name)                                                                               \
    {                                                                                                        \
        return INFO->upstream_tls ? found(a, INFO->upstream_tls->member) : WASM_FOUND_NOTHING;               \
    }
TLS_TEXTS(TLS_X)
#undef TLS_X

/* --- connection.* --- */

ATTRIBUTE(connection_id)
{
    pw_value_u64(a->out, INFO->connection_id);
    return WASM_FOUND_VALUE;
}
ATTRIBUTE(connection_mtls)
{
    pw_value_bool(a->out, INFO->tls && INFO->tls->peer_presented);
    return WASM_FOUND_VALUE;
}
ATTRIBUTE(connection_server_name)
{
    struct slice name = stream_info_server_name(INFO);
    return wasm_found_slice(a, name.ptr ? name : SLICE_LIT(""));
}
ATTRIBUTE(connection_failure)
{
    return wasm_found_text(a, INFO->tls ? INFO->tls->failure : SLICE_EMPTY);
}
ATTRIBUTE(connection_termination)
{
    return wasm_found_text(a, INFO->connection_termination_details);
}

#define TLS_ROW_X(name, member, found) WASM_ATTRIBUTE(#name, downstream_##name),
const struct wasm_attribute_row wasm_connection_attributes[] = {
    WASM_ATTRIBUTE("id", connection_id),
    WASM_ATTRIBUTE("mtls", connection_mtls),
    WASM_ATTRIBUTE("requested_server_name", connection_server_name),
    TLS_TEXTS(TLS_ROW_X) WASM_ATTRIBUTE("transport_failure_reason", connection_failure),
    WASM_ATTRIBUTE("termination_details", connection_termination),
    {{0}, NULL}};
#undef TLS_ROW_X

/* --- upstream.* --- */

ATTRIBUTE(upstream_address)
{
    return address_text(a, &INFO->upstream_remote);
}
ATTRIBUTE(upstream_port)
{
    return port_of(a, &INFO->upstream_remote);
}
ATTRIBUTE(upstream_local_address)
{
    return address_text(a, &INFO->upstream_local);
}
ATTRIBUTE(upstream_local_port)
{
    return port_of(a, &INFO->upstream_local);
}
ATTRIBUTE(upstream_failure)
{
    struct slice reason = INFO->upstream_failure_reason;
    /* A connection without HTTP has an upstream, if none yet, from its beginning (Envoy). */
    if (INFO->upstream_remote.len == 0 && !reason.len && a->scope->stream)
        return WASM_FOUND_NOTHING;
    return wasm_found_slice(a, reason.ptr ? reason : SLICE_LIT(""));
}
ATTRIBUTE(upstream_attempts)
{
    pw_value_u64(a->out, INFO->upstream_attempts);
    return WASM_FOUND_VALUE;
}
ATTRIBUTE(upstream_pool_ready)
{
    uint64_t from_ns = INFO->upstream_pool_wait_ns;
    uint64_t to_ns = a->scope->stream ? INFO->upstream_request_start_ns : INFO->upstream_connected_ns;
    return wasm_found_time(a, from_ns ? from_ns : to_ns, to_ns);
}
ATTRIBUTE(upstream_endpoints)
{
    struct worker_cluster *wc = wasm_scope_cluster(a->scope);
    if (!wc)
        return WASM_FOUND_NOTHING;
    pw_value_u64(a->out, wc->hosts->count);
    return WASM_FOUND_VALUE;
}
ATTRIBUTE(upstream_locality)
{
    const struct host *host = INFO->upstream_host;
    return wasm_found_tree(a, host ? host->shown->locality : NULL);
}

#define TLS_ROW_X(name, member, found) WASM_ATTRIBUTE(#name, upstream_##name),
const struct wasm_attribute_row wasm_upstream_attributes[] = {
    WASM_ATTRIBUTE("address", upstream_address),
    WASM_ATTRIBUTE("port", upstream_port),
    WASM_ATTRIBUTE("local_address", upstream_local_address),
    WASM_ATTRIBUTE("local_port", upstream_local_port),
    WASM_ATTRIBUTE("num_endpoints", upstream_endpoints),
    WASM_ATTRIBUTE("locality", upstream_locality),
    TLS_TEXTS(TLS_ROW_X) WASM_ATTRIBUTE("transport_failure_reason", upstream_failure),
    WASM_ATTRIBUTE("request_attempt_count", upstream_attempts),
    WASM_ATTRIBUTE("cx_pool_ready_duration", upstream_pool_ready),
    {{0}, NULL}};
#undef TLS_ROW_X
