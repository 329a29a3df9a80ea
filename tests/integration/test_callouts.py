# SPDX-License-Identifier: Apache-2.0
"""HTTP callouts of plugins: what the upstream sees, what the plugin gets for each ending, where it gets it, and plugins
and upstreams that misbehave. The expected texts are those that Envoy 1.40 gave for the same plugin and upstream."""

import json
import re
import time

import pytest

from support import http1, tcp
from support.config import ANY, bootstrap, cluster, direct, hcm, listener, route, wasm
from support.pages import block, with_ports
from support.plugins import refused
from support.process import BUILD, wait_until
from support.upstream import echo, refused_port, respond

ENGINES = ["envoy.wasm.runtime.v8", "envoy.wasm.runtime.null"]


class Service:
    """What plugins call: the path says how it answers. Keeps the requests."""

    def __init__(self, upstream):
        self.requests = []
        self.release = False
        self.server = upstream(self._answer)

    def _answer(self, connection):
        while request := connection.read_request():
            self.requests.append(request)
            path = request.start.split()[1]
            if path == "/hang":
                wait_until(lambda: self.release, "release")
                return
            if path == "/reset":
                connection.reset()
                return
            if path == "/close":
                return
            if path == "/garbage":
                connection.send(b"nonsense\r\n\r\n")
                return
            if path == "/cut":
                connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
                return
            if path == "/half":
                connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
                wait_until(lambda: self.release, "release")
                return
            if path == "/flood":
                connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                while True:
                    connection.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            if path == "/switch":
                connection.send(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nbytes")
                continue
            if path == "/early":
                connection.send(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
            if path == "/deny":
                respond(connection, "401 Unauthorized", body=b"who are you")
                continue
            respond(connection, "200 OK", [("X-User", "bob"), ("a", "1"), ("a", "2")], b"hello")


@pytest.fixture
def service(upstream):
    one = Service(upstream)
    yield one
    one.release = True


def config(service, plugin=None, runtime=ENGINES[0], routes=None, cluster_fields=None, **fields):
    clusters = [cluster(service.server.port, name="up", **(cluster_fields or {})),
                {"name": "empty", "type": "STATIC", "load_assignment": {"cluster_name": "empty"}}]
    return bootstrap(listener(hcm(routes or [direct()], [wasm("caller", plugin, runtime, **fields)])), clusters=clusters)


def ask(weir, commands, **options):
    return http1.request(weir.port, headers={"x-calls": commands}, **options)


def told(weir, since=0):
    return re.findall(r" caller: caller: (.*)", weir.log())[since:]


def told_by(weir, commands, status=200):
    """What the plugin logs during one request, which ends with its "log" line; the log is written by a thread."""
    before = len(told(weir))
    assert ask(weir, commands + "; pause").status == status
    wait_until(lambda: told(weir, before)[-1:] and told(weir, before)[-1].startswith("log "), f"log of {commands}")
    return [re.sub(r"service-time: \d+", "service-time: N", t) for t in told(weir, before)]


def wait_told(weir, text, count=1):
    return wait_until(lambda: len([t for t in told(weir) if t.startswith(text)]) >= count, f"{text} in\n{weir.log()}")


@pytest.mark.parametrize("runtime", ENGINES)
def test_the_request_that_the_upstream_sees(start, service, runtime):
    weir = start(config(service, runtime=runtime))
    ask(weir, "http up /ok timeout=5000 h:user-agent=me h:te=trailers; pause")
    ask(weir, "http up /post method=POST body=abc h:content-length=77 h:transfer-encoding=chunked h:connection=close; pause")
    ask(weir, "http up /empty method=POST; pause")
    ask(weir, "http up /orders h:x-envoy-upstream-rq-timeout-ms=4000 timeout=9; pause")
    seen = [(r.start, dict(r.headers), r.body) for r in service.requests]
    assert seen == [
        ("GET /ok HTTP/1.1", {"host": "caller.example", "user-agent": "me", "te": "trailers", "x-envoy-internal": "true",
                              "x-envoy-expected-rq-timeout-ms": "5000"}, b""),
        ("POST /post HTTP/1.1", {"host": "caller.example", "content-length": "3", "x-envoy-internal": "true"}, b"abc"),
        ("POST /empty HTTP/1.1", {"host": "caller.example", "x-envoy-internal": "true", "content-length": "0"}, b""),
        ("GET /orders HTTP/1.1", {"host": "caller.example", "x-envoy-internal": "true",
                                  "x-envoy-expected-rq-timeout-ms": "4000"}, b"")]
    assert service.server.connections == 1
    assert weir.stats("cluster.up")["cluster.up.upstream_rq_200"] == 4


def test_what_cannot_be_sent_is_refused(start, service):
    weir = start(config(service))
    for commands, status in (("http nope /x", 2), ("http up /x h::method=GET", 2), ("http up /x h:b@d=1", 2),
                             ("http up /x method=CONNECT", 2), ("http up /x timeout=4294967295", 2),
                             ("http up /x h:no:pe=1", 2), ("http empty /x", 10)):
        assert told_by(weir, commands)[0] == f"http {commands.split()[1]}: {status}", commands
    assert weir.stats("cluster.empty")["cluster.empty.upstream_cx_none_healthy"] == 1




@pytest.mark.parametrize("runtime", ENGINES)
def test_the_answer_that_the_plugin_gets(start, service, runtime):
    weir = start(config(service, runtime=runtime))
    assert told_by(weir, "http up /ok") == [
        "http up: 0", "response 4: 6 5 0", "answer 4 on 2: 200, 6 5 0", "header :status: 200", "header x-user: bob",
        "header a: 1", "header a: 2", "header content-length: 5", "header x-envoy-upstream-service-time: N",
        "bytes 0 'hello'", "log 2"]
    assert told_by(weir, "http up /early")[1] == "response 8: 6 5 0"
    assert told_by(weir, "http up /ok method=HEAD")[1] == "response 12: 6 0 0"


LOCAL = "upstream connect error or disconnect/reset before headers. reset reason: "
FAILED = ["response 4: 0 0 0", "answer 4 on 2: 0, 0 0 0", "bytes 1 ''", "status 11 'reset'"]


def local(status, text):
    return [f"response 4: 3 {len(text)} 0", f"answer 4 on 2: {status}, 3 {len(text)} 0", f"header :status: {status}",
            f"header content-length: {len(text)}", "header content-type: text/plain", f"bytes 0 '{text}'"]


@pytest.mark.parametrize("commands,expected", [
    ("http up /hang timeout=200", local(504, "upstream request timeout")),
    ("http up /reset", local(503, LOCAL + "connection termination")),
    ("http up /close", local(503, LOCAL + "connection termination")),
    ("http up /garbage", local(502, LOCAL + "protocol error")),
    ("http up /cut", FAILED),
    ("http up /half timeout=2000", FAILED),
    ("http up /switch", local(502, LOCAL + "protocol error")),
    ("http up /flood", FAILED),
], ids=["timeout", "reset", "close", "garbage", "cut", "half", "upgrade", "flood"])
def test_how_it_fails(start, service, commands, expected):
    weir = start(config(service))
    assert told_by(weir, commands)[1:-1] == expected


def test_connection_refused(start, service):
    sock, port = refused_port()
    with sock:
        clusters = [cluster(port, name="up")]
        weir = start(bootstrap(listener(hcm([direct()], [wasm("caller")])), clusters=clusters))
        assert told_by(weir, "http up /x")[1:-1] == local(503, LOCAL + "remote connection failure")
        stats = weir.stats("cluster.up")
        assert stats["cluster.up.upstream_cx_connect_fail"] == 1 and stats["cluster.up.upstream_rq_503"] == 1


@pytest.mark.parametrize("runtime", ENGINES)
def test_auth_by_callout(start, service, upstream, runtime):
    """The request waits with its body, then goes on with what the answer said, or gets the plugin's reply."""
    back = upstream(echo)
    clusters = [cluster(service.server.port, name="up"), cluster(back.port)]
    weir = start(bootstrap(listener(hcm([route()], [wasm("caller", runtime=runtime)])), clusters=clusters))
    allowed = http1.request(weir.port, "POST", headers={"x-calls": "auth up /ok; pause"}, body="b" * 100000)
    assert allowed.status == 200
    assert "x-user: bob" in allowed.text and allowed.text.endswith("b" * 1000)
    refused = http1.request(weir.port, "POST", headers={"x-calls": "auth up /deny; pause"}, body="b" * 100000)
    assert (refused.status, refused.text) == (403, "refused\n")
    assert back.connections == 1


def test_parallel_and_nested(start, service):
    weir = start(config(service))
    lines = told_by(weir, "quiet; many 20 up /ok")
    assert len([t for t in lines if t.startswith("answer")]) == 20
    # A call from inside an answer's callback, twice deep, while the stream waits for all of them.
    lines = told_by(weir, "pause; http up /ok; then; http up /ok; then; http up /deny")
    assert [t for t in lines if t.startswith("answer")] == [
        "answer 84 on 3: 200, 6 5 0", "answer 88 on 3: 200, 6 5 0", "answer 92 on 3: 401, 3 11 0"]


def test_the_stream_is_gone_before_the_answer(start, service):
    """The answer comes to the root; the SDK drops it because its stream is gone."""
    weir = start(config(service))
    client = http1.Client(weir.port)
    client.send(b"GET / HTTP/1.1\r\nhost: x\r\nx-calls: http up /hang timeout=3000; pause\r\n\r\n")
    wait_told(weir, "http up: 0")
    client.close()
    wait_told(weir, "log 2")
    wait_told(weir, "response 4: 3 24 0")
    assert not [t for t in told(weir) if t.startswith("answer")]
    assert ask(weir, "http up /ok; pause").status == 200


@pytest.mark.tsan
def test_from_timers_and_start_up(start, service):
    """What a plugin asks for while it is configured is begun on its worker; the trial leaves no trace."""
    weir = start(config(service, "http up /started; tick 20; quiet; ticking; http up /tick"), concurrency=2)
    wait_until(lambda: len([r for r in service.requests if "/started" in r.start]) == 2, "one from each worker")
    wait_told(weir, "response", 10)
    assert len([r for r in service.requests if "/started" in r.start]) == 2
    wait_until(lambda: len([r for r in service.requests if "/tick" in r.start]) > 5, "ticks")
    # To a cluster that there is not: the guest hears of it in a later turn.
    weir = start(config(service, "http nope /started"))
    assert wait_told(weir, "response 4: 0 0 0") and wait_told(weir, "status 11 'reset'")


@pytest.mark.tsan
@pytest.mark.parametrize("singleton", [True, False])
def test_from_a_service(start, service, singleton):
    """A plugin without streams, on a thread of its own or on each worker."""
    text = "quiet; http up /started; tick 20; ticking; http up /tick; many 2 up /ok"
    made = config(service, "quiet")
    made["bootstrap_extensions"] = [{"name": "envoy.bootstrap.wasm", "typed_config": {
        "@type": ANY + "envoy.extensions.wasm.v3.WasmService", "singleton": singleton,
        "config": wasm("caller", text)["typed_config"]["config"]}}]
    weir = start(made, concurrency=2)
    wait_told(weir, "answer 12 on 1: 200, 6 5 0", 1 if singleton else 2)
    assert len([r for r in service.requests if "/started" in r.start]) == (1 if singleton else 2)


@pytest.mark.parametrize("path,answer", [("/ok", b"hello"), ("/deny", b"")])
def test_a_connection_waits_for_the_answer(start, service, upstream, path, answer):
    """The network filter: a TCP connection is let through, or closed, by what a callout says."""
    back = upstream(lambda connection: connection.send(connection.read_exactly(5)))
    plugin = tcp.network_wasm(wasm("caller", f"connecting; auth up {path}; pause"))
    made = tcp.simple(back.port, plugin)
    made["static_resources"]["clusters"].append(cluster(service.server.port, name="up"))
    weir = start(made)
    with tcp.Client(weir.port) as client:
        try:
            got = client.send(b"hello").end().rest()
        except OSError:
            got = b""  # closed with unread bytes, perhaps before the end was said
        assert got == answer
    assert path == "/deny" or back.connections == 1


def test_a_plugin_that_is_refused_calls_nobody(service, tmp_path):
    status, output = refused(tmp_path, wasm("caller", "http up /never; refuse"))
    assert status == 1 and "on_configure returned false" in output
    assert service.requests == []


def test_breakers_and_caps(start, service):
    thresholds = {"circuit_breakers": {"thresholds": [{"max_connections": 1, "max_pending_requests": 2}]}}
    weir = start(config(service, cluster_fields=thresholds))
    lines = told_by(weir, "quiet; many 10 up /ok")
    assert (lines.count("http up: 0"), lines.count("http up: 10")) == (2, 8)
    assert weir.stats("cluster.up")["cluster.up.upstream_rq_pending_overflow"] == 8


def test_callouts_without_end(start, service):
    """A plugin that starts more and more gets INTERNAL_FAILURE at its cap; others are served meanwhile."""
    breakers = {"circuit_breakers": {"thresholds": [{"max_connections": 50, "max_pending_requests": 5000}]}}
    weir = start(config(service, "quiet; tick 5; ticking; many 64 up /hang timeout=60000", cluster_fields=breakers),
                 policy={"rules": [{"worker_time_percent_max": 100, "callback_time_max": "2s", "caps": {"callouts_max": 200}}]})
    wait_told(weir, "http up: 10", 1)
    lines = told(weir)
    assert lines[:lines.index("http up: 10")].count("http up: 0") == 200
    for _ in range(50):
        assert http1.request(weir.port).status == 200
    plugin = weir.plugin("caller")
    assert (plugin["callouts_active"], plugin["callouts_started"]) == (200, 200)
    assert plugin["callout_bytes"] > 200 * 50 and plugin["limits_passed"]["callouts_max"] > 0
    assert 'weir_plugin_callouts_total{plugin="caller"' in weir.admin("/stats/prometheus").text


def test_memory_of_requests_is_capped(start, service):
    """The policy's cap over all requests that wait: the next one is refused; all is free again when they have ended."""
    breakers = {"circuit_breakers": {"thresholds": [{"max_connections": 2, "max_pending_requests": 5000}]}}
    weir = start(config(service, "quiet", cluster_fields=breakers),
                 policy={"rules": [{"worker_time_percent_max": 100, "callback_time_max": "2s", "caps": {"callout_bytes_max": 1000000}}]})
    for _ in range(2):
        lines = told_by(weir, "many 110 up /hang method=POST fill=10000 timeout=500")
        assert 95 <= lines.count("http up: 0") <= 99 and lines.count("http up: 10") == 110 - lines.count("http up: 0")
    # One answer is capped too, and what it held is free again.
    weir = start(config(service), policy={"rules": [{"worker_time_percent_max": 100, "caps": {"callout_answer_bytes_max": 4}}]})
    assert told_by(weir, "http up /ok")[1] == "response 4: 0 0 0"
    weir = start(config(service), policy={"rules": [{"worker_time_percent_max": 100, "caps": {"callouts_max": 3}}]})
    lines = told_by(weir, "many 5 up /ok")
    assert (lines.count("http up: 0"), lines.count("http up: 10")) == (3, 2)
    assert told_by(weir, "many 2 up /ok")[:2] == ["http up: 0", "http up: 0"]


@pytest.mark.parametrize("runtime", ENGINES[:1])
def test_a_vm_dies_with_calls_under_way(start, service, runtime):
    """Its calls are cancelled, its paused streams answered; the next VM starts with none."""
    weir = start(config(service, runtime=runtime))
    client = http1.Client(weir.port)
    client.send(b"GET / HTTP/1.1\r\nhost: x\r\nx-calls: many 5 up /hang timeout=60000; pause\r\n\r\n")
    wait_told(weir, "http up: 0", 5)
    assert ask(weir, "trap").status == 503
    assert client.response().status == 503
    client.close()
    wait_until(lambda: weir.stats("cluster.up.upstream_rq_active").get("cluster.up.upstream_rq_active", 0) == 0, "cancelled")
    # A call inside an answer's callback that traps: the answer's own memory goes with its VM.
    wait_until(lambda: ask(weir, "http up /ok; pause").status == 200, "respawned")
    assert ask(weir, "http up /ok; http up /ok; http up /hang; pause; then; trap").status == 503
    wait_until(lambda: ask(weir, "http up /ok; pause").status == 200, "respawned")


@pytest.mark.tsan
def test_shutdown_with_calls_under_way(start, service):
    """Callouts hold nothing up: not those of a root, and not those of a stream that has its drain time."""
    plugin = "quiet; many 3 up /hang timeout=60000; tick 20; ticking; http up /ok"
    for paused in (False, True):
        weir = start(config(service, plugin), "--drain-time-s", "1", concurrency=2)
        with http1.Client(weir.port) as client:
            if paused:
                client.send(b"GET / HTTP/1.1\r\nhost: x\r\nx-calls: many 5 up /hang timeout=60000; pause\r\n\r\n")
            wait_told(weir, "http up: 0", 11)
            began = time.monotonic()
            weir.stop()
            assert time.monotonic() - began < 40


def test_hidden_clusters_and_headers(start, service):
    rule = {"rules": [{"hidden_clusters": ["u*"]}]}
    weir = start(config(service), policy=rule)
    assert told_by(weir, "http up /ok")[0] == "http up: 2"
    rule = {"rules": [{"hidden_headers": ["x-user"]}]}
    weir = start(config(service), policy=rule)
    lines = told_by(weir, "http up /ok")
    assert lines[1] == "response 4: 5 5 0" and not [t for t in lines if "x-user" in t]


def test_the_documented_configuration(start, service):
    """docs/callouts.md as written, with this build's plugin and free ports."""
    text = block("callouts.md").replace("build/tests/plugins", str(BUILD / "tests/plugins"))
    weir = start(with_ports(text, {8080: 0, 8081: service.server.port}))
    response = http1.request(weir.port)
    assert (response.status, response.text) == (200, "you may\n")
    assert service.requests[0].start == "GET / HTTP/1.1"
    holder, dead = refused_port()
    with holder:
        weir = start(with_ports(text, {8080: 0, 8081: dead}))
        assert http1.request(weir.port).status == 403


def test_a_policy_that_is_read_again(start, service):
    """Calls under way go on; the next one is decided by the new policy."""
    weir = start(config(service), policy={"rules": [{"worker_time_percent_max": 100, "caps": {"callouts_max": 50}}]})
    with http1.Client(weir.port) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: x\r\nx-calls: http up /hang timeout=1500; pause\r\n\r\n")
        wait_told(weir, "http up: 0")
        (weir.directory / "policy.json").write_text(json.dumps({"rules": [{"hidden_clusters": ["up"]}]}))
        assert weir.admin("/policy/reload", "POST").status == 200
        wait_until(lambda: told_by(weir, "http up /ok")[0] == "http up: 2", "the new policy holds")
        assert client.response().status == 200
    wait_told(weir, "answer 4 on 2: 504")
