# SPDX-License-Identifier: Apache-2.0
"""gRPC through the proxy, with the real Python client and server: all four kinds of calls, deadlines, big messages."""

import concurrent.futures
import threading

import grpc
import pytest

from support import http1
from support.config import HTTP2_UPSTREAM, route, simple
from support.process import wait_until
from support.upstream import refused_port

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Service(grpc.GenericRpcHandler):
    """Messages are bytes."""

    def __init__(self):
        self.hanging = threading.Event()
        self.cancelled = threading.Event()

    def echo(self, message, context):
        context.set_trailing_metadata((("x-trailer", "yes"),))
        return message

    def fail(self, _, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no, thank you: 100 %")

    def hang(self, _, context):
        context.add_callback(self.cancelled.set)
        self.hanging.set()
        self.cancelled.wait(30)
        return b""

    def count(self, message, _):
        for i in range(int(message)):
            yield b"%d" % i

    def collect(self, messages, _):
        return b",".join(messages)

    def talk(self, messages, _):
        for message in messages:
            yield message.upper()

    def service(self, call):
        kind, name = call.method.strip("/").split("/")
        make = {"u": grpc.unary_unary_rpc_method_handler, "s": grpc.unary_stream_rpc_method_handler,
                "c": grpc.stream_unary_rpc_method_handler, "b": grpc.stream_stream_rpc_method_handler}[kind]
        return make(getattr(self, name))


@pytest.fixture
def service():
    handler = Service()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), [handler], options=OPTIONS)
    handler.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler
    handler.cancelled.set()
    server.stop(None).wait()


@pytest.fixture
def channel():
    channels = []

    def make(port):
        channels.append(grpc.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS))
        return channels[-1]

    yield make
    for one in channels:
        one.close()


def proxy(start, service, **fields):
    return start(simple(service.port, cluster_fields=HTTP2_UPSTREAM, **fields))


@pytest.mark.tsan
def test_unary_with_trailers(start, service, channel):
    c = channel(proxy(start, service).port)
    answer, call = c.unary_unary("/u/echo").with_call(b"hello")
    assert answer == b"hello"
    assert ("x-trailer", "yes") in call.trailing_metadata()
    assert call.code() == grpc.StatusCode.OK


def test_status_and_message_of_the_service(start, service, channel):
    with pytest.raises(grpc.RpcError) as error:
        channel(proxy(start, service).port).unary_unary("/u/fail")(b"")
    assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert error.value.details() == "no, thank you: 100 %"


def test_streams_in_both_directions(start, service, channel):
    weir = proxy(start, service)
    c = channel(weir.port)
    assert [int(m) for m in c.unary_stream("/s/count")(b"2000")] == list(range(2000))
    assert c.stream_unary("/c/collect")(iter([b"%d" % i for i in range(500)])) == b",".join(b"%d" % i for i in range(500))
    calls, turns = [], threading.Semaphore(0)

    def questions():
        for i in range(50):
            calls.append(i)
            yield b"message %d" % i
            assert turns.acquire(timeout=30)

    # Each answer comes before the next question is asked: nothing waits for the end of a stream.
    for i, answer in enumerate(c.stream_stream("/b/talk")(questions())):
        assert answer == b"MESSAGE %d" % i
        turns.release()
    assert len(calls) == 50
    stats = weir.stats("http2_total")
    assert stats["http.front.downstream_cx_http2_total"] == 1
    assert stats["cluster.upstream.upstream_cx_http2_total"] == 1


def test_many_calls_at_once_share_connections(start, service, channel):
    weir = proxy(start, service)
    c = channel(weir.port)
    calls = [c.unary_unary("/u/echo").future(b"%d" % i * 1000) for i in range(300)]
    assert [call.result() for call in calls] == [b"%d" % i * 1000 for i in range(300)]
    stats = weir.stats("upstream_cx_total|upstream_rq_total")
    assert stats["cluster.upstream.upstream_rq_total"] == 300
    assert stats["cluster.upstream.upstream_cx_total"] <= 4


def test_big_messages(start, service, channel):
    message = bytes(range(256)) * (24 << 12)  # 24 MiB, above the windows
    assert channel(proxy(start, service).port).unary_unary("/u/echo")(message) == message


def test_deadline_reaches_the_service(start, service, channel):
    weir = proxy(start, service)
    with pytest.raises(grpc.RpcError) as error:
        channel(weir.port).unary_unary("/u/hang")(b"", timeout=2)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert service.cancelled.wait(60)
    wait_until(lambda: weir.stats("upstream_rq_active")["cluster.upstream.upstream_rq_active"] == 0, "no active request")


def test_cancel_reaches_the_service(start, service, channel):
    call = channel(proxy(start, service).port).unary_unary("/u/hang").future(b"")
    assert service.hanging.wait(60)
    call.cancel()
    assert service.cancelled.wait(60)


def test_grpc_timeout_as_stream_duration(start, service, channel):
    weir = proxy(start, service, routes=[route(max_stream_duration={"grpc_timeout_header_max": "2s"})])
    with pytest.raises(grpc.RpcError) as error:
        channel(weir.port).unary_unary("/u/hang")(b"", timeout=20)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert "duration timeout" in error.value.details()
    assert service.cancelled.wait(60)


def test_max_grpc_timeout_is_the_routes_timeout(start, service, channel):
    weir = proxy(start, service, routes=[route(max_grpc_timeout="2s")])
    with pytest.raises(grpc.RpcError) as error:
        channel(weir.port).unary_unary("/u/hang")(b"", timeout=20)
    # The service is told of the same 2 s, and may be first.
    assert (error.value.code(), error.value.details()) in ((grpc.StatusCode.UNAVAILABLE, "upstream request timeout"),
                                                           (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"))


def test_answers_of_the_proxy_have_grpc_shape(start, service, channel):
    weir = proxy(start, service, routes=[route("/u/")])
    c = channel(weir.port)
    with pytest.raises(grpc.RpcError) as error:
        c.unary_unary("/none/such")(b"")
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
    response = http1.request(weir.port, "POST", "/none", {"content-type": "application/grpc", "te": "trailers"})
    assert response.status == 200
    assert response.get("grpc-status") == "12"


def test_unreachable_service_is_unavailable(start, channel):
    holder, port = refused_port()
    weir = start(simple(port, cluster_fields=HTTP2_UPSTREAM))
    with pytest.raises(grpc.RpcError) as error:
        channel(weir.port).unary_unary("/u/echo")(b"")
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "upstream connect error" in error.value.details()
    holder.close()
