# SPDX-License-Identifier: Apache-2.0
"""Where retries go, beside real Envoy: three upstreams that always fail, and the order in which they were tried."""

import dataclasses

import pytest

from support import envoy
from support.config import ANY, address, bootstrap, hcm, listener, route
from support.http1 import request
from support.process import Weir
from support.upstream import Upstream, respond

RETRY = "envoy.extensions.retry"
ASKED = 12


def extension(room, message, **fields):
    return {"name": message, "typed_config": {"@type": ANY + f"{RETRY}.{room}.v3.{message}", **fields}}


def metadata(**labels):
    return {"filter_metadata": {"envoy.lb": labels}}


def priorities(frequency):
    return {"retry_priority": extension("priority.previous_priorities", "PreviousPrioritiesConfig", update_frequency=frequency)}


def without(*predicates):
    return {"retry_host_predicate": list(predicates), "host_selection_retry_max_attempts": 200}


CANARY = extension("host.omit_canary_hosts", "OmitCanaryHostsPredicate")


def labelled(**labels):
    return extension("host.omit_host_metadata", "OmitHostMetadataConfig", metadata_match=metadata(**labels))


@dataclasses.dataclass
class Case:
    name: str
    policy: dict
    hosts: list = dataclasses.field(default_factory=lambda: [{}, {}, {}])  # of each upstream: priority, labels
    tries: int = 7
    cluster: dict = dataclasses.field(default_factory=dict)


LEVELS = [{"priority": 0}, {"priority": 1}, {"priority": 2}]
LABELS = [{"labels": {"a": "1", "canary": True}}, {"labels": {"a": "1", "b": [1, 2]}}, {"labels": {"b": 2}}]
CASES = [
    Case("no rule", {}, LEVELS),
    *[Case(f"priorities by {n}", priorities(n), LEVELS) for n in (1, 2, 3, 5, 100)],
    Case("priorities of unequal health", priorities(1), [{"priority": 0, "health": "UNHEALTHY"}, {"priority": 1}, {"priority": 2}]),
    Case("priorities and a degraded one", priorities(1), [{"priority": 0}, {"priority": 1, "health": "DEGRADED"}, {"priority": 2}]),
    Case("one priority", priorities(1), [{"priority": 0}, {"priority": 0, "health": "UNHEALTHY"}, {"priority": 0, "health": "UNHEALTHY"}]),
    Case("priorities that are hashed", priorities(2), LEVELS, cluster={"lb_policy": "RING_HASH"}),
    Case("no canary", without(CANARY), LABELS),
    Case("no label", without(labelled(a="1")), LABELS),
    Case("no list", without(labelled(b=2)), LABELS),
    Case("two labels", without(labelled(a="1", b=1)), LABELS),
    Case("no labels at all", {**without(labelled()), **priorities(1)}, LEVELS),
    Case("several rules", without(CANARY, labelled(b=2, a="1")), LABELS),
]
# Whom the first try may go to is chance; later ones go where the rules leave one host or two.
CHANCE = {"no canary": {1, 2}, "no label": {2}, "no list": {0}, "two labels": {0, 2}, "several rules": {2}}


def configuration(ports):
    clusters, hosts = [], []
    for number, case in enumerate(CASES):
        endpoints = []
        for port, host in zip(ports, case.hosts):
            endpoint = {"endpoint": {"address": address(port)}, "metadata": metadata(**host.get("labels", {})),
                        "health_status": host.get("health", "UNKNOWN")}
            endpoints.append({"priority": host.get("priority", 0), "lb_endpoints": [endpoint]})
        clusters.append({"name": f"c{number}", "type": "STATIC", "load_assignment": {"cluster_name": f"c{number}", "endpoints": endpoints},
                         "circuit_breakers": {"thresholds": [{"max_retries": 100}]}, **case.cluster})
        policy = {"retry_on": "5xx", "num_retries": case.tries - 1, **case.policy,
                  "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"}}
        hosts.append({"name": f"h{number}", "domains": [f"h{number}"], "routes": [
            route(cluster=f"c{number}", retry_policy=policy)]})
    return bootstrap(listener(hcm(virtual_hosts=hosts)), clusters=clusters)


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """{(proxy, case): for each request the numbers of the upstreams that got it}."""
    seen = {}

    def upstream(number):
        def serve(connection):
            while (asked := connection.read_request()) is not None:
                seen.setdefault(asked.get("x-run"), []).append(number)
                respond(connection, "503 No")
        return Upstream(serve)

    ups = [upstream(n) for n in range(3)]
    config = configuration([up.port for up in ups])
    results = {}
    with envoy.Envoy(tmp_path_factory.mktemp("envoy"), config) as theirs, Weir(tmp_path_factory.mktemp("weir"), config) as ours:
        for who, proxy in (("envoy", theirs), ("weir", ours)):
            for number, case in enumerate(CASES):
                for i in range(ASKED):
                    run = f"{who}-{number}-{i}"
                    assert request(proxy.port, headers=[("x-run", run)], host=f"h{number}").status == 503
                    results.setdefault((who, case.name), []).append(seen[run])
    for up in ups:
        up.close()
    return results


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_same_hosts(tried, case):
    theirs, ours = tried["envoy", case.name], tried["weir", case.name]
    assert all(len(one) == case.tries for one in theirs + ours)
    if case.name in CHANCE:
        for result in (theirs, ours):
            assert {host for one in result for host in one[1:]} == CHANCE[case.name]
    elif case.name == "priorities that are hashed":
        assert ours == theirs
    else:
        assert {tuple(one) for one in ours} == {tuple(one) for one in theirs}
