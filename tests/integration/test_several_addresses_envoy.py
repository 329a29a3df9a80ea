# SPDX-License-Identifier: Apache-2.0
"""Hosts of several addresses as real Envoy and Weir connect to them: who answers, what is logged and counted."""

import re
import socket

from support import http1
from support.config import ANY, bootstrap, cluster, hcm, listener, route
from support.dns import DnsServer
from support.envoy import Envoy
from support.process import Weir, wait_until
from support.tcp import Client as TcpClient
from support.tcp import listener as tcp_listener
from support.tcp import tcp_proxy
from support.upstream import Upstream, respond, same_port

FORMAT = ("%REQ(:PATH)% %UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% "
          "%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n")
FILE_LOG = ANY + "envoy.extensions.access_loggers.file.v3.FileAccessLog"
COUNTED = ("upstream_cx_total", "upstream_cx_connect_fail", "upstream_cx_connect_timeout", "upstream_cx_destroy",
           "upstream_cx_active", "upstream_rq_pending_failure_eject", "bind_errors")
# The first that answers is not the last address: on a busy machine the next attempt may begin before it is seen.
AT_LEISURE = ("first", "family", "default", "count")


def closed(ip):
    """Makes a port that refuses, and is ours."""
    def make(port):
        sock = socket.socket()
        try:
            sock.bind((ip, port))
        except OSError:
            sock.close()
            raise
        return sock
    return make


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
    log = {"name": "log", "typed_config": {"@type": FILE_LOG, "path": str(directory / "access"),
                                           "log_format": {"text_format_source": {"inline_string": FORMAT}}}}
    config = bootstrap(
        listener(hcm([route(f"/{name}", cluster=name) for name in clusters], access_log=[log])),
        tcp_listener(tcp_proxy("tcp", access_log=[log]), name="tcp"), clusters=list(clusters.values()))
    told = {}
    try:
        with kind(directory / "proxy", config) as proxy:
            for name in clusters:
                answer = http1.request(proxy.listener_port("front"), path=f"/{name}")
                told[name] = answer.status, answer.text
            with TcpClient(proxy.listener_port("tcp")) as client:
                client.send(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
                told["bytes"] = client.read(12)
                stats = proxy.stats("^cluster")
                told["shown"] = sorted(
                    (cluster, where.replace(str(port), "P"), what, count) for cluster, where, what, count in re.findall(
                        r"^(\w+)::(\S+?:\d+)::(cx_total|cx_connect_fail)::(\d+)$", proxy.admin("/clusters").text, re.M)
                    if cluster not in AT_LEISURE)
            for name in clusters:
                told[f"{name} counted"] = {what: stats.get(f"cluster.{name}.{what}", 0) for what in COUNTED
                                           if what != "upstream_cx_total" or name not in AT_LEISURE}
            told["healthy"] = stats["cluster.checked.membership_healthy"]
            lines = len(clusters) + 1
            wait_until(lambda: (directory / "access").exists()
                       and (directory / "access").read_text().count("\n") >= lines, "the access log")
        told["log"] = sorted((directory / "access").read_text().replace(str(port), "P").splitlines())
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
