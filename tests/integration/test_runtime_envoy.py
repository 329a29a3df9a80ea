# SPDX-License-Identifier: Apache-2.0
"""Envoy's own runtime keys in a static layer, beside real Envoy: the same answers, log lines and statistics."""

import contextlib
import re
import socket

import pytest

from support import envoy
from support.config import ANY, bootstrap, cluster, hcm, listener, route
from support.http1 import Client, Closed, format_request
from support.process import Weir, validate, wait_until
from support.upstream import Upstream, respond

LOG = "LOG %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_REQUEST_ATTEMPT_COUNT%\n"
PATHS = {
    "/closed": "maintenance", "/half": "no requests", "/tries": "retries of a policy", "/budget": "a budget of no retries",
    "/plain/../plain": "paths are not normalized", "/open": "nothing is said about this one",
}
STATS = re.compile(r"cluster\.(\w+)\.(upstream_rq_(maintenance_mode|active_overflow|pending_overflow|retry|retry_overflow|total|503))$|runtime\.num_(keys|layers)$|"
                   r"listener\..*http\.front\.downstream_rq_(completed|\dxx)$")
BUDGET = {"retry_on": "5xx", "num_retries": 2, "retry_back_off": {"base_interval": "0.001s"}}


def configuration(port, use_retry):
    def of(name, **fields):
        return cluster(port, name=name, **fields)

    tracked = {"circuit_breakers": {"thresholds": [{"priority": "HIGH", "track_remaining": True}]}}
    routes = [route("/closed", "closed"), route("/half", "half"), route("/tries", "tries", retry_policy=BUDGET),
              route("/budget", "budget", retry_policy=BUDGET), route("/", "open")]
    manager = hcm(routes, access_log=[{"name": "log", "typed_config": {
        "@type": ANY + "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        "log_format": {"text_format_source": {"inline_string": LOG}}}}])
    clusters = [of("closed"), of("half"), of("tries"), of("budget"), of("open", **tracked)]
    return {**bootstrap(listener(manager), clusters=clusters), "layered_runtime": {"layers": [
        {"name": "first", "static_layer": {
            "upstream.maintenance_mode.closed": 0,
            "upstream": {"use_retry": use_retry, "base_retry_backoff_ms": 1},
            "circuit_breakers.half.default.max_requests": 0}},
        {"name": "last", "static_layer": {
            "upstream": {"maintenance_mode": {"closed": 100}},
            "circuit_breakers": {"open": {"high": {"max_connections": 7, "max_pending_requests": 8, "max_requests": 9, "max_retries": 10,
                                                   "max_connection_pools": 11}},
                                 "budget": {"default": {"retry_budget": {"budget_percent": 0, "min_retry_concurrency": 0}}}},
            "http_connection_manager": {"normalize_path": 100}}}]}}


def serve(connection):
    while request := connection.read_request():
        path = request.start.split()[1]
        respond(connection, "503 No" if path in ("/tries", "/budget") else "200 OK", [("x-target", path)])


def observe(proxy):
    seen = {}
    for path in PATHS:
        with Client(proxy.port) as client:
            client.send(format_request(path=path))
            answer = client.response()
        headers = {name: answer.get(name) for name in ("x-envoy-overloaded", "x-target")}
        seen[path] = (answer.status, answer.body, headers)
    logged = len(PATHS)
    seen["log"] = proxy.wait_log(r"LOG (.*)", logged)
    seen["stats"] = {name: value for name, value in proxy.stats().items() if value and STATS.match(name)}
    return seen


@pytest.mark.parametrize("use_retry", [100, 0])
def test_same(tmp_path, use_retry):
    with Upstream(serve) as upstream, contextlib.ExitStack() as stack:
        config = configuration(upstream.port, use_retry)
        theirs = stack.enter_context(envoy.Envoy(tmp_path / "envoy", config))
        ours = stack.enter_context(Weir(tmp_path / "weir", config))
        expected, found = observe(theirs), observe(ours)
        assert found == expected
        assert found["/closed"][:2] == (503, b"maintenance mode")
        assert found["stats"]["cluster.closed.upstream_rq_maintenance_mode"] == 1
        assert found["stats"]["cluster.tries.upstream_rq_total"] == (3 if use_retry else 1)
        # Envoy's gauges stay at what the fields say until the first use.
        high = ours.stats("cluster.open.circuit_breakers.high.remaining")
        assert [high[f"cluster.open.circuit_breakers.high.remaining_{n}"] for n in ("cx", "pending", "rq", "retries", "cx_pools")] == \
            [7, 8, 9, 10, 11]


def connections_until_closed(port, most):
    """How many connections are served at once."""
    with contextlib.ExitStack() as stack:
        for count in range(most):
            s = stack.enter_context(socket.create_connection(("127.0.0.1", port), 60))
            s.settimeout(60)
            try:
                s.sendall(b"GET /open HTTP/1.1\r\nhost: a\r\n\r\n")
                if not s.recv(1):
                    return count
            except ConnectionError:
                return count
    return most


def overflows(proxy):
    """Counts of listeners that are not 0. Envoy's limit holds for the connection that asks too, until the others are gone."""
    try:
        return [value for name, value in proxy.stats("downstream_global_cx_overflow").items() if value and "admin" not in name]
    except (Closed, ConnectionError):
        return None


def test_connections(tmp_path):
    with Upstream(serve) as upstream, contextlib.ExitStack() as stack:
        config = configuration(upstream.port, 100)
        config["layered_runtime"]["layers"][0]["static_layer"]["overload.global_downstream_max_connections"] = 3
        for proxy in (envoy.Envoy, Weir):
            one = stack.enter_context(proxy(tmp_path / proxy.__name__, config))
            # Envoy counts a connection of the start's questions to its admin interface until that is gone.
            wait_until(lambda: connections_until_closed(one.port, 9) == 3, "three connections and no more")
            wait_until(lambda: overflows(one), "one too many is counted")


def test_keys_that_nobody_has_are_told(tmp_path):
    config = bootstrap(listener(hcm([route("/", "up")]), name="front"), clusters=[cluster(1, name="up")])
    config["layered_runtime"] = {"layers": [{"name": "l", "static_layer": {
        "upstream.maintenance_mode.up": 0,
        "upstream": {"maintenance_mode": {"pu": 100}},
        "envoy.resource_limits.listener.front.connection_limit": 10,
        "envoy.reloadable_features.no_such": True}}]}
    path = validate(tmp_path, config)
    assert path.returncode == 0, path.stderr
    told = re.findall(r'static_layer\{"([^"]+)"\}: inert: nothing in this configuration has this runtime key', path.stdout)
    assert sorted(told) == ["envoy.reloadable_features.no_such", "upstream.maintenance_mode.pu"]
