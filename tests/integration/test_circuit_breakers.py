# SPDX-License-Identifier: Apache-2.0
"""Circuit breakers per priority and per host, and what the limits leave."""

import threading

import pytest

from support import http1
from support.config import bootstrap, cluster, hcm, listener, route, simple
from support.process import validate, wait_until
from support.upstream import respond


class Gate:
    """An upstream handler whose answers wait until the gate opens."""

    def __init__(self):
        self.open = threading.Event()

    def __call__(self, connection):
        while connection.read_request():
            self.open.wait(60)
            respond(connection, body="ok")


@pytest.fixture
def gate():
    one = Gate()
    yield one
    one.open.set()


def breakers(*thresholds, **more):
    return {"circuit_breakers": {"thresholds": list(thresholds), **more}}


def gauge(weir, name, priority="default"):
    return weir.stats("circuit_breakers").get(f"cluster.upstream.circuit_breakers.{priority}.{name}")


def test_priorities_do_not_share(start, upstream, gate):
    limits = breakers({"max_requests": 1, "track_remaining": True}, {"priority": "HIGH", "max_requests": 2})
    weir = start(simple(upstream(gate).port, routes=[route("/high", priority="HIGH"), route()], cluster_fields=limits))
    with http1.Client(weir.port) as first, http1.Client(weir.port) as second:
        assert gauge(weir, "remaining_rq") == 1
        first.send(http1.format_request())
        weir.wait_stat("cluster.upstream.upstream_rq_active", 1)
        assert (gauge(weir, "rq_open"), gauge(weir, "remaining_rq")) == (1, 0)
        assert (gauge(weir, "rq_open", "high"), gauge(weir, "remaining_rq", "high")) == (0, None)
        second.send(http1.format_request(path="/high"))
        weir.wait_stat("cluster.upstream.upstream_rq_active", 2)
        gate.open.set()
        assert first.response().status == 200
        assert second.response().status == 200
    wait_until(lambda: gauge(weir, "remaining_rq") == 1, "the request is given back")
    assert gauge(weir, "rq_open") == 0


def test_connections_per_host_over_all_workers(start, upstream, gate):
    limits = breakers(per_host_thresholds=[{"max_connections": 2}])
    server = upstream(gate)
    weir = start(simple(server.port, cluster_fields=limits))
    clients = [http1.Client(weir.port) for _ in range(5)]
    for client in clients:
        client.send(http1.format_request())
    weir.wait_stat("cluster.upstream.upstream_rq_pending_active", 3)
    weir.wait_stat("cluster.upstream.upstream_rq_active", 2)
    wait_until(lambda: server.connections == 2, "the upstream has accepted both")
    assert weir.stats("upstream_cx_overflow")["cluster.upstream.upstream_cx_overflow"] >= 1
    gate.open.set()
    for client in clients:
        assert client.response().status == 200
        client.close()
    assert server.connections == 2


def test_connection_pools(start, upstream, gate):
    """Pools are counted per endpoint: with one allowed, the second endpoint gets no request."""
    a, b = upstream(gate), upstream(gate)
    config = bootstrap(listener(hcm()), clusters=[cluster(a.port, b.port, **breakers({"max_connection_pools": 1}))])
    weir = start(config)
    gate.open.set()
    with http1.Client(weir.port) as client:
        answers = [client.request() for _ in range(4)]
    assert sorted(answer.status for answer in answers) == [200, 200, 503, 503]
    refused = next(answer for answer in answers if answer.status == 503)
    assert refused.text == "no healthy upstream"  # as in Envoy
    stats = weir.stats("upstream_cx_pool_overflow|cx_pool_open")
    assert stats["cluster.upstream.upstream_cx_pool_overflow"] == 2
    assert stats["cluster.upstream.circuit_breakers.default.cx_pool_open"] == 1


@pytest.mark.parametrize("circuit_breakers, error", [
    ({"per_host_thresholds": [{"max_requests": 2}]}, "may limit max_connections only"),
    ({"per_host_thresholds": [{"max_connections": 2}, {"max_connections": 3}]}, "is the second one of this priority"),
    ({"thresholds": [{"max_requests": 2}, {"priority": "DEFAULT"}]}, "is the second one of this priority"),
    ({"thresholds": [{"retry_budget": {"budget_percent": {"value": 101}}}]}, "budget_percent"),
])
def test_refused(tmp_path, circuit_breakers, error):
    result = validate(tmp_path, simple(1, cluster_fields={"circuit_breakers": circuit_breakers}))
    assert result.returncode == 1
    assert error in result.stderr
