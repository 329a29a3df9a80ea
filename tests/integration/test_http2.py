# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 on both sides with ordinary clients: curl, nghttp2's server, h2load, and Weir on both ends."""

import hashlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from support import envoy, http1, http2
from support.config import bootstrap, cluster, direct, hcm, http_options, listener, route, simple
from support.pages import block, with_ports
from support.process import BUILD, SOURCE, validate, wait_until
from support.upstream import refused_port, respond

LOG = "%PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %REQ(:METHOD)% %REQ(:PATH)%"


def h2_upstream(**options):
    return http_options(explicit_http_config={"http2_protocol_options": options})


def access_log(text=LOG):
    return [{"name": "log", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        "log_format": {"text_format_source": {"inline_string": "LOG " + text + "\n"}}}}]


def curl(port, path="/", *arguments, h2=True, data=None):
    """Status, headers (lower case) and body."""
    command = ["curl", "-s", "-S", "-i", "--max-time", "120", *(["--http2-prior-knowledge"] if h2 else []), *arguments]
    if data is not None:
        command += ["--data-binary", "@-"]
    out = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], input=data, capture_output=True, check=True).stdout
    head, body = out.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:]), body


def two_hops(start, upstream_port, options=None, back_fields=None, **front_fields):
    """front -> HTTP/2 -> back -> HTTP/1 upstream; the front, which has the other as .back."""
    back = start(simple(upstream_port, **(back_fields or {})))
    again = {"retry_on": "refused-stream", "num_retries": 3}  # a GOAWAY refuses what it had not seen
    front = start(bootstrap(listener(hcm([route(cluster="back", retry_policy=again)], access_log=access_log(), **front_fields)),
                            clusters=[cluster(back.port, name="back", **h2_upstream(**(options or {})))]))
    front.back = back
    return front


@pytest.mark.tsan
def test_direct_response_and_log(start):
    weir = start(simple(access_log=access_log()))
    status, headers, body = curl(weir.port)
    assert (status, body) == (200, b"direct")
    assert headers["server"] == "envoy"
    assert headers["content-length"] == "6"
    assert "connection" not in headers
    weir.wait_log(r"LOG HTTP/2 200 - direct_response GET /")
    assert curl(weir.port, h2=False)[2] == b"direct"
    weir.wait_log(r"LOG HTTP/1.1 200 - direct_response GET /")
    stats = weir.stats("_total")
    assert stats["http.front.downstream_cx_http2_total"] == stats["http.front.downstream_cx_http1_total"] == 1
    assert stats["http.front.downstream_rq_http2_total"] == 1


def test_codec_type_binds(start):
    weir = start(simple(codec_type="HTTP2"))
    assert curl(weir.port)[0] == 200
    with http1.Client(weir.port) as client:
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert not client.read_to_end().startswith(b"HTTP/1")
    weir = start(simple(codec_type="HTTP1"))
    with http1.Client(weir.port) as client:
        client.send(http2.PREFACE)
        assert client.read_to_end().startswith(b"HTTP/1.1 400")


def test_preface_byte_by_byte(start):
    weir = start(simple())
    client = http2.Client.__new__(http2.Client)
    client.socket, client.buffer, client.next_stream = http1.Client(weir.port).socket, b"", 1
    for byte in http2.PREFACE + http2.frame(http2.SETTINGS) + http2.frame(http2.HEADERS, 5, 1, http2.request("/")):
        client.send(bytes([byte]))
    assert client.answer(1) == b"direct"
    client.close()


def test_h2_to_h1(start, upstream):
    weir = start(simple(upstream().port))
    status, headers, body = curl(weir.port, "/a?b=c", "-H", "cookie: a=1", "-H", "X-Some: Thing", data=b"hello")
    lines = body.decode().split("\n")
    assert status == 200
    assert lines[0] == "POST /a?b=c HTTP/1.1"
    assert f"host: 127.0.0.1:{weir.port}" in lines
    assert "x-some: Thing" in lines
    assert "cookie: a=1" in lines
    assert lines[-1] == "hello"
    assert not [line for line in lines if line.startswith(":")]


def test_cookie_crumbs_become_one(start, upstream):
    weir = start(simple(upstream().port))
    with http2.Client(weir.port) as client:
        crumbs = [("cookie", f"c{i}=v") for i in range(30)]
        body = client.answer(client.open(http2.request("/", "GET", *crumbs)))
    cookies = [line for line in body.decode().split("\n") if line.startswith("cookie")]
    assert cookies == ["cookie: " + "; ".join(f"c{i}=v" for i in range(30))]


def test_host_without_authority(start, upstream):
    weir = start(simple(upstream().port))
    with http2.Client(weir.port) as client:
        fields = [(":method", "GET"), (":scheme", "http"), (":path", "/")]
        assert b"host: from-host\n" in client.answer(client.open(http2.fields(*fields, ("host", "from-host"))))
        fields.append((":authority", "right"))
        body = client.answer(client.open(http2.fields(*fields, ("host", "wrong"))))
        assert b"host: right\n" in body
        assert b"wrong" not in body


@pytest.mark.parametrize("h2", [False, True])
@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 5 << 20])
def test_bodies_over_two_hops(start, upstream, h2, size):
    def handler(connection):
        while (request := connection.read_head()) is not None:
            connection.read_body(request)
            respond(connection, body=hashlib.sha256(request.body).hexdigest().encode() + request.body)

    weir = two_hops(start, upstream(handler).port)
    data = os.urandom(size)
    _, _, body = curl(weir.port, "/", "-H", "expect:", h2=h2, data=data)
    assert body == hashlib.sha256(data).hexdigest().encode() + data


def test_trailers_and_informational_from_h1_to_h2(start, upstream):
    def handler(connection):
        request = connection.read_request()
        assert request.trailers == [("x-late", "request")]
        connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-late: answer\r\n\r\n")

    weir = start(simple(upstream(handler).port, cluster_fields={"http_protocol_options": {"enable_trailers": True}}))
    with http2.Client(weir.port) as client:
        stream = client.open(http2.request("/", "POST"), end=False)
        client.send(http2.frame(http2.DATA, 0, stream, b"xyz"))
        client.send(http2.frame(http2.HEADERS, 5, stream, http2.fields(("x-late", "request"))))
        frames = client.read_until(lambda f: f.stream == stream and f.flags & http2.END_STREAM)
        assert b"".join(f.payload for f in frames if f.type == http2.DATA) == b"abc"
        assert frames[-1].type == http2.HEADERS


def test_one_connection_carries_many_requests(start, upstream):
    weir = two_hops(start, upstream().port)
    with http1.Client(weir.port) as client:
        for i in range(50):
            assert client.request(path=f"/{i}").status == 200
    stats = weir.stats("cluster.back.upstream")
    assert stats["cluster.back.upstream_cx_total"] == stats["cluster.back.upstream_cx_http2_total"] == 1
    assert stats["cluster.back.upstream_rq_total"] == 50


@pytest.mark.skipif(not shutil.which("h2load"), reason="h2load (nghttp2-client) is not installed")
def test_h2load_over_two_hops(start, upstream):
    weir = two_hops(start, upstream().port)
    out = subprocess.run(["h2load", "-n", "4000", "-c", "4", "-m", "25", f"http://127.0.0.1:{weir.port}/x"],
                         capture_output=True, text=True, check=True).stdout
    assert "4000 succeeded, 0 failed, 0 errored, 0 timeout" in out
    assert "status codes: 4000 2xx" in out
    weir.wait_stat("cluster.back.upstream_rq_active", 0)
    weir.wait_stat("cluster.back.http2.streams_active", 0)


@pytest.mark.skipif(not shutil.which("nghttpd"), reason="nghttpd (nghttp2-server) is not installed")
def test_nghttpd_as_upstream(start, tmp_path):
    holder, port = refused_port()
    (tmp_path / "file").write_bytes(os.urandom(3 << 20))
    server = subprocess.Popen(["nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", str(tmp_path), "--echo-upload", str(port)])
    try:
        wait_until(lambda: http_open(port), "nghttpd")
        weir = start(simple(port, cluster_fields=h2_upstream()))
        for h2 in (True, False):
            assert curl(weir.port, "/file", h2=h2)[2] == (tmp_path / "file").read_bytes()
            data = os.urandom(2 << 20)
            assert curl(weir.port, "/echo", "-H", "expect:", h2=h2, data=data)[2] == data
    finally:
        server.terminate()
        server.wait()


def http_open(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_as_the_client_speaks(start, upstream):
    """use_downstream_protocol_config: one host, a pool for each protocol."""
    weir = start(bootstrap(listener(hcm([direct(text="back")], access_log=access_log()), name="front"), clusters=[]))
    back = weir.port
    front = start(simple(back, cluster_fields=http_options(use_downstream_protocol_config={"http2_protocol_options": {}})))
    assert curl(front.port, "/two")[2] == curl(front.port, "/one", h2=False)[2] == b"back"
    weir.wait_log(r"LOG HTTP/2 200 - direct_response GET /two")
    weir.wait_log(r"LOG HTTP/1.1 200 - direct_response GET /one")


def test_auto_config_needs_alpn(tmp_path):
    out = validate(tmp_path, simple(1, cluster_fields=http_options(auto_config={})))
    assert out.returncode != 0
    assert "auto_config" in out.stdout + out.stderr


def test_peer_limit_on_streams_opens_a_second_connection(start, upstream):
    gate, waiting = threading.Event(), threading.Semaphore(0)

    def handler(connection):
        while (request := connection.read_head()) is not None:
            waiting.release()
            gate.wait(30)
            respond(connection, body=request.start.encode())

    weir = two_hops(start, upstream(handler).port, back_fields={"http2_protocol_options": {"max_concurrent_streams": 2}})
    gate.set()
    assert curl(weir.port)[0] == 200  # the limit is known now
    gate.clear()
    with http2.Client(weir.port) as client:
        for _ in range(5):
            client.open()
        for _ in range(6):  # the first one, and these five
            assert waiting.acquire(timeout=30)
        gate.set()
        ended = set()
        client.read_until(lambda f: f.flags & 1 and f.type in (0, 1) and (ended.add(f.stream) or len(ended) == 5))
    assert weir.stats("cluster.back.upstream_cx_total")["cluster.back.upstream_cx_total"] == 3


def test_refused_and_reset_streams(start):
    """What an upstream's RST_STREAM means to the client: a refused stream is sent again where the route says so."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = server.accept()
        peer = http2.Client.__new__(http2.Client)
        peer.socket, peer.buffer = connection, b""
        connection.settimeout(30)
        assert connection.recv(24, socket.MSG_WAITALL) == http2.PREFACE
        peer.send(http2.frame(http2.SETTINGS))
        for code in (7, 7, 8, 7, 7, 7, 7, 7):
            head = peer.read_until(lambda f: f is None or f.type == http2.HEADERS)[-1]
            peer.send(http2.frame(http2.RST_STREAM, 0, head.stream, struct.pack(">I", code)))
        peer.read_until(lambda f: False)

    thread = threading.Thread(target=serve)
    thread.start()
    again = {"retry_on": "refused-stream", "num_retries": 3}
    weir = start(simple(server.getsockname()[1], routes=[route("/once"), route(retry_policy=again)],
                        cluster_fields=h2_upstream(), access_log=access_log()))
    # Refused twice, which is sent again; then reset, which is not.
    status, _, body = curl(weir.port, "/a")
    assert (status, body.split(b"reason: ")[1]) == (503, b"remote reset")
    # What is always refused is given up.
    assert curl(weir.port, "/b")[2].endswith(b"retried and the latest reset reason: remote refused stream reset")
    # Without a policy nothing is sent again.
    assert curl(weir.port, "/once")[2].endswith(b"headers. reset reason: remote refused stream reset")
    weir.wait_log(r"LOG HTTP/2 503 UR upstream_reset_before_response_started\{remote_reset\} GET /a")
    weir.wait_log(r"LOG HTTP/2 503 URX,UR upstream_reset_before_response_started\{remote_refused_stream_reset\} GET /b")
    weir.wait_log(r"LOG HTTP/2 503 UR upstream_reset_before_response_started\{remote_refused_stream_reset\} GET /once")
    weir.stop()
    thread.join(60)
    server.close()


def test_goaway_of_the_upstream_moves_requests(start, upstream):
    """max_requests_per_connection at the back: its GOAWAY ends a connection, never a request."""
    weir = two_hops(start, upstream().port, back_fields={"common_http_protocol_options": {"max_requests_per_connection": 10},
                                                         "drain_timeout": "0.05s"})
    with http1.Client(weir.port) as client:
        for i in range(60):
            assert client.request(path=f"/{i}").status == 200
            if i % 10 == 9:
                time.sleep(0.08)  # the drain timeout is a time, not a condition
    assert weir.stats("cluster.back.upstream_cx_total")["cluster.back.upstream_cx_total"] >= 3
    assert weir.back.stats("goaway")["http2.goaway_sent"] >= 4


def test_drain_finishes_what_is_open(start, upstream):
    gate = threading.Event()

    def handler(connection):
        connection.read_request()
        gate.wait(30)
        respond(connection, body=b"late")

    weir = start(simple(upstream(handler).port))
    with http2.Client(weir.port) as idle, http2.Client(weir.port) as busy:
        idle.read_until(lambda f: f.type == http2.SETTINGS and f.flags & 1)
        stream = busy.open()
        weir.wait_stat("http.front.downstream_rq_active", 1)
        weir.signal(signal.SIGTERM)
        assert idle.closed_within(60).code == http2.NO_ERROR
        assert busy.read_until(lambda f: f.type == http2.GOAWAY)[-1].code == http2.NO_ERROR
        gate.set()
        assert busy.answer(stream) == b"late"
        busy.closed_within(60)
        assert weir.wait() == 0


def test_idle_connection_says_goodbye(start):
    weir = start(simple(common_http_protocol_options={"idle_timeout": "2s"}, drain_timeout="0.1s"))
    with http2.Client(weir.port) as client:
        assert client.answer(client.open()) == b"direct"
        assert client.closed_within(60).code == http2.NO_ERROR
    assert weir.stats("idle_timeout")["http.front.downstream_cx_idle_timeout"] >= 1


def test_keepalive_closes_what_does_not_answer(start):
    weir = start(simple(http2_protocol_options={
        "connection_keepalive": {"interval": "0.5s", "timeout": "3s", "interval_jitter": {"value": 0}}}))
    with http2.Client(weir.port) as silent, http2.Client(weir.port) as good:
        ping = good.read_until(lambda f: f.type == http2.PING)[-1]
        for _ in range(4):
            good.send(http2.frame(http2.PING, http2.ACK, 0, ping.payload))
            ping = good.read_until(lambda f: f.type == http2.PING)[-1]
        silent.closed_within(60)
        good.send(http2.frame(http2.PING, http2.ACK, 0, ping.payload))
        assert good.answer(good.open()) == b"direct"
    assert weir.stats("keepalive")["http2.keepalive_timeout"] >= 1


def test_early_answer_leaves_the_connection(start):
    weir = start(simple())
    with http2.Client(weir.port) as client:
        stream = client.open(http2.request("/", "POST"), end=False)
        assert client.answer(stream) == b"direct"
        for _ in range(8):
            client.send(http2.frame(http2.DATA, 0, stream, b"x" * 16384))
        frames = client.read_until(lambda f: f.type == http2.RST_STREAM)
        assert (frames[-1].stream, frames[-1].code) == (stream, http2.NO_ERROR)
        assert client.answer(client.open()) == b"direct"


def test_slow_reader_stops_only_its_own_stream(start, upstream):
    big = b"x" * (8 << 20)

    def handler(connection):
        while (request := connection.read_head()) is not None:
            respond(connection, body=big if "/big" in request.start else b"small")

    weir = start(simple(upstream(handler).port))
    with http2.Client(weir.port) as client:
        client.send(http2.frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
        stalled = client.open(http2.request("/big"))
        got = 0
        while got < 65535:  # the stream's window, then silence
            frame = client.read()
            got += len(frame.payload) if frame.type == http2.DATA else 0
        for _ in range(20):
            assert client.answer(client.open(http2.request("/small"))) == b"small"
        client.send(http2.frame(http2.WINDOW_UPDATE, 0, stalled, struct.pack(">I", 1 << 30)))
        assert got + len(client.answer(stalled)) == len(big)


WEBSOCKET = {"upgrade_configs": [{"upgrade_type": "websocket"}]}


def websocket_upstream(connection):
    request = connection.read_head()
    assert request.start == "GET /chat HTTP/1.1"
    assert request.get("upgrade") == "websocket"
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    while data := connection.socket.recv(65536):
        connection.send(data.upper())


def test_websocket_from_h2_to_h1(start, upstream):
    weir = start(simple(upstream(websocket_upstream).port, http2_protocol_options={"allow_connect": True}, **WEBSOCKET))
    with http2.Client(weir.port) as client:
        stream = client.open(http2.fields((":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                                          (":path", "/chat"), (":authority", "a"), ("sec-websocket-version", "13")), end=False)
        client.read_until(lambda f: f.type == http2.HEADERS)
        for word in (b"hello", b"again"):
            client.send(http2.frame(http2.DATA, 0, stream, word))
            assert client.read_until(lambda f: f.type == http2.DATA)[-1].payload == word.upper()


def test_websocket_over_h2_between_two_proxies(start, upstream):
    weir = two_hops(start, upstream(websocket_upstream).port, options={"allow_connect": True},
                    back_fields={"http2_protocol_options": {"allow_connect": True}, **WEBSOCKET}, **WEBSOCKET)
    with http1.Client(weir.port) as client:
        client.send("GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        head = client.read_until(b"\r\n\r\n").lower()
        assert head.startswith(b"http/1.1 101")
        assert b"upgrade: websocket" in head
        client.send(b"over there")
        assert client.read_exactly(10) == b"OVER THERE"


def test_connect_is_a_tunnel(start, upstream):
    def handler(connection):
        assert connection.read_head().start == "CONNECT a:80 HTTP/1.1"
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while data := connection.socket.recv(65536):
            connection.send(data[::-1])

    weir = start(simple(upstream(handler).port, routes=[route({"connect_matcher": {}})],
                        upgrade_configs=[{"upgrade_type": "CONNECT"}]))
    with http2.Client(weir.port) as client:
        stream = client.open(http2.fields((":method", "CONNECT"), (":authority", "a:80")), end=False)
        client.read_until(lambda f: f.type == http2.HEADERS)
        client.send(http2.frame(http2.DATA, 0, stream, b"abc"))
        assert client.read_until(lambda f: f.type == http2.DATA)[-1].payload == b"cba"


def test_client_that_resets_is_logged(start, upstream):
    gate = threading.Event()
    weir = start(simple(upstream(lambda c: c.read_request() and gate.wait(30)).port, access_log=access_log()))
    with http2.Client(weir.port) as client:
        stream = client.open()
        weir.wait_stat("cluster.upstream.upstream_rq_active", 1)
        client.send(http2.frame(http2.RST_STREAM, 0, stream, struct.pack(">I", 8)))
        weir.wait_log(r"LOG HTTP/2 0 DR http2.remote_reset GET /")
    gate.set()
    weir.wait_stat("cluster.upstream.upstream_rq_active", 0)


def test_settings_are_as_configured(start):
    weir = start(simple(http2_protocol_options={
        "hpack_table_size": 8192, "max_concurrent_streams": 7, "initial_stream_window_size": 70000,
        "initial_connection_window_size": 100000, "allow_connect": True,
        "custom_settings_parameters": [{"identifier": 0xaa, "value": 5}]}))
    with http2.Client(weir.port) as client:
        settings = client.read_until(lambda f: f.type == http2.SETTINGS)[-1].payload
        update = client.read_until(lambda f: f.type == http2.WINDOW_UPDATE)[-1].payload
    pairs = dict(struct.unpack(">HI", settings[i:i + 6]) for i in range(0, len(settings), 6))
    assert pairs == {1: 8192, 3: 7, 4: 70000, 8: 1, 0xaa: 5}
    assert struct.unpack(">I", update)[0] == 100000 - 65535


def h2spec():
    """The conformance tests, built once from the pinned module; None when it cannot be had."""
    binary = BUILD / "tests/h2spec"
    if not binary.exists() and shutil.which("go"):
        subprocess.run(["go", "build", "-mod=readonly", "-o", str(binary), "github.com/summerwind/h2spec/cmd/h2spec"],
                       cwd=SOURCE / "tests/h2spec", capture_output=True, check=False, timeout=300)
    return binary if binary.exists() else None


def test_h2spec(start):
    binary = h2spec()
    if not binary:
        pytest.skip("h2spec cannot be built: no Go, or its module cannot be fetched")
    weir = start(simple(codec_type="HTTP2"))
    out = subprocess.run([str(binary), "-h", "127.0.0.1", "-p", str(weir.port)], capture_output=True, text=True, check=False)
    assert re.search(r"145 tests, 145 passed, 0 skipped, 0 failed", out.stdout), out.stdout[-4000:]


def test_the_page_s_configuration(start):
    holder, dead = refused_port()
    with holder:
        weir = start(with_ports(block("http2.md"), {50051: dead, 8080: dead}))
        with http2.Client(weir.port) as client:
            settings = client.read_until(lambda f: f.type == http2.SETTINGS)[-1].payload
            assert struct.pack(">HI", 3, 100) in settings
        assert curl(weir.port)[0] == 503
        status, headers, _ = curl(weir.port, "/", "-H", "content-type: application/grpc", "-H", "te: trailers")
        assert (status, headers["grpc-status"]) == (200, "14")


@pytest.mark.parametrize("envoy_in_front", [False, True])
def test_real_envoy_on_the_other_side(start, upstream, tmp_path, envoy_in_front):
    """HTTP/2 between Weir and Envoy, either way round: bodies both ways, many streams, early resets."""
    envoy.binary()
    up = upstream()

    def front(port):
        return simple(port, cluster_fields=h2_upstream(), codec_type="AUTO")

    def named(config):
        config["node"] = {"id": "test", "cluster": "test"}
        return config

    if envoy_in_front:
        weir = start(simple(up.port))
        running = envoy.Envoy(tmp_path / "envoy", named(front(weir.port)))
    else:
        running = envoy.Envoy(tmp_path / "envoy", named(simple(up.port)))
    try:
        port = running.port if envoy_in_front else start(front(running.port)).port
        for size in (0, 1, 65536, 3 << 20):
            data = os.urandom(size).replace(b"\n", b"\0")
            assert curl(port, "/", "-H", "expect:", data=data)[2].split(b"\n")[-1] == data
        out = subprocess.run(["h2load", "-n", "2000", "-c", "2", "-m", "50", f"http://127.0.0.1:{port}/x"],
                             capture_output=True, text=True, check=True).stdout
        assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in out
        with http2.Client(port) as client:
            for i in range(60):
                stream = client.open()
                if i % 4 == 0:
                    client.send(http2.frame(http2.RST_STREAM, 0, stream, struct.pack(">I", 8)))
                else:
                    assert client.answer(stream).startswith(b"GET / HTTP/1.1")
    finally:
        running.kill()
