# SPDX-License-Identifier: Apache-2.0
"""The TCP proxy filter: half-close, closes and resets, back-pressure, limits, statistics and logs as Envoy's."""

import hashlib
import socket
import threading

import pytest

from support.config import address, bootstrap, cluster
from support.pages import block, with_ports
from support.process import validate, wait_until
from support.tcp import (SMALL, Client, echo, listener, pattern_digest, send_in_background, simple, stdout_log,
                         tcp_proxy)
from support.upstream import refused_port

LOG = stdout_log("LOG rx=%BYTES_RECEIVED% tx=%BYTES_SENT% flags=%RESPONSE_FLAGS% cluster=%UPSTREAM_CLUSTER% "
                 "host=%UPSTREAM_HOST% attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% "
                 "why=%UPSTREAM_TRANSPORT_FAILURE_REASON% code=%RESPONSE_CODE%/%PROTOCOL% end")


def test_client_shuts_first(start, upstream):
    def handler(connection):
        assert connection.socket.recv(100) == b"question"
        assert connection.socket.recv(100) == b""
        connection.send(b"answer after the end")
    server = upstream(handler)
    weir = start(simple(server.port, access_log=[LOG]))
    with Client(weir.port) as client:
        assert client.send(b"question").end().rest() == b"answer after the end"
    weir.wait_log(rf"LOG rx=8 tx=20 flags=- cluster=upstream host=127.0.0.1:{server.port} attempts=1 why=- code=0/- end")
    stats = weir.stats()
    assert stats["tcp.front.downstream_cx_total"] == 1
    assert stats["tcp.front.downstream_cx_rx_bytes_total"] == 8
    assert stats["tcp.front.downstream_cx_tx_bytes_total"] == 20
    assert stats["cluster.upstream.upstream_cx_total"] == 1
    assert stats["cluster.upstream.upstream_cx_rx_bytes_total"] == 20
    assert stats["cluster.upstream.upstream_cx_tx_bytes_total"] == 8
    # The upstream said its last word after the client: it is the one that ended the connection (Envoy).
    weir.wait_stat("cluster.upstream.upstream_cx_destroy_remote_with_active_rq", 1)
    assert weir.stats()["cluster.upstream.upstream_cx_active"] == 0


def test_upstream_shuts_first(start, upstream):
    got = []

    def handler(connection):
        connection.send(b"greeting")
        connection.socket.shutdown(socket.SHUT_WR)
        while data := connection.socket.recv(100):
            got.append(data)
    weir = start(simple(upstream(handler).port))
    with Client(weir.port) as client:
        assert client.rest() == b"greeting"
        client.send(b"still talking").end()
        wait_until(lambda: b"".join(got) == b"still talking", "the upstream's data")
        weir.wait_stat("cluster.upstream.upstream_cx_destroy_local_with_active_rq", 1)


def test_upstream_speaks_first_and_waits(start, upstream):
    def handler(connection):
        connection.send(b"220 ready\r\n")
        echo(connection)
    weir = start(simple(upstream(handler).port))
    with Client(weir.port) as client:
        assert client.read(11) == b"220 ready\r\n"
        for i in range(50):
            line = b"line %d\r\n" % i
            assert client.send(line).read(len(line)) == line


def test_resets_travel(start, upstream):
    ended = []

    def handler(connection):
        try:
            if connection.socket.recv(100) == b"reset me":
                connection.reset()
            else:
                connection.socket.recv(100)
                ended.append("end")
        except ConnectionResetError:
            ended.append("reset")
    weir = start(simple(upstream(handler).port, access_log=[LOG]))
    with Client(weir.port) as client, pytest.raises(ConnectionResetError):
        client.send(b"reset me").rest()
    weir.wait_log(r"LOG rx=8 tx=0 flags=UR ")
    client = Client(weir.port).send(b"x")
    weir.wait_stat("cluster.upstream.upstream_cx_tx_bytes_total", 9)
    client.reset()
    wait_until(lambda: ended == ["reset"], "the reset at the upstream")
    weir.wait_stat("cluster.upstream.upstream_cx_active", 0)


def test_connecting_fails(start):
    holder, dead = refused_port()
    config = bootstrap(
        listener(tcp_proxy("dead", max_connect_attempts=3, access_log=[LOG])),
        listener(tcp_proxy("empty", stat_prefix="empty", access_log=[LOG]), name="empty"),
        listener(tcp_proxy("full", stat_prefix="full", access_log=[LOG]), name="full"),
        listener(tcp_proxy("missing", stat_prefix="missing", access_log=[LOG]), name="missing"),
        clusters=[cluster(dead, name="dead"), cluster(name="empty"), cluster(dead, name="full", circuit_breakers={
            "thresholds": [{"max_connections": 0}]})])
    weir = start(config)
    for name, flags, attempts in (("front", "UF,URX", 3), ("empty", "UH", 0), ("full", "UO", 0), ("missing", "NC", 0)):
        with Client(weir.listener_port(name)) as client:
            assert client.rest() == b""
        weir.wait_log(rf"LOG rx=0 tx=0 flags={flags} .*attempts={attempts} ")
    weir.wait_log(r"why=delayed_connect_error:_Connection_refused")
    stats = weir.stats()
    assert stats["cluster.dead.upstream_cx_connect_fail"] == 3
    assert stats["cluster.dead.upstream_cx_connect_attempts_exceeded"] == 1
    assert stats["cluster.dead.upstream_rq_pending_failure_eject"] == 3
    assert stats["cluster.empty.upstream_cx_none_healthy"] == 1
    assert stats["cluster.full.upstream_cx_overflow"] == 1
    assert stats["tcp.missing.downstream_cx_no_route"] == 1
    holder.close()


def test_endless_attempts_leave_others_their_turn(start, upstream):
    """Attempts that fail before they begin, as many as can be configured: timers and other connections go on."""
    weir = start(bootstrap(
        listener(tcp_proxy("full", max_connect_attempts=4294967295, max_downstream_connection_duration="1s")),
        listener(tcp_proxy(stat_prefix="other"), name="other"),
        clusters=[cluster(upstream(echo).port), cluster(upstream(echo).port, name="full", circuit_breakers={
            "thresholds": [{"max_pending_requests": 0}]})]))
    with Client(weir.port) as ended, Client(weir.listener_port("other")) as client:
        assert client.send(b"a").read(1) == b"a"
        assert ended.rest() == b""
    assert weir.stats("overflow")["cluster.full.upstream_rq_pending_overflow"] > 100


def test_second_attempt_reaches_another_host(start, upstream):
    holder, dead = refused_port()
    weir = start(bootstrap(listener(tcp_proxy(max_connect_attempts=2, access_log=[LOG])),
                           clusters=[cluster(dead, upstream(echo).port)]))
    for _ in range(4):
        with Client(weir.port) as client:
            assert client.send(b"hello").end().rest() == b"hello"
    assert weir.stats()["cluster.upstream.upstream_cx_connect_fail"] >= 1
    holder.close()


def test_connect_timeout(start):
    """A listening socket whose queue is full answers no SYN."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        weir = start(simple(port, cluster_fields={"connect_timeout": "0.2s"}, access_log=[LOG]))
        with Client(weir.port) as client:
            assert client.rest() == b""
        weir.wait_log(r"flags=UF,URX .* why=- ")
        assert weir.stats()["cluster.upstream.upstream_cx_connect_timeout"] == 1
        for filler in fillers:
            filler.close()


def test_weighted_clusters(start, upstream):
    def naming(name):
        def handler(connection):
            connection.send(name)
        return handler
    a, b = upstream(naming(b"a")), upstream(naming(b"b"))
    weighted = {"clusters": [{"name": "a", "weight": 3}, {"name": "b", "weight": 1}]}
    weir = start(bootstrap(listener(tcp_proxy(weighted_clusters=weighted)),
                           clusters=[cluster(a.port, name="a"), cluster(b.port, name="b")]))
    seen = []
    for _ in range(80):
        with Client(weir.port) as client:
            seen.append(client.rest())
    assert 40 < seen.count(b"a") < 78 and seen.count(b"b") == 80 - seen.count(b"a")


def test_idle_timeout_and_duration(start, upstream):
    server = upstream(echo)
    weir = start(bootstrap(
        listener(tcp_proxy(idle_timeout="2s", access_log=[LOG])),
        listener(tcp_proxy(stat_prefix="short", max_downstream_connection_duration="2s", access_log=[LOG]), name="short"),
        clusters=[cluster(server.port)]))
    with Client(weir.port) as client:
        assert client.send(b"x").read(1) == b"x"
        assert client.rest() == b""
    weir.wait_stat("tcp.front.idle_timeout", 1)
    with Client(weir.listener_port("short")) as client:
        assert client.send(b"x").rest() == b"x"
    weir.wait_log("flags=DT ")
    assert weir.stats()["tcp.short.max_downstream_connection_duration"] == 1


def test_big_transfers_both_ways(start, upstream):
    blocks = 1600  # 100 MiB each way
    sent = {}

    def handler(connection):
        thread = send_in_background(connection.socket, blocks)
        seen, count = hashlib.sha256(), 0
        while data := connection.socket.recv(1 << 18):
            seen.update(data)
            count += len(data)
        sent["up"] = (count, seen.hexdigest())
        thread.join()
    weir = start(simple(upstream(handler).port))
    with Client(weir.port) as client:
        thread = send_in_background(client.socket, blocks)
        assert client.digest_rest() == pattern_digest(blocks)
        thread.join()
    wait_until(lambda: "up" in sent, "the upstream's end")
    assert sent["up"] == pattern_digest(blocks)
    assert weir.stats()["tcp.front.downstream_cx_tx_bytes_total"] == blocks << 16


@pytest.mark.parametrize("slow", ["client", "upstream"])
def test_slow_reader_bounds_memory(start, upstream, slow):
    blocks = 800  # 50 MiB against 64 KiB buffers
    go, result = threading.Event(), {}

    def handler(connection):
        if slow == "client":
            send_in_background(connection.socket, blocks).join()
            return
        go.wait(60)
        seen, count = hashlib.sha256(), 0
        while data := connection.socket.recv(1 << 18):
            seen.update(data)
            count += len(data)
        result["up"] = (count, seen.hexdigest())
    limit = {"per_connection_buffer_limit_bytes": SMALL}
    weir = start(simple(upstream(handler).port, listener_fields=limit, cluster_fields=limit))
    before = weir.rss_bytes()
    counter = "paused_reading_total"
    name = f"cluster.upstream.upstream_flow_control_{counter}" if slow == "client" \
        else f"tcp.front.downstream_flow_control_{counter}"
    with Client(weir.port) as client:
        if slow == "upstream":
            thread = send_in_background(client.socket, blocks)
        wait_until(lambda: weir.stats("flow_control").get(name, 0) > 0, name)
        assert weir.rss_bytes() - before < 8 << 20
        go.set()
        if slow == "client":
            assert client.digest_rest() == pattern_digest(blocks)
        else:
            thread.join()
            assert client.rest() == b""
            wait_until(lambda: "up" in result, "the upstream's end")
            assert result["up"] == pattern_digest(blocks)
    assert weir.rss_bytes() - before < 16 << 20


def test_bytes_of_a_client_that_is_gone_arrive(start, upstream):
    """The client closes; what it sent is flushed to an upstream that reads late."""
    go, result = threading.Event(), []

    def handler(connection):
        go.wait(60)
        count = 0
        while data := connection.socket.recv(1 << 18):
            count += len(data)
        result.append(count)
    weir = start(simple(upstream(handler).port))
    client = Client(weir.port)
    client.socket.setblocking(False)
    sent = 0
    block = b"z" * (1 << 20)
    try:
        while True:
            sent += client.socket.send(block)
    except BlockingIOError:
        pass
    client.close()
    go.set()
    wait_until(lambda: result == [sent], "all bytes at the upstream")
    weir.wait_stat("cluster.upstream.upstream_cx_active", 0)
    weir.wait_stat("tcp.front.upstream_flush_active", 0)


def test_thousand_connections(start, upstream):
    weir = start(simple(upstream(echo).port), concurrency=2)
    before = weir.rss_bytes()
    clients = []
    port = weir.port
    for i in range(1000):
        clients.append(Client(port))
        assert clients[-1].send(b"%08d" % i).read(8) == b"%08d" % i
    for i, client in enumerate(clients):
        assert client.send(b"%08d" % i).read(8) == b"%08d" % i
    assert weir.stats()["cluster.upstream.upstream_cx_active"] == 1000
    assert weir.rss_bytes() - before < 64 << 20
    for client in clients:
        client.close()
    weir.wait_stat("cluster.upstream.upstream_cx_active", 0)
    weir.wait_stat(f"listener.127.0.0.1_0.downstream_cx_active", 0)


def test_max_connections(start, upstream):
    weir = start(simple(upstream(echo).port, access_log=[LOG],
                        cluster_fields={"circuit_breakers": {"thresholds": [{"max_connections": 1}]}}))
    with Client(weir.port) as first:
        assert first.send(b"a").read(1) == b"a"
        with Client(weir.port) as second:
            assert second.rest() == b""
        weir.wait_log("flags=UO ")
    weir.wait_stat("cluster.upstream.upstream_cx_active", 0)
    with Client(weir.port) as third:
        assert third.send(b"c").read(1) == b"c"


@pytest.mark.parametrize("change, message", [
    ({"tunneling_config": {}}, "hostname"),
    ({"tunneling_config": {"hostname": "%NONSENSE%"}}, "unknown operator"),
    ({"tunneling_config": {"hostname": "h", "post_path": "/a"}}, "without use_post"),
    ({"tunneling_config": {"hostname": "h", "headers_to_add": [{"header": {"key": "Host", "value": "x"}}]}},
     "tunneling_config.headers_to_add[0]: :-prefixed or host headers may not be modified"),
    ({"tunneling_config": {"hostname": "h", "request_id_header": "a b"}}, "request_id_header"),
    ({"access_log_options": {}, "access_log_flush_interval": "1s"}, "access_log_options"),
    ({"access_log_options": {}, "flush_access_log_on_connected": True}, "access_log_options"),
    ({"access_log_options": {"access_log_flush_interval": "0.0001s"}}, "access_log_flush_interval"),
    ({"upstream_connect_mode": "ON_DOWNSTREAM_DATA"}, "max_early_data_bytes"),
    ({"backoff_options": {}}, "base_interval"),
    ({"backoff_options": {"base_interval": "1s", "max_interval": "0.5s"}}, "base_interval"),
    ({"max_downstream_connection_duration_jitter_percentage": {"value": 101}}, "value"),
    ({"on_demand": {}}, "on_demand"),
    ({"max_connect_attempts": 0}, "max_connect_attempts"),
    ({"weighted_clusters": {"clusters": []}}, "clusters"),
    ({"stat_prefix": ""}, "stat_prefix"),
])
def test_bad_configurations(tmp_path, change, message):
    config = bootstrap(listener(tcp_proxy(**change)), clusters=[cluster(1)])
    done = validate(tmp_path, config)
    assert done.returncode == 1 and message in done.stderr, done.stderr


def test_chain_must_end_well(tmp_path):
    done = validate(tmp_path, bootstrap(listener(tcp_proxy(), tcp_proxy()), clusters=[cluster(1)]))
    assert done.returncode == 1 and "move it to the end" in done.stderr, done.stderr
    empty = bootstrap({"name": "front", "address": address(), "filter_chains": [{"filters": []}]})
    done = validate(tmp_path, empty)
    assert done.returncode == 1 and "is empty: it needs" in done.stderr, done.stderr


def test_documented_configuration(start, upstream):
    weir = start(with_ports(block("tcp.md"), {5432: upstream(echo).port}))
    with Client(weir.port) as client:
        assert client.send(b"hello").end().rest() == b"hello"
    weir.wait_log(r"127\.0\.0\.1:\d+ 127\.0\.0\.1:\d+ - 5 5 \d+")


def test_hash_policy_is_noted(tmp_path):
    done = validate(tmp_path, bootstrap(listener(tcp_proxy(hash_policy=[{"source_ip": {}}])), clusters=[cluster(1)]))
    assert done.returncode == 0 and "hash_policy" in done.stdout, done
