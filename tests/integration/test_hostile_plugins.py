# SPDX-License-Identifier: Apache-2.0
"""Plugins that mean harm: each has a clear outcome, the next request is served, and nothing is smuggled."""

import json
import time

import pytest

from support import http1
from support.config import simple, wasm
from support.process import run_weir, wait_until
from support.upstream import respond

REQUEST_PHASES = ["on_context_create", "on_request_headers", "on_request_body"]
RESPONSE_PHASES = ["on_response_headers", "on_response_body"]


def hostile(configuration="", **fields):
    return wasm("hostile", configuration, **fields)


def send(weir, action=None, client=None):
    headers = {"x-hostile": action} if action else {}
    request = client.request if client else lambda *a: http1.request(weir.port, *a)
    return request("POST", "/", headers, "some body")


@pytest.mark.tsan
@pytest.mark.parametrize("phase", ["on_request_headers", "on_request_body", "on_response_headers"])
def test_a_trap_fails_closed_and_the_next_request_is_served(start, upstream, phase):
    weir = start(simple(upstream().port, filters=[hostile()]))
    response = send(weir, f"trap:{phase}")
    assert (response.status, response.body) == (503, b"")
    weir.wait_log(r"Function: proxy_" + phase)
    assert "hostile_inner" in weir.log()
    assert send(weir).status == 200
    assert weir.plugin("hostile")["traps"] == 1


def test_a_trap_while_the_response_streams_ends_it(start, upstream):
    weir = start(simple(upstream().port, filters=[hostile()]))
    with http1.Client(weir.port) as client:
        client.send(http1.format_request("POST", "/", {"x-hostile": "trap:on_response_body"}, "x"))
        try:
            response = client.response()
            assert response.status in (500, 503)
        except http1.Closed:
            pass
    assert send(weir).status == 200


@pytest.mark.parametrize("phase", ["on_request_headers", "on_request_body", "on_response_headers", "on_response_body"])
def test_a_trap_fails_open(start, upstream, phase):
    weir = start(simple(upstream().port, filters=[hostile(failure_policy="FAIL_OPEN")]))
    response = send(weir, f"trap:{phase}")
    assert response.status == 200
    assert response.text.endswith("some body")
    assert send(weir).status == 200


@pytest.mark.parametrize("phase", ["on_log", "on_done", "on_delete"])
def test_a_trap_at_the_end_does_not_touch_the_answer(start, upstream, phase):
    weir = start(simple(upstream().port, filters=[hostile()]))
    assert send(weir, f"trap:{phase}").status == 200
    wait_until(lambda: weir.plugin("hostile")["traps"] == 1, "the trap")
    assert send(weir).status == 200


@pytest.mark.parametrize("what", ["loop", "loop_calls"])
def test_an_endless_loop_is_ended_by_the_limit(start, upstream, what):
    weir = start(simple(upstream().port, filters=[hostile()]))
    before = time.monotonic()
    assert send(weir, f"{what}:on_request_headers").status == 503
    assert time.monotonic() - before < 10
    weir.wait_log("time limit")
    assert weir.plugin("hostile")["timeouts"] == 1
    assert send(weir).status == 200


def test_the_policy_sets_the_time(start, upstream):
    policy = {"rules": [{"match": {"plugin": "hostile"}, "callback_time_max": "0.2s"}, {}]}
    weir = start(simple(upstream().port, filters=[hostile()]), policy=policy)
    before = time.monotonic()
    assert send(weir, "loop:on_request_headers").status == 503
    assert time.monotonic() - before >= 0.2
    weir.wait_log("200 ms")


def test_memory_stops_at_the_cap(start, upstream):
    policy = {"rules": [{"memory_max_bytes": 16 << 20, "callback_time_max": "10s"}]}
    weir = start(simple(upstream().port, filters=[hostile()]), policy=policy)
    assert send(weir, "alloc:on_request_headers").status == 200
    matches = weir.wait_log(r"out of memory after (\d+) MiB")
    assert 8 <= int(matches[0]) <= 16
    assert send(weir).status == 200


@pytest.mark.parametrize("action", ["oob", "divide", "recurse"])
def test_other_traps(start, upstream, action):
    policy = {"rules": [{"callback_time_max": "10s"}]}
    weir = start(simple(upstream().port, filters=[hostile()]), policy=policy)
    assert send(weir, f"{action}:on_request_headers").status == 503
    assert send(weir).status == 200


def test_wild_pointers_get_a_status(start):
    weir = start(simple(filters=[wasm("wild")]))
    response = http1.request(weir.port)
    assert response.status == 200
    assert int(response.get("x-wild")) > 100
    assert weir.plugin("wild")["traps"] == 0


@pytest.mark.parametrize("mode", ["zero", "wild", "end", "overlap", "trap", "loop", "grow", "odd"])
def test_a_lying_allocator(start, mode):
    weir = start(simple(filters=[wasm("allocator", mode)]))
    for _ in range(3):
        assert http1.request(weir.port).status in (200, 503)
    assert weir.admin("/ready").status == 200


def test_two_local_replies_the_first_counts(start, upstream):
    weir = start(simple(upstream().port, filters=[hostile()]))
    response = send(weir, "two_replies:on_request_headers")
    assert (response.status, response.text, response.all("x-reply")) == (418, "first\n", ["first"])


def test_a_local_reply_from_the_response(start, upstream):
    weir = start(simple(upstream().port, filters=[hostile()]))
    response = send(weir, "reply:on_response_headers")
    assert (response.status, response.text) == (418, "first\n")


def test_a_trap_beats_a_reply(start, upstream):
    weir = start(simple(upstream().port, filters=[hostile()]))
    assert send(weir, "reply_trap:on_request_headers").status == 503


def test_a_bad_reply_is_made_harmless(start, upstream):
    weir = start(simple(upstream().port, filters=[hostile()]))
    response = send(weir, "reply_bad:on_request_headers")
    assert response.status == 500
    assert response.get("x-smuggled") is None
    response = send(weir, "reply_framing:on_request_headers")
    assert (response.status, response.text) == (418, "framing\n")


@pytest.mark.parametrize("action", ["crlf", "framing", "framing_remove", "pseudo_bad"])
@pytest.mark.parametrize("phase", ["on_request_headers", "on_response_headers"])
def test_headers_do_not_smuggle(start, upstream, action, phase):
    """Two requests on one connection: whatever the first one's plugin wrote, the second is answered as itself."""
    seen = []

    def handler(connection):
        while (request := connection.read_request()) is not None:
            seen.append(request)
            respond(connection, body=request.start)

    weir = start(simple(upstream(handler).port, filters=[hostile()]))
    with http1.Client(weir.port) as client:
        try:
            first = client.request("POST", "/first", {"x-hostile": f"{action}:{phase}"}, "some body")
            assert first.get("x-smuggled") is None
        except http1.Closed:
            pass
    assert http1.request(weir.port, path="/second").text == "GET /second HTTP/1.1"
    for request in seen:
        assert request.get("x-smuggled") is None
        assert request.start.split(" ")[1] in ("/first", "/second") or action == "pseudo_bad"
        assert len(request.all("host")) == 1
        assert not (request.get("content-length") and request.get("transfer-encoding"))


@pytest.mark.parametrize("phase", ["on_request_headers", "on_response_headers"])
def test_missing_pseudo_headers_are_an_error(start, upstream, phase):
    """Without :path no route matches: 404, as when a client's path matches none."""
    weir = start(simple(upstream().port, filters=[hostile()]))
    assert send(weir, f"pseudo_remove:{phase}").status in (404, 500, 502, 503)
    assert send(weir).status == 200


@pytest.mark.parametrize("phase", ["on_request_headers", "on_response_headers"])
def test_close_stream_resets(start, upstream, phase):
    weir = start(simple(upstream().port, filters=[hostile()]))
    with http1.Client(weir.port) as client:
        client.send(http1.format_request("POST", "/", {"x-hostile": f"close:{phase}"}, "x"))
        assert client.closed_by_peer()
    assert send(weir).status == 200


def test_start_failures_refuse_the_configuration(tmp_path):
    for configuration, word in (("trap:on_configure", "trap"), ("false:on_configure", "configure"),
                                ("loop:on_configure", "time limit")):
        policy = tmp_path / "policy.json"
        policy.write_text(json.dumps({"rules": [{"start_time_max": "0.3s"}]}))
        path = tmp_path / "weir.json"
        path.write_text(json.dumps(simple(filters=[hostile(configuration)])))
        result = run_weir("-c", path, "--policy", policy, "--wasm-cache-dir", "none")
        assert result.returncode == 1
        assert "hostile" in result.stderr and word in result.stderr.lower(), result.stderr


def test_fail_reload_backs_off(start, upstream):
    plugin = hostile(failure_policy="FAIL_RELOAD", reload_config={"backoff": {"base_interval": "0.5s"}})
    weir = start(simple(upstream().port, filters=[plugin]))
    assert send(weir, "trap:on_request_headers").status == 503
    wait_until(lambda: send(weir).status == 200, "the reload")
    assert weir.stats("vm_reload")["wasm.hostile.vm_reload_success"] == 1


def test_a_crashing_plugin_leaves_others_alone(start, upstream):
    filters = [hostile(failure_policy="FAIL_OPEN"), wasm("add-header", {"response": {"hello": "world"}})]
    weir = start(simple(upstream().port, filters=filters))
    for _ in range(30):
        response = send(weir, "trap:on_request_headers")
        assert (response.status, response.get("hello")) == (200, "world")


def test_traps_do_not_leak(start, upstream):
    weir = start(simple(upstream().port, filters=[hostile(failure_policy="FAIL_OPEN")]))
    with http1.Client(weir.port) as client:
        def trap(count):
            for _ in range(count):
                send(weir, "trap:on_request_headers", client)
        trap(40)
        before = weir.rss_bytes()
        trap(200)
        assert weir.rss_bytes() - before < 24 << 20
    wait_until(lambda: weir.plugin("hostile")["traps"] >= 100, "traps counted")


def test_paused_streams_are_failed_when_their_vm_dies(start, upstream):
    weir = start(simple(upstream().port, filters=[hostile()]))
    with http1.Client(weir.port) as paused:
        paused.send(http1.format_request("POST", "/", {"x-hostile": "pause:on_request_headers"}, "x"))
        wait_until(lambda: weir.plugin("hostile")["streams"] == 1, "the paused stream")
        assert send(weir, "trap:on_request_headers").status == 503
        assert paused.response().status == 503


def test_paused_streams_go_on_when_their_vm_dies_open(start, upstream):
    weir = start(simple(upstream().port, filters=[hostile(failure_policy="FAIL_OPEN")]))
    with http1.Client(weir.port) as paused:
        paused.send(http1.format_request("POST", "/", {"x-hostile": "pause:on_request_headers"}, "x"))
        wait_until(lambda: weir.plugin("hostile")["streams"] == 1, "the paused stream")
        assert send(weir, "trap:on_request_headers").status == 200
        assert paused.response().status == 200


@pytest.mark.parametrize("action,status", [("reply", 418), ("trap", 503), ("loop", 503), ("continue", 200),
                                           ("close", None)])
def test_from_the_creation_of_the_context(start, upstream, action, status):
    """The stream may end before its first callback."""
    weir = start(simple(upstream().port, filters=[hostile(f"{action}:on_context_create")]))
    for _ in range(3):
        try:
            assert send(weir).status == status
        except http1.Closed:
            assert status is None
    assert weir.admin("/ready").status == 200


@pytest.mark.parametrize("action", ["trap", "loop", "reply", "close", "continue", "false"])
def test_at_the_end_of_the_root(start, upstream, action):
    weir = start(simple(upstream().port, filters=[hostile(f"{action}:on_root_done {action}:on_root_delete")]))
    assert send(weir).status == 200


@pytest.mark.parametrize("phase", ["on_request_body", "on_response_body"])
def test_a_body_does_not_grow_without_end(start, upstream, phase):
    """What a plugin writes into a body is the host's memory: it has a cap of its own."""
    policy = {"rules": [{"callback_time_max": "20s"}]}
    weir = start(simple(upstream().port, filters=[hostile()]), policy=policy)
    with http1.Client(weir.port) as client:
        client.send(http1.format_request("POST", "/", {"x-hostile": f"body_grow:{phase}"}, "x"))
        weir.wait_log("over its limit body_bytes_max")
    assert weir.rss_bytes() < 200 << 20
    assert send(weir).status == 200
