/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trust in the previous hop, in Envoy's order of steps. A client on the edge must not be able to set what
 * only a trusted proxy may: such headers are removed or overwritten before any filter sees them.
 */
#include "proxy/forwarded.h"

#include "net/conn.h"
#include "proxy/client_cert.h"
#include "proxy/downstream.h"
#include "proxy/routing/route_config.h"
#include "proxy/stream_private.h"

#include <ifaddrs.h>
#include <net/if.h>

static struct address local_address;

void forwarded_init(void)
{
    struct ifaddrs *all = NULL;
    address_parse_ip(SLICE_LIT("127.0.0.1"), 0, &local_address);
    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || (i->ifa_flags & IFF_LOOPBACK))
            continue;
        memcpy(&local_address.in4, i->ifa_addr, sizeof(local_address.in4));
        local_address.len = sizeof(local_address.in4);
        break;
    }
    freeifaddrs(all);
}

/* The two digits of a byte. */
static char *put_hex(char *p, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    p[0] = digits[byte >> 4];
    p[1] = digits[byte & 15];
    return p + 2;
}

/* The lowest `bytes` bytes of n, the highest first. */
static char *put_bytes(char *p, uint64_t n, unsigned bytes)
{
    while (bytes-- > 0)
        p = put_hex(p, (uint8_t)(n >> (8 * bytes)));
    return p;
}

void request_id_make(uint64_t high, uint64_t low, char out[REQUEST_ID_BYTES])
{
    high = (high & ~UINT64_C(0xf000)) | UINT64_C(0x4000);     /* version 4 */
    low = (low & ~(UINT64_C(3) << 62)) | (UINT64_C(2) << 62); /* the RFC 9562 variant */
    char *p = put_bytes(out, high >> 32, 4);
    *p++ = '-';
    p = put_bytes(p, high >> 16, 2);
    *p++ = '-';
    p = put_bytes(p, high, 2);
    *p++ = '-';
    p = put_bytes(p, low >> 48, 2);
    *p++ = '-';
    p = put_bytes(p, low, 6);
    WEIR_ASSERT(p == out + REQUEST_ID_BYTES);
}

/* A constant value, or one that lies in the arena: no copy, no check. A full map leaves it out. */
static void put(struct header_map *m, enum header_id id, struct slice value)
{
    header_map_remove_id(m, id);
    header_map_append(m, id, header_id_name(id), value, SLICE_EMPTY);
}

static struct slice ip_text(struct stream *s, const struct address *a)
{
    char text[ADDRESS_TEXT_MAX];
    return arena_dup(&s->arena, slice_str(address_format_ip(a, text)));
}

/* The address `skip` places before the last one of x-forwarded-for. */
static bool xff_address(struct slice xff, uint32_t skip, struct address *out)
{
    while (skip > 0) {
        size_t n = xff.len;
        while (n > 0 && xff.ptr[n - 1] != ',')
            n--;
        if (n == 0)
            return false;
        xff = slice_take(xff, n - 1);
        skip--;
    }
    size_t start = xff.len;
    while (start > 0 && xff.ptr[start - 1] != ',')
        start--;
    return address_parse_ip(slice_trim(slice_skip(xff, start)), 0, out);
}

struct origin {
    struct address address;
    bool known;
    bool trusted_check; /* the address may make the request internal */
};

static void append_xff(struct stream *s, struct header_map *m, const struct address *remote)
{
    if (!address_is_ip(remote))
        return;
    const struct address *shown = address_is_loopback(remote) ? &local_address : remote;
    struct slice text = ip_text(s, shown);
    if (!text.ptr)
        return;
    if (header_map_has_id(m, HDR_X_FORWARDED_FOR))
        header_map_join_id(m, HDR_X_FORWARDED_FOR, text);
    else
        put(m, HDR_X_FORWARDED_FOR, text);
}

static void put_port(struct stream *s, struct header_map *m)
{
    const struct address *local = s->info.downstream_local;
    if (!address_is_ip(local))
        return;
    char *text = arena_printf(&s->arena, "%u", address_port(local));
    if (text)
        put(m, HDR_X_FORWARDED_PORT, slice_str(text));
}

static bool has_port(const uint32_t *ports, size_t count, uint16_t port)
{
    for (size_t i = 0; i < count; i++) {
        if (ports[i] == port)
            return true;
    }
    return false;
}

/* forward_proto_config: where a PROXY header says that the client wanted to go. */
static struct slice scheme_of_port(const struct hcm_config *hcm, const struct address *wanted)
{
    uint16_t port = address_is_ip(wanted) ? address_port(wanted) : 0;
    if (has_port(hcm->https_ports, hcm->https_ports_count, port))
        return SLICE_LIT("https");
    return has_port(hcm->http_ports, hcm->http_ports_count, port) ? SLICE_LIT("http") : SLICE_EMPTY;
}

static struct slice own_scheme(const struct stream *s)
{
    const struct address *wanted =
        WEIR_UNLIKELY(s->hcm->scheme_by_port) ? stream_info_destination(&s->info) : NULL;
    struct slice scheme = wanted ? scheme_of_port(s->hcm, wanted) : SLICE_EMPTY;
    if (scheme.ptr)
        return scheme;
    return s->info.tls ? SLICE_LIT("https") : SLICE_LIT("http");
}

/* use_remote_address: we are the edge, the peer is the client, or a proxy that is trusted by count. */
static void origin_from_peer(struct stream *s, struct header_map *m, struct origin *o)
{
    const struct hcm_config *hcm = s->hcm;
    const struct address *remote = s->info.downstream_remote;
    struct slice xff = header_map_get_id(m, HDR_X_FORWARDED_FOR);
    o->trusted_check = xff.ptr == NULL;
    o->known = hcm->xff_num_trusted_hops > 0 && xff_address(xff, hcm->xff_num_trusted_hops - 1, &o->address);
    if (!o->known) {
        o->address = *remote;
        o->known = true;
    }
    if (!hcm->skip_xff_append)
        append_xff(s, m, remote);
    if (hcm->xff_num_trusted_hops == 0 || !header_map_has_id(m, HDR_X_FORWARDED_PROTO))
        put(m, HDR_X_FORWARDED_PROTO, own_scheme(s));
    if (hcm->append_x_forwarded_port &&
        (hcm->xff_num_trusted_hops == 0 || !header_map_has_id(m, HDR_X_FORWARDED_PORT)))
        put_port(s, m);
}

/* Otherwise the headers are believed. */
static void origin_from_headers(struct stream *s, struct header_map *m, struct origin *o)
{
    struct slice xff = header_map_get_id(m, HDR_X_FORWARDED_FOR);
    if (xff.ptr)
        o->known = xff_address(xff, s->hcm->xff_num_trusted_hops, &o->address);
    o->trusted_check = o->known && slice_find_char(xff, ',') < 0;
}

static bool valid_scheme(struct slice v)
{
    return slice_eq_nocase(v, SLICE_LIT("http")) || slice_eq_nocase(v, SLICE_LIT("https"));
}

static void set_scheme(struct stream *s, struct header_map *m)
{
    if (!header_map_has_id(m, HDR_X_FORWARDED_PROTO))
        put(m, HDR_X_FORWARDED_PROTO, own_scheme(s));
    if (s->hcm->append_x_forwarded_port && !header_map_has_id(m, HDR_X_FORWARDED_PORT))
        put_port(s, m);
    if (s->hcm->scheme_overwrite.len) {
        put(m, HDR_SCHEME, s->hcm->scheme_overwrite);
        put(m, HDR_X_FORWARDED_PROTO, s->hcm->scheme_overwrite);
    }
    if (!header_map_has_id(m, HDR_SCHEME)) {
        struct slice proto = header_map_get_id(m, HDR_X_FORWARDED_PROTO);
        if (!valid_scheme(proto))
            proto = own_scheme(s);
        put(m, HDR_SCHEME, proto.len == 5 ? SLICE_LIT("https") : SLICE_LIT("http"));
    }
}

static bool is_internal(const struct hcm_config *hcm, const struct origin *o)
{
    if (!o->trusted_check || !o->known)
        return false;
    if (!address_is_ip(&o->address))
        return hcm->internal_unix_sockets;
    return cidrs_contain(hcm->internal_ranges, hcm->internal_ranges_count, &o->address);
}

/* What an outside client must not say; X(name after "x-envoy-", only from the edge). */
#define EXTERNAL_FORBIDDEN(X)                                                                                \
    X("decorator-operation", true)                                                                           \
    X("downstream-service-cluster", true)                                                                    \
    X("downstream-service-node", true)                                                                       \
    X("original-path", true)                                                                                 \
    X("original-host", true)                                                                                 \
    X("retriable-status-codes", false)                                                                       \
    X("retriable-header-names", false)                                                                       \
    X("retry-on", false)                                                                                     \
    X("retry-grpc-on", false)                                                                                \
    X("max-retries", false)                                                                                  \
    X("upstream-alt-stat-name", false)                                                                       \
    X("upstream-rq-timeout-ms", false)                                                                       \
    X("upstream-rq-per-try-timeout-ms", false)                                                               \
    X("upstream-rq-timeout-alt-response", false)                                                             \
    X("expected-rq-timeout-ms", false)                                                                       \
    X("force-trace", false)                                                                                  \
    X("ip-tags", false)                                                                                      \
    X("original-url", false)                                                                                 \
    X("hedge-on-per-try-timeout", false)

static bool forbidden_outside(struct slice rest, bool edge)
{
    static const struct {
        struct slice name;
        bool edge_only;
    } rows[] = {
#define FORBIDDEN_X(name, edge_only) {{name, sizeof(name) - 1}, edge_only},
        EXTERNAL_FORBIDDEN(FORBIDDEN_X)
#undef FORBIDDEN_X
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        if (slice_eq(rest, rows[i].name))
            return edge || !rows[i].edge_only;
    }
    return false;
}

static void clean_external(struct stream *s, struct header_map *m, bool edge)
{
    static const struct slice prefix = {"x-envoy-", 8};
    uint32_t cursor = 0;
    for (const struct header *h = header_map_next(m, &cursor); h; h = header_map_next(m, &cursor)) {
        struct slice name = h->name;
        if (name.len > 8 && name.ptr[0] == 'x' && slice_starts_with(name, prefix) &&
            forbidden_outside(slice_skip(name, 8), edge))
            header_map_remove(m, name);
    }
    const struct route_table *t = s->route_table;
    for (uint32_t i = 0; t && i < t->internal_only_headers_count; i++)
        header_map_remove(m, t->internal_only_headers[i]);
}

static void set_request_id(struct stream *s, struct header_map *m, bool edge)
{
    bool force = edge && !s->hcm->preserve_external_request_id;
    if (!s->hcm->generate_request_id || (header_map_has_id(m, HDR_X_REQUEST_ID) && !force))
        return;
    char *id = arena_alloc_text(&s->arena, REQUEST_ID_BYTES);
    if (!id)
        return;
    uint64_t high = worker_random_bits(s->worker), low = worker_random_bits(s->worker);
    request_id_make(high, low, id);
    put(m, HDR_X_REQUEST_ID, slice_of(id, REQUEST_ID_BYTES));
}

/* "te" goes no further than this hop, but for trailers (RFC 9110 10.1.4). */
static void clean_te(struct header_map *m)
{
    struct slice te = header_map_get_id(m, HDR_TE), part;
    if (!te.ptr)
        return;
    bool trailers = false;
    while (slice_split(&te, ',', &part))
        trailers = trailers || slice_eq_nocase(slice_trim(part), SLICE_LIT("trailers"));
    header_map_remove_id(m, HDR_TE);
    if (trailers)
        put(m, HDR_TE, SLICE_LIT("trailers"));
}

static void clean_hop(struct stream *s, struct header_map *m)
{
    if (!s->is_upgrade) {
        header_map_remove_id(m, HDR_CONNECTION);
        header_map_remove_id(m, HDR_UPGRADE);
        clean_te(m);
    }
    header_map_remove_id(m, HDR_X_ENVOY_INTERNAL);
    header_map_remove_id(m, HDR_KEEP_ALIVE);
    header_map_remove_id(m, HDR_PROXY_CONNECTION);
    header_map_remove_id(m, HDR_TRANSFER_ENCODING);
}

static void set_user_agent(struct stream *s, struct header_map *m)
{
    struct slice cluster = s->hcm->service_cluster;
    (void)header_map_set(m, SLICE_LIT("x-envoy-downstream-service-cluster"), cluster);
    if (!header_map_has_id(m, HDR_USER_AGENT))
        (void)header_map_set_id(m, HDR_USER_AGENT, cluster);
}

/* The address that logs and plugins see. */
static void set_remote(struct stream *s, const struct origin *o)
{
    if (!o->known || address_eq(&o->address, s->info.downstream_remote))
        return;
    struct address *own = ARENA_NEW(&s->arena, struct address);
    if (!own)
        return;
    *own = o->address;
    s->info.downstream_remote = own;
}

void forwarded_apply(struct stream *s)
{
    struct header_map *m = s->request_headers;
    const struct hcm_config *hcm = s->hcm;
    struct origin o = {.known = false};
    clean_hop(s, m);
    if (hcm->use_remote_address)
        origin_from_peer(s, m, &o);
    else
        origin_from_headers(s, m, &o);
    set_scheme(s, m);
    bool internal = is_internal(hcm, &o);
    bool edge = !internal && hcm->use_remote_address;
    if (internal)
        put(m, HDR_X_ENVOY_INTERNAL, SLICE_LIT("true"));
    else
        clean_external(s, m, edge);
    if (hcm->add_user_agent)
        set_user_agent(s, m);
    if (edge && address_is_ip(&o.address)) {
        struct slice text = ip_text(s, &o.address);
        if (text.ptr)
            put(m, HDR_X_ENVOY_EXTERNAL_ADDRESS, text);
    }
    set_request_id(s, m, edge);
    client_cert_apply(hcm->client_cert, &hcm->client_cert_details, s->info.tls, m, &s->arena);
    if (hcm->via.len)
        header_map_join_id(m, HDR_VIA, hcm->via);
    set_remote(s, &o);
}
