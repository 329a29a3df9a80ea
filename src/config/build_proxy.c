/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROXY headers to upstreams: the transport socket around another one, TLVs that are added, and those that
 * pass.
 */
#include "config/builder.h"

#include "net/proxy_header.h"
#include "upstream/upstream_proxy.h"

#define PER_HOST_KEY "envoy.transport_sockets.proxy_protocol"

typedef Envoy__Config__Core__V3__Metadata metadata_message;
typedef Envoy__Config__Core__V3__PerHostConfig host_message;
typedef Envoy__Config__Core__V3__ProxyProtocolConfig config_message;
typedef Envoy__Config__Core__V3__ProxyProtocolPassThroughTLVs pass_message;
typedef Envoy__Config__Core__V3__TlvEntry tlv_message;

enum proxy_version builder_proxy_version(const Envoy__Config__Core__V3__ProxyProtocolConfig *in)
{
    if (!in)
        return PROXY_VERSION_NONE;
    return in->version == ENVOY__CONFIG__CORE__V3__PROXY_PROTOCOL_CONFIG__VERSION__V1 ? PROXY_VERSION_1
                                                                                      : PROXY_VERSION_2;
}

void builder_pass_tlvs(const pass_message *in, bool *all, uint8_t types[32])
{
    *all = in &&
           in->match_type ==
               ENVOY__CONFIG__CORE__V3__PROXY_PROTOCOL_PASS_THROUGH_TLVS__PASS_TLVS_MATCH_TYPE__INCLUDE_ALL;
    memset(types, 0, 32);
    for (size_t i = 0; in && !*all && i < in->n_tlv_type; i++)
        types[(in->tlv_type[i] & 0xff) >> 3] |= (uint8_t)(1u << (in->tlv_type[i] & 7));
}

struct slice builder_tlvs(struct builder *b, const ProtobufCMessage *owner, const char *field,
                          tlv_message *const *in, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += 3 + in[i]->value.len;
        if (in[i]->value.len > 0 && in[i]->value.len <= UINT16_MAX)
            continue;
        builder_error(b, in[i], "value",
                      in[i]->value.len ? "has more than the 65535 bytes that a PROXY header can say"
                                       : "is required, as in Envoy");
        return SLICE_EMPTY;
    }
    char *start = arena_alloc_text(&b->scratch, bytes), *at = start;
    if (!start) {
        config_error_at(b->doc, b->diag, owner, field, -1, "out of memory");
        return SLICE_EMPTY;
    }
    for (size_t i = 0; i < count; i++) {
        const ProtobufCBinaryData *value = &in[i]->value;
        *at++ = (char)in[i]->type;
        *at++ = (char)(value->len >> 8);
        *at++ = (char)value->len;
        if (value->len)
            memcpy(at, value->data, value->len);
        at += value->len;
    }
    return slice_of(start, bytes);
}

/* --- one endpoint's --- */

static const host_message *per_host(const struct builder *b, const metadata_message *metadata)
{
    for (size_t i = 0; metadata && i < metadata->n_typed_filter_metadata; i++) {
        if (strcmp(metadata->typed_filter_metadata[i]->key, PER_HOST_KEY) == 0)
            return config_any_unpack(b->doc, metadata->typed_filter_metadata[i]->value,
                                     &envoy__config__core__v3__per_host_config__descriptor);
    }
    return NULL;
}

bool builder_has_tlvs(const struct builder *b, const metadata_message *metadata)
{
    return per_host(b, metadata) != NULL;
}

static bool has_type(const host_message *host, uint32_t type)
{
    for (size_t i = 0; host && i < host->n_added_tlvs; i++) {
        if (host->added_tlvs[i]->type == type)
            return true;
    }
    return false;
}

/* Those of the endpoint, then those of the cluster that it does not replace. */
static struct slice all_added(struct builder *b, const config_message *in, const host_message *host)
{
    size_t count = 0, most = in->n_added_tlvs + (host ? host->n_added_tlvs : 0);
    tlv_message **list = builder_array(b, &b->scratch, most + 1, sizeof(tlv_message *));
    if (!list)
        return SLICE_EMPTY;
    for (size_t i = 0; host && i < host->n_added_tlvs; i++)
        list[count++] = host->added_tlvs[i];
    for (size_t i = 0; i < in->n_added_tlvs; i++) {
        if (!has_type(host, in->added_tlvs[i]->type))
            list[count++] = in->added_tlvs[i];
    }
    return builder_tlvs(b, &in->base, "added_tlvs", list, count);
}

/* The cluster owns it from now on. The list grows by doubling: each endpoint may have one. */
static bool keep_proxy(struct builder *b, struct cluster_config *c, const struct upstream_proxy *p)
{
    size_t count = c->proxies_count;
    if ((count & (count - 1)) == 0) {
        const struct upstream_proxy **grown =
            builder_array(b, &c->arena, count ? 2 * count : 1, sizeof(struct upstream_proxy *));
        if (!grown)
            return false;
        if (count)
            memcpy((void *)grown, (const void *)c->proxies, count * sizeof(*grown));
        c->proxies = grown;
    }
    c->proxies[c->proxies_count++] = p;
    return true;
}

const struct upstream_proxy *builder_upstream_proxy(struct builder *b, struct cluster_config *c,
                                                    const proxy_socket_message *in,
                                                    const metadata_message *metadata)
{
    static const config_message defaults = ENVOY__CONFIG__CORE__V3__PROXY_PROTOCOL_CONFIG__INIT;
    const config_message *config = in->config ? in->config : &defaults;
    struct arena_mark mark = arena_mark(&b->scratch);
    struct slice added = all_added(b, config, per_host(b, metadata));
    struct slice name = c->alt_stat_name.len ? c->alt_stat_name : c->name;
    struct upstream_proxy *p = added.ptr ? upstream_proxy_create(added) : NULL;
    arena_reset_to(&b->scratch, mark);
    if (!p) {
        if (added.ptr) /* never a host without the header that is asked for */
            config_error_at(b->doc, b->diag, &in->base, NULL, -1, "out of memory");
        return NULL;
    }
    p->version = builder_proxy_version(config);
    builder_pass_tlvs(config->pass_through_tlvs, &p->pass_all, p->pass);
    p->exceeded = stat_counter("cluster." SLICE_FMT ".upstream.proxyprotocol.v2_tlvs_exceed_max_length",
                               SLICE_ARG(name));
    const struct upstream_proxy *made = p;
    if (!keep_proxy(b, c, made))
        upstream_proxy_unref(&made);
    return made;
}
