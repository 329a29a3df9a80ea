# SPDX-License-Identifier: Apache-2.0
"""PROXY headers from in front, http_inspector and original_dst: addresses, TLVs, statistics and what is refused; beside real
Envoy."""

import ipaddress
import re
import socket
import struct

import pytest

from support.config import address, bootstrap, cluster, hcm, route
from support.envoy import Envoy
from support.listeners import (chain, client_hello, config, front, http_inspector, listener_filter, proxy_protocol,
                               tls_inspector)
from support.process import Weir, validate, wait_until
from support.tcp import Client, echo, stdout_log, tcp_proxy

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(source="1.2.3.4", destination="5.6.7.8", ports=(1000, 2000), tlvs=b"", command=0x21, kind=1, length=None):
    family = 2 if ":" in source else 1
    body = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed + struct.pack(">HH", *ports) + tlvs
    return SIGNATURE + bytes([command, family << 4 | kind]) + struct.pack(">H", len(body) if length is None else length) + body


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


HEADERS = {
    "v1": b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n", "v1 six": b"PROXY TCP6 2001:db8::1 2001:db8::2 1000 2000\r\n",
    "v1 unknown": b"PROXY UNKNOWN\r\n", "v1 unknown with more": b"PROXY UNKNOWN 1 2 3 4 5 6 7 8\r\n",
    "v1 wrong family": b"PROXY TCP4 2001:db8::1 2001:db8::2 1000 2000\r\n", "v1 few words": b"PROXY TCP4 1.2.3.4 5.6.7.8 1000\r\n",
    "v1 many words": b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000 3000\r\n", "v1 port": b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 65536\r\n",
    "v1 minus": b"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2000\r\n", "v1 spaces": b"PROXY TCP4  1.2.3.4 5.6.7.8 1000 2000\r\n",
    "v1 any": b"PROXY TCP4 0.0.0.0 5.6.7.8 1000 2000\r\n", "v1 multicast": b"PROXY TCP4 1.2.3.4 224.0.0.1 1000 2000\r\n",
    "v1 udp": b"PROXY UDP4 1.2.3.4 5.6.7.8 1000 2000\r\n", "v1 octets": b"PROXY TCP4 1.2.3 5.6.7.8 1000 2000\r\n",
    "v1 too long": b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n", "v1 small letters": b"proxy TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n",
    "v1 107": b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n",
    "v2": v2(), "v2 six": v2("2001:db8::1", "2001:db8::2"), "v2 datagram": v2(kind=2), "v2 unspecified": v2(kind=0),
    "v2 local": v2(command=0x20), "v2 local empty": SIGNATURE + b"\x20\0\0\0", "v2 command": v2(command=0x22),
    "v2 version": v2(command=0x11), "v2 short": SIGNATURE + b"\x21\x11\0\x04abcd", "v2 any": v2("0.0.0.0"),
    "v2 unix": SIGNATURE + b"\x21\x31\0\xd8" + b"/a".ljust(108, b"\0") + b"/b".ljust(108, b"\0"),
    "v2 tlv": v2(tlvs=tlv(2, b"host") + tlv(5, b"id") + tlv(2, b"again")), "v2 tlv bytes": v2(tlvs=tlv(2, b"a\xff\0b")),
    "v2 tlv long": v2(tlvs=tlv(0xE0, b"x" * 20000) + tlv(2, b"end")), "v2 tlv cut": v2(tlvs=b"\x02\x00\x09abc"),
    "v2 tlv kept, long": v2(tlvs=tlv(6, b"x" * 60000)), "v2 tlvs kept, long": v2(tlvs=b"".join(tlv(kind, b"x" * 16000) for kind in (6, 7, 8, 9))),
    "none": b"GET / HTTP/1.1\r\n", "half of v2": SIGNATURE[:9] + b"xxxxxxxxx",
    "half of v1": b"PROXX TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n",
}
LOG = ("LOG %DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS% "
       "%DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol:host)% %DYNAMIC_METADATA(mine:id)% end")
RULES = [{"tlv_type": 2, "on_tlv_present": {"key": "host"}},
         {"tlv_type": 5, "on_tlv_present": {"metadata_namespace": "mine", "key": "id"}},
         *({"tlv_type": kind, "on_tlv_present": {"key": f"long{kind}"}} for kind in (6, 7, 8, 9))]


def proxied(port, *filters):
    everything = {"name": "all", "filters": [tcp_proxy("plain", stat_prefix="plain", access_log=[stdout_log(LOG)])]}
    return config(front([everything], filters or [proxy_protocol(rules=RULES)]), port, "plain")


@pytest.fixture
def server(upstream):
    return upstream(echo)


def outcome(proxy, header):
    """What the client gets back, and the log line without the ports that change."""
    lines = len(re.findall("^LOG", proxy.log(), re.M))
    port = proxy.listener_port("front")
    with Client(port, deadline_s=60) as client:
        try:
            client.send(header + b"hello")
            answer = client.read(5)
            answer += client.socket.recv(1 << 16, socket.MSG_DONTWAIT) if answer != b"hello" else b""
        except (EOFError, ConnectionResetError, BlockingIOError) as error:
            return type(error).__name__.replace("ConnectionResetError", "EOFError")
    wait_until(lambda: len(re.findall("^LOG", proxy.log(), re.M)) > lines, "an access log line")
    line = re.findall("^LOG.*", proxy.log(), re.M)[-1]
    return answer, line.replace(f" {port} ", " PORT ").replace(f":{port} ", ":PORT ").split(" ", 2)[2] \
        if "LOG 127" in line else line


def test_addresses_and_tlvs(start, server):
    weir = start(proxied(server.port))
    assert outcome(weir, HEADERS["v1"]) == (b"hello", "LOG 1.2.3.4:1000 127.0.0.1 5.6.7.8:2000 - - end")
    assert outcome(weir, HEADERS["v2 six"]) == (b"hello", "LOG [2001:db8::1]:1000 127.0.0.1 [2001:db8::2]:2000 - - end")
    assert outcome(weir, HEADERS["v2 tlv"]) == (b"hello", "LOG 1.2.3.4:1000 127.0.0.1 5.6.7.8:2000 host id end")
    for name in ("v2 tlv kept, long", "v2 tlvs kept, long"):
        assert outcome(weir, HEADERS[name]) == (b"hello", "LOG 1.2.3.4:1000 127.0.0.1 5.6.7.8:2000 - - end")
    assert outcome(weir, HEADERS["v2 local"]) == (b"hello", "127.0.0.1 127.0.0.1:PORT - - end")
    assert outcome(weir, HEADERS["none"]) == "EOFError"
    stats = weir.stats("proxy_proto")
    assert stats["proxy_proto.versions.v1.found"] == 1 and stats["proxy_proto.versions.v2.found"] == 5
    assert stats["proxy_proto.not_found_disallowed"] == 1


def test_as_envoy(tmp_path, server):
    with Envoy(tmp_path / "envoy", proxied(server.port)) as envoy, Weir(tmp_path / "weir", proxied(server.port)) as weir:
        for name, header in HEADERS.items():
            assert outcome(weir, header) == outcome(envoy, header), name
            assert weir.stats("proxy_proto") == envoy.stats("proxy_proto"), name


@pytest.mark.parametrize("fields", [
    {"allow_requests_without_proxy_protocol": True}, {"disallowed_versions": ["V1"]}, {"disallowed_versions": ["V2"], "stat_prefix": "mine"},
    {"disallowed_versions": ["V1"], "allow_requests_without_proxy_protocol": True}])
def test_options_as_envoy(tmp_path, server, fields):
    settings = proxied(server.port, proxy_protocol(**fields))
    with Envoy(tmp_path / "envoy", settings) as envoy, Weir(tmp_path / "weir", settings) as weir:
        for name in ("v1", "v2", "none", "v1 port", "v2 version"):
            assert outcome(weir, HEADERS[name]) == outcome(envoy, HEADERS[name]), name
            assert weir.stats("proxy_proto") == envoy.stats("proxy_proto"), name


def test_byte_by_byte_and_halves(start, server):
    weir = start(proxied(server.port))
    for name in ("v1", "v2 tlv"):
        with Client(weir.port) as client:
            for byte in HEADERS[name]:
                client.send(bytes([byte]))
            assert client.send(b"hello").read(5) == b"hello"
    for name in ("v1", "v2"):
        with Client(weir.port) as client:
            client.send(HEADERS[name][:-1]).end()
            assert client.rest() == b""


def test_http_behind_a_proxy(start, recording):
    """The header's address is what x-forwarded-for gets, and what plugins and logs see."""
    manager = hcm([route()], use_remote_address=True, access_log=[stdout_log(LOG)])
    listener = {"name": "front", "address": address(), "listener_filters": [proxy_protocol(rules=RULES)], "filter_chains": [
        {"filters": [{"name": "http", "typed_config": manager}]}]}
    weir = start(bootstrap(listener, clusters=[cluster(recording.port)]))
    with Client(weir.port) as client:
        client.send(HEADERS["v2 tlv"] + b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert client.rest().startswith(b"HTTP/1.1 200")
    assert recording.requests[0].get("x-forwarded-for") == "1.2.3.4"
    weir.wait_log("LOG 1.2.3.4:1000 127.0.0.1 5.6.7.8:2000 host id end")


@pytest.mark.parametrize("edge", [False, True])
def test_scheme_by_port_as_envoy(tmp_path, recording, edge):
    """forward_proto_config: what a client in front of a TLS-terminating balancer wanted, by the port it went to."""
    manager = hcm([route()], use_remote_address=edge, xff_num_trusted_hops=int(edge), append_x_forwarded_port=True,
                  forward_proto_config={"https_destination_ports": [443, 80], "http_destination_ports": [80, 8080]})
    front_listener = {"name": "front", "address": address(), "listener_filters": [
        proxy_protocol(allow_requests_without_proxy_protocol=True)], "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}
    settings = bootstrap(front_listener, clusters=[cluster(recording.port)])
    heads = [b"", *(f"PROXY TCP4 1.2.3.4 5.6.7.8 1000 {port}\r\n".encode() for port in (443, 80, 8080, 77))]
    with Envoy(tmp_path / "envoy", settings) as envoy, Weir(tmp_path / "weir", settings) as weir:
        for head in heads:
            for said in (b"", b"x-forwarded-proto: https\r\n", b"x-forwarded-proto: http\r\n", b"x-forwarded-proto: ftp\r\n"):
                seen = []
                for proxy in (envoy, weir):
                    with Client(proxy.port) as client:
                        client.send(head + b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n" + said + b"\r\n")
                        assert client.rest().startswith(b"HTTP/1.1 200")
                    asked = recording.requests[-1]
                    seen.append([asked.get("x-forwarded-proto"), asked.get("x-forwarded-port") if head else None])
                assert seen[0] == seen[1], (head, said)


def test_header_before_tls(start, server):
    names = ("exact", "plain")
    weir = start(config(front([chain("exact", server_names=["a.org"])], [proxy_protocol(), tls_inspector()], chain("plain")),
                        server.port, *names))
    hello = client_hello("a.org")
    with Client(weir.port) as client:
        assert client.send(HEADERS["v1"] + hello).read(len(hello)) == hello
    assert weir.stats("tcp")["tcp.exact.downstream_cx_total"] == 1


def test_chains_by_proxied_address(start, server):
    chains = [chain("client", source_prefix_ranges=[{"address_prefix": "1.2.0.0", "prefix_len": 16}], destination_port=2000),
              chain("direct", direct_source_prefix_ranges=[{"address_prefix": "127.0.0.0", "prefix_len": 8}])]
    weir = start(config(front(chains, [proxy_protocol()]), server.port, "client", "direct"))
    for header in (HEADERS["v1"], v2("2001:db8::1", "2001:db8::2", (1000, 2001))):
        with Client(weir.port) as client:
            assert client.send(header + b"x").read(1) == b"x"
    stats = weir.stats("tcp")
    assert stats["tcp.client.downstream_cx_total"] == 1 and stats["tcp.direct.downstream_cx_total"] == 1


HTTP = {
    "1.1": b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", "1.0": b"GET / HTTP/1.0\r\n\r\n", "2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "half preface": b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "tls": client_hello("a.org"), "text": b"hello there, this is no request\r\n",
    "0.9": b"GET /\r\n", "bytes": bytes(range(1, 30)), "lower": b"get / http/1.1\r\nhost: a\r\n\r\n", "post": b"POST /x HTTP/1.1\r\n\r\n",
}


def inspected(port):
    chains = [chain("h1", application_protocols=["http/1.1"]), chain("h10", application_protocols=["http/1.0"]),
              chain("h2", application_protocols=["h2c"])]
    return config(front(chains, [http_inspector()], chain("plain")), port, "h1", "h10", "h2", "plain")


def taken_by(proxy, data):
    before = proxy.stats(r"tcp\..*\.downstream_cx_total")
    with Client(proxy.listener_port("front"), deadline_s=60) as client:
        assert client.send(data).read(len(data)) == data
    after = proxy.stats(r"tcp\..*\.downstream_cx_total")
    return [name.split(".")[1] for name, count in after.items() if count > before.get(name, 0)]


def test_http_inspector(start, server):
    weir = start(inspected(server.port))
    expected = {"1.1": "h1", "1.0": "h10", "2": "h2", "tls": "plain", "bytes": "plain", "post": "h1"}
    for name, chosen in expected.items():
        assert taken_by(weir, HTTP[name]) == [chosen], name


def test_http_inspector_as_envoy(tmp_path, server):
    with Envoy(tmp_path / "envoy", inspected(server.port)) as envoy, Weir(tmp_path / "weir", inspected(server.port)) as weir:
        for name, data in HTTP.items():
            assert taken_by(weir, data) == taken_by(envoy, data), name
        assert weir.stats("http_inspector") == {k: v for k, v in envoy.stats("http_inspector").items() if "read_error" not in k}


def test_original_dst_of_a_direct_connection(start, server):
    weir = start(proxied(server.port, listener_filter("original_dst", "original_dst.v3.OriginalDst")))
    assert outcome(weir, b"") == (b"hello", "127.0.0.1 127.0.0.1:PORT - - end")


def test_disabled_by_port(start, server):
    rule = {"not_match": {"destination_port_range": {"start": 1, "end": 2}}}
    weir = start(proxied(server.port, {**proxy_protocol(), "filter_disabled": rule}))
    assert outcome(weir, b"") == (b"hello", "127.0.0.1 127.0.0.1:PORT - - end")


@pytest.mark.parametrize("one, message", [
    (proxy_protocol(disallowed_versions=["V1", "V2"]), "leaves no version that is allowed"),
    (proxy_protocol(tlv_location="FILTER_STATE"), "filter state has no fields here"),
    (listener_filter("original_src", "original_src.v3.OriginalSrc"), "the proxy's own address"),
    (tls_inspector(enable_ja3_fingerprinting=True), "enable_ja3_fingerprinting"),
])
def test_refused(tmp_path, one, message):
    done = validate(tmp_path, proxied(1, one))
    assert done.returncode == 1
    assert message in done.stderr, done.stderr
