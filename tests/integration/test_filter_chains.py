# SPDX-License-Identifier: Apache-2.0
"""Which filter chain takes a connection: server names and protocols by tls_inspector, addresses and ports, the default chain;
beside real Envoy."""

import re
import time

import pytest

from support.envoy import Envoy
from support.listeners import chain, client_hello, config, front, tls_inspector
from support.pages import block, with_ports
from support.process import Weir, validate, wait_until
from support.tcp import Client, echo, stdout_log

NAMES = ("exact", "below", "h2", "tls", "plain")
CHAINS = [chain("exact", server_names=["www.example.com", "b.org"]), chain("below", server_names=["*.example.com"]),
          chain("h2", transport_protocol="tls", application_protocols=["h2"]), chain("tls", transport_protocol="tls")]
HELLOS = {
    "exact": client_hello("www.example.com"), "case": client_hello("WWW.Example.COM"), "other": client_hello("b.org"),
    "below": client_hello("a.b.example.com"), "top": client_hello("example.com"), "h2": client_hello("q.org", ["h2", "http/1.1"]),
    "http11": client_hello("q.org", ["http/1.1"]), "address": client_hello("127.0.0.1"), "nameless": client_hello(),
    "name and h2": client_hello("www.example.com", ["h2"]), "http": b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", "tail": client_hello("b.org") + b"early",
    "records": b"".join(b"\x16\x03\x01\x00" + bytes([len(b)]) + b for b in re.findall(b"(?s).{1,7}", client_hello("b.org")[5:])),
    "alert": b"\x15\x03\x01\x00\x02\x02\x28", "bad": b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03",
    "server hello": b"\x16\x03\x01\x00\x06\x02\x00\x00\x02\x03\x03", "zero": b"\x00" * 20, "sslv2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\x01" * 40,
}


def comes_back(proxy, data):
    with Client(proxy.listener_port("front"), deadline_s=60) as client:
        try:
            return client.send(data).read(len(data)) == data
        except (EOFError, ConnectionResetError):
            return False


def taken_by(proxy, data):
    """The chains whose tcp_proxy has seen a connection, after one that sent `data` and got it back."""
    before = proxy.stats(r"tcp\..*\.downstream_cx_total")
    comes_back(proxy, data)
    after = proxy.stats(r"tcp\..*\.downstream_cx_total")
    return [name.split(".")[1] for name, count in after.items() if count > before.get(name, 0)]


@pytest.fixture
def server(upstream):
    return upstream(echo)


def sni_config(port, filters=None, **fields):
    filters = [tls_inspector()] if filters is None else filters
    return config(front(CHAINS, filters, chain("plain"), **fields), port, *NAMES)


def test_by_server_name(start, server):
    log = stdout_log("LOG name=%REQUESTED_SERVER_NAME% chain=%FILTER_CHAIN_NAME% end")
    weir = start(sni_config(server.port, access_log=[log]))
    expected = {"exact": "exact", "case": "exact", "other": "exact", "below": "below", "top": "tls", "h2": "h2",
                "name and h2": "exact", "http": "plain", "tail": "exact", "bad": "plain", "records": "exact"}
    for name, chosen in expected.items():
        assert taken_by(weir, HELLOS[name]) == [chosen], name
    weir.wait_log("LOG name=www.example.com chain=exact end", 3)
    weir.wait_log("LOG name=a.b.example.com chain=below end")
    weir.wait_log("LOG name=- chain=plain end", 2)
    stats = weir.stats("tls_inspector")
    assert stats["tls_inspector.tls_found"] == 9
    assert stats["tls_inspector.tls_not_found"] == 2
    assert stats["tls_inspector.alpn_found"] == 2
    assert stats["tls_inspector.sni_found"] == 9


def by_server_name(port):
    """To the cluster that the client names; without a name, to that of the configuration."""
    front_chain = chain("plain")
    front_chain["filters"].insert(0, {"name": "envoy.filters.network.sni_cluster", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.sni_cluster.v3.SniCluster"}})
    front_chain["filters"][-1]["typed_config"]["access_log"] = [stdout_log("LOG cluster=%UPSTREAM_CLUSTER% flags=%RESPONSE_FLAGS% end")]
    return config(front([front_chain], [tls_inspector()]), port, "plain", "b.org", "www.example.com")


def test_the_cluster_is_the_server_name(tmp_path, server):
    hellos = ["exact", "case", "other", "nameless", "http", "below"]
    seen = []
    for kind in (Weir, Envoy):
        with kind(tmp_path / kind.__name__, by_server_name(server.port)) as proxy:
            taken = [comes_back(proxy, HELLOS[name]) for name in hellos]
            lines = proxy.wait_log("LOG (.*) end", len(hellos))
            seen.append((taken, sorted(lines)))
    assert seen[0] == seen[1]
    assert seen[0][0] == [True, True, True, True, True, False]
    assert sum("cluster=www.example.com " in line for line in seen[0][1]) == 2


def test_documented_gateway(start, server):
    weir = start(with_ports(block("tcp.md", "# Routes by server name."), {8443: server.port}))
    assert comes_back(weir, client_hello("orders.example.com"))
    assert not comes_back(weir, client_hello("else.example.com")) and not comes_back(weir, HELLOS["nameless"])


def test_byte_by_byte(start, server):
    weir = start(sni_config(server.port))
    with Client(weir.port) as client:
        for byte in HELLOS["below"]:
            client.send(bytes([byte]))
        assert client.end().rest() == HELLOS["below"]
    assert weir.stats("below")["tcp.below.downstream_cx_total"] == 1


def test_without_inspector_no_name_is_known(start, server):
    """As Envoy 1.40, which adds no inspector by itself."""
    weir = start(sni_config(server.port, filters=[]))
    assert taken_by(weir, HELLOS["exact"]) == ["plain"]
    weir.wait_log("tls_inspector")


def test_silent_and_slow_clients(start, server):
    weir = start(sni_config(server.port, listener_filters_timeout="5s"))
    with Client(weir.port) as silent, Client(weir.port) as slow:
        slow.send(HELLOS["exact"][:40])
        wait_until(lambda: weir.stats("front|pre_cx").get(pre(weir, "active")) == 2, "two waiting connections")
        assert silent.rest() == b""
        assert slow.rest() == b""
    assert weir.stats("pre_cx")[pre(weir, "timeout")] == 2
    weir.wait_stat(pre(weir, "active"), 0)


def pre(weir, what):
    return f"listener.127.0.0.1_0.downstream_pre_cx_{what}"


def test_continue_on_timeout(start, server):
    weir = start(sni_config(server.port, listener_filters_timeout="0.2s", continue_on_listener_filters_timeout=True))
    with Client(weir.port) as client:
        assert client.send(HELLOS["exact"][:40]).read(40) == HELLOS["exact"][:40]
        client.send(b"rest").end()
        assert client.rest() == b"rest"
    assert weir.stats("tcp")["tcp.plain.downstream_cx_total"] == 1


def test_client_leaves_before_it_is_known(start, server):
    weir = start(sni_config(server.port))
    for _ in range(3):
        Client(weir.port).send(HELLOS["exact"][:30]).end().close()
    Client(weir.port).send(HELLOS["exact"][:30]).reset()
    weir.wait_stat("listener.127.0.0.1_0.downstream_listener_filter_remote_close", 4)
    weir.wait_stat(pre(weir, "active"), 0)


def test_large_hello(start, server):
    weir = start(sni_config(server.port, [tls_inspector(max_client_hello_size=512, close_connection_on_client_hello_parsing_errors=True)]))
    large = b"\x16\x03\x01\x10\x00\x01\x00\x0f\xfc" + b"\x03" * 600
    assert taken_by(weir, large) == []
    assert taken_by(weir, HELLOS["bad"]) == []
    assert weir.stats("tls_inspector")["tls_inspector.client_hello_too_large"] == 1
    assert weir.stats("tls_inspector")["tls_inspector.tls_not_found"] == 1


def test_shutdown_while_a_client_is_silent(start, server):
    weir = start(sni_config(server.port), "--drain-time-s", "100")
    with Client(weir.port) as client:
        client.send(HELLOS["exact"][:30])
        wait_until(lambda: weir.stats("pre_cx")[pre(weir, "active")] == 1, "a waiting connection")
        began = time.monotonic()
        weir.signal(15)
        assert client.rest() == b""
        weir.wait()
        assert time.monotonic() - began < 60


@pytest.mark.parametrize("matches, message", [
    ([{"server_names": ["a.com"]}, {"server_names": ["a.com"]}],
     "filter chain 'c1' has the same matching rules defined as 'c0'. duplicate matcher is: "),
    ([{"source_ports": [1, 2]}, {"source_ports": [2, 3]}], "multiple filter chains with overlapping matching rules are defined"),
    ([{"server_names": ["A.com", "a.com"]}], "multiple filter chains with overlapping matching rules are defined"),
    ([{"server_names": ["*w.com"]}], 'partial wildcards are not supported in "server_names"'),
    ([{"server_names": ["*"]}], 'partial wildcards are not supported in "server_names"'),
])
def test_refused(tmp_path, matches, message):
    done = validate(tmp_path, config(front([chain(f"c{i}", to="x", **m) for i, m in enumerate(matches)]), 1, "x"))
    assert done.returncode == 1
    assert message in done.stderr, done.stderr


def test_as_envoy(tmp_path, server):
    with Envoy(tmp_path / "envoy", sni_config(server.port)) as envoy, Weir(tmp_path / "weir", sni_config(server.port)) as weir:
        for name, data in HELLOS.items():
            assert taken_by(weir, data) == taken_by(envoy, data), name
        pattern = "tls_inspector"
        assert weir.stats(pattern) == envoy.stats(pattern)
