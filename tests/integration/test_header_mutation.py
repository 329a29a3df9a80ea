# SPDX-License-Identifier: Apache-2.0
"""Header mutations in all places that have them. Each test says what Weir does, and the same is asked of real Envoy."""

import json

import pytest

from support import http1, pages
from support.config import ANY, bootstrap, cluster, hcm, http_options, listener, route
from support.envoy import Envoy
from support.process import Weir, run_weir, wait_until
from support.upstream import Upstream, respond

NAME = "envoy.filters.http.header_mutation"
FILTER = ANY + "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
EARLY = ANY + "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
SET, ABSENT, EXISTS = "OVERWRITE_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS"


def add(name, value, action="APPEND_IF_EXISTS_OR_ADD", **fields):
    return {"append": {"header": {"key": name, "value": value}, "append_action": action, **fields}}


def remove(name):
    return {"remove": name}


def matching(**matcher):
    return {"remove_on_match": {"key_matcher": matcher}}


def parameter(name, value, action="APPEND_IF_EXISTS_OR_ADD"):
    return {"append": {"record": {"key": name, "value": value}, "action": action}}


def mutations(request=(), response=(), query=(), request_trailers=(), response_trailers=()):
    return {"request_mutations": list(request), "response_mutations": list(response), "query_parameter_mutations": list(query),
            "request_trailers_mutations": list(request_trailers), "response_trailers_mutations": list(response_trailers)}


def routed(prefix, cluster="up", **fields):
    return {**route(prefix, cluster=cluster), "typed_per_filter_config": {NAME: {"@type": FILTER + "PerRoute", "mutations": mutations(**fields)}}}


ROUTES = [
    routed("/order", request=[add("x-a", "1"), remove("X-A"), add("x-a", "2"), add("x-a", "%REQ(x-a)%3"), add("x-b", "%REQ(x-a)%", SET)]),
    routed("/empty", request=[add("x-e", ""), add("x-f", "%REQ(none)%"), add("x-g", "", keep_empty_value=True),
                              add("x-h", "%REQ(none)%", keep_empty_value=True)]),
    routed("/actions", request=[add("x-a", "n", ABSENT), add("x-b", "n", ABSENT), add("x-c", "n", EXISTS), add("x-d", "m", EXISTS)]),
    routed("/matching", request=[matching(prefix="x-"), add("x-z", "z")]),
    routed("/escaped", request=[add("x-a", "100%%"), add("x-b", "%REQ(x-a)% %%")]),
    routed("/answer", response=[add("x-up", "%RESP(x-up)%!"), add("x-code", "%RESPONSE_CODE% %REQ(:path)%"), remove("x-gone"), add("server", "me", SET)]),
    routed("/query", query=[parameter("z", "1"), parameter("a", "%REQ(x-a)%"), parameter("b", "9", SET), parameter("c", "9", ABSENT),
                            parameter("d", "9", EXISTS), {"remove": "e"}]),
    routed("/trailers", request_trailers=[add("x-q", "%REQ(:path)%"), remove("x-r")],
           response_trailers=[add("x-t", "2"), add("x-n", "%REQ(:path)% %RESP(x-up)% %TRAILER(x-t)%")]),
    {"match": {"prefix": "/direct"}, "direct_response": {"status": 200, "body": {"inline_string": "mine"}}, "typed_per_filter_config": {
        NAME: {"@type": FILTER + "PerRoute", "mutations": mutations(response=[add("x-asked", "%REQ(:path)%")])}}},
    {**route("/off", cluster="up"), "typed_per_filter_config": {NAME: {"@type": ANY + "envoy.config.route.v3.FilterConfig", "disabled": True}}},
    routed("/levels", request=[add("x-last", "route", SET), add("x-all", "route")]),
    routed("/try", cluster="tried"),
    route("/early", cluster="up"),
    route("/mirrored", cluster="up", request_mirror_policies=[
        {"cluster": "shadow", "request_headers_mutations": [add("x-a", "1", SET), add("x-b", "%REQ(x-a)% %REQ(:authority)%"), remove("x-c"),
                                                            matching(prefix="x-e"), add("x-envoy-internal", "no", SET)]}]),
]


def level(name):
    return [add("x-last", name, SET), add("x-all", name)]


def typed(**fields):
    return {NAME: {"@type": FILTER + "PerRoute", "mutations": mutations(**fields)}}


def front(name, wins):
    manager = hcm(virtual_hosts=[{"name": "all", "domains": ["*"], "routes": ROUTES, "typed_per_filter_config": typed(request=level("host"))}],
                  filters=[{"name": NAME, "typed_config": {"@type": FILTER, "mutations": mutations(request=level("filter")),
                                                           "most_specific_header_mutations_wins": wins}}],
                  http_protocol_options={"enable_trailers": True}, normalize_path=True,
                  early_header_mutation_extensions=[{"name": "early", "typed_config": {"@type": EARLY, "mutations": [
                      add("x-early", "%REQ(:path)%,%REQ(x-forwarded-proto)%,%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"), remove("x-bad")]}}])
    manager["route_config"]["typed_per_filter_config"] = typed(request=level("table"))
    return listener(manager, name=name)


TRY = {"name": "try", "typed_config": {"@type": FILTER, "mutations": mutations(
    request=[add("x-try", "%REQ(x-last)% %REQ(:path)%"), remove("x-all")], response=[add("x-answer", "%RESP(x-up)%")],
    query=[parameter("n", "1")], request_trailers=[add("x-q", "try")], response_trailers=[add("x-t", "try")])}}
CODEC = {"name": "codec", "typed_config": {"@type": ANY + "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"}}


def trailers(**fields):
    return http_options(explicit_http_config={"http_protocol_options": {"enable_trailers": True}}, **fields)


def configuration(port, shadow):
    return bootstrap(front("front", False), front("wins", True), clusters=[
        cluster(port, name="up", **trailers()), cluster(port, name="tried", **trailers(http_filters=[TRY, CODEC])), cluster(shadow, name="shadow")])


SHOWN = ("x-a", "x-b", "x-c", "x-d", "x-e", "x-f", "x-g", "x-h", "x-z", "x-last", "x-all", "x-early", "x-bad", "x-try", "y", "host", "x-envoy-internal")


def show(request):
    return {"path": request.start.split(" ")[1], "headers": sorted([k, v] for k, v in request.headers if k in SHOWN), "trailers": request.trailers}


def serve(connection):
    while (request := connection.read_request()) is not None:
        body = json.dumps(show(request))
        connection.send(f"HTTP/1.1 200 OK\r\nx-up: 1\r\nx-up: 2\r\nx-gone: 1\r\ntransfer-encoding: chunked\r\n\r\n"
                        f"{len(body):x}\r\n{body}\r\n0\r\nx-t: 1\r\n\r\n")


copies = []


def keep(connection):
    while (request := connection.read_request()) is not None:
        copies.append((request.get("x-run"), show(request)))
        respond(connection)


@pytest.fixture(scope="module", params=["weir", "envoy"])
def proxy(request, tmp_path_factory):
    kind = {"weir": Weir, "envoy": Envoy}[request.param]
    with Upstream(serve) as upstream, Upstream(keep) as shadow, \
            kind(tmp_path_factory.mktemp(request.param), configuration(upstream.port, shadow.port)) as running:
        yield running


def ask(proxy, path, headers=(), port=None):
    """What the upstream got: the path, and the headers that are not everybody's."""
    seen = json.loads(http1.request(port or proxy.port, path=path, headers=headers).body)
    return seen["path"], [(k, v) for k, v in seen["headers"] if k not in ("x-last", "x-all", "x-early", "host")]


REQUESTS = [
    ("/order", {"x-a": "0"}, "/order", [("x-a", "2"), ("x-a", "23"), ("x-b", "2")]),
    ("/empty", {}, "/empty", [("x-g", ""), ("x-h", "")]),
    ("/actions", {"x-a": "1", "x-d": "1"}, "/actions", [("x-a", "1"), ("x-b", "n"), ("x-d", "m")]),
    ("/matching", {"x-a": "1", "X-B": "2", "y": "3"}, "/matching", [("x-z", "z"), ("y", "3")]),
    ("/escaped", {}, "/escaped", [("x-a", "100%"), ("x-b", "100% %")]),
    ("/query?d=1&b=1&b=2&e=1&g", {"x-a": "a b&c"}, "/query?a=a%20b%26c&b=9&c=9&d=9&g=&z=1", [("x-a", "a b&c")]),
    ("/query?%65=1&z=0&z=2", {}, "/query?a=&b=9&c=9&z=0&z=2&z=1", []),
    ("/query", {}, "/query?a=&b=9&c=9&z=1", []),
    ("/query?", {}, "/query?a=&b=9&c=9&z=1", []),
]


@pytest.mark.parametrize("path, headers, expected_path, expected", REQUESTS)
def test_requests(proxy, path, headers, expected_path, expected):
    assert ask(proxy, path, headers) == (expected_path, expected)


def test_levels(proxy):
    seen = {name: json.loads(http1.request(proxy.listener_port(name), path=path).body)["headers"]
            for name, path in (("front", "/levels"), ("wins", "/levels"))}
    assert [["x-last", "table"], ["x-last", "route"]] == [next(h for h in seen[n] if h[0] == "x-last") for n in ("front", "wins")]
    assert all(sorted(v for k, v in s if k == "x-all") == ["filter", "host", "route", "table"] for s in seen.values())
    off = json.loads(http1.request(proxy.port, path="/off").body)["headers"]
    assert not [h for h in off if h[0] in ("x-last", "x-all")]


def test_answers(proxy):
    a = http1.request(proxy.port, path="/answer")
    assert (a.all("x-up"), a.get("x-code"), a.get("x-gone"), a.all("server")) == (["1", "2", "1!"], "200 /answer", None, ["envoy"])
    assert http1.request(proxy.port, path="/direct").get("x-asked") == "/direct"


def chunked(proxy, path):
    with http1.Client(proxy.port) as client:
        client.send(f"POST {path} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-r: 1\r\nx-s: 2\r\n\r\n")
        return client.response()


def test_trailers(proxy):
    a = chunked(proxy, "/trailers")
    assert json.loads(a.body)["trailers"] == [["x-s", "2"], ["x-q", "/trailers"]]
    assert a.trailers == [("x-t", "1"), ("x-t", "2"), ("x-n", "/trailers 1 1")]


def test_each_try(proxy):
    a = chunked(proxy, "/try")
    seen = json.loads(a.body)
    assert seen["path"] == "/try?n=1" and seen["trailers"] == [["x-r", "1"], ["x-s", "2"], ["x-q", "try"]]
    assert [h for h in seen["headers"] if h[0] in ("x-try", "x-all")] == [["x-try", "table /try"]]
    assert a.get("x-answer") == "1" and a.trailers == [("x-t", "1"), ("x-t", "try")]


def test_early(proxy):
    seen = json.loads(http1.request(proxy.port, path="/x/../early", headers={"x-bad": "1"}).body)
    assert [h for h in seen["headers"] if h[0] in ("x-early", "x-bad")] == [["x-early", "/early,,127.0.0.1"]]


def test_mirrors(proxy):
    run = type(proxy).__name__
    _, own = ask(proxy, "/mirrored", {"x-run": run, "x-a": "0", "x-c": "c", "x-e": "e"})
    assert own == [("x-a", "0"), ("x-c", "c"), ("x-e", "e")]
    seen = wait_until(lambda: [c for r, c in copies if r == run], "the copy")[0]["headers"]
    assert [h for h in seen if h[0] not in ("x-last", "x-all", "x-early")] == [
        ["host", "test-shadow"], ["x-a", "1"], ["x-b", "1 test"], ["x-envoy-internal", "true"]]


REFUSED = {
    "a pseudo-header": ({"request": [add(":path", "/")]}, "may not be modified"),
    "the host": ({"request": [add("host", "x")]}, "may not be modified"),
    "a pseudo-header of answers": ({"response": [add(":status", "200", SET)]}, "may not be modified"),
    "no path": ({"request": [remove(":path")]}, "may not be removed"),
    "an operator": ({"request": [add("x", "%NOPE%")]}, "NOPE"),
    "no name": ({"request": [add("a b", "x")]}, "no header name"),
    "nothing": ({"request": [{}]}, "needs one of"),
    "two forms": ({"request": [{"append": {"header": {"key": "a", "value": "b"}, "append": False, "append_action": ABSENT}}]}, "append_action"),
    "no parameter": ({"query": [{}]}, "either append or remove"),
    "both": ({"query": [{**parameter("a", "1"), "remove": "b"}]}, "either append or remove"),
    "no value": ({"query": [{"append": {"record": {"key": "a"}}}]}, "with a text"),
    "a number": ({"query": [parameter("a", 1)]}, "with a text"),
    "a bad expression": ({"request": [matching(safe_regex={"regex": "("})]}, "unclosed group"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path):
    fields, text = REFUSED[name]
    path = tmp_path / "weir.json"
    path.write_text(json.dumps(bootstrap(listener(hcm([routed("/", **fields)], filters=[{"name": NAME, "typed_config": {"@type": FILTER}}])),
                                         clusters=[cluster(1, name="up")])))
    result = run_weir("-c", path, "--mode", "validate")
    assert result.returncode == 1 and text in result.stderr


def test_long_queries(proxy, request):
    if isinstance(proxy, Envoy):
        pytest.skip("it decodes what it does not change")
    query = "&".join(f"k{i:04}=%00%0d%0a" for i in range(2000))
    assert ask(proxy, f"/query?{query}")[0] == f"/query?a=&b=9&c=9&{query}&z=1"


def test_documented(tmp_path):
    with Upstream(serve) as upstream, Weir(tmp_path, pages.with_ports(pages.block("header-mutation.md"), {10000: 0, 9901: 0, 8080: upstream.port})) as weir:
        a = http1.request(weir.port, path="/a?debug=1&b=2", headers={"x-internal-user": "root"})
        assert json.loads(a.body)["path"] == "/a?b=2" and a.get("x-asked") == "/a?b=2" and "x-internal" not in a.text
