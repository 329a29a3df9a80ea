/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bootstrap's stats_config to stat_tags: expressions are compiled here, never while a page is made.
 */
#include "config/builder.h"

#include "config/build.h"
#include "proxy/stat_tags.h"

#include <envoy/config/bootstrap/v3/bootstrap.pb-c.h>
#include <envoy/config/metrics/v3/stats.pb-c.h>

typedef Envoy__Config__Metrics__V3__TagSpecifier tag_message;

/* Envoy's own tags: named without an expression they mean Envoy's. Those that Weir's names have. */
static bool is_default(struct slice name)
{
    static const char *const names[] = {"envoy.cluster_name",
                                        "envoy.http_conn_manager_prefix",
                                        "envoy.listener_address",
                                        "envoy.response_code",
                                        "envoy.response_code_class",
                                        "envoy.route",
                                        "envoy.virtual_cluster",
                                        "envoy.virtual_host",
                                        "envoy.local_http_ratelimit_prefix",
                                        "envoy.local_network_ratelimit_prefix",
                                        "envoy.local_listener_ratelimit_prefix"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_eq(name, slice_str(names[i])))
            return true;
    }
    return false;
}

static void tag(struct builder *b, struct stat_tags *tags, const tag_message *in)
{
    char why[256];
    struct slice name = slice_str(in->tag_name);
    if (in->tag_value_case == ENVOY__CONFIG__METRICS__V3__TAG_SPECIFIER__TAG_VALUE_FIXED_VALUE) {
        if (!stat_tags_add_fixed(tags, name, slice_str(in->fixed_value)))
            builder_error(b, in, "fixed_value", "there are more than %u tags", STAT_TAGS_MAX);
    } else if (in->tag_value_case == ENVOY__CONFIG__METRICS__V3__TAG_SPECIFIER__TAG_VALUE_REGEX &&
               in->regex[0]) {
        if (!stat_tags_add_regex(tags, name, slice_str(in->regex), why, sizeof(why)))
            builder_error(b, in, "regex", "%s", why);
    } else if (!is_default(name)) {
        builder_error(b, in, "regex",
                      "No regex specified for tag specifier and no default regex for name: '%s'",
                      in->tag_name);
    }
}

struct stat_tags *builder_stat_tags(struct builder *b)
{
    const Envoy__Config__Metrics__V3__StatsConfig *in = config_bootstrap(b->doc)->stats_config;
    if (!in)
        return NULL;
    struct stat_tags *tags = stat_tags_create(builder_bool(in->use_all_default_tags, true));
    if (!tags) {
        builder_error(b, in, NULL, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < in->n_stats_tags; i++)
        tag(b, tags, in->stats_tags[i]);
    return tags;
}
