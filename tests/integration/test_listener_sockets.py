# SPDX-License-Identifier: Apache-2.0
"""Sockets of listeners: Unix paths and abstract names, both IP versions, socket options; and limits of connections per
listener and per chain, beside real Envoy."""

import contextlib
import json
import os
import socket
import stat
import time

import pytest

from support.config import ANY, address, bootstrap, cluster, direct, hcm
from support.config import listener as http_listener
from support.envoy import Envoy
from support.process import Weir, run_weir, wait_until
from support.tcp import Client, echo, listener, tcp_proxy

LIMIT = ANY + "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit"
GET = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


def get(family, where):
    with contextlib.closing(socket.socket(family)) as client:
        client.settimeout(60)
        client.connect(where)
        client.sendall(GET)
        data = b""
        while more := client.recv(4096):
            data += more
        return data


def with_admin(listener_fields, where):
    settings = bootstrap({**http_listener(hcm([direct()])), "address": where, **listener_fields})
    return settings


def test_unix_paths_and_abstract_names(start, tmp_path):
    path = str(tmp_path / "front.sock")
    weir = start(with_admin({}, {"pipe": {"path": path, "mode": 0o600}}))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert get(socket.AF_UNIX, path).endswith(b"direct")
    name = f"@weir-{os.getpid()}"
    start(with_admin({}, {"pipe": {"path": name}}))
    assert get(socket.AF_UNIX, "\0" + name[1:]).endswith(b"direct")
    assert weir.stats("http1_total")["http.front.downstream_cx_http1_total"] == 1


@pytest.mark.tsan
def test_two_workers_share_a_unix_socket(start, tmp_path):
    path = str(tmp_path / "front.sock")
    start(with_admin({}, {"pipe": {"path": path}}), concurrency=2)
    for _ in range(10):
        assert get(socket.AF_UNIX, path).endswith(b"direct")


def test_both_ip_versions(start):
    both = start(with_admin({}, {"socket_address": {"address": "::", "port_value": 0, "ipv4_compat": True}}))
    assert get(socket.AF_INET, ("127.0.0.1", both.port)).endswith(b"direct")
    assert get(socket.AF_INET6, ("::1", both.port)).endswith(b"direct")
    only = start(with_admin({}, address(ip="::")))
    assert get(socket.AF_INET6, ("::1", only.port)).endswith(b"direct")
    with pytest.raises(ConnectionRefusedError):
        get(socket.AF_INET, ("127.0.0.1", only.port))


def test_socket_options(start, tmp_path):
    def option(name, value, **fields):
        return {"socket_options": [{"level": socket.IPPROTO_TCP, "name": name, "int_value": value, **fields}]}
    weir = start(with_admin(option(socket.TCP_MAXSEG, 600, state="STATE_BOUND"), address()))
    with contextlib.closing(socket.create_connection(("127.0.0.1", weir.port))) as client:
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 600
    file = tmp_path / "bad.json"

    file.write_text(json.dumps(with_admin(option(9999, 1), address())))
    done = run_weir("-c", file, "--admin-address-path", tmp_path / "admin")
    assert done.returncode == 1 and 'listener "front" cannot listen' in done.stderr, done.stderr


def keepalive_timer(port):
    """Seconds until the first probe of a connection that a listener accepted; None: there will be none."""
    with open("/proc/net/tcp") as f:
        for line in list(f)[1:]:
            fields = line.split()
            if int(fields[1].split(":")[1], 16) == port and fields[3] == "01":
                kind, ticks = fields[5].split(":")
                return int(ticks, 16) / os.sysconf("SC_CLK_TCK") if kind == "02" else None
    raise AssertionError("no connection")


def test_keepalive(start):
    """Of the listener, and of further addresses, which may have their own or none."""
    further = [{"address": address()}, {"address": address(), "tcp_keepalive": {"keepalive_time": 4000}},
               {"address": address(), "tcp_keepalive": {"keepalive_probes": 0}}]
    weir = start(with_admin({"tcp_keepalive": {"keepalive_time": 1000}, "additional_addresses": further}, address()))
    [listening] = json.loads(weir.admin("/listeners?format=json").body)["listener_statuses"]
    ports = [weir.port, *(a["socket_address"]["port_value"] for a in listening["additional_local_addresses"])]
    for port, least, most in zip(ports, (900, 900, 3900, None), (1000, 1000, 4000, None)):
        with contextlib.closing(socket.create_connection(("127.0.0.1", port))) as client:
            client.sendall(GET.replace(b"connection: close\r\n", b""))
            assert client.recv(1)
            timer = keepalive_timer(port)
            assert timer is None if least is None else least <= timer <= most, (port, timer)


def limited(port, limit):
    settings = bootstrap(listener(tcp_proxy()), clusters=[cluster(port)])
    settings["layered_runtime"] = {"layers": [{"name": "static", "static_layer": {
        "envoy": {"resource_limits": {"listener": {"front": {"connection_limit": limit}}}}, "else.where": True}}]}
    return settings


def echoes(client):
    try:
        return client.send(b"x").read(1) == b"x"
    except (EOFError, ConnectionResetError, BrokenPipeError):
        return False


def run_limit(proxy, pattern):
    """How many of five connections are served, how many after one left, and the statistics."""
    clients = [Client(proxy.port) for _ in range(5)]
    served = [echoes(client) for client in clients]
    first = served.index(True)
    clients[first].close()

    def another():
        with Client(proxy.port) as client:
            return echoes(client)
    wait_until(another, "a free place")
    stats = {k.replace(str(proxy.port), "0"): v for k, v in proxy.stats(pattern).items()}
    for client in clients:
        client.close()
    return sum(served), stats


@pytest.mark.tsan
def test_limit_of_a_listener(tmp_path, upstream):
    with Weir(tmp_path / "weir", limited(upstream(echo).port, 2), concurrency=2) as weir:
        served, stats = run_limit(weir, "overflow")
        assert served == 2 and stats["listener.127.0.0.1_0.downstream_cx_overflow"] >= 3


def filter_config(port, **fields):
    one = {"name": "limit", "typed_config": {"@type": LIMIT, "stat_prefix": "mine", "max_connections": 2, **fields}}
    return bootstrap(listener(one, tcp_proxy()), clusters=[cluster(port)])


def test_limit_of_a_chain_as_envoy(tmp_path, upstream):
    server = upstream(echo)
    seen = []
    for kind in (Envoy, Weir):
        with kind(tmp_path / kind.__name__, filter_config(server.port)) as proxy:
            clients = [Client(proxy.port) for _ in range(5)]
            served = sum(echoes(client) for client in clients)
            wait_until(lambda: proxy.stats("connection_limit")["connection_limit.mine.active_connections"] == 2, "two connections")
            seen.append((served, proxy.stats("connection_limit")))
            for client in clients:
                client.close()
            wait_until(lambda: proxy.stats("connection_limit")["connection_limit.mine.active_connections"] == 0, "none")
    assert seen[0] == seen[1]
    assert seen[1][0] == 2


def test_the_chain_is_free_again_and_delays(start, upstream):
    weir = start(filter_config(upstream(echo).port, delay="0.3s"), concurrency=2)
    clients = [Client(weir.port) for _ in range(2)]
    assert all(echoes(client) for client in clients)
    began = time.monotonic()
    with Client(weir.port) as late:
        assert not echoes(late)
    assert time.monotonic() - began >= 0.25
    clients.pop().close()

    def another():
        with Client(weir.port) as client:
            return echoes(client)
    wait_until(another, "a free place")
    for client in clients:
        client.close()


def test_a_switched_off_limit(start, upstream):
    off = {"default_value": False, "runtime_key": "nothing"}
    weir = start(filter_config(upstream(echo).port, runtime_enabled=off))
    clients = [Client(weir.port) for _ in range(4)]
    assert all(echoes(client) for client in clients)
    for client in clients:
        client.close()
