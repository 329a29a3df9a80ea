# SPDX-License-Identifier: Apache-2.0
"""Attributes that plugins read and set: typed as Envoy serialises them, from headers to the configuration's metadata."""

import json
import struct

import pytest

from support import http1
from support.config import ANY, bootstrap, cluster, direct, hcm, listener, route, wasm
from support.process import wait_until
from support.upstream import respond

NS = {"who": "x", "n": 3.5, "b": True, "list": ["a", 2, {"k": "v"}], "deep": {"x": {"y": "z"}}, "nothing": None}
OK, NOT_FOUND, BAD_ARGUMENT, NO_FORM = "0", "1", "2", "3"


def metadata(who):
    return {"filter_metadata": {"ns": {**NS, "who": who}}}


def configuration(upstream_port, log_path, filters, log=""):
    target = cluster(upstream_port)
    target["metadata"] = metadata("cluster")
    locality = target["load_assignment"]["endpoints"][0]
    locality["locality"] = {"region": "r", "zone": "z"}
    locality["metadata"] = metadata("locality")
    locality["lb_endpoints"][0]["metadata"] = metadata("host")
    the_route = {**route(), "name": "the-route", "metadata": metadata("route")}
    host = {"name": "vh", "domains": ["*"], "routes": [the_route], "metadata": metadata("vhost")}
    access = {"name": "log", "typed_config": {
        "@type": ANY + "envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log_path),
        "log_format": {"text_format_source": {"inline_string": log + "\n"}}}}
    front = listener(hcm(filters=filters, virtual_hosts=[host], access_log=[access]), metadata=metadata("listener"),
                     traffic_direction="INBOUND")
    front["filter_chains"][0]["name"] = "chain"
    return {**bootstrap(front, clusters=[target]),
            "node": {"id": "n", "cluster": "c", "metadata": {"a": {"b": ["c"]}}, "locality": {"region": "R"}}}


def handler(connection):
    while connection.read_request() is not None:
        respond(connection, body="hello", headers=[("x-twice", "1"), ("x-twice", "2")])


@pytest.fixture(name="ask")
def _ask(start, upstream, tmp_path):
    """ask(phase, path, ...) -> what the probe got for each, in order."""
    weir = start(configuration(upstream(handler).port, tmp_path / "access.log", [wasm("probe", name="p", root_id="rid",
                                                                                      vm={"vm_id": "vid"})]))

    def asker(phase, *paths):
        results = []
        for first in range(0, len(paths), 14):
            some = paths[first:first + 14]
            commands = "; ".join(f"@{phase} property {path}" for path in some)
            before = len(weir.log())
            http1.request(weir.port, "POST", "/a/b?q=1", body="hello", headers=[
                ("x-probe", commands), ("x-multi", "1"), ("x-multi", "2"), ("user-agent", "ua"), ("x-request-id", "id")])
            for n, _ in enumerate(some, 1):
                lines = weir.wait_log(rf"probe: {n} property: (.*)", 1 + weir.log()[:before].count(f"probe: {n} property:"))
                results.append(lines[-1])
        return results
    return asker


def i64(value):
    return OK + " " + show(struct.pack("<q", value))


def show(data):
    """As the probe shows bytes."""
    return "".join(chr(b) if 32 <= b < 127 else f"\\x{b:02x}" for b in data)


def test_request_attributes(ask):
    expected = {
        "request": NO_FORM, "request.path": "0 /a/b?q=1", "request.url_path": "0 /a/b", "request.query": "0 q=1",
        "request.host": "0 test", "request.headers.host": "0 test", "request.scheme": "0 http",
        "request.method": "0 POST", "request.headers.x-multi": "0 1,2", "request.referer": NOT_FOUND,
        "request.useragent": "0 ua", "request.id": "0 id", "request.protocol": "0 HTTP/1.1", "request.size": i64(5),
        "request.duration": NOT_FOUND, "request.nothing": NOT_FOUND, "request.path.more": NOT_FOUND,
        "request.headers.x-multi.more": NOT_FOUND, "response.code": NOT_FOUND, "response.flags": i64(0),
        "response.headers": "0 \\x00\\x00\\x00\\x00", "response.grpc_status": NOT_FOUND,
    }
    assert dict(zip(expected, ask("request_headers", *expected))) == expected


def test_whole_header_map_joins_repeated_names(ask):
    [answer] = ask("response_headers", "response.headers")
    assert answer.count("x-twice") == 1 and "x-twice\\x001,2\\x00" in answer


def test_response_attributes(ask):
    expected = {
        "response": NO_FORM, "response.code": i64(200), "response.code_details": "0 via_upstream",
        "response.headers.x-twice": "0 1,2", "response.size": i64(5), "response.grpc_status": i64(2),
        "response.trailers": "0 \\x00\\x00\\x00\\x00", "request.path": "0 /a/b?q=1",
        "upstream.request_attempt_count": i64(1), "upstream.transport_failure_reason": OK,
        "upstream.locality": "0 " + show(b"\x0a\x01r\x12\x01z"), "upstream.locality.region": "0 r",
        "upstream.num_endpoints": i64(1), "upstream_filter_state": NO_FORM, "upstream_filter_state.x": NOT_FOUND,
    }
    assert dict(zip(expected, ask("log", *expected))) == expected
    duration, latency = ask("log", "request.duration", "response.backend_latency")
    assert duration.startswith("0 ") and latency.startswith("0 ")


def test_connection_attributes(ask):
    expected = {
        "connection": NO_FORM, "connection.mtls": "0 \\x00", "connection.requested_server_name": OK,
        "connection.tls_version": NOT_FOUND, "connection.subject_peer_certificate": NOT_FOUND,
        "connection.termination_details": NOT_FOUND, "upstream": NO_FORM, "upstream.address": NOT_FOUND,
        "upstream.request_attempt_count": i64(0), "upstream.locality": NOT_FOUND, "source": NO_FORM,
    }
    assert dict(zip(expected, ask("request_headers", *expected))) == expected
    source, port, connection = ask("request_headers", "source.address", "source.port", "connection_id")
    assert source.startswith("0 127.0.0.1:") and port != NOT_FOUND and connection != NOT_FOUND


def test_configuration_attributes(ask):
    ns = "filter_metadata.ns."
    expected = {
        "xds": NO_FORM, "xds.node.id": "0 n", "node.id": "0 n", "xds.node.locality": "0 \\x0a\\x01R",
        "xds.node.metadata.a.b": "0 " + show(struct.pack("<III", 1, 1, 0) + b"c\0\0"),
        "xds.cluster_name": "0 upstream", "xds.route_name": "0 the-route", "xds.virtual_host_name": "0 vh",
        "xds.filter_chain_name": "0 chain", "xds.listener_direction": i64(1),
        f"xds.cluster_metadata.{ns}who": "0 cluster", f"xds.route_metadata.{ns}who": "0 route",
        f"xds.virtual_host_metadata.{ns}who": "0 vhost", f"xds.listener_metadata.{ns}who": "0 listener",
        f"listener_metadata.{ns}who": "0 listener", f"xds.upstream_host_metadata.{ns}who": NOT_FOUND,
        f"xds.cluster_metadata.{ns}n": "0 " + show(struct.pack("<d", 3.5)), f"xds.cluster_metadata.{ns}b": "0 \\x01",
        f"xds.cluster_metadata.{ns}nothing": NO_FORM, "xds.cluster_metadata.filter_metadata.ns": NO_FORM,
        f"xds.cluster_metadata.{ns}list.0": "0 a", f"xds.cluster_metadata.{ns}list.2.k": "0 v",
        f"xds.cluster_metadata.{ns}list.9": NOT_FOUND, f"xds.cluster_metadata.{ns}list.-1": NOT_FOUND,
        f"xds.cluster_metadata.{ns}deep.x": "0 " + show(struct.pack("<III", 1, 1, 1) + b"y\0z\0"),
        "xds.cluster_metadata.typed_filter_metadata": "0 \\x00\\x00\\x00\\x00", "metadata": OK,
        "metadata.filter_metadata.ns": NOT_FOUND, "xds.nothing": NOT_FOUND, "plugin_name": "0 p",
        "plugin_root_id": "0 rid", "plugin_vm_id": "0 vid", "plugin_name.x": NOT_FOUND,
    }
    assert dict(zip(expected, ask("request_headers", *expected))) == expected
    expected = {f"xds.upstream_host_metadata.{ns}who": "0 host",
                f"xds.upstream_host_locality_metadata.{ns}who": "0 locality"}
    assert dict(zip(expected, ask("response_headers", *expected))) == expected


@pytest.mark.parametrize("runtime", ["v8", "null"])
def test_root_contexts_know_node_and_listener(start, upstream, tmp_path, runtime):
    paths = {"xds.node.id": "0 n", "xds.listener_direction": i64(1), "listener_metadata.filter_metadata.ns.who":
             "0 listener", "request.path": NOT_FOUND, "connection.id": NOT_FOUND, "xds.cluster_name": NOT_FOUND,
             "plugin_name": "0 p", "wasm": NOT_FOUND}
    for phase, first in (("", 1), ("@tick ", 2)):
        commands = ("tick 5; " if phase else "") + "; ".join(f"{phase}property {path}" for path in paths)
        plugin = wasm("probe", commands, runtime=f"envoy.wasm.runtime.{runtime}", name="p")
        weir = start(configuration(upstream(handler).port, tmp_path / "access.log", [plugin]))
        answers = [weir.wait_log(rf"probe: {n} property: ?(.*)")[0] for n in range(first, first + len(paths))]
        assert dict(zip(paths, answers)) == paths


LOG = ("%FILTER_STATE(wasm.key)%|%FILTER_STATE(wasm.key:PLAIN)%|%FILTER_STATE(wasm.key:PLAIN):3%|%FILTER_STATE(none)%|"
       "%METADATA(ROUTE:ns:who)%|%METADATA(ROUTE:ns:list)%|%METADATA(CLUSTER:ns:deep)%|%METADATA(UPSTREAM_HOST:ns:n)%|"
       "%METADATA(LISTENER:ns:b)%|%METADATA(VIRTUAL_HOST:ns:who):2%|%METADATA(ROUTE:none)%|%METADATA(ROUTE:ns:nothing)%|"
       "%DYNAMIC_METADATA(ns:who)%|%CLUSTER_METADATA(ns:who)%|%UPSTREAM_METADATA(ns:who)%")


def test_what_a_plugin_sets_is_seen_by_later_filters_and_logs(start, upstream, tmp_path):
    path = tmp_path / "access.log"
    weir = start(configuration(upstream(handler).port, path, [wasm("probe", name="one")], LOG))
    answer = http1.request(weir.port, headers=[("x-probe", "property_set key va\"lue; property key; property_set a.b 1; "
                                                           "property a.b; property filter_state/wasm.key; "
                                                           "property_set request/path x; property request.path")])
    got = [answer.get(f"x-probe-{n}") for n in range(1, 8)]
    # Built-in attributes cannot be covered.
    assert got == [OK, '0 va"lue', OK, "0 1", '0 va"lue', OK, "0 /"]
    lines = wait_until(lambda: path.exists() and path.read_text().splitlines(), "a log line")
    typed = '{"@type":"type.googleapis.com/google.protobuf.BytesValue","value":"dmEibHVl"}'
    assert lines[0].split("|") == [typed, 'va"lue', "va\"", "-", "route", '["a",2,{"k":"v"}]', '{"x":{"y":"z"}}',
                                   "3.5", "true", "vh", "-", "-", "-", "cluster", "host"]


def test_json_logs_keep_the_kinds(start, upstream, tmp_path):
    path = tmp_path / "access.log"
    config = configuration(upstream(handler).port, path, [wasm("probe")])
    log = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["access_log"][0]
    log["typed_config"]["log_format"] = {"json_format": {
        "list": "%METADATA(ROUTE:ns:list)%", "text": "%METADATA(ROUTE:ns:who)%", "cut": "%METADATA(ROUTE:ns:list):3%",
        "inside": "a %METADATA(ROUTE:ns:n)% b", "none": "%METADATA(ROUTE:ns:no)%", "plain": "%FILTER_STATE(wasm.key:PLAIN)%",
        "typed": "%FILTER_STATE(wasm.key)%"}}
    weir = start(config)
    http1.request(weir.port, headers=[("x-probe", 'property_set key a"b')])
    [line] = wait_until(lambda: path.exists() and path.read_text().splitlines(), "a log line")
    assert json.loads(line) == {
        "list": ["a", 2, {"k": "v"}], "text": "route", "cut": '["a', "inside": "a 3.5 b", "none": None, "plain": 'a"b',
        "typed": {"@type": "type.googleapis.com/google.protobuf.BytesValue", "value": "YSJi"}}


def test_metadata_of_the_connection(start):
    """What the PROXY protocol said, as a message and by its parts; without it the message is empty."""
    inspector = {"name": "pp", "typed_config": {
        "@type": ANY + "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
        "allow_requests_without_proxy_protocol": True,
        "rules": [{"tlv_type": 0xEA, "on_tlv_present": {"metadata_namespace": "ns", "key": "vpc"}}]}}
    front = {**listener(hcm([direct()], [wasm("probe")])), "listener_filters": [inspector]}
    weir = start(bootstrap(front))
    ask = "property metadata; property metadata.filter_metadata.ns.vpc; property metadata.filter_metadata.no; " \
          "property metadata.typed_filter_metadata; property metadata.filter_metadata; " \
          "property metadata.typed_filter_metadata.ns.typed_metadata.vpc"
    long = b"x" * 200
    entry = lambda key, value: b"\x0a" + size(len(key)) + key + b"\x12" + size(len(value)) + value  # noqa: E731
    value = b"\x1a" + size(len(long)) + long
    fields = b"\x0a" + size(len(entry(b"vpc", value))) + entry(b"vpc", value)
    message = b"\x0a" + size(len(entry(b"ns", fields))) + entry(b"ns", fields)
    # The same as it came, in a message of its own.
    tlvs = b"\x0a" + size(len(entry(b"vpc", long))) + entry(b"vpc", long)
    any_of_them = entry(b"type.googleapis.com/envoy.data.core.v3.TlvsMetadata", tlvs)
    message += b"\x12" + size(len(entry(b"ns", any_of_them))) + entry(b"ns", any_of_them)
    typed = struct.pack("<III", 1, 2, len(tlvs)) + b"ns\0" + tlvs + b"\0"
    for tlv, expected in ((long, ["0 " + show(message), "0 " + long.decode(), NOT_FOUND, "0 " + show(typed)]),
                          (None, [OK, NOT_FOUND, NOT_FOUND, "0 \\x00\\x00\\x00\\x00"])):
        with http1.Client(weir.port) as client:
            if tlv:
                body = bytes([1, 2, 3, 4] * 2) + struct.pack(">HHBH", 1, 2, 0xEA, len(tlv)) + tlv
                client.send(b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(">H", len(body)) + body)
            answer = client.request(headers={"x-probe": ask})
            got = [answer.get(f"x-probe-{n}") for n in range(1, 7)]
            assert got[:4] == expected
            assert ("vpc" in got[4]) == bool(tlv)
            assert got[5] == ("0 " + long.decode() if tlv else NOT_FOUND)


def size(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7])


@pytest.mark.parametrize("operator", ["METADATA(ROUTE)", "METADATA(NOBODY:a)", "METADATA", "DYNAMIC_METADATA()",
                                      "CLUSTER_METADATA", "FILTER_STATE()"])
def test_wrong_operators_are_refused(start, tmp_path, operator):
    with pytest.raises(AssertionError, match="arguments|operator"):
        start(configuration(1, tmp_path / "log", [], f"%{operator}%"))
