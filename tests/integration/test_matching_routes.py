# SPDX-License-Identifier: Apache-2.0
"""Routes of virtual hosts by trees of the matching API, beside real Envoy."""

import pytest

from support import http1
from support.config import ANY, bootstrap, direct, hcm, listener, route
from support.envoy import Envoy
from support.matching import (MATCHERS, all_of, by_ip, by_name, custom, exact, first_of, header, network, no, prefix, to_chain, to_route,
                              to_tree, typed, value)
from support.pages import block, with_ports
from support.process import Weir, validate

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


def config():
    hosts = [{"name": name, "domains": [name], **fields} for name, (fields, _) in HOSTS.items()]
    return bootstrap(listener(hcm(virtual_hosts=hosts)))


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    with Weir(tmp_path_factory.mktemp("weir"), config()) as running:
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


def test_as_envoy(weir, tmp_path):
    envoy = Envoy(tmp_path / "envoy", config())
    try:
        assert answers(weir) == answers(envoy)
    finally:
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
