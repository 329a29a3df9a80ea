/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a checked document to the immutable resources that the data path reads. What only the whole can tell
 * is checked here: names that refer to nothing, addresses used twice, a chain without a router, files that
 * cannot be read. Every error is reported with its position, in the same run. Main thread; loading plugins is
 * slow.
 */
#ifndef WEIR_CONFIG_BUILD_H
#define WEIR_CONFIG_BUILD_H

#include "config/load.h"
#include "proxy/listener/listener_config.h"
#include "upstream/cluster_config.h"

struct overload_config;
struct wasm_plugin;
struct wasm_service;
struct stat_tags;
struct tls_config;

struct config_build_options {
    /* Loads the plugins. NULL: their configuration is checked and no module is loaded; the resources are then
     * good for nothing but being destroyed. */
    struct wasm_service *wasm;
    const struct config_doc *policy; /* NULL: no --policy */
    bool check_only;                 /* nothing is created outside: no access log is opened. `wasm` is NULL */
};

/* Owns one reference to each resource. */
struct config_resources {
    const struct listener_config **listeners;
    size_t listeners_count;
    const struct cluster_config **clusters;
    size_t clusters_count;
    struct overload_config *overload; /* NULL: no overload manager */
    uint64_t connections_max; /* downstream, by the runtime key; a monitor of them counts before. 0: none */
    struct stat_tags *stat_tags; /* NULL: Envoy's own only */
    /* Plugins that run by themselves (bootstrap extensions), and stat sinks; NULL content when no modules
     * were loaded. */
    struct wasm_plugin **services;
    size_t services_count;
    struct wasm_plugin **sinks;
    size_t sinks_count;
    const struct tls_config **tls; /* of listeners and clusters: their files are watched, /certs shows them */
    size_t tls_count;
    uint64_t stats_flush_ms; /* default 5 s */
    struct address admin;    /* len 0: no admin interface */
    uint32_t admin_mode;     /* of a Unix socket; 0: as the umask has it */
};

/*
 * The document stays the caller's and may be destroyed at once; it is what /config_dump shows. A document
 * that has errors already may be given too, with check_only, only to find more of them: what is missing in it
 * is passed over.
 */
enum config_result config_build(const struct config_doc *doc, const struct config_build_options *options,
                                struct config_diag *diag, struct config_resources **out);
/* Drops the references. NULL content is fine. */
void config_resources_destroy(struct config_resources **resources);

#endif
