# SPDX-License-Identifier: Apache-2.0
"""Malformed requests: 400 (or the code that fits) and the connection closes; the next connection is served."""

import pytest

from support import http1
from support.config import simple

BAD = {
    "cl-and-te": ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "two-cl": ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcde", 400),
    "cl-list": ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4, 5\r\n\r\nabcde", 400),
    "cl-sign": ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +4\r\n\r\nabcd", 400),
    "cl-hex": ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x4\r\n\r\nabcd", 400),
    "cl-huge": ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n", 400),
    "te-unknown": ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", 501),
    "te-not-last": ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n", 501),
    "bare-lf": ("GET / HTTP/1.1\nhost: a\n\n", 400),
    "bare-lf-header": ("GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n", 400),
    "bare-cr": ("GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n", 400),
    "obs-fold": ("GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n", 400),
    "space-colon": ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400),
    "space-name": ("GET / HTTP/1.1\r\nhost: a\r\nx y: z\r\n\r\n", 400),
    "nul": ("GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n", 400),
    "control": ("GET / HTTP/1.1\r\nhost: a\r\nx: a\x01b\r\n\r\n", 400),
    "no-host": ("GET / HTTP/1.1\r\nx: y\r\n\r\n", 400),
    "two-hosts": ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
    "no-colon": ("GET / HTTP/1.1\r\nhost: a\r\nnonsense\r\n\r\n", 400),
    "empty-name": ("GET / HTTP/1.1\r\nhost: a\r\n: x\r\n\r\n", 400),
    "bad-version": ("GET / HTTP/1.2x\r\nhost: a\r\n\r\n", 400),
    "version-9": ("GET / HTTP/9.9\r\nhost: a\r\n\r\n", (400, 426, 505)),
    "two-spaces": ("GET  / HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "path-control": ("GET /\x01 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "no-path": ("GET HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "relative": ("GET foo HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "garbage": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\0" * 40, 400),
    "chunk-size": ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\r\n", 400),
    "chunk-sign": ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n\r\n", 400),
    "chunk-0x": ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", 400),
    "chunk-overflow": ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
                       "fffffffffffffffff\r\n\r\n", 400),
    "chunk-lf": ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", 400),
    "chunk-end": ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", 400),
    "chunk-empty": ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\r\n", 400),
    "long-target": ("GET /" + "a" * 70000 + " HTTP/1.1\r\nhost: a\r\n\r\n", (414, 431)),
    "long-header": ("GET / HTTP/1.1\r\nhost: a\r\nx: " + "a" * 70000 + "\r\n\r\n", 431),
    "many-headers": ("GET / HTTP/1.1\r\nhost: a\r\n" + "".join(f"x{i}: y\r\n" for i in range(200)) + "\r\n", 431),
}


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    from support.process import Weir
    from support.upstream import Upstream
    with Upstream() as upstream, Weir(tmp_path_factory.mktemp("weir"), simple(upstream.port)) as running:
        running.upstream = upstream
        yield running


@pytest.mark.parametrize("name", BAD)
def test_refused_and_closed(weir, name):
    text, status = BAD[name]
    with http1.Client(weir.port) as client:
        client.send(text)
        response = client.response()
        assert response.status in (status if isinstance(status, tuple) else (status,))
        assert client.closed_by_peer()
    assert http1.request(weir.port).status == 200


@pytest.mark.parametrize("name", [n for n in BAD if not n.startswith("long")])
def test_nothing_behind_a_bad_request_is_served(weir, name):
    """What follows a message that could not be framed is never taken for a request."""
    with http1.Client(weir.port) as client:
        client.send(BAD[name][0] + "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n")
        answers = client.read_to_end()
    assert b"GET /smuggled" not in answers
    assert answers.count(b"HTTP/1.1 ") == 1


def test_an_absolute_target_replaces_host(weir):
    with http1.Client(weir.port) as client:
        client.send("GET http://real.test/x HTTP/1.1\r\nhost: other\r\n\r\n")
        text = client.response().text
    assert "GET /x HTTP/1.1" in text
    assert "host: real.test" in text
    assert "other" not in text


def test_byte_by_byte(weir):
    with http1.Client(weir.port) as client:
        for byte in http1.format_request("POST", "/slow", {"x-a": "b"}, "body"):
            client.send(bytes([byte]))
        assert client.response().text.startswith("POST /slow HTTP/1.1")


def test_a_client_that_goes_away_is_logged_and_forgotten(weir):
    with http1.Client(weir.port) as client:
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf")
    assert http1.request(weir.port).status == 200
    weir.wait_stat("http.front.downstream_rq_active", 0)
