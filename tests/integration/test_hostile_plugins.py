# SPDX-License-Identifier: Apache-2.0
"""Plugins that mean harm (tests/plugins/hostile.c, wild.c, allocator.c): each request has one clear outcome, the proxy stays
up, the next request works, and neither client nor upstream ever sees bytes that a plugin smuggled. What they do to others
under load is in test_hostile_load.py, what a policy does about them in test_policy.py."""

import json
import re
import threading
import time

import pytest

from support import http1, plugins
from support.config import ANY, simple, wasm
from support.http1 import Client, Closed, request
from support.process import run_weir, wait_until
from support.upstream import respond

pytestmark = pytest.mark.slow


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


@pytest.mark.tsan
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
    assert time.monotonic() - before < 60
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


@pytest.mark.parametrize("mode", ["zero", "wild", "end", "overlap", "trap", "loop", "grow", "odd"])
def test_a_lying_allocator(start, mode):
    weir = start(simple(filters=[wasm("allocator", mode)]))
    for _ in range(3):
        assert http1.request(weir.port).status in (200, 503)
    assert weir.admin("/ready").status == 200


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
    policy = {"rules": [{"callback_time_max": "20s", "worker_time_percent_max": 100}]}
    weir = start(simple(upstream().port, filters=[hostile()]), policy=policy)
    with http1.Client(weir.port) as client:
        client.send(http1.format_request("POST", "/", {"x-hostile": f"body_grow:{phase}"}, "x"))
        weir.wait_log("over its limit body_bytes_max")
    assert weir.rss_bytes() < 200 << 20
    assert send(weir).status == 200


def front(start, recording, configuration="", **fields):
    return start(simple(recording.port, filters=[wasm("hostile", configuration, **fields)]))


@pytest.fixture
def served(start, recording):
    return front(start, recording)


def ask(weir, script, method="GET", body=None):
    return request(weir.port, method, "/path", {"x-hostile": script, "connection": "close"}, body)


def exchange(weir, data):
    """Raw bytes there, and all that comes back until the proxy closes."""
    with Client(weir.port) as client:
        client.send(data)
        return client.read_to_end()


def get(script, more="connection: close\r\n"):
    return f"GET / HTTP/1.1\r\nhost: a\r\nx-hostile: {script}\r\n{more}\r\n"


def alive(weir):
    return weir.process.poll() is None


def still_works(weir):
    """A VM that died is made anew; until then a stream may fail by policy."""
    assert alive(weir), weir.log()[-5000:]
    wait_until(lambda: request(weir.port).status == 200, "an ordinary request works again", 60)


DEADLY = ["trap", "recurse", "oob", "divide", "loop", "loop_calls", "reply_trap"]


@pytest.mark.parametrize("action", DEADLY)
@pytest.mark.parametrize("callback", ["on_request_headers", "on_response_headers"])
def test_deadly_before_the_answer(served, recording, action, callback):
    answer = ask(served, f"{action}:{callback}")
    assert answer.status == 503
    assert answer.get("x-reply") is None
    still_works(served)


@pytest.mark.parametrize("action", ["trap", "loop"])
def test_deadly_in_a_request_body(served, recording, action):
    assert ask(served, f"{action}:on_request_body", "POST", b"x" * 10_000).status == 503
    still_works(served)


@pytest.mark.parametrize("action", ["trap", "loop"])
def test_deadly_in_a_response_body(served, action):
    """The headers have gone: the client must not take the rest for a whole body."""
    with pytest.raises(Closed):
        answer = ask(served, f"{action}:on_response_body")
        assert answer.status == 503  # or nothing had gone yet
        raise Closed(b"")
    still_works(served)


@pytest.mark.parametrize("callback", ["on_log", "on_done", "on_delete"])
@pytest.mark.parametrize("action", ["trap", "loop"])
def test_deadly_after_the_answer(served, action, callback):
    assert ask(served, f"{action}:{callback}").status == 200
    still_works(served)


@pytest.mark.parametrize("callback", ["on_context_create"])
def test_deadly_on_creation(start, recording, callback):
    weir = front(start, recording, f"trap:{callback}")
    assert [request(weir.port).status for _ in range(5)] == [503] * 5
    assert alive(weir)


@pytest.mark.parametrize("script", ["trap:on_configure", "false:on_configure", "trap:on_vm_start", "trap:on_root_create",
                                    "oob:on_configure", "not a script"])
def test_deadly_at_start(tmp_path, script):
    filter_ = wasm("hostile", script)
    if "on_vm_start" in script:
        filter_ = wasm("hostile", "", vm={"configuration": {"@type": ANY + "google.protobuf.StringValue", "value": script}})
    status, output = plugins.refused(tmp_path, filter_)
    assert status == 1, output
    assert "hostile" in output


def test_memory_is_capped(served):
    assert ask(served, "alloc:on_request_headers").status == 200
    found = served.wait_log(r"hostile: out of memory after (\d+) MiB")
    assert 200 <= int(found[0]) < 256  # the default cap
    still_works(served)


def test_two_replies(served, recording):
    answer = ask(served, "two_replies:on_request_headers")
    assert (answer.status, answer.all("x-reply"), answer.text) == (418, ["first"], "first\n")
    assert recording.requests == []
    still_works(served)


def test_reply_instead_of_the_upstreams_answer(served):
    answer = ask(served, "reply:on_response_headers")
    assert (answer.status, answer.text) == (418, "first\n")
    still_works(served)


def test_bad_reply(served):
    """Status 99999 and a header with CR/LF in it."""
    answer = ask(served, "reply_bad:on_request_headers")
    assert 200 <= answer.status <= 599
    assert answer.get("x-smuggled") is None
    still_works(served)


def test_reply_with_wrong_framing(served):
    data = exchange(served, get("reply_framing:on_request_headers"))
    head, body = data.split(b"\r\n\r\n", 1)
    lengths = re.findall(rb"(?i)content-length: (\d+)", head)
    assert lengths == [b"%d" % len(body)] and body == b"framing\n"


def test_crlf_in_request_headers(served, recording):
    assert ask(served, "crlf:on_request_headers").status in (200, 400, 500, 503)
    for seen in recording.requests:
        assert seen.get("x-smuggled") is None
        assert not any(c in name + value for name, value in seen.headers for c in "\r\n\0")
    still_works(served)


def test_crlf_in_response_headers(served):
    raw = exchange(served, get("crlf:on_response_headers"))
    head = raw.split(b"\r\n\r\n", 1)[0]
    assert b"\r\nx-smuggled" not in head.lower()
    assert b"\0" not in head and not re.search(rb"\r(?!\n)|(?<!\r)\n", head)
    still_works(served)


@pytest.mark.parametrize("script", ["framing:on_request_headers", "framing_remove:on_request_headers"])
def test_framing_of_requests(served, recording, script):
    """Whatever it did, the upstream reads exactly one request with the client's body."""
    answer = ask(served, script, "POST", b"body of nineteen by")
    if answer.status == 200:
        assert [seen.body for seen in recording.requests] == [b"body of nineteen by"]
    assert all(len(seen.all("content-length")) + len(seen.all("transfer-encoding")) <= 1
               for seen in recording.requests)
    still_works(served)


@pytest.mark.parametrize("script", ["framing:on_response_headers", "framing_remove:on_response_headers"])
def test_framing_of_responses(served, script):
    raw = exchange(served, get(script, "") + "GET /second HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    heads = re.findall(rb"HTTP/1.1 \d+ [^\r]*\r\n(?:[^\r]+\r\n)*\r\n", raw)
    for head in heads:
        framing = re.findall(rb"(?im)^(?:content-length|transfer-encoding):", head)
        assert len(framing) <= 1, raw
    still_works(served)


@pytest.mark.parametrize("script", ["pseudo_remove:on_request_headers", "pseudo_bad:on_request_headers",
                                    "pairs_clear:on_request_headers", "pairs_double:on_request_headers"])
def test_pseudo_headers_of_requests(served, recording, script):
    answer = ask(served, script)
    assert 200 <= answer.status <= 599
    for seen in recording.requests:
        assert re.fullmatch(r"[A-Z]+ /\S* HTTP/1\.1", seen.start), seen.start
        assert len(seen.all("host")) == 1
        assert seen.get("x-smuggled") is None
        assert not any(name.startswith(":") for name, _ in seen.headers)
    still_works(served)


@pytest.mark.parametrize("script", ["pseudo_remove:on_response_headers", "pseudo_bad:on_response_headers",
                                    "pairs_clear:on_response_headers", "pairs_double:on_response_headers"])
def test_pseudo_headers_of_responses(served, script):
    raw = exchange(served, get(script))
    assert re.match(rb"HTTP/1\.1 [2-5]\d\d ", raw), raw[:200]
    assert not re.search(rb"(?m)^:", raw.split(b"\r\n\r\n")[0])
    still_works(served)


@pytest.mark.parametrize("script", ["many_headers:on_request_headers", "huge_header:on_request_headers",
                                    "many_headers:on_response_headers", "huge_header:on_response_headers"])
def test_too_much_of_headers(served, recording, script):
    answer = ask(served, script)
    assert 200 <= answer.status <= 599
    still_works(served)


def test_body_that_grows(served, recording):
    answer = ask(served, "body_grow:on_request_body", "POST", b"x" * 100)
    assert 200 <= answer.status <= 599
    assert sum(len(seen.body) for seen in recording.requests) < 100_000_000
    still_works(served)


@pytest.mark.parametrize("callback", ["on_context_create", "on_request_headers", "on_response_headers", "on_response_body",
                                      "on_log", "on_done", "on_delete"])
def test_calls_from_the_wrong_place(start, recording, callback):
    weir = front(start, recording, f"wrong_phase:{callback}")
    for _ in range(3):
        try:
            assert request(weir.port, "POST", "/", body=b"x").status in (200, 503)
        except Closed:  # more body than the content-length that has gone says: cut off, not passed on
            assert callback == "on_response_body"
    weir.wait_log("hostile: header_get map 7: status")
    assert alive(weir)


@pytest.mark.parametrize("callback", ["on_request_headers", "on_request_body", "on_response_headers", "on_response_body"])
def test_return_values_that_do_not_exist(served, callback):
    """The strongest stop, and nobody continues it: the client gives up, the proxy cleans up."""
    with Client(served.port, timeout=1) as client, pytest.raises((TimeoutError, Closed)):
        client.request("POST", "/", {"x-hostile": f"return_wild:{callback}"}, b"x")
    still_works(served)


def test_close_from_a_plugin(served, recording):
    raw = exchange(served, get("close:on_request_headers"))
    assert not raw.startswith(b"HTTP/1.1 200")
    still_works(served)


def test_floods(served):
    answer = ask(served, "log_flood:on_request_headers shared_flood:on_request_headers")
    assert answer.status in (200, 503)
    still_works(served)


def test_wild_arguments(start, recording):
    weir = start(simple(recording.port, filters=[wasm("wild", "")]))
    for _ in range(3):
        answer = request(weir.port)
        assert (answer.status, answer.get("x-wild")) == (200, "589")
    assert alive(weir)


def test_one_plugin_dies_the_other_lives(start, recording):
    weir = start(simple(recording.port, filters=[wasm("add-header", {"response": {"hello": "world"}}),
                                                 wasm("hostile", "")]))
    for _ in range(3):
        answer = ask(weir, "trap:on_request_headers")
        assert (answer.status, answer.get("hello")) == (503, "world")
    still_works(weir)
    assert request(weir.port).get("hello") == "world"


@pytest.mark.tsan
def test_two_workers_under_fire(start, recording):
    """Clients at once on two workers; one request in five kills the VM that it meets, some in the midst of an answer."""
    weir = start(simple(recording.port, filters=[
        wasm("probe", ""), wasm("hostile", ""), wasm("add-header", {"response": {"hello": "world"}})]), concurrency=2)
    scripts = ["note:on_request_headers", "trap:on_request_headers", "note:on_log", "trap:on_log",
               "reply:on_request_headers"]
    outcomes = []

    def client(number):
        for i in range(40):
            headers = {"x-hostile": scripts[(number + i) % len(scripts)], "connection": "close",
                       "x-probe": f"shared_set key {i} 0; shared_get key; metric_define 0 fire; metric_add 4 1"}
            try:
                outcomes.append(request(weir.port, headers=headers).status)
            except Closed:
                outcomes.append(0)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 160
    assert set(outcomes) <= {200, 418, 503} and {200, 418, 503} <= set(outcomes)
    still_works(weir)
