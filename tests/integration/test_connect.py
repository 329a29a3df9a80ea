# SPDX-License-Identifier: Apache-2.0
"""CONNECT that ends at the proxy: long payloads, servers that speak first, peers that misbehave, and what is refused."""

import threading

import pytest

from support import http2
from support.config import HTTP2_UPSTREAM, route, simple
from support.http1 import Client
from support.process import validate
from support.tcp import pattern

HEAD = b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n"
BLOCKS = 64


def config(port, cluster_fields=None, **fields):
    return simple(port, routes=[route({"connect_matcher": {}}, upgrade_configs=[
        {"upgrade_type": "CONNECT", "connect_config": {}, **fields}])], cluster_fields=cluster_fields)


def tunnel(client, early=b""):
    client.send(HEAD + early)
    assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")


def echo(connection):
    while data := connection.socket.recv(1 << 16):
        connection.send(data)


@pytest.mark.parametrize("fields", [{}, HTTP2_UPSTREAM], ids=["http1", "http2"])
def test_long_payload_both_ways(start, upstream, fields):
    """Whatever protocol the cluster has otherwise. Small buffers: each side must hold the other back."""
    weir = start(config(upstream(echo).port, {**fields, "per_connection_buffer_limit_bytes": 16384}))
    with Client(weir.port) as client:
        tunnel(client)
        def send():
            for i in range(BLOCKS):
                client.send(pattern(i))
        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        for i in range(BLOCKS):
            assert client.read_exactly(1 << 16) == pattern(i)
        thread.join()
    weir.wait_stat("cluster.upstream.upstream_cx_active", 0)


def test_server_speaks_first(start, upstream):
    """Also on a connection that was opened ahead, which waits with these bytes."""
    def greet(connection):
        connection.send(b"hello")
        echo(connection)
    weir = start(config(upstream(greet).port, {"preconnect_policy": {"per_upstream_preconnect_ratio": 2}}))
    for _ in range(3):
        with Client(weir.port) as client:
            tunnel(client, b"early")
            assert client.read_exactly(10) == b"helloearly"
    weir.wait_stat("http.front.downstream_cx_upgrades_active", 0)


def test_a_tunnel_is_never_used_again(start, upstream):
    server = upstream(echo)
    weir = start(config(server.port))
    for _ in range(4):
        with http2.Client(weir.port) as client:
            stream = client.open(http2.fields((":method", "CONNECT"), (":authority", "a:1")), end=False)
            client.send(http2.frame(http2.DATA, http2.END_STREAM, stream, b"abc"))
            assert client.answer(stream) == b"abc"
    assert server.connections == 4
    weir.wait_stat("cluster.upstream.upstream_cx_active", 0)
    assert weir.stats()["cluster.upstream.upstream_rq_active"] == 0


def test_client_that_floods_a_server_that_does_not_read(start, upstream):
    gate, ended = threading.Event(), threading.Event()
    def stubborn(connection):
        gate.wait(60)
        try:
            while connection.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
        ended.set()
    weir = start(config(upstream(stubborn).port, {"per_connection_buffer_limit_bytes": 16384}))
    with Client(weir.port) as client:
        tunnel(client)
        weir.wait_stat("cluster.upstream.upstream_rq_active", 1)
        client.socket.setblocking(False)
        sent = 0
        try:
            while sent < 256 << 20:
                sent += client.socket.send(b"x" * 65536)
        except BlockingIOError:
            pass
        assert sent < 256 << 20
    gate.set()
    assert ended.wait(60)
    weir.wait_stat("cluster.upstream.upstream_cx_active", 0)


def test_server_that_ends_with_bytes_unread(start, upstream):
    """Its end is the end of the tunnel, and its last bytes come before."""
    def last_words(connection):
        connection.read_exactly(3)
        connection.send(b"z" * 100000)
    weir = start(config(upstream(last_words).port))
    for _ in range(5):
        with Client(weir.port) as client:
            tunnel(client, b"abc")
            assert client.read_exactly(100000) == b"z" * 100000
            assert client.socket.recv(1) == b""
    weir.wait_stat("http.front.downstream_rq_active", 0)


@pytest.mark.parametrize("upgrades, text", [
    ([{"upgrade_type": "websocket", "connect_config": {}}], "needs the upgrade_type CONNECT"),
    ([{"upgrade_type": "CONNECT-UDP", "connect_config": {}}], "needs the upgrade_type CONNECT"),
    ([{"upgrade_type": "CONNECT", "connect_config": {}}, {"upgrade_type": "connect"}], "is given twice"),
])
def test_refused(tmp_path, upgrades, text):
    result = validate(tmp_path, simple(1, routes=[route(upgrade_configs=upgrades)]))
    assert result.returncode != 0
    assert text in result.stdout + result.stderr
