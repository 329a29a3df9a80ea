# SPDX-License-Identifier: Apache-2.0
"""Active health checks: endpoints that turn sick and well, in every protocol, and who gets requests meanwhile."""

import json
import re
import socket
import subprocess
from concurrent import futures

import grpc
import pytest

from support import http1, tls
from support.config import HTTP2_UPSTREAM, bootstrap, cluster, hcm, listener, simple
from support.dns import DnsServer
from support.pages import block, with_ports
from support.pki import Pki
from support.process import Weir, validate, wait_until
from support.tcp import Client as TcpClient
from support.tcp import listener as tcp_listener
from support.tcp import tcp_proxy
from support.tls_server import TlsServer
from support.upstream import Upstream, refused_port, respond, same_port


def check(**fields):
    """One health check, quick enough for a test; HTTP to /hc when nothing else is said."""
    if not any(kind in fields for kind in ("http_health_check", "tcp_health_check", "grpc_health_check")):
        fields["http_health_check"] = {"path": "/hc"}
    return [{"timeout": "5s", "interval": "0.05s", "no_traffic_interval": "0.05s", "unhealthy_threshold": 2,
             "healthy_threshold": 2, **fields}]


class Patient:
    """An HTTP upstream: `status` and `extra` headers for /hc, its letter for everything else."""

    def __init__(self, letter="a", **place):
        self.letter, self.status, self.extra, self.body = letter, "200 OK", [], b""
        self.other = []  # headers of answers to requests
        self.asked = []  # checks that came
        self.silent = False
        self.server = Upstream(self._serve, **place)
        self.port = self.server.port

    def close(self):
        self.server.close()

    def _serve(self, connection):
        while (request := connection.read_request()) is not None:
            if " /hc" not in request.start:
                respond(connection, headers=self.other, body=self.letter)
                continue
            self.asked.append(request)
            if self.silent:
                connection.read_exactly(1)
            respond(connection, self.status, self.extra, self.body)


@pytest.fixture
def patient():
    made = []

    def maker(*arguments):
        made.append(Patient(*arguments))
        return made[-1]

    yield maker
    for one in made:
        one.server.close()


def flags(weir, port, name="upstream"):
    text = weir.admin("/clusters").text
    found = re.search(rf"^{name}::127.0.0.1:{port}::health_flags::(.*)$", text, re.M)
    return found and found[1]


def wait_flags(weir, port, value):
    wait_until(lambda: flags(weir, port) == value, f"flags {value!r}, not {flags(weir, port)!r}")


def letters(weir, count=6):
    with http1.Client(weir.port) as client:
        return {client.request().text for _ in range(count)}


NO_WINDOW = {"common_lb_config": {"update_merge_window": "0s"}}


def hc_stats(weir, name="upstream"):
    prefix = f"cluster.{name}.health_check."
    return {key.removeprefix(prefix): value for key, value in weir.stats("health_check").items()}


@pytest.mark.tsan
def test_sick_and_well_again(start, patient, tmp_path):
    a, b = patient("a"), patient("b")
    log = tmp_path / "events"
    checks = check(always_log_health_check_failures=True, event_log_path=str(log))
    weir = start(bootstrap(listener(hcm()), clusters=[
        cluster(a.port, b.port, health_checks=checks, **NO_WINDOW)]), concurrency=2)
    assert letters(weir) == {"a", "b"}
    assert a.asked[0].start == "GET /hc HTTP/1.1"
    assert (a.asked[0].get("host"), a.asked[0].get("user-agent")) == ("upstream", "Envoy/HC")
    assert a.server.connections <= 3  # one of the checks, the others of the requests
    a.status = "503 Service Unavailable"
    wait_flags(weir, a.port, "/failed_active_hc")
    wait_until(lambda: letters(weir) == {"b"}, "nothing goes to the sick one")
    weir.wait_stat("cluster.upstream.membership_healthy", 1)
    assert hc_stats(weir)["healthy"] == 1
    a.status = "200 OK"
    wait_until(lambda: letters(weir) == {"a", "b"}, "it is taken back")
    stats = hc_stats(weir)
    assert stats["healthy"] == 2 and stats["failure"] >= 1 and stats["network_failure"] == 0
    assert stats["success"] + stats["failure"] <= stats["attempt"]
    text = wait_until(lambda: (found := log.read_text()).count("add_healthy_event") == 3 and found[-1] == "\n" and found,
                      "events")
    events = [json.loads(line) for line in text.splitlines()]
    kinds = [[key for key in event if key.endswith("_event")][0] for event in events]
    assert kinds[:4] == ["add_healthy_event", "add_healthy_event", "eject_unhealthy_event", "health_check_failure_event"]
    assert kinds[-1] == "add_healthy_event"
    assert events[0]["add_healthy_event"] == {"first_check": True}
    assert events[2]["eject_unhealthy_event"] == {"failure_type": "ACTIVE", "http_status_code": 503}
    assert events[2]["host"]["socket_address"]["port_value"] == a.port
    assert events[2]["cluster_name"] == "upstream" and events[2]["health_checker_type"] == "HTTP"


def test_the_first_check_comes_before_the_first_request(start, patient):
    """Listeners open when every endpoint has had its first result, good or bad."""
    good = patient("g")
    holder, dead = refused_port()
    with holder:
        weir = start(bootstrap(listener(hcm()), clusters=[
            cluster(good.port, dead, health_checks=check(), **NO_WINDOW)]))
        assert good.asked
        assert flags(weir, dead).startswith("/failed_active_hc")
        assert letters(weir) == {"g"}
        stats = hc_stats(weir)
        assert stats["healthy"] == 1 and stats["network_failure"] >= 1


def test_nobody_is_healthy(start):
    """All endpoints failed: panic, unless the threshold is 0."""
    holder, dead = refused_port()
    with holder:
        weir = start(simple(dead, cluster_fields={
            "health_checks": check(), "common_lb_config": {"healthy_panic_threshold": {"value": 0}}}))
        response = http1.request(weir.port)
    assert (response.status, response.text) == (503, "no healthy upstream")


def test_thresholds_and_time_out(start, patient):
    a = patient()
    weir = start(simple(a.port, cluster_fields={"health_checks": check(timeout="0.2s", unhealthy_threshold=2), **NO_WINDOW}))
    a.silent = True
    wait_flags(weir, a.port, "/failed_active_hc/active_hc_timeout")
    assert hc_stats(weir)["network_failure"] >= 2
    a.silent = False
    wait_flags(weir, a.port, "healthy")


def test_statuses_bodies_and_headers(start, patient):
    a = patient()
    a.status, a.body = "204 No Content", b""
    http = {"path": "/hc?x=1", "host": "checked.example", "method": "POST", "send": {"text": "6869"},
            "expected_statuses": [{"start": 200, "end": 205}, {"start": 302, "end": 303}],
            "retriable_statuses": [{"start": 429, "end": 430}],
            "request_headers_to_add": [{"header": {"key": "x-check", "value": "100%%"}}],
            "request_headers_to_remove": ["user-agent"]}
    weir = start(simple(a.port, cluster_fields={"health_checks": check(http_health_check=http)}))
    request = a.asked[0]
    assert request.start == "POST /hc?x=1 HTTP/1.1" and request.body == b"hi"
    assert (request.get("host"), request.get("x-check"), request.get("user-agent")) == ("checked.example", "100%", None)
    a.status = "302 Found"
    seen = len(a.asked)
    wait_until(lambda: len(a.asked) > seen + 2, "more checks")
    assert flags(weir, a.port) == "healthy"
    a.status = "200 OK"
    before = hc_stats(weir)["failure"]
    a.status = "429 Too Many Requests"  # needs two of them
    wait_flags(weir, a.port, "/failed_active_hc")
    assert hc_stats(weir)["failure"] >= before + 2


def test_the_body_must_hold(start, patient):
    a = patient()
    a.body = b"x" * 100 + b"all " + b"good"
    http = {"path": "/hc", "receive": [{"text": "616c6c"}, {"binary": "Z29vZA=="}]}
    weir = start(simple(a.port, cluster_fields={"health_checks": check(http_health_check=http)}))
    assert flags(weir, a.port) == "healthy"
    a.body = b"good all"
    wait_flags(weir, a.port, "/failed_active_hc")
    a.body = b"y" * 1100 + b"all good"  # beyond what is looked at
    seen = len(a.asked)
    wait_until(lambda: len(a.asked) > seen + 3, "more checks")
    assert flags(weir, a.port) == "/failed_active_hc"


def test_degraded(start, patient):
    a, b = patient("a"), patient("b")
    weir = start(bootstrap(listener(hcm()), clusters=[cluster(a.port, b.port, health_checks=check(), **NO_WINDOW)]))
    a.extra = [("x-envoy-degraded", "")]
    wait_flags(weir, a.port, "/degraded_active_hc")
    weir.wait_stat("cluster.upstream.membership_degraded", 1)
    assert hc_stats(weir)["degraded"] == 1
    a.extra = []
    wait_flags(weir, a.port, "healthy")


def test_service_name(start, patient):
    a = patient()
    a.extra = [("x-envoy-upstream-healthchecked-cluster", "shop-1")]
    http = {"path": "/hc", "service_name_matcher": {"prefix": "shop"}}
    weir = start(simple(a.port, cluster_fields={"health_checks": check(http_health_check=http)}))
    assert flags(weir, a.port) == "healthy"
    a.extra = [("x-envoy-upstream-healthchecked-cluster", "bank")]
    wait_flags(weir, a.port, "/failed_active_hc")
    assert hc_stats(weir)["verify_cluster"] >= 2


def test_connections_are_kept_or_not(start, patient):
    kept, fresh = patient(), patient()
    weir = start(bootstrap(listener(hcm()), clusters=[
        cluster(kept.port, health_checks=check()),
        cluster(fresh.port, name="fresh", health_checks=check(reuse_connection=False))]))
    wait_until(lambda: len(kept.asked) > 4 and len(fresh.asked) > 4, "checks")
    assert kept.server.connections == 1
    assert fresh.server.connections >= 5
    del weir


def test_another_place_for_checks(start, patient):
    """Per endpoint: a port, an address, a name; or no check at all."""
    served, checked, plain = patient("s"), patient("c"), patient("p")
    config = cluster(served.port, plain.port, health_checks=check(), **NO_WINDOW)
    first, second = config["load_assignment"]["endpoints"][0]["lb_endpoints"]
    first["endpoint"]["health_check_config"] = {"port_value": checked.port, "hostname": "probe.example"}
    second["endpoint"]["health_check_config"] = {"disable_active_health_check": True}
    weir = start(bootstrap(listener(hcm()), clusters=[config]))
    assert checked.asked[0].get("host") == "probe.example"
    assert not served.asked and not plain.asked
    assert letters(weir) == {"s", "p"}
    checked.status = "500 Broken"
    wait_until(lambda: letters(weir) == {"p"}, "the check counts for the endpoint")


@pytest.mark.tsan
def test_an_answer_may_say_stop(start, patient):
    """x-envoy-immediate-health-check-fail in an answer to a request takes the endpoint out at once."""
    a, b = patient("a"), patient("b")
    weir = start(bootstrap(listener(hcm()), clusters=[
        cluster(a.port, b.port, health_checks=check(interval="30s", no_traffic_interval="30s"), **NO_WINDOW)]), concurrency=2)
    a.other = [("x-envoy-immediate-health-check-fail", "true")]
    letters(weir)
    wait_flags(weir, a.port, "/failed_active_hc/excluded_via_immediate_hc_fail")
    wait_until(lambda: letters(weir) == {"b"}, "it gets nothing more")
    stats = hc_stats(weir)
    assert stats["passive_failure"] >= 1 and stats["healthy"] == 1
    weir.wait_stat("cluster.upstream.membership_excluded", 1)


def test_http2(start, tmp_path):
    """A real server with HTTP/2 on clear text."""
    holder, port = refused_port()
    (tmp_path / "nginx.conf").write_text(f"""
        daemon off; worker_processes 1; pid {tmp_path}/nginx.pid; error_log {tmp_path}/error.log;
        events {{ worker_connections 64; }}
        http {{ access_log {tmp_path}/access.log; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p;
          fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
          server {{ listen 127.0.0.1:{port} http2; location = /hc {{ return 200 "fine"; }} location / {{ return 404; }} }} }}""")
    command = ["nginx", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    nginx = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        weir = start(simple(port, cluster_fields={**HTTP2_UPSTREAM, **NO_WINDOW, "health_checks": check(
            http_health_check={"path": "/hc", "codec_client_type": "HTTP2", "receive": [{"text": "66696e65"}]})}))
        wait_flags(weir, port, "healthy")
        wait_until(lambda: hc_stats(weir)["success"] > 5, "checks")
        assert " /hc HTTP/2.0\" 200" in (tmp_path / "access.log").read_text()
        assert weir.stats("cluster.upstream.http2.streams_active")["cluster.upstream.http2.streams_active"] <= 1
        nginx.terminate()
        nginx.wait(30)
        wait_until(lambda: flags(weir, port).startswith("/failed_active_hc"), "it is gone")
        nginx = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_flags(weir, port, "healthy")
    finally:
        nginx.terminate()
        nginx.wait(30)
        holder.close()

def test_shutdown_during_a_check(start):
    """The connection of a check under way ends after its cluster."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        weir = start(simple(server.getsockname()[1], cluster_fields={
            **HTTP2_UPSTREAM, **NO_WINDOW, "health_checks": check(grpc_health_check={}, timeout="30s")}), ready=False)
        server.settimeout(30)
        connection, _ = server.accept()
        with connection:
            weir.wait_stat("cluster.upstream.http2.streams_active", 1)
            weir.stop()


class GrpcHealth(grpc.GenericRpcHandler):
    def __init__(self):
        self.statuses, self.calls = {b"": 1}, []

    def service(self, details):
        if details.method != "/grpc.health.v1.Health/Check":
            return None

        def answer(message, context):
            name = message[2:]
            self.calls.append((name, dict(details.invocation_metadata), context.time_remaining()))
            if name not in self.statuses:
                context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
            return bytes([8, self.statuses[name]])

        return grpc.unary_unary_rpc_method_handler(answer)


def test_grpc(start):
    health = GrpcHealth()
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[health])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        health.statuses[b"shop"] = 1
        grpc_check = {"service_name": "shop", "authority": "shop.example",
                      "initial_metadata": [{"header": {"key": "x-meta", "value": "m"}}]}
        weir = start(simple(port, cluster_fields={**HTTP2_UPSTREAM, **NO_WINDOW, "health_checks": check(grpc_health_check=grpc_check)}))
        assert flags(weir, port) == "healthy"
        name, metadata, left = health.calls[0]
        assert name == b"shop" and metadata["x-meta"] == "m" and metadata["user-agent"] == "Envoy/HC"
        assert 0 < left <= 5
        for sick in (2, None):
            if sick:
                health.statuses[b"shop"] = sick
            else:
                del health.statuses[b"shop"]
            wait_flags(weir, port, "/failed_active_hc")
            health.statuses[b"shop"] = 1
            wait_flags(weir, port, "healthy")
    finally:
        server.stop(None).wait()


def test_tcp(start, upstream):
    state = {"say": b"+PONG\r\n"}

    def serve(connection):
        while connection.read_until(b"\r\n") == b"PING\r\n":
            for byte in state["say"]:
                connection.send(bytes([byte]))

    pinged, touched = upstream(serve), upstream(lambda connection: connection.read_exactly(1))
    ping = {"send": {"text": b"PING\r\n".hex()}, "receive": [{"text": b"PONG".hex()}]}
    weir = start(bootstrap(listener(hcm()), clusters=[
        cluster(pinged.port, health_checks=check(tcp_health_check=ping, timeout="3s")),
        cluster(touched.port, name="touched", health_checks=check(tcp_health_check={}))]))
    assert flags(weir, pinged.port) == "healthy"
    assert flags(weir, touched.port, "touched") == "healthy"
    wait_until(lambda: hc_stats(weir)["success"] > 3, "more checks")
    assert pinged.connections == 1  # kept
    wait_until(lambda: touched.connections > 3, "connecting is the check")
    state["say"] = b"-ERR\r\n"
    wait_until(lambda: flags(weir, pinged.port) == "/failed_active_hc/active_hc_timeout", "wrong answers are no answer")
    state["say"] = b"+PONG\r\n"
    wait_until(lambda: flags(weir, pinged.port) == "healthy", "healthy again")


@pytest.mark.parametrize("ignore", [False, True])
def test_endpoints_that_leave_while_they_pass(start, ignore):
    """Discovery forgets a healthy endpoint: it stays until a check fails, unless told otherwise."""
    first, second = same_port(lambda port: Patient("1", port=port), lambda port: Patient("2", ip="127.0.0.2", port=port))
    with DnsServer() as dns:
        dns.set("shop.test", "127.0.0.1", "127.0.0.2")
        config = cluster(first.port, type="STRICT_DNS", dns_refresh_rate="0.05s", dns_lookup_family="V4_ONLY",
                         dns_resolution_config={"resolvers": [dns.address]}, health_checks=check(),
                         ignore_health_on_host_removal=ignore, **NO_WINDOW)
        lb_endpoint = config["load_assignment"]["endpoints"][0]["lb_endpoints"][0]
        lb_endpoint["endpoint"]["address"]["socket_address"]["address"] = "shop.test"
        weir = start(bootstrap(listener(hcm()), clusters=[config]))
        weir.wait_stat("cluster.upstream.membership_healthy", 2)
        dns.set("shop.test", "127.0.0.1")
        if ignore:
            weir.wait_stat("cluster.upstream.membership_total", 1)
        else:
            wanted = f"upstream::127.0.0.2:{first.port}::health_flags::/pending_dynamic_removal"
            wait_until(lambda: wanted in weir.admin("/clusters").text, "it stays for now")
            assert letters(weir) == {"1", "2"}
            second.status = "503 Gone"
            weir.wait_stat("cluster.upstream.membership_total", 1)
            second.status = "200 OK"
        wait_until(lambda: letters(weir) == {"1"}, "only the other one is left")
        assert hc_stats(weir)["healthy"] == 1
        dns.set("shop.test", "127.0.0.1", "127.0.0.2")
        wait_until(lambda: letters(weir) == {"1", "2"}, "it is back")
        weir.stop()
    for one in (first, second):
        one.close()


def test_through_tls(start, tmp_path):
    """As requests: the cluster's transport socket, with the protocols that tls_options offers; a server that is not
    believed fails its checks."""
    pki = Pki(tmp_path / "pki")
    root, other = pki.make("root", ca=True), pki.make("other", ca=True)
    with TlsServer(pki.make("server", root, sans="DNS:shop.test"), alpn=["checks/1", "http/1.1"]) as server:
        def secured(name, authority, **fields):
            return cluster(server.port, name=name, transport_socket=tls.upstream(
                {"validation_context": {"trusted_ca": {"filename": str(authority.alone)}}}, sni="shop.test"), **fields)
        http = {"path": "/hc", "receive": [{"text": b'"sni": "shop.test"'.hex()}, {"text": b'"alpn": "checks/1"'.hex()}]}
        options = {"alpn_protocols": ["checks/1"]}
        weir = start(bootstrap(listener(hcm()), clusters=[
            secured("upstream", root, health_checks=check(http_health_check=http, tls_options=options)),
            secured("plain", root, health_checks=check(tcp_health_check={})),
            secured("strange", other, health_checks=check())]))
        assert flags(weir, server.port) == "healthy"
        assert flags(weir, server.port, "plain") == "healthy"
        assert flags(weir, server.port, "strange") == "/failed_active_hc"
        assert json.loads(http1.request(weir.port).body)["alpn"] == "http/1.1"
        wait_until(lambda: hc_stats(weir)["success"] > 3, "more checks over the same connection")


def test_tcp_connections_end_with_their_endpoint(start, upstream):
    """close_connections_on_host_health_failure; without it a connection runs on."""
    state = {"well": True}

    def serve(connection):
        connection.send(b"hello")
        connection.read_exactly(1)

    def checked(connection):
        connection.send(b"+" if state["well"] else b"-")
        connection.read_exactly(1)

    serving, checking = upstream(serve), upstream(checked)

    def one(name, **fields):
        made = cluster(serving.port, name=name, health_checks=check(
            tcp_health_check={"receive": [{"text": "2b"}]}, timeout="3s", reuse_connection=False), **fields)
        endpoint = made["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        endpoint["health_check_config"] = {"port_value": checking.port}
        return made
    weir = start(bootstrap(
        tcp_listener(tcp_proxy("ends"), name="ends"), tcp_listener(tcp_proxy("stays"), name="stays"),
        clusters=[one("ends", close_connections_on_host_health_failure=True), one("stays")]))
    with TcpClient(weir.listener_port("ends")) as ends, TcpClient(weir.listener_port("stays")) as stays:
        assert (ends.read(5), stays.read(5)) == (b"hello", b"hello")
        state["well"] = False
        assert ends.rest() == b""
        wait_until(lambda: flags(weir, serving.port, "stays") != "healthy", "it fails there too")
        assert weir.stats("cluster.stays.upstream_cx_active")["cluster.stays.upstream_cx_active"] == 1


def test_garbage_is_a_failure(start, upstream):
    turns = iter([b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", b""])

    def serve(connection):
        while connection.read_request() is not None:
            answer = next(turns, None)
            if answer is None:
                respond(connection)
                continue
            connection.send(answer)
            return

    server = upstream(serve)
    weir = start(simple(server.port, cluster_fields={"health_checks": check()}))
    wait_until(lambda: hc_stats(weir)["network_failure"] >= 3, "three broken answers")
    wait_flags(weir, server.port, "healthy")


def test_a_host_that_passes_outlives_its_name(start, patient):
    """Shutting down with checks under way leaves nothing behind (sanitizers see that)."""
    a = patient()
    a.silent = True
    weir = start(simple(a.port, cluster_fields={"health_checks": check(), "wait_for_warm_on_init": False}))
    wait_until(lambda: a.asked, "a check is under way")
    weir.stop()


@pytest.mark.parametrize("fields, error", [
    ({"health_checks": check() + check()}, "a cluster has one"),
    ({"health_checks": check(grpc_health_check={})}, "needs a cluster that speaks HTTP/2"),
    ({"health_checks": check(http_health_check={"path": "/", "expected_statuses": [{"start": 200, "end": 200}]})},
     "must be a range of statuses"),
    ({"health_checks": check(http_health_check={"path": "/", "send": {"text": "00"}})}, "cannot be sent with the method GET"),
    ({"health_checks": check(http_health_check={"path": "/", "receive": [{"text": "0"}]})}, "hexadecimal"),
    ({"health_checks": check(http_health_check={"path": "/", "receive": [{"text": "00" * 9}], "response_buffer_size": 8})},
     "is longer than response_buffer_size"),
    ({"health_checks": check(http_health_check={"path": "/", "request_headers_to_add": [
        {"header": {"key": "x", "value": "%START_TIME%"}}]})}, "may not hold operators"),
    ({"health_checks": check(http_health_check={"path": "/", "request_headers_to_remove": ["host"]})},
     "is no header that may be removed"),
    ({"health_checks": check(event_log_path="/nowhere/at/all")}, "cannot open"),
    ({"health_checks": [{"timeout": "1s", "interval": "1s", "http_health_check": {"path": "/"}}]}, "unhealthy_threshold"),
])
def test_refused(tmp_path, fields, error):
    result = validate(tmp_path, simple(1, cluster_fields=fields))
    assert result.returncode == 1
    assert error in result.stderr


def test_documented_checks(tmp_path, patient):
    """docs/health-checking.md with upstreams of this test."""
    served, checked, plain = patient("s"), patient("c"), patient("p")
    text = with_ports(block("health-checking.md"), {8081: served.port, 9081: checked.port, 8082: plain.port}).replace("path: /status", "path: /hc")
    with Weir(tmp_path, text) as weir:
        assert checked.asked[0].get("host") == "shop.internal" and not plain.asked
        assert letters(weir) == {"s", "p"}
        assert http1.request(weir.port, path="/healthz").get("x-envoy-upstream-healthchecked-cluster") == "edge"
        weir.wait_log('"add_healthy_event":{"first_check":true}')


@pytest.mark.parametrize("page", ["outlier-detection", "circuit-breaking"])
def test_documented_configuration(tmp_path, page):
    result = validate(tmp_path, block(f"{page}.md"))
    assert result.returncode == 0, result.stderr
    assert "OK" in result.stdout
