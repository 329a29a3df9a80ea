# SPDX-License-Identifier: Apache-2.0
"""Aggregate clusters: whose hosts serve, whose options, limits, names and statistics count, and what happens when members fail,
are unknown or contain themselves; beside real Envoy."""

import re

import pytest

from support import http1
from support.config import ANY, HTTP2_UPSTREAM, address, bootstrap, cluster, hcm, http_options, listener, route, wasm
from support.envoy import Envoy
from support.process import Weir, validate, wait_until
from support.tcp import Client, listener as tcp_listener, stdout_log, tcp_proxy
from support.tls import upstream as tls_upstream
from support.tls_server import RawServer, client_hello
from support.upstream import Upstream, echo, refused_port, respond

LOG = stdout_log("LOG %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% end")
CALM = {"common_lb_config": {"healthy_panic_threshold": {"value": 0}}}
DURATION = {"common_http_protocol_options": {"max_stream_duration": "0.5s"}}
RETRY = {"retry_policy": {"retry_on": "5xx,connect-failure", "num_retries": 3, "retry_back_off": {"base_interval": "0.001s"}}}
OTHER_PRIORITY = {"retry_policy": {**RETRY["retry_policy"], "retry_priority": {
    "name": "envoy.retry_priorities.previous_priorities",
    "typed_config": {"@type": ANY + "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                     "update_frequency": 1}}}}


def aggregate(name, *members, **fields):
    return {"name": name, "connect_timeout": "10s", "lb_policy": "CLUSTER_PROVIDED", "cluster_type": {
        "name": "envoy.clusters.aggregate", "typed_config": {
            "@type": ANY + "envoy.extensions.clusters.aggregate.v3.ClusterConfig", "clusters": list(members)}}, **fields}


def limited(**thresholds):
    return {"circuit_breakers": {"thresholds": [thresholds]}}


def unhealthy(port, **fields):
    bad = cluster(port, **fields)
    bad["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["health_status"] = "UNHEALTHY"
    return bad


def by_priority(*ports, **fields):
    """One endpoint in each priority."""
    of = cluster(ports[0], **fields)
    of["load_assignment"]["endpoints"] = [{"priority": i, "lb_endpoints": [{"endpoint": {"address": address(port)}}]}
                                          for i, port in enumerate(ports)]
    return of


def failing(connection):
    while connection.read_request():
        respond(connection, "500 No")


def silent(connection):
    connection.read_request()
    connection.read_request()


class Site:
    def __init__(self):
        self.one, self.two, self.three = Upstream(echo), Upstream(echo), Upstream(echo)
        self.failing, self.silent = Upstream(failing), Upstream(silent)
        self.refused, self.refused_port = refused_port()
        self.names = {self.one.port: "ONE", self.two.port: "TWO", self.three.port: "THREE", self.failing.port: "FAILING",
                      self.silent.port: "SILENT", self.refused_port: "REFUSED"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.refused.close()
        for upstream in (self.one, self.two, self.three, self.failing, self.silent):
            upstream.close()

    def named(self, text):
        return re.sub(r"127\.0\.0\.1:(\d+)", lambda m: self.names.get(int(m[1]), m[0]), text)


@pytest.fixture
def site():
    with Site() as s:
        yield s


def clusters(site):
    """Plain ones, aggregates with their own options, aggregates of members with options."""
    return [
        cluster(site.one.port, name="one"), cluster(site.two.port, name="two"), cluster(name="empty"),
        unhealthy(site.three.port, name="bad"), unhealthy(site.three.port, name="calm", **CALM),
        cluster(site.one.port, name="no-requests", **limited(max_requests=0)),
        cluster(site.silent.port, name="short", **DURATION), by_priority(site.refused_port, site.failing.port, name="failing"),
        cluster(site.failing.port, name="no-retries", **limited(max_retries=0)),
        aggregate("first", "one", "two"), aggregate("second", "bad", "two"), aggregate("gap", "unknown", "empty", "two"),
        aggregate("panic", "bad", "empty", **CALM), aggregate("nobody", "calm"), aggregate("self", "self"),
        aggregate("requests", "one", **limited(max_requests=0, max_pending_requests=0, max_connections=0)),
        aggregate("member-requests", "no-requests"), aggregate("duration", "one", **DURATION), aggregate("member-duration", "short"),
        aggregate("retries", "failing", "one"), aggregate("own-retries", "failing", **limited(max_retries=0)),
        aggregate("member-retries", "no-retries"), aggregate("http2", "one", **HTTP2_UPSTREAM),
        aggregate("silent", "silent-member"), cluster(site.silent.port, name="silent-member")]


PATHS = {"first": {}, "second": {}, "gap": {}, "panic": {}, "nobody": {}, "self": {}, "requests": {}, "member-requests": {},
         "duration": {}, "member-duration": {}, "retries": OTHER_PRIORITY, "own-retries": RETRY, "member-retries": RETRY,
         "http2": {}, "silent": {"timeout": "0.5s"}}


def settings(site):
    front = hcm([route(f"/{name}", name, **action) for name, action in PATHS.items()]
                + [route("/mirror", "one", request_mirror_policies=[{"cluster": "second"}])], access_log=[LOG])
    return bootstrap(listener(front), *(
        tcp_listener(tcp_proxy(name, stat_prefix=name, access_log=[LOG]), name=name)
        for name in ("second", "nobody", "requests", "retries")), clusters=clusters(site))


def ask(proxy, path):
    with http1.Client(proxy.listener_port("front")) as client:
        client.send(http1.format_request("GET", path, headers=[("connection", "close")], host="asked"))
        return client.response()


# Connections are kept or not by the time of day.
STEADY = re.compile(r"cluster\..*\.(upstream_rq_(\d.*|total|retry.*|timeout|pending_overflow|max_duration_reached|active_overflow)"
                    r"|upstream_cx_(none_healthy|overflow|connect_fail)|lb_healthy_panic|membership_.*)$")


def drive(proxy, site):
    out = {}
    for name in PATHS:
        answer = ask(proxy, f"/{name}")
        out[name] = answer.status, answer.text if answer.status != 200 else ""
    for name, end in (("second", b"HTTP/1.1 200 OK"), ("nobody", b""), ("requests", b""), ("retries", b"")):
        with Client(proxy.listener_port(name)) as client:
            client.send(b"GET /tcp HTTP/1.1\r\nhost: a\r\n\r\n")
            try:
                got = client.read(15)
            except (EOFError, ConnectionResetError):
                got = b""
        assert got == end, name
    lines = wait_until(lambda: len(found := re.findall("^LOG.* end$", proxy.log(), re.M)) == len(PATHS) + 4 and found, "log lines")
    out["log"] = sorted(site.named(line) for line in lines)
    out["stats"] = {name: value for name, value in proxy.stats("cluster.").items()
                    if STEADY.match(name) and value and not re.search(r"\.(external|retry)\.|membership_change", name)}
    out["hosts"] = sorted(site.named(line) for line in proxy.admin("/clusters").text.splitlines()
                          if line.startswith(("first::", "self::")))
    return out


def test_whose_everything(start, site):
    got = drive(start(settings(site)), site)
    lines = {line.split()[1]: line for line in got["log"]}
    assert lines["/first"] == "LOG /first 200 - via_upstream ONE first end"
    assert lines["/second"] == "LOG /second 200 - via_upstream TWO second end"
    assert lines["/gap"] == "LOG /gap 200 - via_upstream TWO gap end"
    assert lines["/panic"] == "LOG /panic 200 - via_upstream THREE panic end"
    assert lines["/nobody"] == "LOG /nobody 503 UH no_healthy_upstream - nobody end"
    assert lines["/self"] == "LOG /self 503 UH no_healthy_upstream - self end"
    assert lines["/requests"] == "LOG /requests 200 - via_upstream ONE requests end"
    assert got["member-requests"][0] == 503 and got["duration"][0] == 200 and got["member-duration"][0] == 504
    assert lines["/retries"] == "LOG /retries 200 - via_upstream ONE retries end"
    assert got["http2"][0] == 200  # the member speaks HTTP/1.1
    stats = got["stats"]
    assert stats["cluster.retries.upstream_rq_retry"] == 2 and "cluster.failing.upstream_rq_retry" not in stats
    assert stats["cluster.first.upstream_rq_200"] == 1 and "cluster.first.upstream_rq_total" not in stats
    assert "cluster.one.upstream_rq_200" not in stats and stats["cluster.nobody.upstream_cx_none_healthy"] == 2
    assert stats["cluster.requests.upstream_cx_overflow"] == 1
    assert not any("127.0.0.1" in line or "ONE" in line for line in got["hosts"])


def test_as_envoy(tmp_path, site):
    with Envoy(tmp_path / "envoy", settings(site)) as envoy:
        theirs = drive(envoy, site)
    with Weir(tmp_path / "weir", settings(site)) as weir:
        ours = drive(weir, site)
    for outcome in (theirs, ours):  # without the words of a failure and the order of flags
        outcome["log"] = sorted(re.sub(r"\b[A-Z]+,[A-Z]+\b", lambda m: ",".join(sorted(m[0].split(","))), re.sub("{.*}", "", line))
                                for line in outcome["log"])
    for name, outcome in theirs.items():
        assert ours[name] == outcome, name


def test_health_changes(start, site):
    """The first member's checks fail and pass again; the aggregate follows at once, on every worker."""
    healthy = True

    def checked(connection):
        while request := connection.read_request():
            fine = healthy or "/check" not in request.start
            respond(connection, "200 OK" if fine else "503 No", body=b"checked")
    check = {"timeout": "5s", "interval": "0.05s", "no_traffic_interval": "0.05s", "unhealthy_threshold": 1, "healthy_threshold": 1,
             "http_health_check": {"path": "/check"}}
    with Upstream(checked) as upstream:
        watched = {**cluster(upstream.port, name="watched"), "health_checks": [check],
                   "common_lb_config": {"update_merge_window": "0s"}}
        weir = start(bootstrap(listener(hcm([route("/", "of")])),
                               clusters=[watched, cluster(site.two.port, name="two"), aggregate("of", "watched", "two")]), concurrency=2)

        def all_from(name):
            return all(("checked" == ask(weir, "/").text) == (name == "watched") for _ in range(6))
        wait_until(lambda: all_from("watched"), "the first member")
        healthy = False
        wait_until(lambda: all_from("two"), "the second member")
        healthy = True
        wait_until(lambda: all_from("watched"), "the first member again")


def test_aggregates_within_aggregates(start, site):
    """Envoy finds no host in the inner one."""
    weir = start(bootstrap(listener(hcm([route("/", "outer")], access_log=[LOG])), clusters=[
        unhealthy(site.three.port, name="bad"), cluster(site.one.port, name="one"), cluster(site.two.port, name="two"),
        aggregate("inner", "bad", "one"), aggregate("outer", "inner", "two")]))
    assert ask(weir, "/").status == 200
    assert site.named(weir.wait_log("LOG.* end")[0]) == "LOG / 200 - via_upstream ONE outer end"


def test_names_and_mirrors(start, site):
    """Which name is sent is the aggregate's affair, as in Envoy; a member's own wish holds when it has none."""
    seen = []

    def see(raw):
        seen.append(b"\x00\x05asked" in client_hello(raw))
    asks = http_options(explicit_http_config={"http_protocol_options": {}}, upstream_http_protocol_options={"auto_sni": True})
    server = RawServer(see)
    over_tls = {"transport_socket": tls_upstream({})}
    weir = start(bootstrap(listener(hcm([route("/a", "a"), route("/b", "b"), route("/c", "c"),
                                         route("/m", "two", request_mirror_policies=[{"cluster": "d"}])])), clusters=[
        cluster(server.port, name="plain", **over_tls), cluster(server.port, name="names", **over_tls, **asks),
        cluster(site.two.port, name="two"), aggregate("a", "plain", **asks), aggregate("b", "names"), aggregate("c", "plain"),
        aggregate("d", "nobody", "two")]))
    with server:
        for path, named in (("/a", True), ("/b", True), ("/c", False)):
            assert ask(weir, path).status == 503
            assert seen.pop() == named, path
    assert ask(weir, "/m").status == 200
    weir.wait_stat("cluster.d.upstream_rq_200", 1)
    assert weir.stats("cluster.two.")["cluster.two.upstream_rq_total"] == 2


def test_calls_of_plugins(start, site):
    weir = start(bootstrap(listener(hcm([route("/", "two")], [wasm("caller")])), clusters=[
        unhealthy(site.three.port, name="bad"), cluster(site.one.port, name="one"), cluster(site.two.port, name="two"),
        aggregate("of", "bad", "one")]))
    assert http1.request(weir.port, headers={"x-calls": "http of /plugin; pause"}).status == 200
    weir.wait_stat("cluster.of.upstream_rq_200", 1)
    assert weir.stats("cluster.one.")["cluster.one.upstream_rq_total"] == 1


@pytest.mark.parametrize("fields, error", [
    ({"lb_policy": "ROUND_ROBIN"}, "lb_policy: must be CLUSTER_PROVIDED"),
    ({"lb_subset_config": {"subset_selectors": [{"keys": ["a"]}]}}, "lb_subset_config: cannot be combined with CLUSTER_PROVIDED"),
    ({"cluster_type": {"name": "envoy.clusters.aggregate", "typed_config": {
        "@type": ANY + "envoy.extensions.clusters.aggregate.v3.ClusterConfig"}}}, "clusters: must not be empty"),
    ({"cluster_type": {"name": "envoy.clusters.aggregate"}}, "is no cluster type"),
])
def test_refused(tmp_path, fields, error):
    done = validate(tmp_path, bootstrap(listener(hcm([route("/", "of")])), clusters=[{**aggregate("of", "one"), **fields}]))
    assert done.returncode != 0 and error in done.stderr, done.stderr


def test_the_typed_policy(start, site):
    provided = {"name": "p", "typed_config": {
        "@type": ANY + "envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided"}}
    typed = aggregate("of", "two", load_balancing_policy={"policies": [{"typed_extension_config": provided}]})
    del typed["lb_policy"]
    weir = start(bootstrap(listener(hcm([route("/", "of")])), clusters=[cluster(site.two.port, name="two"), typed]))
    assert ask(weir, "/").status == 200
