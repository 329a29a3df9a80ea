# SPDX-License-Identifier: Apache-2.0
"""Callouts in Weir and in Envoy, the same plugin and the same upstreams: what the upstream sees and what the plugin logs
is equal, but for what docs/callouts.md lists."""

import re

from support import http1
from support.config import HTTP2_UPSTREAM, bootstrap, cluster, direct, hcm, listener, wasm
from support.envoy import Envoy
from support.process import Weir, wait_until
from support.upstream import refused_port
from test_callouts import Service as HttpService
from test_grpc_callouts import service as grpc_service  # noqa: F401  (a fixture)

HTTP = [
    "http up /ok timeout=5000", "http up /ok method=POST body=abc", "http up /ok method=POST", "http up /ok method=HEAD",
    "http up /ok h:user-agent=me h:x-envoy-upstream-rq-timeout-ms=4000", "http up /ok method=POST body=abc t:x-tr=1",
    "http nope /x", "http empty /x", "http off /x", "http up /reset", "http up /close", "http up /garbage", "http up /cut",
    "http up /hang timeout=300", "http up /half timeout=2000", "http up /early", "auth up /ok", "auth up /deny",
    "many 3 up /ok", "http up /ok; then; http up /deny",
]
GRPC = [
    "grpc g p.S Unary hello timeout=5000 h:x-a=1", "grpc @g p.S Unary hello timeout=5000", "grpc nope p.S Unary x timeout=9",
    "grpc g p.S Fail x timeout=5000", "grpc g p.S Missing x timeout=5000", "grpc g p.S Empty x timeout=5000",
    "grpc g p.S Big x timeout=5000", "grpc g p.S Slow x timeout=300", "grpc off p.S Unary x timeout=5000",
    "stream g p.S Bidi; send 6 a; end 6 b", "stream g p.S Bidi h:x-b=2; send 10 a; close 10", "stream g p.S Bidi; send 14 bye",
    "stream g p.S Bidi; send 18 fail", "stream nope p.S Bidi; send 22 x; close 5; cancel 4; close 3", "stream off p.S Bidi",
    "stream g p.S Missing",
]


def told(proxy, since):
    lines = re.findall(r"wasm log[^:]*: caller: (.*)", proxy.log())[since:]
    return [re.sub(r"service-time: \d+", "service-time: N", t) for t in lines]


def run(proxy, commands, quiet):
    """Asks, and waits until nothing more comes: `quiet(lines)`."""
    before = len(told(proxy, 0))
    response = http1.request(proxy.port, headers={"x-calls": commands})
    wait_until(lambda: quiet(told(proxy, before)), f"{commands}: {told(proxy, before)}")
    return response.status, response.text, by_call(one_deadline(told(proxy, before)))


def one_deadline(lines):
    """The server is told the deadline too (grpc-timeout): whose timer fires first is a matter of luck, in both proxies."""
    theirs, ours = "status 4 'Deadline Exceeded{via_upstream}'", "status 14 'upstream request timeout{response_timeout}'"
    if theirs not in lines:
        return lines
    return [ours if t == theirs else re.sub(r"^(grpc close \d+): 4$", r"\1: 14", t) for t in lines]


def all_told(lines):
    """Each accepted call was answered, and the stream, which goes on with the first answer, has ended."""
    calls = sum(re.fullmatch(r"http \S+: 0", t) is not None for t in lines)
    answers = sum(t.startswith("response ") for t in lines)
    return answers >= calls and any(t.startswith("log ") for t in lines)


def by_call(lines):
    """Answers of calls that run at the same time come in any order: each with what belongs to it, by number."""
    starts = [i for i, line in enumerate(lines) if line.startswith("response ")] + [len(lines)]
    if len(starts) <= 2:
        return lines
    ends = [t for t in lines if t.startswith("log ")]  # of the stream: behind whichever answer was the first
    groups = [[t for t in lines[a:b] if t not in ends] for a, b in zip(starts, starts[1:])]
    return [t for t in lines[:starts[0]] if t not in ends] + sum(sorted(groups), []) + ends


def compare(tmp_path, config, commands, quiet, seen):
    both = []
    for make in (Envoy, Weir):
        seen.clear()
        with make(tmp_path / make.__name__, config) as proxy:
            both.append([(c, run(proxy, c, quiet), [repr(s) for s in seen], seen.clear()) for c in commands])
    for envoy, weir in zip(*both):
        assert weir == envoy


def test_http(tmp_path, upstream):
    service = HttpService(upstream)
    sock, port = refused_port()
    with sock:
        clusters = [cluster(service.server.port, name="up"), cluster(port, name="off"),
                    {"name": "empty", "type": "STATIC", "load_assignment": {"cluster_name": "empty"}}]
        config = bootstrap(listener(hcm([direct()], [wasm("caller")])), clusters=clusters)
        commands = [c.replace("; then", "; pause; then") if "then" in c else c + "; pause" for c in HTTP]
        compare(tmp_path, config, commands, all_told, service.requests)
    service.release = True


def test_grpc(tmp_path, grpc_service):  # noqa: F811
    sock, port = refused_port()
    with sock:
        config = bootstrap(listener(hcm([direct()], [wasm("caller")])),
                           clusters=[cluster(grpc_service.port, name="g", **HTTP2_UPSTREAM), cluster(port, name="off", **HTTP2_UPSTREAM)])

        def quiet(lines):
            failed = any(re.match(r"(grpc|stream): [1-9]", t) for t in lines) and "log" in lines[-1]
            unary = any(t.startswith("grpc: ") for t in lines) and any(t.startswith(("bytes", "status")) for t in lines)
            stream = any(t.startswith("stream: ") for t in lines) and any(t.startswith("status") for t in lines)
            return (failed or unary or stream) and any(t.startswith("log ") for t in lines)

        compare(tmp_path, config, GRPC, quiet, grpc_service.seen)
        grpc_service.release.set()
