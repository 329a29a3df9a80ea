/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins that have no filter chain: bootstrap extensions (WasmService) and stat sinks. What they are was
 * checked by the table of field classes; nothing here starts them.
 */
#include "config/builder.h"

#include "base/assert.h"
#include "filters/wasm/wasm_plugin.h"

#include <envoy/extensions/stat_sinks/wasm/v3/wasm.pb-c.h>
#include <stdlib.h>

typedef Envoy__Extensions__Wasm__V3__WasmService service_message;
typedef Envoy__Extensions__StatSinks__Wasm__V3__Wasm sink_message;

#define FLUSH_DEFAULT_MS 5000u

static struct wasm_plugin **plugins(struct builder *b, const Envoy__Config__Bootstrap__V3__Bootstrap *in,
                                    const char *field, size_t count)
{
    struct wasm_plugin **out = calloc(count, sizeof(*out));
    if (!out && count > 0)
        builder_error(b, in, field, "out of memory");
    return out;
}

void builder_services(struct builder *b, const Envoy__Config__Bootstrap__V3__Bootstrap *in)
{
    size_t count = in->n_bootstrap_extensions;
    b->out->services = plugins(b, in, "bootstrap_extensions", count);
    for (size_t i = 0; b->out->services && i < count; i++) {
        const Envoy__Config__Core__V3__TypedExtensionConfig *e = in->bootstrap_extensions[i];
        const service_message *service = config_any_unpack(
            b->doc, e->typed_config, &envoy__extensions__wasm__v3__wasm_service__descriptor);
        if (!service)
            continue;
        struct wasm_plugin *p =
            builder_wasm_plugin(b, &service->base, service->config, service->singleton != 0);
        if (p)
            b->out->services[b->out->services_count++] = p;
    }
}

void builder_sinks(struct builder *b, const Envoy__Config__Bootstrap__V3__Bootstrap *in)
{
    size_t count = in->n_stats_sinks;
    b->out->stats_flush_ms = builder_ms(in->stats_flush_interval, FLUSH_DEFAULT_MS);
    b->out->sinks = plugins(b, in, "stats_sinks", count);
    for (size_t i = 0; b->out->sinks && i < count; i++) {
        const Envoy__Config__Metrics__V3__StatsSink *e = in->stats_sinks[i];
        const sink_message *sink = config_any_unpack(
            b->doc, e->typed_config, &envoy__extensions__stat_sinks__wasm__v3__wasm__descriptor);
        if (!e->typed_config)
            builder_error(b, e, "typed_config", "is required: it says which sink this is");
        if (!sink)
            continue;
        struct wasm_plugin *p = builder_wasm_plugin(b, &sink->base, sink->config, true);
        if (p)
            b->out->sinks[b->out->sinks_count++] = p;
    }
}
