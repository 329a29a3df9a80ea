# SPDX-License-Identifier: Apache-2.0
"""Retries where Envoy is not asked: other hosts, bodies that keep coming, HTTP/2, resources given back, the manual."""

import threading

import pytest

from support import http1, http2
from support.config import bootstrap, cluster, hcm, http_options, listener, route, simple
from support.pages import block, with_ports
from support.process import validate, wait_until
from support.upstream import refused_port, respond

FAST = {"retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"}}
OTHER_HOSTS = {"retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}],
    "host_selection_retry_max_attempts": 200}


def on(conditions, **fields):
    return {"retry_on": conditions, **FAST, **fields}


def counting(status, after=0):
    """A handler that answers `status` (200 after `after` requests) and counts; the count is its attribute."""
    lock = threading.Lock()

    def handler(connection):
        while connection.read_request() is not None:
            with lock:
                handler.requests += 1
                good = after and handler.requests > after
            respond(connection, "200 OK" if good else status, body=b"x" * 10)

    handler.requests = 0
    return handler


def stat(weir, name):
    return weir.stats(f"upstream.{name}").get(f"cluster.upstream.{name}", 0)


def test_another_host(start, upstream):
    """previous_hosts: never twice to the same while another one is there."""
    handlers = [counting("503 No") for _ in range(4)]
    ports = [upstream(h).port for h in handlers]
    weir = start(bootstrap(listener(hcm([route(retry_policy=on("5xx", num_retries=3, **OTHER_HOSTS))])),
                           clusters=[cluster(*ports, lb_policy="RANDOM")]))
    for i in range(1, 6):
        assert http1.request(weir.port).status == 503
        assert [h.requests for h in handlers] == [i] * 4


def test_the_only_host_is_tried_again(start, upstream):
    handler = counting("503 No", after=2)
    weir = start(simple(upstream(handler).port, routes=[route(retry_policy=on("5xx", num_retries=3, **OTHER_HOSTS))]))
    assert http1.request(weir.port).status == 200
    assert handler.requests == 3


def test_the_first_of_two_tries_takes_too_long(start, upstream):
    """With hedging a late try reaches the duration of a stream while another one is in flight: that one answers."""
    answer = threading.Event()
    seen = []

    def handler(connection):
        while connection.read_request() is not None:
            seen.append(connection)
            if len(seen) > 1:
                answer.wait(30)
                respond(connection, body=b"late")
                continue
            try:
                connection.read_exactly(1)
            finally:
                answer.set()  # the first try has ended

    weir = start(simple(upstream(handler).port,
                        routes=[route(retry_policy=on("5xx", num_retries=1, per_try_timeout="2s"),
                                      hedge_policy={"hedge_on_per_try_timeout": True}, timeout="20s")],
                        cluster_fields=http_options(common_http_protocol_options={"max_stream_duration": "4s"},
                                                    explicit_http_config={"http_protocol_options": {}})))
    with http1.Client(weir.port) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        assert client.response().body == b"late"
    assert stat(weir, "upstream_rq_max_duration_reached") == 1


def test_of_two_tries_one_sends_hints(start, upstream):
    """With hedging the try whose 1xx comes is the one: the other's end means nothing any more."""
    broken, first_gone = threading.Event(), threading.Event()
    seen = []

    def handler(connection):
        while connection.read_request() is not None:
            seen.append(connection)
            if len(seen) == 1:
                first_gone.wait(30)
                connection.reset()
                broken.set()
                return
            connection.send(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
            first_gone.set()
            broken.wait(30)
            respond(connection, body=b"late")

    weir = start(simple(upstream(handler).port,
                        routes=[route(retry_policy=on("5xx", num_retries=1, per_try_timeout="2s"),
                                      hedge_policy={"hedge_on_per_try_timeout": True}, timeout="20s")]))
    with http1.Client(weir.port) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        assert client.response().body == b"late"


def test_a_dead_host_beside_a_good_one(start, upstream):
    holder, dead = refused_port()
    with holder:
        weir = start(bootstrap(listener(hcm([route(retry_policy=on("connect-failure", num_retries=5, **OTHER_HOSTS))])),
                               clusters=[cluster(dead, upstream().port)]))
        assert [http1.request(weir.port).status for _ in range(20)] == [200] * 20
        assert stat(weir, "upstream_rq_retry_success") >= 10


def test_the_body_goes_on_while_it_is_sent_again(start, upstream):
    """The first try fails while the client has sent half; the second one gets all of it."""
    first, bodies = threading.Event(), []

    def handler(connection):
        request = connection.read_head()
        if not first.is_set():
            connection.read_exactly(5)
            first.set()
            connection.reset()
            return
        bodies.append(connection.read_body(request).body)
        respond(connection, headers=[("connection", "close")], body="done")  # the next round's one retry is not for this connection's end

    weir = start(simple(upstream(handler).port, routes=[route(retry_policy=on("reset"))]))
    for framing, half, rest in ((b"content-length: 10", b"hello", b"world"),
                                (b"transfer-encoding: chunked", b"5\r\nhello\r\n", b"5\r\nworld\r\n0\r\n\r\n")):
        first.clear()
        with http1.Client(weir.port) as client:
            client.send(b"POST / HTTP/1.1\r\nhost: test\r\n" + framing + b"\r\n\r\n" + half)
            first.wait(30)
            wait_until(lambda: stat(weir, "upstream_rq_retry") == len(bodies) + 1, "the second try")
            client.send(rest)
            assert client.response().text == "done"
    assert bodies == [b"helloworld"] * 2


def test_a_body_that_grows_too_long_while_waiting(start, upstream):
    """No try is there to send it to, and it cannot be kept: 507."""
    failed = threading.Event()

    def handler(connection):
        connection.read_head()
        failed.set()
        connection.reset()

    slow = {"retry_on": "reset", "retry_back_off": {"base_interval": "1000s", "max_interval": "1000s"}}
    weir = start(simple(upstream(handler).port, routes=[{**route(retry_policy=slow), "per_request_buffer_limit_bytes": 100}]))
    with http1.Client(weir.port) as client:
        client.send(b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\n" + b"x" * 50)
        failed.wait(30)
        wait_until(lambda: stat(weir, "upstream_rq_active") == 0, "the first try's end")
        client.send(b"x" * 100)
        response = client.response()
        assert (response.status, response.text) == (507, "exceeded request buffer limit while retrying upstream")
    assert stat(weir, "retry_or_shadow_abandoned") == 1


def test_trailers_are_sent_again(start, upstream):
    seen = []

    def handler(connection):
        while (request := connection.read_request()) is not None:  # an end would meet the second try
            seen.append((request.body, request.trailers))
            respond(connection, "503 No" if len(seen) == 1 else "200 OK")

    options = {"http_protocol_options": {"enable_trailers": True}}
    back = http_options(explicit_http_config=options)
    weir = start(simple(upstream(handler).port, routes=[route(retry_policy=on("5xx"))], cluster_fields=back, **options))
    with http1.Client(weir.port) as client:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n")
        assert client.response().status == 200
    assert seen == [(b"hi", [("x-t", "1")])] * 2


def test_http2_downstream_and_many_at_once(start, upstream):
    handler = counting("503 No", after=30)
    weir = start(simple(upstream(handler).port, routes=[route(retry_policy=on("5xx", num_retries=100))], cluster_fields={
        "circuit_breakers": {"thresholds": [{"max_retries": 1000}]}}))
    with http2.Client(weir.port) as client:
        streams = {client.open() for _ in range(20)}
        done = set()
        frames = client.read_until(lambda f: f.flags & 1 and f.type in (0, 1) and (done.add(f.stream) or done == streams))
        assert not [f for f in frames if f.type == http2.RST_STREAM]
    assert handler.requests == 50


def test_a_client_that_goes_away_gives_the_retry_back(start, upstream):
    """The breaker has room for one retry; a client that leaves while it waits must not keep it."""
    slow = {"retry_on": "5xx", "retry_back_off": {"base_interval": "1000s", "max_interval": "1000s"}}
    handler = counting("503 No")
    weir = start(simple(upstream(handler).port, routes=[route(retry_policy=slow)], cluster_fields={
        "circuit_breakers": {"thresholds": [{"max_retries": 1, "track_remaining": True}]}}))
    for i in range(3):
        with http1.Client(weir.port) as client:
            client.send(http1.format_request())
            wait_until(lambda: stat(weir, "retry.upstream_rq_503") == i + 1, "the wait")
            assert http1.request(weir.port).status == 503  # no room for a second one
        weir.wait_stat("cluster.upstream.circuit_breakers.default.remaining_retries", 1)
    assert stat(weir, "upstream_rq_retry_overflow") == 3
    assert stat(weir, "upstream_rq_retry") == 0


def test_an_unknown_condition(tmp_path):
    done = validate(tmp_path, simple(1, routes=[route(retry_policy={"retry_on": "5xx,gateway-eror"})]))
    assert done.returncode != 0
    assert '"gateway-eror" is no condition of a retry' in done.stderr + done.stdout


@pytest.mark.parametrize("status", [503, 200])
def test_the_manual(start, upstream, status):
    """docs/retries.md's configuration is taken and retries."""
    handler = counting("503 No", after=0 if status == 503 else 2)
    weir = start(with_ports(block("retries.md", "# retries\n"), {8080: upstream(handler).port, 10000: 0}))
    assert http1.request(weir.port).status == status
    assert handler.requests == 3
