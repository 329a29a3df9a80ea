# SPDX-License-Identifier: Apache-2.0
"""Where connections to upstreams come from, how they are kept, and how many are opened ahead of demand."""

import os
import socket
import subprocess
import threading
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from support import http1
from support.config import ANY, bootstrap, cluster, hcm, http_options, listener, simple
from support.process import validate, wait_until
from support.tcp import Client as TcpClient
from support.tcp import listener as tcp_listener
from support.tcp import tcp_proxy
from support.upstream import refused_port, respond


SIX = {"address": "::1", "port_value": 0}


class Peers:
    """An upstream that notes the source of each connection."""

    def __init__(self):
        self.seen = []
        self.hold = None

    def __call__(self, connection):
        self.seen.append(connection.socket.getpeername()[0])
        while connection.read_request() is not None:
            respond(connection, body="ok")


def bind(ip, **more):
    return {"upstream_bind_config": {"source_address": {"address": ip, "port_value": 0}, **more}}


def test_source_address(start, upstream):
    peers = Peers()
    server = upstream(peers)
    config = simple(server.port, cluster_fields={**bind("127.0.0.5"), "health_checks": [
        {"timeout": "5s", "interval": "60s", "unhealthy_threshold": 1, "healthy_threshold": 1, "tcp_health_check": {}}]})
    weir = start(config)
    assert http1.request(weir.port).status == 200
    assert set(peers.seen) == {"127.0.0.5"}  # of requests and of checks


def test_source_address_of_all_clusters(start, upstream):
    peers, others = Peers(), Peers()
    config = bootstrap(listener(hcm()), clusters=[
        cluster(upstream(peers).port), cluster(upstream(others).port, name="other", **bind("127.0.0.7"))])
    config["cluster_manager"] = bind("127.0.0.6")
    config["static_resources"]["listeners"].append(tcp_listener(tcp_proxy("other"), name="tcp"))
    weir = start(config)
    assert http1.request(weir.port).status == 200
    with TcpClient(weir.listener_port("tcp")) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        assert client.read(12) == b"HTTP/1.1 200"
    assert (peers.seen, others.seen) == (["127.0.0.6"], ["127.0.0.7"])


def test_a_source_that_is_not_ours(start, upstream):
    """Never ignored: the request fails."""
    weir = start(simple(upstream().port, cluster_fields=bind("192.0.2.1")))
    assert http1.request(weir.port).status == 503
    assert weir.stats("upstream_cx_connect_fail")["cluster.upstream.upstream_cx_connect_fail"] == 1


def test_another_family_is_left_alone(start, upstream):
    peers = Peers()
    weir = start(simple(upstream(peers).port, cluster_fields=bind("::1", extra_source_addresses=[
        {"address": {"address": "127.0.0.8", "port_value": 0}}])))
    assert http1.request(weir.port).status == 200
    assert peers.seen == ["127.0.0.8"]


def timers(port):
    """Of connections to the port: which timer runs, and for how many clock ticks (proc(5))."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    found = [row[5].split(":") for row in rows if row[2].endswith(f":{port:04X}")]
    return [(int(kind, 16), int(ticks, 16)) for kind, ticks in found]


def kept_alive(**fields):
    return {"upstream_connection_options": {"tcp_keepalive": fields}}


def test_keep_alive(start, upstream):
    """A field of 0 turns it off, whatever the others say."""
    server, other = upstream(Peers()), upstream(Peers())
    config = bootstrap(listener(hcm()), clusters=[
        cluster(server.port, **kept_alive(keepalive_probes=3, keepalive_time=1234, keepalive_interval=7)),
        cluster(other.port, name="off", **kept_alive(keepalive_probes=0, keepalive_time=1234))])
    config["static_resources"]["listeners"].append(tcp_listener(tcp_proxy("off"), name="tcp"))
    weir = start(config)
    seconds = os.sysconf("SC_CLK_TCK")
    with http1.Client(weir.port) as client, TcpClient(weir.listener_port("tcp")) as off:
        assert client.request().status == 200
        wait_until(lambda: any(kind == 2 and 1000 < ticks / seconds < 1300 for kind, ticks in timers(server.port)),
                   f"a keep-alive timer of 20 minutes: {timers(server.port)}")
        off.send(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        assert off.read(12) == b"HTTP/1.1 200"
        wait_until(lambda: timers(other.port) and all(kind == 0 for kind, _ in timers(other.port)),
                   f"a connection without a timer: {timers(other.port)}")


def test_connections_ahead_of_demand(start, upstream):
    server = upstream()
    weir = start(simple(server.port, cluster_fields={"preconnect_policy": {"per_upstream_preconnect_ratio": 3.0}}))
    with http1.Client(weir.port) as client:
        assert client.request().status == 200
        weir.wait_stat("cluster.upstream.upstream_cx_total", 3)
        for _ in range(5):
            assert client.request().status == 200
        stats = weir.stats("upstream_cx")
        assert stats["cluster.upstream.upstream_cx_total"] == 3
        assert stats["cluster.upstream.upstream_cx_active"] == 3
    wait_until(lambda: server.connections == 3, "all three are there")


def test_connections_ahead_stay_within_the_breaker(start, upstream):
    server = upstream()
    weir = start(simple(server.port, cluster_fields={
        "preconnect_policy": {"per_upstream_preconnect_ratio": 3.0},
        "circuit_breakers": {"thresholds": [{"max_connections": 2}]}}))
    with http1.Client(weir.port) as client:
        for _ in range(5):
            assert client.request().status == 200
    assert weir.stats("upstream_cx_total")["cluster.upstream.upstream_cx_total"] == 2


def test_connections_are_not_shared(start, upstream):
    """connection_pool_per_downstream_connection: each client has its own, and keeps it."""
    server = upstream()
    weir = start(simple(server.port, cluster_fields={"connection_pool_per_downstream_connection": True}))
    with http1.Client(weir.port) as one, http1.Client(weir.port) as two:
        for _ in range(4):
            assert one.request().status == two.request().status == 200
    assert server.connections == 2
    with http1.Client(weir.port) as three:
        assert three.request().status == 200
    assert server.connections == 3


@pytest.fixture
def nginx(tmp_path):
    """A real HTTP/2 server on clear text; its port."""
    holder, port = refused_port()
    (tmp_path / "nginx.conf").write_text(f"""
        daemon off; worker_processes 1; pid {tmp_path}/nginx.pid; error_log {tmp_path}/error.log;
        events {{ worker_connections 256; }}
        http {{ access_log off; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p;
          fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
          server {{ listen 127.0.0.1:{port} http2; location / {{ return 200 "fine"; }} }} }}""")
    process = subprocess.Popen(["nginx", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listening():
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0
    wait_until(listening, "nginx listens")
    yield port
    process.terminate()
    process.wait(30)
    holder.close()


def h2_cluster(port, **common):
    more = {"common_http_protocol_options": common} if common else {}
    return simple(port, cluster_fields=http_options(explicit_http_config={"http2_protocol_options": {}}, **more))


def test_an_http2_connection_has_its_time(start, nginx):
    weir = start(h2_cluster(nginx, max_connection_duration="0.2s"))
    with http1.Client(weir.port) as client:
        def renewed():
            assert client.request().status == 200
            return weir.stats("upstream_cx_max_duration")["cluster.upstream.upstream_cx_max_duration_reached"] >= 2
        wait_until(renewed, "connections end and requests go on")
    stats = weir.stats("cluster.upstream")
    assert stats["cluster.upstream.upstream_cx_http2_total"] >= 2
    assert stats["cluster.upstream.upstream_rq_5xx"] == 0


def test_an_http2_connection_has_so_many_requests(start, nginx):
    weir = start(h2_cluster(nginx, max_requests_per_connection=3))
    with http1.Client(weir.port) as client:
        for _ in range(9):
            assert client.request().status == 200
    stats = weir.stats("cluster.upstream.upstream_cx")
    assert stats["cluster.upstream.upstream_cx_http2_total"] == 3
    assert stats["cluster.upstream.upstream_cx_max_requests"] == 3


def test_requests_of_one_http2_connection_meet_the_breaker(start, upstream):
    """max_requests counts streams, however few connections carry them."""
    go = threading.Event()

    class Waits(grpc.GenericRpcHandler):
        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(lambda message, context: go.wait(60) and message)

    server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[Waits()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    config = h2_cluster(port)
    config["static_resources"]["clusters"][0]["circuit_breakers"] = {"thresholds": [{"max_requests": 4}]}
    weir = start(config)
    channel = grpc.insecure_channel(f"127.0.0.1:{weir.port}")
    call = channel.unary_unary("/a/b")
    try:
        waiting = [call.future(b"x") for _ in range(4)]
        weir.wait_stat("cluster.upstream.upstream_rq_active", 4)
        assert weir.stats("upstream_cx_active")["cluster.upstream.upstream_cx_active"] == 1
        with pytest.raises(grpc.RpcError) as error:
            call(b"x", timeout=30)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        assert weir.stats("rq_active_overflow")["cluster.upstream.upstream_rq_active_overflow"] == 1
        go.set()
        assert [one.result(30) for one in waiting] == [b"x"] * 4
        assert call(b"y", timeout=30) == b"y"
    finally:
        go.set()
        channel.close()
        server.stop(None).wait()


def test_bad_additional_addresses(tmp_path):
    config = simple(1)
    endpoint = config["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    for more, error in [([{}], "is required"), ([{"address": {"socket_address": {**SIX, "address": "localhost"}}}], "is no IP"),
                        ([{"address": {"pipe": {"path": ""}}}], "path"), ([{"address": {"socket_address": SIX}}] * 256, "at most 256")]:
        endpoint["additional_addresses"] = more
        result = validate(tmp_path, config)
        assert result.returncode == 1
        assert error in result.stderr


def test_refused(tmp_path):
    for fields, error in [
            ({"upstream_bind_config": {"source_address": {"address": "localhost", "port_value": 0}}}, "is no IP address"),
            (bind("127.0.0.1", extra_source_addresses=[{"address": {"address": "127.0.0.2", "port_value": 0}}]),
             "has two sources of one family"),
            (bind("127.0.0.1", extra_source_addresses=[{"address": SIX}], additional_source_addresses=[SIX]),
             "stands beside extra_source_addresses"),
            (bind("127.0.0.1", additional_source_addresses=[SIX, SIX]), "has more than one source beside source_address"),
            ({"upstream_bind_config": {"additional_source_addresses": [SIX]}}, "has further sources and no source_address"),
            (bind("127.0.0.1", socket_options=[{"level": 1, "name": 9, "int_value": "5000000000"}]), "needs int_value, of 32 bits"),
            (bind("127.0.0.1", local_address_selector={"name": "x", "typed_config": {
                "@type": ANY + "envoy.extensions.wasm.v3.WasmService"}}), "is no selector of this build"),
            (bind("127.0.0.1", local_address_selector={"name": "x", "typed_config": {
                "@type": ANY + "envoy.extensions.local_address_selectors.filter_state_override.v3.Config"}}),
             "network namespaces are not supported"),
            ({"upstream_connection_options": {"happy_eyeballs_config": {"first_address_family_version": 7}}},
             "first_address_family_version: has no value 7"),
            ({"upstream_connection_options": {"happy_eyeballs_config": {"first_address_family_count": 0}}},
             "first_address_family_count"),
            ({"preconnect_policy": {"per_upstream_preconnect_ratio": 4.0}}, "per_upstream_preconnect_ratio")]:
        result = validate(tmp_path, simple(1, cluster_fields=fields))
        assert result.returncode == 1
        assert error in result.stderr
