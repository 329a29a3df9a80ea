# SPDX-License-Identifier: Apache-2.0
"""The overload manager and limits of connections: actions, load shed points, heap, descriptors; beside real Envoy."""

import contextlib
import os
import resource
import socket
import struct

import pytest

from support.config import ANY
from support.envoy import Envoy
from support.overload import (GET, INJECTED, MONITORS, answer, config, connections, inject, manager, pressure, raw,
                              threshold, without_date)
from support.process import Weir, validate, wait_until

ACTIONS = [("stop_accepting_requests", ()), ("disable_http_keepalive", ()), ("reject_incoming_connections", ()),
           (None, ("tcp_listener_accept",)), (None, ("http_connection_manager_decode_headers",)), (None, ("http1_server_abort_dispatch",))]


@pytest.mark.parametrize("action, points", ACTIONS)
def test_as_envoy(tmp_path, action, points):
    inject(tmp_path, 0.1)
    settings = config(manager(tmp_path, *([action] if action else []), points=points))
    outcomes = []
    with Envoy(tmp_path / "envoy", settings) as envoy, Weir(tmp_path / "weir", settings) as weir:
        for proxy in (envoy, weir):
            inject(tmp_path, 0.1)
            pressure(proxy, 10)
            with contextlib.closing(raw(proxy.port)) as old:
                assert answer(old).startswith(b"HTTP/1.1 200")
                inject(tmp_path, 0.95)
                pressure(proxy, 95)
                wait_until(lambda: 100 in proxy.stats("scale_percent").values(), "the action")
                with contextlib.closing(raw(proxy.port)) as new:
                    replies = without_date(answer(new)), without_date(answer(old))
            names = "overload_close|overload_disable|overload_reject|overload%5C..*(active|scale_percent|shed_load_count|pressure)"
            stats = {name: value for name, value in proxy.stats(names).items() if ".admin." not in name}
            outcomes.append((replies, {name.replace(str(proxy.port), "PORT"): value for name, value in stats.items()
                                       if "listener." not in name}))
    assert outcomes[1] == outcomes[0]


def test_it_ends_when_pressure_falls(start, tmp_path):
    inject(tmp_path, 1)
    weir = start(config(manager(tmp_path, "stop_accepting_requests", "stop_accepting_connections")))
    pressure(weir, 100)
    with contextlib.closing(raw(weir.port)) as waiting:
        waiting.sendall(GET)
        waiting.settimeout(0.2)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        inject(tmp_path, 0.2)
        waiting.settimeout(60)
        assert waiting.recv(4096).startswith(b"HTTP/1.1 200"), "the connection waited in the kernel's queue"
    stats = weir.stats("overload")
    assert stats["overload.envoy.overload_actions.stop_accepting_connections.active"] == 0
    weir.wait_log("overload: envoy.overload_actions.stop_accepting_requests begins")
    weir.wait_log("overload: envoy.overload_actions.stop_accepting_requests is over")


def test_a_scaled_action_acts_by_share(start, tmp_path):
    inject(tmp_path, 0.75)
    scaled = {"name": "envoy.overload_actions.stop_accepting_requests", "triggers": [
        {"name": INJECTED, "scaled": {"scaling_threshold": 0.5, "saturation_threshold": 1.0}}]}
    weir = start(config(manager(tmp_path, scaled)))
    pressure(weir, 75)
    with contextlib.closing(raw(weir.port)) as client:
        refused = sum(answer(client).startswith(b"HTTP/1.1 503") for _ in range(400))
    assert 100 < refused < 300
    stats = weir.stats("overload")
    assert stats["overload.envoy.overload_actions.stop_accepting_requests.scale_percent"] == 50
    assert stats["overload.envoy.overload_actions.stop_accepting_requests.active"] == 0
    assert weir.stats("overload_close")["http.front.downstream_rq_overload_close"] == refused


def test_idle_connections_close_sooner(start, tmp_path):
    inject(tmp_path, 0)
    reduce = {"name": "envoy.overload_actions.reduce_timeouts", "triggers": [threshold()], "typed_config": {
        "@type": ANY + "envoy.config.overload.v3.ScaleTimersOverloadActionConfig",
        "timer_scale_factors": [{"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "0.1s"}]}}
    weir = start(config(manager(tmp_path, reduce)))
    with contextlib.closing(raw(weir.port)) as client:
        assert answer(client).startswith(b"HTTP/1.1 200")
        inject(tmp_path, 1)
        assert client.recv(1) == b""
    assert weir.stats("idle_timeout")["http.front.downstream_cx_idle_timeout"] == 1


def test_heap(start, tmp_path):
    heap = {"name": "envoy.resource_monitors.fixed_heap", "typed_config": {
        "@type": MONITORS + "fixed_heap.v3.FixedHeapConfig", "max_heap_size_bytes": 1 << 20}}
    actions = [{"name": "envoy.overload_actions." + name, "triggers": [threshold(0.9, heap["name"])]}
               for name in ("stop_accepting_requests", "shrink_heap")]
    weir = start(config(manager(tmp_path, *actions, monitors=[heap])))
    weir.wait_stat("overload.envoy.overload_actions.shrink_heap.shrink_count", 1)
    with contextlib.closing(raw(weir.port)) as client:
        assert b"envoy overloaded" in answer(client)
    assert 100 < weir.stats("fixed_heap")["overload.envoy.resource_monitors.fixed_heap.pressure"] < 10000


def test_bypass_and_broken_pressure(start, tmp_path):
    inject(tmp_path, 1)
    weir = start(config(manager(tmp_path, "stop_accepting_requests", "reject_incoming_connections"),
                        listener_fields={"bypass_overload_manager": True}))
    pressure(weir, 100)
    with contextlib.closing(raw(weir.port)) as client:
        assert answer(client).startswith(b"HTTP/1.1 200")
    inject(tmp_path, "much")
    wait_until(lambda: weir.stats("failed_updates")[f"overload.{INJECTED}.failed_updates"] > 1, "failed updates")
    assert weir.stats("pressure")[f"overload.{INJECTED}.pressure"] == 100


@pytest.mark.tsan
def test_connections_of_the_process(start, tmp_path):
    weir = start(config(manager(tmp_path, monitors=[connections(3)])), concurrency=2)
    open_ones = [raw(weir.port) for _ in range(3)]
    for client in open_ones:
        assert answer(client).startswith(b"HTTP/1.1 200")
    for _ in range(4):
        with contextlib.closing(raw(weir.port)) as client:
            assert answer(client) == b""
    assert weir.stats("global")["listener.127.0.0.1_0.downstream_global_cx_overflow"] == 4
    weir.wait_stat("overload.envoy.resource_monitors.global_downstream_max_connections.pressure", 100)
    open_ones.pop().close()

    def served():
        with contextlib.closing(raw(weir.port)) as client:
            return answer(client).startswith(b"HTTP/1.1 200")
    wait_until(served, "a place for one more")
    for client in open_ones:
        client.close()


def test_descriptors_run_out(tmp_path):
    """Accepting pauses, what is open goes on, and the proxy recovers."""
    with Weir(tmp_path / "weir", config()) as weir:
        used = len(os.listdir(f"/proc/{weir.process.pid}/fd"))
        port = weir.port
        resource.prlimit(weir.process.pid, resource.RLIMIT_NOFILE, (used + 12, used + 12))
        first = raw(port)
        assert answer(first).startswith(b"HTTP/1.1 200")
        clients = [raw(port) for _ in range(40)]
        weir.wait_log("accept failed")
        for _ in range(20):
            assert answer(first).startswith(b"HTTP/1.1 200"), "an open connection is not disturbed"
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        with contextlib.closing(raw(port)) as last:
            assert answer(last).startswith(b"HTTP/1.1 200")
        first.close()


@pytest.mark.parametrize("change, message", [
    (lambda m: m["actions"].append({"name": "envoy.overload_actions.nothing", "triggers": [threshold()]}), "docs/overload.md lists the actions"),
    (lambda m: m["actions"][0]["triggers"].append(threshold(name="other")), "Unknown trigger resource other"),
    (lambda m: m["actions"][0]["triggers"].append(threshold(0.5)), "Duplicate trigger resource"),
    (lambda m: m["actions"].append(m["actions"][0]), "Duplicate overload action"),
    (lambda m: m["resource_monitors"].append(m["resource_monitors"][0]), "Duplicate resource monitor"),
    (lambda m: m["loadshed_points"].append({"name": "envoy.load_shed_points.x", "triggers": [threshold()]}), "lists the load shed points"),
    (lambda m: m["actions"].append({"name": "envoy.overload_actions.reduce_timeouts", "triggers": [threshold()]}), "which timeouts are reduced"),
    (lambda m: m["actions"][0].update(triggers=[{"name": INJECTED, "scaled": {"scaling_threshold": 0.9, "saturation_threshold": 0.8}}]),
     "scaling_threshold must be less than saturation_threshold"),
])
def test_refused(tmp_path, change, message):
    overload = manager(tmp_path, "stop_accepting_requests")
    change(overload)
    done = validate(tmp_path, config(overload))
    assert done.returncode == 1
    assert message in done.stderr, done.stderr
