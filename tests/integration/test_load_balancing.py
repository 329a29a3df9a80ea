# SPDX-License-Identifier: Apache-2.0
"""Who gets the requests: weights, requests in flight, priorities, localities, health and panic, with several real upstreams.
What Envoy does with hashes is compared in test_load_balancing_envoy.py."""

import collections
import threading

import pytest

from support import http1
from support.config import ANY, bootstrap, cluster, hcm, listener, route, simple
from support.dns import DnsServer
from support.pages import block, with_ports
from support.process import Weir, validate
from support.tcp import Client, listener as tcp_listener, tcp_proxy
from support.upstream import Upstream, respond, same_port


class Hosts:
    """Upstreams that say which one they are. One that is held answers when it is released."""

    def __init__(self, count):
        self.release = threading.Event()
        self.held = threading.Semaphore(0)
        self.upstreams = [Upstream(lambda c, n=i: self._answer(c, n)) for i in range(count)]
        self.ports = [u.port for u in self.upstreams]

    def _answer(self, connection, number):
        while (request := connection.read_request()) is not None:
            if "/hold" in request.start:
                self.held.release()
                self.release.wait(60)
            respond(connection, body=str(number))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release.set()
        for u in self.upstreams:
            u.close()


def endpoints(c):
    return [e for place in c["load_assignment"]["endpoints"] for e in place["lb_endpoints"]]


def config(hosts, weights=(), health=(), places=None, **fields):
    """`places`: locality fields and how many of the hosts lie there."""
    c = cluster(*hosts.ports, **fields)
    for e, w in zip(endpoints(c), weights):
        e["load_balancing_weight"] = w
    for e, h in zip(endpoints(c), health):
        e["health_status"] = h
    if places:
        left = iter(endpoints(c))
        c["load_assignment"]["endpoints"] = [{**place, "lb_endpoints": [next(left) for _ in range(n)]}
                                             for place, n in places]
    return bootstrap(listener(hcm([route()])), clusters=[c])


def spread(weir, count=200, path="/"):
    """How many requests each host got."""
    with http1.Client(weir.port) as client:
        answers = [client.request("GET", path) for _ in range(count)]
    assert all(a.status == 200 for a in answers), [a.text for a in answers if a.status != 200][:3]
    return collections.Counter(int(a.text) for a in answers)


def test_round_robin_by_weight(tmp_path):
    with Hosts(3) as hosts, Weir(tmp_path, config(hosts, weights=(1, 2, 5))) as weir:
        got = spread(weir, 160)
        assert [abs(got[i] - n) <= 2 for i, n in enumerate((20, 40, 100))] == [True] * 3, got


@pytest.mark.parametrize("fields", [
    {"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"choice_count": 10}},
    {"load_balancing_policy": {"policies": [{"typed_extension_config": {"name": "lb", "typed_config": {
        "@type": ANY + "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
        "selection_method": "FULL_SCAN"}}}]}},
], ids=["choices", "full scan"])
def test_least_request_spares_the_busy(tmp_path, fields):
    with Hosts(3) as hosts, Weir(tmp_path, config(hosts, **fields)) as weir:
        with http1.Client(weir.port) as held:
            held.send(http1.format_request("GET", "/hold"))
            assert hosts.held.acquire(timeout=30)
            got = spread(weir, 100)
            hosts.release.set()
            busy = int(held.response().text)
        assert got[busy] <= 1, (busy, got)  # ten draws may all hit it: once in 3^10
        assert sum(got.values()) == 100


def test_load_spills_over(tmp_path):
    """2 of 4 healthy hosts bear 70 %; the next priority the rest."""
    places = [({"priority": 0}, 4), ({"priority": 1}, 1)]
    health = ("HEALTHY", "UNHEALTHY", "HEALTHY", "UNHEALTHY")
    with Hosts(5) as hosts, Weir(tmp_path, config(hosts, health=health, places=places)) as weir:
        got = spread(weir, 1000)
        assert got[1] == got[3] == 0
        assert 230 <= got[4] <= 370, got
        assert abs(got[0] - got[2]) <= 2
        stats = weir.stats("cluster.upstream")
        assert (stats["cluster.upstream.membership_total"], stats["cluster.upstream.membership_healthy"]) == (5, 3)


def test_factor_of_overprovisioning(tmp_path):
    places = [({"priority": 0}, 2), ({"priority": 1}, 1)]
    with Hosts(3) as hosts:
        c = config(hosts, health=("HEALTHY", "UNHEALTHY"), places=places)
        c["static_resources"]["clusters"][0]["load_assignment"]["policy"] = {"overprovisioning_factor": 200}
        with Weir(tmp_path, c) as weir:
            assert spread(weir, 100) == {0: 100}


def test_degraded_hosts_come_last(tmp_path):
    health = ("DEGRADED", "HEALTHY", "DEGRADED")
    with Hosts(3) as hosts, Weir(tmp_path, config(hosts, health=health)) as weir:
        got = spread(weir, 400)
        assert 130 <= got[1] <= 250, got  # 1 of 3, overprovisioned: 46 %
        assert got[0] and got[2]
        weir.wait_stat("cluster.upstream.membership_degraded", 2)


def test_panic_uses_everybody(tmp_path):
    health = ("HEALTHY", "UNHEALTHY", "UNHEALTHY")
    with Hosts(3) as hosts, Weir(tmp_path, config(hosts, health=health)) as weir:
        assert spread(weir, 30) == {0: 10, 1: 10, 2: 10}
        weir.wait_stat("cluster.upstream.lb_healthy_panic", 30)


def test_panic_off(tmp_path):
    fields = {"common_lb_config": {"healthy_panic_threshold": {"value": 0}}}
    with Hosts(3) as hosts:
        with Weir(tmp_path / "one", config(hosts, health=("UNHEALTHY", "HEALTHY", "TIMEOUT"), **fields)) as weir:
            assert spread(weir, 30) == {1: 30}
        with Weir(tmp_path / "none", config(hosts, health=("UNHEALTHY",) * 3, **fields)) as weir:
            answer = http1.request(weir.port)
            assert (answer.status, answer.text) == (503, "no healthy upstream")


def test_panic_may_fail_traffic(tmp_path):
    fields = {"common_lb_config": {"zone_aware_lb_config": {"fail_traffic_on_panic": True}}}
    with Hosts(3) as hosts, Weir(tmp_path, config(hosts, health=("HEALTHY", "UNHEALTHY", "TIMEOUT"), **fields)) as weir:
        answer = http1.request(weir.port)
        assert (answer.status, answer.text) == (503, "no healthy upstream")
        weir.wait_stat("cluster.upstream.lb_healthy_panic", 1)


def test_draining_hosts_do_not_count(tmp_path):
    """Excluded hosts get nothing and make no panic."""
    with Hosts(3) as hosts, Weir(tmp_path, config(hosts, health=("HEALTHY", "DRAINING", "DRAINING"))) as weir:
        assert spread(weir, 30) == {0: 30}
        assert "/eds_status_draining" in weir.admin("/clusters").text
        weir.wait_stat("cluster.upstream.membership_excluded", 2)


def test_localities_by_weight(tmp_path):
    places = [({"locality": {"zone": "a"}, "load_balancing_weight": 1}, 1),
              ({"locality": {"zone": "b"}, "load_balancing_weight": 3}, 2),
              ({"locality": {"zone": "c"}}, 1)]
    fields = {"common_lb_config": {"locality_weighted_lb_config": {}}}
    with Hosts(4) as hosts, Weir(tmp_path, config(hosts, places=places, **fields)) as weir:
        got = spread(weir, 160)
        assert abs(got[0] - 40) <= 2 and abs(got[1] - 60) <= 2 and abs(got[2] - 60) <= 2, got
        assert got[3] == 0  # a locality without weight


def test_wrr_locality_policy(tmp_path):
    places = [({"locality": {"zone": "a"}, "load_balancing_weight": 1}, 2),
              ({"locality": {"zone": "b"}, "load_balancing_weight": 4}, 1)]
    def policy(name, message, **more):
        return {"policies": [{"typed_extension_config": {"name": name, "typed_config": {
            "@type": f"{ANY}envoy.extensions.load_balancing_policies.{name}.v3.{message}", **more}}}]}
    picking = policy("round_robin", "RoundRobin")
    fields = {"load_balancing_policy": policy("wrr_locality", "WrrLocality", endpoint_picking_policy=picking)}
    with Hosts(3) as hosts, Weir(tmp_path, config(hosts, places=places, **fields)) as weir:
        got = spread(weir, 100)
        assert abs(got[2] - 80) <= 2, got


def test_a_host_leaves_a_ring(tmp_path):
    """Requests of the hosts that stay do not move, but for the few that the new ring gives away."""
    def numbered(i):
        def answer(connection):
            while connection.read_request() is not None:
                respond(connection, body=str(i))
        return answer
    hosts = same_port(*(lambda port, n=i: Upstream(numbered(n), ip=f"127.0.0.{n}", port=port) for i in (1, 2, 3, 4)))
    with DnsServer() as dns:
        dns.set("ring.test", "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
        c = cluster(hosts[0].port, type="STRICT_DNS", lb_policy="RING_HASH", dns_refresh_rate="0.05s",
                    dns_lookup_family="V4_ONLY", dns_resolution_config={"resolvers": [dns.address]})
        endpoints(c)[0]["endpoint"]["address"]["socket_address"]["address"] = "ring.test"
        routes = [route(hash_policy=[{"query_parameter": {"name": "k"}}])]
        with Weir(tmp_path, bootstrap(listener(hcm(routes)), clusters=[c])) as weir:
            weir.wait_stat("cluster.upstream.membership_total", 4)

            def owners():
                with http1.Client(weir.port) as client:
                    return [client.request("GET", f"/?k={i}").text for i in range(300)]
            before = owners()
            assert set(before) == {"1", "2", "3", "4"}
            assert owners() == before
            dns.set("ring.test", "127.0.0.1", "127.0.0.2", "127.0.0.4")
            weir.wait_stat("cluster.upstream.membership_total", 3)
            after = owners()
            assert set(after) == {"1", "2", "4"}
            stayed = sum(a == b for a, b in zip(before, after) if b and a != "3")
            assert stayed >= 0.7 * sum(a != "3" for a in before)
            weir.wait_stat("cluster.upstream.ring_hash_lb.size", 1026)
    for h in hosts:
        h.close()


def test_tcp_connections_by_source_address(tmp_path):
    def config_of(policy):
        c = cluster(*hosts.ports, lb_policy="MAGLEV")
        return bootstrap(tcp_listener(tcp_proxy(**policy)), clusters=[c])

    def who(weir):
        with Client(weir.port) as client:
            client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            head = client.read(len("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nN"))
            return int(head[-1:])
    with Hosts(5) as hosts:
        with Weir(tmp_path / "hash", config_of({"hash_policy": [{"source_ip": {}}]})) as weir:
            assert len({who(weir) for _ in range(20)}) == 1
        with Weir(tmp_path / "none", config_of({})) as weir:
            assert len({who(weir) for _ in range(60)}) > 1


@pytest.mark.parametrize("fields, error", [
    ({"cluster_type": {"name": "my.cluster"}}, '"my.cluster" is no cluster type of this build'),
    ({"lb_policy": "CLUSTER_PROVIDED"}, "CLUSTER_PROVIDED needs a cluster that provides one"),
    ({"lb_policy": "LOAD_BALANCING_POLICY_CONFIG"}, "needs load_balancing_policy"),
    ({"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 1000}}, "must be a prime number"),
    ({"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 9, "maximum_ring_size": 8}},
     "9 is greater than maximum_ring_size"),
    ({"lb_policy": "RING_HASH", "ring_hash_lb_config": {"maximum_ring_size": 9000000}}, "maximum_ring_size"),
    ({"lb_policy": "RING_HASH", "common_lb_config": {"consistent_hashing_lb_config": {"hash_balance_factor": 99}}},
     "hash_balance_factor"),
    ({"lb_policy": "RING_HASH", "common_lb_config": {"consistent_hashing_lb_config": {"use_hostname_for_hashing": True}}},
     "needs a cluster of type STRICT_DNS"),
    ({"load_balancing_policy": {"policies": [{"typed_extension_config": {"name": "x", "typed_config": {
        "@type": ANY + "envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3."
                       "ClientSideWeightedRoundRobin"}}}]}}, "ORCA"),
    ({"load_balancing_policy": {"policies": [{"typed_extension_config": {"name": "x", "typed_config": {
        "@type": ANY + "envoy.extensions.load_balancing_policies.random.v3.Random"}}}]},
      "common_lb_config": {"locality_weighted_lb_config": {}}}, "cannot be combined with"),
    ({"type": "LOGICAL_DNS", "load_assignment": {"cluster_name": "upstream", "endpoints": []}},
     "must have a single locality_lb_endpoint"),
    ({"least_request_lb_config": {"choice_count": 1}}, "choice_count"),
])
def test_refused(tmp_path, fields, error):
    c = simple(1)
    up = c["static_resources"]["clusters"][0]
    if "cluster_type" in fields:
        del up["type"]
    up.update(fields)
    result = validate(tmp_path, c)
    assert result.returncode == 1
    assert error in result.stderr + result.stdout, result.stderr + result.stdout


@pytest.mark.parametrize("page", ("load-balancing.md", "upstreams.md"))
def test_documented_configuration(tmp_path, page):
    result = validate(tmp_path, block(page))
    assert result.returncode == 0, result.stderr


def test_documented_hash_policies(tmp_path):
    """docs/load-balancing.md with upstreams of this test: a customer stays, a browser gets a cookie."""
    with Hosts(3) as hosts:
        text = with_ports(block("load-balancing.md"), dict(zip((8081, 8082, 8083), hosts.ports)))
        with Weir(tmp_path, text) as weir, http1.Client(weir.port) as client:
            customers = [{client.request("GET", "/cart", [("x-customer", f"c{i}")]).text for _ in range(3)}
                         for i in range(20)]
            assert all(len(c) == 1 for c in customers) and len(set.union(*customers)) == 2
            first = client.request("GET", "/cart")
            assert "Max-Age=3600; Path=/cart; HttpOnly" in first.get("set-cookie")
            assert client.request("GET", "/").status == 200


def test_subsets(tmp_path):
    """What Envoy does is compared elsewhere; here for builds with sanitizers."""
    with Hosts(3) as hosts:
        c = cluster(*hosts.ports, lb_subset_config={
            "fallback_policy": "DEFAULT_SUBSET", "default_subset": {"stage": "prod"},
            "subset_selectors": [{"keys": ["version"]}, {"keys": ["version", "stage"], "fallback_policy": "KEYS_SUBSET",
                                                         "fallback_keys_subset": ["version"]}]})
        for e, labels in zip(endpoints(c), ({"version": "1", "stage": "prod"}, {"version": "1"}, {"version": "2"})):
            e["metadata"] = {"filter_metadata": {"envoy.lb": labels}}
        routes = [route(f"/{i}/", metadata_match={"filter_metadata": {"envoy.lb": labels}}) for i, labels in enumerate(
            ({"version": "1"}, {"version": "2"}, {"version": "2", "stage": "dev"}, {"version": "3"}, {"color": "red"}))]
        with Weir(tmp_path, bootstrap(listener(hcm([*routes, route()])), clusters=[c])) as weir:
            assert spread(weir, 20, "/0/") == {0: 10, 1: 10}
            assert spread(weir, 5, "/1/") == spread(weir, 5, "/2/") == {2: 5}
            assert spread(weir, 5, "/3/") == spread(weir, 5, "/4/") == spread(weir, 5) == {0: 5}
            stats = weir.stats("lb_subsets")
            assert stats["cluster.upstream.lb_subsets_active"] == 3
            assert stats["cluster.upstream.lb_subsets_selected"] == 30
            assert stats["cluster.upstream.lb_subsets_fallback"] == 15


def test_too_many_subsets_are_told(start, upstream):
    """Two values for each of 17 keys: a host is in more subsets than a cluster may have."""
    keys = [f"k{i}" for i in range(17)]
    c = cluster(upstream().port, lb_subset_config={"list_as_any": True, "subset_selectors": [{"keys": keys}]})
    c["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["metadata"] = {
        "filter_metadata": {"envoy.lb": {key: ["a", "b"] for key in keys}}}
    weir = start(bootstrap(listener(hcm()), clusters=[c]))
    weir.wait_log("cluster 'upstream': its 1 hosts cannot be divided into subsets: more than 65536 subsets")
    assert http1.request(weir.port).status == 503
