/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start of TLS on upstream connections: which name is sent, what is offered, which session is resumed.
 */
#include "upstream/upstream_tls.h"

#include "base/assert.h"
#include "base/refs.h"
#include "net/tls_sessions.h"
#include "upstream/host.h"
#include "upstream/limits.h"

#include <stdlib.h>

struct upstream_tls *upstream_tls_create(const struct tls_config *config, struct slice sni)
{
    struct upstream_tls *t = calloc(1, sizeof *t + sni.len);
    if (!t) {
        tls_config_unref(&config);
        return NULL;
    }
    char *text = (char *)(t + 1);
    if (sni.len)
        memcpy(text, sni.ptr, sni.len);
    atomic_init(&t->refs, 1);
    t->config = config;
    t->sni = slice_of(text, sni.len);
    return t;
}

static struct upstream_tls *own(const struct upstream_tls *t)
{
    return (struct upstream_tls *)(uintptr_t)t;
}

const struct upstream_tls *upstream_tls_ref(const struct upstream_tls *t)
{
    refs_take(&own(t)->refs);
    return t;
}

void upstream_tls_unref(const struct upstream_tls **tls)
{
    struct upstream_tls *t = own(*tls);
    *tls = NULL;
    if (!t)
        return;
    if (!refs_drop(&t->refs))
        return;
    tls_config_unref(&t->config);
    free(t);
}

static struct slice server_name(const struct upstream_tls *t, const struct host *host,
                                const struct upstream_wants *wants)
{
    if (wants->sni.len)
        return wants->sni;
    return t->auto_host_sni && host->hostname[0] ? slice_str(host->hostname) : t->sni;
}

static void offer(enum upstream_alpn alpn, struct tls_client_options *options)
{
    static const struct slice both[] = {{"h2", 2}, {"http/1.1", 8}};
    static const struct {
        const struct slice *list;
        size_t count;
    } offers[] = {
        [UPSTREAM_ALPN_NONE] = {NULL, 0},
        [UPSTREAM_ALPN_HTTP1] = {both + 1, 1},
        [UPSTREAM_ALPN_HTTP2] = {both, 1},
        [UPSTREAM_ALPN_BOTH] = {both, 2},
    };
    options->alpn = offers[alpn].list;
    options->alpn_count = offers[alpn].count;
}

static bool start(struct conn *conn, const struct upstream_tls *t, const struct tls_client_options *options)
{
    const struct tls_context *context = tls_config_context(t->config);
    bool ok = tls_start_client(conn, context, options);
    tls_context_unref(&context);
    return ok;
}

bool upstream_tls_start(struct conn *conn, const struct host *host, const struct upstream_wants *wants,
                        enum upstream_alpn alpn, struct tls_sessions **sessions, struct tls_info **info)
{
    const struct upstream_tls *t = host->tls;
    struct tls_client_options options = {.server_name = server_name(t, host, wants),
                                         .wanted_san = wants->san};
    if (options.server_name.len > SERVER_NAME_BYTES_MAX)
        return false; /* RFC 6066 3: no host has such a name; to send none would be another request */
    options.alpn = wants->alpn;
    options.alpn_count = wants->alpn_count;
    if (wants->alpn_count == 0 && t->config->settings.alpn_count == 0)
        offer(alpn, &options);
    if (sessions && t->session_keys) {
        if (!*sessions)
            *sessions = tls_sessions_create(t->session_keys);
        options.sessions = *sessions;
    }
    if (!start(conn, t, &options))
        return false;
    *info = tls_info_ref(tls_info_of(conn));
    return true;
}
