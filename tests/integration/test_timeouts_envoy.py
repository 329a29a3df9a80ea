# SPDX-License-Identifier: Apache-2.0
"""Every time limit of the connection manager and of routes, beside real Envoy: what the client gets and after how long,
the access log, the statistics that count it."""

import concurrent.futures
import dataclasses
import re
import time

import pytest

from support import envoy
from support.config import ANY, ROUTER, bootstrap, cluster, hcm, listener, route
from support.http1 import Client, Closed
from support.process import Weir
from support.upstream import Upstream, respond

pytestmark = pytest.mark.alone

LOG = "LOG %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"
HEAD = "POST {path} HTTP/1.1\r\nhost: test\r\n{more}content-length: {length}\r\n\r\n"
GRPC = "content-type: application/grpc\r\ngrpc-timeout: {}\r\n"
# Of a process that has hardly any time beside others; a limit that does not hold takes much longer.
LATE_S = 5.0


@dataclasses.dataclass
class Case:
    name: str
    hcm: dict = dataclasses.field(default_factory=dict)
    route: dict = dataclasses.field(default_factory=dict)  # of its action
    cluster: dict = dataclasses.field(default_factory=dict)
    path: str = "/silent"     # what the upstream does
    more: str = ""            # further headers
    length: int = 0           # of the body; `sent` of it is sent
    sent: int = 0
    raw: str = None           # instead of a request
    after: float = 0.6        # when the limit is reached
    slow: float = 0           # a byte of the body, again and again, after so long


def held(for_s, **fields):
    """A filter lets nothing on for so long."""
    fault = {"@type": ANY + "envoy.extensions.filters.http.fault.v3.HTTPFault", "delay": {"fixed_delay": for_s, "percentage": {"numerator": 100}}}
    return {"http_filters": [{"name": "fault", "typed_config": fault}, ROUTER], **fields}


def common(**fields):
    return {"common_http_protocol_options": fields}


CASES = [
    Case("route timeout", route={"timeout": "0.6s"}),
    Case("route timeout counts from the end of the request", route={"timeout": "0.6s"}, length=4, sent=4, slow=0.15, after=1.2),
    Case("route timeout in the answer", route={"timeout": "0.6s"}, path="/stall"),
    Case("timeout of a header", more="x-envoy-upstream-rq-timeout-ms: 600\r\n"),
    Case("stream idle: no answer", {"stream_idle_timeout": "0.6s"}, {"timeout": "0s"}),
    Case("stream idle: half a body", {"stream_idle_timeout": "0.6s"}, {"timeout": "0s"}, length=10, sent=5),
    Case("stream idle: half an answer", {"stream_idle_timeout": "0.6s"}, {"timeout": "0s"}, path="/stall"),
    Case("stream idle: half a head", {"stream_idle_timeout": "0.6s"}, raw="GET / HTTP/1.1\r\nhost: a\r\n"),
    Case("stream idle: bytes keep it alive", {"stream_idle_timeout": "0.6s"}, {"timeout": "0.2s"}, length=6, sent=6, slow=0.15,
         after=0.9),
    Case("route idle", {"stream_idle_timeout": "60s"}, {"timeout": "0s", "idle_timeout": "0.6s"}),
    Case("route idle 0 is none", {"stream_idle_timeout": "0.5s"}, {"timeout": "1s", "idle_timeout": "0s"}, after=1),
    Case("route idle is longer", {"stream_idle_timeout": "0.5s"}, {"timeout": "0s", "idle_timeout": "1s"}, after=1),
    Case("request", {"request_timeout": "0.6s"}, length=10, sent=5),
    Case("request: half a head", {"request_timeout": "0.6s"}, raw="GET / HTTP/1.1\r\nhost: a\r\n"),
    Case("request: an answer is not waited for", {"request_timeout": "0.5s"}, {"timeout": "1s"}, after=1),
    Case("request: a filter holds it", held("60s", request_timeout="0.6s")),
    Case("request: a filter holds its body", held("1s", request_timeout="0.5s"), {"timeout": "0.3s"}, length=4, sent=4, after=1.3),
    Case("request headers", {"request_headers_timeout": "0.6s"}, raw="GET / HTTP/1.1\r\nhost: a\r\n"),
    Case("request headers: a body may be slow", {"request_headers_timeout": "0.5s"}, {"timeout": "0.2s"}, length=3, sent=3,
         slow=0.25, after=0.9),
    Case("duration", common(max_stream_duration="0.6s"), {"timeout": "0s"}),
    Case("duration: half a body", common(max_stream_duration="0.6s"), {"timeout": "0s"}, length=10, sent=5),
    Case("duration: half an answer", common(max_stream_duration="0.6s"), {"timeout": "0s"}, path="/stall"),
    Case("route duration", route={"max_stream_duration": {"max_stream_duration": "0.6s"}}),
    Case("route duration instead of the listener's", common(max_stream_duration="0.5s"),
         {"max_stream_duration": {"max_stream_duration": "1s"}}, after=1),
    Case("route duration 0 is none", common(max_stream_duration="0.5s"),
         {"max_stream_duration": {"max_stream_duration": "0s"}, "idle_timeout": "1s"}, after=1),
    Case("grpc-timeout", route={"max_stream_duration": {"grpc_timeout_header_max": "10s"}}, more=GRPC.format("600m")),
    Case("grpc-timeout above the route's", route={"max_stream_duration": {"grpc_timeout_header_max": "0.6s"}},
         more=GRPC.format("10S")),
    Case("grpc-timeout with an offset", route={"max_stream_duration": {
        "grpc_timeout_header_max": "10s", "grpc_timeout_header_offset": "0.2s"}}, more=GRPC.format("800m")),
    Case("no grpc-timeout", route={"max_stream_duration": {"grpc_timeout_header_max": "10s", "max_stream_duration": "0.6s"}},
         more="content-type: application/grpc\r\n"),
    Case("the older grpc-timeout", route={"max_grpc_timeout": "10s"}, more=GRPC.format("600m")),
    Case("upstream duration", route={"timeout": "0s"}, cluster=common(max_stream_duration="0.6s")),
    Case("upstream duration by header", route={"timeout": "0s"}, more="x-envoy-upstream-stream-duration-ms: 600\r\n"),
    Case("connection idle", {**common(idle_timeout="0.6s"), "drain_timeout": "0.1s"}, path="/ok"),
    Case("connection duration", {**common(max_connection_duration="0.6s"), "drain_timeout": "0.1s"}, path="/ok"),
]
DIFFERENT = {}


def handler(connection):
    while (request := connection.read_head()) is not None:
        path = request.start.split()[1]
        if path == "/ok":
            respond(connection, body="ok")
            continue
        if path == "/stall":
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        try:
            while True:
                connection.read_exactly(1)
        except EOFError:
            return


def key_of(case):
    return re.sub(r"[^a-z0-9]+", "-", case.name.lower()).strip("-")


def configuration(port):
    log = [{"name": "log", "typed_config": {
        "@type": ANY + "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", "log_format": {"text_format_source": {}}}}]
    listeners, clusters = [], []
    for case in CASES:
        key = key_of(case)
        log[0]["typed_config"]["log_format"] = {"text_format_source": {"inline_string": LOG.replace("LOG", f"LOG {key}")}}
        manager = hcm([route(cluster=key, **case.route)], **{
            "use_remote_address": True, "internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]},
            "access_log": [{**log[0], "typed_config": {**log[0]["typed_config"], "log_format": dict(log[0]["typed_config"]["log_format"])}}],
            **case.hcm})
        manager["stat_prefix"] = key
        listeners.append(listener(manager, name=key))
        clusters.append(cluster(port, name=key, **case.cluster))
    return bootstrap(*listeners, clusters=clusters)


def run(proxy, case):
    with Client(proxy.listener_port(key_of(case))) as client:
        if case.raw is not None:
            client.send(case.raw)
        else:
            client.send(HEAD.format(path=case.path, more=case.more, length=case.length))
            for _ in range(case.sent if case.slow else 0):
                time.sleep(case.slow)
                client.send("x")
            if case.sent and not case.slow:
                client.send("x" * case.sent)
        began = time.monotonic() - case.slow * case.sent
        try:
            answer = client.response()
            names = sorted((k, v) for k, v in answer.headers if k in ("connection", "content-type", "grpc-status", "grpc-message"))
            shown = (answer.status, answer.text, names)
        except TimeoutError:
            return "no answer", False, time.monotonic() - began
        except Closed as closed:
            shown = ("closed", re.sub(rb"\r\n(date|x-envoy-upstream-service-time): [^\r]*", b"", closed.args[0]))
        closes = shown[0] == "closed" or case.path == "/ok" and client.closed_by_peer()
        took = time.monotonic() - began
    return shown, closes, took


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    with Upstream(handler) as upstream:
        config = configuration(upstream.port)
        with envoy.Envoy(tmp_path_factory.mktemp("envoy"), config) as theirs, \
                Weir(tmp_path_factory.mktemp("weir"), config) as ours, concurrent.futures.ThreadPoolExecutor(8) as pool:
            jobs = {case.name: [pool.submit(run, proxy, case) for proxy in (theirs, ours)] for case in CASES}
            answers = {}
            for case in CASES:
                answers[case.name] = []
                for job, proxy in zip(jobs[case.name], (theirs, ours)):
                    shown, closes, took = job.result()
                    line = proxy.wait_log(f"LOG {key_of(case)} (.*)")
                    stats = {k.split(".", 2)[2]: v for k, v in proxy.stats(f"{key_of(case)}%5C.").items()
                             if k.startswith((f"http.{key_of(case)}.", f"cluster.{key_of(case)}.")) and v and
                             re.search(r"\.(downstream|upstream)_rq_\w*(timeout|duration)|cx_(idle|max_duration)", k)}
                    in_time = case.after - 0.05 <= took <= case.after + LATE_S
                    answers[case.name].append({"answer": shown, "closes": closes, "in time": in_time or took, "log": line, "stats": stats})
            yield answers


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_same(results, case):
    theirs, ours = results[case.name]
    assert ours["in time"] is True
    if case.name in DIFFERENT:
        assert theirs != ours, "no difference any more, take it out of DIFFERENT"
    else:
        assert theirs == ours
