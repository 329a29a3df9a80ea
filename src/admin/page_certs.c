/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /certs: the certificates in use, as Envoy lists them: per TLS configuration its authority and its own. No
 * key and no content of a file is shown.
 */
#include "admin/page.h"

#include "base/clock.h"
#include "net/tls_config.h"

#include <time.h>

#define DAY_S 86400

static void append_time(struct strbuf *b, const char *name, int64_t seconds)
{
    char text[32];
    time_t t = (time_t)seconds;
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    strbuf_printf(b, ",\n     \"%s\": \"%s\"", name, text);
}

struct names {
    struct strbuf *out;
    bool any;
};

static void append_names(struct names *n, const char *type, const struct slice *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        strbuf_printf(n->out, "%s\n      {\"%s\": ", n->any ? "," : "", type);
        strbuf_append_json(n->out, items[i]);
        strbuf_append_char(n->out, '}');
        n->any = true;
    }
}

static void append_certificate(struct strbuf *b, struct slice path, const struct tls_certificate_info *info,
                               bool first)
{
    int64_t left = info->not_after - (int64_t)(realtime_ns() / 1000000000u);
    struct names names = {.out = b};
    strbuf_printf(b, "%s\n    {\n     \"path\": ", first ? "" : ",");
    strbuf_append_json(b, path.len ? path : SLICE_LIT("<inline>"));
    strbuf_append_str(b, ",\n     \"serial_number\": ");
    strbuf_append_json(b, info->serial);
    strbuf_append_str(b, ",\n     \"subject_alt_names\": [");
    append_names(&names, "dns", info->dns_sans, info->dns_sans_count);
    append_names(&names, "uri", info->uri_sans, info->uri_sans_count);
    append_names(&names, "ip_address", info->ip_sans, info->ip_sans_count);
    strbuf_printf(b, "%s],\n     \"days_until_expiration\": \"%lld\"", names.any ? "\n     " : "",
                  left > 0 ? (long long)(left / DAY_S) : 0);
    append_time(b, "valid_from", info->not_before);
    append_time(b, "expiration_time", info->not_after);
    strbuf_append_str(b, "\n    }");
}

static void append_config(struct strbuf *b, const struct tls_config *c, bool first)
{
    const struct tls_context *context = tls_config_context(c);
    struct arena arena;
    struct tls_certificate_info ca;
    struct slice path;
    arena_init(&arena, ADMIN_RESPONSE_BYTES_MAX, NULL);
    strbuf_printf(b, "%s\n  {\n   \"ca_cert\": [", first ? "" : ",");
    if (tls_config_authority(c, &arena, &path, &ca)) {
        append_certificate(b, path, &ca, true);
        strbuf_append_str(b, "\n   ");
    }
    strbuf_append_str(b, "],\n   \"cert_chain\": [");
    size_t count = context ? tls_context_certificates(context) : 0;
    for (size_t i = 0; i < count; i++)
        append_certificate(b, c->certificates[i].chain.path, tls_context_certificate(context, i).info,
                           i == 0);
    strbuf_append_str(b, count ? "\n   ]\n  }" : "]\n  }");
    tls_context_unref(&context);
    arena_fini(&arena);
}

void page_certs(const struct admin_request *request, struct admin_response *response)
{
    const struct admin_process *p = request->process;
    response->content_type = "application/json";
    strbuf_append_str(&response->body, "{\n \"certificates\": [");
    for (size_t i = 0; i < p->tls_count; i++)
        append_config(&response->body, p->tls[i], i == 0);
    strbuf_append_str(&response->body, p->tls_count ? "\n ]\n}\n" : "]\n}\n");
}
