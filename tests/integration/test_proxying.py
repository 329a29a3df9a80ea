# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 through the proxy: the ordinary things."""

import pytest

from support import http1
from support.config import direct, http_options, route, simple
from support.upstream import respond


@pytest.mark.tsan
def test_direct_response(start):
    weir = start(simple())
    response = http1.request(weir.port)
    assert (response.status, response.text) == (200, "direct")
    assert response.get("server") == "envoy"
    assert response.get("content-length") == "6"
    assert response.get("date")


@pytest.mark.tsan
def test_proxied_request_and_headers(start, upstream):
    weir = start(simple(upstream().port), concurrency=2)
    response = http1.request(weir.port, "POST", "/a?b=c", {"X-Mixed-Case": "Va Lue"}, "hello", host="example.com")
    lines = response.text.split("\n")
    assert lines[0] == "POST /a?b=c HTTP/1.1"
    assert "host: example.com" in lines
    assert "x-mixed-case: Va Lue" in lines
    assert "content-length: 5" in lines
    assert any(line.startswith("x-request-id: ") for line in lines)
    assert "x-envoy-expected-rq-timeout-ms: 15000" in lines
    assert "x-forwarded-proto: http" in lines
    assert lines[-1] == "hello"
    assert response.get("x-envoy-upstream-service-time") is not None


def test_connections_are_reused_on_both_sides(start, upstream):
    up = upstream()
    weir = start(simple(up.port))
    with http1.Client(weir.port) as client:
        for i in range(50):
            assert client.request(path=f"/{i}").status == 200
    assert up.connections == 1
    stats = weir.stats("upstream_cx_total|downstream_cx_total|downstream_rq_total")
    assert stats["cluster.upstream.upstream_cx_total"] == 1
    assert stats["http.front.downstream_cx_total"] == 1
    assert stats["http.front.downstream_rq_total"] == 50


def test_pipelining_keeps_order(start, upstream):
    weir = start(simple(upstream().port))
    with http1.Client(weir.port) as client:
        client.send(b"".join(http1.format_request(path=f"/{i}") for i in range(20)))
        for i in range(20):
            assert client.response().text.startswith(f"GET /{i} HTTP/1.1")


def test_chunked_both_ways(start, upstream):
    def handler(connection):
        request = connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for byte in request.body:
            connection.send(b"1\r\n" + bytes([byte]) + b"\r\n")
        connection.send(b"0\r\n\r\n")

    weir = start(simple(upstream(handler).port))
    with http1.Client(weir.port) as client:
        client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n")
        response = client.response()
        assert response.body == b"hello!"
        assert response.get("transfer-encoding") == "chunked"


@pytest.mark.parametrize("size", [0, 1, 16384, 1 << 20, 5 << 20])
def test_bodies_of_any_size(start, upstream, size):
    def handler(connection):
        request = connection.read_request()
        respond(connection, body=request.body[::-1])

    weir = start(simple(upstream(handler).port))
    body = bytes(i * 7 % 251 for i in range(1 << 16)) * (size // (1 << 16) + 1)
    response = http1.request(weir.port, "POST", "/", body=body[:size])
    assert response.body == body[:size][::-1]


def test_head_has_no_body(start, upstream):
    def handler(connection):
        while connection.read_request():
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")

    weir = start(simple(upstream(handler).port))
    with http1.Client(weir.port) as client:
        for _ in range(3):
            response = client.request("HEAD")
            assert (response.status, response.get("content-length"), response.body) == (200, "1000", b"")


def test_expect_continue_is_answered(start, upstream):
    weir = start(simple(upstream().port))
    with http1.Client(weir.port) as client:
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 Continue\r\n")
        client.send("ok")
        response = client.response()
        assert response.status == 200
        assert "expect: " not in response.text.lower()


def test_http_10_needs_configuration(start):
    weir = start(simple())
    with http1.Client(weir.port) as client:
        client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n")
        assert client.response().status == 426
        assert client.closed_by_peer()
    options = {"accept_http_10": True, "default_host_for_http_10": "old.test"}
    weir = start(simple(http_protocol_options=options))
    with http1.Client(weir.port) as client:
        client.send("GET / HTTP/1.0\r\n\r\n")
        assert client.response().status == 200
        assert client.closed_by_peer()


def test_no_route_and_redirect(start):
    weir = start(simple(routes=[direct(201, "a", {"path": "/a"}),
                                route("/old", redirect={"path_redirect": "/new", "host_redirect": "x.test"})]))
    assert http1.request(weir.port, path="/nothing").status == 404
    assert http1.request(weir.port, path="/a?query").status == 201
    redirect = http1.request(weir.port, path="/old/deep")
    assert (redirect.status, redirect.get("location")) == (301, "http://x.test/new")


def test_websocket_upgrade(start, upstream):
    def handler(connection):
        request = connection.read_head()
        assert request.get("upgrade") == "websocket"
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhi")
        while True:
            connection.send(connection.read_exactly(1).upper())

    config = simple(upstream(handler).port, upgrade_configs=[{"upgrade_type": "websocket"}])
    weir = start(config)
    with http1.Client(weir.port) as client:
        client.send("GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n")
        response = client.response()
        assert (response.status, response.get("upgrade")) == (101, "websocket")
        assert client.read_exactly(2) == b"hi"
        client.send("abc")
        assert client.read_exactly(3) == b"ABC"


def test_informational_responses_pass(start, upstream):
    def handler(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    weir = start(simple(upstream(handler).port))
    response = http1.request(weir.port)
    assert (response.status, response.text) == (200, "ok")


def test_trailers_where_configured(start, upstream):
    config = simple(upstream().port, http_protocol_options={"enable_trailers": True}, cluster_fields=http_options(
        explicit_http_config={"http_protocol_options": {"enable_trailers": True}}))
    weir = start(config)
    with http1.Client(weir.port) as client:
        client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-sum: 1\r\n\r\n")
        assert "trailer x-sum: 1" in client.response().text
