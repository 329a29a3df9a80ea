/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From documents to resources: what only the whole can tell first, then that values arrive where they belong.
 * No plugins are loaded here; their configuration is checked all the same.
 */
#include "config/build.h"
#include "load_case.h"
#include "proxy/routing/route_config.h"
#include "upstream/health_config.h"
#include "upstream/outlier_config.h"

#include <stdlib.h>
#include <unistd.h>

#define HCM "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
#define ROUTER                                                                                               \
    "{name: r, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}"
#define URL "type.googleapis.com/"

struct built {
    struct config_diag diag;
    struct config_doc *doc;
    struct config_resources *resources;
};

static void built_fini(struct built *b)
{
    config_resources_destroy(&b->resources);
    config_doc_destroy(&b->doc);
    config_diag_fini(&b->diag);
}

/* Loads and builds; the load itself must succeed. */
static void build(const char *text, struct built *b)
{
    *b = (struct built){0};
    config_diag_init(&b->diag);
    struct strbuf said;
    strbuf_init(&said, 1 << 20);
    config_load_text(load_case_desc(NULL), "t", slice_str(text), &b->diag, &b->doc);
    config_diag_print_errors(&b->diag, &said);
    assert_string_equal(strbuf_cstr(&said), "");
    config_build(b->doc, &(struct config_build_options){0}, &b->diag, &b->resources);
    strbuf_fini(&said);
}

static void expect_errors(const char *text, const char *errors)
{
    struct built b;
    struct strbuf said;
    build(text, &b);
    strbuf_init(&said, 1 << 20);
    config_diag_print_errors(&b.diag, &said);
    if (strcmp(strbuf_cstr(&said), errors) != 0)
        printf("text:\n%s\n", text);
    assert_string_equal(strbuf_cstr(&said), errors);
    assert_int_equal(b.resources != NULL, errors[0] == '\0');
    strbuf_fini(&said);
    built_fini(&b);
}

/* One listener whose connection manager has these fields besides stat_prefix; line 2 is the caller's first.
 */
static void expect_hcm_errors(const char *fields, const char *errors)
{
    struct strbuf text;
    strbuf_init(&text, 1 << 20);
    strbuf_printf(
        &text,
        "static_resources: {clusters: [{name: up}], listeners: [{name: l, address: {pipe: {path: '@l'}}, "
        "filter_chains: [{filters: [{name: h, typed_config: {'@type': " URL HCM
        ", stat_prefix: s,\n%s}}]}]}]}",
        fields);
    expect_errors(strbuf_cstr(&text), errors);
    strbuf_fini(&text);
}

#define AT       "static_resources.listeners[0].filter_chains[0].filters[0].typed_config"
#define FILTERS  "http_filters: [" ROUTER "]"
#define ROUTE(x) "route_config: {virtual_hosts: [{name: v, domains: ['*'], routes: [\n" x "]}]}, " FILTERS

static void test_listeners(void **state)
{
    (void)state;
    expect_errors(
        "static_resources:\n"
        "  listeners:\n"
        "  - name: a\n"
        "    address: {socket_address: {address: 127.0.0.1, port_value: 80}}\n"
        "  - name: a\n"
        "    address: {socket_address: {address: 127.0.0.1, port_value: 80}}\n"
        "    filter_chains: [{filters: []}]\n"
        "  - name: c\n"
        "    address: {socket_address: {address: localhost, port_value: 80}}\n"
        "  - {name: d}\n",
        "t:3:5: static_resources.listeners[0].filter_chains: is empty, and there is no default_filter_chain: "
        "add one\n"
        "t:5:11: static_resources.listeners[1].name: \"a\" is the name of an earlier listener; choose "
        "another\n"
        "t:6:14: static_resources.listeners[1].address: is the address of an earlier listener; choose "
        "another\n"
        "t:7:31: static_resources.listeners[1].filter_chains[0].filters: is empty: it needs an "
        "HttpConnectionManager or a TcpProxy\n"
        "t:8:5: static_resources.listeners[2].filter_chains: is empty, and there is no default_filter_chain: "
        "add one\n"
        "t:9:41: static_resources.listeners[2].address.socket_address.address: \"localhost\" is no IP "
        "address; "
        "a name cannot be used here\n"
        "t:10:5: static_resources.listeners[3].address: is required; set it\n"
        "t:10:5: static_resources.listeners[3].filter_chains: is empty, and there is no "
        "default_filter_chain: "
        "add one\n");
    expect_errors("static_resources:\n"
                  "  secrets:\n"
                  "  - {name: s, generic_secret: {secret: {inline_string: x}}}\n"
                  "  - {name: s, validation_context: {}}\n"
                  "  - {name: s, generic_secret: {secret: {inline_string: z}}}\n"
                  "  listeners:\n"
                  "  - address: {socket_address: {address: 0.0.0.0, port_value: 80, ipv4_compat: true}}\n"
                  "    filter_chains: [{filters: [{name: h, typed_config: {'@type': " URL HCM
                  ", stat_prefix: a, route_config: {}, " FILTERS "}}]}]\n",
                  "t:5:12: static_resources.secrets[2].name: \"s\" is the name of an earlier secret of this "
                  "kind; choose another\n"
                  "t:7:79: static_resources.listeners[0].address.socket_address.ipv4_compat: is for the "
                  "address :: or an IPv4-mapped IPv6 address\n");
    /* Port 0 is a free port each time; a name may be missing. */
    struct built b;
    build("static_resources: {listeners: [{address: {socket_address: {address: ::1, port_value: 0}}, "
          "default_filter_chain: "
          "{filters: [{name: h, typed_config: {'@type': " URL HCM
          ", stat_prefix: a, route_config: {}, " FILTERS
          "}}]}}, {address: {socket_address: {address: ::1, port_value: 0}}, default_filter_chain: "
          "{filters: [{name: h, typed_config: {'@type': " URL HCM
          ", stat_prefix: b, route_config: {}, " FILTERS "}}]}}]}",
          &b);
    assert_false(config_diag_failed(&b.diag));
    assert_int_equal(b.resources->listeners_count, 2);
    assert_true(slice_eq(b.resources->listeners[0]->name, SLICE_LIT("[::1]:0")));
    assert_non_null(b.resources->listeners[0]->default_chain->hcm);
    built_fini(&b);
}

static void test_filter_chain_matches(void **state)
{
    (void)state;
#define CHAIN(match)                                                                                         \
    "{" match ", filters: [{name: h, typed_config: {'@type': " URL HCM                                       \
    ", stat_prefix: s, route_config: {}, " FILTERS "}}]}"
    expect_errors("static_resources: {listeners: [{name: l, address: {pipe: {path: '@l'}}, filter_chains: "
                  "[\n" CHAIN("filter_chain_match: {destination_port: 80}") ",\n" CHAIN(
                      "filter_chain_match: {destination_port: 80}") ",\n" CHAIN("filter_chain_match: "
                                                                                "{prefix_ranges: "
                                                                                "[{address_prefix: 10.0.0.0, "
                                                                                "prefix_len: 33}]}") "]}]}",
                  "t:3:22: static_resources.listeners[0].filter_chains[1].filter_chain_match: filter chain "
                  "'' has the same matching rules defined as ''. duplicate matcher is: "
                  "{\"destination_port\":80}\n"
                  "t:4:38: "
                  "static_resources.listeners[0].filter_chains[2].filter_chain_match.prefix_ranges[0]: "
                  "\"10.0.0.0/33\" is no range of IP addresses\n");
}

static void test_clusters(void **state)
{
    (void)state;
    expect_errors(
        "static_resources:\n"
        "  clusters:\n"
        "  - name: a\n"
        "  - name: a\n"
        "  - name: b\n"
        "    circuit_breakers: {thresholds: [{max_requests: 1}, {max_requests: 2}]}\n"
        "  - name: c\n"
        "    load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{}]}]}\n",
        "t:4:11: static_resources.clusters[1].name: \"a\" is the name of an earlier cluster; choose another\n"
        "t:6:56: static_resources.clusters[2].circuit_breakers.thresholds[1]: is the second one of this "
        "priority; remove one\n"
        "t:8:68: static_resources.clusters[3].load_assignment.endpoints[0].lb_endpoints[0].endpoint: needs "
        "an "
        "address\n");
}

static void test_chain_ends_with_the_router(void **state)
{
    (void)state;
    expect_hcm_errors("route_config: {}", "t:1:148: " AT ".http_filters: is empty; the last filter must be "
                                          "envoy.extensions.filters.http.router.v3.Router\n");
    expect_hcm_errors(
        "route_config: {}, http_filters: [\n{name: w},\n" ROUTER ",\n" ROUTER "]",
        "t:3:1: " AT ".http_filters[0].typed_config: is required: it says which filter this is\n"
        "t:4:1: " AT ".http_filters[1]: the router ends the chain; move it behind the other filters\n");
}

/* A choice that was not made, or was refused, is not looked into. */
static void test_choices_not_made(void **state)
{
    (void)state;
    expect_hcm_errors(
        "scheme_header_transformation: {}, " ROUTE("{match: {prefix: /}, route: {cluster: up}}"), "");
}

static void test_routes(void **state)
{
    (void)state;
    expect_hcm_errors(ROUTE("{match: {prefix: /}, route: {cluster: nowhere}}"),
                      "t:3:39: " AT
                      ".route_config.virtual_hosts[0].routes[0].route.cluster: there is no cluster "
                      "\"nowhere\"; add it to static_resources.clusters\n");
    expect_hcm_errors(
        ROUTE("{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: up, weight: 1},\n{name: x, "
              "weight: 2}]}}}"),
        "t:4:8: " AT ".route_config.virtual_hosts[0].routes[0].route.weighted_clusters.clusters[1].name: "
        "there is no cluster \"x\"; add it to static_resources.clusters\n");
    expect_hcm_errors(
        ROUTE("{match: {prefix: /}, route: {cluster: up}, typed_per_filter_config: {wasn: {'@type': " URL
              "envoy.config.route.v3.FilterConfig, disabled: true}}}"),
        "t:3:76: " AT ".route_config.virtual_hosts[0].routes[0].typed_per_filter_config{\"wasn\"}: "
        "http_filters has no filter of this name\n");
    expect_hcm_errors(
        ROUTE("{match: {prefix: /}, route: {cluster: up}, typed_per_filter_config: {r: {'@type': " URL
              "envoy.config.route.v3.FilterConfig}}}"),
        "t:3:73: " AT ".route_config.virtual_hosts[0].routes[0].typed_per_filter_config{\"r\"}: is empty; "
        "write disabled: true, or config: {} to switch the filter on\n");
    expect_hcm_errors(
        ROUTE("{match: {prefix: /}, direct_response: {status: 200, body: {filename: /dev/zero}}}"),
        "t:3:70: " AT ".route_config.virtual_hosts[0].routes[0].direct_response.body.filename: cannot "
        "read \"/dev/zero\": it is no regular file\n");
    expect_hcm_errors(
        ROUTE("{match: {prefix: /}, direct_response: {status: 200, body: {filename: /nonexistent}}}"),
        "t:3:70: " AT ".route_config.virtual_hosts[0].routes[0].direct_response.body.filename: cannot "
        "read \"/nonexistent\": No such file or directory\n");
}

static void test_virtual_clusters(void **state)
{
    (void)state;
    expect_hcm_errors(
        "route_config: {virtual_hosts: [{name: h, domains: ['*'], virtual_clusters: [{name: a},\n"
        "{name: b, headers: [{name: x, safe_regex_match: {regex: '('}}]}]}]}, " FILTERS,
        "t:2:77: " AT
        ".route_config.virtual_hosts[0].virtual_clusters[0].headers: virtual clusters must define "
        "'headers'\n"
        "t:3:20: " AT
        ".route_config.virtual_hosts[0].virtual_clusters[1].headers[0]: bad regular expression: "
        "error: unclosed group\n");
}

/* What the table's own finish step finds still has its place in the text. */
static void test_errors_of_the_table(void **state)
{
    (void)state;
    expect_hcm_errors(ROUTE("{match: {safe_regex: {regex: '('}},\nroute: {cluster: up}}"),
                      "t:3:22: " AT
                      ".route_config.virtual_hosts[0].routes[0].match.safe_regex: error: unclosed group\n");
    expect_hcm_errors(
        ROUTE("{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: up, weight: 0}]}}}"),
        "t:3:49: " AT ".route_config.virtual_hosts[0].routes[0].route.weighted_clusters: the weights must "
        "sum to between 1 and 4294967295\n");
    expect_hcm_errors(
        ROUTE("{match: {prefix: /}, route: {cluster: up}, request_headers_to_add: [{header: {key: 'a b', "
              "value: '%NO('}}]}"),
        "t:3:68: " AT ".route_config.virtual_hosts[0].routes[0].request_headers_to_add[0]: \"a b\" is no "
        "header name\n"
        "t:3:98: " AT ".route_config.virtual_hosts[0].routes[0].request_headers_to_add[0].header.value: a "
        "'%' has no partner; write %% for a percent sign\n");
}

static void test_logs(void **state)
{
    (void)state;
#define FILE_LOG(x)                                                                                          \
    "route_config: {}, " FILTERS ", access_log: [{name: f, typed_config: {'@type': " URL                     \
    "envoy.extensions.access_loggers.file.v3.FileAccessLog,\n" x "}}]"
    expect_hcm_errors(FILE_LOG("path: /nonexistent/log"),
                      "t:3:7: " AT
                      ".access_log[0].typed_config.path: cannot open \"/nonexistent/log\" for appending: No "
                      "such file or directory\n");
}

#define WASM(x)                                                                                              \
    "route_config: {}, http_filters: [{name: w, typed_config: {'@type': " URL                                \
    "envoy.extensions.filters.http.wasm.v3.Wasm,\n" x "}}, " ROUTER "]"

static void test_plugins(void **state)
{
    (void)state;
    expect_hcm_errors(WASM(""), "t:2:58: " AT ".http_filters[0].typed_config.config: is required; set it\n");
    expect_hcm_errors(WASM("config: {}"),
                      "t:3:9: " AT ".http_filters[0].typed_config.config.vm_config: is required: it "
                      "says where the code is\n");
    expect_hcm_errors(
        WASM("config: {vm_config: {runtime: v8}}"),
        "t:3:31: " AT ".http_filters[0].typed_config.config.vm_config.runtime: \"v8\" is not known; write "
        "envoy.wasm.runtime.v8, .wasmtime or .wamr (all mean the sandbox), or envoy.wasm.runtime.null\n");
    expect_hcm_errors(WASM("config: {vm_config: {code: {local: {filename: /nonexistent.wasm}}}}"),
                      "t:3:47: " AT
                      ".http_filters[0].typed_config.config.vm_config.code.local.filename: cannot read "
                      "\"/nonexistent.wasm\": No such file or directory\n");
    expect_hcm_errors(WASM("config: {fail_open: true, failure_policy: FAIL_CLOSED, vm_config: {code: {local: "
                           "{inline_string: x}}}}"),
                      "t:3:21: " AT
                      ".http_filters[0].typed_config.config.fail_open: stands beside failure_policy; keep "
                      "failure_policy\n");
    expect_hcm_errors(
        WASM("config: {name: p, vm_config: {code: {local: {inline_string: x}}, environment_variables: "
             "{host_env_keys: [A], key_values: {A: b}}}}"),
        "t:3:89: " AT ".http_filters[0].typed_config.config.vm_config.environment_variables: Key A is "
        "duplicated in envoy.extensions.wasm.v3.VmConfig.environment_variables for p. All the keys must be "
        "unique.\n");
    expect_hcm_errors(
        WASM("config: {vm_config: {runtime: envoy.wasm.runtime.null, code: {local: {filename: /x.so}}}}"),
        "t:3:81: " AT ".http_filters[0].typed_config.config.vm_config.code.local.filename: the null runtime "
        "takes a plugin's name in inline_string, never a path\n");
}

/* What the loader finds and what only the whole can tell come in one run; consequences are left out. */
static void test_both_kinds_in_one_run(void **state)
{
    (void)state;
    load_case_run(&(struct load_case){
        NULL,
        "static_resources:\n"
        "  listeners:\n"
        "  - name: l\n"
        "    address: {socket_address: {address: '', port_value: 80}}\n"
        "    filter_chains:\n"
        "    - filters:\n"
        "      - name: h\n"
        "        typed_config:\n"
        "          '@type': " URL HCM "\n"
        "          stat_prefx: x\n"
        "          route_config:\n"
        "            virtual_hosts:\n"
        "            - name: v\n"
        "              domains: ['*']\n"
        "              routes:\n"
        "              - match: {safe_regex: {regex: '('}}\n"
        "                route: {cluster: nowhere, timeout: 5}\n"
        "          http_filters:\n"
        "          - {name: w, typed_config: {'@type': " URL "a.B}}\n"
        "  clusters: [{name: a}]\n",
        "t:4:41: static_resources.listeners[0].address.socket_address.address: must not be empty\n"
        "t:9:11: static_resources.listeners[0].filter_chains[0].filters[0].typed_config.stat_prefix: must "
        "not be empty\n"
        "t:10:11: static_resources.listeners[0].filter_chains[0].filters[0].typed_config: unknown field "
        "\"stat_prefx\"; "
        "did you mean \"stat_prefix\"?\n"
        "t:16:37: " AT ".route_config.virtual_hosts[0].routes[0].match.safe_regex: error: unclosed group\n"
        "t:17:34: " AT
        ".route_config.virtual_hosts[0].routes[0].route.cluster: there is no cluster \"nowhere\"; add it "
        "to static_resources.clusters\n"
        "t:17:52: " AT
        ".route_config.virtual_hosts[0].routes[0].route.timeout: expects a duration in seconds, such as "
        "\"1.5s\", found \"5\"\n"
        "t:19:47: " AT ".http_filters[0].typed_config: \"" URL
        "a.B\" is an unknown type; known here: " HTTP_FILTERS "\n"});
}

/* Each number is one that no other key has, so that two keys that were exchanged are seen. */
static void test_runtime_keys(void **state)
{
    (void)state;
    struct built b;
    build("layered_runtime: {layers: [{name: a, static_layer: {outlier_detection: {"
          "consecutive_5xx: 1, consecutive_gateway_failure: 2, consecutive_local_origin_failure: 3, "
          "success_rate_minimum_hosts: 4, success_rate_request_volume: 5, success_rate_stdev_factor: 6, "
          "failure_percentage_minimum_hosts: 7, failure_percentage_request_volume: 8, "
          "failure_percentage_threshold: 9, interval_ms: 10, base_ejection_time_ms: 11, "
          "max_ejection_time_ms: 12, max_ejection_time_jitter_ms: 13, max_ejection_percent: 14, "
          "enforcing_consecutive_5xx: 15, enforcing_consecutive_gateway_failure: 16, enforcing_success_rate: "
          "17, enforcing_consecutive_local_origin_failure: 18, enforcing_local_origin_success_rate: 19, "
          "enforcing_failure_percentage: 20, enforcing_failure_percentage_local_origin: 101}, "
          "health_check.min_interval: 21, health_check.max_interval: 22, "
          "upstream.healthy_panic_threshold: 23}}]}\n"
          "static_resources: {clusters: [{name: up, outlier_detection: {}, health_checks: [{timeout: 1s, "
          "interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}]}]}\n",
          &b);
    assert_false(config_diag_failed(&b.diag));
    assert_int_equal(b.diag.notes_count, 0);
    const struct cluster_config *c = b.resources->clusters[0];
    const struct outlier_config *o = c->outlier;
    assert_int_equal(o->consecutive_5xx, 1);
    assert_int_equal(o->consecutive_gateway, 2);
    assert_int_equal(o->consecutive_local, 3);
    assert_int_equal(o->success_rate_hosts, 4);
    assert_int_equal(o->success_rate_volume, 5);
    assert_int_equal(o->success_rate_stdev_factor, 6);
    assert_int_equal(o->failure_percentage_hosts, 7);
    assert_int_equal(o->failure_percentage_volume, 8);
    assert_int_equal(o->failure_percentage, 9);
    assert_int_equal(o->interval_ms, 10);
    assert_int_equal(o->base_ejection_ms, 11);
    assert_int_equal(o->max_ejection_ms, 12);
    assert_int_equal(o->max_ejection_jitter_ms, 13);
    assert_int_equal(o->max_ejection_percent, 14);
    assert_int_equal(o->enforcing[OUTLIER_CONSECUTIVE_5XX], 15);
    assert_int_equal(o->enforcing[OUTLIER_CONSECUTIVE_GATEWAY_FAILURE], 16);
    assert_int_equal(o->enforcing[OUTLIER_SUCCESS_RATE], 17);
    assert_int_equal(o->enforcing[OUTLIER_CONSECUTIVE_LOCAL_ORIGIN_FAILURE], 18);
    assert_int_equal(o->enforcing[OUTLIER_SUCCESS_RATE_LOCAL_ORIGIN], 19);
    assert_int_equal(o->enforcing[OUTLIER_FAILURE_PERCENTAGE], 20);
    assert_int_equal(o->enforcing[OUTLIER_FAILURE_PERCENTAGE_LOCAL_ORIGIN], 100);
    assert_int_equal(c->health->interval_least_ms, 21);
    assert_int_equal(c->health->interval_most_ms, 22);
    assert_int_equal(c->healthy_panic_threshold, 23);
    built_fini(&b);
}

static void test_values_arrive(void **state)
{
    (void)state;
    struct built b;
    build("admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}\n"
          "static_resources:\n"
          "  listeners:\n"
          "  - name: main\n"
          "    address: {socket_address: {address: 127.0.0.1, port_value: 8080}}\n"
          "    per_connection_buffer_limit_bytes: 32768\n"
          "    traffic_direction: OUTBOUND\n"
          "    filter_chains:\n"
          "    - filters:\n"
          "      - name: h\n"
          "        typed_config:\n"
          "          '@type': " URL HCM "\n"
          "          stat_prefix: ingress\n"
          "          stream_idle_timeout: 0.0001s\n"
          "          request_timeout: 0s\n"
          "          common_http_protocol_options: {max_headers_count: 7, idle_timeout: 2s}\n"
          "          http_protocol_options: {accept_http_10: true}\n"
          "          use_remote_address: true\n"
          "          path_with_escaped_slashes_action: REJECT_REQUEST\n"
          "          server_header_transformation: PASS_THROUGH\n"
          "          upgrade_configs: [{upgrade_type: websocket}]\n"
          "          http_filters: [" ROUTER "]\n"
          "          route_config:\n"
          "            name: rc\n"
          "            virtual_hosts:\n"
          "            - name: v\n"
          "              domains: [a.example, '*']\n"
          "              request_headers_to_add: [{header: {key: x-a, value: 100%%}, append_action: "
          "OVERWRITE_IF_EXISTS_OR_ADD}]\n"
          "              routes:\n"
          "              - match: {path: /r}\n"
          "                redirect: {https_redirect: true, response_code: PERMANENT_REDIRECT}\n"
          "              - match: {prefix: /, headers: [{name: x-b, string_match: {prefix: q}, invert_match: "
          "true}]}\n"
          "                route: {weighted_clusters: {clusters: [{name: up, weight: 3}, {name: down, "
          "weight: 1}]}, "
          "timeout: 1.5s, prefix_rewrite: /new}\n"
          "              - match: {prefix: /}\n"
          "                direct_response: {status: 418, body: {inline_string: tea}}\n"
          "  clusters:\n"
          "  - name: up\n"
          "    type: STRICT_DNS\n"
          "    lb_policy: LEAST_REQUEST\n"
          "    connect_timeout: 0.25s\n"
          "    circuit_breakers: {thresholds: [{priority: HIGH, max_requests: 5}]}\n"
          "    load_assignment:\n"
          "      cluster_name: up\n"
          "      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: localhost, "
          "port_value: "
          "81}}}, load_balancing_weight: 4}]}]\n"
          "  - name: down\n"
          "    typed_extension_protocol_options:\n"
          "      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"
          "        '@type': " URL "envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n"
          "        common_http_protocol_options: {idle_timeout: 0s, max_response_headers_kb: 16}\n"
          "        explicit_http_config: {http_protocol_options: {enable_trailers: true}}\n",
          &b);
    assert_false(config_diag_failed(&b.diag));
    assert_non_null(b.resources);
    assert_int_equal(address_port(&b.resources->admin), 9901);

    assert_int_equal(b.resources->listeners_count, 1);
    const struct listener_config *l = b.resources->listeners[0];
    assert_true(slice_eq(l->name, SLICE_LIT("main")));
    assert_int_equal(address_port(&l->main.where), 8080);
    assert_int_equal(l->per_connection_buffer_limit_bytes, 32768);
    assert_int_equal(l->traffic_direction, 2);
    assert_int_equal(l->chains_count, 1);

    const struct hcm_config *h = l->chains[0].hcm;
    assert_true(slice_eq(h->stat_prefix, SLICE_LIT("ingress")));
    assert_int_equal(h->stream_idle_timeout_ms, 1); /* never rounded to "off" */
    assert_int_equal(h->request_timeout_ms, 0);
    assert_int_equal(h->idle_timeout_ms, 2000);
    assert_int_equal(h->max_headers_count, 7);
    assert_int_equal(h->max_request_headers_bytes, 60 * 1024);
    assert_true(h->http1.accept_http_10 && h->http1.allow_absolute_url && !h->http1.enable_trailers);
    assert_true(h->use_remote_address && h->generate_request_id);
    assert_int_equal(h->escaped_slashes, HCM_SLASHES_REJECT);
    assert_int_equal(h->server_header, HCM_SERVER_PASS_THROUGH);
    assert_int_equal(h->upgrades_count, 1);
    assert_true(h->upgrades[0].enabled);
    assert_int_equal(h->filters.count, 1);

    const struct virtual_host *v = &h->route_table->virtual_hosts[0];
    assert_int_equal(v->domains_count, 2);
    assert_int_equal(v->request_headers.add[0].action, HEADER_OVERWRITE_OR_ADD);
    assert_null(v->request_headers.add[0].format);
    assert_int_equal(v->routes_count, 3);
    assert_int_equal(v->routes[0].redirect.status, 308);
    assert_int_equal(v->routes[0].redirect.scheme_kind, REDIRECT_SCHEME_HTTPS);
    assert_true(v->routes[1].match.headers[0].invert);
    assert_int_equal(v->routes[1].match.headers[0].string.kind, STRING_PREFIX);
    assert_int_equal(v->routes[1].action.weighted_count, 2);
    assert_int_equal(v->routes[1].action.weighted[0].weight, 3);
    assert_int_equal(v->routes[1].action.timeout_ms, 1500);
    assert_true(slice_eq(v->routes[1].action.prefix_rewrite, SLICE_LIT("/new")));
    assert_int_equal(v->routes[2].kind, ROUTE_DIRECT_RESPONSE);
    assert_int_equal(v->routes[2].response.status, 418);
    assert_true(slice_eq(v->routes[2].response.body, SLICE_LIT("tea")));

    assert_int_equal(b.resources->clusters_count, 2);
    const struct cluster_config *up = b.resources->clusters[0];
    assert_int_equal(up->type, CLUSTER_STRICT_DNS);
    assert_int_equal(up->lb.policy, LB_LEAST_REQUEST);
    assert_int_equal(up->connect_timeout_ms, 250);
    assert_int_equal(up->breakers[BREAKER_DEFAULT].max_requests, 1024);
    assert_int_equal(up->breakers[BREAKER_HIGH].max_requests, 5);
    assert_true(slice_eq(up->localities[0].endpoints[0].address, SLICE_LIT("localhost")));
    assert_int_equal(up->localities[0].endpoints[0].port, 81);
    assert_int_equal(up->localities[0].endpoints[0].weight, 4);
    const struct cluster_config *down = b.resources->clusters[1];
    assert_int_equal(down->connect_timeout_ms, 5000);
    assert_int_equal(down->idle_timeout_ms, 0);
    assert_int_equal(down->max_headers_bytes, 16 * 1024);
    assert_true(down->http1_enable_trailers);
    built_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_filter_chain_matches),
        cmocka_unit_test(test_clusters),
        cmocka_unit_test(test_chain_ends_with_the_router),
        cmocka_unit_test(test_virtual_clusters),
        cmocka_unit_test(test_choices_not_made),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_errors_of_the_table),
        cmocka_unit_test(test_logs),
        cmocka_unit_test(test_plugins),
        cmocka_unit_test(test_both_kinds_in_one_run),
        cmocka_unit_test(test_runtime_keys),
        cmocka_unit_test(test_values_arrive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
