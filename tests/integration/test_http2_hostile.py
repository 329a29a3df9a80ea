# SPDX-License-Identifier: Apache-2.0
"""Clients that abuse HTTP/2: the connection ends, memory stays bounded, others notice nothing."""

import struct
import threading

import pytest

from support import http2
from support.config import direct, route, simple
from support.upstream import respond

RSS_GROWTH_MAX = 48 << 20


class Bystander(threading.Thread):
    """A well-behaved client on a connection of its own, for as long as the attack lasts."""

    def __init__(self, port):
        super().__init__()
        self.client, self.stop, self.answers, self.error = http2.Client(port), False, 0, None
        self.client.send(http2.frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
        self.start()

    def run(self):
        try:
            while not self.stop:
                assert self.client.answer(self.client.open(http2.request("/"))) == b"direct"
                self.answers += 1
        except BaseException as error:  # reported by the main thread
            self.error = error

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop = True
        self.join()
        self.client.close()
        if kind is None:
            assert self.error is None, self.error
            assert self.answers > 0


@pytest.fixture
def weir(start):
    return start(simple())


def attack(weir, send, stat=None, code=None, seconds=60):
    """send(client) goes on until the peer closes or it has sent all that it wants."""
    before = weir.rss_bytes()
    with Bystander(weir.port):
        with http2.Client(weir.port) as client:
            send(client)
            last = client.closed_within(seconds)
    assert weir.rss_bytes() - before < RSS_GROWTH_MAX
    if stat:
        assert weir.stats(stat.split(".")[-1])[stat] >= 1
    if code is not None and last is not True:
        assert last.code == code
    weir.wait_stat("http2.streams_active", 0)


def repeat(client, data, times=400):
    for _ in range(times):
        if not client.try_send(data):
            return


def test_rapid_reset(weir):
    def send(client):
        stream = 1
        while stream < 1 << 20:
            batch = b""
            for _ in range(50):
                batch += http2.frame(http2.HEADERS, 5, stream, http2.request("/"))
                batch += http2.frame(http2.RST_STREAM, 0, stream, struct.pack(">I", 8))
                stream += 2
            if not client.try_send(batch):
                return

    attack(weir, send, "http.front.downstream_rq_too_many_premature_resets")


def test_rapid_reset_of_proxied_requests(start, upstream):
    """Streams that reached the upstream are given up there too."""
    weir = start(simple(upstream(lambda c: c.read_request() and None).port, routes=[direct(match="/direct"), route()]))
    with http2.Client(weir.port) as client:
        stream = 1
        for _ in range(500):
            data = http2.frame(http2.HEADERS, 5, stream, http2.request("/"))
            if not client.try_send(data + http2.frame(http2.RST_STREAM, 0, stream, struct.pack(">I", 8))):
                break
            stream += 2
        client.closed_within(30)
    weir.wait_stat("cluster.upstream.upstream_rq_active", 0)
    assert weir.stats("premature")["http.front.downstream_rq_too_many_premature_resets"] == 1


def test_cancelling_now_and_then_is_fine(start, upstream):
    weir = start(simple(upstream().port))
    with http2.Client(weir.port) as client:
        for i in range(200):
            stream = client.open()
            if i % 3 == 0:
                client.send(http2.frame(http2.RST_STREAM, 0, stream, struct.pack(">I", 8)))
            else:
                assert client.answer(stream).startswith(b"GET / HTTP/1.1")


def test_continuation_flood(weir):
    def send(client):
        client.send(http2.frame(http2.HEADERS, 0, 1, http2.request("/")))
        repeat(client, http2.frame(http2.CONTINUATION, 0, 1, http2.fields(("a", "b" * 1000))), 100000)

    attack(weir, send)


def test_empty_continuations(weir):
    def send(client):
        client.send(http2.frame(http2.HEADERS, 0, 1, http2.request("/")))
        repeat(client, http2.frame(http2.CONTINUATION, 0, 1) * 1000)

    attack(weir, send)


def test_header_list_is_bounded(weir):
    """One small reference after the other to a big entry of the table: the compressed form is tiny."""
    with http2.Client(weir.port) as client:
        big = b"\x40" + http2.fields(("x-big", "v" * 3500))[1:]
        client.send(http2.frame(http2.HEADERS, 4 | 1, 1, http2.request("/") + big + b"\xbe" * 1500))
        frames = client.read_until(lambda f: f.type == http2.RST_STREAM)
        assert frames[-1].stream == 1
        client.next_stream = 3
        assert client.answer(client.open()) == b"direct"
    assert weir.stats("header_overflow")["http2.header_overflow"] == 1


def test_ping_flood_without_reading(weir):
    ping = http2.frame(http2.PING, 0, 0, b"12345678") * 1000
    attack(weir, lambda c: repeat(c, ping, 4000), "http2.outbound_control_flood")


def test_settings_flood_without_reading(weir):
    settings = http2.frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 1000
    attack(weir, lambda c: repeat(c, settings, 4000), "http2.outbound_control_flood")


def test_empty_data_flood(weir):
    def send(client):
        client.open(http2.request("/", "POST"), end=False)
        repeat(client, http2.frame(http2.DATA, 0, 1) * 1000)

    attack(weir, send, "http2.inbound_empty_frames_flood", http2.ENHANCE_YOUR_CALM)


def test_priority_flood(weir):
    priority = http2.frame(http2.PRIORITY, 0, 1, struct.pack(">IB", 0, 16)) * 1000
    attack(weir, lambda c: repeat(c, priority), "http2.inbound_priority_frames_flood", http2.ENHANCE_YOUR_CALM)


def test_window_update_flood(weir):
    update = http2.frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 1000
    attack(weir, lambda c: repeat(c, update), "http2.inbound_window_update_frames_flood", http2.ENHANCE_YOUR_CALM)


def test_closed_windows_hold_little_memory(start, upstream):
    """Every answer is bigger than what the client takes; nothing of it may pile up."""
    body = b"x" * (4 << 20)
    up = upstream(lambda c: c.read_request() and respond(c, body=body))
    weir = start(simple(up.port))
    before = weir.rss_bytes()
    with http2.Client(weir.port, settings=struct.pack(">HI", 4, 0)) as client:
        for _ in range(40):
            client.open()
        seen = set()
        client.read_until(lambda f: f.type == http2.HEADERS and (seen.add(f.stream) or len(seen) == 40))
        assert weir.rss_bytes() - before < RSS_GROWTH_MAX
        # A client that opens its windows gets everything.
        client.send(http2.frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 4, (1 << 31) - 1)))
        client.send(http2.frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 1 - 65535)))
        sizes, ended = {}, 0
        while ended < 40:
            frame = client.read()
            if frame.type == http2.DATA:
                sizes[frame.stream] = sizes.get(frame.stream, 0) + len(frame.payload)
                ended += frame.flags & http2.END_STREAM
        assert list(sizes.values()) == [len(body)] * 40
    weir.wait_stat("http2.streams_active", 0)


def test_client_that_reads_nothing(start, upstream):
    up = upstream(lambda c: c.read_request() and respond(c, body=b"x" * (1 << 20)))
    weir = start(simple(up.port))
    before = weir.rss_bytes()
    settings = struct.pack(">HI", 4, (1 << 31) - 1)
    with http2.Client(weir.port, settings=settings, receive_bytes=4096) as client:
        client.send(http2.frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 1 - 65535)))
        client.socket.settimeout(1)
        try:
            for stream in range(1, 2000, 2):
                client.send(http2.frame(http2.HEADERS, 5, stream, http2.request("/")))
        except TimeoutError:
            pass  # it is not read from any more
        assert weir.rss_bytes() - before < RSS_GROWTH_MAX + (32 << 20)
    weir.wait_stat("http2.streams_active", 0)


def test_more_streams_than_allowed(start, upstream):
    gate = threading.Event()
    up = upstream(lambda c: c.read_request() and gate.wait(30) and respond(c, body=b"ok"))
    weir = start(simple(up.port, http2_protocol_options={"max_concurrent_streams": 5}))
    with http2.Client(weir.port) as client:
        client.read_until(lambda f: f.type == http2.SETTINGS)
        for _ in range(8):
            client.open()
        frames = client.read_until(lambda f: f.type in (http2.RST_STREAM, http2.GOAWAY))
        assert frames[-1].code in (7, 1)  # REFUSED_STREAM, or PROTOCOL_ERROR once SETTINGS were acknowledged
        gate.set()


@pytest.mark.parametrize("fields", [
    [(":method", "GET"), (":path", "/")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a b")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "u@h")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/ HTTP/1.1\r\nx: y"), (":authority", "a")],
    [(":method", "GE T"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("x", "a\r\nb: c")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("x y", "a")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("X", "a")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("connection", "close")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("transfer-encoding", "chunked")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("content-length", "1"),
     ("content-length", "2")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("te", "gzip")],
    [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
])
def test_messages_that_are_none(weir, fields):
    with http2.Client(weir.port) as client:
        client.open(http2.fields(*fields))
        last = client.closed_within(60)
        assert last is True or last.code == http2.PROTOCOL_ERROR
    assert weir.stats("rx_messaging")["http2.rx_messaging_error"] == 1


def test_a_bad_message_can_cost_its_stream_only(start):
    weir = start(simple(http2_protocol_options={"override_stream_error_on_invalid_http_message": True}))
    with http2.Client(weir.port) as client:
        client.open(http2.request("/", "GET", ("connection", "close")))
        frames = client.read_until(lambda f: f.type == http2.RST_STREAM)
        assert (frames[-1].stream, frames[-1].code) == (1, http2.PROTOCOL_ERROR)
        assert client.answer(client.open()) == b"direct"
