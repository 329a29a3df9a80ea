# SPDX-License-Identifier: Apache-2.0
"""Connections to upstreams as real Envoy and Weir make them: hosts of several addresses, and where they come from; who
answers, what is logged and counted."""

import base64
import re
import socket
import struct

from support import http1
from support.config import ANY, bootstrap, cluster, hcm, listener, route
from support.dns import DnsServer
from support.envoy import Envoy
from support.process import Weir, wait_until
from support.tcp import Client as TcpClient
from support.tcp import listener as tcp_listener
from support.tcp import tcp_proxy
from support.upstream import Upstream, hold_port, respond, same_port

FORMAT = ("%REQ(:PATH)% %UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% "
          "%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n")
FILE_LOG = ANY + "envoy.extensions.access_loggers.file.v3.FileAccessLog"
COUNTED = ("upstream_cx_total", "upstream_cx_connect_fail", "upstream_cx_connect_timeout", "upstream_cx_destroy",
           "upstream_cx_active", "upstream_rq_pending_failure_eject", "bind_errors")
# The first that answers is not the last address: on a busy machine the next attempt may begin before it is seen.
AT_LEISURE = ("first", "family", "default", "count")


def closed(ip):
    return lambda port: hold_port(ip, port)


class Black:
    """Answers nobody: its queue is full."""

    def __init__(self, ip, port):
        self.socket = closed(ip)(port)
        self.socket.listen(0)
        self.fill = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex((ip, port))
            self.fill.append(one)

    def close(self):
        for one in [self.socket, *self.fill]:
            one.close()


def says(text):
    def handler(connection):
        while connection.read_request() is not None:
            respond(connection, body=text)
    return handler


def at(port, *ips):
    address = [{"address": {"socket_address": {"address": ip, "port_value": port}}} for ip in ips]
    return {"endpoint": {**address[0], "additional_addresses": address[1:]}}


def host(name, port, *ips, **fields):
    made = cluster(port, name=name, **fields)
    made["load_assignment"]["endpoints"][0]["lb_endpoints"] = [at(port, *ips)]
    return made


def named(name, port, dns, **fields):
    """A logical host."""
    return cluster(port, name=name, type="LOGICAL_DNS", dns_lookup_family="V4_ONLY", typed_dns_resolver_config={
        "name": "envoy.network.dns_resolver.cares", "typed_config": {
            "@type": ANY + "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [dns.address]}}, load_assignment={"cluster_name": name, "endpoints": [
                {"lb_endpoints": [at(port, "many.test")]}]}, **fields)


def logged(directory, port, lines):
    """What is in the access log, in order, without the port."""
    path = directory / "access"
    wait_until(lambda: path.exists() and path.read_text().count("\n") >= lines, "the access log")
    return sorted(path.read_text().replace(str(port), "P").splitlines())


def access_log(directory):
    return [{"name": "log", "typed_config": {"@type": FILE_LOG, "path": str(directory / "access"),
                                             "log_format": {"text_format_source": {"inline_string": FORMAT}}}}]


def counted(stats, name, *but):
    return {what: stats.get(f"cluster.{name}.{what}", 0) for what in COUNTED if what not in but}


def story(kind, directory, six, dns):
    directory.mkdir()
    makers = [lambda port: Upstream(says("three"), ip="127.0.0.3", port=port), closed("127.0.0.2"),
              lambda port: Black("127.0.0.4", port), closed("127.0.0.5")]
    if six:
        makers.append(lambda port: Upstream(says("six"), ip="::1", port=port))
    peers = same_port(*makers)
    port = peers[0].port
    dns.set("many.test", "127.0.0.2", "127.0.0.5", "127.0.0.3")
    clusters = {
        "refused": host("refused", port, "127.0.0.2", "127.0.0.5", "127.0.0.3"),
        "black": host("black", port, "127.0.0.4", "127.0.0.3"),
        "none": host("none", port, "127.0.0.2", "127.0.0.5"),
        "late": host("late", port, "127.0.0.4", "127.0.0.5", connect_timeout="1s"),
        "first": host("first", port, "127.0.0.3", "127.0.0.2"),
        "named": named("named", port, dns),
        "tcp": host("tcp", port, "127.0.0.2", "127.0.0.3"),
        "tcp_none": host("tcp_none", port, "127.0.0.2", "127.0.0.5"),
        "checked": host("checked", port, "127.0.0.2", "127.0.0.3", common_lb_config={"healthy_panic_threshold": {}},
                        health_checks=[{"timeout": "5s", "interval": "60s", "unhealthy_threshold": 1,
                                        "healthy_threshold": 1, "tcp_health_check": {}}]),
    }
    if six:
        clusters["family"] = host("family", port, "127.0.0.3", "127.0.0.2", "::1", upstream_connection_options={
            "happy_eyeballs_config": {"first_address_family_version": "V6"}})
        clusters["default"] = host("default", port, "::1", "127.0.0.3")
        clusters["count"] = host("count", port, "::1", "127.0.0.2", "127.0.0.3", upstream_connection_options={
            "happy_eyeballs_config": {"first_address_family_version": "V4", "first_address_family_count": 2}})
    log = access_log(directory)
    config = bootstrap(
        listener(hcm([route({"path": f"/{name}"}, cluster=name) for name in clusters], access_log=log)),
        tcp_listener(tcp_proxy("tcp", access_log=log), name="tcp"),
        tcp_listener(tcp_proxy("tcp_none", access_log=log), name="tcp_none"), clusters=list(clusters.values()))
    told = {}
    try:
        with kind(directory / "proxy", config) as proxy:
            for name in clusters:
                answer = http1.request(proxy.listener_port("front"), path=f"/{name}")
                told[name] = answer.status, answer.text
            with TcpClient(proxy.listener_port("tcp_none")) as client:
                assert client.rest() == b""
            proxy.wait_stat("cluster.tcp_none.upstream_cx_active", 0)
            with TcpClient(proxy.listener_port("tcp")) as client:
                client.send(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
                told["bytes"] = client.read(12)
                stats = proxy.stats("^cluster")
                told["shown"] = sorted(
                    (cluster, where.replace(str(port), "P"), what, count) for cluster, where, what, count in re.findall(
                        r"^(\w+)::(\S+?:\d+)::(cx_total|cx_connect_fail)::(\d+)$", proxy.admin("/clusters").text, re.M)
                    if cluster not in AT_LEISURE)
            for name in clusters:
                told[f"{name} counted"] = counted(stats, name, *["upstream_cx_total"] * (name in AT_LEISURE))
            told["healthy"] = stats["cluster.checked.membership_healthy"]
            told["log"] = logged(directory, port, len(clusters) + 2)
    finally:
        for one in peers:
            one.close()
    return told


def has_six():
    with socket.socket(socket.AF_INET6) as one:
        try:
            one.bind(("::1", 0))
        except OSError:
            return False
        return True


def test_as_envoy(tmp_path):
    six = has_six()
    with DnsServer() as dns:
        weir = story(Weir, tmp_path / "weir", six, dns)
        assert weir["refused"] == weir["black"] == weir["first"] == weir["named"] == (200, "three")
        assert weir["none"][0] == weir["late"][0] == weir["checked"][0] == 503
        if six:
            assert weir["family"] == weir["default"] == (200, "six") and weir["count"] == (200, "three")
        envoy = story(Envoy, tmp_path / "envoy", six, dns)
    for what, value in envoy.items():
        assert weir[what] == value, what


MSS = {"level": socket.IPPROTO_TCP, "name": socket.TCP_MAXSEG}
UNKNOWN = {"level": socket.SOL_SOCKET, "name": 9999, "int_value": 1}


def where_from(connection):
    """Says who asks, and how large its segments may be: the one option whose effect the other end sees."""
    while connection.read_request() is not None:
        respond(connection, body=f"{connection.socket.getpeername()[0]} "
                                 f"{connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)}")


def ip(address):
    return {"address": address, "port_value": 0}


def sources(port, directory):
    """Fields of upstream_bind_config by cluster."""
    v4, v6 = ip("127.0.0.9"), ip("::1")
    selector = "envoy.config.upstream.local_address_selector.v3.DefaultLocalAddressSelector"
    binds = {
        "bootstraps": None,
        "number": {"socket_options": [{**MSS, "int_value": 1000}]},
        "bytes": {"socket_options": [{**MSS, "buf_value": base64.b64encode(struct.pack("i", 1100)).decode()}]},
        "order": {"socket_options": [{**MSS, "int_value": 1000}, {**MSS, "int_value": 1200},
                                     {**MSS, "int_value": 700, "state": "STATE_BOUND"},
                                     {**MSS, "int_value": 700, "state": "STATE_LISTENING"}]},
        "unknown": {"socket_options": [UNKNOWN]},
        "later": {"socket_options": [{**UNKNOWN, "state": "STATE_BOUND"}]},
        "stream": {"socket_options": [{**UNKNOWN, "type": {"stream": {}}}]},
        "datagram": {"socket_options": [{**UNKNOWN, "type": {"datagram": {}}}, {**MSS, "int_value": 1000}]},
        "own": {"source_address": v4},
        "extra": {"source_address": v6, "extra_source_addresses": [{"address": v4}]},
        "extra_options": {"source_address": v6, "socket_options": [UNKNOWN], "extra_source_addresses": [
            {"address": v4, "socket_options": {"socket_options": [{**MSS, "int_value": 900}]}}]},
        "extra_none": {"source_address": v6, "socket_options": [UNKNOWN], "extra_source_addresses": [
            {"address": v4, "socket_options": {}}]},
        "additional": {"source_address": v6, "additional_source_addresses": [v4]},
        "selector": {"source_address": v4, "local_address_selector": {
            "name": "one", "typed_config": {"@type": ANY + selector}}},
        "family": {"source_address": v6},
        "not_ours": {"source_address": ip("198.51.100.1"), "freebind": False},
    }
    clusters = {name: host(name, port, "127.0.0.1", **({"upstream_bind_config": bind} if bind else {}))
                for name, bind in binds.items()}
    clusters["race"] = host("race", port, "::1", "127.0.0.1", upstream_bind_config={"source_address": v4})
    clusters["pipe"] = cluster(name="pipe", upstream_bind_config={"source_address": v4, "socket_options": [UNKNOWN]})
    clusters["pipe"]["load_assignment"]["endpoints"] = [
        {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(directory.parent / "nobody")}}}}]}]
    return clusters


def sourced(kind, directory):
    directory.mkdir()
    told = {}
    peer = Upstream(where_from)
    clusters = sources(peer.port, directory)
    log = access_log(directory)
    config = bootstrap(
        listener(hcm([route({"path": f"/{name}"}, cluster=name) for name in clusters], access_log=log)),
        tcp_listener(tcp_proxy("family", access_log=log), name="tcp"), clusters=list(clusters.values()))
    config["cluster_manager"] = {"upstream_bind_config": {
        "source_address": ip("127.0.0.8"), "freebind": True, "socket_options": [{**MSS, "int_value": 800}]}}
    try:
        with kind(directory / "proxy", config) as proxy:
            for name in clusters:
                answer = http1.request(proxy.listener_port("front"), path=f"/{name}")
                told[name] = answer.status, answer.text
            with TcpClient(proxy.listener_port("tcp")) as client:
                assert client.rest() == b""
            proxy.wait_stat("cluster.family.upstream_cx_active", 0)
            stats = proxy.stats("^cluster")
            for name in clusters:
                told[f"{name} counted"] = counted(stats, name)
            told["log"] = logged(directory, peer.port, len(clusters) + 1)
    finally:
        peer.close()
    return told


def test_sources_as_envoy(tmp_path):
    weir = sourced(Weir, tmp_path / "weir")
    said = {name: answer[1].split()[0] for name, answer in weir.items()
            if isinstance(answer, tuple) and answer[0] == 200}
    assert said == {**dict.fromkeys(["number", "bytes", "order", "later", "datagram"], "127.0.0.1"), "bootstraps": "127.0.0.8",
                    **dict.fromkeys(["own", "extra", "extra_options", "extra_none", "additional", "selector", "race"],
                                    "127.0.0.9")}
    for name, most in [("bootstraps", 800), ("number", 1000), ("bytes", 1100), ("order", 1200), ("extra_options", 900)]:
        assert most - 100 < int(weir[name][1].split()[1]) <= most, name
    assert weir["family counted"]["bind_errors"] == 2 and weir["race counted"]["bind_errors"] == 1
    envoy = sourced(Envoy, tmp_path / "envoy")
    for what, value in envoy.items():
        assert weir[what] == value, what
