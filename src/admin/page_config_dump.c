/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /config_dump: the configuration as it was read, in the shape of envoy.admin.v3.ConfigDump, which istioctl
 * and others parse.
 */
#include "admin/page.h"
#include "base/bytes.h"
#include "config/dump.h"
#include "config/load.h"

#include <envoy/config/route/v3/route.pb-c.h>
#include <envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h>
#include <stdio.h>
#include <time.h>

#define ADMIN_TYPE "type.googleapis.com/envoy.admin.v3."

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager hcm_message;

struct dump {
    const struct config_doc *doc;
    struct strbuf *out;
    char updated[40]; /* RFC 3339 */
    bool any;
};

static void open_section(struct dump *d, const char *type)
{
    strbuf_printf(d->out, "%s\n  {\n   \"@type\": \"" ADMIN_TYPE "%s\"", d->any ? "," : "", type);
    d->any = true;
}

static void close_section(struct dump *d)
{
    strbuf_append_str(d->out, "\n  }");
}

static void open_list(struct dump *d, const char *name)
{
    strbuf_printf(d->out, ",\n   \"%s\": [", name);
}

/* One element: {"<name>": {"@type": ..., ...}, "last_updated": ...} */
static void append_item(struct dump *d, size_t index, const char *name, const ProtobufCMessage *msg)
{
    struct strbuf text;
    strbuf_printf(d->out, "%s\n    {\n     \"%s\": {\n      \"@type\": \"type.googleapis.com/%s\"",
                  index ? "," : "", name, msg->descriptor->name);
    strbuf_init(&text, ADMIN_RESPONSE_BYTES_MAX);
    if (!config_dump(d->doc, msg, 5, &text))
        d->out->failed = true;
    /* The message's own braces give way to those that hold "@type". */
    struct slice body = slice_trim(strbuf_slice(&text));
    body = body.len >= 2 ? slice_skip(slice_take(body, body.len - 1), 1) : SLICE_EMPTY;
    while (body.len > 0 && (body.ptr[body.len - 1] == '\n' || body.ptr[body.len - 1] == ' '))
        body.len--;
    if (body.len > 0)
        strbuf_append_char(d->out, ',');
    strbuf_append(d->out, body);
    strbuf_fini(&text);
    strbuf_printf(d->out, "\n     },\n     \"last_updated\": \"%s\"\n    }", d->updated);
}

/* Fields that were accepted without effect. Readers of Envoy's dump pass over members that they do not know.
 */
static void dump_inert(struct dump *d)
{
    struct strbuf pos;
    strbuf_init(&pos, CONFIG_PATH_BYTES_MAX);
    bool first = true;
    for (uint32_t i = 0; i < d->doc->notes_count; i++) {
        const struct config_note *n = &d->doc->notes[i];
        if (n->deprecated)
            continue;
        strbuf_reset(&pos);
        config_pos_print(n->pos, &pos);
        strbuf_append_str(d->out, first ? ",\n   \"weir_inert\": [\n    {\"path\": " : ",\n    {\"path\": ");
        strbuf_append_json(d->out, slice_str(n->path));
        strbuf_append_str(d->out, ", \"position\": ");
        strbuf_append_json(d->out, strbuf_slice(&pos));
        strbuf_append_str(d->out, ", \"reason\": ");
        strbuf_append_json(d->out, slice_str(n->reason));
        strbuf_printf(d->out, ", \"count\": %u}", n->count);
        first = false;
    }
    strbuf_append_str(d->out, first ? "" : "\n   ]");
    strbuf_fini(&pos);
}

static void dump_bootstrap(struct dump *d)
{
    open_section(d, "BootstrapConfigDump");
    strbuf_append_str(d->out, ",\n   \"bootstrap\": ");
    if (!config_dump(d->doc, d->doc->root, 3, d->out))
        d->out->failed = true;
    strbuf_printf(d->out, ",\n   \"last_updated\": \"%s\"", d->updated);
    dump_inert(d);
    close_section(d);
}

static void dump_clusters(struct dump *d, const Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources *r)
{
    open_section(d, "ClustersConfigDump");
    open_list(d, "static_clusters");
    for (size_t i = 0; i < r->n_clusters; i++)
        append_item(d, i, "cluster", &r->clusters[i]->base);
    strbuf_append_str(d->out, "\n   ]");
    close_section(d);
}

static void dump_listeners(struct dump *d, const Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources *r)
{
    open_section(d, "ListenersConfigDump");
    open_list(d, "static_listeners");
    for (size_t i = 0; i < r->n_listeners; i++)
        append_item(d, i, "listener", &r->listeners[i]->base);
    strbuf_append_str(d->out, "\n   ]");
    close_section(d);
}

static size_t dump_chain_routes(struct dump *d, const Envoy__Config__Listener__V3__FilterChain *chain,
                                size_t count)
{
    for (size_t i = 0; i < chain->n_filters; i++) {
        const hcm_message *hcm = config_any_unpack(
            d->doc, chain->filters[i]->typed_config,
            &envoy__extensions__filters__network__http_connection_manager__v3__http_connection_manager__descriptor);
        if (hcm && hcm->route_config)
            append_item(d, count++, "route_config", &hcm->route_config->base);
    }
    return count;
}

static void dump_routes(struct dump *d, const Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources *r)
{
    size_t count = 0;
    open_section(d, "RoutesConfigDump");
    open_list(d, "static_route_configs");
    for (size_t i = 0; i < r->n_listeners; i++) {
        const Envoy__Config__Listener__V3__Listener *l = r->listeners[i];
        for (size_t c = 0; c < l->n_filter_chains; c++)
            count = dump_chain_routes(d, l->filter_chains[c], count);
        if (l->default_filter_chain)
            count = dump_chain_routes(d, l->default_filter_chain, count);
    }
    strbuf_append_str(d->out, "\n   ]");
    close_section(d);
}

/* Not Envoy's: its readers pass over a type that they do not know. */
static void dump_policy(struct dump *d, const struct admin_process *process)
{
    struct bytes *policy = process->policy_dump(process->ctx);
    if (!policy)
        return;
    strbuf_printf(
        d->out, "%s\n  {\n   \"@type\": \"type.googleapis.com/weir.policy.v1.PolicyDump\",\n   \"policy\": ",
        d->any ? "," : "");
    strbuf_append(d->out, bytes_slice(policy));
    close_section(d);
    bytes_unref(&policy);
}

void page_config_dump(const struct admin_request *request, struct admin_response *response)
{
    struct dump d = {.doc = request->process->config, .out = &response->body};
    const Envoy__Config__Bootstrap__V3__Bootstrap *bootstrap = config_bootstrap(d.doc);
    time_t start = (time_t)(request->process->start_realtime_ns / 1000000000u);
    struct tm tm;
    gmtime_r(&start, &tm);
    strftime(d.updated, sizeof(d.updated), "%Y-%m-%dT%H:%M:%SZ", &tm);
    response->content_type = "application/json";
    strbuf_append_str(&response->body, "{\n \"configs\": [");
    dump_bootstrap(&d);
    if (bootstrap->static_resources) {
        dump_clusters(&d, bootstrap->static_resources);
        dump_listeners(&d, bootstrap->static_resources);
        dump_routes(&d, bootstrap->static_resources);
    }
    dump_policy(&d, request->process);
    strbuf_append_str(&response->body, "\n ]\n}\n");
}
