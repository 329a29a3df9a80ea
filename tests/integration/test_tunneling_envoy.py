# SPDX-License-Identifier: Apache-2.0
"""TCP connections through tunnels (tunneling_config) of real Envoy and of Weir: what both ends see, the requests that open
the tunnels, access logs and statistics. The other end is Weir with connect_config, or bytes by hand."""

import hashlib
import re

import pytest

from support.config import ANY, HTTP2_UPSTREAM, bootstrap, cluster, direct, hcm, http_options, route
from support.config import listener as http_listener
from support.envoy import Envoy
from support.process import Weir, wait_until
from support.tcp import Client, listener, pattern_digest, send_in_background, stdout_log, tcp_proxy
from support.upstream import Upstream, refused_port

LOG = stdout_log("LOG %ACCESS_LOG_TYPE% flags=%RESPONSE_FLAGS% rx=%BYTES_RECEIVED% tx=%BYTES_SENT% code=%RESPONSE_CODE% "
                 "attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% why=%UPSTREAM_TRANSPORT_FAILURE_REASON% "
                 "head=%FILTER_STATE(envoy.tcp_proxy.propagate_response_headers:TYPED)% "
                 "plain=%FILTER_STATE(envoy.tcp_proxy.propagate_response_headers:PLAIN)% "
                 "end=%FILTER_STATE(envoy.tcp_proxy.propagate_response_trailers:TYPED)%")
ENDS_HERE = [{"upgrade_type": "CONNECT", "connect_config": {"allow_post": True}}]
H1_TRAILERS = http_options(explicit_http_config={"http_protocol_options": {"enable_trailers": True}})
REQUEST_ID = {"typed_config": {"@type": ANY + "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"}}


def far_end(port):
    """A proxy whose tunnels end at `port`."""
    seen = stdout_log("TUNNEL %PROTOCOL% %REQ(:METHOD)% %REQ(:AUTHORITY)% %REQ(:PATH)% %REQ(:SCHEME)% %REQ(X-SAYS)%")
    to = {"upgrade_configs": ENDS_HERE}
    hosts = [{"name": "no", "domains": ["no:1"], "routes": [direct(403, match={"connect_matcher": {}})]},
             {"name": "odd", "domains": ["odd:1"], "routes": [direct(201, match={"connect_matcher": {}})]},
             {"name": "all", "domains": ["*"], "routes": [route({"connect_matcher": {}}, **to), route("/", **to)]}]
    return bootstrap(http_listener(hcm(virtual_hosts=hosts, access_log=[seen], upgrade_configs=[{"upgrade_type": "CONNECT"}])),
                     clusters=[cluster(port)])


def by_hand(connection):
    """An HTTP/1 proxy that says what it is asked for."""
    head = connection.read_until(b"\r\n\r\n")
    connection.server.heads.append(head)
    if b"x-answer: trailers" in head:
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-end: here\r\n\r\n")
        return
    if b"x-answer: 204" in head:
        connection.send(b"HTTP/1.1 204 Fine\r\nX-Mixed: A\r\nx-mixed: b\r\n\r\n")
    if b"x-answer: short" in head:
        return
    if b"x-answer: nonsense" in head:
        connection.send(b"SSH-2.0-here\r\n\r\n")
    while data := connection.buffer or connection.socket.recv(1000):
        connection.buffer = bytearray()
        connection.send(data)


class ByHand(Upstream):
    def __init__(self):
        self.heads = []
        super().__init__(self._handle)

    def _handle(self, connection):
        connection.server = self
        by_hand(connection)


def talk(connection):
    """Echoes, until it is told to say good bye."""
    while data := connection.socket.recv(1 << 16):
        if data.endswith(b"bye"):
            connection.send(b"good bye")
            return
        connection.send(data)


def add(**headers):
    return [{"header": {"key": key.replace("_", "-"), "value": value}} for key, value in headers.items()]


def config(far_port, hand_port, dead):
    def one(name, to=None, tunnel=None, **fields):
        return listener(tcp_proxy(to or name, stat_prefix=name, access_log=[LOG], max_connect_attempts=2,
                                  tunneling_config={"hostname": "host:1", **(tunnel or {})}, **fields), name=name)
    hand = dict(to="hand", tunnel={})
    says = add(X_Says="%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")
    return bootstrap(
        one("h1", tunnel={"headers_to_add": says}), one("h2", tunnel={"headers_to_add": says}),
        one("post1", "h1", {"use_post": True}), one("post2", "h2", {"use_post": True, "post_path": "/a?b", "headers_to_add": says}),
        one("no1", "h1", {"hostname": "no:1"}), one("no2", "h2", {"hostname": "no:1"}),
        one("odd2", "h2", {"hostname": "odd:1"}),
        one("hand", tunnel={"hostname": "%REQUESTED_SERVER_NAME%.%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%:1",
                            "propagate_response_headers": True, "headers_to_add": add(x_answer="204")},
            access_log_options={"flush_access_log_on_connected": True}),
        one("end", "trailing", {"use_post": True, "propagate_response_trailers": True, "headers_to_add": add(x_answer="trailers")}),
        one("short", "hand", {"headers_to_add": add(x_answer="short"), "propagate_response_headers": True}),
        one("nonsense", "hand", {"headers_to_add": add(x_answer="nonsense")}),
        one("id", "hand", {"headers_to_add": add(x_answer="204"), "request_id_extension": REQUEST_ID}),
        one("dead"), one("empty"), one("full"), one("missing"),
        clusters=[cluster(far_port, name="h1"), cluster(far_port, name="h2", **HTTP2_UPSTREAM), cluster(hand_port, name="hand"),
                  cluster(hand_port, name="trailing", **H1_TRAILERS), cluster(dead, name="dead"), cluster(name="empty"),
                  cluster(hand_port, name="full", circuit_breakers={"thresholds": [{"max_pending_requests": 0}]})])


# Which listener, what is said, whether the client ends.
STEPS = [("h1", b"abc", True), ("h1", b"bye", False), ("h2", b"abc", True), ("h2", b"bye", False), ("post1", b"abc", False),
         ("post2", b"abc", True), ("post2", b"bye", False), ("no1", None, False), ("no2", None, False), ("odd2", None, False),
         ("hand", b"abc", True), ("short", None, False), ("nonsense", None, False), ("id", b"abc", True),
         ("dead", None, False), ("empty", None, False), ("full", None, False), ("missing", None, False)]


def exchange(proxy, name, data, end):
    with Client(proxy.listener_port(name)) as client:
        got = b""
        try:
            if data is not None:
                client.send(data)
                if not data.endswith(b"bye"):
                    got = client.read(len(data))
                    if not end:
                        return got
                    client.end()
            return got + client.rest()
        except ConnectionResetError:
            return got + b" RESET"


def lines(proxy, mark):
    return [line[line.index(mark):] for line in proxy.log().splitlines() if mark in line]


def run(make, directory):
    holder, dead = refused_port()
    with Upstream(talk) as server, ByHand() as hand:
        far = Weir(directory / "far", far_end(server.port), concurrency=1)
        try:
            proxy = make(directory, config(far.port, hand.port, dead), concurrency=1)
        except BaseException:  # there is no Envoy here: the test is skipped
            far.kill()
            raise
        try:
            results = []
            for i, (name, data, end) in enumerate(STEPS):
                results.append((name, exchange(proxy, name, data, end)))
                wait_until(lambda: sum("TcpConnectionEnd" in line for line in lines(proxy, "LOG ")) == i + 1, f"the log of {name}")
            opened = sum(name in ("h1", "h2", "post1", "post2") for name, _, _ in STEPS) + 5  # and tries that were refused
            wait_until(lambda: len(lines(far, "TUNNEL")) >= opened, "the far end's log")
            logs, tunnels, stats = lines(proxy, "LOG "), lines(far, "TUNNEL"), proxy.stats()
        finally:
            proxy.stop() if isinstance(proxy, Envoy) else proxy.kill()
            far.kill()
    holder.close()
    return {"results": results, "logs": logs, "tunnels": tunnels, "stats": stats, "heads": hand.heads}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    envoy = run(Envoy, tmp_path_factory.mktemp("envoy"))
    return envoy, run(Weir, tmp_path_factory.mktemp("weir"))


def test_both_ends_see_the_same(both):
    envoy, weir = both
    assert weir["results"] == envoy["results"]


def test_same_requests(both):
    def normal(run):
        return [re.sub(rb"x-request-id: [0-9a-f-]{36}", b"x-request-id: ID", head) for head in run["heads"]]
    envoy, weir = both
    assert sorted(weir["tunnels"]) == sorted(envoy["tunnels"])
    assert len(weir["tunnels"]) >= 10
    assert normal(weir) == normal(envoy)
    assert any(b"x-request-id: ID" in head for head in normal(weir))


def test_same_logs(both):
    """How many bytes had gone when the other side's end arrived is a matter of time."""
    envoy, weir = both
    assert weir["logs"] == envoy["logs"]


def test_same_statistics(both):
    wanted = re.compile(r"tcp\..*(?<!_buffered)$|cluster\.\w+\.upstream_(cx_(total|active|connect_fail|connect_attempts|none|http)|"
                        r"rq_(total|active|pending_(total|overflow|failure)))")
    unlike = re.compile(r"_bytes_buffered|drain_close|early_data|route_delayed|max_requests")
    envoy, weir = both
    for name, value in envoy["stats"].items():
        if wanted.match(name) and not unlike.search(name) and value:
            assert weir["stats"].get(name) == value, name


def test_trailers_become_filter_state(tmp_path):
    """Envoy keeps such a connection when the answer ends before the request has, until it is idle."""
    with ByHand() as hand:
        weir = Weir(tmp_path, config(1, hand.port, 1), concurrency=1)
        with Client(weir.listener_port("end")) as client:
            assert client.rest() == b"abc"
        weir.wait_log(r'LOG TcpConnectionEnd flags=- rx=0 tx=3 .* end={"headers":\[{"key":"x-end","value":"here"}\]}')
        weir.stop()


def test_large_and_both_ways(tmp_path):
    """Much in both directions at once, over one HTTP/2 connection; then the client's end reaches the upstream, and what
    that says afterwards still arrives, over HTTP/1 too (there Envoy closes)."""
    blocks = 64

    def handler(connection):
        count = 0
        while data := connection.socket.recv(1 << 16):
            count += len(data)
            connection.send(data)
        connection.send(b"got %d" % count)

    def opened(connection):
        connection.read_until(b"\r\n\r\n")
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        connection.send(connection.buffer)
        handler(connection)
    with Upstream(handler) as server, Upstream(opened) as hand:
        far = Weir(tmp_path / "far", far_end(server.port), concurrency=1)
        weir = Weir(tmp_path / "near", config(far.port, hand.port, 1), concurrency=1)
        try:
            for name in ("hand", "h2", "post1", "post2"):
                with Client(weir.listener_port(name)) as client:
                    sender = send_in_background(client.socket, blocks)
                    data = client.rest()
                    sender.join()
                end = b"got %d" % (blocks << 16)
                assert data.endswith(end) and len(data) == (blocks << 16) + len(end), name
                assert (blocks << 16, hashlib.sha256(data[:-len(end)]).hexdigest()) == pattern_digest(blocks)
            assert weir.stats()["cluster.h2.upstream_cx_total"] == 1
            for name in ("hand", "h2", "h1"):
                weir.wait_stat(f"cluster.{name}.upstream_rq_active", 0)
        finally:
            weir.stop()
            far.stop()
