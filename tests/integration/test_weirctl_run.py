# SPDX-License-Identifier: Apache-2.0
"""weirctl plugin run: messages through a plugin without a proxy, forms of requests, pausing, failures, limits."""

import base64
import json

import pytest

from support.process import BUILD
from support.weirctl import weirctl, weirctl_json

ADD_HEADER = BUILD / "plugins/add-header.wasm"
PROBE = BUILD / "tests/plugins/probe.wasm"
HOSTILE = BUILD / "tests/plugins/hostile.wasm"
TCP_PROBE = BUILD / "tests/plugins/tcp_probe.wasm"


def run(plugin, *arguments, **options):
    return weirctl_json("plugin", "run", plugin, *arguments, **options)


def probe(commands, *arguments, **options):
    """One request with commands for the probe: its report."""
    return run(PROBE, "-H", f"x-probe: {commands}", *arguments, **options)["requests"][0]


def fields(message):
    return {name: value for name, value in message["headers"]}


def logs(report):
    return [line["text"] for line in report["logs"]]


def test_headers_body_metrics_and_cost():
    report = run(ADD_HEADER, "-c", '{"request": {"x-a": "1"}, "response": {"x-b": "2"}}',
                 "-r", "POST https://a.example/x?y=1", "-d", "text")
    request = report["requests"][0]
    assert report["ok"] and request["outcome"] == "upstream" and report["passed"] == 1
    assert fields(request["upstream"]) == {":authority": "a.example", ":path": "/x?y=1", ":method": "POST",
                                           ":scheme": "https", "content-length": "4", "x-a": "1"}
    assert request["upstream"]["body"] == "text" == request["response"]["body"]
    assert request["response"]["status"] == 200 and fields(request["response"])["x-b"] == "2"
    costs = {c["callback"]: c for c in report["costs"]}
    assert costs["proxy_on_request_headers"]["count"] == 1
    assert costs["proxy_on_request_headers"]["host_calls"] == 1
    assert costs["proxy_on_configure"]["count"] == 1 and costs["proxy_on_configure"]["bytes"] > 10
    assert 0 < costs["proxy_on_request_headers"]["mean_us"] <= costs["proxy_on_request_headers"]["max_us"]
    assert report["memory"]["plugin_bytes"] >= 65536


def test_text_is_like_curl():
    text = weirctl("plugin", "run", ADD_HEADER, "-c", '{"response": {"hello": "world"}}', "-r", "/x").stdout
    assert "ok: GET /x\n>  :authority: localhost\n" in text and "\n<+ hello: world\n" in text
    assert "1 ok, 0 not ok" in text and "proxy_on_response_headers" in text


def test_compiled_code_is_kept_and_can_be_refused(tmp_path):
    env = {"WEIRCTL_CACHE_DIR": str(tmp_path / "new/cache")}

    def cached(*arguments, **environment):
        return run(ADD_HEADER, "-c", "{}", *arguments, env={**env, **environment})["module"]["from_cache"]

    assert [cached("--no-cache"), cached(), cached(), cached("--no-cache")] == [False, False, True, False]
    assert (tmp_path / "new/cache/compiled").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_text("")
    assert not cached(WEIRCTL_CACHE_DIR=str(tmp_path / "file"))  # no place for a cache: it runs all the same


def test_a_native_plugin_runs_on_the_null_engine():
    report = run(BUILD / "plugins/add-header.so", "--engine", "null", "-c", '{"response": {"hello": "world"}}')
    assert report["engine"] == "null" and fields(report["requests"][0]["response"])["hello"] == "world"


HTTP_FILE = """# a comment
### first
GET /one HTTP/1.1
Host: a.example
X-Twice: 1
x-twice: 2

### second
// another comment
POST http://b.example/two
content-length: 5

hello

###
GET /three
"""


def test_http_files(tmp_path):
    path = tmp_path / "requests.http"
    path.write_text(HTTP_FILE)
    one, two, three = run(ADD_HEADER, "-c", "{}", "--requests", path)["requests"]
    assert (one["name"], two["name"], three["name"]) == ("first", "second", "GET /three")
    assert [v for k, v in one["request"]["headers"] if k == "x-twice"] == ["1", "2"]
    assert fields(one["request"])[":authority"] == "a.example"
    assert two["request"]["body"] == "hello" and fields(two["request"])[":method"] == "POST"


def test_what_curl_v_shows_is_a_request(tmp_path):
    path = tmp_path / "curl.txt"
    path.write_bytes(b"*   Trying 127.0.0.1:80...\r\n> GET /x HTTP/1.1\r\n> Host: a\r\n> Accept: */*\r\n> \r\n")
    answer = tmp_path / "answer.txt"
    answer.write_bytes(b"< HTTP/1.1 404 Not Found\r\n< x-up: 1\r\n< \r\nnothing here")
    request = run(ADD_HEADER, "-c", "{}", "-r", path, "--response", answer)["requests"][0]
    assert fields(request["request"]) == {":authority": "a", ":path": "/x", ":method": "GET", ":scheme": "http",
                                          "accept": "*/*"}
    assert request["response"]["status"] == 404 and request["response"]["body"] == "nothing here"


def test_a_test_file_in_json(tmp_path):
    path = tmp_path / "plugin.json"
    (tmp_path / "answer.http").write_text("HTTP/1.1 201 Created\nx-up: 1\n\n")
    path.write_text(json.dumps({
        "config": {"response": {"hello": "world"}},
        "requests": [
            {"name": "good", "request": {"path": "/a", "headers": {"x": ["1", "2"]}, "body": {"a": 1}},
             "response": "answer.http",
             "expect": {"outcome": "upstream", "upstream": {"headers": {"x": ["1", "2"], "y": None}, "body": '{"a":1}'},
                        "response": {"status": 201, "headers": {"hello": "world", "x-up": {"contains": "1"}}}}},
            {"name": "bad", "request": {"method": "PUT"},
             "expect": {"upstream": None, "response": {"status": 403, "headers": {"hello": "moon"}, "body": "x"},
                        "logs": ["never"], "metrics": {"none": 1}}},
        ]}))
    report = run(ADD_HEADER, "--requests", path, status=1)
    good, bad = report["requests"]
    assert good["ok"] and good["differences"] == [] and not bad["ok"]
    text = "\n".join(bad["differences"])
    for words in ("upstream: expected none", "status: expected 403, got 200", 'header hello: expected "moon"',
                  "body: expected", "no line contains", "metric none"):
        assert words in text, text
    assert (report["passed"], report["failed"]) == (1, 1)


def test_expect_from_a_file_of_its_own(tmp_path):
    path = tmp_path / "expect.json"
    path.write_text('{"response": {"status": 200}}')
    assert run(ADD_HEADER, "-c", "{}", "-r", "/a", "-r", "/b", "--expect", path)["passed"] == 2
    path.write_text('[{"response": {"status": 200}}]')
    weirctl("plugin", "run", ADD_HEADER, "-c", "{}", "-r", "/a", "-r", "/b", "--expect", path, status=2)


def test_bodies_in_chunks_buffered_and_changed():
    whole = probe("@request_body buffer_bytes 0; @request_body buffer_replace 0 new", "-d", "abcdefgh")
    assert whole["upstream"]["body"] == "new" == whole["response"]["body"]
    chunked = probe("@response_body buffer_bytes 1", "-d", "abcdefgh", "--chunk", "3")
    assert [t for t in logs(chunked) if "buffer_bytes" in t] == [
        "probe: 1 buffer_bytes: 0 3", "probe: 1 buffer_bytes: 0 3", "probe: 1 buffer_bytes: 0 2"]


def test_trailers_pass(tmp_path):
    path = tmp_path / "trailers.json"
    path.write_text(json.dumps({"request": {"body": "x", "headers": {"x-probe": "@request_trailers header 1 t"},
                                            "trailers": {"t": "end"}}}))
    request = run(PROBE, "-r", path)["requests"][0]
    assert request["upstream"]["trailers"] == [["t", "end"]]
    assert "probe: 1 header: 0 end" in logs(request)


def test_properties_given_and_from_the_message():
    request = probe("property request.path; property a.b; property_u64 n; property request.headers.x-h; "
                    "property_set mine 5; property mine; property source.address",
                    "-p", "a.b=text", "-p", "n:=7", "-H", "x-h: v", "-r", "/p?q")
    answers = [v for k, v in request["response"]["headers"] if k.startswith("x-probe-")]
    assert answers == ["0 /p?q", "0 text", "0 7", "0 v", "0", "0 5", "0 127.0.0.1:50000"]
    assert request["properties"] == {"mine": "5"}


def test_shared_data_queues_and_metrics():
    report = run(PROBE, "-H", "x-probe: shared_set k v 0; shared_get k; queue_register q; queue_push 1 item; "
                              "metric_define 0 hits; metric_add 4 3")
    answers = [v for k, v in report["requests"][0]["response"]["headers"] if k.startswith("x-probe-")]
    assert answers[1].startswith("0 v")
    assert report["metrics"]["hits"] == {"type": "counter", "value": 3}
    assert report["memory"]["shared_data_keys"] == 1 and report["memory"]["queued_items"] == 1
    assert any(c["callback"] == "proxy_on_queue_ready" for c in report["costs"])


def test_a_local_reply_passes_the_response_callbacks():
    request = probe("reply 403 stop")
    assert request["outcome"] == "local_reply" and request["upstream"] is None
    assert request["response"]["status"] == 403 and "x-probe-1" in fields(request["response"])


def test_a_request_that_waits_for_ever_fails():
    report = run(PROBE, "-H", "x-probe: pause", status=1)
    assert report["requests"][0]["outcome"] == "paused" and report["requests"][0]["response"] is None
    text = weirctl("plugin", "run", PROBE, "-H", "x-probe: pause", status=1).stdout
    assert "never continued" in text


def test_closing_the_stream_is_an_outcome():
    assert probe("close 0")["outcome"] == "reset"


CALLER = BUILD / "tests/plugins/caller.wasm"


def test_grpc_calls_and_streams_are_answered(tmp_path):
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps({"headers": {"a": "1"}, "body": "hello", "trailers": {"grpc-status": "0", "t": "2"}}))
    refused = tmp_path / "refused.json"
    refused.write_text(json.dumps({"headers": {"grpc-status": "7"}}))

    def call(commands, *arguments):
        request = run(CALLER, "-H", f"x-calls: {commands}", *arguments)["requests"][0]
        return request, "\n".join(logs(request))

    request, text = call("grpc svc pkg.Service Do msg", "--callout", f"svc={answer}")
    assert request["callouts"][0] == {"cluster": "svc", "method": "gRPC call", "path": "/pkg.Service/Do", "body": "msg",
                                      "answer": "response"}
    assert "caller: grpc message 5: 5" in text and "close" not in text
    assert "caller: grpc close 5: 7" in call("grpc svc pkg.Service Do msg", "--callout", f"svc={refused}")[1]
    assert "caller: grpc close 5: 14" in call("grpc svc pkg.Service Do msg", "--callout", "svc=none")[1]
    text = call("stream svc pkg.Service Do; send 6 one; close 6", "--callout", f"svc={answer}")[1]
    for words in ("grpc initial 6: 2", "grpc message 6: 5", "grpc trailing 6: 2", "grpc close 6: 0"):
        assert words in text, text
    assert "initial" not in call("stream svc pkg.Service Do; cancel 6", "--callout", f"svc={answer}")[1]
    assert call("grpc svc pkg.Service Do msg")[0]["callouts"][0]["answer"] == "unknown cluster"


def test_ticks_are_given():
    report = run(HOSTILE, "-c", "tick_1ms:on_configure note:on_tick", "--ticks", "3")
    assert report["ticks"] == 3 and report["tick_period_ms"] == 1
    assert next(c for c in report["costs"] if c["callback"] == "proxy_on_tick")["count"] == 3
    assert report["requests"] == []


def test_what_happens_after_the_last_request_counts():
    told = run(HOSTILE, "-c", "tick_1ms:on_configure note:on_tick", "--ticks", "2", "-r", "/")
    assert told["ok"] and len(told["end_logs"]) == 2 and len(told["requests"][0]["logs"]) == 0
    trapped = run(HOSTILE, "-c", "tick_1ms:on_configure trap:on_tick", "--ticks", "2", "-r", "/", status=1)
    assert trapped["requests"][0]["ok"] and trapped["end_failed"]
    assert trapped["failure"]["function"] == "proxy_on_tick"
    text = weirctl("plugin", "run", HOSTILE, "-c", "tick_1ms:on_configure trap:on_tick", "--ticks", "2", status=1).stdout
    assert "the plugin failed in proxy_on_tick" in text


@pytest.mark.parametrize("action, error", [("trap", "trap"), ("loop", "time"), ("oob", "trap"), ("recurse", "trap")])
def test_failures_are_told_with_a_backtrace_and_the_next_request_runs(action, error):
    report = run(HOSTILE, "-r", "/a", "-r", "/b", "-c", f"{action}:on_request_headers", status=1)
    first, second = report["requests"]
    assert first["outcome"] == second["outcome"] == "failed"
    assert first["failure"]["function"] == "proxy_on_request_headers"
    assert error in first["failure"]["error"] + first["failure"]["message"]
    assert {"recurse": "recurse"}.get(action, "proxy_on_request_headers") in first["failure"]["backtrace"]


def test_one_failure_does_not_end_the_run():
    report = run(HOSTILE, "--requests", "-", status=1, stdin=json.dumps([
        {"request": {"headers": {"x-hostile": "trap:on_response_headers"}}}, {"request": {"path": "/next"}}]))
    assert [r["outcome"] for r in report["requests"]] == ["failed", "upstream"]
    text = weirctl("plugin", "run", HOSTILE, "-H", "x-hostile: trap:on_log", status=1).stdout
    assert "the plugin failed in proxy_on_log" in text and "0x" in text


def test_an_expected_failure_passes(tmp_path):
    path = tmp_path / "expect.json"
    path.write_text('{"outcome": "failed"}')
    assert run(HOSTILE, "-c", "trap:on_request_headers", "--expect", path)["ok"]


def test_limits_are_kept():
    loop = run(HOSTILE, "-c", "loop:on_request_headers", "--limit-time", "5ms", status=1)
    cost = next(c for c in loop["costs"] if c["callback"] == "proxy_on_request_headers")
    assert cost["max_us"] >= 5000
    grown = run(HOSTILE, "-c", "alloc:on_request_headers", "--limit-memory", "2MiB", "--limit-time", "none", status=None)
    assert grown["memory"]["plugin_bytes"] <= 2 << 20


def test_what_cannot_start_says_why(tmp_path):
    report = run(HOSTILE, "-c", "no such thing", status=1)
    assert "proxy_on_configure returned false" in report["error"]
    assert any("not understood" in line["text"] for line in report["start_logs"])
    trap = run(HOSTILE, "-c", "trap:on_configure", status=1)
    assert "proxy_on_configure" in trap["error"]
    bad = tmp_path / "bad.wasm"
    bad.write_bytes(b"\0asm nonsense")
    assert run(bad, status=1)["error"]


def test_floods_are_cut(tmp_path):
    report = run(HOSTILE, "-c", "log_flood:on_request_headers shared_flood:on_request_headers",
                 "--limit-time", "none", status=None)
    assert len(report["requests"][0]["logs"]) <= 100000
    assert report["limits"]["log_lines_per_sec"] > 0
    assert "limit passed: log_lines_per_sec" in weirctl("plugin", "run", HOSTILE, "-c", "log_flood:on_request_headers",
                                                        "--limit-time", "none", status=None).stdout


@pytest.mark.parametrize("arguments, words", [
    (["--limit-time", "soon"], "a time, as 20ms"),
    (["--limit-memory", "0"], "a size"),
    (["--engine", "v8"], "wasmtime or null"),
    (["--ticks", "-1"], "a number up to"),
    (["--request", "nonsense"], "no file, URL, path or method"),
    (["--request", "GET nonsense"], "is no URL"),
    (["--config", "@/nonexistent"], "No such file"),
    (["--header", "no colon"], "Name: value"),
    (["--header", "a b: c"], "not a header name"),
    (["--property", "x"], "NAME=TEXT"),
    (["--property", "x:={"], "line 1"),
    (["--callout", "x"], "CLUSTER=FILE"),
    (["--requests", "/dev/null"], "holds no request"),
    (["--request"], "needs a value"),
    (["--tcp", "@/nonexistent"], "No such file"),
])
def test_usage_errors(arguments, words):
    assert words in weirctl("plugin", "run", ADD_HEADER, *arguments, status=2).stderr


def tcp(*arguments, config=""):
    return run(TCP_PROBE, "-c", config, *arguments)["requests"]


def test_a_connection_from_the_command_line():
    one, two = tcp("--tcp", "UPPER hello there", "--tcp", "", "--chunk", 10)
    assert (one["kind"], one["name"], one["outcome"], one["ok"]) == ("tcp", "connection", "closed", True)
    assert [one[side]["body"] for side in ("request", "upstream", "answer", "response")] == [
        "UPPER hello there"] + ["UPPER HELLo there"] * 3
    assert logs(one) == [
        "create 0", "new 0", "downstream 10", "downstream 7 end", "upstream 10", "upstream 7 end", "upstream close 0",
        "downstream close 1", "done 0", "log upstream=127.0.0.1:8000 source=127.0.0.1:50000 id=set", "delete 0"]
    assert two["outcome"] == "closed" and "downstream 0 end" in logs(two)
    assert two["upstream"]["body"] == two["response"]["body"] == ""


def test_bytes_of_a_connection_from_files(tmp_path):
    (tmp_path / "to").write_bytes(b"WRAP \0\xff")
    (tmp_path / "back").write_bytes(b"WRAP \xfe")
    report, = tcp("--tcp", f"@{tmp_path / 'to'}", "--tcp-answer", f"@{tmp_path / 'back'}")
    assert base64.b64decode(report["upstream"]["body_base64"]) == b"<WRAP \0\xff>"
    assert base64.b64decode(report["response"]["body_base64"]) == b"<WRAP \xfe>"
    text = weirctl("plugin", "run", TCP_PROBE, "--tcp", "WRAP x").stdout
    assert ">  8 bytes:\n<WRAP x>\n" in text and "1 ok, 0 not ok" in text and "proxy_on_new_connection" in text


def test_connections_in_a_test_file(tmp_path):
    (tmp_path / "bytes").write_bytes(b"LINE two\n")
    path = tmp_path / "plugin.json"
    path.write_text(json.dumps({"requests": [
        {"name": "in two pieces", "tcp": [{"client": "LINE o"}, {"client": "ne\n"}, {"upstream": "hi", "end": True}],
         "expect": {"outcome": "closed", "upstream": {"body": "LINE one\n"}, "response": {"body": "hi"},
                    "logs": ["downstream 6", "downstream 9", "upstream 2 end", "downstream close 1"]}},
        {"name": "the client goes", "tcp": [{"client": {"file": "bytes"}, "close": True}],
         "expect": {"outcome": "closed", "upstream": {"body": "LINE two\n"}, "response": {"body": ""},
                    "logs": ["downstream 9", "downstream close 2"]}},
        {"name": "the upstream goes", "tcp": [{"upstream": "bye", "close": True}],
         "expect": {"response": {"body": "bye"}, "logs": ["upstream 3 end", "upstream close 0", "downstream close 1"]}},
        {"name": "half closed", "tcp": [{"client": "a", "end": True}, {"upstream": "b"}, {"upstream": "c", "end": True}],
         "expect": {"upstream": {"body": "a"}, "response": {"body": "bc"}, "logs": ["downstream 1 end", "upstream 1"]}},
        {"name": "the plugin closes", "tcp": "CLOSE", "expect": {"outcome": "reset", "logs": ["downstream close 1"]}},
        {"name": "text", "tcp": "hello", "expect": {"response": {"body": "hello"}}},
        {"name": "a request among them", "request": {"path": "/"}},
    ]}))
    report = run(TCP_PROBE, "--requests", path)
    assert [r.get("differences", []) for r in report["requests"]] == [[]] * 7 and report["passed"] == 7
    differs = json.loads(path.read_text())
    differs["requests"] = differs["requests"][:1]
    differs["requests"][0]["expect"] = {"response": {"body": "ho"}}
    path.write_text(json.dumps(differs))
    assert "response body: expected" in run(TCP_PROBE, "--requests", path, status=1)["requests"][0]["differences"][0]


def test_a_connection_that_waits():
    held, = run(TCP_PROBE, "--tcp", "HOLD x", status=1)["requests"]
    assert (held["outcome"], held["upstream"]["body"]) == ("paused", "")
    assert tcp("--tcp", "HOLD x", "--tcp-answer", "y", "--ticks", 1)[0]["upstream"]["body"] == "HOLD x"
    assert tcp("--tcp", "hello", "--ticks", 1, config="hold-new")[0]["upstream"]["body"] == "hello"
    trap, after = run(TCP_PROBE, "--tcp", "TRAP", "--tcp", "hello", status=1)["requests"]
    assert (trap["outcome"], trap["failure"]["function"]) == ("failed", "proxy_on_downstream_data")
    assert (after["outcome"], after["response"]["body"]) == ("closed", "hello")


@pytest.mark.parametrize("text, words", [
    ('[{"tcp": [{"client": "a", "upstream": "b"}]}]', "a step has the bytes"),
    ('[{"tcp": [{"client": "a", "end": 1}]}]', "true or false"),
    ('[{"tcp": [{"client": "a", "end": true}, {"client": "b"}]}]', "step 2 sends after step 1 ended it"),
    ('[{"tcp": [{"client": 5}]}]', "bytes are a string"),
    ('[{"tcp": [{"client": {"file": "gone"}}]}]', "No such file"),
    ('[{"tcp": [{"client": "a", "end": true}, {"client": {"file": "large"}, "close": true}]}]', "step 2 sends after step 1 ended it"),
    ('[{"tcp": [{"client": {"file": "large"}}, {"upstream": {"file": "large"}}, {"client": {"file": "large"}}]}]',
     "a side sends more than 67108864 bytes with step 3"),
    ('[{"tcp": "a", "request": {}}]', "neither request nor response"),
    ('{"request": {"pth": "/"}}', 'no member "pth"'),
    ('[{"request": {"headers": {"a": 1}}}]', "must be a string"),
    ('{"requests": [{"request": {}, "expect": {"respons": {}}}]}', 'no member "respons"'),
    ('{"requests": 5}', "must be an array"),
    ('{"requests": [{"request": {}, "response": {"status": 99}}]}', "200 to 599"),
    ('{"requests": [{"request": {}, "response": "gone.http"}]}', "No such file"),
    ('{"requests": [}', "line 1"),
    ("GET /x\nno-colon\n", "line 2"),
    ("POST /\ncontent-length: 10\n\nshort", "content-length"),
    ("G@T /\n", "request line"),
    ("[" * 3000, "line 1"),
])
def test_bad_request_files_name_the_place(tmp_path, text, words):
    path = tmp_path / "bad"
    path.write_text(text)
    if '"large"' in text:
        (tmp_path / "large").write_bytes(bytes(40 << 20))
    done = weirctl("plugin", "run", ADD_HEADER, "--requests", path, status=2)
    assert words in done.stderr and str(path) in done.stderr
