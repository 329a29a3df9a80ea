# SPDX-License-Identifier: Apache-2.0
"""The wasm network filter: callbacks and their order, bytes changed both ways, pausing and going on, failures and their
policies, in front of the TCP proxy and of the connection manager."""

import hashlib
import re
import threading

import pytest

from support import http1
from support.config import cluster, bootstrap, hcm, listener as http_listener, wasm
from support.pages import blocks
from support.plugins import RUNTIMES
from support.process import BUILD, wait_until
from support.tcp import (SMALL, Client, echo, listener, network_wasm, pattern_digest, send_in_background, simple,
                         stdout_log, tcp_proxy)

LOG = stdout_log("LOG rx=%BYTES_RECEIVED% tx=%BYTES_SENT% seen=%FILTER_STATE(wasm.seen:PLAIN)% end")


def probe(words="", runtime="envoy.wasm.runtime.v8", **fields):
    return network_wasm(wasm("tcp_probe", words, runtime, name="probe", **fields))


def plugin_lines(weir):
    return re.findall(r"wasm log probe\S*: (.*)", weir.log())


def talk(port, *sends):
    with Client(port) as client:
        for data in sends:
            client.send(data)
        return client.end().rest()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_life_of_a_connection(start, upstream, runtime):
    weir = start(simple(upstream(echo).port, probe(runtime=runtime), access_log=[LOG]))
    with Client(weir.port) as client:
        assert client.send(b"hello").read(5) == b"hello"
        assert client.end().rest() == b""
    weir.wait_log("LOG rx=5 tx=5 seen=by tcp_probe end")
    assert plugin_lines(weir) == [
        "create 0", "new 0", "downstream 5", "upstream 5", "downstream 0 end", "upstream 0 end", "upstream close 0",
        "downstream close 1", "done 0", f"log upstream=127.0.0.1:{upstream_port(weir)} source={source(weir)} id=set",
        "delete 0"]


def upstream_port(weir):
    return re.search(r"log upstream=127\.0\.0\.1:(\d+)", weir.log())[1]


def source(weir):
    return re.search(r"source=(127\.0\.0\.1:\d+)", weir.log())[1]


def test_who_closed(start, upstream):
    weir = start(simple(upstream(echo).port, probe()))
    client = Client(weir.port).send(b"x")
    assert client.read(1) == b"x"
    client.reset()
    weir.wait_log(r"downstream close 2")
    assert talk(weir.port, b"CLOSE") == b""
    weir.wait_log(r"downstream close 1")


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("sent, answer", [
    (b"UPPER abc", b"UPPER ABC"),
    (b"WRAP abc", b"<WRAP abc>"),
    (b"DROP abc", b""),
])
def test_bytes_are_changed(start, upstream, runtime, sent, answer):
    weir = start(simple(upstream(echo).port, probe(runtime=runtime)))
    assert talk(weir.port, sent) == answer


def test_answers_are_changed(start, upstream):
    """The upstream's bytes carry the command."""
    def handler(connection):
        connection.send(connection.socket.recv(100)[1:])
        connection.socket.recv(100)
    weir = start(simple(upstream(handler).port, probe()))
    assert talk(weir.port, b".UPPER abc") == b"UPPER ABC"
    assert talk(weir.port, b".WRAP abc") == b"<WRAP abc>"
    assert talk(weir.port, b".DROP abc") == b""
    assert talk(weir.port, b".HOLD abc") == b"HOLD abc"
    assert talk(weir.port, b".CLOSE abc") in (b"", b"CLOSE abc")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_held_bytes_add_up_and_go_on(start, upstream, runtime):
    weir = start(simple(upstream(echo).port, probe(runtime=runtime)))
    with Client(weir.port) as client:
        client.send(b"LINE ab")
        weir.wait_log("downstream 7")
        client.send(b"cd")
        weir.wait_log("downstream 9")
        assert client.send(b"\nrest").read(14) == b"LINE abcd\nrest"
        assert client.send(b"HOLD on").read(7) == b"HOLD on"
    weir.wait_log("later 0: 0")
    weir.wait_log("downstream 14")


def test_held_end(start, upstream):
    """The client's end waits with the bytes before it."""
    weir = start(simple(upstream(echo).port, probe()))
    with Client(weir.port) as client:
        assert client.send(b"HOLD").end().rest() == b"HOLD"


def test_new_connection_waits(start, upstream):
    server = upstream(echo)
    weir = start(simple(server.port, probe("hold-new")))
    with Client(weir.port) as client:
        assert client.send(b"early").read(5) == b"early"
    weir.wait_log("later 0: 0")
    assert plugin_lines(weir)[:3] == ["create 0", "new 0", "later 0: 0"]


def test_closing_from_a_timer(start, upstream):
    weir = start(simple(upstream(echo).port, probe()))
    with Client(weir.port) as client:
        assert client.send(b"GONE").rest() in (b"GONE", b"")  # the timer may be before the echo


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("words, sent", [("", b"TRAP x"), ("trap-new", b"x"), ("", b".TRAP x")])
def test_fail_closed(start, upstream, runtime, words, sent):
    def handler(connection):
        while data := connection.socket.recv(100):
            connection.send(data.removeprefix(b"."))
    weir = start(simple(upstream(handler).port, probe(words, runtime)))
    for _ in range(3):
        try:
            assert talk(weir.port, sent) == b""
        except OSError:
            pass  # closed while the bytes were under way
    if not words:
        assert talk(weir.port, b"fine") == b"fine"
    weir.wait_stat("cluster.upstream.upstream_cx_active", 0)
    wait_until(lambda: weir.plugin("probe")["traps"] == 3, "three traps")


@pytest.mark.parametrize("words, sent", [("", b"TRAP x"), ("trap-new", b"x"), ("", b".TRAP x")])
def test_fail_open(start, upstream, words, sent):
    def handler(connection):
        while data := connection.socket.recv(100):
            connection.send(data.removeprefix(b"."))
        connection.send(b" end")
    weir = start(simple(upstream(handler).port, probe(words, failure_policy="FAIL_OPEN")))
    for _ in range(3):
        assert talk(weir.port, sent) == sent.removeprefix(b".") + b" end"


def test_others_suffer_by_policy_only(start, upstream):
    """A trap retires the VM; connections of it that were idle or held are closed (closed) or run on (open)."""
    for policy in ("FAIL_CLOSED", "FAIL_OPEN"):
        weir = start(simple(upstream(echo).port, probe(failure_policy=policy)))
        with Client(weir.port) as idle, Client(weir.port) as held:
            assert idle.send(b"a").read(1) == b"a"
            held.send(b"LINE held")
            weir.wait_log("downstream 9")
            try:
                talk(weir.port, b"TRAP")
            except OSError:
                pass
            if policy == "FAIL_OPEN":
                assert held.read(9) == b"LINE held"
                assert idle.send(b"b").read(1) == b"b"
            else:
                assert held.rest() == b""
                assert idle.rest() == b""
        with Client(weir.port) as after:
            assert after.send(b"c").read(1) == b"c"


@pytest.mark.parametrize("words, sent", [("keep-new", b"hello"), ("", b"LINE kept")])
@pytest.mark.parametrize("fallback", ["FAIL_OPEN", "FAIL_CLOSED"])
def test_a_pause_has_its_time(start, upstream, words, sent, fallback):
    """A new connection, or a side's last bytes, that a plugin keeps: after pause_time_max the fallback applies."""
    policy = {"rules": [{"pause_time_max": "0.2s", "fallback": fallback}]}
    weir = start(simple(upstream(echo).port, probe(words)), policy=policy)
    try:
        assert talk(weir.port, sent) == (sent if fallback == "FAIL_OPEN" else b"")
    except ConnectionResetError:  # closed with bytes that nobody has read
        assert fallback == "FAIL_CLOSED"
    report = weir.plugin("probe")
    assert (report["pauses_ended"], report["traps"]) == (1, 0)


def test_waiting_for_more_is_no_pause(start, upstream):
    weir = start(simple(upstream(echo).port, probe()), policy={"rules": [{"worker_time_percent_max": 100, "pause_time_max": "0.05s"}]})
    with Client(weir.port) as client:
        client.send(b"LINE a")
        weir.wait_log("downstream 6")
        for _ in range(5):
            assert weir.plugin("probe")["pauses_ended"] == 0
            client.send(b"b")
        assert client.send(b"\n").read(12) == b"LINE abbbbb\n"


def test_a_vm_for_each_connection(start, upstream):
    """Sharing STREAM: a trap ends its own connection and no other."""
    weir = start(simple(upstream(echo).port, probe()), policy={"rules": [{"worker_time_percent_max": 100, "sharing": "STREAM"}]})
    with Client(weir.port) as idle, Client(weir.port) as held:
        assert idle.send(b"a").read(1) == b"a"
        held.send(b"LINE held")
        weir.wait_log("downstream 9")
        for _ in range(3):
            assert talk(weir.port, b"TRAP") == b""
        assert talk(weir.port, b"WRAP x") == b"<WRAP x>"
        assert idle.send(b"b").read(1) == b"b"
        assert held.send(b"\n").read(10) == b"LINE held\n"
    wait_until(lambda: weir.plugin("probe")["streams"] == 0, "all contexts deleted")


def test_endless_loop(start, upstream):
    weir = start(simple(upstream(echo).port, probe()))
    assert talk(weir.port, b"LOOP") == b""
    assert talk(weir.port, b"fine") == b"fine"
    assert weir.plugin("probe")["timeouts"] == 1


@pytest.mark.parametrize("words", ["trap-close", "trap-done"])
def test_traps_at_the_end(start, upstream, words):
    weir = start(simple(upstream(echo).port, probe(words), access_log=[LOG]))
    for _ in range(3):
        assert talk(weir.port, b"x") == b"x"
    weir.wait_log("LOG rx=1 tx=1", 3)
    wait_until(lambda: weir.plugin("probe")["traps"] == 3, "three traps")


def test_big_transfers_both_ways(start, upstream):
    blocks = 400  # 25 MiB
    result = {}

    def handler(connection):
        thread = send_in_background(connection.socket, blocks)
        seen, count = hashlib.sha256(), 0
        while data := connection.socket.recv(1 << 18):
            seen.update(data)
            count += len(data)
        result["up"] = (count, seen.hexdigest())
        thread.join()
    weir = start(simple(upstream(handler).port, probe("quiet"), probe("quiet")))
    with Client(weir.port) as client:
        thread = send_in_background(client.socket, blocks)
        assert client.digest_rest() == pattern_digest(blocks)
        thread.join()
    wait_until(lambda: "up" in result, "the upstream's end")
    assert result["up"] == pattern_digest(blocks)


@pytest.mark.parametrize("slow", ["client", "upstream"])
def test_slow_reader_bounds_memory(start, upstream, slow):
    blocks = 400
    go, result = threading.Event(), []

    def handler(connection):
        if slow == "client":
            send_in_background(connection.socket, blocks).join()
            return
        go.wait(60)
        count = 0
        while data := connection.socket.recv(1 << 18):
            count += len(data)
        result.append(count)
    limit = {"per_connection_buffer_limit_bytes": SMALL}
    weir = start(simple(upstream(handler).port, probe("quiet"), listener_fields=limit, cluster_fields=limit))
    with Client(weir.port) as client:
        before = weir.rss_bytes()
        if slow == "upstream":
            send_in_background(client.socket, blocks)
        wait_until(lambda: any(v for k, v in weir.stats("flow_control").items() if "paused" in k), "back-pressure")
        assert weir.rss_bytes() - before < 8 << 20
        go.set()
        if slow == "client":
            assert client.digest_rest() == pattern_digest(blocks)
        else:
            wait_until(lambda: result == [blocks << 16], "all at the upstream")


def test_a_plugin_that_keeps_everything(start, upstream):
    """What a plugin holds is bounded by the listener's buffer limit: the client is not read any more."""
    weir = start(simple(upstream(echo).port, probe("quiet"), listener_fields={"per_connection_buffer_limit_bytes": SMALL}))
    with Client(weir.port) as client:
        client.send(b"LINE without an end ")
        before = weir.rss_bytes()
        client.socket.settimeout(1)
        sent = 0
        try:
            while sent < 64 << 20:
                sent += client.socket.send(b"x" * 65536)
        except TimeoutError:
            pass
        assert sent < 32 << 20
        assert weir.rss_bytes() - before < 4 << 20
    weir.expect_status = -9
    weir.kill()  # the client's end stands behind bytes that are never read


def test_in_front_of_http(start, recording):
    """The bytes of a request are changed before the codec reads them; plain HTTP passes."""
    config = bootstrap(http_listener(hcm()), clusters=[cluster(recording.port)])
    config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"].insert(0, probe())
    weir = start(config)
    assert http1.request(weir.port, "GET", "/path").status == 200
    with Client(weir.port) as client:
        client.send(b"DROP this and nothing else")
        weir.wait_log("downstream 26")
        client.send(b"GET /after HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        assert b"200 OK" in client.rest()
    assert [r.start for r in recording.requests] == ["GET /path HTTP/1.1", "GET /after HTTP/1.1"]
    with Client(weir.port) as client:
        assert client.send(b"TRAP / HTTP/1.1\r\n\r\n").rest() == b""
    assert http1.request(weir.port, "GET", "/again").status == 200


def test_capabilities(start, upstream):
    """A callback that is not allowed is as if the plugin did not have it."""
    allowed = ["proxy_on_vm_start", "proxy_on_configure", "proxy_on_context_create", "proxy_on_new_connection",
               "proxy_log", "proxy_get_buffer_bytes", "proxy_set_tick_period_milliseconds", "proxy_get_log_level"]
    weir = start(simple(upstream(echo).port, probe(capability_restriction_config={
        "allowed_capabilities": {name: {} for name in allowed}})))
    assert talk(weir.port, b"TRAP") == b"TRAP"
    weir.wait_log("new 0")
    assert talk(weir.port, b"TRAP") == b"TRAP"
    weir.wait_log("new 0", 2)
    assert "downstream" not in "".join(plugin_lines(weir))


def test_thousand_connections(start, upstream):
    weir = start(simple(upstream(echo).port, probe("quiet")), concurrency=2)
    clients, port = [], weir.port
    for i in range(1000):
        clients.append(Client(port))
        assert clients[-1].send(b"WRAP %04d" % i).read(11) == b"<WRAP %04d>" % i
    assert weir.plugin("probe")["streams"] == 1000
    for client in clients:
        client.close()
    wait_until(lambda: weir.plugin("probe")["streams"] == 0, "all contexts deleted")


def test_two_chains_one_file(start, upstream):
    """Network filters in one chain do not touch another."""
    server = upstream(echo)
    weir = start(bootstrap(listener(probe(), tcp_proxy()), listener(tcp_proxy(stat_prefix="plain"), name="plain"),
                           clusters=[cluster(server.port)]))
    assert talk(weir.listener_port("plain"), b"UPPER abc") == b"UPPER abc"
    assert talk(weir.port, b"UPPER abc") == b"UPPER ABC"


def test_documented_configuration(start, upstream):
    filters = next(text for text in blocks("plugin-hosts.md") if "network.wasm" in text)
    filters = filters.replace("my_plugin.wasm", str(BUILD / "tests/plugins/tcp_probe.wasm"))
    indented = "\n".join("      " + line for line in filters.splitlines())
    weir = start(f"""
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
  - name: front
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains:
    -
{indented}
  clusters:
  - name: db
    load_assignment:
      cluster_name: db
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream(echo).port}}}}}}}
""")
    assert talk(weir.port, b"UPPER abc") == b"UPPER ABC"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_plugin_says_where_a_connection_goes(start, upstream, runtime):
    def other(connection):
        while connection.socket.recv(100):
            pass
        connection.send(b"the other")

    config = simple(upstream(echo).port, probe("to=other", runtime), access_log=[stdout_log("LOG %UPSTREAM_CLUSTER% end")])
    away = cluster(upstream(other).port)
    away["name"] = away["load_assignment"]["cluster_name"] = "other"
    config["static_resources"]["clusters"].append(away)
    weir = start(config)
    assert talk(weir.port, b"hello") == b"the other"
    weir.wait_log("LOG other end")
    assert "routed 0" in plugin_lines(weir)


def test_a_plugin_sends_no_connection_to_a_hidden_cluster(start, upstream):
    config = simple(upstream(echo).port, probe("to=other"), access_log=[stdout_log("LOG %UPSTREAM_CLUSTER% end")])
    weir = start(config, policy={"rules": [{"worker_time_percent_max": 100, "hidden_clusters": ["oth*"]}]})
    assert talk(weir.port, b"hello") == b"hello"
    weir.wait_log("LOG upstream end")
    assert "routed 0" in plugin_lines(weir)


def test_a_cluster_that_does_not_exist_ends_the_connection(start, upstream):
    weir = start(simple(upstream(echo).port, probe("to=nowhere"), access_log=[stdout_log("LOG %RESPONSE_FLAGS% end")]))
    with Client(weir.port) as client:
        assert client.rest() == b""
    weir.wait_log("LOG NC end")
