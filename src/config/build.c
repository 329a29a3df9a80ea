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
#include "proxy/overload/overload_config.h"
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

/* The cluster of proxies like this one: whether it is there, and of one priority. */
static void local_cluster(struct builder *b, const Envoy__Config__Bootstrap__V3__Bootstrap *in)
{
    const Envoy__Config__Bootstrap__V3__ClusterManager *cm = in->cluster_manager;
    if (!cm || !cm->local_cluster_name[0])
        return;
    const Envoy__Config__Cluster__V3__Cluster *c = map_get(&b->clusters, slice_str(cm->local_cluster_name));
    if (!c && !b->clusters_unknown)
        builder_error(b, cm, "local_cluster_name",
                      "there is no cluster \"%s\"; add it to static_resources.clusters",
                      cm->local_cluster_name);
    for (size_t i = 0; c && c->load_assignment && i < c->load_assignment->n_endpoints; i++) {
        if (c->load_assignment->endpoints[i]->priority > 0)
            builder_error(b, c->load_assignment->endpoints[i], "priority",
                          "must be 0 in the cluster that local_cluster_name names");
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

/* An address of a listener, as the message has it. */
struct wanted {
    const Envoy__Config__Listener__V3__Listener *by;
    struct address where;
};

/* Whether nobody else may have it: a free port is another one each time, unless none is taken. */
static bool exclusive(const struct wanted *w)
{
    return w->where.sa.sa_family == AF_UNIX || address_port(&w->where) != 0 ||
           !builder_bool(w->by->bind_to_port, true);
}

static void want(struct builder *quiet, const Envoy__Config__Listener__V3__Listener *by,
                 const Envoy__Config__Core__V3__Address *in, struct wanted *list, size_t *count)
{
    list[*count].by = by;
    if (in && builder_address(quiet, in, &list[*count].where))
        ++*count;
}

/* Two listeners of one address. What is no address was reported already. */
static void check_addresses(struct builder *b, const static_message *in)
{
    size_t max = 0, count = 0;
    struct config_diag ignored;
    struct builder quiet = *b;
    for (size_t i = 0; i < in->n_listeners; i++)
        max += 1 + in->listeners[i]->n_additional_addresses;
    struct wanted *list = builder_array(b, &b->scratch, max, sizeof *list);
    config_diag_init(&ignored);
    quiet.diag = &ignored;
    for (size_t i = 0; list && i < in->n_listeners; i++) {
        const Envoy__Config__Listener__V3__Listener *l = in->listeners[i];
        size_t own = count;
        want(&quiet, l, l->address, list, &count);
        for (size_t a = 0; a < l->n_additional_addresses; a++)
            want(&quiet, l, l->additional_addresses[a]->address, list, &count);
        for (size_t x = own; x < count; x++) {
            for (size_t y = 0; exclusive(&list[x]) && y < x; y++) {
                if (address_eq(&list[x].where, &list[y].where))
                    builder_error(b, l, "address", "is the address of an earlier listener; choose another");
            }
        }
    }
    config_diag_fini(&ignored);
}

static bool same_name(const char *a, const char *b)
{
    return a[0] && strcmp(a, b) == 0;
}

/* Told once of each name that was taken. */
static void check_names(struct builder *b, const static_message *in)
{
    for (size_t i = 0; i < in->n_listeners; i++) {
        size_t j = 0;
        while (j < i && !same_name(in->listeners[i]->name, in->listeners[j]->name))
            j++;
        if (j < i)
            builder_error(b, in->listeners[i], "name",
                          "\"%s\" is the name of an earlier listener; choose another",
                          in->listeners[i]->name);
    }
    for (size_t i = 0; i < in->n_secrets; i++) {
        const Envoy__Extensions__TransportSockets__Tls__V3__Secret *one = in->secrets[i];
        size_t j = 0;
        while (j < i &&
               !(one->type_case == in->secrets[j]->type_case && same_name(one->name, in->secrets[j]->name)))
            j++;
        if (j < i)
            builder_error(b, one, "name",
                          "\"%s\" is the name of an earlier secret of this kind; choose another", one->name);
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
    map_init(&b.runtime_read);
    map_init(&b.connection_rates);
    admin(&b, bootstrap);
    builder_default_dns(&b, bootstrap);
    b.out->stat_tags = builder_stat_tags(&b);
    if (bootstrap->cluster_manager && bootstrap->cluster_manager->outlier_detection)
        b.outlier_events =
            builder_event_log(&b, &bootstrap->cluster_manager->outlier_detection->base, "event_log_path",
                              bootstrap->cluster_manager->outlier_detection->event_log_path);
    if (bootstrap->static_resources) {
        cluster_names(&b, bootstrap->static_resources);
        local_cluster(&b, bootstrap);
        clusters(&b, bootstrap->static_resources);
        listeners(&b, bootstrap->static_resources);
        check_names(&b, bootstrap->static_resources);
        check_addresses(&b, bootstrap->static_resources);
    }
    builder_overload(&b, bootstrap->overload_manager);
    builder_runtime_u64(&b, "overload.global_downstream_max_connections", &b.out->connections_max);
    builder_services(&b, bootstrap);
    builder_sinks(&b, bootstrap);
    builder_runtime_report_unread(&b);
    if (b.outlier_events)
        log_file_unref(&b.outlier_events);
    map_fini(&b.runtime_read);
    builder_connection_rates_fini(&b);
    map_fini(&b.clusters);
    arena_fini(&b.scratch);
    if (config_diag_failed(diag))
        config_resources_destroy(&b.out);
    else
        count_inert(doc);
    *out = b.out;
    return b.out ? CONFIG_OK : CONFIG_INVALID;
}
