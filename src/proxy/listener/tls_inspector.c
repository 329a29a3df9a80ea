/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks into a ClientHello and writes down what it says. The bytes stay: whoever speaks TLS behind it reads
 * them again.
 */
#include "proxy/listener/tls_inspector.h"

#include "net/client_hello.h"
#include "proxy/connection_facts.h"
#include "telemetry/stats.h"

#include <stdlib.h>

#define INSPECTOR_STATS(X)                                                                                   \
    X(tls_found, counter)                                                                                    \
    X(tls_not_found, counter)                                                                                \
    X(sni_found, counter)                                                                                    \
    X(sni_not_found, counter)                                                                                \
    X(alpn_found, counter)                                                                                   \
    X(alpn_not_found, counter)                                                                               \
    X(client_hello_too_large, counter)                                                                       \
    X(bytes_processed, histogram)

struct tls_inspector {
    struct tls_inspector_options options;
    struct {
#define STAT_X(name, kind) stat_id name;
        INSPECTOR_STATS(STAT_X)
#undef STAT_X
    } stats;
};

static bool note_server_name(struct connection_facts *facts, struct slice name)
{
    char *lower = arena_alloc_text(&facts->arena, name.len);
    if (!lower)
        return false;
    for (size_t i = 0; i < name.len; i++)
        lower[i] = ascii_lower(name.ptr[i]);
    facts->server_name = slice_of(lower, name.len);
    return true;
}

static bool note_alpn(struct connection_facts *facts, struct slice list)
{
    struct slice own = arena_dup(&facts->arena, list), name;
    while (facts->alpn_count < CONNECTION_ALPN_MAX && client_hello_alpn(&own, &name))
        facts->alpn[facts->alpn_count++] = name;
    return own.ptr != NULL;
}

static enum listener_filter_status found(const struct tls_inspector *t, struct connection_facts *facts,
                                         const struct client_hello *hello)
{
    stat_inc(t->stats.tls_found);
    stat_inc(hello->server_name.len ? t->stats.sni_found : t->stats.sni_not_found);
    stat_inc(hello->alpn.len ? t->stats.alpn_found : t->stats.alpn_not_found);
    facts->transport_protocol = SLICE_LIT("tls");
    bool ok = (!hello->server_name.len || note_server_name(facts, hello->server_name)) &&
              (!hello->alpn.len || note_alpn(facts, hello->alpn));
    return ok ? LISTENER_FILTER_CONTINUE : LISTENER_FILTER_CLOSE;
}

static enum listener_filter_status look(const void *config, struct listener_look *look)
{
    const struct tls_inspector *t = config;
    struct client_hello hello;
    enum client_hello_result r =
        look->bytes.len == 0
            ? CLIENT_HELLO_MORE
            : client_hello_parse(look->bytes, t->options.hello_bytes_max, &look->facts->arena, &hello);
    if (r == CLIENT_HELLO_MORE)
        return LISTENER_FILTER_MORE;
    stat_record(t->stats.bytes_processed, look->bytes.len);
    if (r == CLIENT_HELLO_OK)
        return found(t, look->facts, &hello);
    if (r == CLIENT_HELLO_TOO_LARGE) {
        stat_inc(t->stats.client_hello_too_large);
        return LISTENER_FILTER_CLOSE;
    }
    stat_inc(t->stats.tls_not_found);
    return t->options.close_on_errors ? LISTENER_FILTER_CLOSE : LISTENER_FILTER_CONTINUE;
}

static const struct listener_filter_ops ops = {.name = "tls_inspector", .look = look, .destroy = free};

bool tls_inspector_init(struct listener_filter_config *f, const struct tls_inspector_options *options)
{
    struct tls_inspector *t = calloc(1, sizeof(*t));
    if (!t)
        return false;
    t->options = *options;
#define STAT_X(name, kind) t->stats.name = stat_##kind("tls_inspector." #name);
    INSPECTOR_STATS(STAT_X)
#undef STAT_X
    f->ops = &ops;
    f->config = t;
    /* Records may cut the hello into many pieces, each with a header; Envoy too counts what it reads. */
    f->bytes_max = options->hello_bytes_max;
    return true;
}
