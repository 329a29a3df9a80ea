# SPDX-License-Identifier: Apache-2.0
"""Clusters found by name: STRICT_DNS and LOGICAL_DNS against a real, small DNS server."""

import re
import threading
import time

import pytest

from support import http1
from support.config import ANY, bootstrap, cluster, hcm, listener, route
from support.dns import A, AAAA, DnsServer
from support.process import Weir, wait_until
from support.upstream import Upstream, respond, same_port


@pytest.fixture
def dns():
    with DnsServer() as server:
        yield server


def named(name, port, dns=None, kind="STRICT_DNS", **fields):
    c = cluster(port, type=kind, dns_refresh_rate="0.05s", **{"dns_lookup_family": "V4_ONLY", **fields})
    if not kind:
        del c["type"]
    c["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["address"] = name
    if dns:
        c["typed_dns_resolver_config"] = resolver(dns)
    return c


def resolver(dns, **fields):
    return {"name": "envoy.network.dns_resolver.cares", "typed_config": {
        "@type": ANY + "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        "resolvers": [dns.address], **fields}}


def proxy(*clusters, **more):
    c = bootstrap(listener(hcm([route()])), clusters=clusters)
    return {**c, **more}


def shown(weir):
    """Addresses of the cluster's hosts."""
    return sorted(re.findall(r"^upstream::(.*):\d+::weight::", weir.admin("/clusters").text, re.M))


def wait_shown(weir, *addresses):
    wait_until(lambda: shown(weir) == sorted(addresses), f"hosts {addresses}, not {shown(weir)}")


class Two:
    """The same port of two addresses; each answers with its address, /hold only when released."""

    def __init__(self):
        self.release = threading.Event()
        self.held = threading.Semaphore(0)
        self.one, self.two = same_port(*(
            lambda port, ip=ip: Upstream(lambda c: self._answer(c, ip), ip=ip, port=port)
            for ip in ("127.0.0.1", "127.0.0.2")))
        self.port = self.one.port

    def _answer(self, connection, text):
        while (request := connection.read_request()) is not None:
            if "/hold" in request.start:
                self.held.release()
                self.release.wait(60)
            respond(connection, body=text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release.set()
        self.one.close()
        self.two.close()


@pytest.mark.tsan
@pytest.mark.parametrize("concurrency", (1, 2))
def test_logical_host_moves(tmp_path, dns, concurrency):
    """Connections stay where they are; new ones go to the new address; the host and its counters are the same."""
    dns.set("api.test", "127.0.0.1", "127.0.0.2")
    with Two() as two, Weir(tmp_path, proxy(named("api.test", two.port, dns, "LOGICAL_DNS")),
                            concurrency=concurrency) as weir:
        with http1.Client(weir.port) as client, http1.Client(weir.port) as other:
            assert client.request("GET", "/").text == "127.0.0.1"
            assert shown(weir) == ["127.0.0.1"]
            dns.set("api.test", "127.0.0.2")
            wait_shown(weir, "127.0.0.2")
            assert client.request("GET", "/").text == "127.0.0.1", "the connection is still there"
            client.send(http1.format_request("GET", "/hold"))
            assert two.held.acquire(timeout=30)
            assert other.request("GET", "/").text == "127.0.0.2"
            two.release.set()
            assert client.response().text == "127.0.0.1"
        assert re.search(r"127\.0\.0\.2:\d+::rq_total::4$", weir.admin("/clusters").text, re.M)
        stats = weir.stats("cluster.upstream.member")
        assert stats["cluster.upstream.membership_change"] == 1
        assert "api.test" in weir.admin("/clusters").text


def test_failing_resolver_keeps_a_logical_host(tmp_path, dns):
    dns.set("api.test", "127.0.0.1")
    with Two() as two, Weir(tmp_path, proxy(named("api.test", two.port, dns, "LOGICAL_DNS"))) as weir:
        for mode in ("servfail", "gone"):
            failures = weir.stats("update_failure")["cluster.upstream.update_failure"]
            if mode == "gone":
                dns.records = {}
                dns.mode = "answer"
            else:
                dns.mode = mode
            wait_until(lambda: weir.stats("update_failure")["cluster.upstream.update_failure"] > failures + 1, mode)
            assert http1.request(weir.port).text == "127.0.0.1"
        dns.set("api.test", "127.0.0.2")
        wait_shown(weir, "127.0.0.2")


def test_failing_resolver_keeps_strict_hosts(tmp_path, dns):
    dns.set("api.test", "127.0.0.1", "127.0.0.2")
    with Two() as two, Weir(tmp_path, proxy(named("api.test", two.port, dns))) as weir:
        assert shown(weir) == ["127.0.0.1", "127.0.0.2"]
        dns.mode = "servfail"
        wait_until(lambda: weir.stats("update_failure")["cluster.upstream.update_failure"] > 1, "failures")
        assert shown(weir) == ["127.0.0.1", "127.0.0.2"]
        dns.mode = "answer"
        dns.records = {}
        wait_shown(weir)  # that there is none is an answer
        assert http1.request(weir.port).status == 503


FAMILIES = {
    "V4_ONLY": ["127.0.0.1"], "V6_ONLY": ["[::1]"], "AUTO": ["[::1]"], "V4_PREFERRED": ["127.0.0.1"],
    "ALL": ["127.0.0.1", "[::1]"],
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("typed", (False, True), ids=["field", "DnsCluster"])
def test_families(tmp_path, dns, family, typed):
    dns.set("both.test", "127.0.0.1", "::1")
    c = named("both.test", 80, dns, dns_lookup_family=family)
    if typed:
        c = named("both.test", 80, kind=None)
        del c["dns_refresh_rate"], c["dns_lookup_family"]
        c["cluster_type"] = {"name": "envoy.cluster.dns", "typed_config": {
            "@type": ANY + "envoy.extensions.clusters.dns.v3.DnsCluster", "dns_refresh_rate": "0.05s",
            "dns_lookup_family": family, "typed_dns_resolver_config": resolver(dns)}}
    with Weir(tmp_path, proxy(c)) as weir:
        wait_shown(weir, *FAMILIES[family])


@pytest.mark.parametrize("family, kinds", [("AUTO", [AAAA, A]), ("V4_PREFERRED", [A, AAAA])])
def test_second_family(tmp_path, dns, family, kinds):
    """The other family is asked only when the first has no address."""
    dns.set("one.test", "127.0.0.1" if family == "AUTO" else "::1")
    with Weir(tmp_path, proxy(named("one.test", 80, dns, dns_lookup_family=family))) as weir:
        assert len(shown(weir)) == 1
        assert [q[1] for q in dns.questions[:2]] == kinds


def test_many_addresses(tmp_path, dns):
    """An answer that does not fit into a datagram is asked for again over TCP."""
    addresses = [f"127.0.{i // 200}.{i % 200 + 1}" for i in range(200)]
    dns.set("many.test", *addresses)
    with Weir(tmp_path, proxy(named("many.test", 80, dns))) as weir:
        assert shown(weir) == sorted(addresses)
        assert dns.count("udp") and dns.count("tcp")


RESOLVERS = {
    "typed": lambda dns: {"typed_dns_resolver_config": resolver(dns, dns_resolver_options={"use_tcp_for_dns_lookups": True})},
    "dns_resolution_config": lambda dns: {"dns_resolution_config": {
        "resolvers": [dns.address], "dns_resolver_options": {"use_tcp_for_dns_lookups": True}}},
    "dns_resolvers": lambda dns: {"dns_resolvers": [dns.address], "use_tcp_for_dns_lookups": True},
}


@pytest.mark.parametrize("form", RESOLVERS)
def test_only_tcp(tmp_path, dns, form):
    dns.set("api.test", "127.0.0.1")
    with Weir(tmp_path, proxy(named("api.test", 80, **RESOLVERS[form](dns)))) as weir:
        assert shown(weir) == ["127.0.0.1"]
    assert dns.count("tcp") > 0 and dns.count("udp") == 0


def test_resolver_of_the_bootstrap(tmp_path, dns):
    """It serves the clusters that name none."""
    dns.set("api.test", "127.0.0.1")
    with DnsServer() as other:
        other.set("own.test", "127.0.0.7")
        own = named("own.test", 80, other)
        own["name"] = own["load_assignment"]["cluster_name"] = "own"
        c = proxy(named("api.test", 80), own, typed_dns_resolver_config=resolver(dns))
        with Weir(tmp_path, c) as weir:
            assert shown(weir) == ["127.0.0.1"]
            assert "own::127.0.0.7:80::" in weir.admin("/clusters").text
    assert {q[0] for q in dns.questions} == {"api.test"} and {q[0] for q in other.questions} == {"own.test"}


def test_listeners_wait_for_the_first_answer(tmp_path, dns):
    dns.mode = "silent"
    slow = named("api.test", 80, dns)
    with Weir(tmp_path / "waits", proxy(slow), ready=False) as weir:
        wait_until(lambda: dns.count() > 0, "a question")
        assert weir.admin("/ready").status == 503
        weir.wait_stat("cluster_manager.warming_clusters", 1)
    with Weir(tmp_path / "does-not", proxy({**slow, "wait_for_warm_on_init": False})) as weir:
        assert http1.request(weir.port).status == 503


def test_ttl(tmp_path, dns):
    """respect_dns_ttl: the next question comes when the records are old, not after the refresh rate."""
    dns.set("api.test", "127.0.0.1", ttl=1)
    c = named("api.test", 80, dns, respect_dns_ttl=True)
    c["dns_refresh_rate"] = "3600s"
    began = time.monotonic()
    with Weir(tmp_path, proxy(c)):
        wait_until(lambda: dns.count() >= 2, "a second question")
        assert time.monotonic() - began >= 1


def test_failures_are_asked_again_sooner(tmp_path, dns):
    dns.mode = "servfail"
    c = named("api.test", 80, dns, dns_failure_refresh_rate={"base_interval": "0.02s", "max_interval": "0.05s"})
    c["dns_refresh_rate"] = "3600s"
    with Weir(tmp_path, proxy(c)) as weir:
        dns.set("api.test", "127.0.0.9")
        dns.mode = "answer"
        wait_shown(weir, "127.0.0.9")


def test_close_connections_when_hosts_change(tmp_path, dns):
    """close_connections_on_host_set_change: those of the host that stays end, too."""
    dns.set("api.test", "127.0.0.1")
    with Two() as two:
        c = named("api.test", two.port, dns, common_lb_config={"close_connections_on_host_set_change": True})
        with Weir(tmp_path, proxy(c)) as weir:
            assert http1.request(weir.port).text == "127.0.0.1"
            weir.wait_stat("cluster.upstream.upstream_cx_active", 1)
            dns.set("api.test", "127.0.0.1", "127.0.0.2")
            weir.wait_stat("cluster.upstream.membership_total", 2)
            weir.wait_stat("cluster.upstream.upstream_cx_active", 0)
