/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bad documents first: each kind of mistake with its whole message. Then the forms that must be taken.
 */
#include "load_case.h"

#define CLUSTER "envoy.config.cluster.v3.Cluster"
#define VHOST   "envoy.config.route.v3.VirtualHost"
#define HTTPF   "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter"
#define PLUGIN  "envoy.extensions.wasm.v3.PluginConfig"
#define URL     "type.googleapis.com/"

static const struct load_case syntax_cases[] = {
    {NULL, "a: [", "t:2:1: flow sequence without a closing bracket\n"},
    {NULL, "admin: {profile_path: a,\n  profile_path: b}",
     "t:2:3: this key is given twice in one map; remove one\n"},
    {NULL, "- 1", "t:1:1: expects a map of fields, found a list\n"},
    {NULL, "word", "t:1:1: expects a map of fields, found a plain value\n"},
    {NULL, "admin: *x", "t:1:8: this alias has no anchor before it\n"},
    {NULL, "admin: &x {a: *x}", "t:1:15: this alias refers to a value that contains it\n"},
    {NULL, "---\nadmin: {}\n---\nadmin: {}\n", "t: there is a second document in the text; keep one\n"},
    {NULL, "admin: !foo {}", "t:1:13: this tag is not known; remove it\n"},
    {NULL, "%YAML 1.2\n---\nadmin: {}", "t:1:1: YAML directives are not taken; remove the line\n"},
    {NULL, "node: {id: \"\xff\"}", "t: the document is not UTF-8\n"},
    {NULL, "? [a]\n: b", "t:1:3: a key must be a plain word or a string\n"},
};

static const struct load_case field_cases[] = {
    {NULL, "admn: {}", "t:1:1: unknown field \"admn\"; did you mean \"admin\"?\n"},
    {"envoy.config.core.v3.Locality", "qqq: 1",
     "t:1:1: unknown field \"qqq\"; envoy.config.core.v3.Locality has region, zone, sub_zone\n"},
    {"envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer", "a: 1",
     "t:1:1: unknown field \"a\"; envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer has no "
     "fields\n"},
    {NULL, "node:\n  userAgentName: a\n  user_agent_name: b",
     "t:3:3: node.user_agent_name: is given twice, as user_agent_name and as userAgentName; remove one\n"},
    {NULL, "node: [1]", "t:1:7: node: expects a map of fields, found a list\n"},
    {NULL, "node: {id: {}}", "t:1:12: node.id: expects a string, found a map\n"},
    {NULL, "node: {id: 5}", "t:1:12: node.id: expects a string, found 5; write it in quotes\n"},
    {NULL, "node: {id: on}", "t:1:12: node.id: expects a string, found on; write it in quotes\n"},
    {NULL, "node: {id: \"a\\0b\"}", "t:1:12: node.id: holds a NUL character; remove it\n"},
    {NULL, "static_resources: {clusters: {name: a}}",
     "t:1:30: static_resources.clusters: expects a list, found a map; put \"- \" before each item\n"},
    {NULL, "static_resources: {clusters: [null]}",
     "t:1:31: static_resources.clusters[0]: is null; write a value or remove the item\n"},
    {NULL, "dynamic_resources: {x: 1}",
     "t:1:1: dynamic_resources: is refused: xDS is not there yet; remove it\n"},
    {"envoy.config.core.v3.SocketAddress", "{address: a, port_value: 99999999999}",
     "t:1:26: port_value: expects a whole number from 0 to 4294967295, found \"99999999999\"\n"},
    {"envoy.config.core.v3.SocketAddress", "{address: a, port_value: -1}",
     "t:1:26: port_value: expects a whole number from 0 to 4294967295, found \"-1\"\n"},
    {"envoy.config.core.v3.SocketAddress", "{address: a, port_value: 010}",
     "t:1:26: port_value: expects a whole number, found \"010\"\n"},
    {"envoy.config.core.v3.SocketAddress", "{address: a, port_value: 80.5}",
     "t:1:26: port_value: expects a whole number, found \"80.5\"\n"},
    {"envoy.config.core.v3.SocketAddress", "{address: a, port_value: [1]}",
     "t:1:26: port_value: expects a whole number, found a list\n"},
    {"envoy.config.core.v3.SocketAddress", "{address: a, port_value: 1, ipv4_compat: \"on\"}",
     "t:1:42: ipv4_compat: expects true or false, found \"on\"\n"},
    {"envoy.config.core.v3.SocketAddress", "{address: a, port_value: 1, protocol: UDP}",
     "t:1:39: protocol: UDP is refused: there is no UDP\n"},
    {"envoy.config.core.v3.SocketAddress", "{address: a, port_value: 1, protocol: 7}",
     "t:1:39: protocol: has no value 7\n"},
    {CLUSTER, "{name: a, type: STRICT_DSN}",
     "t:1:17: type: no such value \"STRICT_DSN\"; did you mean \"STRICT_DNS\"?\n"},
    {CLUSTER, "{name: a, type: nothing}",
     "t:1:17: type: no such value \"nothing\"; use one of STATIC, STRICT_DNS, LOGICAL_DNS, EDS, "
     "ORIGINAL_DST\n"},
    {CLUSTER, "{name: a, connect_timeout: 5}",
     "t:1:28: connect_timeout: expects a duration in seconds, such as \"1.5s\", found \"5\"\n"},
    {CLUSTER, "{name: a, connect_timeout: 999999999999s}",
     "t:1:28: connect_timeout: expects a duration of at most 10,000 years, found \"999999999999s\"\n"},
    {CLUSTER, "{name: a, per_connection_buffer_limit_bytes: x}",
     "t:1:46: per_connection_buffer_limit_bytes: expects a whole number, found \"x\"\n"},
    {CLUSTER, "{name: a, metadata: {filter_metadata: [1]}}",
     "t:1:39: metadata.filter_metadata: expects a map, found a list\n"},
    {CLUSTER, "{name: a, metadata: {filter_metadata: {k: 1}}}",
     "t:1:43: metadata.filter_metadata{\"k\"}: expects a map, found \"1\"\n"},
    {CLUSTER, "{name: a, metadata: {filter_metadata: {k: null}}}",
     "t:1:43: metadata.filter_metadata: \"k\" is null; write a value or remove the key\n"},
    {"envoy.config.core.v3.DataSource", "inline_bytes: '*'",
     "t:1:15: inline_bytes: expects bytes in base64, found \"*\"\n"},
    {"envoy.config.core.v3.DataSource", "{filename: a, inline_string: b}",
     "t:1:15: inline_string: cannot be set together with filename; keep one\n"},
};

static const struct load_case rule_cases[] = {
    {"envoy.config.route.v3.RouteAction", "{cluster: a, timeout: -1s}",
     "t:1:23: timeout: must not be negative\n"},
    {CLUSTER, "{connect_timeout: 1s}", "t:1:1: name: must not be empty\n"},
    {CLUSTER, "{name: a, connect_timeout: 0s}", "t:1:28: connect_timeout: must be more than 0s, is 0s\n"},
    {CLUSTER, "{name: a, dns_refresh_rate: 0.5ms}",
     "t:1:29: dns_refresh_rate: expects a duration in seconds, such as \"1.5s\", found \"0.5ms\"\n"},
    {CLUSTER, "{name: a, dns_refresh_rate: 0.001s}",
     "t:1:29: dns_refresh_rate: must be more than 0.001s, is 0.001s\n"},
    {"envoy.config.core.v3.SocketAddress", "{address: a, port_value: 65536}",
     "t:1:26: port_value: must be at most 65535, is 65536\n"},
    {"envoy.config.core.v3.SocketAddress", "{port_value: 1}", "t:1:1: address: must not be empty\n"},
    {"envoy.config.core.v3.SocketAddress", "{address: a}", "t:1:1: needs one of port_value\n"},
    {"envoy.config.core.v3.Address", "{}", "t:1:1: needs one of socket_address, pipe\n"},
    {VHOST, "{name: a, domains: []}", "t:1:20: domains: must not be empty\n"},
    {VHOST, "{name: a, domains: [\"a\\nb\"]}", "t:1:21: domains[0]: must not hold CR, LF or NUL\n"},
    {VHOST, "{name: a, domains: [b], routes: [{match: {prefix: /}}]}",
     "t:1:34: routes[0]: needs one of route, redirect, direct_response, non_forwarding_action\n"},
    {VHOST, "{name: a, domains: [b], routes: [{route: {cluster: x}}]}",
     "t:1:34: routes[0].match: is required; set it\n"},
    {VHOST, "{name: a, domains: [b], require_tls: 9}", "t:1:38: require_tls: has no value 9\n"},
    {"envoy.config.core.v3.HeaderValue", "{key: '', value: a}", "t:1:7: key: must not be empty\n"},
    {"envoy.config.core.v3.HeaderValue", "{key: \"a\\nb\", value: a}",
     "t:1:7: key: must not hold CR, LF or NUL\n"},
    {"envoy.config.route.v3.DirectResponseAction", "{status: 99}",
     "t:1:10: status: must be at least 200, is 99\n"},
    {"envoy.config.route.v3.RouteMatch", "{path_separated_prefix: /a/}",
     "t:1:25: path_separated_prefix: must match ^[^?#]+[^?#/]$\n"},
    {"envoy.config.cluster.v3.Cluster.LeastRequestLbConfig", "{choice_count: 1}",
     "t:1:16: choice_count: must be at least 2, is 1\n"},
    {"envoy.config.accesslog.v3.ResponseFlagFilter", "{flags: [UH, XX]}",
     "t:1:14: flags[1]: must be one of LH, UH, UT, LR, UR, UF, UC, UO, NR, DI, FI, RL, UAEX, RLSE, DC, URX, "
     "SI, IH, "
     "DPE, UMSDR, RFCF, NFCF, DT, UPE, NC, OM, DF, DO, DR, UDO\n"},
    {PLUGIN, "{capability_restriction_config: {allowed_capabilities: {a: {b: 1}}}}",
     "t:1:61: capability_restriction_config.allowed_capabilities{\"a\"}: unknown field \"b\"; "
     "envoy.extensions.wasm.v3.SanitizationConfig has no fields\n"},
};

static const struct load_case any_cases[] = {
    {HTTPF, "{name: a, typed_config: 1}",
     "t:1:25: typed_config: expects a map with \"@type\", found a plain value\n"},
    {HTTPF, "{name: a, typed_config: {}}",
     "t:1:25: typed_config: needs \"@type\", such as \"type.googleapis.com/google.protobuf.StringValue\"\n"},
    {HTTPF, "{name: a, typed_config: {'@type': envoy.extensions.filters.http.router.v3.Router}}",
     "t:1:35: typed_config: \"envoy.extensions.filters.http.router.v3.Router\" is no type URL; write "
     "\"type.googleapis.com/\" and the message's full name\n"},
    {HTTPF, "{name: a, typed_config: {'@type': " URL "envoy.extensions.filters.http.router.v3.Rooter}}",
     "t:1:35: typed_config: \"" URL
     "envoy.extensions.filters.http.router.v3.Rooter\" is an unknown type; did you mean "
     "\"" URL "envoy.extensions.filters.http.router.v3.Router\"?\n"},
    {HTTPF, "{name: a, typed_config: {'@type': " URL "envoy.extensions.filters.http.tap.v3.Tap}}",
     "t:1:35: typed_config: \"" URL
     "envoy.extensions.filters.http.tap.v3.Tap\" is an extension of Envoy that Weir "
     "does not have; known here: " HTTP_FILTERS "\n"},
    {HTTPF, "{name: a, typed_config: {'@type': " URL "google.protobuf.StringValue, value: a}}",
     "t:1:35: typed_config: \"" URL
     "google.protobuf.StringValue\" is no type for this place; known here: " HTTP_FILTERS "\n"},
    {"envoy.config.listener.v3.FilterChain",
     "{transport_socket: {name: a, typed_config: {'@type': " URL
     "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: "
     "{custom_handshaker: {name: a}}}}}",
     "t:1:159: transport_socket.typed_config.common_tls_context.custom_handshaker: is refused: such "
     "extensions are not there; remove it\n"},
    {PLUGIN, "{configuration: {'@type': " URL "google.protobuf.StringValue, x: a}}",
     "t:1:17: configuration: needs \"value\": google.protobuf.StringValue is written under it\n"
     "t:1:76: configuration: unknown field \"x\"; google.protobuf.StringValue is written under \"value\"\n"},
    {PLUGIN, "{configuration: {'@type': " URL "a.b.C, x: a}}",
     "t:1:27: configuration: \"" URL "a.b.C\" is an unknown type\n"},
    {HTTPF,
     "name: a\n"
     "typed_config:\n"
     "  '@type': " URL "udpa.type.v1.TypedStruct\n"
     "  type_url: " URL "envoy.extensions.filters.http.wasm.v3.Wasm\n"
     "  value:\n"
     "    config:\n"
     "      nam: x\n"
     "  extra: 1\n",
     "t:7:7: typed_config.value.config: unknown field \"nam\"; did you mean \"name\"?\n"
     "t:8:3: typed_config: unknown field \"extra\"; a TypedStruct has type_url and value\n"},
    {HTTPF, "{name: a, typed_config: {'@type': " URL "xds.type.v3.TypedStruct, value: {}}}",
     "t:1:25: typed_config: a TypedStruct needs a type_url: what its value stands for\n"},
    {HTTPF,
     "{name: a, typed_config: {'@type': " URL "xds.type.v3.TypedStruct, type_url: " URL
     "udpa.type.v1.TypedStruct, value: {}}}",
     "t:1:90: typed_config: \"" URL
     "udpa.type.v1.TypedStruct\" is no type for this place; known here: " HTTP_FILTERS "\n"},
    {HTTPF,
     "{name: a, typed_config: {'@type': " URL "xds.type.v3.TypedStruct, type_url: " URL
     "envoy.extensions.filters.http.wasm.v3.Wasm, value: [1]}}",
     "t:1:161: typed_config: the value of a TypedStruct must be a map, found a list\n"},
};

#define RUN_ALL(cases)                                                                                       \
    for (size_t i = 0; i < sizeof(cases) / sizeof((cases)[0]); i++)                                          \
    load_case_run(&(cases)[i])

static void test_syntax(void **state)
{
    (void)state;
    RUN_ALL(syntax_cases);
}

static void test_fields(void **state)
{
    (void)state;
    RUN_ALL(field_cases);
}

static void test_rules(void **state)
{
    (void)state;
    RUN_ALL(rule_cases);
}

static void test_any(void **state)
{
    (void)state;
    RUN_ALL(any_cases);
}

static void test_all_errors_in_one_run_in_order(void **state)
{
    (void)state;
    load_case_run(&(struct load_case){
        NULL,
        "static_resources:\n"
        "  clusters:\n"
        "  - name: a\n"
        "    connect_timeout: 0s\n"
        "  - nam: b\n"
        "    type: EDS\n"
        "admin: 1\n",
        "t:4:22: static_resources.clusters[0].connect_timeout: must be more than 0s, "
        "is 0s\n"
        "t:5:5: static_resources.clusters[1]: unknown field \"nam\"; did you mean "
        "\"name\"?\n"
        "t:5:5: static_resources.clusters[1].name: must not be empty\n"
        "t:6:11: static_resources.clusters[1].type: EDS is refused: xDS is not there yet\n"
        "t:7:8: admin: expects a map of fields, found a plain value\n"});
}

static void test_errors_are_capped(void **state)
{
    (void)state;
    struct strbuf text;
    strbuf_init(&text, 1 << 20);
    for (int i = 0; i < 250; i++)
        strbuf_printf(&text, "x%d: 1\n", i);
    struct config_diag diag;
    struct config_doc *doc = NULL;
    config_diag_init(&diag);
    assert_int_equal(config_load_text(load_case_desc(NULL), "t", strbuf_slice(&text), &diag, &doc),
                     CONFIG_INVALID);
    assert_int_equal(diag.errors_total, 250);
    assert_int_equal(diag.errors_count, CONFIG_ERRORS_MAX);
    strbuf_reset(&text);
    config_diag_print_errors(&diag, &text);
    assert_true(slice_ends_with(strbuf_slice(&text), SLICE_LIT("and 150 more errors\n")));
    strbuf_fini(&text);
    config_diag_fini(&diag);
}

/* Ten lists of ten aliases each: 10^10 values if nobody counts. */
static void test_alias_bomb(void **state)
{
    (void)state;
    struct strbuf text;
    strbuf_init(&text, 1 << 20);
    strbuf_append_str(&text, "node:\n  metadata:\n    a: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for (char c = 'b'; c <= 'j'; c++) {
        strbuf_printf(&text, "    %c: &%c [", c, c);
        for (int i = 0; i < 10; i++)
            strbuf_printf(&text, "%s*%c", i ? ", " : "", c - 1);
        strbuf_append_str(&text, "]\n");
    }
    load_case_run(
        &(struct load_case){NULL, strbuf_cstr(&text), "t:3:30: node: the document has too many values\n"});
    strbuf_fini(&text);
}

static void test_depth(void **state)
{
    (void)state;
    struct strbuf text;
    strbuf_init(&text, 1 << 20);
    for (int i = 0; i < 100000; i++)
        strbuf_append_char(&text, '[');
    load_case_run(
        &(struct load_case){NULL, strbuf_cstr(&text), "t:1:101: the document is nested too deeply\n"});
    /* Aliases make a deep document out of shallow pieces. */
    strbuf_reset(&text);
    strbuf_append_str(&text, "node:\n  metadata:\n    a: &a [[[[[[[[[[x]]]]]]]]]]\n");
    for (char c = 'b'; c <= 'z'; c++)
        strbuf_printf(&text, "    %c: &%c [[[[[[[[[[*%c]]]]]]]]]]\n", c, c, c - 1);
    load_case_run(&(struct load_case){NULL, strbuf_cstr(&text), "t:3:18: node: nested too deeply\n"});
    strbuf_fini(&text);
}

static void test_forms_that_are_taken(void **state)
{
    (void)state;
    load_case_expect(NULL, "t", "", "{}");
    load_case_expect(NULL, "t", "null", "{}");
    load_case_expect(NULL, "t", "admin: null\nnode: ~", "{}");
    load_case_expect(CLUSTER, "t", "{name: a, connect_timeout: 1.5s, type: 1, lb_policy: LEAST_REQUEST}",
                     "{\"name\":\"a\",\"type\":\"STRICT_DNS\",\"connect_timeout\":\"1.500s\",\"lb_policy\":"
                     "\"LEAST_REQUEST\"}");
    load_case_expect(
        CLUSTER, "t.json",
        "{\n\t\"name\": \"a\",\n\t\"connectTimeout\": \"0.25s\",\n\t\"perConnectionBufferLimitBytes\": "
        "\"32768\"}",
        "{\"name\":\"a\",\"connect_timeout\":\"0.250s\",\"per_connection_buffer_limit_bytes\":32768}");
    load_case_expect("envoy.config.core.v3.SocketAddress", "t",
                     "{address: a, port_value: 0x1F90, ipv4_compat: \"true\", protocol: tcp}",
                     "{\"address\":\"a\",\"port_value\":8080,\"ipv4_compat\":true}");
    load_case_expect("envoy.config.core.v3.SocketAddress", "t", "{address: a, port_value: 8.08e3}",
                     "{\"address\":\"a\",\"port_value\":8080}");
    load_case_expect("envoy.config.core.v3.DataSource", "t", "inline_bytes: AAECA_8",
                     "{\"inline_bytes\":\"AAECA/8=\"}");
    load_case_expect("envoy.config.core.v3.DataSource", "t", "inline_string: \"\"",
                     "{\"inline_string\":\"\"}");
    load_case_expect("weir.policy.v1.Rule", "t", "{memory_max_bytes: \"4294967296\"}",
                     "{\"memory_max_bytes\":\"4294967296\"}");
    /* !ignore holds anchors, as in Envoy; a written default of a refused field changes nothing. */
    load_case_expect(CLUSTER, "t",
                     "shared: !ignore\n  t: &t 3s\nname: a\nconnect_timeout: *t\nhealth_checks: []\n",
                     "{\"name\":\"a\",\"connect_timeout\":\"3s\"}");
}

static void test_struct_values(void **state)
{
    (void)state;
    load_case_expect(
        "envoy.config.core.v3.Node", "t",
        "metadata: {a: [1, -2.5, 1e3, yes, off, \"yes\", null, ~, abc, 0x10, 010, 1.0s, {x: {}}],"
        " b: 9007199254740993, \"c\": .inf, d: \"\"}",
        "{\"metadata\":{\"a\":[1,-2.5,1000,true,false,\"yes\",null,null,\"abc\",16,\"010\",\"1.0s\",{\"x\":{}"
        "}],"
        "\"b\":\"9007199254740993\",\"c\":\".inf\",\"d\":\"\"}}");
}

static void test_any_forms(void **state)
{
    (void)state;
    load_case_expect(PLUGIN, "t",
                     "{name: p, configuration: {'@type': " URL "google.protobuf.StringValue, value: '{}'}}",
                     "{\"name\":\"p\",\"configuration\":{\"@type\":\"" URL
                     "google.protobuf.StringValue\",\"value\":\"{}\"}}");
    load_case_expect(PLUGIN, "t", "{configuration: {'@type': " URL "google.protobuf.Struct, value: {a: 1}}}",
                     "{\"configuration\":{\"@type\":\"" URL "google.protobuf.Struct\",\"value\":{\"a\":1}}}");
    load_case_expect(PLUGIN, "t",
                     "{configuration: {'@type': " URL "udpa.type.v1.TypedStruct, typeUrl: " URL
                     "google.protobuf.Struct, value: {a: 1}}}",
                     "{\"configuration\":{\"@type\":\"" URL "google.protobuf.Struct\",\"value\":{\"a\":1}}}");
    /* Below an inert field even a type that nobody here knows. */
    load_case_expect(NULL, "t", "tracing: {http: {name: a, typed_config: {'@type': " URL "a.B, c: 1}}}",
                     "{\"tracing\":{\"http\":{\"name\":\"a\",\"typed_config\":{\"@type\":\"" URL "a.B\"}}}}");
}

/* What Istio's users write: reference behaviour is that of the typed message itself. */
static void test_istio_typed_struct(void **state)
{
    (void)state;
    const char *rules =
        "{\"basic_auth_rules\":[{\"prefix\":\"/productpage\",\"request_methods\":[\"GET\",\"POST\"],"
        "\"credentials\":[\"ok:test\",\"YWRtaW4zOmFkbWluMw==\"]}]}";
    struct strbuf text;
    strbuf_init(&text, 1 << 16);
    strbuf_printf(&text,
                  "name: istio.basic_auth\n"
                  "typed_config:\n"
                  "  '@type': type.googleapis.com/udpa.type.v1.TypedStruct\n"
                  "  type_url: type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n"
                  "  value:\n"
                  "    config:\n"
                  "      configuration:\n"
                  "        '@type': 'type.googleapis.com/google.protobuf.StringValue'\n"
                  "        value: |\n"
                  "          %s\n"
                  "      vm_config:\n"
                  "        code:\n"
                  "          local:\n"
                  "            filename: extensions/basic-auth.wasm\n"
                  "        runtime: envoy.wasm.runtime.v8\n",
                  rules);
    struct config_diag diag;
    struct config_doc *doc = NULL;
    config_diag_init(&diag);
    assert_int_equal(config_load_text(load_case_desc(HTTPF), "t", strbuf_slice(&text), &diag, &doc),
                     CONFIG_OK);
    strbuf_reset(&text);
    assert_true(config_dump(doc, doc->root, -1, &text));
    struct strbuf expected;
    strbuf_init(&expected, 1 << 16);
    strbuf_append_str(&expected,
                      "{\"name\":\"istio.basic_auth\",\"typed_config\":{\"@type\":\"type.googleapis.com/"
                      "envoy.extensions.filters.http.wasm.v3.Wasm\",\"config\":{\"vm_config\":{\"runtime\":"
                      "\"envoy.wasm.runtime.v8\",\"code\":{\"local\":{\"filename\":"
                      "\"extensions/basic-auth.wasm\"}}},\"configuration\":{\"@type\":"
                      "\"type.googleapis.com/google.protobuf.StringValue\",\"value\":");
    struct strbuf value;
    strbuf_init(&value, 1 << 16);
    strbuf_printf(&value, "%s\n", rules);
    strbuf_append_json(&expected, strbuf_slice(&value));
    strbuf_append_str(&expected, "}}}}");
    assert_string_equal(strbuf_cstr(&text), strbuf_cstr(&expected));
    strbuf_fini(&value);
    strbuf_fini(&expected);
    strbuf_fini(&text);
    config_doc_destroy(&doc);
    config_diag_fini(&diag);
}

static void test_inert_is_noted_once(void **state)
{
    (void)state;
    struct config_diag diag;
    struct config_doc *doc = NULL;
    config_diag_init(&diag);
    struct slice text = SLICE_LIT("static_resources:\n"
                                  "  clusters:\n"
                                  "  - {name: a, track_timeout_budgets: true}\n"
                                  "  - {name: b, track_timeout_budgets: true}\n"
                                  "flags_path: /x\n");
    assert_int_equal(config_load_text(load_case_desc(NULL), "t", text, &diag, &doc), CONFIG_OK);
    struct strbuf said;
    strbuf_init(&said, 4096);
    config_diag_print_notes(&diag, &said);
    assert_string_equal(strbuf_cstr(&said),
                        "t:3:15: static_resources.clusters[].track_timeout_budgets: inert: they only make "
                        "statistics (2 times)\n"
                        "t:5:1: flags_path: inert: it concerns a control plane, and none is used\n");
    strbuf_fini(&said);
    config_doc_destroy(&doc);
    config_diag_fini(&diag);
}

static void test_positions_after_loading(void **state)
{
    (void)state;
    struct config_diag diag;
    struct config_doc *doc = NULL;
    config_diag_init(&diag);
    struct slice text = SLICE_LIT("name: v\n"
                                  "domains:\n"
                                  "- a\n"
                                  "- b\n"
                                  "routes:\n"
                                  "- match: {prefix: /}\n"
                                  "  route: {cluster: nowhere}\n");
    assert_int_equal(config_load_text(load_case_desc(VHOST), "t", text, &diag, &doc), CONFIG_OK);
    const Envoy__Config__Route__V3__VirtualHost *v = (void *)doc->root;
    struct config_pos pos = config_pos_item(doc, doc->root, "domains", 1);
    assert_int_equal(pos.line, 4);
    assert_int_equal(pos.column, 3);
    config_error_at(doc, &diag, &v->routes[0]->route->base, "cluster", -1, "no cluster \"%s\"", "nowhere");
    config_error_at(doc, &diag, &v->routes[0]->base, NULL, -1, "never reached");
    /* A field that was not written points at what would hold it. */
    config_error_at(doc, &diag, &v->routes[0]->route->base, "timeout", -1, "too long");
    struct strbuf said;
    strbuf_init(&said, 4096);
    config_diag_print_errors(&diag, &said);
    assert_string_equal(strbuf_cstr(&said), "t:6:3: routes[0]: never reached\n"
                                            "t:7:10: routes[0].route.timeout: too long\n"
                                            "t:7:20: routes[0].route.cluster: no cluster \"nowhere\"\n");
    strbuf_fini(&said);
    config_doc_destroy(&doc);
    config_diag_fini(&diag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_all_errors_in_one_run_in_order),
        cmocka_unit_test(test_errors_are_capped),
        cmocka_unit_test(test_alias_bomb),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_forms_that_are_taken),
        cmocka_unit_test(test_struct_values),
        cmocka_unit_test(test_any_forms),
        cmocka_unit_test(test_istio_typed_struct),
        cmocka_unit_test(test_inert_is_noted_once),
        cmocka_unit_test(test_positions_after_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
