# SPDX-License-Identifier: Apache-2.0
#
# The suite plugin of tests/sdk, built with each real SDK, in Weir and in real Envoy: the same modules, the same
# configuration, the same requests, the same expectations. One process per language and proxy has a listener per
# behaviour. In Weir some of it once more with a fresh VM for each request.

import pytest

from support import envoy, sdk
from support.config import ANY, HTTP2_UPSTREAM, bootstrap, cluster, direct, hcm, listener, route, wasm
from support.http1 import Client, request
from support.process import Weir, wait_until
from support.upstream import Upstream, echo, respond
from test_grpc_callouts import serving

pytestmark = pytest.mark.slow

FRONTS = {
    # listener: what the plugin is configured to do
    "header": "header",
    "body": "body",
    "auth": "auth service",
    "auth-nowhere": "auth nowhere",
    "grpc": "grpc g",
    "route": "route",
    "shared-1": "shared",
    "shared-2": "shared",
    "produce": "produce consumer suite_queue",
    "consume": "consume suite_queue",
    "metrics": "metrics",
    "timer": "timer service",
    "properties": "properties",
    "reply": "reply",
    "trivial": "trivial",
}
# VMs of their own: the two ends of a queue, and two that share data.
VMS = {"produce": {"vm_id": "producer"}, "consume": {"vm_id": "consumer"},
       "shared-1": {"vm_id": "shared", "configuration": "one"}, "shared-2": {"vm_id": "shared", "configuration": "two"}}

def text_value(text):
    return {"@type": ANY + "google.protobuf.StringValue", "value": text}


def suite_filter(module, name, behaviour):
    vm = {"vm_id": "suite", **VMS.get(name, {})}
    vm["configuration"] = text_value(vm.get("configuration", "suite vm"))
    built = wasm("trivial", behaviour, name=name, root_id="suite", vm=vm)
    built["typed_config"]["config"]["vm_config"]["code"]["local"] = {"filename": str(module)}
    return built


def service(connection):
    """What callouts ask."""
    while (asked := connection.read_request()) is not None:
        if asked.start.startswith("GET /tick"):
            respond(connection, body="tock")
        elif asked.get("x-token") == "good":
            respond(connection, headers=[("x-user", "alice")])
        else:
            respond(connection, "401 Unauthorized")


def configuration(module, upstream, callee, fronts=FRONTS, grpc_port=None):
    listeners = []
    for name, behaviour in fronts.items():
        routes = [route()]
        if name == "route":
            blue = {"prefix": "/", "headers": [{"name": "x-route", "string_match": {"exact": "blue"}}]}
            routes = [direct(200, "blue", blue), direct(200, "green")]
        listeners.append(listener(hcm(routes, [suite_filter(module, name, behaviour)]), name=name))
    clusters = [cluster(upstream.port), cluster(callee.port, name="service")]
    if grpc_port:
        clusters.append(cluster(grpc_port, name="g", **HTTP2_UPSTREAM))
    return bootstrap(*listeners, clusters=clusters)


class Host:
    """One proxy with one language's plugin behind all listeners."""

    def __init__(self, proxy, grpc_service=None):
        self.proxy = proxy
        self.grpc_service = grpc_service

    def port(self, name):
        return self.proxy.listener_port(name)

    def request(self, name, *arguments, **options):
        return request(self.port(name), *arguments, **options)

    def lines(self):
        return [line.split("suite: ", 1)[1] for line in envoy.plugin_lines(self.proxy.log()) if "suite: " in line]

    def wait_line(self, text):
        """Logs are written behind the requests' backs."""
        return wait_until(lambda: text in self.lines(), f"log line {text!r}", 20.0)


@pytest.fixture(scope="module", params=["weir", "envoy"])
def kind(request):
    return request.param


@pytest.fixture(scope="module", params=sdk.LANGUAGES)
def language(request):
    return request.param


@pytest.fixture(scope="module")
def host(tmp_path_factory, kind, language):
    module = sdk.module(language)
    directory = tmp_path_factory.mktemp(f"{kind}-{language}")
    with Upstream(echo) as upstream, Upstream(service) as callee, serving() as grpc_service:
        config = configuration(module, upstream, callee, grpc_port=grpc_service.port)
        with (Weir if kind == "weir" else envoy.Envoy)(directory, config) as proxy:
            yield Host(proxy, grpc_service)


def test_headers(host):
    answer = host.request("header", path="/here", headers={"x-replace": "old", "x-remove": "me"})
    assert (answer.status, answer.get("x-response")) == (200, "on")
    seen = answer.text.splitlines()
    assert "x-path: /here" in seen
    assert [line for line in seen if line.startswith("x-add")] == ["x-add: 1", "x-add: 2"]
    assert "x-replace: new" in seen and "x-replace: old" not in seen
    assert not any(line.startswith("x-remove") for line in seen)
    host.wait_line("request headers 8 end")
    host.wait_line("response headers 3 200")


@pytest.mark.parametrize("body", ["x", "hello", "x" * 100_000], ids=["one byte", "small", "big"])
def test_bodies(host, body):
    answer = host.request("body", "POST", "/", body=body)
    assert answer.status == 200
    assert answer.text.startswith("<POST / ") and answer.text.endswith(f"\n[{body}]>")


def test_body_in_chunks(host):
    with Client(host.port("body")) as client:
        client.send("POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        client.send("2\r\nde\r\n")
        client.send("0\r\n\r\n")
        assert client.response().text.endswith("[abcde]>")


def test_authorization(host):
    answer = host.request("auth", headers={"x-token": "good"})
    assert answer.status == 200 and "x-user: alice" in answer.text.splitlines()
    answer = host.request("auth", headers={"x-token": "bad"})
    assert (answer.status, answer.text, answer.get("x-suite")) == (403, "denied", "auth")


def test_authorization_of_an_unknown_cluster(host):
    assert host.request("auth-nowhere").status == 500


GRPC_LANGUAGES = ("cpp", "rust", "go")  # whose plugin has it


@pytest.fixture
def grpc_host(host, language):
    if language not in GRPC_LANGUAGES:
        pytest.skip(f"the {language} plugin makes no gRPC calls")
    return host


def test_grpc_call(grpc_host):
    answer = grpc_host.request("grpc", path="/Unary", headers={"x-message": "hello"})
    assert answer.status == 200 and "x-grpc: echo:hello" in answer.text.splitlines()
    method, metadata = grpc_host.grpc_service.seen[-1]
    assert method == "/p.S/Unary" and ("x-suite", "grpc") in metadata
    answer = grpc_host.request("grpc", path="/Empty", headers={"x-message": ""})
    assert answer.status == 200 and "x-grpc: " in answer.text.splitlines()


@pytest.mark.parametrize("path,message,body", [
    ("/Fail", "x", "grpc 5 no such thing{via_upstream}"),
    ("/Missing", "x", "grpc 12 Method not found!{via_upstream}"),
    ("/Bidi", "fail", "grpc 10 you said so{via_upstream}"),
], ids=["call", "unimplemented", "stream"])
def test_grpc_that_fails(grpc_host, path, message, body):
    answer = grpc_host.request("grpc", path=path, headers={"x-message": message})
    assert (answer.status, answer.text) == (503, body)


def test_grpc_stream(grpc_host):
    answer = grpc_host.request("grpc", path="/Bidi", headers={"x-message": "one"})
    assert answer.status == 200 and "x-grpc: got:one got:bye" in answer.text.splitlines()
    grpc_host.wait_line("grpc initial 1")
    grpc_host.wait_line("grpc trailing 2")


def test_route_by_header(host):
    assert host.request("route").text == "green"
    assert host.request("route", headers={"x-version": "1"}).text == "green"
    assert host.request("route", headers={"x-version": "2"}).text == "blue"


def test_shared_data_of_two_vms(host):
    counts = [int(host.request(f"shared-{i % 2 + 1}").get("x-count")) for i in range(6)]
    assert counts == [1, 2, 3, 4, 5, 6]


def test_shared_queue_between_two_vms(host):
    host.wait_line("queue found")
    for path in ("/one", "/two", "/three"):
        assert host.request("produce", path=path).status == 200
    host.wait_line("queue item /three")
    items = [line.split()[-1] for line in host.lines() if line.startswith("queue item ")]
    assert items == ["/one", "/two", "/three"]
    wait_until(lambda: host.lines().count("enqueue Ok") == 3, "three items in the queue")


def test_metrics(host):
    assert [host.request("metrics", path="/12345").get("x-counter") for _ in range(3)] == ["1", "2", "3"]
    stats = host.proxy.stats("suite_")
    assert stats["wasmcustom.suite_requests"] == 3
    assert stats["wasmcustom.suite_gauge"] == 7
    text = host.proxy.admin("/stats/prometheus").text
    assert "suite_requests" in text and "suite_size" in text


def test_timer_with_a_callout(host):
    host.wait_line("tick answer 200 tock")


def test_properties(host, kind):
    answer = host.request("properties", path="/p?q=1", headers={"x-in": "seen"})
    shown = {name: answer.get(name) for name in ("x-request-path", "x-request-header", "x-response-code",
                                                 "x-plugin-root-id", "x-missing", "x-state")}
    # Envoy forgets the request's headers when they have gone upstream; docs/compatibility.md.
    path, header = ("/p?q=1", "seen") if kind == "weir" else (None, None)
    assert shown == {"x-request-path": path, "x-request-header": header, "x-response-code": "200",
                     "x-plugin-root-id": "suite", "x-missing": "none", "x-state": "kept"}


def test_trivial(host):
    assert host.request("trivial").get("x-trivial") == "1"


def test_local_reply(host):
    answer = host.request("reply", "POST", body="abc")
    assert (answer.status, answer.text, answer.get("x-suite")) == (418, "short and stout", "reply")


def test_configurations(host):
    assert "vm configuration 'suite vm'" in host.lines()
    for behaviour in FRONTS.values():
        assert f"configured '{behaviour}'" in host.lines()


# --- sharing STREAM: each configuration has a snapshot of its own, whose compilation takes Go a while ---

FRESH = ("header", "auth", "metrics")
FRESH_GRPC = ("cpp", "rust")  # a fourth snapshot of a Go plugin would tell no more than "auth" does


@pytest.fixture(scope="module")
def fresh(tmp_path_factory, language):
    module = sdk.module(language)
    with Upstream(echo) as upstream, Upstream(service) as callee, serving() as grpc_service:
        names = FRESH + (("grpc",) if language in FRESH_GRPC else ())
        config = configuration(module, upstream, callee, {name: FRONTS[name] for name in names}, grpc_service.port)
        # The default pool reserves more addresses than sanitizers leave.
        with Weir(tmp_path_factory.mktemp(f"fresh-{language}"), config, "--wasm-stream-vms", 64, concurrency=2,
                  policy={"rules": [{"sharing": "STREAM"}]}) as proxy:
            yield Host(proxy)


def test_fresh_headers(fresh):
    for _ in range(20):
        answer = fresh.request("header", path="/here", headers={"x-replace": "old", "x-remove": "me"})
        assert (answer.status, answer.get("x-response")) == (200, "on")
        seen = answer.text.splitlines()
        assert "x-path: /here" in seen and "x-replace: new" in seen
        assert [line for line in seen if line.startswith("x-add")] == ["x-add: 1", "x-add: 2"]


def test_fresh_authorization(fresh):
    """The answer of a callout comes to the VM that asked, one of several."""
    for token, status in [("good", 200), ("bad", 403)] * 5:
        assert fresh.request("auth", headers={"x-token": token}).status == status


def test_fresh_grpc(fresh, language):
    if language not in FRESH_GRPC:
        pytest.skip(f"not for {language}")
    for _ in range(3):
        answer = fresh.request("grpc", path="/Unary", headers={"x-message": "hello"})
        assert answer.status == 200 and "x-grpc: echo:hello" in answer.text.splitlines()
        answer = fresh.request("grpc", path="/Bidi", headers={"x-message": "one"})
        assert answer.status == 200 and "x-grpc: got:one got:bye" in answer.text.splitlines()


def test_fresh_metrics(fresh):
    """They are the plugin's, not the stream's."""
    assert [fresh.request("metrics").get("x-counter") for _ in range(5)] == ["1", "2", "3", "4", "5"]
    assert fresh.proxy.stats("suite_")["wasmcustom.suite_requests"] == 5


def test_fresh_vms_leave_nothing(fresh):
    wait_until(lambda: all(fresh.proxy.plugin(name)["streams"] == 0 for name in FRESH), "no stream")
    assert all(fresh.proxy.plugin(name)["traps"] == fresh.proxy.plugin(name)["respawns"] == 0 for name in FRESH)
