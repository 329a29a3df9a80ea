# SPDX-License-Identifier: Apache-2.0
"""Outlier detection: endpoints that fail requests leave balancing and come back; what it says in statistics and events."""

import json
import re

import pytest

from support import http1
from support.config import ANY, bootstrap, cluster, hcm, listener, route, simple
from support.process import validate, wait_until
from support.tcp import Client as TcpClient
from support.tcp import listener as tcp_listener
from support.tcp import tcp_proxy
from support.upstream import refused_port, respond

pytestmark = pytest.mark.tsan


class Server:
    """Answers with its letter, or fails as it is told."""

    def __init__(self, letter, upstream):
        self.letter, self.status, self.headers, self.silent = letter, "200 OK", [], False
        self.port = upstream(self._serve).port

    def _serve(self, connection):
        while connection.read_request() is not None:
            if self.silent:
                connection.read_exactly(1)
            respond(connection, self.status, self.headers, self.letter)


@pytest.fixture
def server(upstream):
    return lambda letter: Server(letter, upstream)


def outlier(**fields):
    return {"outlier_detection": {"interval": "0.1s", "base_ejection_time": "0.3s", "max_ejection_percent": 100, **fields},
            "common_lb_config": {"update_merge_window": "0s"}}


def flags(weir, port, name="upstream"):
    return re.search(rf"^{name}::127.0.0.1:{port}::health_flags::(.*)$", weir.admin("/clusters").text, re.M)[1]


def stat(weir, name, cluster_name="upstream"):
    return weir.stats("outlier")[f"cluster.{cluster_name}.outlier_detection.{name}"]


def ask(weir, count=1, **request):
    with http1.Client(weir.port) as client:
        return [client.request(**request) for _ in range(count)]


def until_ejected(weir, port, why="it fails requests", **request):
    def one():
        ask(weir, **request)
        return flags(weir, port) == "/failed_outlier_check"
    wait_until(one, why)


def test_out_and_back(start, server, tmp_path):
    a, b = server("a"), server("b")
    log = tmp_path / "events"
    config = bootstrap(listener(hcm()), clusters=[cluster(a.port, b.port, **outlier(consecutive_5xx=3))])
    config["cluster_manager"] = {"outlier_detection": {"event_log_path": str(log)}}
    weir = start(config, concurrency=2)
    a.status = "500 Broken"
    until_ejected(weir, a.port)
    assert stat(weir, "ejections_active") in (0, 1)
    a.status = "200 OK"
    wait_until(lambda: flags(weir, a.port) == "healthy", "its time is over")
    wait_until(lambda: {r.text for r in ask(weir, 6)} == {"a", "b"}, "it gets requests again")
    assert stat(weir, "ejections_enforced_total") == stat(weir, "ejections_enforced_consecutive_5xx") >= 1
    assert stat(weir, "ejections_active") == 0
    text = wait_until(lambda: (found := log.read_text()).count("UNEJECT") and found[-1] == "\n" and found, "events")
    events = [json.loads(line) for line in text.splitlines()]
    assert events[0].items() >= {
        "type": "CONSECUTIVE_5XX", "cluster_name": "upstream", "upstream_url": f"127.0.0.1:{a.port}", "action": "EJECT",
        "num_ejections": 1, "enforced": True, "eject_consecutive_event": {}}.items()
    assert events[1]["action"] == "UNEJECT" and 0 <= int(events[1]["secs_since_last_action"]) < 60


def test_nothing_goes_to_the_ejected(start, server):
    a, b = server("a"), server("b")
    weir = start(bootstrap(listener(hcm()), clusters=[
        cluster(a.port, b.port, **outlier(consecutive_5xx=1, base_ejection_time="60s"))]))
    a.status = "500 Broken"
    until_ejected(weir, a.port)
    a.status = "200 OK"
    wait_until(lambda: {r.text for r in ask(weir, 6)} == {"b"}, "only the other one is asked")
    weir.wait_stat("cluster.upstream.membership_healthy", 1)


def test_endpoints_that_cannot_be_reached(start, server):
    holder, dead = refused_port()
    alive = server("a")
    with holder:
        weir = start(bootstrap(listener(hcm()), clusters=[
            cluster(dead, alive.port, **outlier(base_ejection_time="60s"))]))
        until_ejected(weir, dead)
        assert stat(weir, "ejections_enforced_consecutive_5xx") == 1
        assert {r.status for r in ask(weir, 6)} <= {200, 503}
        wait_until(lambda: {r.status for r in ask(weir, 6)} == {200}, "the other one answers")


def test_local_errors_apart(start, server):
    holder, dead = refused_port()
    alive = server("a")
    alive.status = "500 Broken"
    with holder:
        weir = start(bootstrap(listener(hcm()), clusters=[
            cluster(dead, alive.port, **outlier(base_ejection_time="60s", split_external_local_origin_errors=True,
                                                consecutive_5xx=1000, consecutive_local_origin_failure=2))]))
        until_ejected(weir, dead)
        assert stat(weir, "ejections_enforced_consecutive_local_origin_failure") == 1
        assert flags(weir, alive.port) == "healthy"  # it was reached each time


def test_silence_is_a_gateway_failure(start, server):
    a, b = server("a"), server("b")
    a.silent = True
    weir = start(bootstrap(listener(hcm([route(timeout="0.3s")])), clusters=[
        cluster(a.port, b.port, **outlier(base_ejection_time="60s", consecutive_5xx=1000, consecutive_gateway_failure=2,
                                          enforcing_consecutive_gateway_failure=100))]))
    until_ejected(weir, a.port)
    assert stat(weir, "ejections_enforced_consecutive_gateway_failure") >= 1


def test_grpc_status_counts(start, server):
    """A gRPC answer is 200; its grpc-status in the head is what counts."""
    a, b = server("a"), server("b")
    a.headers = [("content-type", "application/grpc"), ("grpc-status", "14")]
    weir = start(bootstrap(listener(hcm()), clusters=[
        cluster(a.port, b.port, **outlier(base_ejection_time="60s", consecutive_5xx=2))]))
    ask(weir, 8)
    assert flags(weir, a.port) == "healthy"  # no gRPC request, no gRPC answer
    until_ejected(weir, a.port, method="POST", headers=[("content-type", "application/grpc"), ("te", "trailers")])


def test_success_rate(start, server):
    """One of five fails much more often than the others, but never often in a row."""
    servers = [server(letter) for letter in "abcde"]
    weir = start(bootstrap(listener(hcm()), clusters=[cluster(
        *(s.port for s in servers), **outlier(interval="1s", base_ejection_time="60s", consecutive_5xx=1000,
                                              success_rate_request_volume=5))]), concurrency=2)
    servers[0].status = "500 Broken"
    wait_until(lambda: ask(weir, 50) and flags(weir, servers[0].port) == "/failed_outlier_check", "the rate tells")
    assert stat(weir, "ejections_enforced_success_rate") == 1
    assert stat(weir, "ejections_active") == 1
    rates = re.findall(r"::success_rate::(\S+)", weir.admin("/clusters").text)
    assert len(rates) == 5


def test_not_more_than_the_percentage(start, server):
    servers = [server(letter) for letter in "abc"]
    weir = start(bootstrap(listener(hcm()), clusters=[cluster(
        *(s.port for s in servers), **outlier(base_ejection_time="60s", consecutive_5xx=1, max_ejection_percent=34))]))
    for one in servers:
        one.status = "500 Broken"
    wait_until(lambda: ask(weir, 6) and stat(weir, "ejections_overflow") >= 2, "two of three stay")
    assert sorted(flags(weir, s.port) for s in servers) == ["/failed_outlier_check", "healthy", "healthy"]


def test_tcp(start, upstream):
    holder, dead = refused_port()
    with holder:
        weir = start(bootstrap(tcp_listener(tcp_proxy("upstream", max_connect_attempts=1)), clusters=[
            cluster(dead, upstream(lambda connection: connection.send(b"hello")).port,
                    **outlier(base_ejection_time="60s", consecutive_5xx=2))]))

        def one():
            with TcpClient(weir.port) as client:
                client.rest()
            return flags(weir, dead) == "/failed_outlier_check"
        wait_until(one, "connections are refused")


def test_a_passed_check_takes_back(start, server):
    a, b = server("a"), server("b")
    checks = [{"timeout": "5s", "interval": "0.1s", "no_traffic_interval": "0.1s", "unhealthy_threshold": 1,
               "healthy_threshold": 1, "tcp_health_check": {}}]
    weir = start(bootstrap(listener(hcm()), clusters=[
        cluster(a.port, b.port, health_checks=checks, **outlier(base_ejection_time="600s", consecutive_5xx=1))]))
    a.status = "500 Broken"
    wait_until(lambda: ask(weir, 2) and stat(weir, "ejections_enforced_total") > 2, "out and back and out again")
    a.status = "200 OK"
    wait_until(lambda: flags(weir, a.port) == "healthy", "taken back long before its time")


def test_refused(tmp_path):
    for fields, error in [
            ({"max_ejection_time": "1s", "base_ejection_time": "2s"}, "is smaller than base_ejection_time"),
            ({"enforcing_success_rate": 101}, "enforcing_success_rate"),
            ({"interval": "0s"}, "interval"),
            ({"monitors": [{"name": "x", "typed_config": {"@type": ANY + "google.protobuf.Empty"}}]}, "not there yet")]:
        result = validate(tmp_path, simple(1, cluster_fields={"outlier_detection": fields}))
        assert result.returncode == 1
        assert error in result.stderr
