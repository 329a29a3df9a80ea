# SPDX-License-Identifier: Apache-2.0
"""Every attribute of a TCP connection, in each callback of a network filter and in its root context: what real Envoy says
and what Weir says, with and without fields of the PROXY protocol."""

import re
import struct

import pytest

from support.config import ANY, bootstrap, cluster, wasm
from support.envoy import Envoy, plugin_lines
from support.process import Weir, wait_until
from support.tcp import Client, echo, listener, network_wasm, tcp_proxy
from support.upstream import Upstream

CERTIFICATE = ("subject_local_certificate subject_peer_certificate dns_san_local_certificate dns_san_peer_certificate "
               "uri_san_local_certificate uri_san_peer_certificate sha256_peer_certificate_digest peer_certificate "
               "tls_version transport_failure_reason").split()
GROUPS = {
    "request": "path url_path host scheme method headers headers_bytes referer useragent time id protocol query duration size "
               "total_size".split(),
    "response": "code code_details flags grpc_status headers headers_bytes trailers size total_size backend_latency".split(),
    "source": ["address", "port"],
    "destination": ["address", "port"],
    "connection": ["id", "mtls", "requested_server_name", "termination_details", *CERTIFICATE],
    "upstream": ["address", "port", "num_endpoints", "local_address", "request_attempt_count", "cx_pool_ready_duration", "locality",
                 "locality.zone", *CERTIFICATE],
    "xds": "node.id node.metadata.a cluster_name cluster_metadata listener_direction listener_metadata "
           "listener_metadata.filter_metadata.ns.who route_name route_metadata virtual_host_name virtual_host_metadata "
           "upstream_host_metadata upstream_host_metadata.filter_metadata.ns.who upstream_host_locality_metadata "
           "cluster_metadata.filter_metadata.ns.who filter_chain_name".split(),
    "metadata": ["filter_metadata", "filter_metadata.ns", "filter_metadata.ns.vpc", "filter_metadata.no", "typed_filter_metadata",
                 "no"],
    "filter_state": ["wasm.mine", "no"],
    "upstream_filter_state": ["no"],
}
PATHS = ["plugin_name", "plugin_root_id", "plugin_vm_id", "connection_id", "mine", "nobody", *GROUPS,
         *(f"{group}.{name}" for group, names in GROUPS.items() for name in names)]
PHASES = ("root", "new", "downstream", "upstream", "log")


def metadata(who):
    return {"filter_metadata": {"ns": {"who": who}}}


def config(port):
    target = cluster(port, metadata=metadata("cluster"))
    locality = target["load_assignment"]["endpoints"][0]
    locality |= {"locality": {"region": "r", "zone": "z"}, "metadata": metadata("locality")}
    locality["lb_endpoints"][0]["metadata"] = metadata("host")
    inspector = {"name": "pp", "typed_config": {
        "@type": ANY + "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
        "allow_requests_without_proxy_protocol": True,
        "rules": [{"tlv_type": 0xEA, "on_tlv_present": {"metadata_namespace": "ns", "key": "vpc"}}]}}
    probe = network_wasm(wasm("tcp_attributes", " ".join(PATHS), name="probe", root_id="rid", vm={"vm_id": "vid"}))
    front = listener(probe, tcp_proxy(), listener_filters=[inspector], metadata=metadata("listener"), traffic_direction="INBOUND")
    front["filter_chains"][0]["name"] = "chain"
    return {**bootstrap(front, clusters=[target]),
            "node": {"id": "n", "cluster": "c", "metadata": {"a": "b"}, "locality": {"region": "R"}}}


def proxied(text):
    """A header of the PROXY protocol with one more field."""
    body = bytes([1, 2, 3, 4] * 2) + struct.pack(">HHBH", 1, 2, 0xEA, len(text)) + text
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(">H", len(body)) + body


def read(make, directory):
    """(connection, phase, path) -> "STATUS VALUE"."""
    with Upstream(echo) as server:
        proxy = make(directory, config(server.port))
        try:
            for count, first in enumerate((b"", proxied(b"text")), 1):
                with Client(proxy.listener_port("front")) as client:
                    client.send(first + b"hello")
                    assert client.read(5) == b"hello"
                    client.end().rest()
                wait_until(lambda: plugin_lines(proxy.log()).count("log complete") == count, "the log callback")
            wait_until(lambda: "root complete" in plugin_lines(proxy.log()), "a tick")
        finally:
            lines = plugin_lines(proxy.log())
            proxy.stop() if isinstance(proxy, Envoy) else proxy.kill()
    answers, connection = {}, 0
    for line in lines:
        connection += line == "log complete"
        match = re.fullmatch(r"(\w+) (\S+): (\d+) ?(.*)", line)
        if match:
            answers[0 if match[1] == "root" else connection, match[1], match[2]] = f"{match[3]} {match[4]}".strip()
    return answers


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return read(Envoy, tmp_path_factory.mktemp("envoy")), read(Weir, tmp_path_factory.mktemp("weir"))


def kind(path, value):
    """What can be compared: of what another connection has otherwise, only that it is there."""
    own = path in ("connection.id", "connection_id", "request.time", "upstream.cx_pool_ready_duration") or \
        path.endswith((".port", ".address", ".local_address"))
    return re.sub(r"^0 .+", "0 own", value) if own else value


# What Weir says where Envoy says nothing: docs/properties.md.
ANSWERS_MORE = {("root", "xds.listener_direction"), ("root", "xds.listener_metadata"), ("log", "request.duration"),
                ("root", "xds.listener_metadata.filter_metadata.ns.who")}
# The first bytes came with what a listener filter looked at: Envoy shows them when the upstream's connection stands.
SHOWN_EARLIER = {("downstream", "upstream.local_address"), ("downstream", "upstream.cx_pool_ready_duration"),
                 ("new", "request.size"), ("new", "request.total_size")}


def test_every_attribute(both):
    envoy, weir = both
    assert envoy.keys() == weir.keys() and len(envoy) == len(PATHS) * (2 * len(PHASES) - 1)
    unlike = {key: (theirs, weir[key]) for key, theirs in envoy.items() if kind(key[2], theirs) != kind(key[2], weir[key])}
    for (_, *place), (theirs, ours) in list(unlike.items()):
        assert tuple(place) not in ANSWERS_MORE or (theirs, ours[:1]) == ("1", "0")
    assert {tuple(place) for _, *place in unlike} - ANSWERS_MORE - SHOWN_EARLIER == set(), unlike
