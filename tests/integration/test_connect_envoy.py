# SPDX-License-Identifier: Apache-2.0
"""CONNECT that ends at the proxy (connect_config), through real Envoy and through Weir: what both ends see, the access log
and the statistics."""

import re
import socket
import struct

import pytest

from support import http2
from support.config import ANY, bootstrap, cluster, hcm, listener, route
from support.envoy import Envoy
from support.process import Weir, wait_until
from support.tcp import Client
from support.upstream import Upstream, refused_port

LOG = ("LOG %PROTOCOL% %REQ(:METHOD)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% "
       "%UPSTREAM_TRANSPORT_FAILURE_REASON%\n")
CONNECT = [{"upgrade_type": "CONNECT"}]


def ends_here(**fields):
    return [{"upgrade_type": "CONNECT", "connect_config": fields}]


def hosts():
    def host(name, match, **action):
        return {"name": name, "domains": [name, name + ":1"], "routes": [route(match, **action)]}
    tunnel = {"connect_matcher": {}}
    return [
        host("tunnel", tunnel, upgrade_configs=ends_here()),
        host("v1", tunnel, upgrade_configs=ends_here(proxy_protocol_config={})),
        host("v2", tunnel, upgrade_configs=ends_here(proxy_protocol_config={"version": "V2"})),
        host("dead", tunnel, cluster="dead", upgrade_configs=ends_here(), retry_policy={"retry_on": "connect-failure"}),
        host("empty", tunnel, cluster="empty", upgrade_configs=ends_here()),
        host("full", tunnel, cluster="full", upgrade_configs=ends_here()),
        host("post", "/", upgrade_configs=ends_here(allow_post=True, proxy_protocol_config={})),
        host("nopost", "/", cluster="dead", upgrade_configs=ends_here()),
        host("off", tunnel, upgrade_configs=[{**ends_here()[0], "enabled": False}]),
        host("forwards", tunnel, cluster="dead"),
    ]


def config(port, dead):
    log = [{"name": "log", "typed_config": {"@type": ANY + "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
                                            "log_format": {"text_format_source": {"inline_string": LOG}}}}]
    def one(name, **fields):
        return listener(hcm(virtual_hosts=hosts(), stat_prefix=name, access_log=log, **fields), name=name)
    return bootstrap(
        one("front", upgrade_configs=CONNECT), one("route_only"),
        clusters=[cluster(port), cluster(dead, name="dead"), cluster(name="empty"),
                  cluster(port, name="full", circuit_breakers={"thresholds": [{"max_pending_requests": 0}]})])


class Server(Upstream):
    """Does what the words it gets say, says a last one at their end, and keeps what it got."""

    def __init__(self):
        self.ends = []
        super().__init__(self._serve_one)

    def _serve_one(self, connection):
        seen = b""
        try:
            if connection.socket.recv(1, socket.MSG_PEEK) == b"P":
                seen = connection.read_until(b"\n")
            elif connection.socket.recv(1, socket.MSG_PEEK) == b"\r":
                seen = connection.read_exactly(28)
            while data := connection.buffer or connection.socket.recv(1 << 16):
                connection.buffer = bytearray()
                seen += data
                if data.endswith(b"reset"):
                    self.ends.append(seen)
                    return connection.reset()
                if data.endswith(b"bye"):
                    connection.send(b"good bye")
                    break
                connection.send(data)
            else:
                connection.send(b"tail")
            self.ends.append(seen)
        except (ConnectionResetError, BrokenPipeError):
            self.ends.append(seen + b" RESET")


def line(method="CONNECT", target="tunnel:1", *more):
    host = target if method == "CONNECT" else more[0]
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"host: {host}", *more[1:], "", ""]).encode()


def plain(head):
    """The head of an answer without what differs from run to run."""
    lines = [one for one in head.decode().split("\r\n") if not re.match("date|server|x-envoy-upstream-service", one)]
    return sorted(lines)


def over_http1(port, head, *words, end=None):
    with Client(port) as client:
        client.send(head)
        got = b""
        while not got.endswith(b"\r\n\r\n"):
            got += client.read(1)
        answer = plain(got)
        length = re.search(rb"content-length: (\d+)", got)
        if length:
            return answer, client.read(int(length[1]))
        payload = b""
        try:
            for word in words:
                client.send(word)
                payload += client.read(len(word)) if word not in (b"bye", b"reset") else b""
            if end == "reset":
                client.reset()
                return answer, payload
            if end == "shut":
                client.end()
            payload += client.rest()
        except ConnectionResetError:
            return answer, payload + b" RESET"
        return answer, payload


def over_http2(port, host, *words, end=None, method="CONNECT"):
    more = () if method == "CONNECT" else ((":scheme", "http"), (":path", "/"))
    with http2.Client(port) as client:
        stream = client.open(http2.fields((":method", method), *more, (":authority", host)), end=end == "at once")
        for i, word in enumerate(words):
            last = end == "shut" and i + 1 == len(words)
            client.send(http2.frame(http2.DATA, http2.END_STREAM if last else 0, stream, word))
        got, wanted = b"", sum(map(len, words))
        if end == "reset":
            while len(got) < wanted:
                got += client.read_until(lambda f: f.type == http2.DATA)[-1].payload
            client.send(http2.frame(http2.RST_STREAM, 0, stream, struct.pack(">I", 8)))
            return got
        frames = client.read_until(lambda f: f is None or (f.stream == stream and
                                                           (f.type == http2.RST_STREAM or f.flags & http2.END_STREAM)))
        got += b"".join(f.payload for f in frames if f and f.type == http2.DATA)
        return got, frames[-1] and http2.RST_STREAM == frames[-1].type and f"RST {frames[-1].code}"


# What is done, and whether the upstream hears of it.
STEPS = [
    ("front", over_http1, (line(), b"abc", b"defg"), {"end": "shut"}, True),
    ("front", over_http1, (line(), b"abc", b"bye"), {}, True),
    ("front", over_http1, (line(), b"abc", b"reset"), {}, True),
    ("front", over_http1, (line(), b"abc"), {"end": "reset"}, True),
    ("front", over_http1, (line(target="v1:1"), b"bye"), {}, True),
    ("front", over_http1, (line(target="v2:1"), b"bye"), {}, True),
    ("front", over_http1, (line() + b"early bye",), {}, True),
    ("front", over_http1, (line(target="dead:1"),), {}, False),
    ("front", over_http1, (line(target="empty:1"),), {}, False),
    ("front", over_http1, (line(target="full:1"),), {}, False),
    ("front", over_http1, (line("POST", "/", "post", "connection: close", "content-length: 3") + b"bye",), {}, True),
    ("front", over_http1, (line("POST", "/", "nopost", "content-length: 3") + b"abc",), {}, False),
    ("front", over_http1, (line(target="off:1"),), {}, False),
    ("front", over_http1, (line(target="forwards:1"),), {}, False),
    ("front", over_http1, (line(target="nobody:1"),), {}, False),
    ("route_only", over_http1, (line(), b"bye"), {}, True),
    ("route_only", over_http1, (line(target="forwards:1"),), {}, False),
    ("front", over_http2, ("tunnel:1", b"abc", b"defg"), {"end": "shut"}, True),
    ("front", over_http2, ("tunnel:1", b"bye"), {}, True),
    ("front", over_http2, ("tunnel:1", b"reset"), {}, True),
    ("front", over_http2, ("tunnel:1", b"abc"), {"end": "reset"}, True),
    ("front", over_http2, ("tunnel:1",), {"end": "at once"}, True),
    ("front", over_http2, ("v1:1", b"abc"), {"end": "shut"}, True),
    ("front", over_http2, ("v2:1",), {"end": "at once"}, True),
    ("front", over_http2, ("dead:1",), {}, False),
    ("front", over_http2, ("post", b"abc"), {"end": "shut", "method": "POST"}, True),
    ("front", over_http2, ("post",), {"end": "at once", "method": "POST"}, True),
    ("route_only", over_http2, ("tunnel:1", b"bye"), {}, True),
    ("route_only", over_http2, ("forwards:1",), {}, False),
]


def run(make, directory):
    holder, dead = refused_port()
    with Server() as server:
        proxy = make(directory, config(server.port, dead), concurrency=1)
        results = []
        try:
            for i, (name, how, arguments, options, told) in enumerate(STEPS):
                ended = len(server.ends)
                got = how(proxy.listener_port(name), *arguments, **options)
                if told:
                    wait_until(lambda: len(server.ends) > ended, "the upstream's end")
                count = len(results) + 1
                wait_until(lambda: len(re.findall("^LOG .*$", proxy.log(), re.M)) == count, "the log line")
                results.append((i, STEPS[i][2:], got, server.ends[-1] if told else None,
                                re.findall("^LOG .*$", proxy.log(), re.M)[-1]))
            for gauge in ("cluster.upstream.upstream", "http.front.downstream", "http.route_only.downstream"):
                proxy.wait_stat(gauge + "_cx_active", 0)
            stats = proxy.stats()
        finally:
            proxy.stop() if isinstance(proxy, Envoy) else proxy.kill()
    holder.close()
    return results, stats


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    envoy = run(Envoy, tmp_path_factory.mktemp("envoy"))
    return envoy, run(Weir, tmp_path_factory.mktemp("weir"))


def same(result):
    """PROXY headers name the client's port."""
    index, step, got, seen, log = result
    if seen:
        seen = re.sub(rb"127\.0\.0\.1 127\.0\.0\.1 \d+ \d+", b"A", seen)
        seen = re.sub(rb"(?s)(\x7f\0\0\x01\x7f\0\0\x01)....", rb"\1", seen)
    return index, step, got, seen, log


def test_both_ends_and_the_log_see_the_same(both):
    envoy, weir = both
    for theirs, ours in zip(envoy[0], weir[0]):
        assert same(ours) == same(theirs)


def test_same_statistics(both):
    wanted = re.compile(r"cluster\.[a-z]+\.upstream_(cx|rq)_.*|http\.(front|route_only)\.downstream_(rq|cx)_.*")
    unlike = re.compile(r"_bytes_(buffered|total)|drain_close|_length_|_ms$|_time$|downstream_cx_destroy|delayed_close|"
                        r"downstream_rq_(rx_reset|response_before)")  # of both proxies' own resets, or how they close
    envoy, weir = both
    for name, value in envoy[1].items():
        if wanted.match(name) and not unlike.search(name) and value:
            assert weir[1].get(name) == value, name
