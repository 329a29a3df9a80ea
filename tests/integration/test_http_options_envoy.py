# SPDX-License-Identifier: Apache-2.0
"""Options of HTTP connections and of clusters, through real Envoy and through Weir: what clients and upstreams see, and
the statistics. One process of each."""

import contextlib
import itertools
import re
import threading

import pytest

from support import envoy, http1
from support.config import ANY, bootstrap, cluster, hcm, http_options, listener, route, simple, wasm
from support.pki import Pki
from support.process import Weir, validate, wait_until
from support.tls import UPSTREAM
from support.tls_server import TlsServer
from support.upstream import Upstream, respond

UNTOLD = {"x-request-id", "x-forwarded-for", "date", "server", "x-envoy-upstream-service-time"}
LOG = [{"name": "log", "typed_config": {
    "@type": ANY + "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
    "log_format": {"text_format_source": {"inline_string":
        "LOG %REQ(X-RUN)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %REQ(:SCHEME)% %REQ(X-FORWARDED-PROTO)%\n"}}}}]


class Station(Upstream):
    """Keeps what it gets, by x-run; switches protocols when asked, else answers as x-answer says."""

    def __init__(self, name):
        self.name = name
        self.lock = threading.Lock()
        self.seen = {}
        super().__init__(self._talk)

    def _talk(self, connection):
        while (request := connection.read_request()) is not None:
            with self.lock:
                self.seen.setdefault(request.get("x-run"), []).append(request)
            if request.get("upgrade"):
                connection.send(f"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {request.get('upgrade')}"
                                f"\r\n\r\n{self.name}")
                return
            respond(connection, request.get("x-answer") or "200 OK", [("x-fail", request.get("x-fail") or "no")], self.name)

    def got(self, run):
        with self.lock:
            return [told(r) for r in self.seen.get(run, [])]


def told(request):
    return request.start, sorted((k, v) for k, v in request.headers if k not in UNTOLD | {"x-run"}), request.body


def adds(word):
    return wasm("add-header", {"request": {"x-chain": word}, "response": {"x-chain": word}}, name=f"add-{word}")


def host(name, *routes, **fields):
    return {"name": name, "domains": [name], "routes": list(routes) or [route()], **fields}


CODEC = {"name": "codec", "typed_config": {"@type": ANY + "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"}}


def router():
    return {"name": "router", "typed_config": {"@type": ANY + "envoy.extensions.filters.http.router.v3.Router"}}


UPGRADES = [{"upgrade_type": "websocket", "filters": [adds("socket"), router()]},
            {"upgrade_type": "plain"},
            {"upgrade_type": "off", "enabled": False, "filters": [adds("off"), router()]},
            {"upgrade_type": "CONNECT", "filters": [adds("connect"), router()]}]
UPGRADE_HOSTS = [
    host("a"), host("on", route(upgrade_configs=[{"upgrade_type": "off"}])),
    host("barred", route(upgrade_configs=[{"upgrade_type": "WebSocket", "enabled": False}])),
    host("tunnel", route({"connect_matcher": {}}), domains=["tunnel:1"]),
    host("skipped", typed_per_filter_config={"add-socket": {
        "@type": ANY + "envoy.config.route.v3.FilterConfig", "disabled": True}})]


def mirrored(name):
    return {"request_mirror_policies": [{"cluster": name}]}


def by(name, **fields):
    return {"hash_policy": [{"header": {"header_name": name}, **fields}]}


def options(**fields):
    return http_options(explicit_http_config={"http_protocol_options": {}}, **fields)


def errors(**matcher):
    return {**(options(outlier_detection={"error_matcher": matcher}) if matcher else {}),
            "outlier_detection": {"consecutive_5xx": 2, "enforcing_consecutive_5xx": 0, "interval": "100s"}}


FAILS = {"http_response_headers_match": {"headers": [{"name": "x-fail", "string_match": {"exact": "yes"}}]}}
TEAPOT = {"http_response_headers_match": {"headers": [{"name": ":status", "string_match": {"exact": "418"}}]}}
ASKED = {"http_request_headers_match": {"headers": [{"name": "x-answer", "present_match": True}]}}
JUDGES = {"by-status": {}, "by-header": FAILS, "not": {"not_match": FAILS}, "or": {"or_match": {"rules": [FAILS, TEAPOT]}},
          "and": {"and_match": {"rules": [FAILS, TEAPOT]}}, "any": {"any_match": True}, "request": ASKED,
          "not-request": {"not_match": ASKED}}


JUDGED = [("200 OK", "yes"), ("200 OK", "no"), ("503 No", "no"), ("503 No", "yes"), ("418 Tea", "no"), ("418 Tea", "yes")]


class World:
    def __init__(self, stack, directory):
        self.stations = [stack.enter_context(Station(f"station{n}")) for n in range(4)]
        pki = Pki(directory / "pki")
        self.tls = TlsServer(pki.make("server", pki.make("root", ca=True), sans="DNS:a"))

    def clusters(self):
        first, *ports = [s.port for s in self.stations]
        secure = {"transport_socket": {"name": "tls", "typed_config": {"@type": UPSTREAM}}}
        yield cluster(first)
        yield cluster(self.tls.port, name="secure", **secure)
        for n, port in enumerate(ports):
            yield cluster(port, name=f"mirror{n}")
        yield cluster(first, name="mirrored", **options(**mirrored("mirror1")))
        yield cluster(first, name="to-nobody", **options(**mirrored("nobody")))
        for name, fields in {"own": by("x-key"), "none": {}, "terminal": by("x-none", terminal=True),
                             "cookie": {"hash_policy": [{"cookie": {"name": "c", "ttl": "9s", "path": "/p"}}]}}.items():
            yield cluster(*ports, name=f"hash-{name}", lb_policy="RING_HASH", **options(**fields))
        yield cluster(first, name="filtered", **options(http_filters=[adds("one"), {**adds("off"), "disabled": True}, adds("two"), CODEC]))
        for name, matcher in JUDGES.items():
            for n in range(len(JUDGED)):
                yield cluster(first, name=f"judge-{name}-{n}", **errors(**matcher))
        yield cluster(first, name="judge-last", **errors())

    def listeners(self):
        def one(name, *hosts, filters=(), **fields):
            return listener(hcm(virtual_hosts=list(hosts), filters=list(filters), stat_prefix=name, access_log=LOG, **fields), name=name)
        yield one("upgrades", *UPGRADE_HOSTS, filters=[adds("main")], upgrade_configs=UPGRADES)
        for name, fields in {"scheme": {"match_upstream": True},
                             "scheme-both": {"match_upstream": True, "scheme_to_overwrite": "https"}}.items():
            yield one(name, host("a"), host("secure", route(cluster="secure")), scheme_header_transformation=fields)
        again = {"retry_policy": {"retry_on": "5xx", "num_retries": 2, "retry_back_off": {"base_interval": "0.001s"}}}
        filtered = one("filtered", host("a", route(**again)), host("filtered", route(cluster="filtered", **again)), filters=[adds("down")])
        manager = filtered["filter_chains"][0]["filters"][0]["typed_config"]
        manager["http_filters"][-1] = {"name": "router", "typed_config": {
            **router()["typed_config"], "upstream_http_filters": [adds("router"), CODEC]}}
        yield filtered
        yield one("clusters",
                  host("mirrored", route(cluster="mirrored")), host("twice", route(cluster="mirrored", **mirrored("mirror2"))),
                  host("route", route(**mirrored("mirror2"))), host("to-nobody", route(cluster="to-nobody", **mirrored("mirror2"))),
                  *[host(f"hash-{name}", route(cluster=f"hash-{name}", **by("x-other")))
                    for name in ("own", "none", "terminal", "cookie")],
                  *[host(name, route(cluster=name))
                    for name in ["judge-last", *(f"judge-{name}-{n}" for name in JUDGES for n in range(len(JUDGED)))]])

    def got(self, run):
        return [s.got(run) for s in self.stations]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    directory = tmp_path_factory.mktemp("options")
    with contextlib.ExitStack() as stack:
        world = World(stack, directory)
        config = bootstrap(*world.listeners(), clusters=list(world.clusters()))
        yield world, stack.enter_context(envoy.Envoy(directory / "envoy", config)), stack.enter_context(
            Weir(directory / "weir", config))


class Side:
    """One of the two, as a scenario uses it."""

    runs = itertools.count()

    def __init__(self, name, proxy, world):
        self.name, self.proxy, self.world = name, proxy, world

    def send(self, where, method="GET", path="/", headers=(), host="a", body=None, read=None, log=True):
        """The answer as it is compared, and what the stations got."""
        run = f"{self.name}-{where}-{next(self.runs)}"
        with http1.Client(self.proxy.listener_port(where)) as client:
            client.send(http1.format_request(method, path, [("x-run", run), *headers], body, host=host))
            answer = client.read_until(read) if read else client.response()
        if read:
            answer = sorted(line for line in answer.decode().split("\r\n") if line.split(":")[0] not in UNTOLD)
        else:
            answer = answer.status, answer.text, sorted((k, v) for k, v in answer.headers if k not in UNTOLD)
        said = self.proxy.wait_log(rf"LOG {run} (.*)") if log else None
        return answer, self.world.got(run), said


def upgrade(word):
    return [("connection", "upgrade"), ("upgrade", word)]


UPGRADE_REQUESTS = [
    ("plain", "a", (), None), ("websocket", "a", upgrade("websocket"), b"station0"), ("capitals", "a", upgrade("WebSocket"), b"station0"),
    ("without filters of its own", "a", upgrade("plain"), b"station0"), ("unknown", "a", upgrade("nonsense"), None),
    ("off", "a", upgrade("off"), None), ("on by route", "on", upgrade("off"), b"station0"),
    ("off by route", "barred", upgrade("websocket"), None), ("a filter off by route", "skipped", upgrade("websocket"), b"station0"),
    ("no list", "a", upgrade("plain, websocket"), None)]


@pytest.mark.parametrize("case", UPGRADE_REQUESTS, ids=lambda c: c[0])
def test_filters_of_upgrades(pair, case):
    world, theirs, ours = pair
    _, name, headers, read = case
    seen = [Side(who, proxy, world).send("upgrades", headers=headers, host=name, read=read, log=False)
            for who, proxy in (("envoy", theirs), ("weir", ours))]
    assert seen[0] == seen[1]


def test_filters_of_connect(pair):
    world, theirs, ours = pair
    def run(proxy):
        with http1.Client(proxy.listener_port("upgrades")) as client:
            client.send("CONNECT tunnel:1 HTTP/1.1\r\nhost: tunnel:1\r\nx-answer: 403 No\r\n\r\n")
            return sorted(line for line in client.read_until(b"station0").decode().split("\r\n")
                          if line.split(":")[0] not in UNTOLD)
    seen = run(theirs)
    assert "x-chain: connect" in seen
    assert run(ours) == seen


@pytest.mark.parametrize("where", ["scheme", "scheme-both"])
@pytest.mark.parametrize("name", ["a", "secure"])
def test_scheme_of_the_upstream(pair, where, name):
    world, theirs, ours = pair
    seen = [Side(who, proxy, world).send(where, host=name)[2] for who, proxy in (("envoy", theirs), ("weir", ours))]
    assert seen[0] == seen[1]
    assert f" {'http' if (where, name) == ('scheme', 'a') else 'https'} " in seen[0][0]


@pytest.mark.parametrize("name, count", [("mirrored", [1, 0, 1, 0]), ("twice", [1, 0, 1, 0]), ("route", [1, 0, 0, 1]),
                                         ("to-nobody", [1, 0, 0, 0])])
def test_mirrors_of_clusters(pair, name, count):
    world, theirs, ours = pair
    seen = []
    for who, proxy in (("envoy", theirs), ("weir", ours)):
        run = f"{who}-{name}-mirror"
        http1.request(proxy.listener_port("clusters"), "POST", "/x", [("x-run", run)], "body", host=name)
        wait_until(lambda: [len(got) for got in world.got(run)] == count, f"requests {count}")
        seen.append([[(start, [f for f in headers if f[0] != "x-envoy-expected-rq-timeout-ms"], body) for start, headers, body in got]
                     for got in world.got(run)])
    assert seen[0] == seen[1]


@pytest.mark.parametrize("name", ["own", "none", "terminal", "cookie"])
def test_hash_policies_of_clusters(pair, name):
    world, theirs, ours = pair
    def run(who, proxy):
        side, seen = Side(who, proxy, world), []
        for n in range(24):
            (status, text, headers), _, _ = side.send("clusters", host=f"hash-{name}", headers=[
                ("x-key", f"key{n}"), ("x-other", f"other{n}"), ("cookie", f"c=cookie{n}")], log=False)
            seen.append((status, text, headers))
        return seen
    seen = run("envoy", theirs)
    if name != "terminal":
        assert len({text for _, text, _ in seen}) > 1
    else:
        seen = [(status, headers) for status, _, headers in seen]
        assert [(status, headers) for status, _, headers in run("weir", ours)] == seen
        return
    assert run("weir", ours) == seen


@pytest.mark.parametrize("answer", ["200 OK", "503 No"])
@pytest.mark.parametrize("name", ["a", "filtered"])
@pytest.mark.parametrize("body", [None, "body " * 100])
def test_upstream_filters(pair, name, answer, body):
    """The router's, or the cluster's in place of them; each try again."""
    world, theirs, ours = pair
    def run(who, proxy):
        return Side(who, proxy, world).send("filtered", "POST" if body else "GET", headers=[("x-answer", answer)], host=name, body=body)
    (answer, got, log), seen = run("envoy", theirs), run("weir", ours)
    def lasting(tries):  # each try has less time left
        return [(start, [f for f in headers if f[0] != "x-envoy-expected-rq-timeout-ms"], body) for start, headers, body in tries]
    assert answer == seen[0] and log == seen[2]
    assert [lasting(tries) for tries in got] == [lasting(tries) for tries in seen[1]]


def test_a_cluster_makes_a_cookie(pair):
    world, theirs, ours = pair
    cookies = []
    for who, proxy in (("envoy", theirs), ("weir", ours)):
        (_, _, headers), _, _ = Side(who, proxy, world).send("clusters", host="hash-cookie", log=False)
        cookies.append([re.sub('"[0-9a-f]+"', '""', v) for k, v in headers if k == "set-cookie"])
    assert cookies[0] == cookies[1] != []


def test_errors_of_clusters(pair):
    """Which answers count as errors: two of one kind are detected, or not. What workers tell the main thread comes there in
    order, so all has come when the last one has."""
    world, theirs, ours = pair
    def run(who, proxy):
        side, key = Side(who, proxy, world), "cluster.{}.outlier_detection.ejections_detected_consecutive_5xx"
        names = {f"judge-{name}-{n}": answer for name in JUDGES for n, answer in enumerate(JUDGED)}
        for name, (status, fail) in [*names.items(), ("judge-last", ("500 No", "no"))]:
            for _ in range(2):
                side.send("clusters", host=name, headers=[("x-answer", status), ("x-fail", fail)], log=False)
        proxy.wait_stat(key.format("judge-last"), 1)
        stats = proxy.stats("ejections_detected_consecutive_5xx")
        return {name: stats[key.format(name)] for name in names}
    seen = run("envoy", theirs)
    assert set(seen.values()) == {0, 1}
    assert run("weir", ours) == seen


def by_route(name):
    return {"typed_per_filter_config": {name: {"@type": ANY + "envoy.extensions.wasm.v3.PluginConfig"}}}


def own_policy(**fields):
    return simple(1, cluster_fields=options(**fields))


REFUSED = {
    "no router at the end": (simple(1, upgrade_configs=[{"upgrade_type": "x", "filters": [adds("a")]}]),
                             "upgrade_configs[0].filters[0]: the last filter must be an enabled"),
    "a router before the end": (simple(1, upgrade_configs=[{"upgrade_type": "x", "filters": [router(), router()]}]),
                                "the router ends the chain"),
    "two kinds of one name": (simple(routes=[{**route(cluster="x"), **by_route("add-a")}], filters=[adds("a")], upgrade_configs=[
        {"upgrade_type": "x", "filters": [{**router(), "name": "add-a"}]}]), "filters of several kinds have this name"),
    "no such condition": (own_policy(retry_policy={"retry_on": "sometimes"}), '"sometimes" is no condition of a retry'),
    "no such pattern": (own_policy(**by("a", header={"header_name": "a", "regex_rewrite": {
        "pattern": {"regex": "("}, "substitution": ""}})), "hash_policy"),
    "no matcher": (own_policy(outlier_detection={}), "error_matcher"),
    "a mirror to nowhere": (own_policy(request_mirror_policies=[{}]), "needs either cluster or cluster_header"),
    "a pattern in a matcher": (own_policy(outlier_detection={"error_matcher": {"http_response_headers_match": {
        "headers": [{"name": "x", "string_match": {"safe_regex": {"regex": "("}}}]}}}), "error_matcher"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path, case):
    config, text = REFUSED[case]
    result = validate(tmp_path, config)
    assert result.returncode != 0 and text in result.stdout + result.stderr, result.stdout + result.stderr
