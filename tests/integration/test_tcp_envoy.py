# SPDX-License-Identifier: Apache-2.0
"""The same connections through real Envoy and through Weir: what both ends see, statistics, and what a plugin in the chain
and a plugin as access logger are told."""

import re

import pytest

from support.config import ANY, bootstrap, cluster, wasm
from support.envoy import Envoy, plugin_lines
from support.process import Weir, wait_until
from support.tcp import Client, listener, network_wasm, tcp_proxy
from support.upstream import Upstream, refused_port

LISTENERS = ("front", "probed", "dead", "empty", "full", "missing")


def access_log():
    config = wasm("host_probe", "", name="logger")["typed_config"]["config"]
    return [{"name": "log", "typed_config": {
        "@type": ANY + "envoy.extensions.access_loggers.wasm.v3.WasmAccessLog", "config": config}}]


def config(port, dead):
    def one(name, *filters, to=None, **fields):
        return listener(*filters, tcp_proxy(to or name, stat_prefix=name, access_log=access_log(), **fields), name=name)
    probe = network_wasm(wasm("tcp_probe", "", name="probe"))
    return bootstrap(
        one("front", to="upstream"), one("probed", probe, to="upstream"), one("dead", max_connect_attempts=3), one("empty"),
        one("full"), one("missing"),
        clusters=[cluster(port), cluster(dead, name="dead"), cluster(name="empty"),
                  cluster(port, name="full", circuit_breakers={"thresholds": [{"max_connections": 0}]})])


class Server(Upstream):
    """Does what the client's first words say, and keeps how each connection ended."""

    def __init__(self):
        self.ends = []
        super().__init__(self._serve_one)

    def _serve_one(self, connection):
        connection.send(b"hello ")
        seen = b""
        try:
            while data := connection.socket.recv(4096):
                seen += data
                if data.startswith(b"reset"):
                    self.ends.append(seen)
                    return connection.reset()
                if data.startswith(b"bye"):
                    break
                connection.send(data)
            self.ends.append(seen)
        except ConnectionResetError:
            self.ends.append(seen + b" RESET")


def exchange(proxy, name, data=None, end=True, reset=False):
    """What the client gets."""
    with Client(proxy.listener_port(name)) as client:
        got = b""
        try:
            if data is not None:
                got = client.read(6)
                client.send(data)
            if reset:
                got += client.read(len(data))
                client.reset()
                return got
            if data is not None and end:
                got += client.read(len(data)) if not data.startswith((b"reset", b"bye", b"TRAP", b"CLOSE")) else b""
                client.end()
            return got + client.rest()
        except ConnectionResetError:
            return got + b" RESET"
        except EOFError as error:
            return got + error.args[0]


STEPS = [
    ("front", b"abc", {}),
    ("front", b"bye", {"end": False}),
    ("front", b"reset", {"end": False}),
    ("front", b"xyz", {"reset": True}),
    ("probed", b"abc", {}),
    ("probed", b"UPPER abc", {}),
    ("probed", b"WRAPPED", {}),
    ("probed", b"bye", {"end": False}),
    ("dead", None, {}),
    ("empty", None, {}),
    ("full", None, {}),
    ("missing", None, {}),
]


def run(make, directory):
    holder, dead = refused_port()
    with Server() as server:
        proxy = make(directory, config(server.port, dead), concurrency=1)
        try:
            results = []
            for i, (name, data, options) in enumerate(STEPS):
                ended = len(server.ends)
                got = exchange(proxy, name, data, **options)
                if data is not None:
                    wait_until(lambda: len(server.ends) > ended, "the upstream's end")
                wait_until(lambda: len(re.findall("log root=1", proxy.log())) == i + 1, "the log line")
                results.append((name, data, got, server.ends[-1] if data is not None else None))
            wait_until(lambda: proxy.stats("upstream_cx_active").get("cluster.upstream.upstream_cx_active") == 0, "quiet")
            stats = proxy.stats()
        finally:
            log = proxy.log()
            proxy.stop() if isinstance(proxy, Envoy) else proxy.kill()
    holder.close()
    return results, stats, plugin_lines(log)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    envoy = run(Envoy, tmp_path_factory.mktemp("envoy"))
    return envoy, run(Weir, tmp_path_factory.mktemp("weir"))


def test_both_ends_see_the_same(both):
    envoy, weir = both
    for theirs, ours in zip(envoy[0], weir[0]):
        assert theirs == ours


def test_same_statistics(both):
    wanted = re.compile(r"tcp\..*(?<!_buffered)$|cluster\.[a-z]+\.upstream_(cx|rq)_.*")
    unlike = re.compile(r"_bytes_buffered|_http\d|drain_close|overload_close|early_data|route_delayed|"
                        r"upstream_cx_destroy_(local|remote)")  # who was faster
    envoy, weir = both
    for name, value in envoy[1].items():
        if wanted.match(name) and not unlike.search(name) and value:
            assert weir[1].get(name) == value, name


def test_plugins_are_told_the_same(both):
    """Envoy may join the last bytes with the end, so those lines are compared without it."""
    def normal(lines):
        lines = [re.sub(r"127\.0\.0\.1:\d+", "A", line) for line in lines]
        sizes = [re.sub(r" end$", "", line) for line in lines]
        return [line for line in sizes if not re.fullmatch(r"(down|up)stream 0|configured", line)]
    envoy, weir = both
    assert len(normal(envoy[2])) > 40
    assert normal(weir[2]) == normal(envoy[2])
