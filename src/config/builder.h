/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the build_*.c files share: the state of one build, and the small conversions from API messages to the
 * plain types of the data path. Private to this room.
 */
#ifndef WEIR_CONFIG_BUILDER_H
#define WEIR_CONFIG_BUILDER_H

#include "base/build_error.h"
#include "base/map.h"
#include "config/build.h"
#include "proxy/hcm_config.h"
#include "proxy/logging/access_log.h"
#include "proxy/routing/route_config.h"
#include "upstream/cluster_config.h"
#include "upstream/typed_value.h"

#include <envoy/config/accesslog/v3/accesslog.pb-c.h>
#include <envoy/config/bootstrap/v3/bootstrap.pb-c.h>
#include <envoy/config/cluster/v3/cluster.pb-c.h>
#include <envoy/config/listener/v3/listener.pb-c.h>
#include <envoy/config/rbac/v3/rbac.pb-c.h>
#include <envoy/config/route/v3/route.pb-c.h>
#include <envoy/extensions/filters/http/health_check/v3/health_check.pb-c.h>
#include <envoy/extensions/filters/http/wasm/v3/wasm.pb-c.h>
#include <envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h>
#include <envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb-c.h>
#include <envoy/extensions/filters/network/wasm/v3/wasm.pb-c.h>
#include <envoy/extensions/load_balancing_policies/subset/v3/subset.pb-c.h>
#include <envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.pb-c.h>
#include <envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h>
#include <envoy/extensions/upstreams/http/v3/http_protocol_options.pb-c.h>
#include <envoy/type/v3/token_bucket.pb-c.h>
#include <xds/type/matcher/v3/string.pb-c.h>

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpFilter http_filter_message;

struct builder {
    const struct config_doc *doc;
    struct config_diag *diag;
    const struct config_build_options *options;
    struct config_resources *out;
    struct map clusters;                                   /* name -> Cluster message */
    struct map runtime_read;                               /* keys that had a value; values mean nothing */
    struct map connection_rates;                           /* owned references, by what makes them one */
    struct arena scratch;                                  /* for the time of the build */
    const Envoy__Config__Listener__V3__Listener *listener; /* under way */
    const struct matched_route *matched_routes;            /* of the route table under way or made last */
    const char *chain_name;                                /* of the filter chain under way; NULL: none */
    /* Of the HTTP connection manager under way: its filters as far as they were made, and the messages of
     * those of all its chains. */
    const struct hcm_config *hcm;
    http_filter_message *const *http_filters;
    size_t http_filters_count;
    struct dns_options dns;          /* of the bootstrap */
    struct log_file *outlier_events; /* owned; of all clusters. NULL: no log */
    bool clusters_unknown;           /* some cluster has no name, so none can be missed */
    bool out_of_memory;
};

/* A route that stands in the tree of a virtual host. */
struct matched_route {
    const struct matched_route *next;
    const Envoy__Config__Route__V3__Route *message;
    uint32_t host, number; /* where its place in the table is */
};

/* An error about a field of a message. Nothing is built from a document with errors. */
#define builder_error(b, msg, field, ...)                                                                    \
    config_error_at((b)->doc, (b)->diag, &(msg)->base, field, -1, __VA_ARGS__)
#define builder_error_item(b, msg, field, index, ...)                                                        \
    config_error_at((b)->doc, (b)->diag, &(msg)->base, field, (int32_t)(index), __VA_ARGS__)

/* Copies into a resource's arena; reports once when it is full. Never gives a NULL pointer on success. */
struct slice builder_text(struct builder *b, struct arena *arena, const char *text);
struct slice builder_bytes(struct builder *b, struct arena *arena, const void *data, size_t len);
/* `count` zeroed items; NULL when the arena is full (reported) or count is 0. */
void *builder_array(struct builder *b, struct arena *arena, size_t count, size_t size);
/* The same, of copies. */
struct slice *builder_texts(struct builder *b, struct arena *arena, char *const *in, size_t count);

/* What is in a message's typed_config, which must be there: `says` tells for what. NULL after an error, and
 * for what is refused by its class. */
#define builder_typed(b, msg, says) builder_typed_config((b), &(msg)->base, (msg)->typed_config, (says))
const ProtobufCMessage *builder_typed_config(struct builder *b, const ProtobufCMessage *owner,
                                             const Google__Protobuf__Any *in, const char *says);

/* Rounded up, so that a short duration never becomes "off". */
uint64_t builder_ms(const Google__Protobuf__Duration *d, uint64_t unset);
static inline bool builder_bool(const Google__Protobuf__BoolValue *v, bool unset)
{
    return v ? v->value != 0 : unset;
}
static inline uint32_t builder_u32(const Google__Protobuf__UInt32Value *v, uint32_t unset)
{
    return v ? v->value : unset;
}

/* Part of a whole; all of it for NULL. */
void builder_fraction(const Envoy__Type__V3__FractionalPercent *in, uint32_t *numerator,
                      uint32_t *denominator);

/* The bytes that a DataSource names, in `arena`. ptr NULL after an error; files of at most `max` bytes. */
struct slice builder_data_source(struct builder *b, const Envoy__Config__Core__V3__DataSource *source,
                                 struct arena *arena, size_t max);
/* false after an error. */
bool builder_address(struct builder *b, const Envoy__Config__Core__V3__Address *address, struct address *out);
const struct cidr *builder_cidrs(struct builder *b, struct arena *arena, const ProtobufCMessage *owner,
                                 const char *field, Envoy__Config__Core__V3__CidrRange *const *ranges,
                                 size_t count);

/* For the *_finish functions of resources: their paths are found below `root`. Count errors by diag. */
struct builder_finish {
    struct builder *b;
    const ProtobufCMessage *root;
    struct build_errors errors;
};
void builder_finish_init(struct builder_finish *f, struct builder *b, const ProtobufCMessage *root);

/* --- build_stats.c --- */
struct stat_tags *builder_stat_tags(struct builder *b);

/* --- build_runtime.c --- The number of a runtime key; false: no layer has it, or after an error. */
bool builder_runtime_u64(struct builder *b, const char *key, uint64_t *out);
/* The same into a number that a field gave, cut off at its type's or at 100 percent. */
bool builder_runtime_limit(struct builder *b, uint32_t *limit, const char *key);
void builder_runtime_percent(struct builder *b, uint32_t *percent, const char *key);
bool builder_runtime_number(struct builder *b, const char *key, double *out);
/* At the end of a build: notes about keys that nobody asked for. */
void builder_runtime_report_unread(struct builder *b);
/* Values that a runtime key may replace. */
double builder_runtime_double(struct builder *b, const Envoy__Config__Core__V3__RuntimeDouble *in);
bool builder_runtime_flag(struct builder *b, const Envoy__Config__Core__V3__RuntimeFeatureFlag *in);
/* 0 for NULL. */
uint32_t builder_runtime_u32(struct builder *b, const Envoy__Config__Core__V3__RuntimeUInt32 *in);
/* All of it for NULL. Whether a layer has the key. */
bool builder_runtime_fraction(struct builder *b, const Envoy__Config__Core__V3__RuntimeFractionalPercent *in,
                              uint32_t *numerator, uint32_t *denominator);
/* Calls `each` with the keys of the static layers that begin with `prefix`, some of them more than once, and
 * with the structs around them. */
void builder_runtime_each(struct builder *b, const char *prefix, void (*each)(void *arg, const char *key),
                          void *arg);

/* --- build_cluster_runtime.c --- */
void builder_cluster_runtime(struct builder *b, struct cluster_config *c);

/* --- build_overload.c: into b->out; NULL is fine --- */
void builder_overload(struct builder *b, const Envoy__Config__Overload__V3__OverloadManager *in);

/* --- build_value.c --- */
/* A message as plugins and access logs look into it; NULL for NULL, and after an error. */
const struct typed_value *builder_value(struct builder *b, struct arena *arena, const void *msg);

/* --- build_match.c --- */
void builder_string_matcher(struct builder *b, struct arena *arena,
                            const Envoy__Type__Matcher__V3__StringMatcher *in, struct string_matcher *out);
void builder_xds_string_matcher(struct builder *b, struct arena *arena,
                                const Xds__Type__Matcher__V3__StringMatcher *in, struct string_matcher *out);
void builder_header_matcher(struct builder *b, struct arena *arena,
                            const Envoy__Config__Route__V3__HeaderMatcher *in, struct header_matcher *out);
/* NULL with a count of 0 when there are none. */
struct header_matcher *builder_header_matchers(struct builder *b, struct arena *arena,
                                               Envoy__Config__Route__V3__HeaderMatcher *const *in,
                                               size_t count, uint32_t *out_count);
void builder_query_matcher(struct builder *b, struct arena *arena,
                           const Envoy__Config__Route__V3__QueryParameterMatcher *in,
                           struct query_matcher *out);

/* --- build_route_match.c --- */
void builder_route_match(struct builder *b, struct arena *arena,
                         const Envoy__Config__Route__V3__RouteMatch *in, struct route_match *out);
void builder_value_matcher(struct builder *b, struct arena *arena,
                           const Envoy__Type__Matcher__V3__ValueMatcher *in, struct value_matcher *out);
void builder_metadata_matcher(struct builder *b, struct arena *arena,
                              const Envoy__Type__Matcher__V3__MetadataMatcher *in,
                              struct metadata_matcher *out);
void builder_filter_state_matcher(struct builder *b, struct arena *arena,
                                  const Envoy__Type__Matcher__V3__FilterStateMatcher *in,
                                  struct filter_state_matcher *out);
/* The template of a path_match_policy or its like; "/" after an error. */
struct slice builder_template(struct builder *b, struct arena *arena,
                              const Envoy__Config__Core__V3__TypedExtensionConfig *in);
/* The template of a path_rewrite_policy; ptr NULL: there is none. */
struct slice builder_template_rewrite(struct builder *b, struct arena *arena,
                                      const Envoy__Config__Route__V3__RouteAction *in);

/* --- build_mutation.c --- without the checks of header_mutation_finish */
void builder_mutation(struct builder *b, struct arena *arena,
                      Envoy__Config__Core__V3__HeaderValueOption *const *add, size_t add_count,
                      char *const *remove, size_t remove_count, struct header_mutation *out);

/* One of them. */
void builder_header_add(struct builder *b, struct arena *arena,
                        const Envoy__Config__Core__V3__HeaderValueOption *in, struct header_add *out);

/* --- build_header_steps.c --- `field` of `owner`; checked already */
struct header_steps;
void builder_header_steps(struct builder *b, struct arena *arena, const ProtobufCMessage *owner,
                          const char *field,
                          Envoy__Config__Common__MutationRules__V3__HeaderMutation *const *in, size_t count,
                          struct header_steps *out);
bool builder_is_mutation(const ProtobufCMessage *msg);
bool builder_mutation_filter(struct builder *b, const ProtobufCMessage *msg, struct filter_config *out);
/* true: the entry is one for such a filter, and was built or reported. */
bool builder_mutation_route(struct builder *b, const ProtobufCMessage *msg, struct filter_override *o);
void builder_early_steps(
    struct builder *b,
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager *in,
    struct hcm_config *h);

/* --- build_redirect.c --- */
void builder_internal_redirect(struct builder *b, struct arena *arena,
                               const Envoy__Config__Route__V3__InternalRedirectPolicy *in,
                               struct redirect_policy *out);

/* --- build_retry.c --- */
/* NULL for NULL, and after an error. */
struct retry_policy *builder_retry(struct builder *b, struct arena *arena,
                                   const Envoy__Config__Route__V3__RetryPolicy *in);

/* --- build_log.c --- */
/* A value with %OPERATORS%. NULL with *plain filled when there is none (%% already made %), or after an
 * error. */
struct stream_format *builder_value_format(struct builder *b, struct arena *arena,
                                           const Envoy__Config__Core__V3__HeaderValue *header,
                                           struct slice *plain);
/* NULL after an error. */
struct stream_format *builder_format(struct builder *b,
                                     const Envoy__Config__Core__V3__SubstitutionFormatString *in);
/* JSON texts say so unless the configuration says otherwise; empty: text/plain. */
struct slice builder_format_content_type(struct builder *b, struct arena *arena,
                                         const Envoy__Config__Core__V3__SubstitutionFormatString *in);
struct stream_predicate *builder_predicate(struct builder *b,
                                           const Envoy__Config__Accesslog__V3__AccessLogFilter *in);
/* The array lies in `arena`; the logs are the caller's to destroy. */
void builder_access_logs(struct builder *b, Envoy__Config__Accesslog__V3__AccessLog *const *logs,
                         size_t count, struct arena *arena, struct access_log ***out, size_t *out_count);

/* --- build_lb.c --- */
/* The cluster brings its own way to pick hosts, in place of balancing. false: it does not, nor does it say
 * so.
 */
bool builder_provided(struct builder *b, const Envoy__Config__Cluster__V3__Cluster *in,
                      struct cluster_config *c);
/* What a cluster_type holds. */
void builder_aggregate(struct builder *b, const ProtobufCMessage *msg, struct cluster_config *c);

/* --- build_dynamic.c --- dynamic forward proxy: clusters, the filter, what routes say to it */
bool builder_is_dynamic(const ProtobufCMessage *msg);
void builder_dynamic(struct builder *b, const ProtobufCMessage *msg, struct cluster_config *c);
/* After the cluster's protocol. */
void builder_dynamic_names(struct builder *b, const Envoy__Config__Cluster__V3__Cluster *in,
                           const struct cluster_config *c);
bool builder_is_dynamic_filter(const ProtobufCMessage *config);
bool builder_dynamic_filter(struct builder *b, const ProtobufCMessage *in, struct filter_config *out);
/* true: the entry is one for such a filter, and was built or reported. */
bool builder_dynamic_route(struct builder *b, struct arena *arena, const ProtobufCMessage *config,
                           struct filter_override *o);

/* --- build_dns.c --- The newest of three generations of the same fields counts. `tcp` is the oldest. */
void builder_resolver(struct builder *b, struct arena *arena,
                      const Envoy__Config__Core__V3__TypedExtensionConfig *typed,
                      const Envoy__Config__Core__V3__DnsResolutionConfig *resolution, bool tcp,
                      struct dns_options *out);
void builder_lb(struct builder *b, const Envoy__Config__Cluster__V3__Cluster *in, struct cluster_config *c);

/* --- build_subset.c --- */
void builder_subsets(struct builder *b, const Envoy__Config__Cluster__V3__Cluster__LbSubsetConfig *in,
                     struct cluster_config *c);
void builder_subset_policy(struct builder *b,
                           const Envoy__Extensions__LoadBalancingPolicies__Subset__V3__Subset *in,
                           struct cluster_config *c);
/* The labels of metadata_match over those of `base`; either may be NULL. */
const struct lb_match *builder_match(struct builder *b, struct arena *arena,
                                     const Envoy__Config__Core__V3__Metadata *in,
                                     const struct lb_match *base);

typedef Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions upstream_message;
/* --- build_cluster_policy.c --- */
void builder_cluster_policy(struct builder *b, const upstream_message *in, struct cluster_config *c);

/* --- build_route.c --- `check`: the clusters must be there. */
void builder_mirrors(struct builder *b, struct arena *arena,
                     Envoy__Config__Route__V3__RouteAction__RequestMirrorPolicy *const *in, size_t count,
                     bool check, struct mirror_policies *out);

/* --- build_hash.c --- */
void builder_hash_policies(struct builder *b, struct arena *arena,
                           Envoy__Config__Route__V3__RouteAction__HashPolicy *const *in, size_t count,
                           struct hash_policies *out);
/* What stands behind Max-Age in a set-cookie header, in Envoy's order: the path, attributes, HttpOnly. `end`
 * frees the text, and reports an error about `in`. */
void builder_cookie_begin(struct strbuf *text, const char *path);
void builder_cookie_attribute(struct strbuf *text, const char *name, const char *value);
struct slice builder_cookie_end(struct builder *b, struct arena *arena, const ProtobufCMessage *in,
                                struct strbuf *text);
struct tcp_proxy_config;
void builder_tcp_hash(struct builder *b,
                      const Envoy__Extensions__Filters__Network__TcpProxy__V3__TcpProxy *in,
                      struct tcp_proxy_config *t);

/* --- build_dns.c --- How the cluster's hosts are found. */
void builder_discovery(struct builder *b, const Envoy__Config__Cluster__V3__Cluster *in,
                       struct cluster_config *c);
/* The resolver of clusters that name none, into b->dns. */
void builder_default_dns(struct builder *b, const Envoy__Config__Bootstrap__V3__Bootstrap *in);
/* --- build_sockets.c --- Options of sockets; sources, keep-alive and preconnecting of a cluster's
 * connections. */
void builder_socket_options(struct builder *b, Envoy__Config__Core__V3__SocketOption *const *in, size_t count,
                            struct arena *arena, struct socket_options *out);
/* Adds those of TCP keep-alive, which connections have from the socket that accepts them. NULL, and a field
 * of 0, mean none. */
void builder_keepalive_options(struct builder *b, const Envoy__Config__Core__V3__TcpKeepalive *in,
                               struct arena *arena, struct socket_options *out);
void builder_sockets(struct builder *b, const Envoy__Config__Cluster__V3__Cluster *in,
                     struct cluster_config *c);

/* --- build_health_filter.c --- false after an error. */
bool builder_health_filter(struct builder *b,
                           const Envoy__Extensions__Filters__Http__HealthCheck__V3__HealthCheck *in,
                           struct slice stat_prefix, struct filter_config *out);

/* --- build_health.c --- */
/* One reference; NULL for "", when checking only, and after an error. */
struct log_file *builder_event_log(struct builder *b, const ProtobufCMessage *owner, const char *field,
                                   const char *path);
/* The same; `secret`: a file that is made here is its owner's alone. */
struct log_file *builder_log_file(struct builder *b, const ProtobufCMessage *owner, const char *field,
                                  const char *path, bool secret);
struct builder_finish;
/* After the cluster's protocol. */
void builder_health(struct builder *b, const Envoy__Config__Cluster__V3__Cluster *in,
                    struct cluster_config *c, struct builder_finish *finish);
void builder_endpoint_health(struct builder *b, struct arena *arena,
                             const Envoy__Config__Endpoint__V3__Endpoint *in, struct endpoint_config *out);
void builder_outlier(struct builder *b, const Envoy__Config__Cluster__V3__Cluster *in,
                     struct cluster_config *c);

/* --- build_http1.c --- How names of fields are written. */
struct h1_key_format builder_key_format(struct builder *b,
                                        const Envoy__Config__Core__V3__Http1ProtocolOptions *in);

/* --- build_http2.c --- NULL keeps what is there. */
void builder_http2(struct builder *b, const Envoy__Config__Core__V3__Http2ProtocolOptions *in,
                   struct arena *arena, struct h2_settings *out, struct h2_keepalive_config *alive);

/* --- build_tls_verify.c --- */
struct tls_validation;
struct tls_verify;
typedef Envoy__Extensions__TransportSockets__Tls__V3__CommonTlsContext tls_common_message;
/* One reference to what peers must satisfy, and in *verify one to what its files make of it now. NULL:
 * nothing is configured, or after an error. match_sni: auto_sni_san_validation. */
const struct tls_validation *builder_tls_validation(struct builder *b, const tls_common_message *in,
                                                    bool match_sni, struct tls_verify **verify);

/* --- build_proxy.c --- PROXY headers to upstreams */
typedef Envoy__Extensions__TransportSockets__ProxyProtocol__V3__ProxyProtocolUpstreamTransport
    proxy_socket_message;
/* NULL: no header. */
enum proxy_version builder_proxy_version(const Envoy__Config__Core__V3__ProxyProtocolConfig *in);
/* Which TLVs pass: all, or those whose bit is set. NULL: none. */
void builder_pass_tlvs(const Envoy__Config__Core__V3__ProxyProtocolPassThroughTLVs *in, bool *all,
                       uint8_t types[32]);
/* As on the wire, in b->scratch. ptr NULL after an error. */
struct slice builder_tlvs(struct builder *b, const ProtobufCMessage *owner, const char *field,
                          Envoy__Config__Core__V3__TlvEntry *const *in, size_t count);
/* Which the cluster owns. NULL after an error. `metadata`: of an endpoint, whose own TLVs replace others of
 * their type; NULL: none. */
const struct upstream_proxy *builder_upstream_proxy(struct builder *b, struct cluster_config *c,
                                                    const proxy_socket_message *in,
                                                    const Envoy__Config__Core__V3__Metadata *metadata);
/* Whether an endpoint has TLVs of its own. */
bool builder_has_tlvs(const struct builder *b, const Envoy__Config__Core__V3__Metadata *metadata);

/* --- build_tls_upstream.c --- transport sockets, and which endpoint has which; its protocol is known. */
void builder_cluster_tls(struct builder *b, const Envoy__Config__Cluster__V3__Cluster *in,
                         struct cluster_config *out);

/* --- build_*.c: each returns one reference, or NULL after an error --- */
const struct cluster_config *builder_cluster(struct builder *b,
                                             const Envoy__Config__Cluster__V3__Cluster *in);
const struct listener_config *builder_listener(struct builder *b,
                                               const Envoy__Config__Listener__V3__Listener *in);
typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager hcm_message;
const struct hcm_config *builder_hcm(struct builder *b, const hcm_message *in);
typedef Envoy__Extensions__Filters__Network__TcpProxy__V3__TcpProxy tcp_proxy_message;
const struct tcp_proxy_config *builder_tcp_proxy(struct builder *b, const tcp_proxy_message *in);
const struct route_table *builder_routes(struct builder *b,
                                         const Envoy__Config__Route__V3__RouteConfiguration *in);
/* Fills one entry of the chain; false after an error. */
struct wasm_plugin;
typedef Envoy__Extensions__Wasm__V3__PluginConfig plugin_message;
/* One reference to the plugin; NULL after an error, and when no modules are loaded. `owner` has the field
 * "config". */
struct wasm_plugin *builder_wasm_plugin(struct builder *b, const ProtobufCMessage *owner,
                                        const plugin_message *in, bool singleton);
/* build_service.c: bootstrap extensions and stat sinks, into b->out. */
void builder_services(struct builder *b, const Envoy__Config__Bootstrap__V3__Bootstrap *in);
void builder_sinks(struct builder *b, const Envoy__Config__Bootstrap__V3__Bootstrap *in);
bool builder_wasm_network_filter(struct builder *b,
                                 const Envoy__Extensions__Filters__Network__Wasm__V3__Wasm *in,
                                 struct slice filter_name, struct network_filter_config *out);
bool builder_wasm_filter(struct builder *b, const Envoy__Extensions__Filters__Http__Wasm__V3__Wasm *in,
                         struct slice filter_name, struct filter_config *out);

/* --- build_filter.c --- Errors are reported. */
struct builder_chain {
    struct arena *arena;      /* of its owner */
    struct slice stat_prefix; /* of the connection manager */
    bool upstream;            /* towards an upstream: it ends in the codec, else in the router */
};
void builder_filters(struct builder *b, const struct builder_chain *at, http_filter_message *const *in,
                     size_t count, struct filter_list *out);

/* The configuration of the filter of that name in the chain under way. NULL: there is no such filter, or it
 * was not understood, and that is reported. */
const ProtobufCMessage *builder_filter_message(const struct builder *b, struct slice name);
/* Whether that filter is of this kind, or not there. */
bool builder_filter_is(const struct builder *b, struct slice name,
                       bool (*is)(const ProtobufCMessage *config));

/* --- build_cors.c --- */
bool builder_is_cors(const ProtobufCMessage *config);
bool builder_cors_filter(struct builder *b, struct slice stat_prefix, const ProtobufCMessage *in,
                         struct filter_config *out);
/* true: the entry is one for a CORS filter, and was built or reported. */
bool builder_cors_route(struct builder *b, struct arena *arena, const ProtobufCMessage *config,
                        struct filter_override *o);

/* The older `cors` of a route or a virtual host, for all CORS filters of the chain; false for NULL. */
bool builder_cors_legacy(struct builder *b, struct arena *arena,
                         const Envoy__Config__Route__V3__CorsPolicy *in, struct filter_overrides *out);

/* --- build_fault.c --- */
bool builder_is_fault(const ProtobufCMessage *config);
bool builder_fault_filter(struct builder *b, struct slice stat_prefix, const ProtobufCMessage *in,
                          struct filter_config *out);
/* true: the entry is one for a filter that injects faults, and was built or reported. */
bool builder_fault_route(struct builder *b, struct arena *arena, const ProtobufCMessage *config,
                         struct filter_override *o);

/* --- build_rbac.c --- */
bool builder_is_rbac(const ProtobufCMessage *config);
bool builder_rbac_filter(struct builder *b, struct slice stat_prefix, const ProtobufCMessage *in,
                         struct filter_config *out);
/* true: the entry is one for a filter of access control, and was built or reported. */
bool builder_rbac_route(struct builder *b, struct arena *arena, const ProtobufCMessage *config,
                        struct filter_override *o);
bool builder_is_rbac_network(const ProtobufCMessage *config);
bool builder_rbac_network(struct builder *b, const ProtobufCMessage *in, struct network_filter_config *out);

/* --- build_rbac_rules.c --- */
struct rbac_rules;
struct rbac_rules_place {
    struct arena *arena;      /* of whoever owns the rules */
    struct slice stat_prefix; /* of policies that are counted one by one; ptr NULL: they are not */
    const char *stat_name;    /* "shadow_" or "" */
    bool connection;          /* of connections, which have no headers */
};
/* NULL for NULL, and without memory. */
struct rbac_rules *builder_rbac_rules(struct builder *b, const struct rbac_rules_place *at,
                                      const Envoy__Config__Rbac__V3__RBAC *in);

/* --- build_rate_limit.c --- without the checks of rate_limits_finish */
void builder_rate_limits(struct builder *b, struct arena *arena,
                         Envoy__Config__Route__V3__RateLimit *const *in, size_t count,
                         struct rate_limits *out);
/* Those of a filter, which know fewer fields. */
void builder_own_rate_limits(struct builder *b, struct arena *arena,
                             Envoy__Config__Route__V3__RateLimit *const *in, size_t count,
                             struct rate_limits *out);
/* false after an error. */
struct token_rate;
bool builder_token_bucket(struct builder *b, const Envoy__Type__V3__TokenBucket *in, struct token_rate *out);

/* --- build_connection_rate.c --- the filters in front of connections; false: off, or after an error */
struct network_filter_config;
struct listener_filter_config;
bool builder_is_connection_rate(const ProtobufCMessage *config);
bool builder_connection_rate(struct builder *b, const ProtobufCMessage *in,
                             struct network_filter_config *out);
bool builder_is_listener_rate(const ProtobufCMessage *config);
bool builder_listener_rate(struct builder *b, const ProtobufCMessage *in, struct listener_filter_config *out);
void builder_connection_rates_fini(struct builder *b);

/* --- build_local_limit.c --- */
bool builder_is_local_limit(const ProtobufCMessage *config);
bool builder_local_limit_filter(struct builder *b, const ProtobufCMessage *in, struct filter_config *out);
/* true: the entry is one for such a filter, and was built or reported. */
bool builder_local_limit_route(struct builder *b, const ProtobufCMessage *config, struct filter_override *o);

/* --- build_session.c --- */
bool builder_is_session(const ProtobufCMessage *config);
bool builder_session_filter(struct builder *b, struct slice stat_prefix, const ProtobufCMessage *in,
                            struct filter_config *out);
/* true: the entry is one for a filter of sticky sessions, and was built or reported. */
bool builder_session_route(struct builder *b, struct arena *arena, const ProtobufCMessage *config,
                           struct filter_override *o);

/* --- build_wasm_route.c --- */
struct filter_override;
/* What a route says to the filter `o->filter_name` of the connection manager under way, beyond switching it.
 */
void builder_route_filter(struct builder *b, const ProtobufCMessage *config, struct filter_override *o);
/* Bytes of a plugin's configuration, in the scratch arena: build_wasm.c. */
struct slice builder_plugin_configuration(struct builder *b, const plugin_message *in);

#endif
