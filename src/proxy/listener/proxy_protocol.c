/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROXY headers of clients: counts them as Envoy, replaces the connection's addresses, keeps the TLVs that
 * rules ask for. A connection whose header is missing or bad is closed, unless the configuration says that
 * there may be none.
 */
#include "proxy/listener/proxy_protocol.h"

#include "base/utf8.h"
#include "net/conn.h"
#include "net/proxy_header.h"
#include "proxy/connection_facts.h"
#include "telemetry/stats.h"

#include <stdlib.h>

struct version_stats {
    stat_id found;
    stat_id disallowed;
    stat_id error;
};

struct proxy_protocol {
    struct proxy_protocol_options options;
    bool passes_some;
    struct version_stats versions[2];
    stat_id not_found_allowed;
    stat_id not_found_disallowed;
    stat_id error; /* Envoy's old name */
};

static bool disallowed(const struct proxy_protocol *p, enum proxy_version version)
{
    return version == PROXY_VERSION_1 ? p->options.v1_disallowed
                                      : version == PROXY_VERSION_2 && p->options.v2_disallowed;
}

/* Metadata is text: Envoy writes '!' for each byte that is not UTF-8. */
static bool keep_tlv(struct connection_facts *facts, const struct proxy_protocol_rule *rule,
                     struct slice value)
{
    char *text = arena_alloc_text(&facts->arena, value.len + 1);
    if (!text)
        return false;
    for (size_t i = 0; i < value.len;) {
        size_t n = utf8_sequence((const unsigned char *)value.ptr + i, value.len - i);
        text[i] = '!';
        memcpy(text + i, value.ptr + i, n);
        i += n ? n : 1;
    }
    return connection_facts_put_metadata(facts, rule->space, rule->key, slice_of(text, value.len), value);
}

static bool passes(const struct proxy_protocol *p, uint8_t type)
{
    return p->options.pass_all || (p->options.pass[type >> 3] >> (type & 7) & 1);
}

static char *pass_tlv(char *at, uint8_t type, struct slice value)
{
    *at++ = (char)type;
    *at++ = (char)(value.len >> 8);
    *at++ = (char)value.len;
    return (char *)memcpy(at, value.ptr, value.len) + value.len;
}

/* Room for all of them; false: memory is out. */
static bool pass_tlvs(const struct proxy_protocol *p, struct connection_facts *facts, struct slice tlvs)
{
    uint8_t type;
    struct slice value;
    char *start = tlvs.len ? arena_alloc_text(&facts->arena, tlvs.len) : NULL, *at = start;
    if (!start)
        return tlvs.len == 0;
    while (proxy_header_tlv(&tlvs, &type, &value)) {
        if (passes(p, type))
            at = pass_tlv(at, type, value);
    }
    facts->proxy_tlvs = slice_of(start, (size_t)(at - start));
    return true;
}

static bool keep_tlvs(const struct proxy_protocol *p, struct connection_facts *facts, struct slice tlvs)
{
    uint8_t type;
    struct slice value;
    while (proxy_header_tlv(&tlvs, &type, &value)) {
        for (size_t i = 0; i < p->options.rules_count; i++) {
            if (p->options.rules[i].type == type && !keep_tlv(facts, &p->options.rules[i], value))
                return false;
        }
    }
    return tlvs.len == 0;
}

static enum listener_filter_status bad_header(const struct proxy_protocol *p, const struct proxy_header *h)
{
    stat_inc(p->versions[h->version - 1].error);
    stat_inc(p->error);
    return LISTENER_FILTER_CLOSE;
}

static enum listener_filter_status take_header(const struct proxy_protocol *p, struct listener_look *look,
                                               const struct proxy_header *h)
{
    look->taken = h->bytes;
    if ((p->options.rules_count > 0 || p->passes_some) && !keep_tlvs(p, look->facts, h->tlvs))
        return bad_header(p, h);
    if (p->passes_some && !pass_tlvs(p, look->facts, h->tlvs))
        return bad_header(p, h);
    look->facts->proxied = true;
    stat_inc(p->versions[h->version - 1].found);
    if (!h->local) {
        look->conn->remote = h->remote;
        look->facts->local_restored =
            look->facts->local_restored || !address_eq(&look->conn->local, &h->destination);
        look->conn->local = h->destination;
    }
    return LISTENER_FILTER_CONTINUE;
}

static enum listener_filter_status no_header(const struct proxy_protocol *p)
{
    if (p->options.allow_without) {
        stat_inc(p->not_found_allowed);
        return LISTENER_FILTER_CONTINUE;
    }
    stat_inc(p->not_found_disallowed);
    stat_inc(p->error);
    return LISTENER_FILTER_CLOSE;
}

static enum listener_filter_status look(const void *config, struct listener_look *look)
{
    const struct proxy_protocol *p = config;
    struct proxy_header h;
    if (look->bytes.len == 0)
        return LISTENER_FILTER_MORE;
    enum proxy_header_result r = proxy_header_parse(look->bytes, &h);
    if (r == PROXY_HEADER_NONE || (disallowed(p, h.version) && p->options.allow_without))
        return no_header(p);
    if (disallowed(p, h.version)) {
        stat_inc(p->versions[h.version - PROXY_VERSION_1].found);
        stat_inc(p->versions[h.version - PROXY_VERSION_1].disallowed);
        return LISTENER_FILTER_CLOSE;
    }
    if (r == PROXY_HEADER_MORE)
        return LISTENER_FILTER_MORE;
    if (r == PROXY_HEADER_OK)
        return take_header(p, look, &h);
    return bad_header(p, &h);
}

static const struct listener_filter_ops ops = {.name = "proxy_protocol", .look = look, .destroy = free};

bool proxy_protocol_init(struct listener_filter_config *f, const struct proxy_protocol_options *options)
{
    struct proxy_protocol *p = calloc(1, sizeof(*p));
    if (!p)
        return false;
    struct slice prefix = options->stat_prefix;
    const char *dot = prefix.len ? "." : "";
    p->options = *options;
    p->passes_some = options->pass_all;
    for (size_t i = 0; i < sizeof(options->pass); i++)
        p->passes_some = p->passes_some || options->pass[i];
#define STAT(suffix) stat_counter("proxy_proto." SLICE_FMT "%s" suffix, SLICE_ARG(prefix), dot)
#define VERSION_STATS(v)                                                                                     \
    {STAT("versions." v ".found"), STAT("versions." v ".disallowed"), STAT("versions." v ".error")}
    p->versions[0] = (struct version_stats)VERSION_STATS("v1");
    p->versions[1] = (struct version_stats)VERSION_STATS("v2");
    p->not_found_allowed = STAT("not_found_allowed");
    p->not_found_disallowed = STAT("not_found_disallowed");
    p->error = stat_counter("downstream_cx_proxy_proto_error");
    f->ops = &ops;
    f->config = p;
    f->bytes_max = PROXY_HEADER_BYTES_MAX + 1; /* a longest header is whole before the cap closes */
    return true;
}
