# SPDX-License-Identifier: Apache-2.0
"""Dynamic forward proxy: requests go to the hosts that they name, once DNS says where these are; hostile names, floods of names, DNS
servers that fail or are silent, TLS; beside real Envoy."""

import re

import pytest

from support import http1
from support.config import ANY, bootstrap, cluster, hcm, http_options, listener, route
from support.dns import DnsServer
from support.envoy import Envoy
from support.pki import Pki
from support.process import Weir, validate, wait_until
from support.tcp import stdout_log
from support.tls import upstream as tls_upstream
from support.tls_server import TlsServer
from support.upstream import Upstream, echo, respond

LOG = stdout_log("LOG %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% end")
FILTER = "envoy.filters.http.dynamic_forward_proxy"
FAMILY = ANY + "envoy.extensions.filters.http.dynamic_forward_proxy.v3."


@pytest.fixture
def dns():
    return DnsServer()


@pytest.fixture
def upstream_port():
    with Upstream(echo) as server:
        yield server.port


def cache(dns, name="dns", **fields):
    return {"name": name, "dns_lookup_family": "V4_ONLY", "typed_dns_resolver_config": {
        "name": "envoy.network.dns_resolver.cares", "typed_config": {
            "@type": ANY + "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig", "resolvers": [dns.address],
            "dns_resolver_options": {"no_default_search_domain": True}, "query_timeout_seconds": 60}}, **fields}


def forward(dns_cache, name="dfp", insecure=False, **fields):
    return {"name": name, "connect_timeout": "10s", "lb_policy": "CLUSTER_PROVIDED",
            "common_lb_config": {"update_merge_window": "0s"}, "cluster_type": {
                "name": "envoy.clusters.dynamic_forward_proxy", "typed_config": {
                    "@type": ANY + "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
                    "dns_cache_config": dns_cache, **({"allow_insecure_cluster_options": True} if insecure else {})}}, **fields}


def filter_of(dns_cache):
    return {"name": FILTER, "typed_config": {"@type": FAMILY + "FilterConfig", "dns_cache_config": dns_cache}}


def own(match, name="dfp", **rewrite):
    return {**route(match, name), "typed_per_filter_config": {FILTER: {"@type": FAMILY + "PerRouteConfig", **rewrite}}}


def settings(dns, port, *more, **fields):
    dns_cache = cache(dns, **fields)
    routes = [own("/literal", host_rewrite_literal=f"a.test:{port}"), own("/header", host_rewrite_header="X-To"),
              route("/static", "static"), *more, route("/", "dfp")]
    return bootstrap(listener(hcm(routes, [filter_of(dns_cache)], access_log=[LOG])),
                     clusters=[forward(dns_cache), cluster(port, name="static")])


def ask(proxy, host, path="/", headers=()):
    with http1.Client(proxy.listener_port("front")) as client:
        client.send(http1.format_request("GET", path, headers=[("connection", "close"), *headers], host=host))
        return client.response()


def counted(proxy, name="dns"):
    found = proxy.stats(f"dns_cache.{name}.")
    return {key.rsplit(".", 1)[1]: value for key, value in found.items() if value}


def cases(port):
    """Path: (host, headers, status). What Weir's HTTP/1 codec refuses as a host is in test_odd_requests."""
    return {
        "/ok": (f"a.test:{port}", (), 200), "/again": (f"a.test:{port}", (), 200), "/unknown": ("nx.test", (), 503),
        "/unknown-again": ("nx.test", (), 503), "/empty": ("empty.test", (), 503), "/address": (f"127.0.0.1:{port}", (), 200),
        "/two": (f"two.test:{port}", (), 200),
        "/literal": ("ignored.test", (), 200), "/header": ("ignored.test", [("x-to", f"a.test:{port}"), ("x-to", "b")], 200),
        "/header/none": (f"a.test:{port}", (), 200), "/static": ("nx3.test", (), 200), "/label": ("a..test", (), 503),
        "/long": ("x" * 300 + ".test", (), 503), "/percent": ("%00.test", (), 503), "/under": ("a_b.test", (), 503)}


STEADY = re.compile(r"cluster\.dfp\.(upstream_rq_(\d.*|total)|upstream_cx_none_healthy|membership_(total|healthy))$")


def drive(proxy, port):
    out = {}
    for path, (host, headers, status) in cases(port).items():
        answer = ask(proxy, host, path, headers)
        assert answer.status == status, (path, answer)
        out[path] = answer.text if status == 503 else re.findall(r"(?m)^host: .*", answer.text)
    out["log"] = wait_until(lambda: len(found := re.findall("^LOG.* end$", proxy.log(), re.M)) == len(out) and found, "log lines")
    proxy.wait_stat("cluster.dfp.membership_total", 3)
    out["stats"] = {name: value for name, value in proxy.stats("cluster.dfp.").items() if STEADY.match(name) and value}
    counts = counted(proxy)
    out["dns"] = {name: value for name, value in counts.items() if name.startswith("dns_query")}, counts["host_address_changed"]
    out["hosts"] = sorted(re.findall("^dfp::(.*?::(?:hostname|health_flags|priority)::.*)$", proxy.admin("/clusters").text, re.M))
    return out


def fill(dns):
    dns.set("a.test", "127.0.0.1")
    dns.set("two.test", "127.0.0.2", "127.0.0.1")  # nobody serves at the first
    dns.set("empty.test")


def test_where_requests_go(start, dns, upstream_port):
    fill(dns)
    got = drive(start(settings(dns, upstream_port)), upstream_port)
    assert got["log"][0] == f"LOG /ok 200 - via_upstream 127.0.0.1:{upstream_port} dfp end"
    assert got["log"][2] == "LOG /unknown 503 DF dns_resolution_failure{cares_norecords:Domain_name_not_found} - dfp end"
    assert got["/literal"] == [f"host: a.test:{upstream_port}"]
    assert dns.count() == 5  # a, nx, empty, two, a_b


def test_as_envoy(tmp_path, dns, upstream_port):
    fill(dns)
    with Envoy(tmp_path / "envoy", settings(dns, upstream_port)) as envoy:
        theirs = drive(envoy, upstream_port)
    with Weir(tmp_path / "weir", settings(dns, upstream_port)) as weir:
        ours = drive(weir, upstream_port)
    for name, outcome in theirs.items():
        assert ours[name] == outcome, name


def test_limits(start, dns, upstream_port):
    for name in ("a", "b", "c"):
        dns.set(f"{name}.test", "127.0.0.1")
    weir = start(settings(dns, upstream_port, max_hosts=2, dns_cache_circuit_breaker={"max_pending_requests": 1}))
    port = upstream_port
    assert ask(weir, f"a.test:{port}").status == ask(weir, f"b.test:{port}").status == 200
    full = ask(weir, f"c.test:{port}")
    assert (full.status, full.text) == (503, "DNS cache overflow")
    assert counted(weir)["host_overflow"] == 1 and counted(weir)["num_hosts"] == 2
    assert ask(weir, f"A.TEST:{port}").status == 200  # is the same host


def test_what_waits(start, dns, upstream_port):
    """Names that nobody answers hold up their own requests and further new names, never known hosts; who waits may go."""
    fill(dns)
    port = upstream_port
    weir = start(settings(dns, port, dns_cache_circuit_breaker={"max_pending_requests": 1}, dns_query_timeout="30s"))
    assert ask(weir, f"a.test:{port}").status == 200
    dns.mode = "silent"
    with http1.Client(weir.listener_port("front")) as waiting:
        waiting.send(http1.format_request("GET", "/", host="slow.test"))
        weir.wait_stat("dns_cache.dns.circuit_breakers.rq_pending_open", 1)
        more = ask(weir, "slow.test")
        assert (more.status, more.text) == (503, "Dynamic forward proxy pending request overflow")
        assert ask(weir, "other.test").status == 503
        assert ask(weir, f"a.test:{port}").status == 200
    weir.wait_stat("http.front.downstream_rq_active", 0)
    assert ask(weir, "other.test").status == 503  # the name waits on
    assert counted(weir)["dns_rq_pending_overflow"] == 3
    assert "dns_cache_overflow" not in weir.log()


def test_bodies_wait(start, dns, upstream_port):
    """A request is whole when its name is found late."""
    port = upstream_port
    quick = cache(dns)
    quick["typed_dns_resolver_config"]["typed_config"]["query_timeout_seconds"] = 1  # c-ares asks again then
    dns.set("late.test", "127.0.0.1")
    dns.mode = "silent"
    weir = start(bootstrap(listener(hcm([route("/", "dfp")], [filter_of(quick)])), clusters=[forward(quick)]))
    with http1.Client(weir.listener_port("front")) as client:
        client.send(http1.format_request("POST", "/", body=b"x" * 100000, host=f"late.test:{port}"))
        wait_until(lambda: dns.count() > 0, "a question")
        dns.mode = "answer"
        answer = client.response()
    assert answer.status == 200 and "x" * 100000 in answer.text


def test_silent_servers(start, dns, upstream_port):
    dns.mode = "silent"
    weir = start(settings(dns, upstream_port, dns_query_timeout="0.05s", disable_dns_refresh_on_failure=True))
    assert ask(weir, "slow.test").status == 503
    weir.wait_log(r"LOG / 503 DF dns_resolution_failure\{resolve_timeout\} - dfp end")
    weir.wait_stat("dns_cache.dns.num_hosts", 0)  # the next request asks again
    dns.set("slow.test", "127.0.0.1")
    dns.mode = "answer"
    wait_until(lambda: ask(weir, f"slow.test:{upstream_port}").status == 200, "an answer")
    assert counted(weir)["dns_query_timeout"] >= 1


def test_moving(start, dns):
    """A name is asked for again; new connections go where it is now. A server that fails changes nothing."""
    def who(connection):
        while connection.read_request():
            respond(connection, "200 OK", body=connection.socket.getsockname()[0].encode())
    with Upstream(who) as first:
        port = first.port
        dns.set("a.test", "127.0.0.1", ttl=1)
        weir = start(settings(dns, port, dns_min_refresh_rate="1s"), concurrency=2)
        assert ask(weir, f"a.test:{port}").text == "127.0.0.1"
        dns.set("a.test", "127.0.0.2", ttl=1)
        weir.wait_stat("dns_cache.dns.host_address_changed", 2)
        wait_until(lambda: f"dfp::127.0.0.2:{port}::hostname::a.test:{port}" in weir.admin("/clusters").text, "the new place")
        dns.mode = "servfail"
        failures = counted(weir).get("dns_query_failure", 0)
        wait_until(lambda: counted(weir).get("dns_query_failure", 0) > failures, "a failure")
        assert f"dfp::127.0.0.2:{port}::hostname::a.test:{port}" in weir.admin("/clusters").text
        assert counted(weir)["num_hosts"] == 1


def test_hosts_go(start, dns, upstream_port):
    dns.set("a.test", "127.0.0.1", ttl=1)
    weir = start(settings(dns, upstream_port, host_ttl="0.001s", dns_min_refresh_rate="1s"))
    assert ask(weir, f"a.test:{upstream_port}").status == 200
    weir.wait_stat("dns_cache.dns.host_removed", 1)
    weir.wait_stat("cluster.dfp.membership_total", 0)
    assert ask(weir, f"a.test:{upstream_port}").status == 200
    assert counted(weir)["host_added"] == 2


def test_known_from_the_start(start, dns, upstream_port):
    fill(dns)
    first = [{"address": "a.test", "port_value": upstream_port}, {"address": "127.0.0.1", "port_value": upstream_port}]
    weir = start(settings(dns, upstream_port, preresolve_hostnames=first))
    weir.wait_stat("cluster.dfp.membership_total", 2)
    assert ask(weir, f"a.test:{upstream_port}").status == 200
    assert dns.count() == 1


def test_ejected_hosts(start, dns):
    """Outlier detection holds: Envoy finds no host then either."""
    def failing(connection):
        while connection.read_request():
            respond(connection, "500 No")
    with Upstream(failing) as bad:
        dns.set("a.test", "127.0.0.1")
        dns_cache = cache(dns)
        detection = {"consecutive_5xx": 2, "interval": "600s", "base_ejection_time": "600s", "max_ejection_percent": 100}
        weir = start(bootstrap(listener(hcm([route("/", "dfp")], [filter_of(dns_cache)])),
                               clusters=[forward(dns_cache, outlier_detection=detection)]))
        assert ask(weir, f"a.test:{bad.port}").status == 500
        weir.wait_stat("cluster.dfp.membership_total", 1)
        wait_until(lambda: ask(weir, f"a.test:{bad.port}").text == "no healthy upstream", "an ejection")
        weir.wait_stat("cluster.dfp.outlier_detection.ejections_active", 1)


def test_tls(start, tmp_path, dns):
    """The host is the server name and what the certificate must be for; without a port it is 443's."""
    pki = Pki(tmp_path)
    root = pki.make("root", ca=True)
    server = pki.make("server", root, sans="DNS:a.test")
    dns.set("a.test", "127.0.0.1")
    dns.set("b.test", "127.0.0.1")
    dns_cache = cache(dns)
    trusted = {"transport_socket": tls_upstream({"validation_context": {"trusted_ca": {"filename": str(root.alone)}}})}
    with TlsServer(server) as upstream:
        weir = start(bootstrap(listener(hcm([route("/open", "open"), route("/", "dfp")], [filter_of(dns_cache)], access_log=[LOG])),
                               clusters=[forward(dns_cache, **trusted), forward(
                                   dns_cache, "open", insecure=True, **trusted, **http_options(
                                       explicit_http_config={"http_protocol_options": {}},
                                       upstream_http_protocol_options={"auto_sni": True}))]))
        assert ask(weir, f"a.test:{upstream.port}").status == 200
        assert ask(weir, f"b.test:{upstream.port}").status == 503
        assert ask(weir, f"b.test:{upstream.port}", "/open").status == 200
        ask(weir, "a.test", "/default")
        weir.wait_log("LOG /default 503 UF .* 127.0.0.1:443 dfp end")


@pytest.mark.parametrize("case, error", [
    ("lb_policy", "lb_policy: must be CLUSTER_PROVIDED"), ("names", "must have auto_sni and auto_san_validation true"),
    ("none", "dns_cache_config: is required"), ("filter", 'the DNS cache "dns" has other settings in the cluster "dfp"'),
    ("other", 'the DNS cache "dns" has other settings'), ("first", "are 2, more than max_hosts (1)"),
    ("sub", "sub_clusters_config: is refused"), ("name", "names no host with a port")])
def test_refused(tmp_path, dns, case, error):
    first = [{"address": "a.test", "port_value": 80}, {"address": "b.test", "port_value": 80}]
    dns_cache = cache(dns, **{"first": {"preresolve_hostnames": first, "max_hosts": 1},
                              "name": {"preresolve_hostnames": [{"address": "a..b", "port_value": 80}]}}.get(case, {}))
    one = forward(dns_cache)
    clusters = [one]
    if case == "lb_policy":
        one["lb_policy"] = "RANDOM"
    elif case == "names":
        one["upstream_http_protocol_options"] = {"auto_sni": True}
    elif case == "none":
        del one["cluster_type"]["typed_config"]["dns_cache_config"]
    elif case == "other":
        clusters.append(forward(cache(dns, max_hosts=7), "other"))
    elif case == "sub":
        del one["cluster_type"]["typed_config"]["dns_cache_config"]
        one["cluster_type"]["typed_config"]["sub_clusters_config"] = {}
    inside = filter_of(cache(dns, host_ttl="7s") if case == "filter" else dns_cache)
    done = validate(tmp_path, bootstrap(listener(hcm([route("/", "dfp")], [inside])), clusters=clusters))
    assert done.returncode != 0 and error in done.stderr, done.stderr


def test_a_forward_proxy(start, dns):
    """What browsers send to one: CONNECT for tunnels, whole URLs for the rest."""
    dns.set("a.test", "127.0.0.1")
    dns_cache = cache(dns)
    tunnel = {"match": {"connect_matcher": {}}, "route": {"cluster": "dfp", "upgrade_configs": [
        {"upgrade_type": "CONNECT", "connect_config": {}}]}}
    with Upstream(echo) as server:
        weir = start(bootstrap(listener(hcm([tunnel, route("/", "dfp")], [filter_of(dns_cache)])), clusters=[forward(dns_cache)]))
        with http1.Client(weir.listener_port("front")) as client:
            client.send(f"CONNECT a.test:{server.port} HTTP/1.1\r\nhost: a.test:{server.port}\r\n\r\n".encode())
            assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
            client.send(b"GET /inside HTTP/1.1\r\nhost: inside\r\n\r\n")
            assert "host: inside" in client.response().text
        with http1.Client(weir.listener_port("front")) as client:
            client.send(f"GET http://a.test:{server.port}/whole HTTP/1.1\r\nhost: other.test\r\n\r\n".encode())
            assert f"host: a.test:{server.port}" in client.response().text
