# SPDX-License-Identifier: Apache-2.0
"""The process: command line, start-up errors, signals, drain, log files."""

import json
import os
import re
import signal
import socket
import threading
import time

import pytest

from support import http1
from support.config import simple
from support.process import run_weir, wait_until
from support.upstream import respond


def test_version_and_help():
    assert re.fullmatch(r"weir \d+\.\d+\.\d+\n", run_weir("--version").stdout)
    text = run_weir("--help").stdout
    for flag in ("--config-path", "--config-yaml", "--mode", "--concurrency", "--base-id", "--log-level",
                 "--component-log-level", "--log-path", "--drain-time-s", "--version", "--policy"):
        assert flag in text


@pytest.mark.parametrize("arguments,words", [
    ((), "no configuration"),
    (("--nonsense",), 'unknown argument "--nonsense"'),
    (("-c",), "needs a value"),
    (("-c", "x", "--concurrency", "none"), "a number from 1 to 1024"),
    (("-c", "x", "--mode", "fly"), "serve or validate"),
    (("-c", "x", "-l", "loud"), "trace, debug, info"),
    (("-c", "x", "--component-log-level", "wasm=debug"), "COMPONENT:LEVEL"),
    (("-c", "/no/such/file.yaml"), "/no/such/file.yaml"),
    (("-c", "/no/such/file.yaml", "--log-path", "/no/such/dir/log"), "/no/such/dir/log"),
])
def test_a_wrong_command_line_says_so(arguments, words):
    result = run_weir(*arguments)
    assert result.returncode == 1
    assert words in result.stderr


def test_config_yaml_alone_and_over_a_file(tmp_path):
    text = json.dumps(simple())
    assert run_weir("--config-yaml", text, "--mode", "validate").returncode == 0
    path = tmp_path / "weir.json"
    path.write_text(text)
    result = run_weir("-c", path, "--config-yaml", "admin: {nonsense: 1}", "--mode", "validate")
    assert result.returncode == 1
    assert '--config-yaml:1:9: admin: unknown field "nonsense"' in result.stderr


def test_validate_lists_what_is_inert(tmp_path):
    config = simple()
    config["node"] = {"id": "n", "cluster": "c"}
    config["stats_flush_on_admin"] = True
    path = tmp_path / "weir.json"
    path.write_text(json.dumps(config))
    result = run_weir("-c", path, "--mode", "validate")
    assert result.returncode == 0, result.stderr
    assert "stats_flush_on_admin" in result.stdout
    assert f"configuration '{path}' OK" in result.stdout


def test_all_errors_in_one_run_with_positions(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("""\
admin:
  adress: {}
static_resources:
  listeners:
  - name: a
    address: {socket_address: {address: 127.0.0.1, port_value: 70000}}
  clusters:
  - name: c
    type: NOT_A_TYPE
    connect_timeout: soon
""")
    result = run_weir("-c", path)
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert any(line == f'{path}:2:3: admin: unknown field "adress"; did you mean "address"?' for line in lines), result.stderr
    for place in (f"{path}:6:", f"{path}:9:", f"{path}:10:"):
        assert any(line.startswith(place) for line in lines), (place, result.stderr)


def test_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        path = tmp_path / "weir.json"
        config = simple()
        config["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = taken.getsockname()[1]
        path.write_text(json.dumps(config))
        result = run_weir("-c", path)
    assert result.returncode == 1
    assert "front" in result.stderr and "Address already in use" in result.stderr


def slow_upstream(upstream, go):
    def handler(connection):
        connection.read_request()
        go.wait(60)
        respond(connection, body="late")
    return upstream(handler)


@pytest.mark.tsan
def test_sigterm_finishes_requests_and_closes(start, upstream):
    go = threading.Event()
    weir = start(simple(slow_upstream(upstream, go).port), concurrency=2)
    with http1.Client(weir.port) as busy, http1.Client(weir.port) as idle:
        idle.socket.settimeout(60)
        busy.send(http1.format_request())
        weir.wait_stat("cluster.upstream.upstream_rq_active", 1)
        weir.signal(signal.SIGTERM)
        weir.wait_log("draining")
        go.set()
        response = busy.response()
        assert (response.status, response.text, response.get("connection")) == (200, "late", "close")
        assert busy.closed_by_peer()
        assert idle.closed_by_peer()
    assert weir.wait() == 0


def test_drain_time_ends(start, upstream):
    weir = start(simple(slow_upstream(upstream, threading.Event()).port), "--drain-time-s", "1")
    with http1.Client(weir.port) as client:
        client.send(http1.format_request())
        weir.wait_stat("cluster.upstream.upstream_rq_active", 1)
        time.sleep(1.5)  # nothing happens on the main loop: the drain time begins with the signal all the same
        before = time.monotonic()
        weir.signal(signal.SIGTERM)
        assert weir.wait() == 0
        assert 0.9 <= time.monotonic() - before < 40


def test_a_second_sigterm_ends_at_once(start, upstream):
    weir = start(simple(slow_upstream(upstream, threading.Event()).port))
    weir.expect_status = 128 + signal.SIGTERM
    with http1.Client(weir.port) as client:
        client.send(http1.format_request())
        weir.wait_stat("cluster.upstream.upstream_rq_active", 1)
        weir.signal(signal.SIGTERM)
        weir.wait_log("draining")
        weir.signal(signal.SIGTERM)
        assert weir.wait() == 128 + signal.SIGTERM


ACCESS = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"


@pytest.mark.parametrize("how", ["SIGUSR1", "POST /reopen_logs"])
def test_logs_follow_rotation(start, tmp_path, how):
    path, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    weir = start(simple(access_log=[{"name": "f", "typed_config": {"@type": ACCESS, "path": str(path)}}]))
    http1.request(weir.port, path="/one")
    wait_until(lambda: "/one" in path.read_text(), "the first line")
    path.rename(moved)
    if how == "SIGUSR1":
        weir.signal(signal.SIGUSR1)
    else:
        weir.admin("/reopen_logs", "POST")
    wait_until(path.exists, "the new file")
    http1.request(weir.port, path="/two")
    wait_until(lambda: "/two" in path.read_text(), "the second line")
    assert "/two" not in moved.read_text()


def test_the_default_access_log_line(start, tmp_path, upstream):
    path = tmp_path / "access.log"
    up = upstream()
    weir = start(simple(up.port, access_log=[{"name": "f", "typed_config": {"@type": ACCESS, "path": str(path)}}]))
    http1.request(weir.port, "POST", "/a?b", {"user-agent": "test/1"}, "12345", host="h.test")
    line = wait_until(path.read_text, "a line")
    assert re.fullmatch(
        r'\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "POST /a\?b HTTP/1\.1" 200 - 5 \d+ \d+ \d+ "-" "test/1" '
        rf'"[0-9a-f-]{{36}}" "h\.test" "127\.0\.0\.1:{up.port}"\n', line), line


def test_json_access_log(start, tmp_path):
    path = tmp_path / "access.log"
    log = {"@type": ACCESS, "path": str(path), "log_format": {"json_format": {
        "code": "%RESPONSE_CODE%", "path": "%REQ(:PATH)%", "none": "%REQ(X-NONE)%"}}}
    weir = start(simple(access_log=[{"name": "f", "typed_config": log}]))
    http1.request(weir.port, path='/q"uote')
    wait_until(path.read_text, "a line")
    assert json.loads(path.read_text()) == {"code": 200, "path": '/q"uote', "none": None}


def test_log_format_and_components(start):
    weir = start(simple(), "--component-log-level", "http:debug", level="warning")
    http1.request(weir.port)
    text = weir.log()
    for line in text.splitlines():
        assert re.match(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\]\[\d+\]\[(warning|error|critical|debug)\]\[\w+\] "
                        r"\[\w+\.c:\d+\] ", line), line
    assert "[info]" not in text


def test_running_out_of_descriptors_is_survived(start):
    weir = start(simple())
    # Only now: the limit is raised at start.
    import resource
    used = len(os.listdir(f"/proc/{weir.process.pid}/fd"))
    resource.prlimit(weir.process.pid, resource.RLIMIT_NOFILE, (used + 4, used + 4))
    port = weir.port
    clients = [http1.Client(port) for _ in range(12)]
    try:
        time_before = cpu_seconds(weir.process.pid)
        assert clients[0].request().status == 200
        clients[0].request()
        assert cpu_seconds(weir.process.pid) - time_before < 5
    finally:
        for client in clients:
            client.close()
    wait_until(lambda: try_request(port), "service after the shortage")


def try_request(port):
    try:
        return http1.request(port).status == 200
    except (OSError, http1.Closed):
        return False


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
