# SPDX-License-Identifier: Apache-2.0
"""Access loggers that are plugins, for requests, TCP connections and a listener's connections; a listener's own logs."""

import json
import re

import pytest

from support import http1
from support.config import ANY, bootstrap, cluster, direct, hcm, http_options, listener as http_listener, wasm
from support.plugins import RUNTIMES
from support.process import run_weir, wait_until
from support.tcp import Client, echo, listener, stdout_log, tcp_proxy


def wasm_log(words="", runtime="envoy.wasm.runtime.v8", filter=None, **fields):
    config = wasm("host_probe", words, runtime, name="logger", **fields)["typed_config"]["config"]
    log = {"name": "wasm", "typed_config": {
        "@type": ANY + "envoy.extensions.access_loggers.wasm.v3.WasmAccessLog", "config": config}}
    return {**log, "filter": filter} if filter else log


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_requests(start, upstream, runtime):
    def handler(connection):
        while (connection.read_request()) is not None:
            connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-trailer: t\r\n\r\n")
    server = upstream(handler)
    options = http_options(explicit_http_config={"http_protocol_options": {"enable_trailers": True}})
    config = bootstrap(
        http_listener(hcm(access_log=[wasm_log(runtime=runtime)], http_protocol_options={"enable_trailers": True})),
        clusters=[cluster(server.port, **options)])
    weir = start(config)
    for _ in range(3):
        assert http1.request(weir.port, "GET", "/").status == 200
    # As in Envoy: read-only maps, no request trailers, no property can be set from a root context.
    weir.wait_log(r"log root=1 method=GET/0 status=200/0 trailer=t/0 add=2 headers=1 code=200 source=1 "
                  r"cluster=upstream set=1", 3)


def test_connections(start, upstream):
    server = upstream(echo)
    weir = start(bootstrap(listener(tcp_proxy(access_log=[wasm_log()])), clusters=[cluster(server.port)]))
    with Client(weir.port) as client:
        assert client.send(b"x").end().rest() == b"x"
    weir.wait_log(r"log root=1 method=/1 status=/1 trailer=/1 add=2 headers=0 code=0 source=1 cluster=upstream set=1")


def test_a_listener_logs_connections(start, upstream):
    """One line for each connection, whatever serves it, also one that no chain wants."""
    text = stdout_log("CONN rx=%BYTES_RECEIVED% tx=%BYTES_SENT% flags=%RESPONSE_FLAGS% why=%RESPONSE_CODE_DETAILS% end")
    picky = listener(tcp_proxy(stat_prefix="picky"), name="picky", access_log=[text])
    picky["filter_chains"][0]["filter_chain_match"] = {"destination_port": 1}
    weir = start(bootstrap(
        http_listener(hcm([direct(text="hi")]), access_log=[text, wasm_log()]),
        listener(tcp_proxy(), name="tcp", access_log=[text]), picky, clusters=[cluster(upstream(echo).port)]))
    with Client(weir.port) as client:
        request = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"
        client.send(request)
        while b"hi" not in (answer := client.socket.recv(4096)):
            pass
        client.send(request)
        client.socket.recv(4096)
    weir.wait_log(rf"CONN rx={2 * len(request)} tx={2 * len(answer)} flags=- why=- end")
    weir.wait_log(r"log root=1 method=/1 status=/1")
    with Client(weir.listener_port("tcp")) as client:
        assert client.send(b"abc").end().rest() == b"abc"
    weir.wait_log(r"CONN rx=3 tx=3 flags=- why=- end")
    with Client(weir.listener_port("picky")) as client:
        assert client.rest() == b""
    weir.wait_log(r"CONN rx=0 tx=0 flags=NR why=filter_chain_not_found end")


def test_filter(start):
    only_errors = {"status_code_filter": {"comparison": {
        "op": "GE", "value": {"default_value": 400, "runtime_key": "none"}}}}
    weir = start(bootstrap(http_listener(hcm(
        [direct(404, match="/bad"), direct(200)], access_log=[wasm_log(filter=only_errors)]))))
    assert http1.request(weir.port, "GET", "/").status == 200
    assert http1.request(weir.port, "GET", "/bad").status == 404
    weir.wait_log(r"log root=1 method=GET/0 status=404/0")
    assert not re.search("status=200/0", weir.log())


@pytest.mark.parametrize("word", ["trap-log", "loop-log"])
def test_a_logger_that_fails_hurts_no_request(start, word):
    weir = start(bootstrap(http_listener(hcm([direct(text="fine")], access_log=[wasm_log(word)]))))
    for _ in range(10):
        assert http1.request(weir.port, "GET", "/").text == "fine"
    wait_until(lambda: weir.plugin("logger")["traps"] + weir.plugin("logger")["timeouts"] >= 1, "a failure")


def test_a_logger_that_fails_with_a_vm_for_each_stream(start):
    """Lines go to the plugin's ordinary VM, also while that is gone."""
    weir = start(bootstrap(http_listener(hcm([direct(text="fine")], access_log=[wasm_log("trap-log")]))),
                 policy={"rules": [{"worker_time_percent_max": 100, "sharing": "STREAM"}]})
    for _ in range(50):
        assert http1.request(weir.port, "GET", "/").status == 200


def test_bad_plugin_is_refused(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(bootstrap(http_listener(hcm([direct()], access_log=[wasm_log("refuse")])))))
    done = run_weir("-c", path, "--concurrency", 1, "--wasm-cache-dir", tmp_path / "cache")
    assert done.returncode == 1 and "logger" in done.stderr, done.stderr
