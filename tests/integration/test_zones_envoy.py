# SPDX-License-Identifier: Apache-2.0
"""Zone-aware routing beside real Envoy: how many requests each zone gets, and what is counted."""

import json
from collections import Counter

import pytest

from support import http1
from support.config import ANY, address, bootstrap, cluster, hcm, listener, route, simple
from support.envoy import Envoy
from support.process import Weir, run_weir
from support.upstream import Upstream, respond

REQUESTS = 200
TOLERANCE = 55  # more than five standard deviations of the difference of two such counts
POLICIES = ANY + "envoy.extensions.load_balancing_policies."
HEALTHY, SICK, WORN = "HEALTHY", "UNHEALTHY", "DEGRADED"


def typed(kind="round_robin.v3.RoundRobin", **zone):
    return {"load_balancing_policy": {"policies": [{"typed_extension_config": {"name": "lb", "typed_config": {
        "@type": POLICIES + kind, "locality_lb_config": {"zone_aware_lb_config": zone}}}}]}}


def older(**zone):
    return {"common_lb_config": {"zone_aware_lb_config": zone}}


# by name: hosts of each zone, and what the cluster says
CLUSTERS = {
    "direct": ("aaabbc", {}),
    "shared": ("abbbcc", {}),
    "small": ("aabbb", {}),
    "small-allowed": ("aabbb", older(min_cluster_size=5)),
    "elsewhere": ("bbbccc", {}),
    "one-zone": ("aaaaaa", {}),
    "half": ("aaabbc", older(routing_enabled={"value": 50})),
    "off": ("aaabbc", older(routing_enabled={"value": 0})),
    "least": ("abbbcc", {"lb_policy": "LEAST_REQUEST"}),
    "random": ("abbbcc", {"lb_policy": "RANDOM"}),
    "hashed": ("aaabbc", {"lb_policy": "RING_HASH"}),
    "typed": ("abbbcc", typed(min_cluster_size=2)),
    "forced": ("abbbcc", typed(force_local_zone={})),
    "forced-two": ("abbbcc", typed(force_local_zone={"min_size": 2})),
    "forced-older": ("abbbcc", typed(force_locality_direct_routing=True)),
    "forced-empty": ("xbbbccc", typed(force_local_zone={})),
    "sick": ("xxbbbbcc", {}),
    "worn": ("yybbbbcc", older(min_cluster_size=2)),
    "panic": ("axxxxxxxxx", older(min_cluster_size=1)),
    "by-weight": ("abbbcc", typed(locality_basis="HEALTHY_HOSTS_WEIGHT")),
    "localities": ("aaabbc", {"common_lb_config": {"locality_weighted_lb_config": {}}}),
}
LETTERS = {"x": ("a", SICK), "y": ("a", WORN)}
WEIGHT = {"a": 6, "b": 1, "c": 1}
# this proxy's own cluster, by scenario
OWN = {"spread": "aabc", "alone": "aaaa", "absent": "bbcc", "sick": "axxxx"}
FEW = ("direct", "shared", "elsewhere", "forced", "typed")  # the others say nothing more where zones do not count


def endpoints(letters, ports, weigh):
    zones = {}
    for letter in letters:
        zone, health = LETTERS.get(letter, (letter, HEALTHY))
        host = {"endpoint": {"address": address(ports[zone].pop())}, "health_status": health}
        if weigh:
            host["load_balancing_weight"] = WEIGHT[zone]
        zones.setdefault(zone, []).append(host)
    return [{"locality": {"region": "r", "zone": zone}, "load_balancing_weight": 1 + WEIGHT[zone] % 5, "lb_endpoints": hosts}
            for zone, hosts in zones.items()]


class Zones:
    """Ten servers of each zone, which say where they are."""

    def __init__(self):
        self.servers = []
        self.ports = {}
        for zone in "abc":
            made = [Upstream(self._serve(zone)) for _ in range(10)]
            self.servers += made
            self.ports[zone] = [s.port for s in made]

    @staticmethod
    def _serve(zone):
        def serve(connection):
            while connection.read_request() is not None:
                respond(connection, body=zone)
        return serve

    def close(self):
        for server in self.servers:
            server.close()


def config(zones, own):
    clusters = []
    for name, (letters, fields) in CLUSTERS.items():
        made = cluster(name=name, **fields)
        made["load_assignment"]["endpoints"] = endpoints(letters, {z: list(p) for z, p in zones.ports.items()},
                                                         name == "by-weight")
        clusters.append(made)
    dead = {z: [1 + 10 * i + n for n in range(6)] for i, z in enumerate("abc")}  # nobody speaks to them
    made = cluster(name="own")
    made["load_assignment"]["endpoints"] = endpoints(own, dead, False)
    routes = [route({"path": f"/{name}"}, name) for name in CLUSTERS]
    if "RING_HASH" in str(clusters):
        for r in routes:
            r["route"]["hash_policy"] = [{"header": {"header_name": "key"}}]
    return {**bootstrap(listener(hcm(routes)), clusters=[made, *clusters]),
            "node": {"id": "n", "cluster": "own", "locality": {"region": "r", "zone": "a"}},
            "cluster_manager": {"local_cluster_name": "own"}}


STATS = ("lb_zone_routing_all_directly", "lb_zone_routing_sampled", "lb_zone_routing_cross_zone", "lb_zone_no_capacity_left",
         "lb_local_cluster_not_ok", "lb_zone_cluster_too_small", "lb_healthy_panic")


def run_all(make, directory, own):
    """By cluster: the zones that served its requests ("" for none), the statistics, and those before."""
    zones = Zones()
    proxy = None
    names = CLUSTERS if own == "spread" else FEW
    try:
        proxy = make(directory, config(zones, OWN[own]))
        before = {name: counters(proxy, name) for name in names}
        seen = {}
        with http1.Client(proxy.port) as client:
            for name in names:
                answers = [client.request(path=f"/{name}", headers=[("key", str(i))]) for i in range(REQUESTS)]
                seen[name] = Counter(a.text if a.status == 200 else "" for a in answers)
        after = {name: counters(proxy, name) for name in names}
        return {name: (seen[name], {k: after[name][k] - before[name][k] for k in STATS}, before[name]) for name in names}
    finally:
        if proxy:
            proxy.kill()
        zones.close()


def counters(proxy, name):
    stats = proxy.stats(rf"^cluster\.{name}\.lb_")
    return {k: stats[f"cluster.{name}.{k}"] for k in (*STATS, "lb_recalculate_zone_structures")}


def close(a, b):
    return all(abs(a[k] - b[k]) <= TOLERANCE for k in {*a, *b})


@pytest.fixture(scope="module")
def spread(tmp_path_factory):
    return run_all(Weir, tmp_path_factory.mktemp("weir"), "spread")


# Counted while hosts are divided. Envoy finds its own cluster empty once before it is filled, so not all of them.
AT_START = ("lb_recalculate_zone_structures", "lb_zone_cluster_too_small")


@pytest.mark.parametrize("own", OWN)
def test_as_in_envoy(spread, tmp_path, own):
    weir = spread if own == "spread" else run_all(Weir, tmp_path / "weir", own)
    envoy = run_all(Envoy, tmp_path / "envoy", own)
    wrong = []
    for name, (theirs, their_stats, their_start) in envoy.items():
        ours, our_stats, start = weir[name]
        same = ours == theirs if len(theirs) == 1 else close(ours, theirs)
        counted = close(our_stats, their_stats) and all((our_stats[k] > 0) == (their_stats[k] > 0) for k in STATS)
        begun = all((start[k] > 0) == (their_start[k] > 0) for k in AT_START)
        if not (same and counted and begun):
            wrong.append(f"{name}\n  weir  {dict(ours)} {our_stats} {start}\n  envoy {dict(theirs)} {their_stats} {their_start}")
    assert not wrong, "\n".join(wrong)


def test_shares(spread):
    """The rule itself: a third of what this zone's half of the proxies has stays; the rest goes where there is room."""
    assert spread["direct"][0] == {"a": REQUESTS}
    shared = spread["shared"][0]
    assert abs(shared["a"] - REQUESTS / 3) < TOLERANCE and abs(shared["b"] - REQUESTS / 2) < TOLERANCE, shared
    assert set(spread["elsewhere"][0]) == {"b", "c"} and set(spread["small"][0]) == {"a", "b"}


def test_bad_configurations(tmp_path):
    def errors(bad):
        path = tmp_path / "weir.json"
        path.write_text(json.dumps(bad))
        result = run_weir("--mode", "validate", "-c", path)
        assert result.returncode == 1
        return result.stderr
    assert 'cluster_manager.local_cluster_name: there is no cluster "none"' in errors(
        {**simple(1), "cluster_manager": {"local_cluster_name": "none"}})
    two = simple(1)
    two["static_resources"]["clusters"][0]["load_assignment"]["endpoints"].append(
        {"priority": 1, "lb_endpoints": [{"endpoint": {"address": address(2)}}]})
    assert "endpoints[1].priority: must be 0" in errors({**two, "cluster_manager": {"local_cluster_name": "upstream"}})
