# SPDX-License-Identifier: Apache-2.0
"""Upstreams that refuse, reset, hang, lie or stop half-way: Envoy's codes, flags and details."""

import time

import pytest

from support import http1
from support.config import bootstrap, cluster, hcm, listener, route, simple
from support.process import wait_until
from support.upstream import refused_port, respond

LOG = {"name": "log", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": "/dev/stdout",
    "log_format": {"text_format_source": {
        "inline_string": "ACCESS %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"}}}}


def run(start, port, **fields):
    fields.setdefault("access_log", [LOG])
    return start(simple(port, **fields))


def outcome(weir):
    return weir.wait_log(r"ACCESS (\d+) (\S+) (\S+)")[-1]


def test_refused(start):
    holder, port = refused_port()
    with holder:
        weir = run(start, port)
        response = http1.request(weir.port)
        assert response.status == 503
        assert response.text.startswith("upstream connect error or disconnect/reset before headers.")
        code, flags, details = outcome(weir)
        assert (code, flags) == ("503", "UF")
        assert details.startswith("upstream_reset_before_response_started{")
        assert weir.stats("upstream_cx_connect_fail")["cluster.upstream.upstream_cx_connect_fail"] == 1


@pytest.mark.parametrize("how", ["reset", "close"])
def test_closed_before_the_response(start, upstream, how):
    def handler(connection):
        connection.read_request()
        if how == "reset":
            connection.reset()

    weir = run(start, upstream(handler).port)
    assert http1.request(weir.port).status == 503
    code, flags, details = outcome(weir)
    assert (code, flags) == ("503", "UC")
    assert "connection_termination" in details


@pytest.mark.parametrize("garbage", [b"\x00\x01\x02 nonsense\r\n\r\n", b"HTTP/1.1 200\n\n", b"HTTP/1.1 2x0 OK\r\n\r\n",
                                     b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
                                     b"HTTP/1.1 200 OK\r\ncontent-length: a\r\n\r\n",
                                     b"HTTP/1.1 200 OK\r\nx: " + b"a" * 100000 + b"\r\n\r\n"])
def test_garbage(start, upstream, garbage):
    def handler(connection):
        connection.read_request()
        connection.send(garbage)
        connection.read_exactly(1)

    weir = run(start, upstream(handler).port)
    assert http1.request(weir.port).status == 502
    code, flags, details = outcome(weir)
    assert (code, flags) == ("502", "UPE")
    assert "protocol_error" in details


def test_hangs_until_the_route_times_out(start, upstream):
    def handler(connection):
        connection.read_request()
        connection.read_exactly(1)

    weir = run(start, upstream(handler).port, routes=[route(timeout="0.2s")])
    before = time.monotonic()
    response = http1.request(weir.port)
    assert 0.2 <= time.monotonic() - before < 30
    assert (response.status, response.text) == (504, "upstream request timeout")
    assert outcome(weir) == ("504", "UT", "response_timeout")


def test_closes_in_the_middle_of_the_body(start, upstream):
    def handler(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")

    weir = run(start, upstream(handler).port)
    with http1.Client(weir.port) as client:
        client.send(http1.format_request())
        with pytest.raises(http1.Closed):
            client.response()
    code, flags, details = outcome(weir)
    assert (code, flags) == ("200", "UPE")  # as Envoy: half a body breaks the protocol
    assert details == "upstream_reset_after_response_started{protocol_error}"


def test_a_chunked_body_that_stops_is_not_ended_well(start, upstream):
    def handler(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")

    weir = run(start, upstream(handler).port)
    with http1.Client(weir.port) as client:
        client.send(http1.format_request())
        assert not client.read_to_end().endswith(b"0\r\n\r\n")


def test_answers_before_the_request_has_ended(start, upstream):
    def handler(connection):
        connection.read_head()
        respond(connection, "413 Too Large", body="no")
        connection.read_exactly(1 << 30)

    weir = run(start, upstream(handler).port)
    with http1.Client(weir.port) as client:
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n")
        response = client.response()
        assert (response.status, response.text) == (413, "no")
    weir.wait_stat("http.front.downstream_rq_active", 0)


def test_a_response_until_close(start, upstream):
    def handler(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")

    weir = run(start, upstream(handler).port)
    assert http1.request(weir.port).text == "until the end"


def test_an_excess_body_never_becomes_the_next_answer(start, upstream):
    def handler(connection):
        while connection.read_request():
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 201 Evil\r\ncontent-length: 0\r\n\r\n")

    weir = run(start, upstream(handler).port)
    with http1.Client(weir.port) as client:
        assert client.request().text == "ok"
        second = client.request()
        assert second.status != 201


def test_a_fast_upstream_is_not_read_ahead_of_a_slow_client(start, upstream):
    """Back-pressure: an endless response to a client that does not read is bounded by the buffer limits."""
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent = []

    def handler(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            connection.send(chunk)
            sent.append(len(chunk))

    weir = run(start, upstream(handler).port, listener_fields={"per_connection_buffer_limit_bytes": 65536},
               cluster_fields={"per_connection_buffer_limit_bytes": 65536})
    before = weir.rss_bytes()
    with http1.Client(weir.port) as client:
        client.send(http1.format_request())
        client.read_until(b"\r\n\r\n")

        def settled():
            count = len(sent)
            time.sleep(0.3)
            return count > 0 and len(sent) == count
        wait_until(settled, "the upstream to be held back")
        # What the kernel's buffers on both connections take is not the proxy's.
        assert sum(sent) < 64 << 20
        assert weir.rss_bytes() - before < 16 << 20
        # And it goes on when the client reads.
        stuck = len(sent)
        for _ in range(stuck + 20):
            client.read_exactly(0x10000)
        wait_until(lambda: len(sent) > stuck, "the upstream to go on")


def test_the_pool_detects_a_closed_idle_connection(start, upstream):
    def handler(connection):
        respond(connection, body=connection.read_request().start)
        connection.socket.close()

    up = upstream(handler)  # closes after one answer, without announcing it
    weir = run(start, up.port)
    with http1.Client(weir.port) as client:
        for _ in range(5):
            wait_until(lambda: client.request().status == 200, "an answer")
    assert up.connections >= 5


def test_unknown_cluster_and_no_hosts(start):
    config = bootstrap(listener(hcm([route("/header", cluster_header="x-cluster"), route(cluster="empty")])),
                       clusters=[cluster(name="empty")])
    del config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"][
        "route_config"]["virtual_hosts"][0]["routes"][0]["route"]["cluster"]
    config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["access_log"] = [LOG]
    weir = start(config)
    assert http1.request(weir.port, path="/header", headers={"x-cluster": "nobody"}).status == 503
    weir.wait_log("ACCESS 503 NC cluster_not_found")
    response = http1.request(weir.port)
    assert (response.status, response.text) == (503, "no healthy upstream")
    weir.wait_log("ACCESS 503 UH no_healthy_upstream")


def test_circuit_breaker_overflow(start, upstream):
    def handler(connection):
        connection.read_request()
        connection.read_exactly(1)

    thresholds = {"thresholds": [{"max_connections": 1, "max_pending_requests": 1, "max_requests": 1}]}
    weir = run(start, upstream(handler).port, cluster_fields={"circuit_breakers": thresholds})
    with http1.Client(weir.port) as first, http1.Client(weir.port) as second:
        first.send(http1.format_request())
        weir.wait_stat("cluster.upstream.upstream_rq_active", 1)
        second.send(http1.format_request())
        weir.wait_stat("cluster.upstream.upstream_rq_pending_active", 1)
        response = http1.request(weir.port)
        assert response.status == 503
        assert response.get("x-envoy-overloaded") == "true"
        weir.wait_log("ACCESS 503 UO")


def test_strict_dns_and_round_robin(start, upstream):
    def named(letter):
        def handler(connection):
            while connection.read_request():
                respond(connection, body=letter)
        return handler

    a, b = upstream(named("a")), upstream(named("b"))
    dns = cluster(a.port, b.port)
    dns["type"] = "STRICT_DNS"
    for endpoint in dns["load_assignment"]["endpoints"][0]["lb_endpoints"]:
        endpoint["endpoint"]["address"]["socket_address"]["address"] = "localhost"
    dns["dns_lookup_family"] = "V4_ONLY"
    weir = start(bootstrap(listener(hcm()), clusters=[dns]))
    with http1.Client(weir.port) as client:
        letters = [client.request().text for _ in range(10)]
    assert sorted(letters) == ["a"] * 5 + ["b"] * 5
