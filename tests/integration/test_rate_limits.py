# SPDX-License-Identifier: Apache-2.0
"""Local rate limits of requests and of connections. Each test says what Weir does, and the same is asked of real Envoy. Buckets get
a new token once an hour: how fast the test is does not matter."""

import dataclasses
import json
import socket

import pytest

from support import http1, pages
from support.config import ANY, address, bootstrap, cluster, hcm, listener, route
from support.envoy import Envoy
from support.process import Weir, run_weir, wait_until
from support.tcp import tcp_proxy
from support.upstream import Upstream, respond

NAME = "envoy.filters.http.local_ratelimit"
FILTER = ANY + "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
ALL = {"default_value": {"numerator": 100}}
NONE = {"default_value": {"numerator": 0}, "runtime_key": "none"}
TOLD = {"enable_x_ratelimit_headers": "DRAFT_VERSION_03"}


def bucket(tokens, per_fill=1, interval="3600s"):
    return {"max_tokens": tokens, "tokens_per_fill": per_fill, "fill_interval": interval}


def limit(tokens=1, **fields):
    return {"stat_prefix": "limit", "token_bucket": bucket(tokens), "filter_enabled": ALL, "filter_enforced": ALL, **fields}


def descriptor(tokens, per_fill=1, **entries):
    return {"entries": [{"key": k, "value": v} for k, v in entries.items()], "token_bucket": bucket(tokens, per_fill)}


def generic(value, key=None):
    return {"generic_key": {"descriptor_value": value, **({"descriptor_key": key} if key else {})}}


def header(name, key, **fields):
    return {"request_headers": {"header_name": name, "descriptor_key": key, **fields}}


def actions(*one, **fields):
    return {"rate_limits": [{"actions": list(one), **fields}]}


def add(name, value):
    return [{"header": {"key": name, "value": value}}]


@dataclasses.dataclass
class Case:
    """Requests (path behind the route's prefix, headers) and their statuses."""
    name: str
    config: dict
    asks: list
    route: dict = dataclasses.field(default_factory=dict)
    host: dict = None  # fields of a virtual host of its own


def times(count, path="", **headers):
    return [(path, {k.replace("_", "-"): v for k, v in headers.items()})] * count


def served(*statuses, path="", **headers):
    return list(zip(times(len(statuses), path, **headers), statuses))


META = {"metadata": {"filter_metadata": {"space": {"a": {"b": "v"}, "n": 1}}}}


def metadata(*path, **fields):
    return {"metadata": {"descriptor_key": "m", "source": "ROUTE_ENTRY", "metadata_key": {
        "key": "space", "path": [{"key": p} for p in path]}, **fields}}


ONE_V = {"descriptors": [descriptor(1, generic_key="v")]}
CASES = [
    Case("tokens", limit(3), served(200, 200, 200, 429, 429)),
    Case("another status", limit(status={"code": "ServiceUnavailable"}), served(200, 503)),
    Case("a status that is none of an error", limit(status={"code": "Created"}), served(200, 429)),
    Case("off by default", {"stat_prefix": "limit", "token_bucket": bucket(1)}, served(200, 200)),
    Case("not enforced by default", {"stat_prefix": "limit", "token_bucket": bucket(1), "filter_enabled": ALL}, served(200, 200)),
    Case("of a header", limit(100, descriptors=[descriptor(1, k="a"), descriptor(2, k="b")]),
         served(200, 429, x_k="a") + served(200, 200, 429, x_k="b") + served(200, 200, 200, x_k="c") + served(200, 200),
         actions(header("x-k", "k"))),
    Case("that the default limits, too", limit(2, descriptors=[descriptor(100, k="a")]), served(200, 200, 429, x_k="a"), actions(header("x-k", "k"))),
    Case("that the default does not limit", limit(1, always_consume_default_token_bucket=False, descriptors=[descriptor(2, k="a")]),
         served(200, 200, 429, x_k="a") + served(200, 429), actions(header("x-k", "k"))),
    Case("entries have an order", limit(100, descriptors=[descriptor(1, a="1", b="2")]), served(200, 200),
         actions(generic("2", "b"), generic("1", "a"))),
    Case("two entries", limit(100, descriptors=[descriptor(1, a="1", b="2")]), served(200, 429), actions(generic("1", "a"), generic("2", "b"))),
    Case("a part is not enough", limit(100, descriptors=[descriptor(1, a="1")]), served(200, 200), actions(generic("1", "a"), generic("2", "b"))),
    Case("without a header there is none", limit(100, descriptors=[descriptor(1, b="v")]), served(200, 200) + served(200, 200, x_k="1"),
         actions(header("x-k", "k"), generic("v", "b"))),
    Case("without a header it is left out", limit(100, descriptors=[descriptor(1, b="v")]), served(200, 429) + served(200, 200, x_k="1"),
         actions(header("x-k", "k", skip_if_absent=True), generic("v", "b"))),
    Case("each value", limit(100, descriptors=[descriptor(1, k="")]), served(200, 429, x_k="a") + served(200, 429, x_k="b") + served(429, x_k="a"),
         actions(header("x-k", "k"))),
    Case("the latest values", limit(100, max_dynamic_descriptors=2, descriptors=[descriptor(1, k="")]),
         [ask for k, status in (("a", 200), ("b", 200), ("a", 429), ("c", 200), ("a", 429), ("b", 200), ("c", 200)) for ask in served(status, x_k=k)],
         actions(header("x-k", "k"))),
    Case("a value of its own", limit(100, descriptors=[descriptor(3, k="a"), descriptor(1, k="")]),
         served(200, 200, 200, 429, x_k="a") + served(200, 429, x_k="b"), actions(header("x-k", "k"))),
    Case("one value open", limit(100, descriptors=[descriptor(1, a="1", k="")]), served(200, 429, x_k="a") + served(200, 429, x_k="b"),
         actions(generic("1", "a"), header("x-k", "k"))),
    Case("a decoded parameter", limit(100, descriptors=[descriptor(1, q="a b")]),
         served(200, 429, path="?x=1&q=a%20b") + served(200, 200, path="?q=a+b") + served(200, path="?q"),
         actions({"query_parameters": {"query_parameter_name": "q", "descriptor_key": "q"}})),
    Case("a parameter that matches", limit(100, descriptors=[descriptor(1, query_match="v")]),
         served(200, 429, path="?q=a%20b") + served(200, 200, path="?q=c") + served(200),
         actions({"query_parameter_value_match": {"descriptor_value": "v", "query_parameters": [
             {"name": "q", "string_match": {"exact": "a b"}}]}})),
    Case("headers that match", limit(100, descriptors=[descriptor(1, header_match="v")]), served(200, 200) + served(200, 429, x_k="a"),
         actions({"header_value_match": {"descriptor_value": "v", "headers": [{"name": "x-k", "string_match": {"prefix": "a"}}]}})),
    Case("headers that do not match", limit(100, descriptors=[descriptor(1, own="v")]), served(200, 429) + served(200, 200, x_k="a"),
         actions({"header_value_match": {"descriptor_key": "own", "descriptor_value": "v", "expect_match": False,
                                         "headers": [{"name": "x-k", "present_match": True}]}})),
    Case("clusters", limit(100, descriptors=[descriptor(1, source_cluster="us", destination_cluster="up")]), served(200, 429),
         actions({"source_cluster": {}}, {"destination_cluster": {}})),
    Case("the client", limit(100, descriptors=[descriptor(1, remote_address="10.1.2.3")]), served(200, 429, x_forwarded_for="10.1.2.3") + served(200, 200),
         actions({"remote_address": {}})),
    Case("its network", limit(100, descriptors=[descriptor(1, masked_remote_address="10.1.0.0/16")]),
         served(200, 429, x_forwarded_for="10.1.2.3") + served(429, x_forwarded_for="10.1.9.9") + served(200, x_forwarded_for="10.2.0.1"),
         actions({"masked_remote_address": {"v4_prefix_mask_len": 16}})),
    Case("its whole address", limit(100, descriptors=[descriptor(1, masked_remote_address="10.1.2.3/32"), descriptor(1, masked_remote_address="fd00::/64")]),
         served(200, 429, x_forwarded_for="10.1.2.3") + served(200, 200, x_forwarded_for="10.1.2.4")
         + served(200, 429, x_forwarded_for="fd00::1:2"), actions({"masked_remote_address": {"v6_prefix_mask_len": 64}})),
    Case("metadata", limit(100, descriptors=[descriptor(1, m="v")]), served(200, 429), actions(metadata("a", "b"))),
    Case("metadata that is no text", limit(100, descriptors=[descriptor(1, m="1")]), served(200, 200), actions(metadata("n"))),
    Case("metadata with a default", limit(100, descriptors=[descriptor(1, m="d")]), served(200, 429), actions(metadata("x", default_value="d"))),
    Case("metadata left out", limit(100, descriptors=[descriptor(1, generic_key="v")]), served(200, 429),
         actions(metadata("x", skip_if_absent=True), generic("v"))),
    Case("dynamic metadata", limit(100, descriptors=[descriptor(1, m="d")]), served(200, 429),
         actions(metadata("a", "b", source="DYNAMIC", default_value="d"))),
    Case("another stage", limit(100, **ONE_V), served(200, 200), actions(generic("v"), stage=1)),
    Case("the same stage", limit(100, stage=1, **ONE_V), served(200, 429), actions(generic("v"), stage=1)),
    Case("a disable key", limit(100, **ONE_V), served(200, 200), actions(generic("v"), disable_key="k")),
    Case("at the end", limit(100, **ONE_V), served(200, 429), actions(generic("v"), apply_on_stream_done=True)),
    Case("hits of routes", limit(100, descriptors=[descriptor(3, generic_key="v")]), served(200, 200, 200, 429),
         actions(generic("v"), hits_addend={"number": 2})),
    Case("its own", limit(100, **ONE_V, **actions(generic("v"))), served(200, 429), actions(generic("w"))),
    Case("its own at the end", limit(100, **ONE_V, **actions(generic("v"), apply_on_stream_done=True)), served(200, 200)),
    Case("hits of its own", limit(100, descriptors=[descriptor(3, generic_key="v")], **actions(generic("v"), hits_addend={"number": 2})),
         served(200, 429)),
    Case("no hits", limit(100, descriptors=[descriptor(3, generic_key="v")], **actions(generic("v"), hits_addend={"number": 0})), served(429)),
    Case("two of one request", limit(100, descriptors=[descriptor(9, 9, a="1"), descriptor(1, b="1")]), served(200, 429, 429),
         {"rate_limits": [{"actions": [generic("1", "a")]}, {"actions": [generic("1", "b")]}]}),
    Case("of the host", limit(100, **ONE_V), served(200, 429), host=actions(generic("v"))),
    Case("the route's in place of the host's", limit(100, **ONE_V), served(200, 200), actions(generic("w")), host=actions(generic("v"))),
    Case("the host's, too", limit(100, vh_rate_limits="INCLUDE", **ONE_V), served(200, 429), actions(generic("w")), host=actions(generic("v"))),
    Case("the host's by the route", limit(100, vh_rate_limits="IGNORE", **ONE_V), served(200, 429),
         {**actions(generic("w")), "include_vh_rate_limits": True}, host=actions(generic("v"))),
    Case("never the host's", limit(100, vh_rate_limits="IGNORE", **ONE_V), served(200, 200), host=actions(generic("v"))),
]


def routed(prefix, config, name=NAME, **action):
    return {**route(prefix, cluster="up", **action), **META, "typed_per_filter_config": {name: {"@type": FILTER, **config}}}


LIMITED = add("x-limited", "%REQ(:path)% by %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")
OTHERS = [
    routed("/told", limit(2, response_headers_to_add=LIMITED, **TOLD)),
    routed("/values", limit(9, descriptors=[descriptor(2, k="")], **TOLD), **actions(header("x-k", "k"))),
    routed("/shadow", {**limit(request_headers_to_add_when_not_enforced=add("x-above", "yes")), "filter_enforced": NONE}),
    routed("/connection", limit(2, local_rate_limit_per_downstream_connection=True, descriptors=[descriptor(1, k="")], **TOLD),
           **actions(header("x-k", "k"))),
    routed("/grpc", limit()),
    routed("/exhausted", limit(rate_limited_as_resource_exhausted=True)),
    {**routed("/off", limit()), "typed_per_filter_config": {NAME: {"@type": ANY + "envoy.config.route.v3.FilterConfig", "disabled": True}}},
    {**routed("/counted", limit(2, stat_prefix="counted"))},
    {"match": {"prefix": "/direct"}, "direct_response": {"status": 200, "body": {"inline_string": "mine"}},
     "typed_per_filter_config": {NAME: {"@type": FILTER, **limit(1, **ONE_V)}}},
    route("/", cluster="up"),
]
LOG = {"name": "log", "typed_config": {"@type": ANY + "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", "log_format": {
    "text_format_source": {"inline_string": "LOG %REQ(:path)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"}}}}
NETWORK = ANY + "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit"
LISTENER = ANY + "envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit"


def tcp(name, *filters, listener_filters=()):
    def typed(kind, fields):
        return {"name": "limit", "typed_config": {"@type": kind, "stat_prefix": name, **fields}}
    return {"name": name, "address": address(), "listener_filters": [typed(LISTENER, f) for f in listener_filters],
            "filter_chains": [{"filters": [*(typed(NETWORK, f) for f in filters), tcp_proxy("up", access_log=[LOG])]}]}


TCP = [
    tcp("fast", {"token_bucket": bucket(2)}),
    tcp("shared", {"token_bucket": bucket(3), "share_key": "key"}),
    tcp("sharing", {"token_bucket": bucket(3), "share_key": "key"}),
    tcp("other", {"token_bucket": bucket(4), "share_key": "key"}),
    tcp("off", {"token_bucket": bucket(1), "runtime_enabled": {"default_value": True, "runtime_key": "limits.on"}}),
    tcp("early", listener_filters=[{"token_bucket": bucket(2)}]),
    tcp("early_off", listener_filters=[{"token_bucket": bucket(1), "runtime_enabled": {"default_value": False, "runtime_key": "x"}}]),
]


def configuration(port):
    on = {NAME: {"@type": ANY + "envoy.config.route.v3.FilterConfig", "config": {}}}
    hosts = [{"name": "all", "domains": ["*"], "routes": OTHERS},
             {"name": "outer", "domains": ["outer"], "routes": [{**route("/", cluster="up"), "typed_per_filter_config": on}],
              "typed_per_filter_config": {NAME: {"@type": FILTER, **limit()}}}]
    for number, case in enumerate(CASES):
        hosts.append({"name": f"h{number}", "domains": [f"h{number}"], "routes": [routed("/", case.config, **case.route)], **(case.host or {})})
    manager = hcm(virtual_hosts=hosts, access_log=[LOG], use_remote_address=False, filters=[{"name": NAME, "typed_config": {
        "@type": FILTER, "stat_prefix": "whole"}}])
    return {**bootstrap(listener(manager), *TCP, clusters=[cluster(port, name="up")]), "node": {"id": "me", "cluster": "us"},
            "layered_runtime": {"layers": [{"name": "static", "static_layer": {"limits.on": False, "none": 0}}]}}


def serve(connection):
    while (request := connection.read_request()) is not None:
        respond(connection, body=request.get("x-above") or "")


@pytest.fixture(scope="module", params=["weir", "envoy"])
def proxy(request, tmp_path_factory):
    kind = {"weir": Weir, "envoy": Envoy}[request.param]
    with Upstream(serve) as upstream, kind(tmp_path_factory.mktemp(request.param), configuration(upstream.port)) as running:
        yield running


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: CASES[n].name)
def test_case(proxy, number):
    asks = CASES[number].asks
    got = [http1.request(proxy.port, path=f"/{path}", headers=headers, host=f"h{number}") for (path, headers), _ in asks]
    assert [a.status for a in got] == [status for _, status in asks]
    assert {a.text for a in got if a.status >= 400} <= {"local_rate_limited"}


def told(answer):
    """What the answer says of the limit; the time until there is a token is 0 or at most an hour."""
    reset = int(answer.get("x-ratelimit-reset", 0))
    assert reset <= 3600
    return answer.status, answer.get("x-ratelimit-limit"), answer.get("x-ratelimit-remaining"), reset > 0


def test_clients_are_told(proxy):
    got = [http1.request(proxy.port, path="/told?x") for _ in range(3)]
    assert [told(a) for a in got] == [(200, "2", "1", False), (200, "2", "0", True), (429, "2", "0", True)]
    assert [a.get("x-limited") for a in got] == [None, None, "/told?x by 127.0.0.1"]
    by_value = [told(http1.request(proxy.port, path="/values", headers={"x-k": k})) for k in "aabaa"] + [told(http1.request(proxy.port, path="/values"))]
    assert by_value == [(200, "2", "1", False), (200, "2", "0", True), (200, "2", "1", False), (429, "2", "0", True), (429, "2", "0", True),
                        (200, "9", "5", False)]


def test_not_enforced(proxy):
    got = [http1.request(proxy.port, path="/shadow") for _ in range(3)]
    assert [(a.status, a.text) for a in got] == [(200, ""), (200, "yes"), (200, "yes")]


def test_each_connection(proxy):
    for _ in range(2):
        with http1.Client(proxy.port) as client:
            assert [told(client.request(path="/connection")) for _ in range(3)] == [(200, "2", "1", False), (200, "2", "0", True), (429, "2", "0", True)]
    with http1.Client(proxy.port) as client:
        assert [client.request(path="/connection", headers={"x-k": k}).status for k in "aabc"] == [200, 429, 200, 429]


@pytest.mark.parametrize("path, code", [("/grpc", "14"), ("/exhausted", "8")])
def test_grpc(proxy, path, code):
    got = [http1.request(proxy.port, path=path, headers={"content-type": "application/grpc"}) for _ in range(2)]
    assert [(a.status, a.get("grpc-status"), a.get("grpc-message")) for a in got] == [(200, None, None), (200, code, "local_rate_limited")]


def test_a_route_that_only_switches_on(proxy):
    """The limit is that of its virtual host."""
    assert [http1.request(proxy.port, host="outer").status for _ in range(2)] == [200, 429]


def test_not_limited(proxy):
    for path in ("/off", "/"):
        assert [http1.request(proxy.port, path=path).status for _ in range(3)] == [200] * 3
    assert [http1.request(proxy.port, path="/direct").status for _ in range(3)] == [200, 429, 429]


def test_statistics_and_log(proxy):
    assert [http1.request(proxy.port, path="/counted?x").status for _ in range(3)] == [200, 200, 429]
    names = {"enabled": 3, "ok": 2, "rate_limited": 1, "enforced": 1}
    wait_until(lambda: names.items() <= {k.split(".")[-1]: v for k, v in proxy.stats("counted.http_local_rate_limit").items()}.items(), "counted")
    assert proxy.wait_log("LOG /counted\\?x (.*)", 3) == ["200 - via_upstream"] * 2 + ["429 RL local_rate_limited"]
    page = proxy.admin("/stats/prometheus?filter=counted.http_local_rate_limit").text
    assert 'envoy_http_local_rate_limit_enforced{envoy_local_http_ratelimit_prefix="counted"} 1' in page


def connected(proxy, name):
    """Whether a connection is served."""
    with socket.create_connection(("127.0.0.1", proxy.listener_port(name)), timeout=http1.TIMEOUT_S) as s:
        try:
            s.sendall(http1.format_request())
            return s.recv(100).startswith(b"HTTP/1.1 200")
        except (ConnectionResetError, BrokenPipeError):
            return False


def test_connections(proxy):
    expected = {"fast": "++--", "shared": "++", "sharing": "+--", "other": "++++-", "off": "+++", "early": "++--", "early_off": "+++"}
    assert {name: "".join("+" if connected(proxy, name) else "-" for _ in signs) for name, signs in expected.items()} == expected
    counted = {"local_rate_limit.fast.rate_limited": 2, "local_rate_limit.shared.rate_limited": 0, "local_rate_limit.sharing.rate_limited": 2,
               "local_rate_limit.other.rate_limited": 1, "listener_local_ratelimit.early.rate_limited": 2}
    wait_until(lambda: counted.items() <= proxy.stats("limit").items(), "counted")
    assert len(proxy.wait_log("LOG - 0 URX -", 5)) == 5
    page = proxy.admin("/stats/prometheus").text
    assert 'envoy_local_rate_limit_rate_limited{envoy_local_network_ratelimit_prefix="fast"} 2' in page
    assert 'envoy_listener_local_ratelimit_rate_limited{envoy_local_listener_ratelimit_prefix="early"} 2' in page


def test_exact_over_workers(tmp_path):
    """Many clients at once at one bucket: each token once."""
    with Upstream(serve) as upstream:
        c = bootstrap(listener(hcm([route("/", cluster="up")], filters=[{"name": NAME, "typed_config": {"@type": FILTER, **limit(500)}}])),
                      clusters=[cluster(upstream.port, name="up")])
        with Weir(tmp_path, c, concurrency=4) as weir:
            clients = [http1.Client(weir.port) for _ in range(20)]
            statuses = []
            for _ in range(40):
                for client in clients:
                    client.send(http1.format_request())
                statuses += [client.response().status for client in clients]
            for client in clients:
                client.close()
            assert statuses.count(200) == 500 and statuses.count(429) == 300
            wait_until(lambda: {"limit.http_local_rate_limit.ok": 500, "limit.http_local_rate_limit.enforced": 300}.items()
                       <= weir.stats("limit").items(), "counted")


REFUSED = {
    "no bucket": ({"token_bucket": None}, "must be set"),
    "too fast": ({"token_bucket": bucket(1, 1, "0.049s")}, "at least 50ms"),
    "a descriptor that is too fast": ({"descriptors": [{**descriptor(1, a="b"), "token_bucket": bucket(1, 1, "0.02s")}]}, "at least 50ms"),
    "twice": ({"descriptors": [descriptor(1, a="b"), descriptor(2, a="b")]}, "duplicate descriptor"),
    "a stage of its own": (actions(generic("v"), stage=0), "no meaning"),
    "a key of its own": (actions(generic("v"), disable_key="k"), "no meaning"),
    "a limit of its own": (actions(generic("v"), limit={"dynamic_metadata": {"metadata_key": {"key": "a", "path": [{"key": "b"}]}}}), "no meaning"),
    "no addend": (actions(generic("v"), hits_addend={}), "write number"),
    "no actions": ({"rate_limits": [{"actions": []}]}, "must not be empty"),
    "a stage": ({"stage": 11}, "at most 10"),
    "no values": ({"max_dynamic_descriptors": 0}, "at least 1"),
    "a header that is taken": ({"response_headers_to_add": add(":status", "1")}, "may not be modified"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path):
    fields, text = REFUSED[name]
    own = {k: v for k, v in {**limit(), **fields}.items() if v is not None}
    path = tmp_path / "weir.json"
    path.write_text(json.dumps(bootstrap(listener(hcm([routed("/", own)], filters=[
        {"name": NAME, "typed_config": {"@type": FILTER, "stat_prefix": "s"}}])), clusters=[cluster(1, name="up")])))
    result = run_weir("-c", path, "--mode", "validate")
    assert result.returncode == 1 and text in result.stderr


def test_of_another_filter(tmp_path):
    path = tmp_path / "weir.json"
    path.write_text(json.dumps(bootstrap(listener(hcm([routed("/", limit(), name="envoy.filters.http.router")])), clusters=[cluster(1, name="up")])))
    result = run_weir("-c", path, "--mode", "validate")
    assert result.returncode == 1 and "limits no requests" in result.stderr


def test_documented(tmp_path):
    with Upstream(serve) as upstream, Weir(tmp_path, pages.with_ports(pages.block("rate-limits.md"), {10000: 0, 9901: 0, 8080: upstream.port})) as weir:
        got = [http1.request(weir.port, path="/login", headers={"x-api-key": k}).status for k in ["a"] * 6 + ["b"]]
        assert got == [200] * 5 + [429, 200]
        assert [http1.request(weir.port, path="/static").status for _ in range(10)] == [200] * 10
