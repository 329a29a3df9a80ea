# SPDX-License-Identifier: Apache-2.0
"""Streams that wait for something, and what else may happen to them meanwhile: each must come to its end."""

import signal
import threading
import time

import pytest

from support import http1
from support.config import direct, simple, wasm
from support.upstream import respond


def parked(weir, headers, body):
    """A request that comes in the same turn as the trap of the one before it: it waits for the next VM."""
    client = http1.Client(weir.port)
    first = http1.format_request("GET", "/trap", {"x-hostile": "trap:on_request_headers"})
    client.send(first + http1.format_request("POST", "/parked", headers, body))
    assert client.response().status == 503
    return client


@pytest.mark.parametrize("stop_iteration", [False, True])
def test_a_request_that_waited_for_a_vm_may_stop_at_its_headers(start, upstream, stop_iteration):
    """With allow_on_headers_stop_iteration the body still comes to the plugin, also after the wait."""
    fields = {"allow_on_headers_stop_iteration": True} if stop_iteration else {}
    weir = start(simple(upstream().port, filters=[wasm("hostile", "", **fields)]))
    headers = {"x-hostile": "pause:on_request_headers"} if stop_iteration else {}
    with parked(weir, headers, "some body") as client:
        response = client.response()
    assert (response.status, response.text.splitlines()[-1]) == (200, "some body")


def test_a_paused_local_reply_is_not_mixed_with_the_upstreams_answer(start, upstream):
    """The plugin answers in place of an upstream that has the request already, and holds its answer back."""
    def late(connection):
        connection.read_head()
        connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        connection.read_until(b"never")

    probe = wasm("probe", "@configure tick 300; @tick effective 2; @tick continue 1")
    weir = start(simple(upstream(late).port, filters=[probe]))
    with http1.Client(weir.port) as client:
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n"
                    "x-probe: @request_body reply 418 local; @response_headers pause\r\n\r\n")
        client.send("one")
        response = client.response()
        assert (response.status, response.text) == (418, "local")
        weir.wait_stat("http.front.downstream_rq_active", 0)


def test_a_plugin_that_stops_everything_cannot_keep_a_stream_for_ever(start, upstream):
    """The idle timeout's own answer is stopped too: the stream ends at the next one."""
    weir = start(simple(upstream().port, filters=[wasm("probe")], stream_idle_timeout="0.3s"))
    with http1.Client(weir.port) as client:
        client.send(http1.format_request("GET", "/", {"x-probe": "pause; @response_headers pause"}))
        try:
            assert client.response().status in (408, 504)
        except http1.Closed:
            pass
    weir.wait_stat("http.front.downstream_rq_active", 0)


def test_draining_listeners_does_not_forget_a_drain_for_the_end(start, upstream):
    held = threading.Event()

    def handler(connection):
        connection.read_request()
        held.wait(30)
        respond(connection, body="late")

    weir = start(simple(upstream(handler).port), "--drain-time-s", 100)
    with http1.Client(weir.port) as client:
        client.send(http1.format_request("GET", "/"))
        weir.wait_stat("cluster.upstream.upstream_rq_active", 1)
        weir.signal(signal.SIGTERM)
        weir.wait_log("draining")
        assert weir.admin("/drain_listeners?graceful", "POST").status == 200
        before = time.monotonic()
        held.set()
        assert client.response().status == 200
    assert weir.wait() == 0
    assert time.monotonic() - before < 60


@pytest.mark.tsan
def test_the_proxy_ends_while_a_vm_is_made(start):
    """The thread that makes it looks at the plugins that go."""
    slow = wasm("hostile", " ".join(["spin:on_configure"] * 4))
    for _ in range(2):
        weir = start(simple(routes=[direct()], filters=[slow]), policy={"rules": [{"worker_time_percent_max": 100, "start_time_max": "10s"}]})
        assert http1.request(weir.port, headers={"x-hostile": "trap:on_request_headers"}).status == 503
        weir.stop()


def test_a_plugin_that_empties_a_full_buffer_gets_more(start, upstream):
    """The sender was held back above the limit; what the plugin takes out from a timer lets it go on."""
    probe = wasm("probe", "@configure tick 20; @tick effective 2; @tick buffer_replace 0 -")
    weir = start(simple(upstream().port, filters=[probe]))
    size = 24 << 20  # more than sockets hold
    with http1.Client(weir.port) as client:
        client.send(http1.format_request("POST", "/", {"x-probe": "@request_body pause 2", "content-length": size}))
        client.send(b"x" * size)
