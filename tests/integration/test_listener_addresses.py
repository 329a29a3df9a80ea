# SPDX-License-Identifier: Apache-2.0
"""Listeners with several addresses, and connections that go to the listener of their original destination; beside real
Envoy."""

import contextlib
import json
import os
import re
import socket

import pytest

from support.config import address, bootstrap, direct, hcm, listener
from support.envoy import Envoy
from support.listeners import listener_filter, proxy_protocol, tls_inspector
from support.process import Weir, base_id, run_weir, validate, wait_until
from support.upstream import hold_port

GET = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


def ask(port, before=b"", where="127.0.0.1"):
    """The body of the answer, or what became of the connection."""
    with contextlib.closing(socket.socket(socket.AF_INET6 if ":" in where else socket.AF_INET)) as client:
        client.settimeout(60)
        client.connect((where, port))
        client.sendall(before + GET)
        data = b""
        try:
            while more := client.recv(4096):
                data += more
        except ConnectionResetError:
            pass
        return data.partition(b"\r\n\r\n")[2].decode()


def named(name, at, **fields):
    manager = hcm([direct(200, name)], stat_prefix=name, delayed_close_timeout="0.05s")
    one = listener(manager, name=name, **fields)
    return {**one, "address": at}


def unbound(name, ip, port, **fields):
    return named(name, address(port, ip), bind_to_port=False, **fields)


def outer(*filters, **fields):
    return named("front", address(), listener_filters=list(filters), use_original_dst=True, **fields)


DESTINATIONS = ["5.6.7.8 1000 2000", "5.6.7.8 1000 2001", "5.6.7.9 1000 2001", "5.6.7.9 1000 2002", "6.6.6.6 1000 3000",
                "9.9.9.9 1000 5000"]


def by_header():
    wild = {"socket_address": {"address": "::", "port_value": 3000, "ipv4_compat": True}}
    return bootstrap(outer(proxy_protocol()), unbound("inner", "5.6.7.8", 2000), unbound("any", "0.0.0.0", 2001),
                     named("both", wild, bind_to_port=False), unbound("six", "2001:db8::2", 2000),
                     unbound("filtered", "9.9.9.9", 5000, listener_filters=[tls_inspector()]))


def handed_over(proxy):
    port, seen = proxy.port, []
    for destination in DESTINATIONS:
        seen.append(ask(port, f"PROXY TCP4 1.2.3.4 {destination}\r\n".encode()))
    for destination in ("2001:db8::2 1000 2000", "2001:db8::3 1000 2000", "2001:db8::3 1000 3000"):
        seen.append(ask(port, f"PROXY TCP6 2001:db8::1 {destination}\r\n".encode()))
    seen.append(ask(port, b"PROXY UNKNOWN\r\n"))
    def active():
        return [v for k, v in proxy.stats("downstream_(pre_)?cx_active").items() if k.startswith("listener.") and "admin" not in k]
    wait_until(lambda: not any(active()), "all is over")
    totals = {k.replace(str(port), "0"): v for k, v in proxy.stats("listener.*downstream_cx_total").items() if "admin" not in k}
    return seen, {k: v for k, v in totals.items() if "worker" not in k}


@pytest.mark.tsan
def test_the_listener_of_the_original_destination(start):
    weir = start(by_header(), concurrency=2)
    seen, totals = handed_over(weir)
    assert seen == ["inner", "any", "any", "front", "both", "filtered", "six", "front", "both", "front"]
    assert totals["listener.127.0.0.1_0.downstream_cx_total"] == 3 and totals["listener.5.6.7.8_2000.downstream_cx_total"] == 1


def test_as_envoy(tmp_path):
    seen = []
    for kind in (Envoy, Weir):
        with kind(tmp_path / kind.__name__, by_header()) as proxy:
            seen.append(handed_over(proxy))
    assert seen[0] == seen[1]


def on_their_way(weir, count):
    """Connections whose destination nobody knows yet."""
    clients = [socket.create_connection(("127.0.0.1", weir.port), 20) for _ in range(count)]
    weir.wait_stat("listener.127.0.0.1_0.downstream_pre_cx_active", count)
    return clients


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def arrive(client):
    with client:
        client.sendall(b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n" + GET)
        return b"".join(iter(lambda: client.recv(4096), b"")).partition(b"\r\n\r\n")[2].decode()


@pytest.mark.tsan
def test_what_is_on_its_way_arrives_when_all_stops(start):
    """One after the other: a listener without connections is still there for the next."""
    own = base_id()
    weir = start(by_header(), "--restart-epoch", "0", *own)
    clients = on_their_way(weir, 2)
    start(by_header(), "--restart-epoch", "1", *own)
    weir.wait_log("the successor serves")
    assert arrive(clients[0]) == "inner"
    weir.wait_stat("listener.5.6.7.8_2000.downstream_cx_active", 0)
    assert arrive(clients[1]) == "inner"


def test_free_ports_of_a_successor(start):
    """Each address has its own again, whatever the listeners are called."""
    own = base_id()
    settings = bootstrap(named("a", address(), additional_addresses=[{"address": address()}] * 2), named("a 0", address()),
                         named("a 1", address()))
    seen = []
    for number in ("0", "1"):
        weir = start(settings, "--restart-epoch", number, *own, "--drain-strategy", "immediate")
        seen.append(re.findall(r"^(a.*)::.*:(\d+)$", weir.admin("/listeners").text, re.M))
        assert [ask(int(port)) for _, port in seen[-1]] == ["a", "a", "a", "a 0", "a 1"]
    assert seen[0] == seen[1] and len({port for _, port in seen[0]}) == 5


@pytest.mark.parametrize("query, front, arrives", [("", "OUTBOUND", "inner"), ("?graceful", "OUTBOUND", "inner"),
                                                   ("?inboundonly", "OUTBOUND", "front"), ("?inboundonly", "INBOUND", "inner")])
def test_what_is_on_its_way_when_listeners_drain(start, query, front, arrives):
    weir = start(bootstrap(outer(proxy_protocol(), traffic_direction=front),
                           unbound("inner", "5.6.7.8", 2000, traffic_direction="INBOUND"),
                           named("last", address(), traffic_direction="INBOUND")))
    client, = on_their_way(weir, 1)
    last = weir.listener_port("last")
    assert weir.admin(f"/drain_listeners{query}", "POST").status == 200
    wait_until(lambda: not listens(last), "the last one has stopped")
    assert arrive(client) == arrives


def test_limits_count_where_a_connection_is(start):
    """The inner listener's own limit does not turn away what the outer one has accepted (Envoy); the outer one's is free again."""
    settings = by_header()
    settings["layered_runtime"] = {"layers": [{"name": "static", "static_layer": {"envoy": {"resource_limits": {"listener": {
        "front": {"connection_limit": 1}, "inner": {"connection_limit": 1}}}}}}]}
    weir = start(settings)
    clients = []
    for _ in range(3):
        client = socket.create_connection(("127.0.0.1", weir.port), 60)
        client.sendall(b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n" + GET.replace(b"connection: close\r\n", b""))
        assert b"inner" in client.recv(4096)
        clients.append(client)
    assert not any(weir.stats("downstream_cx_overflow").values())
    for client in clients:
        client.close()
    weir.wait_stat("listener.5.6.7.8_2000.downstream_cx_active", 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="transparent sockets need privileges")
def test_transparent_sockets(start, tmp_path):
    """What TPROXY leaves: the socket's own address is the client's destination."""
    with hold_port("0.0.0.0") as holder:
        port = holder.getsockname()[1]
        weir = start(bootstrap(named("front", address(port, "0.0.0.0"), transparent=True, use_original_dst=True),
                               unbound("inner", "127.0.0.7", port)))
        assert [ask(port, where=where) for where in ("127.0.0.7", "127.0.0.1")] == ["inner", "front"]
    # the filter alone, too
    alone = bootstrap(named("front", address(0), listener_filters=[
        listener_filter("original_dst", "original_dst.v3.OriginalDst")], use_original_dst=True))
    assert ask(start(alone).port) == "front"


@pytest.mark.tsan
def test_additional_addresses(start, tmp_path):
    more = [{"address": address()}, {"address": address(ip="::1"), "socket_options": {"socket_options": [
        {"level": socket.IPPROTO_TCP, "name": socket.TCP_MAXSEG, "int_value": 700, "state": "STATE_BOUND"}]}}]
    settings = bootstrap(named("front", address(), additional_addresses=more, stat_prefix="mine"))
    for kind in (Envoy, Weir):
        with kind(tmp_path / kind.__name__, settings, concurrency=2) as proxy:
            text = re.findall(r"^front::(.*):(\d+)$", proxy.admin("/listeners").text, re.M)
            assert [ip for ip, _ in text] == ["127.0.0.1", "127.0.0.1", "[::1]"]
            ports = [int(port) for _, port in text]
            assert len(set(ports[:2])) == 2
            for ip, port in zip(("127.0.0.1", "127.0.0.1", "::1"), ports):
                assert ask(port, where=ip) == "front"
            status = next(s for s in json.loads(proxy.admin("/listeners?format=json").body)["listener_statuses"]
                          if s["name"] == "front")
            assert [status["local_address"], *status["additional_local_addresses"]] == [
                address(port, ip) for ip, port in zip(("127.0.0.1", "127.0.0.1", "::1"), ports)]
            proxy.wait_stat("listener.mine.downstream_cx_total", 3)
            with contextlib.closing(socket.create_connection(("::1", ports[2]))) as client:
                assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 700


def test_a_second_address_in_use(tmp_path):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        settings = bootstrap(named("front", address(), additional_addresses=[{"address": address(port)}]))
        file = tmp_path / "bad.json"
        file.write_text(json.dumps(settings))
        done = run_weir("-c", file, "--admin-address-path", tmp_path / "admin")
        assert done.returncode == 1 and f"cannot listen on 127.0.0.1:{port}" in done.stderr, done.stderr


@pytest.mark.parametrize("listeners, words", [
    ([named("a", address(4001)), named("b", address(4002), additional_addresses=[{"address": address(4001)}])],
     "listeners[1].address: is the address of an earlier listener"),
    ([named("a", address(4001), additional_addresses=[{"address": {"pipe": {"path": "/x"}}}])], "IP addresses or paths, not both"),
    ([unbound("a", "1.1.1.1", 80), unbound("b", "1.1.1.1", 80)], "is the address of an earlier listener"),
    ([named("a", address(4001), additional_addresses=[{}])], "additional_addresses[0].address"),
])
def test_bad_ones(tmp_path, listeners, words):
    done = validate(tmp_path, bootstrap(*listeners))
    assert done.returncode == 1 and words in done.stderr, done.stderr
