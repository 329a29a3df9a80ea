/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names out of a request's headers, as Envoy's router takes them: without the port, an IP address is no
 * server name but may be wanted in the certificate.
 */
#include "upstream/upstream_wants.h"

#include "base/keyed_hash.h"
#include "http/url.h"
#include "net/address.h"
#include "upstream/cluster_config.h"
#include "upstream/upstream_proxy.h"

bool upstream_wants_same_origin(const struct upstream_origin *a, const struct upstream_origin *b)
{
    return a == b || (a && b && address_eq(&a->from, &b->from) && address_eq(&a->to, &b->to));
}

struct numbers {
    uint64_t sni, san, downstream;
    uint8_t ips[2][16];
    uint32_t ports[2];
};

static void put_address(struct numbers *n, int i, const struct address *a)
{
    if (address_ip_bytes(a, n->ips[i]))
        n->ports[i] = address_port(a);
}

uint64_t upstream_wants_hash(const struct upstream_wants *w)
{
    struct numbers n;
    memset(&n, 0, sizeof(n));
    n.sni = keyed_hash(w->sni);
    n.san = keyed_hash(w->san);
    n.downstream = w->downstream;
    if (w->origin) {
        put_address(&n, 0, &w->origin->from);
        put_address(&n, 1, &w->origin->to);
    }
    return keyed_hash(slice_of(&n, sizeof(n)));
}

struct upstream_wants upstream_wants_of(const struct cluster_config *config, const struct header_map *headers)
{
    struct upstream_wants wants = {0};
    if (WEIR_LIKELY(!config->auto_sni && !config->auto_san_validation))
        return wants;
    struct slice authority = header_map_get_id(headers, HDR_AUTHORITY), host, port;
    const struct header *other =
        config->auto_sni_header.len ? header_map_find(headers, config->auto_sni_header) : NULL;
    if (other && other->value.len)
        authority = other->value;
    url_split_host(authority, &host, &port);
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = slice_of(host.ptr + 1, host.len - 2);
    struct address ip;
    if (config->auto_sni && !address_parse_ip(host, 0, &ip))
        wants.sni = host;
    if (config->auto_san_validation)
        wants.san = host;
    return wants;
}
