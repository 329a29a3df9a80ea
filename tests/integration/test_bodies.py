# SPDX-License-Identifier: Apache-2.0
"""What plugins do to bodies, trailers and whole messages, from callbacks and later from a tick; local replies and closes at
every point. Expectations are Envoy 1.40's with the same plugin, where docs/compatibility.md does not say otherwise."""

import pytest

from support import http1
from support.config import ANY, bootstrap, cluster, hcm, http_options, listener, route, wasm
from support.process import wait_until
from support.queues import wait_read

TRAILERS = {"http_protocol_options": {"enable_trailers": True}}
NO_LENGTH = "header_remove 0 content-length; "
NO_RESPONSE_LENGTH = "@response_headers header_remove 2 content-length; "
# The first stream of a VM is context 2.
TICK = "tick 20; @tick effective 2; "
TICK_AT_REQUEST_END, TICK_AT_RESPONSE_END = "@last_request_body tick 20", "@last_response_body tick 20"
ANSWERS = {
    "plain": "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "chunked": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n|5\r\nworld\r\n|0\r\n\r\n",
    "trailers": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n",
    "zero": "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
}


class Exchange:
    """One request through the probe and what came of it on both sides."""

    def __init__(self, start, upstream, tmp_path, probe, root=None, answer="plain", body=b"hello", parts=None, trailers=()):
        self.requests = []

        def handler(connection):
            while (request := connection.read_request()) is not None:
                self.requests.append(request)
                for piece in ANSWERS[answer].split("|"):
                    connection.send(piece)
                    wait_read(connection.socket)
        log = {"name": "log", "typed_config": {
            "@type": ANY + "envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(tmp_path / "access"),
            "log_format": {"text_format_source": {"inline_string": "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"}}}}
        target = cluster(upstream(handler).port, **http_options(explicit_http_config=TRAILERS))
        self.weir = start(bootstrap(listener(hcm([route()], [wasm("probe", root)], access_log=[log], **TRAILERS)),
                                    clusters=[target]))
        self.response = None
        with http1.Client(self.weir.port) as client:
            if parts is None:
                client.send(http1.format_request("GET" if body is None else "POST", headers=[("x-probe", probe)], body=body))
            else:
                client.send(f"POST / HTTP/1.1\r\nhost: test\r\nx-probe: {probe}\r\ntransfer-encoding: chunked\r\n\r\n")
                for part in parts:
                    wait_read(client.socket)
                    client.send(f"{len(part):x}\r\n{part}\r\n")
                wait_read(client.socket)
                client.send("0\r\n" + "".join(f"{k}: {v}\r\n" for k, v in trailers) + "\r\n")
            try:
                self.response = client.response()
            except http1.Closed:
                pass
        access = tmp_path / "access"
        self.log = wait_until(lambda: access.exists() and access.read_text().strip(), "an access log line")

    def said(self, n, name):
        return self.weir.wait_log(rf"probe: {n} {name}: ?(.*)")


@pytest.fixture(name="exchange")
def _exchange(start, upstream, tmp_path):
    return lambda *args, **options: Exchange(start, upstream, tmp_path, *args, **options)


@pytest.mark.parametrize("command, seen", [
    ("buffer_replace 0 NEW", b"NEW"), ("buffer_prepend 0 PRE", b"PREhello"), ("buffer_append 0 POST", b"helloPOST"),
    ("buffer_splice 0 0 2 XX", b"XXllo"), ("buffer_splice 0 2 2 XX", b"hello"), ("buffer_splice 0 5 0 XX", b"helloXX"),
    ("buffer_splice 0 99 7 XX", b"helloXX"), ("buffer_splice 0 0 99 -", b""),
])
def test_request_body_changed(exchange, command, seen):
    done = exchange(NO_LENGTH + "@request_body " + command)
    assert done.requests[0].body == seen and done.response.status == 200
    middle = command == "buffer_splice 0 2 2 XX"
    assert done.said(2, r"\w+")[0] == ("2" if middle else "0")


@pytest.mark.parametrize("command, seen", [("buffer_replace 1 NEW", "NEW"), ("buffer_prepend 1 PRE", "PREhello"),
                                           ("buffer_append 1 +", "hello+")])
def test_response_body_changed(exchange, command, seen):
    assert exchange(NO_RESPONSE_LENGTH + "@response_body " + command).response.text == seen


@pytest.mark.parametrize("text, status", [("NEWBODY", 503), ("N", 503), ("SAME5", 200)])
def test_a_request_body_that_breaks_its_length_goes_nowhere(exchange, text, status):
    """Envoy sends such a message: bytes that are left over become a request of their own at the upstream."""
    done = exchange("@request_body buffer_replace 0 " + text)
    assert done.response.status == status and len(done.requests) == (status == 200)


def test_a_response_body_that_breaks_its_length_is_cut_off(exchange):
    assert exchange("@response_body buffer_replace 1 TOOLONG").response is None


def test_no_body_can_be_written_in_header_callbacks(exchange):
    done = exchange("buffer_append 0 X; buffer_bytes 0", body=None)
    assert [done.said(1, "buffer_append")[0], done.said(2, "buffer_bytes")[0]] == ["2", "0 0"]
    assert done.requests[0].body == b"" and done.response.status == 200
    done.requests.clear()


def test_trailers_are_made_at_the_last_data(exchange):
    done = exchange(NO_LENGTH + "@request_body header_add 1 x-t v")
    assert done.requests[0].trailers == [("x-t", "v")] and done.requests[0].body == b"hello"


def test_response_trailers_are_made_at_the_last_data(exchange):
    assert exchange(NO_RESPONSE_LENGTH + "@response_body header_add 3 x-t v").response.trailers == [("x-t", "v")]


def test_trailers_are_changed(exchange):
    done = exchange("@request_trailers header_set 1 x-in changed; @response_trailers header_add 3 x-u w", answer="trailers",
                    parts=["ab"], trailers=[("x-in", "1")])
    assert done.requests[0].trailers == [("x-in", "changed")]
    assert done.response.trailers == [("x-t", "1"), ("x-u", "w")]


def test_no_trailers_before_the_end(exchange):
    done = exchange("header_add 1 x-t v")
    assert done.said(1, "header_add") == ["2"] and done.requests[0].trailers == []


def test_a_buffered_body_is_seen_whole_and_changed_later(exchange):
    done = exchange(NO_LENGTH + "@request_body pause 1; @request_body buffer_bytes 0; " + TICK_AT_REQUEST_END, parts=["ab", "cd"],
                    root="@tick effective 2; @tick buffer_bytes 0; @tick buffer_append 0 Z; @tick continue 0")
    assert done.said(3, "buffer_bytes")[:3] == ["0 2", "0 4", "0 4"]
    assert done.requests[0].body == b"abcdZ" and done.response.status == 200


@pytest.mark.parametrize("stop, body", [(2, b"abcd"), (3, b"")])
def test_other_stops_show_each_chunk_once(exchange, stop, body):
    """Watermark keeps what came; "no buffer" drops it."""
    done = exchange(f"@request_body pause {stop}; @request_body buffer_bytes 0; " + TICK_AT_REQUEST_END, parts=["ab", "cd"],
                    root="@tick effective 2; @tick continue 0")
    assert done.said(2, "buffer_bytes")[:2] == ["0 2", "0 2"] and done.requests[0].body == body


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_headers_held_and_changed_from_a_tick(exchange, stop):
    done = exchange(f"pause {stop}", root=TICK + "@tick header_add 0 x-new 1; @tick buffer_append 0 MORE; @tick continue 0")
    assert done.requests[0].get("x-new") == "1" and done.requests[0].body == b"hello" and done.response.status == 200


def test_response_headers_held_and_changed_from_a_tick(exchange):
    done = exchange("@response_headers pause 1", root=TICK + "@tick header_add 2 x-late 1; @tick continue 1")
    assert done.response.get("x-late") == "1" and done.response.text == "hello"


def test_a_response_body_held_and_changed_from_a_tick(exchange):
    done = exchange("@response_body pause 1; @response_body buffer_bytes 1; " + TICK_AT_RESPONSE_END, answer="chunked",
                    root="@tick effective 2; @tick buffer_prepend 1 T; @tick continue 1")
    assert done.response.text == "Thelloworld"


def test_continue_inside_of_a_callback_that_pauses(exchange):
    assert exchange("pause 1; continue 0").requests[0].body == b"hello"


def test_continue_and_end_is_continue(exchange):
    done = exchange("pause 2; @response_headers pause 2")
    assert done.requests[0].body == b"hello" and done.response.text == "hello"


PHASES = ["request_headers", "request_body", "request_trailers", "response_headers", "response_body", "response_trailers"]


def at(exchange, phase, command):
    return exchange(f"@{phase} {command}", answer="trailers" if phase == "response_trailers" else "plain",
                    parts=["ab"] if phase == "request_trailers" else None, trailers=[("x-in", "1")])


@pytest.mark.parametrize("phase", PHASES)
def test_local_reply_in(exchange, phase):
    done = at(exchange, phase, f"reply 418 ONE; @{phase} reply 419 TWO")
    if phase in PHASES[:4]:
        assert (done.response.status, done.response.text) == (418, "ONE") and done.log == "418 - probe"
    else:  # headers are gone: the stream is reset
        assert done.response is None and done.log == "200 - probe"


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("side", [0, 1])
def test_close_in(exchange, phase, side):
    done = at(exchange, phase, f"close {side}")
    assert done.response is None
    assert done.log == ("0 - wasm_close_stream" if phase.startswith("request") else "200 - via_upstream")


@pytest.mark.parametrize("held", ["request_headers", "request_body", "response_headers"])
def test_local_reply_from_a_tick_while_held(exchange, held):
    """Ticks begin with the pause: a reply of an earlier one would itself be what @response_headers holds."""
    done = exchange(f"@{held} tick 20; @{held} pause 1", root="@tick effective 2; @tick reply 418 LATE")
    assert (done.response.status, done.response.text) == (418, "LATE") and done.log == "418 - probe"


def test_local_reply_from_a_tick_while_the_response_streams(exchange):
    done = exchange("@response_body pause 1; " + TICK_AT_RESPONSE_END, answer="chunked", root="@tick effective 2; @tick reply 418 LATE")
    assert done.response is None and done.log == "200 - probe"


def test_nothing_at_the_end_brings_a_stream_back(exchange):
    done = exchange("@log reply 418 X; @log close 0; @log header_add 2 a b; @log header 0 :path; @done reply 418 X; "
                    "@done continue 0; @done buffer_bytes 0")
    assert done.response.text == "hello" and done.log == "200 - via_upstream"
    assert done.said(3, "header_add") == ["2"] and done.said(4, "header") == ["0 /"]


@pytest.mark.parametrize("name, status", [(":status", 502), (":method", 503), (":authority", 503)])
def test_removed_pseudo_headers(exchange, name, status):
    response = name == ":status"
    done = exchange(f"@response_headers header_remove 2 {name}" if response else f"header_remove 0 {name}")
    assert done.response.status == status and done.response.text == f"missing required header: {name}"
    assert f"missing_required_header:_{name}" in done.log
