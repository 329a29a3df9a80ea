# SPDX-License-Identifier: Apache-2.0
#
# The suite plugin of tests/sdk as a network filter in front of tcp_proxy, with each real SDK, in Weir and in Envoy.

import socket

import pytest

from support import envoy, sdk
from support.config import ANY, address, bootstrap, cluster
from support.process import SOURCE, Weir, wait_until
from support.upstream import Upstream
from test_sdk_plugins import suite_filter

pytestmark = pytest.mark.slow

TIMEOUT_S = 60.0
WASM = ANY + "envoy.extensions.filters.network.wasm.v3.Wasm"
TCP_PROXY = ANY + "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


def configuration(module, port):
    plugin = suite_filter(module, "tcp", "tcp")["typed_config"]["config"]
    filters = [{"name": "envoy.filters.network.wasm", "typed_config": {"@type": WASM, "config": plugin}},
               {"name": "envoy.filters.network.tcp_proxy",
                "typed_config": {"@type": TCP_PROXY, "stat_prefix": "tcp", "cluster": "upstream"}}]
    front = {"name": "front", "address": address(), "filter_chains": [{"filters": filters}]}
    return bootstrap(front, clusters=[cluster(port)])


def echo_bytes(connection):
    while data := connection.socket.recv(65536):
        connection.send(b"got " + data)
    connection.send(b"bye")
    connection.socket.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module", params=["weir", "envoy"])
def kind(request):
    return request.param


@pytest.fixture(scope="module", params=sdk.LANGUAGES)
def language(request):
    return request.param


@pytest.fixture(scope="module")
def proxy(tmp_path_factory, kind, language):
    module = sdk.module(language)
    directory = tmp_path_factory.mktemp(f"tcp-{kind}-{language}")
    if kind == "weir" and "extensions.filters.network.wasm" not in (SOURCE / "docs/fields.md").read_text():
        pytest.skip("this Weir has no network filter for plugins yet")
    with Upstream(echo_bytes) as upstream:
        with (Weir if kind == "weir" else envoy.Envoy)(directory, configuration(module, upstream.port)) as started:
            yield started


def lines(proxy):
    return [line.split("suite: ", 1)[1] for line in envoy.plugin_lines(proxy.log()) if "suite: " in line]


def receive(client, count):
    data = b""
    while len(data) < count and (more := client.recv(65536)):
        data += more
    return data


def test_bytes_both_ways(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT_S) as client:
        client.sendall(b"hello")
        assert receive(client, 11) == b"> got HELLO"
        client.sendall(b"again")
        assert receive(client, 11) == b"> got AGAIN"
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 100) == b"> bye"
    for line in ("new connection", "downstream end", "connection closed"):
        wait_until(lambda expected=line: expected in lines(proxy), f"log line {line!r}", TIMEOUT_S)


def test_a_client_that_goes_away(proxy):
    before = lines(proxy).count("connection closed")
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT_S) as client:
        client.sendall(b"x")
        assert receive(client, 7) == b"> got X"
    wait_until(lambda: lines(proxy).count("connection closed") > before, "the plugin hears of the end", TIMEOUT_S)
