/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole of a bootstrap: clusters first, because routes name them, then listeners, then what only both
 * together can tell.
 */
#include "config/build.h"

#include "base/assert.h"
#include "config/builder.h"
#include "filters/wasm/wasm_plugin.h"
#include "net/tls_config.h"
#include "proxy/overload_config.h"
#include "proxy/stat_tags.h"
#include "telemetry/log.h"
#include "telemetry/stats.h"

#include <stdlib.h>

#define SCRATCH_BYTES_MAX ((size_t)1 << 30)

typedef Envoy__Config__Bootstrap__V3__Bootstrap bootstrap_message;
typedef Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources static_message;

void config_resources_destroy(struct config_resources **resources)
{
    struct config_resources *r = *resources;
    if (!r)
        return;
    for (size_t i = 0; i < r->listeners_count; i++)
        listener_config_unref(&r->listeners[i]);
    for (size_t i = 0; i < r->clusters_count; i++)
        cluster_config_unref(&r->clusters[i]);
    stat_tags_destroy(&r->stat_tags);
    if (r->overload)
        arena_fini(&r->overload->arena);
    free(r->overload);
    for (size_t i = 0; i < r->services_count; i++)
        wasm_plugin_unref(&r->services[i]);
    for (size_t i = 0; i < r->sinks_count; i++)
        wasm_plugin_unref(&r->sinks[i]);
    for (size_t i = 0; i < r->tls_count; i++)
        tls_config_unref(&r->tls[i]);
    free(r->tls);
    free(r->services);
    free(r->sinks);
    free(r->listeners);
    free(r->clusters);
    free(r);
    *resources = NULL;
}

static void admin(struct builder *b, const bootstrap_message *in)
{
    if (!in->admin || !in->admin->address)
        return;
    builder_address(b, in->admin->address, &b->out->admin);
    if (in->admin->address->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE)
        b->out->admin_mode = in->admin->address->pipe->mode;
}

/* Names first, so that an unknown cluster in a route is no consequence of another error. */
static void cluster_names(struct builder *b, const static_message *in)
{
    for (size_t i = 0; i < in->n_clusters; i++) {
        struct slice name = slice_str(in->clusters[i]->name);
        if (name.len == 0)
            b->clusters_unknown = true; /* reported already; routes may mean this one */
        else if (map_has(&b->clusters, name))
            builder_error(b, in->clusters[i], "name",
                          "\"%s\" is the name of an earlier cluster; choose another", in->clusters[i]->name);
        else if (!map_put(&b->clusters, name, in->clusters[i]))
            builder_error(b, in, "clusters", "out of memory");
    }
}

static void clusters(struct builder *b, const static_message *in)
{
    b->out->clusters = calloc(in->n_clusters, sizeof(b->out->clusters[0]));
    if (!b->out->clusters && in->n_clusters > 0) {
        builder_error(b, in, "clusters", "out of memory");
        return;
    }
    for (size_t i = 0; i < in->n_clusters; i++) {
        const struct cluster_config *c = builder_cluster(b, in->clusters[i]);
        if (c)
            b->out->clusters[b->out->clusters_count++] = c;
    }
}

static void listeners(struct builder *b, const static_message *in)
{
    b->out->listeners = calloc(in->n_listeners, sizeof(b->out->listeners[0]));
    if (!b->out->listeners && in->n_listeners > 0) {
        builder_error(b, in, "listeners", "out of memory");
        return;
    }
    for (size_t i = 0; i < in->n_listeners; i++) {
        const struct listener_config *l = builder_listener(b, in->listeners[i]);
        if (l)
            b->out->listeners[b->out->listeners_count++] = l;
    }
}

/* Two listeners of one name, or of one address; port 0 is a free port each time. */
static void check_listeners(struct builder *b, const static_message *in)
{
    for (size_t i = 0; i < in->n_listeners; i++) {
        struct address mine = {0};
        const Envoy__Config__Listener__V3__Listener *l = in->listeners[i];
        struct config_diag ignored;
        config_diag_init(&ignored);
        struct builder quiet = *b;
        quiet.diag = &ignored;
        bool bound = l->address && builder_address(&quiet, l->address, &mine) &&
                     (l->address->address_case == ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_PIPE ||
                      address_port(&mine));
        for (size_t j = 0; j < i; j++) {
            const Envoy__Config__Listener__V3__Listener *earlier = in->listeners[j];
            struct address other = {0};
            if (l->name[0] && strcmp(l->name, earlier->name) == 0)
                builder_error(b, l, "name", "\"%s\" is the name of an earlier listener; choose another",
                              l->name);
            if (bound && earlier->address && builder_address(&quiet, earlier->address, &other) &&
                address_eq(&mine, &other))
                builder_error(b, l, "address", "is the address of an earlier listener; choose another");
        }
        config_diag_fini(&ignored);
    }
}

/* Envoy counts unknown fields likewise: server.static_unknown_fields. */
static void count_inert(const struct config_doc *doc)
{
    uint64_t fields = 0;
    for (uint32_t i = 0; i < doc->notes_count; i++)
        fields += doc->notes[i].deprecated ? 0 : doc->notes[i].count;
    stat_set(stat_shared_gauge("server.static_inert_fields"), fields);
}

enum config_result config_build(const struct config_doc *doc, const struct config_build_options *options,
                                struct config_diag *diag, struct config_resources **out)
{
    const bootstrap_message *bootstrap = config_bootstrap(doc);
    WEIR_ASSERT(options->check_only ? !options->wasm : !config_diag_failed(diag));
    struct builder b = {.doc = doc, .diag = diag, .options = options};
    *out = NULL;
    b.out = calloc(1, sizeof *b.out);
    if (!b.out) {
        config_diag_error(diag, (struct config_pos){doc->sources[0], 0, 0}, "", "out of memory");
        return CONFIG_INVALID;
    }
    arena_init(&b.scratch, SCRATCH_BYTES_MAX, NULL);
    map_init(&b.clusters);
    admin(&b, bootstrap);
    builder_default_dns(&b, bootstrap);
    b.out->stat_tags = builder_stat_tags(&b);
    if (bootstrap->cluster_manager && bootstrap->cluster_manager->outlier_detection)
        b.outlier_events =
            builder_event_log(&b, &bootstrap->cluster_manager->outlier_detection->base, "event_log_path",
                              bootstrap->cluster_manager->outlier_detection->event_log_path);
    if (bootstrap->static_resources) {
        cluster_names(&b, bootstrap->static_resources);
        clusters(&b, bootstrap->static_resources);
        check_listeners(&b, bootstrap->static_resources);
        listeners(&b, bootstrap->static_resources);
    }
    builder_overload(&b, bootstrap->overload_manager);
    builder_services(&b, bootstrap);
    builder_sinks(&b, bootstrap);
    if (b.outlier_events)
        log_file_unref(&b.outlier_events);
    map_fini(&b.clusters);
    arena_fini(&b.scratch);
    if (config_diag_failed(diag))
        config_resources_destroy(&b.out);
    else
        count_inert(doc);
    *out = b.out;
    return b.out ? CONFIG_OK : CONFIG_INVALID;
}
