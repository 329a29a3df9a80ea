# SPDX-License-Identifier: Apache-2.0
#
# Plugins that misbehave (tests/plugins/hostile.c, wild.c): each request has one clear outcome, the proxy stays up, the next
# request works, and neither client nor upstream ever sees bytes that a plugin smuggled.

import re
import threading

import pytest

from support import plugins
from support.config import ANY, simple, wasm
from support.http1 import Client, Closed, request
from support.process import wait_until


def front(start, recording, configuration="", **fields):
    return start(simple(recording.port, filters=[wasm("hostile", configuration, **fields)]))


@pytest.fixture
def hostile(start, recording):
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
    wait_until(lambda: request(weir.port).status == 200, "an ordinary request works again", 20)


DEADLY = ["trap", "recurse", "oob", "divide", "loop", "loop_calls", "reply_trap"]


@pytest.mark.parametrize("action", DEADLY)
@pytest.mark.parametrize("callback", ["on_request_headers", "on_response_headers"])
def test_deadly_before_the_answer(hostile, recording, action, callback):
    answer = ask(hostile, f"{action}:{callback}")
    assert answer.status == 503
    assert answer.get("x-reply") is None
    still_works(hostile)


@pytest.mark.parametrize("action", ["trap", "loop"])
def test_deadly_in_a_request_body(hostile, recording, action):
    assert ask(hostile, f"{action}:on_request_body", "POST", b"x" * 10_000).status == 503
    still_works(hostile)


@pytest.mark.parametrize("action", ["trap", "loop"])
def test_deadly_in_a_response_body(hostile, action):
    """The headers have gone: the client must not take the rest for a whole body."""
    with pytest.raises(Closed):
        answer = ask(hostile, f"{action}:on_response_body")
        assert answer.status == 503  # or nothing had gone yet
        raise Closed(b"")
    still_works(hostile)


@pytest.mark.parametrize("callback", ["on_log", "on_done", "on_delete"])
@pytest.mark.parametrize("action", ["trap", "loop"])
def test_deadly_after_the_answer(hostile, action, callback):
    assert ask(hostile, f"{action}:{callback}").status == 200
    still_works(hostile)


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


def test_a_trap_names_the_functions(hostile):
    ask(hostile, "trap:on_request_headers")
    hostile.wait_log("proxy_on_request_headers")
    hostile.wait_log("hostile_inner")


@pytest.mark.tsan
def test_fail_open(start, recording):
    weir = front(start, recording, failure_policy="FAIL_OPEN")
    for _ in range(3):
        answer = ask(weir, "trap:on_request_headers")
        assert (answer.status, answer.text) == (200, plugins.BODY)
    assert alive(weir)


def test_memory_is_capped(hostile):
    assert ask(hostile, "alloc:on_request_headers").status == 200
    found = hostile.wait_log(r"hostile: out of memory after (\d+) MiB")
    assert 200 <= int(found[0]) < 256  # the default cap
    still_works(hostile)


def test_two_replies(hostile, recording):
    answer = ask(hostile, "two_replies:on_request_headers")
    assert (answer.status, answer.all("x-reply"), answer.text) == (418, ["first"], "first\n")
    assert recording.requests == []
    still_works(hostile)


def test_reply_instead_of_the_upstreams_answer(hostile):
    answer = ask(hostile, "reply:on_response_headers")
    assert (answer.status, answer.text) == (418, "first\n")
    still_works(hostile)


def test_bad_reply(hostile):
    """Status 99999 and a header with CR/LF in it."""
    answer = ask(hostile, "reply_bad:on_request_headers")
    assert 200 <= answer.status <= 599
    assert answer.get("x-smuggled") is None
    still_works(hostile)


def test_reply_with_wrong_framing(hostile):
    data = exchange(hostile, get("reply_framing:on_request_headers"))
    head, body = data.split(b"\r\n\r\n", 1)
    lengths = re.findall(rb"(?i)content-length: (\d+)", head)
    assert lengths == [b"%d" % len(body)] and body == b"framing\n"


def test_crlf_in_request_headers(hostile, recording):
    assert ask(hostile, "crlf:on_request_headers").status in (200, 400, 500, 503)
    for seen in recording.requests:
        assert seen.get("x-smuggled") is None
        assert not any(c in name + value for name, value in seen.headers for c in "\r\n\0")
    still_works(hostile)


def test_crlf_in_response_headers(hostile):
    raw = exchange(hostile, get("crlf:on_response_headers"))
    head = raw.split(b"\r\n\r\n", 1)[0]
    assert b"\r\nx-smuggled" not in head.lower()
    assert b"\0" not in head and not re.search(rb"\r(?!\n)|(?<!\r)\n", head)
    still_works(hostile)


@pytest.mark.parametrize("script", ["framing:on_request_headers", "framing_remove:on_request_headers"])
def test_framing_of_requests(hostile, recording, script):
    """Whatever it did, the upstream reads exactly one request with the client's body."""
    answer = ask(hostile, script, "POST", b"body of nineteen by")
    if answer.status == 200:
        assert [seen.body for seen in recording.requests] == [b"body of nineteen by"]
    assert all(len(seen.all("content-length")) + len(seen.all("transfer-encoding")) <= 1
               for seen in recording.requests)
    still_works(hostile)


@pytest.mark.parametrize("script", ["framing:on_response_headers", "framing_remove:on_response_headers"])
def test_framing_of_responses(hostile, script):
    raw = exchange(hostile, get(script, "") + "GET /second HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    heads = re.findall(rb"HTTP/1.1 \d+ [^\r]*\r\n(?:[^\r]+\r\n)*\r\n", raw)
    for head in heads:
        framing = re.findall(rb"(?im)^(?:content-length|transfer-encoding):", head)
        assert len(framing) <= 1, raw
    still_works(hostile)


@pytest.mark.parametrize("script", ["pseudo_remove:on_request_headers", "pseudo_bad:on_request_headers",
                                    "pairs_clear:on_request_headers", "pairs_double:on_request_headers"])
def test_pseudo_headers_of_requests(hostile, recording, script):
    answer = ask(hostile, script)
    assert 200 <= answer.status <= 599
    for seen in recording.requests:
        assert re.fullmatch(r"[A-Z]+ /\S* HTTP/1\.1", seen.start), seen.start
        assert len(seen.all("host")) == 1
        assert seen.get("x-smuggled") is None
        assert not any(name.startswith(":") for name, _ in seen.headers)
    still_works(hostile)


@pytest.mark.parametrize("script", ["pseudo_remove:on_response_headers", "pseudo_bad:on_response_headers",
                                    "pairs_clear:on_response_headers", "pairs_double:on_response_headers"])
def test_pseudo_headers_of_responses(hostile, script):
    raw = exchange(hostile, get(script))
    assert re.match(rb"HTTP/1\.1 [2-5]\d\d ", raw), raw[:200]
    assert not re.search(rb"(?m)^:", raw.split(b"\r\n\r\n")[0])
    still_works(hostile)


@pytest.mark.parametrize("script", ["many_headers:on_request_headers", "huge_header:on_request_headers",
                                    "many_headers:on_response_headers", "huge_header:on_response_headers"])
def test_too_much_of_headers(hostile, recording, script):
    answer = ask(hostile, script)
    assert 200 <= answer.status <= 599
    still_works(hostile)


def test_body_that_grows(hostile, recording):
    answer = ask(hostile, "body_grow:on_request_body", "POST", b"x" * 100)
    assert 200 <= answer.status <= 599
    assert sum(len(seen.body) for seen in recording.requests) < 100_000_000
    still_works(hostile)


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
def test_return_values_that_do_not_exist(hostile, callback):
    """The strongest stop, and nobody continues it: the client gives up, the proxy cleans up."""
    with Client(hostile.port, timeout=1) as client, pytest.raises((TimeoutError, Closed)):
        client.request("POST", "/", {"x-hostile": f"return_wild:{callback}"}, b"x")
    still_works(hostile)


def test_close_from_a_plugin(hostile, recording):
    raw = exchange(hostile, get("close:on_request_headers"))
    assert not raw.startswith(b"HTTP/1.1 200")
    still_works(hostile)


def test_floods(hostile):
    answer = ask(hostile, "log_flood:on_request_headers shared_flood:on_request_headers")
    assert answer.status in (200, 503)
    still_works(hostile)


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
