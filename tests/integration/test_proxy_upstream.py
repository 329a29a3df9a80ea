# SPDX-License-Identifier: Apache-2.0
"""PROXY headers to upstreams: of both versions, below TLS, with TLVs that are added or passed on, of health checks and of
connections that nobody downstream asked for; byte by byte beside real Envoy."""

import base64
import contextlib
import re
import socket
import ssl
import struct

import pytest

from support import http1, tls
from support.config import ANY, bootstrap, cluster, direct, hcm, listener, route
from support.envoy import Envoy
from support.listeners import proxy_protocol
from support.pki import Pki
from support.process import Weir, validate
from support.tcp import Client, tcp_proxy
from support.upstream import Upstream, respond

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
SOCKET = ANY + "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
RAW = {"name": "raw", "typed_config": {"@type": ANY + "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}
PER_HOST = ANY + "envoy.config.core.v3.PerHostConfig"


def b64(data):
    return base64.b64encode(data).decode()


def added(*pairs):
    return [{"type": kind, "value": b64(value)} for kind, value in pairs]


def proxied(version="V2", inner=RAW, **config):
    return {"transport_socket": {"name": "proxy", "typed_config": {
        "@type": SOCKET, "config": {"version": version, **config}, "transport_socket": inner}}}


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def v2_header(tlvs=b"", source="1.2.3.4", destination="5.6.7.8", ports=(1000, 2000)):
    body = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack(">HH", *ports) + tlvs
    return SIGNATURE + b"\x21\x11" + struct.pack(">H", len(body)) + body


class Told(Upstream):
    """Reads the PROXY header of each connection, keeps it, then speaks HTTP, or echoes."""

    def __init__(self, context=None, keep=True):
        self.headers = []
        self.keep = keep
        self.context = context
        super().__init__(self._serve_one)

    def _serve_one(self, connection):
        self.headers.append(self._take(connection))
        if self.context:
            connection.socket = self.context.wrap_socket(connection.socket, server_side=True)
        try:
            while (request := connection.read_request()) is not None:
                respond(connection, headers=() if self.keep else [("connection", "close")], body="a body")
                if not self.keep:
                    return
        except (AssertionError, ConnectionError, EOFError):
            pass  # no HTTP: a check's bytes, or a client that went

    @staticmethod
    def _take(connection):
        """Not a byte more: what follows may be TLS."""
        def read(count):
            data = b""
            while len(data) < count:
                more = connection.socket.recv(count - len(data))
                assert more, data
                data += more
            return data
        head = read(16)
        if not head.startswith(b"PROXY"):
            return head + read(struct.unpack(">H", head[14:])[0])
        while not head.endswith(b"\r\n"):
            head += read(1)
        return head


MANY = added((0xE0, b"x" * 40000), (0xE1, b"y" * 30000), (0xE2, b"z"))
# clusters by name: what their PROXY header is configured as
CLUSTERS = {
    "v1": {"version": "V1"}, "v2": {"version": "V2"},
    "all": {"pass_through_tlvs": {"match_type": "INCLUDE_ALL"}},
    "some": {"pass_through_tlvs": {"match_type": "INCLUDE", "tlv_type": [2, 0xE4]}},
    "added": {"added_tlvs": added((0xE0, b"mine"), (2, b"other"), (0xE0, b"again"), (0xEE, b"e")),
              "pass_through_tlvs": {"match_type": "INCLUDE_ALL"}},
    "long": {"added_tlvs": MANY, "pass_through_tlvs": {"match_type": "INCLUDE_ALL"}},
    "host": {"added_tlvs": added((0xE0, b"cluster"), (0xE1, b"cluster"))},
}
TLVS = tlv(2, b"host.test") + tlv(0xE4, b"e4") + tlv(2, b"twice") + tlv(0xE5, b"\0\xff")
CLIENTS = {"plain": b"", "v1 header": b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n", "v2 header": v2_header(TLVS),
           "local header": SIGNATURE + b"\x20\0\0\0", "six": b"PROXY TCP6 2001:db8::1 2001:db8::2 1000 2000\r\n"}


def config(upstreams):
    listeners, clusters = [], []
    for name, options in CLUSTERS.items():
        made = cluster(upstreams[name].port, name=name, **proxied(**options))
        if name == "host":
            made["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["metadata"] = {"typed_filter_metadata": {
                "envoy.transport_sockets.proxy_protocol": {"@type": PER_HOST, "added_tlvs": added((0xE1, b"host"), (0xE3, b"e3"))}}}
        clusters.append(made)
        front = proxy_protocol(allow_requests_without_proxy_protocol=True,
                               pass_through_tlvs={"match_type": "INCLUDE", "tlv_type": [2, 0xE4, 0xE5]})
        listeners.append(listener(hcm([route(cluster=name)], stat_prefix=name), name=name, listener_filters=[front]))
        tcp = listener(None, name=f"tcp {name}", listener_filters=[front])
        tcp["filter_chains"] = [{"filters": [tcp_proxy(name, stat_prefix="t", proxy_protocol_tlvs=added((0xE4, b"tcp")))]}]
        listeners.append(tcp)
    return bootstrap(*listeners, clusters=clusters)


REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def told(proxy, upstreams, prefix, name, start):
    """The header that one client's connection causes, ports of this run named."""
    before = len(upstreams[name].headers)
    port = proxy.listener_port(prefix + name)
    with Client(port) as client:
        own = client.socket.getsockname()[1]
        client.send(start + REQUEST)
        assert client.read(12) == b"HTTP/1.1 200"
    new = upstreams[name].headers[before:]
    assert len(new) == 1, new
    return (new[0].replace(f" {own} {port}\r".encode(), b" CLIENT PROXY\r")
            .replace(struct.pack(">HH", own, port), b"<ports>"))


@contextlib.contextmanager
def running(make, directory):
    upstreams = {name: Told(keep=False) for name in CLUSTERS}
    proxy = None
    try:
        proxy = make(directory, config(upstreams))
        yield proxy, upstreams
    finally:
        if proxy:
            proxy.kill()
        for upstream in upstreams.values():
            upstream.close()


def run_all(make, directory):
    with running(make, directory) as (proxy, upstreams):
        seen = {(prefix, name, who): told(proxy, upstreams, prefix, name, start)
                for prefix in ("", "tcp ") for name in CLUSTERS for who, start in CLIENTS.items()}
        stats = {name: proxy.stats(rf"cluster\.{name}\.upstream\.proxyprotocol") for name in CLUSTERS}
    return seen, stats


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    return run_all(Weir, tmp_path_factory.mktemp("weir"))


def test_as_in_envoy(weir, tmp_path):
    wanted, stats = run_all(Envoy, tmp_path)
    different = {key: (weir[0][key][:200], wanted[key][:200]) for key in wanted if weir[0][key] != wanted[key]}
    assert not different, "\n".join(f"{k}\n  weir  {a}\n  envoy {b}" for k, (a, b) in different.items())
    assert weir[1] == stats


def test_headers(weir):
    seen, stats = weir
    assert seen["", "v1", "plain"] == b"PROXY TCP4 127.0.0.1 127.0.0.1 CLIENT PROXY\r\n"
    assert seen["tcp ", "v1", "six"] == CLIENTS["six"] and seen["", "v1", "v2 header"] == CLIENTS["v1 header"]
    assert seen["", "v2", "v2 header"] == v2_header()
    assert seen["", "some", "v2 header"] == v2_header(tlv(2, b"host.test") + tlv(0xE4, b"e4") + tlv(2, b"twice"))
    assert seen["tcp ", "all", "plain"].endswith(tlv(0xE4, b"tcp")) and tlv(0xE4, b"tcp") not in seen["tcp ", "all", "v2 header"]
    assert seen["", "host", "v1 header"] == v2_header(tlv(0xE1, b"host") + tlv(0xE3, b"e3") + tlv(0xE0, b"cluster"))
    assert seen["", "long", "v1 header"] == v2_header(tlv(0xE0, b"x" * 40000) + tlv(0xE2, b"z"))
    assert list(stats["long"].values()) == [10]


def test_connections_are_not_shared(start):
    """A connection that was made for one client never carries another's request; the same client's does."""
    with Told() as server:
        weir = start(bootstrap(listener(hcm()), clusters=[cluster(server.port, **proxied("V1"))]))
        with http1.Client(weir.port) as one, http1.Client(weir.port) as other:
            for client in (one, other, one):
                assert client.request().text == "a body"
        assert len(server.headers) == 2 and server.headers[0] != server.headers[1]


def test_who_makes_room(start):
    """At max_connections the client that asked the longest ago loses its connection, not the one that came first."""
    limit = {"circuit_breakers": {"thresholds": [{"max_connections": 2}]}}
    with Told() as server:
        weir = start(bootstrap(listener(hcm()), clusters=[cluster(server.port, **proxied("V1"), **limit)]))
        with http1.Client(weir.port) as one, http1.Client(weir.port) as other, http1.Client(weir.port) as third:
            for client in (one, other, one, third, one):
                assert client.request().text == "a body"
        assert len(server.headers) == 3 and len(set(server.headers)) == 3


def checks(kind):
    return {"health_checks": [{"timeout": "5s", "interval": "60s", "unhealthy_threshold": 1, "healthy_threshold": 1, **kind}]}


def test_connections_of_our_own(start):
    """A health check is nobody's client: LOCAL in version 2, the connection's own addresses in version 1."""
    http = checks({"http_health_check": {"path": "/ok"}})
    tcp = checks({"tcp_health_check": {"send": {"text": "6162"}, "receive": [{"text": "61"}],
                                       "proxy_protocol_config": {"version": "V2"}}})

    class Echo(Upstream):
        def __init__(self):
            self.seen = b""
            super().__init__(self._serve_one)

        def _serve_one(self, connection):
            while data := connection.socket.recv(4096):
                self.seen += data
                connection.send(data)

    with Told() as one, Told() as two, Echo() as plain:
        weir = start(bootstrap(listener(hcm([direct()])), clusters=[
            cluster(one.port, name="one", **proxied("V1"), **http), cluster(two.port, name="two", **proxied("V2"), **http),
            cluster(plain.port, name="plain", **tcp)]))
        for name in ("one", "two", "plain"):
            weir.wait_stat(f"cluster.{name}.health_check.success", 1)
        assert re.fullmatch(rb"PROXY TCP4 127.0.0.1 127.0.0.1 \d+ %d\r\n" % one.port, one.headers[0])
        assert two.headers[0] == SIGNATURE + b"\x20\0\0\0"
        assert plain.seen == SIGNATURE + b"\x20\0\0\0ab"


def test_below_tls(start, tmp_path):
    pki = Pki(tmp_path)
    server = pki.make("a.example", issuer=pki.make("root", ca=True))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.pem, server.key)
    inner = tls.upstream({}, sni="a.example")
    with Told(context) as told_server:
        weir = start(bootstrap(listener(hcm()), clusters=[
            cluster(told_server.port, **proxied("V2", inner, added_tlvs=added((0xE0, b"x"))),
                    **checks({"http_health_check": {"path": "/ok"}}))]))
        assert http1.request(weir.port).status == 200
        assert told_server.headers[0] == SIGNATURE + b"\x20\0\0\0"
        assert told_server.headers[1].startswith(SIGNATURE + b"\x21\x11") and told_server.headers[1].endswith(tlv(0xE0, b"x"))


def test_many_endpoints(tmp_path):
    """Each with TLVs of its own: what they take grows with their number, not with its square."""
    many = cluster(1, **proxied("V2"))
    place = many["load_assignment"]["endpoints"][0]
    metadata = {"typed_filter_metadata": {
        "envoy.transport_sockets.proxy_protocol": {"@type": PER_HOST, "added_tlvs": added((0xE1, b"x"))}}}
    place["lb_endpoints"] = [{**place["lb_endpoints"][0], "metadata": metadata}] * 9000
    result = validate(tmp_path, bootstrap(clusters=[many]))
    assert result.returncode == 0, result.stderr


def test_bad_configurations(tmp_path):
    def errors(**fields):
        result = validate(tmp_path, bootstrap(clusters=[cluster(1, **fields)]))
        assert result.returncode != 0
        return result.stderr
    twice = proxied("V1")["transport_socket"]
    assert "validated.json:" in errors(**proxied("V2", twice)) and "says PROXY once more" in errors(**proxied("V2", twice))
    assert "added_tlvs[0].value: is required" in errors(**proxied("V2", added_tlvs=[{"type": 3}]))
    assert "added_tlvs[0].value: has more than the 65535 bytes" in errors(**proxied("V2", added_tlvs=added((1, b"x" * 65536))))
    assert "type" in errors(**proxied("V2", added_tlvs=added((256, b"x"))))
    assert "format_string" in errors(**proxied("V2", added_tlvs=[{"type": 3, "format_string": {"text_format": "x"}}]))
