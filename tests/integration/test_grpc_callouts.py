# SPDX-License-Identifier: Apache-2.0
"""gRPC callouts of plugins against a grpcio server: calls, streams, metadata, every ending. The expected lines are those
that Envoy 1.40 gave for the same plugin and server."""

import contextlib
import re
import threading
from concurrent import futures

import pytest

from support import http1
from support.config import HTTP2_UPSTREAM, bootstrap, cluster, direct, hcm, listener, wasm
from support.process import wait_until
from support.upstream import refused_port, respond

grpc = pytest.importorskip("grpc")

ENGINES = ["envoy.wasm.runtime.v8", "envoy.wasm.runtime.null"]


class Service(grpc.GenericRpcHandler):
    """/p.S/METHOD over plain bytes."""

    def __init__(self):
        self.seen = []
        self.release = threading.Event()
        self.ended = 0

    def service(self, details):
        method = details.method.split("/")[-1]
        self.seen.append((details.method, sorted(tuple(x) for x in details.invocation_metadata)))
        if method == "Missing":
            return None
        if method == "Deaf":
            return grpc.stream_stream_rpc_method_handler(lambda requests, context: iter([self.release.wait(60)][:0]))
        if method == "Bidi":
            return grpc.stream_stream_rpc_method_handler(self._bidi)
        return grpc.unary_unary_rpc_method_handler(getattr(self, f"_{method.lower()}"))

    @staticmethod
    def _decorate(context):
        context.send_initial_metadata((("x-init", "1"),))
        context.set_trailing_metadata((("x-trail", "2"),))

    def _unary(self, request, context):
        self._decorate(context)
        return b"echo:" + request

    def _fail(self, request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")

    def _slow(self, request, context):
        context.add_callback(lambda: setattr(self, "ended", self.ended + 1))
        self.release.wait(30)
        return b"late"

    def _empty(self, request, context):
        return b""

    def _big(self, request, context):
        return b"x" * 3000000

    def _bidi(self, requests, context):
        self._decorate(context)
        context.add_callback(lambda: setattr(self, "ended", self.ended + 1))
        for request in requests:
            if request == b"fail":
                context.abort(grpc.StatusCode.ABORTED, "you said so")
            if request == b"flood":
                while True:
                    yield b"f" * 1000
            yield b"got:" + request
            if request == b"bye":
                return


@contextlib.contextmanager
def serving():
    one = Service()
    server = grpc.server(futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((one,))
    one.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield one
    one.release.set()
    server.stop(0).wait()


@pytest.fixture
def service():
    with serving() as one:
        yield one


def config(service, plugin=None, runtime=ENGINES[0], clusters=(), **fields):
    return bootstrap(listener(hcm([direct()], [wasm("caller", plugin, runtime)])),
                     clusters=[cluster(service.port, name="g", **HTTP2_UPSTREAM, **fields), *clusters])


def told(weir, since=0):
    lines = re.findall(r" caller: caller: (.*)", weir.log())[since:]
    return [re.sub(r"service-time: \d+", "service-time: N", t) for t in lines]


def told_by(weir, commands, until):
    """What the plugin logs from a request on until a line that begins so, without the request's own end."""
    before = len(told(weir))
    assert http1.request(weir.port, headers={"x-calls": commands}).status == 200
    wait_until(lambda: any(t.startswith(until) for t in told(weir, before)), f"{until} after {commands} in\n{weir.log()}")
    lines = [t for t in told(weir, before) if not t.startswith("log ")]
    return lines


@pytest.mark.parametrize("runtime", ENGINES)
def test_a_call(start, service, runtime):
    weir = start(config(service, runtime=runtime))
    assert told_by(weir, "grpc g p.S Unary hello timeout=2000 h:x-a=1", "bytes") == [
        "grpc: 0, 5", "grpc message 5: 10", "bytes 0 'echo:hello'"]
    assert told_by(weir, "grpc @g p.S Unary again", "bytes") == [
        "grpc: 0, 9", "grpc message 9: 10", "bytes 0 'echo:again'"]
    assert told_by(weir, "grpc g p.S Empty x", "bytes") == ["grpc: 0, 13", "grpc message 13: 0", "bytes 0 ''"]
    assert told_by(weir, "grpc g p.S Big x", "bytes")[1] == "grpc message 17: 3000000"
    assert service.seen[:2] == [
        ("/p.S/Unary", [("x-a", "1"), ("x-envoy-expected-rq-timeout-ms", "2000"), ("x-envoy-internal", "true")]),
        ("/p.S/Unary", [("x-envoy-internal", "true")])]
    assert weir.stats("cluster.g")["cluster.g.upstream_cx_http2_total"] == 1


SERVED_DEADLINE = ["grpc close 5: 4", "status 4 'Deadline Exceeded{via_upstream}'"]
LOCAL = "upstream connect error or disconnect/reset before headers. reset reason: "


@pytest.mark.parametrize("commands,expected", [
    ("grpc g p.S Fail hello", ["grpc close 5: 5", "status 5 'no such thing{via_upstream}'"]),
    ("grpc g p.S Missing hello", ["grpc close 5: 12", "status 12 'Method not found!{via_upstream}'"]),
    ("grpc g p.S Slow hello timeout=200",
     ["grpc close 5: 14", "status 14 'upstream request timeout{response_timeout}'"]),
    ("grpc off p.S Unary hello",
     ["grpc close 5: 14", f"status 14 '{LOCAL}remote connection failure{{upstream_reset_before_response_started"
      "{remote_connection_failure|delayed_connect_error:_Connection_refused}}'"]),
    ("grpc http p.S Unary hello", ["grpc close 5: 13", "status 13 ''"]),
    ("grpc deny p.S Unary hello", ["grpc close 5: 7", "status 7 ''"]),
], ids=["failed", "unimplemented", "timeout", "connection refused", "not gRPC", "HTTP status"])
def test_a_call_that_fails(start, service, upstream, commands, expected):
    def http(connection):
        while connection.read_request():
            respond(connection, body=b"hello")

    def deny(connection):
        while connection.read_request():
            respond(connection, "403 Forbidden", body=b"no")

    sock, port = refused_port()
    with sock:
        others = [cluster(port, name="off", **HTTP2_UPSTREAM), cluster(upstream(http).port, name="http"),
                  cluster(upstream(deny).port, name="deny")]
        weir = start(config(service, clusters=others))
        told = told_by(weir, commands, "status")[1:]
        # A server that honours grpc-timeout may be the first to say so.
        assert told == expected or told == SERVED_DEADLINE and "timeout" in commands


HEAD = ["initial :status: 200", "initial content-type: application/grpc",
        "initial grpc-accept-encoding: identity, deflate, gzip", "initial x-init: 1"]
SERVED = "initial x-envoy-upstream-service-time: N"
TRAILING = ["trailing grpc-status: 0", "trailing grpc-message: ", "trailing x-trail: 2"]


@pytest.mark.parametrize("runtime", ENGINES)
def test_a_stream(start, service, runtime):
    weir = start(config(service, runtime=runtime))
    assert told_by(weir, "stream g p.S Bidi h:x-b=2; send 6 a; end 6 b; send 6 c; close 6", "status") == [
        "stream: 0, 6", "send 6: 0", "send 6: 0", "send 6: 2", "close 6: 0", "grpc initial 6: 5", *HEAD, SERVED,
        "grpc message 6: 5", "bytes 0 'got:a'", "grpc message 6: 5", "bytes 0 'got:b'",
        "grpc trailing 6: 3", *TRAILING, "grpc close 6: 0", "status 0 'via_upstream'"]
    # The server ends it first; the plugin closes afterwards, and then the number is gone.
    assert told_by(weir, "stream g p.S Bidi; send 10 bye", "status") == [
        "stream: 0, 10", "send 10: 0", "grpc initial 10: 4", *HEAD, "grpc message 10: 7", "bytes 0 'got:bye'",
        "grpc trailing 10: 3", *TRAILING, "grpc close 10: 0", "status 0 'via_upstream'"]
    assert told_by(weir, "send 10 x; close 10; close 10", "close 10: 1") == ["send 10: 0", "close 10: 0", "close 10: 1"]
    # Messages one after the other, each answered from the callback of the one before.
    lines = told_by(weir, "stream g p.S Bidi; send 14 a; then; send 14 b; then; send 14 bye", "status")
    assert [t for t in lines if t.startswith("bytes")] == ["bytes 0 'got:a'", "bytes 0 'got:b'", "bytes 0 'got:bye'"]


@pytest.mark.parametrize("commands,expected", [
    ("send 6 fail", ["grpc initial 6: 4", *HEAD, "grpc trailing 6: 3", "trailing grpc-status: 10",
                     "trailing grpc-message: you said so", "trailing x-trail: 2", "grpc close 6: 10",
                     "status 10 'you said so{via_upstream}'"]),
    ("cancel 6; send 6 x", ["cancel 6: 0", "send 6: 1"]),
    ("send 6 a; then; cancel 6", ["grpc initial 6: 4", *HEAD, "grpc message 6: 5", "bytes 0 'got:a'", "cancel 6: 0"]),
], ids=["failed", "cancelled", "cancelled in a message"])
def test_a_stream_that_ends_early(start, service, commands, expected):
    weir = start(config(service))
    lines = told_by(weir, "stream g p.S Bidi; " + commands, expected[-1])
    assert [t for t in lines if not re.match(r"(stream|send 6: 0)", t)] == expected
    if "cancel" in expected[-1]:
        wait_until(lambda: weir.stats("cluster.g")["cluster.g.upstream_rq_active"] == 0, "reset")


def test_arguments(start, service):
    weir = start(config(service))
    lines = told_by(weir, "grpc nope p.S Unary x; grpc @nope p.S Unary x; stream nope p.S Bidi; grpc g p.S Slow x; send 9 x;"
                          "send 6 x; close 4; cancel 3; cancel 9; close 9; grpc g p.S Slow x; close 13; close 13;"
                          "grpc g p.S Unary x h::path=/other; tick 0; close 0", "close 0")
    assert lines == ["grpc: 4, 0", "grpc: 10, 0", "stream: 4, 0", "grpc: 0, 9", "send 9: 2", "send 6: 1", "close 4: 2",
                     "cancel 3: 2", "cancel 9: 0", "close 9: 1", "grpc: 0, 13", "close 13: 0", "close 13: 1", "grpc: 10, 0",
                     "close 0: 2"]
    wait_until(lambda: weir.stats("cluster.g")["cluster.g.upstream_rq_active"] == 0, "both cancelled")


def field(number, value):
    return bytes([number << 3 | 2, len(value)]) + value


def test_who_is_addressed(start, service):
    """The upstream argument as a GrpcService: what of it counts, and what is none."""
    weir = start(config(service))
    envoy = field(1, field(1, b"g") + field(2, b"a.example"))
    metadata = field(5, field(1, b"k1") + field(2, b"v1")) + field(5, field(1, b"k2") + field(2, b"v2"))
    whole = envoy + b"\x1a\x02\x08\x05" + metadata  # with a timeout, which a plugin gives itself
    assert told_by(weir, f"grpc %{whole.hex()} p.S Unary x", "bytes")[0] == "grpc: 0, 5"
    assert service.seen[0][1] == [("k1", "v1"), ("k2", "v2"), ("x-envoy-internal", "true")]
    for message, status in ((whole[:-1], 4), (field(2, b""), 10), (field(1, field(1, b"nope")), 10), (b"\xff" * 11, 4),
                            (b"\x0b" * 60, 4), (metadata * 40, 4), (b"", 4), (envoy + field(5, field(1, b":path")), 10),
                            (field(1, field(1, b"\xff\xfe")), 4)):
        assert told_by(weir, f"grpc %{message.hex()} p.S Unary x", "grpc: ")[0] == f"grpc: {status}, 0", message


def test_from_start_up(start, service):
    """A stream opened while the plugin is configured, with a message: begun by the worker that gets the VM."""
    weir = start(config(service, "stream g p.S Bidi; end 6 early; grpc g p.S Unary early"))
    wait_until(lambda: "grpc close 6: 0" in told(weir) and "bytes 0 'echo:early'" in told(weir), weir.log())
    assert "bytes 0 'got:early'" in told(weir)
    weir = start(config(service, "stream nope p.S Bidi; send 6 x; grpc nope p.S Unary x"))
    wait_until(lambda: told(weir).count("status 14 ''") == 2, weir.log())
    assert "grpc close 6: 14" in told(weir) and "grpc close 5: 14" in told(weir)


def test_caps(start, service):
    caps = {"grpc_streams_max": 2, "callout_answer_bytes_max": 1000, "callout_bytes_max": 20000}
    weir = start(config(service, "quiet"), policy={"rules": [{"worker_time_percent_max": 100, "caps": caps}]})
    assert told_by(weir, "stream g p.S Bidi; stream g p.S Bidi; stream g p.S Bidi; cancel 6; stream g p.S Bidi; cancel 0",
                   "cancel 0")[:6] == ["stream: 0, 6", "stream: 0, 10", "stream: 10, 0", "cancel 6: 0", "stream: 0, 14",
                                       "cancel 0: 2"]
    # A message over the cap ends the call, sent or received.
    lines = [t for t in told_by(weir, "grpc g p.S Big x", "status") if " initial " not in t]  # those of the streams before
    assert lines[1:] == ["grpc close 5: 8", "status 8 ''"]
    lines = told_by(weir, f"cancel 10; cancel 14; stream g p.S Bidi; send 18 {'x' * 500}; end 18 y", "status")
    assert "grpc close 18: 0" in lines
    assert "grpc: 10, 0" in told_by(weir, f"grpc g p.S Unary {'x' * 20000}", "grpc: 10")


def test_a_flood_of_messages(start, service):
    """The server sends without end: the plugin gets it, others are served, and cancelling ends it."""
    weir = start(config(service, "quiet"))
    assert http1.request(weir.port, headers={"x-calls": "stream g p.S Bidi; send 6 flood"}).status == 200
    wait_until(lambda: told(weir).count("grpc message 6: 1000") > 100, "flood")
    for _ in range(20):
        assert http1.request(weir.port).status == 200
    assert http1.request(weir.port, headers={"x-calls": "cancel 6"}).status == 200
    wait_until(lambda: service.ended == 1, "the server hears of it")


def test_messages_that_nobody_reads(start, service):
    """The server has no window left: what waits counts, and at the cap the stream ends with a status."""
    weir = start(config(service, "quiet; tick 1; ticking; send 6 fill=100000"),
                 policy={"rules": [{"worker_time_percent_max": 100, "caps": {"callout_bytes_max": 3000000}}]})
    before = weir.rss_bytes()
    assert http1.request(weir.port, headers={"x-calls": "stream g p.S Deaf"}).status == 200
    wait_until(lambda: "grpc close 6: 8" in told(weir), f"{told(weir)[-5:]}")
    assert weir.rss_bytes() - before < 40 << 20
    assert http1.request(weir.port).status == 200


def test_a_vm_dies_with_streams_open(start, service):
    weir = start(config(service))
    assert http1.request(weir.port, headers={"x-calls": "stream g p.S Bidi; send 6 a; grpc g p.S Slow x"}).status == 200
    wait_until(lambda: "bytes 0 'got:a'" in told(weir), "message")
    assert http1.request(weir.port, headers={"x-calls": "trap"}).status == 503
    wait_until(lambda: service.ended == 2, "the server hears of both")
    # A trap inside a message's callback.
    wait_until(lambda: http1.request(weir.port, headers={"x-calls": "stream g p.S Bidi; send 6 a; then; trap"}).status == 200,
               "a new VM")
    wait_until(lambda: service.ended == 3, "the server hears of it")
    wait_until(lambda: http1.request(weir.port, headers={"x-calls": "grpc g p.S Unary x"}).status == 200, "a new VM")


@pytest.mark.parametrize("body,status", [
    (b"\1\0\0\0\1x", 13), (b"\0\xff\xff\xff\xff", 8), (b"\0\0\0\0\5hel", 2), (b"\0\0\0\0\1x" * 2, 13), (b"\0\0", 2),
    (b"", 2), (b"\0\0\0\0\1x", 2),
], ids=["compressed", "4 GiB", "cut off", "two answers", "half a prefix", "nothing", "no status"])
def test_frames_that_are_wrong(start, service, upstream, body, status):
    """Byte by byte over HTTP/1, which is as good a transport for it."""
    def answer(connection):
        while connection.read_request():
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n")
            for byte in body:
                connection.send(b"1\r\n" + bytes([byte]) + b"\r\n")
            connection.send(b"0\r\n\r\n")

    weir = start(config(service, clusters=[cluster(upstream(answer).port, name="raw")]))
    assert told_by(weir, "grpc raw p.S Unary x", "status")[1] == f"grpc close 5: {status}"
    lines = told_by(weir, "stream raw p.S Unary; end 6 x", "status")
    expected = 2 if body == b"\0\0\0\0\1x" * 2 else status  # a stream may have many
    assert f"grpc close 6: {expected}" in lines
    assert lines.count("grpc message 6: 1") == (body.count(b"x") if body[0:1] == b"\0" else 0)


def test_messages_wait_for_the_share_of_time(start, service):
    """Forty messages of a stream, each 8 ms of the plugin's time, of which a second has 200: all come, in order, and then the end."""
    policy = {"rules": [{"callback_time_max": "10s", "caps": {"log_lines_per_sec": 10000}}]}
    weir = start(config(service, "quiet; spin"), policy=policy)
    sends = "; ".join(f"send 6 {i}" for i in range(39))
    lines = told_by(weir, f"stream g p.S Bidi; {sends}; end 6 bye", "grpc close")
    assert lines[-2:] == ["grpc close 6: 0", "status 0 ''"] or "grpc close 6: 0" in lines
    messages = [t for t in lines if t.startswith("grpc message 6: ")]
    assert messages == [f"grpc message 6: {len(f'got:{i}')}" for i in [*range(39), "bye"]]
    assert weir.plugin("caller")["time_share_passed"] > 0
