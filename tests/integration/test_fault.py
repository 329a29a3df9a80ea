# SPDX-License-Identifier: Apache-2.0
"""Injected faults: what is answered, delayed and slowed down, asked of Weir and of real Envoy with one table; and bodies, ends and
limits of Weir's."""

import re
import time

import pytest

from support import http1, pages
from support.config import ANY, bootstrap, cluster, direct, hcm, http_options, listener, route, wasm
from support.envoy import Envoy
from support.process import Weir, validate, wait_until
from support.tcp import stdout_log
from support.upstream import Upstream, respond

FAULT = ANY + "envoy.extensions.filters.http.fault.v3.HTTPFault"
ALWAYS = {"numerator": 100}
LONG = "600s"
CALLER = "x-envoy-downstream-service-cluster"


def injected(**fields):
    return {"name": "fault", "typed_config": {"@type": FAULT, **fields}}


def faulty(target, what):
    return {**direct(200, "in", target), "typed_per_filter_config": {"fault": {"@type": FAULT, **what}}}


def answer(status, percentage=ALWAYS, **fields):
    return {"abort": {"http_status": status, **({"percentage": percentage} if percentage else {}), **fields}}


def delay(duration, percentage=ALWAYS, **fields):
    return {"delay": {"fixed_delay": duration, "percentage": percentage}, **fields}


HEADERS = {"abort": {"header_abort": {}, "percentage": ALWAYS}, "delay": {"header_delay": {}, "percentage": ALWAYS},
           "response_rate_limit": {"header_limit": {}, "percentage": ALWAYS}}
# Faults of a route, the headers of a request, and what comes of it: status, body, flags.
PASSED = (200, "in", "-")
CASES = {
    "abort": (answer(503), [], (503, "fault filter abort", "FI")),
    "never": (answer(503, None), [], PASSED),
    "grpc": ({"abort": {"grpc_status": 5, "percentage": ALWAYS}}, [], (200, "fault filter abort", "FI")),
    "body": (answer(503, response_body="sorry"), [], (503, "sorry", "FI")),
    "delay": (delay("0.001s"), [], (200, "in", "DI")),
    "both": ({**delay("0.001s"), **answer(429)}, [], (429, "fault filter abort", "DI,FI")),
    "cluster": ({"upstream_cluster": "other", **answer(503)}, [], PASSED),
    "header": ({"headers": [{"name": "x-f", "string_match": {"exact": "1"}}], **answer(503)}, [], PASSED),
    "header there": ({"headers": [{"name": "x-f", "string_match": {"exact": "1"}}], **answer(503)}, [("x-f", "1")],
                     (503, "fault filter abort", "FI")),
    "node": ({"downstream_nodes": ["n1", "n2"], **answer(503)}, [], PASSED),
    "node there": ({"downstream_nodes": ["n1", "n2"], **answer(503)}, [("x-envoy-downstream-service-node", "n2")],
                   (503, "fault filter abort", "FI")),
    "full": ({"max_active_faults": 0, **answer(503)}, [], PASSED),
    "asked": (HEADERS, [("x-envoy-fault-abort-request", "418")], (418, "fault filter abort", "FI")),
    "asked plus": (HEADERS, [("x-envoy-fault-abort-request", "+418")], (418, "fault filter abort", "FI")),
    "asked twice": (HEADERS, [("x-envoy-fault-abort-request", "418"), ("x-envoy-fault-abort-request", "419")],
                    (418, "fault filter abort", "FI")),
    "asked nothing": (HEADERS, [], PASSED),
    "asked nonsense": (HEADERS, [("x-envoy-fault-abort-request", "4x"), ("x-envoy-fault-delay-request", "-1"),
                                 ("x-envoy-fault-throughput-response", "0")], PASSED),
    "asked too much": (HEADERS, [("x-envoy-fault-abort-request", "600")], PASSED),
    "asked grpc": (HEADERS, [("x-envoy-fault-abort-request", "600"), ("x-envoy-fault-abort-grpc-request", "99")],
                   (200, "fault filter abort", "FI")),
    "asked seldom": (HEADERS, [("x-envoy-fault-abort-request", "418"), ("x-envoy-fault-abort-request-percentage", "0")], PASSED),
    "asked often": ({"abort": {"header_abort": {}}}, [("x-envoy-fault-abort-request", "418"),
                                                      ("x-envoy-fault-abort-request-percentage", "100")], PASSED),
    "asked delay": (HEADERS, [("x-envoy-fault-delay-request", "1")], (200, "in", "DI")),
    "asked slow": (HEADERS, [("x-envoy-fault-throughput-response", "1000")], PASSED),
    "key": ({**answer(503, None), "abort_percent_runtime": "my.abort", "abort_http_status_runtime": "my.status"}, [],
            (418, "fault filter abort", "FI")),
    "key of a caller": ({**answer(503, None), "abort_percent_runtime": "my.abort"}, [(CALLER, "known")],
                        (444, "fault filter abort", "FI")),
    "key of no caller": ({**answer(503, None), "abort_percent_runtime": "my.abort"}, [(CALLER, "unknown")], PASSED),
    "key of delay": ({**delay(LONG), "delay_duration_runtime": "my.delay"}, [], (200, "in", "DI")),
    "key of the caller's delay": (delay(LONG), [(CALLER, "known")], (200, "in", "DI")),
    "metadata": ({**answer(503), "filter_metadata": {"why": "test", "n": [1.5, None, {"deep": True}]}}, [],
                 (503, "fault filter abort", "FI")),
    "metadata first": ({**delay("0.001s"), "filter_metadata": {"why": "is", "n": [1.5, None, {"deep": True}]}}, [], (200, "in", "DI")),
    "uncounted": ({**answer(503), "disable_downstream_cluster_stats": True}, [(CALLER, "nobody")], (503, "fault filter abort", "FI")),
}
RUNTIME = {"my.abort": 100, "my": {"status": 418, "delay": 1}, "fault.http.known.abort.abort_percent": {"numerator": 100},
           "fault": {"http": {"known": {"abort.http_status": 444, "delay": {"fixed_duration_ms": 1}}}}}
TOLD = "%REQ(x-case)% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %DYNAMIC_METADATA(fault)% end"


def place(case):
    return "/" + re.sub("[^a-z]", "_", case)


@pytest.fixture(scope="module", params=[Weir, Envoy], ids=["weir", "envoy"])
def proxy(request, tmp_path_factory):
    routes = [faulty(place(case), what) for case, (what, _, _) in sorted(CASES.items(), key=lambda item: -len(item[0]))]
    manager = hcm(routes, filters=[injected(), wasm("probe", name="p")], access_log=[stdout_log(TOLD)])
    config = {**bootstrap(listener(manager)), "layered_runtime": {"layers": [{"name": "s", "static_layer": RUNTIME}]}}
    with request.param(tmp_path_factory.mktemp("fault"), config) as running:
        yield running


@pytest.mark.parametrize("case", CASES)
def test_what_comes_of_it(proxy, case):
    status, body, flags = CASES[case][2]
    got = http1.request(proxy.port, "GET", place(case), [("x-case", place(case)), *CASES[case][1]])
    assert (got.status, got.text) == (status, body)
    details = "fault_filter_abort" if "FI" in flags else "direct_response"
    metadata = "-" if flags == "-" else "{}"
    if case.startswith("metadata"):
        metadata = '{"n":[1.5,null,{"deep":true}],"why":"%s"}' % ("test" if case == "metadata" else "is")
    wait_until(lambda: f"{place(case)} {flags} {details} {metadata} end" in proxy.log(), "the access log")
    assert proxy.stats("active_faults")["http.front.fault.active_faults"] == 0


@pytest.mark.parametrize("case, status", [("abort", 14), ("grpc", 5)])
def test_grpc(proxy, case, status):
    got = http1.request(proxy.port, "POST", place(case), [("content-type", "application/grpc")])
    assert (got.status, got.get("grpc-status"), got.get("grpc-message")) == (200, str(status), "fault filter abort")


def test_statistics(proxy):
    before = proxy.stats("fault")
    for case, headers in [("abort", [(CALLER, "one")]), ("abort", []), ("uncounted", [(CALLER, "nobody")]), ("both", [(CALLER, "two")]),
                          ("full", []), ("asked slow", CASES["asked slow"][1])]:
        http1.request(proxy.port, "GET", place(case), headers)
    after = proxy.stats("fault")
    changed = {name.removeprefix("http.front.fault."): value - before.get(name, 0) for name, value in after.items()
               if value != before.get(name)}
    assert changed == {"aborts_injected": 4, "delays_injected": 1, "faults_overflow": 1, "response_rl_injected": 1,
                       "one.aborts_injected": 1, "two.aborts_injected": 1, "two.delays_injected": 1}


def test_what_plugins_see(proxy):
    http1.request(proxy.port, "GET", place("metadata first"), [("x-probe", "@request_headers property metadata")])
    whole = wait_until(lambda: re.findall("probe: 1 property: (.*)", proxy.log()), "the plugin's line")[-1]
    assert r"\x0a\x05fault\x125" in whole and r"\x0a\x03why\x12\x04\x1a\x02is" in whole
    assert r"\x0a\x01n\x12!2\x1f\x0a\x09\x11\x00\x00\x00\x00\x00\x00\xf8?\x0a\x02\x08\x00\x0a\x0e*\x0c\x0a\x0a\x0a\x04deep\x12\x02 \x01" in whole


# --- Weir alone ---

SLOW = {"response_rate_limit": {"fixed_limit": {"limit_kbps": 20}, "percentage": ALWAYS}}
BODY = bytes(range(256)) * 120


def routed(what, target="/"):
    return {**route(target), "typed_per_filter_config": {"fault": {"@type": FAULT, **what}}}


def answer_at_length(connection):
    while (request := connection.read_request()) is not None:
        if request.start.split()[1] == "/endless":
            connection.send(f"HTTP/1.1 200 OK\r\ncontent-length: {64 << 20}\r\n\r\n")
            connection.socket.settimeout(3)
            try:
                for _ in range(1024):
                    connection.send(b"x" * (64 << 10))
                    connection.sent = getattr(connection, "sent", 0) + (64 << 10)
            except OSError:
                pass
            answer_at_length.sent.append(getattr(connection, "sent", 0))
            return
        if request.start.split()[1] == "/trailers":
            connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nx-t: 1\r\n\r\n" % (len(BODY), BODY))
        else:
            respond(connection, body=request.body or BODY)


answer_at_length.sent = []


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    routes = [routed({"delay": {"fixed_delay": LONG, "percentage": ALWAYS}, "max_active_faults": 1}, "/long"),
              routed(delay("0.05s"), "/soon"), routed(answer(503), "/refused"), routed(SLOW)]
    with Upstream(answer_at_length) as upstream:
        manager = hcm(routes, filters=[injected()], http_protocol_options={"enable_trailers": True}, codec_type="AUTO")
        options = http_options(explicit_http_config={"http_protocol_options": {"enable_trailers": True}})
        with Weir(tmp_path_factory.mktemp("weir"), bootstrap(listener(manager), clusters=[cluster(upstream.port, **options)])) as running:
            yield running


@pytest.mark.parametrize("target", ["/", "/trailers"])
def test_slow_answer(weir, target):
    """All of it, in order, and not faster than configured: 30 KiB at 20 KiB/s."""
    begun = time.monotonic()
    got = http1.request(weir.port, "GET", target, [("te", "trailers")])
    assert got.body == BODY and time.monotonic() - begun > 1.2
    assert dict(got.trailers or []) == ({"x-t": "1"} if target == "/trailers" else {})


def test_slow_answer_holds_its_sender_back(weir):
    with http1.Client(weir.port) as client:
        client.send(http1.format_request("GET", "/endless"))
        wait_until(lambda: answer_at_length.sent, "the upstream waits")
    assert 0 < answer_at_length.sent[0] < 32 << 20
    weir.wait_stat("http.front.fault.active_faults", 0)


def test_upload_during_a_delay(weir):
    body = bytes(range(256)) * 8192
    assert http1.request(weir.port, "POST", "/soon", body=body).body == body


def test_who_gives_up_and_who_is_too_many(weir):
    with http1.Client(weir.port) as waiting:
        waiting.send(http1.format_request("POST", "/long", body=b"x"))
        weir.wait_stat("http.front.fault.active_faults", 1)
        assert http1.request(weir.port, "POST", "/long", body=b"in").body == b"in"
        assert weir.stats("faults_overflow")["http.front.fault.faults_overflow"] == 1
    weir.wait_stat("http.front.fault.active_faults", 0)


def test_many_callers(weir):
    """A client cannot make statistics without end."""
    with http1.Client(weir.port) as client:
        for i in range(1100):
            assert client.request("GET", "/refused", [(CALLER, f"caller-{i}")]).status == 503
    assert len([name for name in weir.stats("aborts_injected") if ".caller-" in name]) == 1024


def test_page(tmp_path):
    """The configuration of docs/fault-injection.md does what the page says."""
    with Upstream(answer_at_length) as upstream:
        text = pages.with_ports(pages.block("fault-injection.md", "# faults"), {10000: 0, 8080: upstream.port})
        with Weir(tmp_path, text) as running:
            assert http1.request(running.port, "GET", "/").body == BODY
            assert http1.request(running.port, "GET", "/", [("x-test", "delay")]).status == 200
            assert http1.request(running.port, "GET", "/", [("x-envoy-fault-abort-request", "503")]).status == 200
            got = http1.request(running.port, "GET", "/fragile", [("x-envoy-fault-abort-request", "503")])
            assert (got.status, got.text) == (503, "fault filter abort")
            stats = running.stats("fault")
            assert (stats["http.front.fault.delays_injected"], stats["http.front.fault.aborts_injected"]) == (1, 1)


def in_filter(runtime=None, **fields):
    layers = {"layered_runtime": {"layers": [{"name": "s", "static_layer": runtime}]}} if runtime else {}
    return {**bootstrap(listener(hcm([direct()], filters=[injected(**fields)]))), **layers}


@pytest.mark.parametrize("config, error", [
    (in_filter(**answer(199)), r"\.abort\.http_status: must be at least 200"),
    (in_filter(abort={"percentage": ALWAYS}), r"\.abort: needs one of http_status, "),
    (in_filter(delay={"percentage": ALWAYS}), r"\.delay: needs one of fixed_delay, "),
    (in_filter(**delay("0s")), r"\.delay\.fixed_delay: must be "),
    (in_filter(response_rate_limit={"fixed_limit": {"limit_kbps": 0}}), r"\.limit_kbps: must be at least 1"),
    (in_filter({"fault.http.abort.http_status": 600}, **answer(500)), "fault.http.abort.http_status must be a status from 200 to 599"),
    (in_filter({"fault.http.x.abort.http_status": 100}), "fault.http.x.abort.http_status must be a status from 200 to 599"),
    (in_filter({"fault.http.abort.abort_percent": "often"}, **answer(500)), "has neither a whole number of percents"),
    (bootstrap(listener(hcm([{**direct(), "typed_per_filter_config": {"x": {"@type": FAULT}}}], filters=[
        {"name": "x", "typed_config": {"@type": ANY + "envoy.extensions.filters.http.cors.v3.Cors"}}]))), 'the filter "x" injects no faults'),
])
def test_refused(tmp_path, config, error):
    result = validate(tmp_path, config)
    assert result.returncode == 1
    assert re.search(error, result.stdout + result.stderr), result.stderr
