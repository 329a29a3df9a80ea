# SPDX-License-Identifier: Apache-2.0
"""When the TCP proxy connects (upstream_connect_mode, back-off), to whom (metadata_match), how long it lasts (idleness,
jitter) and when it is logged (access_log_options), through real Envoy and through Weir."""

import re
import socket
import ssl
import time

import pytest

from support import tls
from support.config import address, bootstrap, cluster
from support.envoy import Envoy
from support.process import Weir, wait_until
from support.tcp import Client, echo, listener, stdout_log, tcp_proxy
from support.upstream import Upstream, refused_port

LOG = stdout_log("LOG %FILTER_CHAIN_NAME% %ACCESS_LOG_TYPE% flags=%RESPONSE_FLAGS% rx=%BYTES_RECEIVED% tx=%BYTES_SENT% "
                 "attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% cluster=%UPSTREAM_CLUSTER%")
LISTENER_LOG = stdout_log("LISTENER %ACCESS_LOG_TYPE% rx=%BYTES_RECEIVED%")


def labelled(ports, **fields):
    """One host for each label."""
    hosts = [{"endpoint": {"address": address(port)}, "metadata": {"filter_metadata": {"envoy.lb": {"stage": stage, "v": "1"}}}}
             for stage, port in ports.items()]
    return {"name": "labelled", "type": "STATIC", "connect_timeout": "10s",
            "load_assignment": {"cluster_name": "labelled", "endpoints": [{"lb_endpoints": hosts}]},
            "lb_subset_config": {"fallback_policy": "NO_FALLBACK", "subset_selectors": [{"keys": ["stage", "v"]}]}, **fields}


def match(**labels):
    return {"filter_metadata": {"envoy.lb": labels}}


def config(port, labels, dead, pair):
    def one(name, to="upstream", socket_config=None, **fields):
        made = listener(tcp_proxy(to, stat_prefix=name, access_log=[LOG], **fields), name=name)
        made["filter_chains"][0]["name"] = name
        if socket_config:
            made["filter_chains"][0]["transport_socket"] = socket_config
        if name == "front":
            made["access_log"] = [LISTENER_LOG]
        return made

    def weighted(name, labels):
        return one(name, weighted_clusters={"clusters": [{"name": "labelled", "weight": 1, "metadata_match": match(**labels)}]},
                   metadata_match=match(v="1"))
    early = {"max_early_data_bytes": 1000}
    return bootstrap(
        one("front"),
        one("data", upstream_connect_mode="ON_DOWNSTREAM_DATA", **early),
        one("none", upstream_connect_mode="ON_DOWNSTREAM_DATA", max_early_data_bytes=0),
        one("idle", upstream_connect_mode="ON_DOWNSTREAM_DATA", idle_timeout="0.3s", **early),
        one("deaf", "dead", **early),
        one("plain", upstream_connect_mode="ON_DOWNSTREAM_TLS_HANDSHAKE", **early),
        one("secured", socket_config=tls.downstream(pair.entry()), upstream_connect_mode="ON_DOWNSTREAM_TLS_HANDSHAKE", **early),
        one("backoff", "dead", max_connect_attempts=4, backoff_options={"base_interval": "0.02s", "max_interval": "0.05s"}),
        one("blue", "labelled", metadata_match=match(stage="blue", v="1")), weighted("green", {"stage": "green"}),
        weighted("nowhere", {"stage": "red"}),
        one("connected", access_log_options={"flush_access_log_on_connected": True}),
        one("periodic", access_log_flush_interval="0.1s"),
        one("jitter", max_downstream_connection_duration="0.1s", max_downstream_connection_duration_jitter_percentage={"value": 50}),
        clusters=[cluster(port), cluster(dead, name="dead"), labelled(labels)])


class Named(Upstream):
    """Answers with its name."""

    def __init__(self, name):
        super().__init__(lambda connection: connection.send(name))


def log_lines(proxy, mark="LOG "):
    return [line[line.index(mark):] for line in proxy.log().splitlines() if mark in line]


def say(proxy, name, *words, wait=None, end=True):
    with Client(proxy.listener_port(name)) as client:
        got = b""
        try:
            for word in words:
                client.send(word)
                got += client.read(len(word))
            if wait:
                wait_until(wait, name)
            if end:
                client.end()
            return got + client.rest()
        except ConnectionResetError:
            return got + b" RESET"


def periodic(proxy, pieces):
    """Several lines while it lasts."""
    with Client(proxy.listener_port("periodic")) as client:
        for piece in pieces:
            client.send(piece)
            client.read(len(piece))
            wait_until(lambda: any(re.search(rf"TcpPeriodic flags=- rx={len(piece)} ", line) for line in log_lines(proxy)) or
                       any("TcpPeriodic flags=- rx=%d " % sum(map(len, pieces)) in line for line in log_lines(proxy)), "a line")


def handshake(proxy, upstream):
    """Connections of the upstream before and after the client's handshake."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    before = upstream.connections
    with socket.create_connection(("127.0.0.1", proxy.listener_port("secured")), timeout=30) as raw:
        time.sleep(0.1)  # what does not happen has no sign
        waited = upstream.connections - before
        with context.wrap_socket(raw) as client:
            wait_until(lambda: upstream.connections > before, "the upstream's connection")
            client.sendall(b"hello")
            return waited, client.recv(5)


def run(make, directory):
    holder, dead = refused_port()
    pair = tls.Authority(directory / "ca").issue("web")
    with Upstream(echo) as server, Named(b"blue") as blue, Named(b"green") as green:
        proxy = make(directory, config(server.port, {"blue": blue.port, "green": green.port}, dead, pair), concurrency=1)
        seen = {}
        try:
            def count():
                return server.connections
            seen["front"] = say(proxy, "front", b"abc", b"d" * 3000)
            with Client(proxy.listener_port("data")) as client:
                before = count()
                time.sleep(0.1)  # what does not happen has no sign
                seen["silent"] = count() - before
                client.send(b"abc")
                seen["data"] = client.read(3), count() - before
                client.end()
                seen["data end"] = client.rest()
            seen["large"] = say(proxy, "data", b"x" * 100000)
            seen["none"] = say(proxy, "none", b"abc", b"x" * 5000)
            seen["idle"] = say(proxy, "idle", end=False)
            seen["deaf"] = say(proxy, "deaf", end=False)
            seen["plain"] = say(proxy, "plain", b"abc")
            seen["secured"] = handshake(proxy, server)
            seen["backoff"] = say(proxy, "backoff", end=False)
            for name in ("blue", "green", "nowhere"):
                seen[name] = say(proxy, name, end=False)
            seen["connected"] = say(proxy, "connected", b"abc", wait=lambda: any("TcpUpstreamC" in x for x in log_lines(proxy)))
            periodic(proxy, [b"abc", b"defgh"])
            start = time.monotonic()
            seen["jitter"] = say(proxy, "jitter", end=False)
            seen["lasted"] = time.monotonic() - start >= 0.1
            wait_until(lambda: sum("TcpConnectionEnd" in line for line in log_lines(proxy)) == 15, "all logs")
            wait_until(lambda: log_lines(proxy, "LISTENER"), "the listener's log")
            stats = proxy.stats()
            logs = [line for line in log_lines(proxy) if "TcpPeriodic" not in line]
            kinds = {line.split(" attempts")[1] for line in log_lines(proxy) if "TcpPeriodic" in line}
        finally:
            proxy.stop() if isinstance(proxy, Envoy) else proxy.kill()
    holder.close()
    return {"seen": seen, "logs": sorted(logs), "periodic": kinds, "listener": log_lines(proxy, "LISTENER"), "stats": stats}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    envoy = run(Envoy, tmp_path_factory.mktemp("envoy"))
    return envoy, run(Weir, tmp_path_factory.mktemp("weir"))


@pytest.mark.parametrize("what", ["seen", "logs", "periodic", "listener"])
def test_the_same(both, what):
    envoy, weir = both
    assert weir[what] == envoy[what]


def test_same_statistics(both):
    wanted = re.compile(r"tcp\..*(?<!_buffered)$|cluster\.\w+\.(upstream_(cx_(total|connect_fail|none_healthy|"
                        r"connect_attempts_exceeded)|rq_(total|pending_(total|failure_eject))))")
    unlike = re.compile(r"drain_close|early_data_received_count_total|route_delayed|_bytes_total")
    envoy, weir = both
    for name, value in envoy["stats"].items():
        if wanted.match(name) and not unlike.search(name) and value:
            assert weir["stats"].get(name) == value, name
    for name in ("data", "none"):
        early = f"tcp.{name}.early_data_received_count_total"
        assert bool(weir["stats"][early]) == bool(envoy["stats"][early]), name


def test_a_client_that_says_nothing_and_ends_is_closed(start, upstream):
    """Nothing would ever wake it; Envoy waits until it is idle."""
    weir = start(bootstrap(listener(tcp_proxy(upstream_connect_mode="ON_DOWNSTREAM_DATA", max_early_data_bytes=9)),
                           clusters=[cluster(upstream(echo).port)]))
    with Client(weir.port) as client:
        assert client.end().rest() == b""
    assert weir.stats()["cluster.upstream.upstream_cx_total"] == 0
