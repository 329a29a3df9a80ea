# SPDX-License-Identifier: Apache-2.0
"""Internal redirects beside real Envoy: what the client and the upstream see, the access log, the statistics."""

import dataclasses
import json
import re

import pytest

from support import envoy, http2, plugins
from support.config import ANY, bootstrap, cluster, direct, hcm, listener, route, wasm
from support.http1 import Client, request
from support.pages import block, with_ports
from support.process import Weir
from support.upstream import Upstream, respond

LOG = "LOG %REQ(X-CASE)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %REQ(:PATH)%\n"
UNTOLD = {"x-forwarded-for", "x-request-id", "x-envoy-expected-rq-timeout-ms"}


@dataclasses.dataclass
class Case:
    name: str
    policy: dict = dataclasses.field(default_factory=dict)
    status: int = 302
    location: str = "http://test/final?q=1"
    method: str = "GET"
    body: str = None
    hops: int = 1           # redirects in a row
    headers: tuple = ()     # of the answer
    action: dict = dataclasses.field(default_factory=dict)
    route: dict = dataclasses.field(default_factory=dict)


def predicate(kind, **fields):
    room, message = kind
    return {"name": room, "typed_config": {"@type": ANY + f"envoy.extensions.internal_redirect.{room}.v3.{message}", **fields}}


def allowed(*names):
    return predicate(("allow_listed_routes", "AllowListedRoutesConfig"), allowed_route_names=list(names))


PREVIOUS_ROUTES = predicate(("previous_routes", "PreviousRoutesConfig"))
SAFE_SCHEME = predicate(("safe_cross_scheme", "SafeCrossSchemeConfig"))
CASES = [
    Case("plain"),
    Case("301 is not followed", status=301),
    Case("301 is followed", {"redirect_response_codes": [301, 307]}, status=301),
    Case("302 is not followed then", {"redirect_response_codes": [301]}),
    Case("307 with a body", {"redirect_response_codes": [307]}, status=307, method="POST", body="hello " * 1000),
    Case("303 fetches", {"redirect_response_codes": [303]}, status=303, method="POST", body="hello"),
    Case("303 of GET", {"redirect_response_codes": [303]}, status=303),
    Case("another scheme", location="https://test/final"),
    Case("another scheme is allowed", {"allow_cross_scheme_redirect": True}, location="https://test/final"),
    Case("a relative location", location="/final"),
    Case("an empty location", location=""),
    Case("no location", location=None),
    Case("a strange scheme", location="ftp://test/final"),
    Case("no path", location="http://test"),
    Case("a query alone", location="http://test?a=b"),
    Case("a fragment", location="http://test/final#part"),
    Case("a port", location="http://test:8080/final"),
    Case("another host without a route", location="http://nobody/final"),
    Case("a direct response", location="http://test/direct"),
    Case("two in a row", hops=2),
    Case("two in a row are allowed", {"max_internal_redirects": 2}, hops=2),
    Case("none", {"max_internal_redirects": 0}),
    Case("copied headers", {"response_headers_to_copy": ["x-copy", "x-none"]}, headers=(("x-copy", "1"), ("x-copy", "2"))),
    Case("a body that is too long", {"redirect_response_codes": [307]}, status=307, method="POST", body="x" * 5000,
         route={"per_request_buffer_limit_bytes": 1000}),
    Case("after a retry", action={"retry_policy": {"retry_on": "5xx", "retry_back_off": {"base_interval": "0.001s"}}}),
    Case("rewritten before", action={"prefix_rewrite": "/rewritten/"}),
    Case("no route twice", {"max_internal_redirects": 5, "predicates": [PREVIOUS_ROUTES]}, hops=3, route={"name": "named"}),
    Case("no route twice without a name", {"max_internal_redirects": 5, "predicates": [PREVIOUS_ROUTES]}, hops=3),
    Case("no route twice to another one", {"predicates": [PREVIOUS_ROUTES]}, location="http://test/direct"),
    Case("to a listed route", {"predicates": [allowed("other", "direct")]}, location="http://test/direct"),
    Case("to a route that is not listed", {"predicates": [allowed("other")]}, route={"name": "named"}),
    Case("to no listed route", {"predicates": [allowed()]}),
    Case("a safe scheme", {"predicates": [SAFE_SCHEME], "allow_cross_scheme_redirect": True}),
    Case("an unsafe scheme", {"predicates": [SAFE_SCHEME], "allow_cross_scheme_redirect": True}, location="https://test/final"),
    Case("all predicates", {"max_internal_redirects": 5, "predicates": [PREVIOUS_ROUTES, allowed("named"), SAFE_SCHEME]}, hops=3,
         route={"name": "named"}),
    Case("the first one says no", {"max_internal_redirects": 5, "predicates": [allowed("other"), PREVIOUS_ROUTES]}, hops=2),
]
DIFFERENT = {}


def key_of(case):
    return re.sub(r"[^a-z0-9]+", "-", case.name.lower()).strip("-")


class Redirecting:
    def __init__(self):
        self.seen = {}
        self.upstream = Upstream(self.serve)
        self.port = self.upstream.port

    def serve(self, connection):
        while (asked := connection.read_request()) is not None:
            seen = self.seen.setdefault(asked.get("x-run"), [])
            seen.append((asked.start, sorted((k, v) for k, v in asked.headers if k not in UNTOLD and k != "x-run"), asked.body))
            case = next(c for c in CASES if key_of(c) == asked.get("x-case"))
            retried = case.name == "after a retry"
            if retried and len(seen) == 1:
                respond(connection, "503 No")
            elif len(seen) <= case.hops + retried:
                location = [] if case.location is None else [("location", case.location)]
                respond(connection, f"{case.status} X", [*location, *case.headers], "moved")
            else:
                respond(connection, body="final")


def configuration(port):
    routes = []
    for case in CASES:
        match = {"prefix": "/", "headers": [{"name": "x-case", "string_match": {"exact": key_of(case)}}]}
        routes.append({**route(match, cluster=key_of(case), internal_redirect_policy=case.policy, **case.action), **case.route})
    log = [{"name": "log", "typed_config": {
        "@type": ANY + "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        "log_format": {"text_format_source": {"inline_string": LOG}}}}]
    hosts = [{"name": "all", "domains": ["test", "test:8080"], "routes": [{**direct(201, "direct", "/direct"), "name": "direct"}, *routes]}]
    manager = hcm(virtual_hosts=hosts, access_log=log)
    return bootstrap(listener(manager), clusters=[cluster(port, name=key_of(case)) for case in CASES])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    redirecting = Redirecting()
    config = configuration(redirecting.port)
    answers = {}
    with redirecting.upstream, envoy.Envoy(tmp_path_factory.mktemp("envoy"), config) as theirs, \
            Weir(tmp_path_factory.mktemp("weir"), config) as ours:
        for case in CASES:
            answers[case.name] = [run(proxy, redirecting, case, who) for who, proxy in (("envoy", theirs), ("weir", ours))]
        yield answers


def run(proxy, redirecting, case, who):
    key = key_of(case)
    before = {k: v for k, v in proxy.stats("passthrough").items()}
    headers = [("x-case", key), ("x-run", f"{who}-{key}"), ("x-copy", "old")]
    answer = request(proxy.port, case.method, "/start?a=b", headers, case.body)
    fields = sorted((k, v) for k, v in answer.headers if k not in ("date", "x-envoy-upstream-service-time"))
    seen = redirecting.seen[f"{who}-{key}"]
    stats = {k.split(".", 2)[2]: v for k, v in proxy.stats(f"cluster%5C.{key}%5C.upstream_internal").items()}
    lines = sorted(proxy.wait_log(f"LOG {key} (.*)", stats["upstream_internal_redirect_succeeded_total"] + 1))
    stats.update({k: v - before.get(k, 0) for k, v in proxy.stats("passthrough").items()
                  if v != before.get(k, 0) and k.startswith("http.front.")})
    return {"answer": (answer.status, answer.text, fields), "seen": seen, "log": lines, "stats": stats}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_same(results, case):
    theirs, ours = results[case.name]
    shown = f"Envoy: {json.dumps(theirs, indent=1, default=str)}\nWeir: {json.dumps(ours, indent=1, default=str)}"
    if case.name in DIFFERENT:
        assert theirs != ours, f"no difference any more, take it out of DIFFERENT: {shown}"
    else:
        assert theirs == ours, shown


def test_plugins_see_both_requests(start):
    """The filters run again, with what they change: a plugin adds its header to either request."""
    seen = []

    def handler(connection):
        while (asked := connection.read_request()) is not None:
            seen.append((asked.start.split()[1], asked.all("x-hello")))
            if len(seen) % 2:
                respond(connection, "302 X", [("location", "http://test/final")])
            else:
                respond(connection, body="final")

    with Upstream(handler) as upstream:
        filters = [wasm("add-header", {"request": {"x-hello": "1"}})]
        weir = start(bootstrap(listener(hcm([route(internal_redirect_policy={})], filters)), clusters=[cluster(upstream.port)]),
                     *plugins.SHIPPED)
        with Client(weir.port) as client:
            for _ in range(3):
                assert client.request(path="/start").text == "final"
    assert [path for path, _ in seen] == ["/start", "/final"] * 3
    # The second request has what the first one was made into, and goes through the plugin too.
    assert [len(values) for _, values in seen] == [1, 2] * 3


def test_the_manual(start):
    hops = []

    def handler(connection):
        while (asked := connection.read_request()) is not None:
            hops.append(asked.start.split()[1])
            location = [("location", f"http://test/{len(hops)}")]
            respond(connection, "307 X" if len(hops) < 4 else "200 OK", location, "end")

    with Upstream(handler) as upstream:
        weir = start(with_ports(block("routing.md", "# internal redirects\n"), {8080: upstream.port, 10000: 0}))
        answer = request(weir.port, "POST", "/start", body="x" * 100_000)
        assert (answer.status, hops) == (200, ["/start", "/1", "/2", "/3"])


@pytest.mark.parametrize("retries", [{}, {"retry_policy": {"retry_on": "5xx"}}], ids=["no retries", "retries"])
def test_a_body_after_an_informational_answer(start, retries):
    """100 Continue ends retries, but the body that follows is needed for the redirect."""
    bodies = []

    def handler(connection):
        while (asked := connection.read_head()) is not None:
            connection.send("HTTP/1.1 100 Continue\r\n\r\n")
            bodies.append(connection.read_body(asked).body)
            respond(connection, "307 X" if len(bodies) % 2 else "200 OK", [("location", "http://test/final")], "end")

    policy = {"internal_redirect_policy": {"redirect_response_codes": [307]}, **retries}
    with Upstream(handler) as upstream:
        weir = start(bootstrap(listener(hcm([route(**policy)])), clusters=[cluster(upstream.port)]))
        for i in range(3):
            assert request(weir.port, "POST", "/start", body="x" * 50_000).status == 200
    assert [len(body) for body in bodies] == [50_000] * 6


def test_bodies_again_over_http2(start):
    """What the client has sent comes whole, through a filter chain made anew."""
    seen = []

    def handler(connection):
        while (asked := connection.read_request()) is not None:
            seen.append((asked.start.split()[1], len(asked.body)))
            respond(connection, "302 X" if asked.start.split()[1].startswith("/r") else "200 OK",
                    [("location", "http://test/final")], "z" * 1000)

    with Upstream(handler) as upstream:
        weir = start(bootstrap(listener(hcm([route(internal_redirect_policy={})])), clusters=[cluster(upstream.port)]))
        with http2.Client(weir.port) as client:
            streams = []
            for i in range(20):
                stream = client.open(http2.request(f"/r{i}", "POST"), end=False)
                client.send(http2.frame(http2.DATA, 0, stream, b"a" * 1000) + http2.frame(http2.DATA, 1, stream, b"b" * 500))
                streams.append(stream)
            done = set()
            client.read_until(lambda f: f.flags & 1 and f.type in (0, 1) and (done.add(f.stream) or len(done) == len(streams)))
        assert sorted(n for p, n in seen if p == "/final") == [1500] * 20
        weir.wait_stat("http.front.downstream_rq_active", 0)
