# SPDX-License-Identifier: Apache-2.0
"""Plugins between the router and the upstream (http_filters of a cluster, upstream_http_filters of the router): large bodies,
slow connections, tries that fail, plugins that fail, and peers that leave in the middle. What Envoy does is in
test_compare_envoy.py and test_http_options_envoy.py."""

import threading

import pytest

from support import http1, http2
from support.config import ANY, bootstrap, cluster, hcm, http_options, listener, route, simple, wasm
from support.http1 import Client, Closed
from support.process import validate, wait_until
from support.upstream import refused_port, respond

CODEC = {"name": "codec", "typed_config": {"@type": ANY + "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"}}
BIG = 3_000_000


def through(*filters, protocol="http_protocol_options"):
    options = {"enable_trailers": True} if protocol == "http_protocol_options" else {}
    return http_options(explicit_http_config={protocol: options}, http_filters=[*filters, CODEC])


def probe(**fields):
    return wasm("probe", **fields)


def adds(word):
    return wasm("add-header", {"request": {"x-chain": word}, "response": {"x-chain": word}}, name=f"add-{word}")


def hostile(**fields):
    return wasm("hostile", **fields)


def back(connection):
    """The body comes back."""
    while (request := connection.read_request()) is not None:
        respond(connection, headers=[("seen", ",".join(request.all("x-chain")))], body=request.body)


class Failing:
    """Answers 503 to the first tries of a request, then 200 with the number of the try."""

    def __init__(self, upstream, failures=1):
        self.failures, self.tries, self.lock = failures, [], threading.Lock()
        self.port = upstream(self.serve).port

    def serve(self, connection):
        while (request := connection.read_request()) is not None:
            with self.lock:
                self.tries.append(request)
                n = len(self.tries)
            respond(connection, "503 No" if n <= self.failures else "200 OK", body=f"{n} {len(request.body)}")


@pytest.mark.parametrize("limit", [4096, 1 << 20])
def test_large_bodies_both_ways(start, upstream, limit):
    weir = start(simple(upstream(back).port, filters=[probe()], listener_fields={"per_connection_buffer_limit_bytes": limit},
                        cluster_fields={**through(probe(name="b"), adds("up")), "per_connection_buffer_limit_bytes": limit}))
    for _ in range(2):
        answer = http1.request(weir.port, "POST", body="x" * BIG)
        assert (answer.status, len(answer.text)) == (200, BIG)
        assert answer.get("seen") == answer.get("x-chain") == "up"
    weir.wait_stat("cluster.upstream.upstream_rq_active", 0)


def test_large_bodies_over_http2(start, upstream):
    """Two hops: HTTP/2 between them, a plugin at each end of it."""
    back_hop = simple(upstream(back).port, cluster_fields=through(adds("b")))
    behind = start(back_hop)
    weir = start(simple(behind.port, cluster_fields=through(probe(), adds("a"), protocol="http2_protocol_options")))
    for _ in range(2):
        with http2.Client(weir.port) as client:
            stream = client.open(http2.request("/", method="POST"), end=False)
            for _ in range(60):
                client.send(http2.frame(http2.DATA, 0, stream, b"y" * 1000))
            client.send(http2.frame(http2.DATA, http2.END_STREAM, stream, b""))
            assert client.answer(stream) == b"y" * 60_000
    weir.wait_stat("cluster.upstream.upstream_rq_active", 0)


@pytest.mark.parametrize("body", [None, "x" * 100, "x" * 200_000], ids=["none", "small", "large"])
def test_each_try_has_filters_of_its_own(start, upstream, body):
    """What a filter did to the headers stays for the next try (Envoy); the body is the client's again."""
    server = Failing(upstream, 2)
    weir = start(simple(server.port, [route(retry_policy={"retry_on": "5xx", "num_retries": 3})],
                        cluster_fields=through(probe(configuration="trace"), adds("up"))))
    answer = http1.request(weir.port, "POST" if body else "GET", body=body, headers=[("x-probe", "@log property response.code")])
    assert answer.text == f"3 {len(body or '')}"
    assert [r.all("x-chain") for r in server.tries] == [["up"] * n for n in (1, 2, 3)]
    assert answer.all("x-chain") == ["up"]
    weir.wait_log(r"probe: call delete", 3)
    assert "probe: call log" not in weir.log()


def test_trailers_both_ways(start, upstream):
    def handler(connection):
        seen.append(connection.read_request().trailers)
        connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n")
    seen = []
    weir = start(simple(upstream(handler).port, http_protocol_options={"enable_trailers": True}, cluster_fields=through(probe())))
    with Client(weir.port) as client:
        client.send("POST / HTTP/1.1\r\nhost: a\r\nx-probe: @request_trailers header_add 1 x-n 2; @response_trailers header_add 3 x-m 3"
                    "\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-q: 1\r\n\r\n")
        answer = client.response()
    assert answer.trailers == [("x-t", "1"), ("x-m", "3")]
    assert seen == [[("x-q", "1"), ("x-n", "2")]]


@pytest.mark.parametrize("stops", [False, True])
def test_another_try_with_trailers(start, upstream, stops):
    """A filter that lets its headers go at once does not let the trailers pass the body."""
    server = Failing(upstream, 2)
    weir = start(simple(server.port, [route(retry_policy={"retry_on": "5xx", "num_retries": 3})],
                        http_protocol_options={"enable_trailers": True},
                        cluster_fields=through(probe(allow_on_headers_stop_iteration=stops), adds("up"))))
    with Client(weir.port) as client:
        client.send("POST / HTTP/1.1\r\nhost: a\r\nx-probe: @request_headers pause; @request_headers continue 0\r\n"
                    "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-q: 1\r\n\r\n")
        assert client.response().text == "3 5"
    assert [(r.body, r.trailers) for r in server.tries] == [(b"hello", [("x-q", "1")])] * 3


def test_an_early_answer_that_is_held(start, upstream):
    """An HTTP/2 server that has answered wants no more of the request, which still comes while a filter holds the answer."""
    def handler(connection):
        connection.read_exactly(len(http2.PREFACE))
        connection.send(http2.frame(http2.SETTINGS))
        while True:
            head = connection.read_exactly(9)
            connection.read_exactly(int.from_bytes(head[:3], "big"))
            if head[3] == http2.HEADERS:
                break
        stream = int.from_bytes(head[5:], "big")
        connection.send(http2.frame(http2.HEADERS, http2.END_HEADERS, stream, http2.fields((":status", "200")))
                        + http2.frame(http2.DATA, http2.END_STREAM, stream, b"early")
                        + http2.frame(http2.RST_STREAM, 0, stream, bytes(4)))
        while connection.socket.recv(1000):
            pass
    weir = start(simple(upstream(handler).port, [route(timeout="0.2s")], http_protocol_options={"enable_trailers": True},
                        cluster_fields=through(probe(allow_on_headers_stop_iteration=True), protocol="http2_protocol_options")))
    with Client(weir.port) as client:
        client.send("POST / HTTP/1.1\r\nhost: a\r\nx-probe: @response_headers pause; @response_body pause\r\ntransfer-encoding: chunked\r\n\r\n")
        weir.wait_stat("cluster.upstream.http2.rx_reset", 1)
        client.send("1\r\na\r\n0\r\nx-q: 1\r\n\r\n")
        assert client.response().status == 504
    weir.wait_stat("cluster.upstream.upstream_rq_active", 0)


def test_an_answer_of_the_plugin_is_final(start, upstream):
    """No other try, and the stream's own filters see it."""
    server = Failing(upstream, 0)
    weir = start(simple(server.port, [route(retry_policy={"retry_on": "5xx,reset", "num_retries": 3})], filters=[adds("down")],
                        cluster_fields=through(adds("up"), probe())))
    for where in ("", "@request_body ", "@response_headers "):
        answer = http1.request(weir.port, "POST", body="hello", headers=[("x-probe", f"{where}reply 503 mine")])
        assert (answer.status, answer.text, answer.all("x-chain")) == (503, "mine", ["down"])
    assert len(server.tries) <= 2  # those that had begun before the plugin answered
    assert weir.stats("retry").get("cluster.upstream.upstream_rq_retry", 0) == 0
    weir.wait_stat("cluster.upstream.upstream_rq_active", 0)


def test_a_plugin_that_never_goes_on(start, upstream):
    """The limits of a try and of the request hold."""
    server = Failing(upstream, 0)
    weir = start(simple(server.port, [
        route("/try", retry_policy={"retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.1s"}), route("/leave", timeout="0s"),
        route("/", timeout="1.5s")],
        cluster_fields=through(probe())))
    for path in ("/try", "/"):
        assert http1.request(weir.port, path=path, headers=[("x-probe", "pause")]).status == 504
    assert http1.request(weir.port, headers=[("x-probe", "@response_headers pause")]).status == 504
    assert len(server.tries) == 1
    assert weir.stats("retry")["cluster.upstream.upstream_rq_retry"] == 1
    with Client(weir.port) as client:  # who leaves meanwhile
        client.send("GET /leave HTTP/1.1\r\nhost: a\r\nx-probe: pause\r\n\r\n")
        weir.wait_stat("cluster.upstream.upstream_rq_active", 1)
    weir.wait_stat("cluster.upstream.upstream_rq_active", 0)
    weir.wait_stat("http.front.downstream_rq_active", 0)


@pytest.mark.parametrize("policy", ["FAIL_OPEN", "FAIL_CLOSED", "FAIL_RELOAD"])
def test_plugins_that_trap(start, upstream, policy):
    plugin = hostile(failure_policy=policy, **({"reload_config": {"backoff": {"base_interval": "0.1s"}}} if policy == "FAIL_RELOAD" else {}))
    weir = start(simple(upstream(back).port, cluster_fields=through(plugin, adds("up"))))
    for phase in ("on_request_headers", "on_request_body", "on_response_headers", "on_response_body"):
        request = {"method": "POST", "body": "hello", "headers": [("x-hostile", f"trap:{phase}")]}
        if policy == "FAIL_OPEN":
            answer = http1.request(weir.port, **request)
            assert (answer.status, answer.text) == (200, "hello")
        else:
            try:
                assert http1.request(weir.port, **request).status == 503
            except Closed:
                assert phase == "on_response_body"  # the head was sent
        weir.wait_stat("cluster.upstream.upstream_rq_active", 0)
        wait_until(lambda: http1.request(weir.port, "GET").status == 200, "another machine")


def test_a_plugin_that_asks_somebody_first(start, upstream):
    """A callout holds each try until it is answered."""
    gate = threading.Event()
    def oracle(connection):
        while connection.read_request() is not None:
            gate.wait(30)
            respond(connection)
    ask, main = upstream(oracle), upstream(back)
    weir = start(bootstrap(listener(hcm()), clusters=[cluster(main.port, **through(wasm("callout"))), cluster(ask.port, name="up")]))
    with Client(weir.port) as client:
        client.send(http1.format_request("POST", "/", [], "hello"))
        weir.wait_stat("cluster.up.upstream_rq_active", 1)
        gate.set()
        assert client.response().text == "hello"


def test_the_answer_outlives_its_connection(start, upstream):
    """The plugin holds the whole answer while the upstream closes."""
    closed = threading.Event()
    def handler(connection):
        connection.read_request()
        respond(connection, headers=[("connection", "close")], body="all of it")
        connection.socket.close()
        closed.set()
    weir = start(simple(upstream(handler).port, cluster_fields=through(probe(allow_on_headers_stop_iteration=True), adds("up"))))
    for _ in range(3):
        answer = http1.request(weir.port, headers=[("x-probe", "@response_body buffer_bytes 1")])
        assert (answer.status, answer.text) == (200, "all of it")
    assert closed.wait(30)


def test_no_connection(start):
    """The chain of a try that cannot even begin; the next one has its own."""
    holder, dead = refused_port()
    with holder:
        weir = start(simple(dead, [route(retry_policy={"retry_on": "connect-failure", "num_retries": 2})],
                            cluster_fields=through(probe(configuration="trace"), adds("up"))))
        assert http1.request(weir.port, "POST", body="x" * 100_000).status == 503
    wait_until(lambda: weir.log().count("probe: call delete") == 3, "three chains")


def test_mirrors_and_tunnels_pass_the_filters_by(start, upstream):
    seen = []
    def mirror(connection):
        while (request := connection.read_request()) is not None:
            seen.append(request)
            respond(connection)
    def tunnel(connection):
        while data := connection.socket.recv(1000):
            connection.send(data)
    weir = start(bootstrap(
        listener(hcm([route(request_mirror_policies=[{"cluster": "mirror"}])])),
        listener(hcm([route({"connect_matcher": {}}, "raw", upgrade_configs=[{"upgrade_type": "CONNECT", "connect_config": {}}])]),
                 name="tunnel"),
        clusters=[cluster(upstream(back).port, **through(adds("main"))),
                  cluster(upstream(mirror).port, name="mirror", **through(adds("mirror"))),
                  cluster(upstream(tunnel).port, name="raw", **through(adds("raw")))]))
    assert http1.request(weir.port).get("seen") == "main"
    wait_until(lambda: seen, "the mirror")
    assert seen[0].all("x-chain") == []
    with Client(weir.listener_port("tunnel")) as client:
        client.send("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\nping")
        assert client.read_until(b"ping").startswith(b"HTTP/1.1 200")


def test_internal_redirects(start, upstream):
    def handler(connection):
        while (request := connection.read_request()) is not None:
            if "/old" in request.start:
                respond(connection, "302 Found", [("location", "http://a/new")])
            else:
                respond(connection, body=",".join(request.all("x-chain")))
    weir = start(simple(upstream(handler).port, [route(internal_redirect_policy={})], cluster_fields=through(adds("up"))))
    assert http1.request(weir.port, path="/old", host="a").text == "up,up"


REFUSED = {
    "no codec": (http_options(explicit_http_config={}, http_filters=[adds("a")]), "the last filter must be an enabled"),
    "a codec before the end": (through(CODEC), "the codec ends the chain"),
    "a router": (through({"name": "r", "typed_config": {"@type": ANY + "envoy.extensions.filters.http.router.v3.Router"}}),
                 "is no filter for what goes to an upstream"),
    "CORS": (through({"name": "r", "typed_config": {"@type": ANY + "envoy.extensions.filters.http.cors.v3.Cors"}}),
             "is no filter for what goes to an upstream"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path, case):
    fields, text = REFUSED[case]
    result = validate(tmp_path, simple(1, cluster_fields=fields))
    assert result.returncode != 0 and text in result.stdout + result.stderr, result.stdout + result.stderr


def test_a_codec_in_front_of_the_router(tmp_path):
    result = validate(tmp_path, simple(1, filters=[CODEC]))
    assert "is the end of upstream filters" in result.stdout + result.stderr
