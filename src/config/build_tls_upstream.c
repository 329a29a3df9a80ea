/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transport sockets of clusters: UpstreamTlsContext to upstream_tls, and which endpoint gets which of them.
 */
#include "config/build_tls.h"

#include "upstream/upstream_tls.h"

#include <envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb-c.h>
#include <stdio.h>
#include <stdlib.h>

typedef Envoy__Config__Cluster__V3__Cluster cluster_message;
typedef Envoy__Config__Cluster__V3__Cluster__TransportSocketMatch match_message;
typedef Envoy__Extensions__TransportSockets__Tls__V3__UpstreamTlsContext upstream_tls_message;
typedef Envoy__Config__Core__V3__TransportSocket socket_message;
typedef Google__Protobuf__Struct struct_message;

#define MATCH_FILTER "envoy.transport_socket_match"

/* --- UpstreamTlsContext --- */

static bool check_certificates(struct builder *b, const tls_common_message *in)
{
    size_t count = in->n_tls_certificates + in->n_tls_certificate_sds_secret_configs;
    if (count <= 1)
        return true;
    builder_error(b, in,
                  in->n_tls_certificates > 1 ? "tls_certificates" : "tls_certificate_sds_secret_configs",
                  "has more than one certificate: a client shows one");
    return false;
}

static bool has_authority(const struct tls_config *c)
{
    const struct tls_validation *v = tls_config_validation(c);
    bool has = v && tls_validation_has_ca(v);
    tls_validation_unref(&v);
    return has;
}

static const struct upstream_tls *upstream_context(struct builder *b, const struct cluster_config *cluster,
                                                   const upstream_tls_message *in)
{
    static const tls_common_message nothing =
        ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__COMMON_TLS_CONTEXT__INIT;
    const tls_common_message *common = in->common_tls_context ? in->common_tls_context : &nothing;
    struct slice stats = cluster->alt_stat_name.len ? cluster->alt_stat_name : cluster->name;
    char *prefix = arena_printf(&b->scratch, "cluster." SLICE_FMT ".", SLICE_ARG(stats));
    char *owner = arena_printf(&b->scratch, "cluster " SLICE_FMT, SLICE_ARG(cluster->name));
    uint32_t before = b->diag->errors_total;
    if (!prefix || !owner || !check_certificates(b, common))
        return NULL;
    struct tls_config *c = builder_tls_common(b, common, false, in->auto_sni_san_validation != 0,
                                              slice_str(prefix), slice_str(owner));
    if (!c)
        return NULL;
    c->settings.enforce_rsa_usage = builder_bool(in->enforce_rsa_key_usage, true);
    uint32_t session_keys = builder_u32(in->max_session_keys, 1);
    c->settings.keep_sessions = session_keys > 0;
    const struct tls_config *loaded = builder_tls_finish(b, common, c, before);
    if (!loaded)
        return NULL;
    if (in->auto_sni_san_validation && !has_authority(loaded)) {
        builder_error(b, in, "auto_sni_san_validation",
                      "needs a validation_context with a trusted_ca: names in a certificate that nobody "
                      "vouches for say nothing");
        tls_config_unref(&loaded);
        return NULL;
    }
    struct upstream_tls *out = upstream_tls_create(loaded, slice_str(in->sni));
    if (!out) {
        builder_error(b, in, NULL, "out of memory");
        return NULL;
    }
    out->auto_host_sni = in->auto_host_sni != 0;
    out->session_keys = session_keys;
    return out;
}

/* What a transport socket is made of. */
struct made_socket {
    const struct upstream_tls *tls;     /* NULL: clear text */
    const struct upstream_proxy *proxy; /* NULL: no PROXY header */
    const proxy_socket_message *proxy_in;
};

static bool transport_socket(struct builder *b, struct cluster_config *c, const socket_message *in,
                             struct made_socket *out);

static bool proxy_socket(struct builder *b, struct cluster_config *c, const proxy_socket_message *in,
                         struct made_socket *out)
{
    if (!transport_socket(b, c, in->transport_socket, out))
        return false;
    if (out->proxy) {
        builder_error(b, in, "transport_socket", "says PROXY once more; one header is enough");
        return false;
    }
    out->proxy_in = in;
    out->proxy = builder_upstream_proxy(b, c, in, NULL);
    return out->proxy != NULL;
}

/* One transport socket; false after an error. */
static bool transport_socket(struct builder *b, struct cluster_config *c, const socket_message *in,
                             struct made_socket *out)
{
    const ProtobufCMessage *inside = in ? config_any_message(b->doc, in->typed_config) : NULL;
    *out = (struct made_socket){0};
    if (in && !in->typed_config) {
        builder_error(b, in, "typed_config", "is required: it says which transport socket this is");
        return false;
    }
    if (!inside ||
        inside->descriptor == &envoy__extensions__transport_sockets__raw_buffer__v3__raw_buffer__descriptor)
        return true;
    if (inside->descriptor ==
        &envoy__extensions__transport_sockets__proxy_protocol__v3__proxy_protocol_upstream_transport__descriptor)
        return proxy_socket(b, c, (const proxy_socket_message *)inside, out);
    if (inside->descriptor !=
        &envoy__extensions__transport_sockets__tls__v3__upstream_tls_context__descriptor) {
        builder_error(b, in, "typed_config", "is for listeners; a cluster's is an UpstreamTlsContext");
        return false;
    }
    out->tls = upstream_context(b, c, (const upstream_tls_message *)inside);
    if (out->tls)
        c->tls[c->tls_count++] = out->tls; /* which owns it now */
    return out->tls != NULL;
}

/* --- which endpoint gets which --- */

static const Google__Protobuf__Value *member(const struct_message *s, const char *key)
{
    for (size_t i = 0; s && i < s->n_fields; i++) {
        if (strcmp(s->fields[i]->key, key) == 0)
            return s->fields[i]->value;
    }
    return NULL;
}

/* Bytes say whether two values are the same; keys of maps inside have the order of the file. */
static bool same_value(struct builder *b, const Google__Protobuf__Value *x, const Google__Protobuf__Value *y)
{
    struct arena_mark mark = arena_mark(&b->scratch);
    size_t n = google__protobuf__value__get_packed_size(x), m = google__protobuf__value__get_packed_size(y);
    uint8_t *bytes = n == m ? arena_alloc(&b->scratch, n + m) : NULL;
    bool same = bytes &&
                google__protobuf__value__pack(x, bytes) == google__protobuf__value__pack(y, bytes + n) &&
                memcmp(bytes, bytes + n, n) == 0;
    arena_reset_to(&b->scratch, mark);
    return same;
}

static const struct_message *wanted_by(const Envoy__Config__Core__V3__Metadata *metadata)
{
    for (size_t i = 0; metadata && i < metadata->n_filter_metadata; i++) {
        if (strcmp(metadata->filter_metadata[i]->key, MATCH_FILTER) == 0)
            return metadata->filter_metadata[i]->value;
    }
    return NULL;
}

/* Every member of the match is in the metadata. */
static bool match_fits(struct builder *b, const struct_message *match, const struct_message *metadata)
{
    for (size_t i = 0; match && i < match->n_fields; i++) {
        const Google__Protobuf__Value *found = member(metadata, match->fields[i]->key);
        if (!found || !same_value(b, found, match->fields[i]->value))
            return false;
    }
    return true;
}

struct choices {
    const cluster_message *in;
    struct made_socket first; /* transport_socket */
    struct made_socket *matched;
};

static const struct made_socket *choose(struct builder *b, const struct choices *c,
                                        const Envoy__Config__Core__V3__Metadata *locality,
                                        const Envoy__Config__Core__V3__Metadata *endpoint)
{
    const struct_message *wanted = wanted_by(endpoint);
    if (!wanted)
        wanted = wanted_by(locality);
    for (size_t i = 0; i < c->in->n_transport_socket_matches; i++) {
        if (match_fits(b, c->in->transport_socket_matches[i]->match, wanted))
            return &c->matched[i];
    }
    return &c->first;
}

static void give_out(struct builder *b, const struct choices *c, struct cluster_config *out)
{
    const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *in = c->in->load_assignment;
    if (out->type == CLUSTER_ORIGINAL_DST || out->type == CLUSTER_DYNAMIC) {
        const struct made_socket *made = choose(b, c, NULL, NULL);
        out->made.tls = made->tls;
        out->made.proxy = made->proxy;
        return;
    }
    for (size_t l = 0; in && l < out->localities_count; l++) {
        for (size_t i = 0; i < out->localities[l].endpoints_count; i++) {
            const Envoy__Config__Endpoint__V3__LbEndpoint *endpoint = in->endpoints[l]->lb_endpoints[i];
            const struct made_socket *made = choose(b, c, in->endpoints[l]->metadata, endpoint->metadata);
            out->localities[l].endpoints[i].tls = made->tls;
            out->localities[l].endpoints[i].proxy = made->proxy;
            if (made->proxy && builder_has_tlvs(b, endpoint->metadata))
                out->localities[l].endpoints[i].proxy =
                    builder_upstream_proxy(b, out, made->proxy_in, endpoint->metadata);
        }
    }
}

static void check_names(struct builder *b, const cluster_message *in)
{
    for (size_t i = 0; i < in->n_transport_socket_matches; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(in->transport_socket_matches[i]->name, in->transport_socket_matches[j]->name) == 0)
                builder_error(b, in->transport_socket_matches[i], "name",
                              "\"%s\" is the name of an earlier match; choose another",
                              in->transport_socket_matches[i]->name);
        }
    }
}

/* ALPN has to say which protocol it is, wherever a connection goes (Envoy). */
static void check_auto(struct builder *b, const cluster_message *in, const struct choices *c,
                       const struct cluster_config *out)
{
    if (out->protocol != UPSTREAM_AUTO)
        return;
    if (!c->first.tls)
        builder_error(b, in, in->transport_socket ? "transport_socket" : NULL,
                      "auto_config needs a transport_socket that agrees on a protocol (TLS with ALPN), as in "
                      "Envoy; or write explicit_http_config");
    for (size_t i = 0; i < in->n_transport_socket_matches; i++) {
        if (!c->matched[i].tls)
            builder_error(b, in->transport_socket_matches[i], "transport_socket",
                          "auto_config needs one that agrees on a protocol (TLS with ALPN)");
    }
}

void builder_cluster_tls(struct builder *b, const cluster_message *in, struct cluster_config *out)
{
    size_t count = in->n_transport_socket_matches;
    uint32_t before = b->diag->errors_total;
    struct choices c = {.in = in, .matched = builder_array(b, &out->arena, count, sizeof *c.matched)};
    out->tls = builder_array(b, &out->arena, count + 1, sizeof *out->tls);
    if (!out->tls || (count && !c.matched))
        return;
    transport_socket(b, out, in->transport_socket, &c.first);
    check_names(b, in);
    for (size_t i = 0; i < count; i++) {
        if (!in->transport_socket_matches[i]->transport_socket)
            builder_error(b, in->transport_socket_matches[i], "transport_socket", "is required");
        transport_socket(b, out, in->transport_socket_matches[i]->transport_socket, &c.matched[i]);
    }
    if (b->diag->errors_total == before)
        check_auto(b, in, &c, out);
    give_out(b, &c, out);
}
