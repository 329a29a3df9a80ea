# SPDX-License-Identifier: Apache-2.0
"""Routes of virtual hosts and clusters of routes by trees of the matching API, beside real Envoy."""

import pytest

from support import http1
from support.config import ANY, bootstrap, cluster, direct, hcm, listener, route
from support.envoy import Envoy
from support.listeners import listener_filter
from support.matching import (CLUSTER, MATCHERS, all_of, any_of, by_ip, by_name, custom, exact, first_of, header, network, no, prefix,
                              to_chain, to_cluster, to_route, to_tree, typed, value)
from support.pages import block, with_ports
from support.process import Weir, validate
from support.tcp import Client, stdout_log
from support.upstream import Upstream, respond

A = header("x-a")


def says(text, match="/", **fields):
    return to_route({**direct(200, text, match), **fields})


def routes(*items):
    return {"action": typed("envoy.config.route.v3.RouteList", routes=list(items))}


def added(value):
    return {"response_headers_to_add": [{"header": {"key": "x-from", "value": value}}]}


def ask(path="/", *values, **headers):
    return path, [*(("x-a", v) for v in values), *headers.items()]


# name: (fields of the virtual host, requests and the body they get; none: 404)
HOSTS = {
    "exact": ({"matcher": exact(A, {"1": says("one"), "2": routes(direct(200, "two", "/2"), direct(200, "three", {"path": "/3"})), "9": routes()},
                                says("other", "/other"))},
              [(ask("/", "1"), "one"), (ask("/2", "2"), "two"), (ask("/3", "2"), "three"), (ask("/4", "2"), None), (ask("/", "9"), None),
               (ask("/", "7"), None), (ask("/other", "7"), "other"), (ask("/other"), "other"), (ask("/", "1", "1"), None)]),
    "joined": ({"matcher": exact(A, {"1,2": says("both"), "": says("empty")})}, [(ask("/", "1", "2"), "both"), (ask("/", ""), "empty"), (ask("/"), None)]),
    "path": ({"matcher": prefix(header(":path"), {"/a": says("a"), "/a/b": says("b"), "/a/b/c": says("never", "/x")})},
             [(ask("/a"), "a"), (ask("/ab?q"), "a"), (ask("/a/b"), "b"), (ask("/a/b/c"), None), (ask("/"), None)]),
    "authority": ({"matcher": exact(header("Host"), {"authority": says("host")})}, [(ask("/"), "host")]),
    "list": ({"matcher": first_of((all_of(value(A, prefix="x"), no(value(header("x-b"), suffix="z"))), says("x")),
                                  (value(header(":method"), exact="GET"), to_tree(exact(header("x-b"), {"q": says("q")}))),
                                  (value(A, contains="M", ignore_case=True), says("m")), no_match=says("end"))},
             [(ask("/", "xm"), "x"), (ask("/", "xm", **{"x-b": "z"}), "m"), (ask("/", **{"x-b": "q"}), "q"), (ask("/", "am"), "m"), (ask("/"), "end")]),
    "names": ({"matcher": by_name(A, (["a.org", "*.a.org"], says("a")), (["*"], says("any")))},
              [(ask("/", "a.org"), "a"), (ask("/", "b.a.org"), "a"), (ask("/", "ba.org"), "any"), (ask("/", ""), None), (ask("/"), None)]),
    "ips": ({"matcher": by_ip(A, (["10.0.0.0/8"], says("ten")), (["::/0"], says("six")), no_match=says("else"))},
            [(ask("/", "10.1.1.1"), "ten"), (ask("/", "2001:db8::1"), "six"), (ask("/", "11.1.1.1"), "else"), (ask("/", "no"), "else"), (ask("/"), "else")]),
    "state": ({"matcher": first_of((no(value(network("FilterStateInput", key="a"), exact="a")), says("nobody")))}, [(ask("/"), "nobody")]),
    "share": ({"matcher": first_of((custom(A, MATCHERS + "runtime_fraction.v3.RuntimeFraction", seed=5,
                                           runtime_fraction={"default_value": {"numerator": 30}}), says("in")), no_match=says("out"))},
              [(ask("/", f"v{i}"), ...) for i in range(20)]),
    "match": ({"matcher": {"on_no_match": routes(direct(200, "q", {"prefix": "/", "query_parameters": [{"name": "q"}]}),
                                                 direct(200, "plain", {"path_separated_prefix": "/p"}),
                                                 {"match": {"prefix": "/r"}, "redirect": {"path_redirect": "/to"}})}},
              [(ask("/?q"), "q"), (ask("/p/x"), "plain"), (ask("/px"), None), (ask("/r"), "301 /to")]),
    "headers": ({"matcher": {"on_no_match": says("h", **added("route"))}, **added("host")}, [(ask("/"), "h route,host")]),
    "empty": ({"matcher": {}}, [(ask("/"), None)]),
    "nowhere": ({"matcher": {"on_no_match": to_route(route(cluster="nowhere"))}}, [(ask("/"), "503")]),
}


QUERY = typed("envoy.type.matcher.v3.HttpRequestQueryParamMatchInput", query_param="q")
METADATA = network("DynamicMetadataInput", filter="envoy.filters.listener.proxy_protocol", path=[{"key": "id"}])
SAN = typed("envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput")
TO_A, TO_B, TO_NOWHERE = (to_cluster(c) for c in ("a", "b", "nowhere"))


def has_metadata(**fields):
    return custom(METADATA, MATCHERS + "metadata.v3.Metadata", **fields)


def specifier(tree):
    return typed(CLUSTER + "MatcherClusterSpecifier", cluster_matcher=tree)


def by_tree(tree, match="/", **action):
    return {"match": {"prefix": match}, "route": {"inline_cluster_specifier_plugin": {"extension": specifier(tree)}, **action}}


def by_plugin(name, match="/", **action):
    return {"match": {"prefix": match}, "route": {"cluster_specifier_plugin": name, **action}}


PLUGINS = [{"extension": {**specifier(exact(A, {"1": TO_B}, TO_A)), "name": "mine"}},
           {"extension": {**specifier({"on_no_match": TO_B}), "name": "mine"}}]
# As above; the body is the cluster's name and the path that came there.
CLUSTERS = {
    "cluster": ([by_tree(exact(A, {"1": TO_A, "2": TO_B, "9": TO_NOWHERE}))],
                [(ask("/", "1"), "a /"), (ask("/x", "2"), "b /x"), (ask("/", "9"), "503"), (ask("/", "7"), "503"), (ask("/"), "503")]),
    "plugin": ([by_plugin("mine", "/r", prefix_rewrite="/w"), by_plugin("mine")], [(ask("/r/x"), "a /w/x"), (ask("/", "1"), "b /")]),
    "missing": ([by_tree({}, cluster_not_found_response_code="NOT_FOUND")], [(ask("/"), None)]),
    "unknown": ([by_tree(first_of((no(value(SAN, prefix="a")), TO_A), no_match=TO_B))], [(ask("/"), "503")]),
}
# What Envoy 1.40 does not live through once a cluster is found.
ALONE = {
    "query": ([by_tree(exact(QUERY, {"a b": TO_A, "": TO_B}))],
              [(ask("/?q=a%20b"), "a /?q=a%20b"), (ask("/?x=1&q=a%20b&q=2"), "a /?x=1&q=a%20b&q=2"), (ask("/?q"), "b /?q"), (ask("/?q=a+b"), "503"),
               (ask("/?%71="), "b /?%71="), (ask("/"), "503"), (ask("/?Q="), "503")]),
    "connection": ([by_tree(by_ip(network("SourceIPInput"), (["192.0.2.0/24"], to_tree(exact(network("SourceTypeInput"), {"local": TO_A}, TO_B))),
                                  (["127.0.0.0/8"], TO_A)))], [(ask("/"), "b /")]),
    "direct": ([by_tree(exact(network("DirectSourceIPInput"), {"127.0.0.1": to_tree(exact(network("DestinationPortInput"), {"4433": TO_B}))}))],
               [(ask("/"), "b /")]),
    "metadata": ([by_tree(first_of((has_metadata(value={"string_match": {"exact": "vip"}}), TO_A), no_match=TO_B))], [(ask("/"), "a /")]),
    "inverted": ([by_tree(first_of((has_metadata(value={"string_match": {"exact": "vip"}}, invert=True), TO_A), no_match=TO_B))],
                 [(ask("/"), "b /")]),
    "no-text": ([by_tree(exact(METADATA, {"vip": TO_A}, TO_B))], [(ask("/"), "b /")]),
    "no-name": ([by_tree(first_of((no(value(network("ServerNameInput"), prefix="a")), TO_A)))], [(ask("/"), "a /")]),
    "unknown-or": ([by_tree(first_of((any_of(value(SAN, prefix="a"), value(A, exact="1")), TO_A), no_match=TO_B))],
                   [(ask("/", "1"), "a /"), (ask("/", "2"), "503")]),
}
LOG = stdout_log("LOG %REQ(:AUTHORITY)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER% end")
PROXY_HEADER = (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x12" + bytes([192, 0, 2, 7]) + bytes([192, 0, 2, 1]) + b"\x10\x00\x11\x51"
                + b"\xe0\x00\x03vip")


@pytest.fixture(scope="module")
def ports():
    def named(name):
        return Upstream(lambda c: (request := c.read_request()) and respond(c, body=f"{name} {request.start.split()[1]}"))

    upstreams = {name: named(name) for name in "ab"}
    yield {name: u.port for name, u in upstreams.items()}
    for one in upstreams.values():
        one.close()


def config(ports):
    hosts = [{"name": name, "domains": [name], **fields} for name, (fields, _) in HOSTS.items()]
    forwarding = hcm(virtual_hosts=[{"name": name, "domains": [name], "routes": items} for name, (items, _) in {**CLUSTERS, **ALONE}.items()],
                     stat_prefix="behind", access_log=[LOG])
    forwarding["route_config"]["cluster_specifier_plugins"] = PLUGINS
    rules = [{"tlv_type": 0xe0, "on_tlv_present": {"key": "id"}}]
    filters = [listener_filter("proxy_protocol", "proxy_protocol.v3.ProxyProtocol", rules=rules)]
    return bootstrap(listener(hcm(virtual_hosts=hosts)), listener(forwarding, name="behind", listener_filters=filters),
                     clusters=[cluster(port, name=name) for name, port in ports.items()])


@pytest.fixture(scope="module")
def weir(ports, tmp_path_factory):
    with Weir(tmp_path_factory.mktemp("weir"), config(ports)) as running:
        yield running


def answer(proxy, host, request):
    path, headers = request
    got = http1.request(proxy.listener_port("front"), "GET", path, headers=headers, host=host)
    if got.status == 404:
        return None
    if got.status == 301:
        return "301 " + got.get("location").removeprefix(f"http://{host}")
    if got.status != 200:
        return str(got.status)
    return " ".join([got.body.decode(), *([",".join(got.all("x-from"))] if got.get("x-from") else [])])


def answers(proxy):
    return {(host, str(request)): answer(proxy, host, request) for host, (_, cases) in HOSTS.items() for request, _ in cases}


def test_answers(weir):
    expected = {(host, str(request)): text for host, (_, cases) in HOSTS.items() for request, text in cases}
    got = answers(weir)
    assert {k: v for k, v in got.items() if expected[k] is not ...} == {k: v for k, v in expected.items() if v is not ...}
    assert {v for k, v in got.items() if k[0] == "share"} == {"in", "out"}


def taken_to(proxy, host, request):
    """The cluster that answers, through a connection whose PROXY header (version 2) says who it is."""
    path, headers = request
    lines = [f"GET {path} HTTP/1.1", f"host: {host}", "connection: close", *(f"{k}: {v}" for k, v in headers), "", ""]
    with Client(proxy.listener_port("behind")) as client:
        head, _, body = client.send(PROXY_HEADER + "\r\n".join(lines).encode()).rest().partition(b"\r\n\r\n")
    status = head.split()[1].decode()
    return body.decode() if status == "200" else None if status == "404" else status


def clusters(proxy, hosts):
    return {(host, str(request)): taken_to(proxy, host, request) for host, (_, cases) in hosts.items() for request, _ in cases}


def log_lines(proxy):
    count = sum(len(cases) for _, cases in CLUSTERS.values())
    return sorted(proxy.wait_log("LOG .* end", count))


def test_clusters(weir):
    hosts = {**CLUSTERS, **ALONE}
    assert clusters(weir, hosts) == {(host, str(request)): text for host, (_, cases) in hosts.items() for request, text in cases}


def test_as_envoy(ports, tmp_path):
    weir, envoy = Weir(tmp_path / "weir", config(ports)), None
    try:
        envoy = Envoy(tmp_path / "envoy", config(ports))
        assert answers(weir) == answers(envoy)
        assert clusters(weir, CLUSTERS) == clusters(envoy, CLUSTERS)
        assert log_lines(weir) == log_lines(envoy)
        assert weir.stats("no_cluster")["http.behind.no_cluster"] == envoy.stats("no_cluster")["http.behind.no_cluster"]
    finally:
        weir.kill()
        if envoy:
            envoy.kill()


def one_host(**fields):
    return bootstrap(listener(hcm(virtual_hosts=[{"name": "v", "domains": ["*"], **fields}])))


NEVER_KNOWN = typed("envoy.type.matcher.v3.HttpResponseHeaderMatchInput", header_name="a")
ERRORS = {
    "matcher_tree.input.typed_config: envoy.extensions.matching.common_inputs.network.v3.SourceIPInput cannot be looked at for a route":
        {"matcher": exact(network("SourceIPInput"), {"a": says("a")})},
    "HttpRequestQueryParamMatchInput cannot be looked at for a route":
        {"matcher": exact(typed("envoy.type.matcher.v3.HttpRequestQueryParamMatchInput", query_param="q"), {"a": says("a")})},
    "HttpResponseHeaderMatchInput\" is refused": {"matcher": exact(NEVER_KNOWN, {"a": says("a")})},
    "matcher.on_no_match.action.typed_config: must hold a Route or a RouteList here, found google.protobuf.StringValue": {"matcher": {"on_no_match": to_chain("a")}},
    "matcher.on_no_match.keep_matching: is not supported in this context": {"matcher": {"on_no_match": {**says("a"), "keep_matching": True}}},
    "map{\"a\"}.keep_matching: is not supported in this context":
        {"matcher": exact(A, {"a": {**says("a"), "keep_matching": True}})},
    "matcher: cannot set both matcher and routes on virtual host": {"matcher": {"on_no_match": says("a")}, "routes": [direct()]},
    "action.typed_config.direct_response.body: response body size is 5000 bytes": {"matcher": {"on_no_match": says("a" * 5000)}},
    "action.typed_config.routes[1].match.safe_regex: ":
        {"matcher": {"on_no_match": routes(direct(), direct(200, "b", {"safe_regex": {"google_re2": {}, "regex": "("}}))}},
    "exact_match_map.map{\"k\"}.action.typed_config.match: is required": {"matcher": exact(A, {"k": to_route({"direct_response": {"status": 200}})})},
    "typed_per_filter_config{\"none\"}: http_filters has no filter of this name":
        {"matcher": {"on_no_match": says("a", typed_per_filter_config={"none": {"@type": ANY + "envoy.config.route.v3.FilterConfig", "disabled": True}})}},
}


def with_plugin(extension, **fields):
    return {"routes": [{"match": {"prefix": "/"}, "route": {"inline_cluster_specifier_plugin": {"extension": extension, **fields}}}]}


ERRORS.update({
    "route.cluster_specifier_plugin: Unknown cluster specifier plugin name: none is used in the route": {"routes": [by_plugin("none")]},
    "LuaConfig\" is refused: there is no Lua; write a MatcherClusterSpecifier": with_plugin(typed("envoy.extensions.router.cluster_specifiers.lua.v3.LuaConfig")),
    "extension.typed_config: must hold a MatcherClusterSpecifier, found envoy.extensions.load_balancing_policies.random.v3.Random":
        with_plugin(typed("envoy.extensions.load_balancing_policies.random.v3.Random")),
    "extension.typed_config.cluster_matcher: is required": with_plugin(typed(CLUSTER + "MatcherClusterSpecifier")),
    "on_no_match.action.typed_config: must hold a ClusterAction here": with_plugin(specifier({"on_no_match": says("a")})),
    "action.typed_config.cluster: must not be empty": with_plugin(specifier({"on_no_match": to_cluster("")})),
    "TransportProtocolInput cannot be looked at for a request's cluster": with_plugin(specifier(exact(network("TransportProtocolInput"), {"tls": TO_A}))),
})


def test_optional_plugins(start):
    """As Envoy: what is no cluster specifier chooses none."""
    weir = start(one_host(**with_plugin(typed("envoy.extensions.load_balancing_policies.random.v3.Random"), is_optional=True)))
    assert http1.request(weir.port).status == 503


@pytest.mark.parametrize("error", ERRORS)
def test_errors(tmp_path, error):
    got = validate(tmp_path, one_host(**ERRORS[error]))
    assert got.returncode != 0
    assert error in got.stderr


def test_the_manual(start, recording):
    weir = start(with_ports(block("matching.md", "# matching: routes\n"), {10000: 0, 8080: recording.port}))
    assert http1.request(weir.port, headers={"x-tenant": "blue"}).body == b"blue\n"
    assert http1.request(weir.port, "GET", "/status", headers={"x-tenant": "green"}).body == b"fine\n"
    assert http1.request(weir.port, headers={"x-tenant": "green"}).status == 200
    assert http1.request(weir.port).status == 404


def test_the_manual_of_clusters(start, ports):
    weir = start(with_ports(block("matching.md", "# matching: clusters\n"), {10000: 0, 8081: ports["a"], 8082: ports["b"]}))
    assert http1.request(weir.port, headers={"x-version": "2.1"}).body == b"b /"
    assert http1.request(weir.port, headers={"x-version": "1.2"}).body == b"a /"
    assert http1.request(weir.port).body == b"a /"
