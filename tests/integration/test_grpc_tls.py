# SPDX-License-Identifier: Apache-2.0
"""gRPC over TLS on both sides with the real Python client and server, client certificates included; and health checks by gRPC
over TLS."""

import concurrent.futures
import threading

import grpc
import pytest

from support import tls
from support.config import HTTP2_UPSTREAM, bootstrap, cluster, hcm, route
from support.process import wait_until

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


class Service(grpc.GenericRpcHandler):
    """Messages are bytes; /grpc.health.v1.Health/Check says what `health` is."""

    def __init__(self):
        self.health, self.checks = SERVING, threading.Semaphore(0)

    def unary(self, message, context):
        context.set_trailing_metadata((("x-client", (context.peer_identities() or [b"nobody"])[0].decode()),))
        return message

    def both(self, messages, _):
        for message in messages:
            yield message.upper()

    def check(self, _, __):
        self.checks.release()
        return self.health

    def service(self, call):
        if call.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(self.check)
        if call.method == "/t/both":
            return grpc.stream_stream_rpc_method_handler(self.both)
        return grpc.unary_unary_rpc_method_handler(self.unary)


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    authority = tls.Authority(tmp_path_factory.mktemp("tls"))
    authority.web = authority.issue("web", "DNS:a.example")
    authority.client = authority.issue("client", "DNS:proxy.example")
    authority.stranger = tls.Authority(tmp_path_factory.mktemp("other"), "other")
    return authority


@pytest.fixture
def service(ca):
    handler = Service()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), [handler])
    credentials = grpc.ssl_server_credentials([(ca.web.key.read_bytes(), ca.web.certificate.read_bytes())],
                                              ca.certificate.read_bytes(), require_client_auth=True)
    handler.port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield handler
    server.stop(None).wait()


def secured(name, port, authority, pair, **fields):
    common = {"alpn_protocols": ["h2"], "validation_context": {"trusted_ca": {"filename": str(authority.certificate)},
              "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "a.example"}}]},
              "tls_certificates": [pair.entry()] if pair else []}
    return cluster(port, name=name, transport_socket=tls.upstream(common, sni="a.example"), **HTTP2_UPSTREAM, **fields)


def checked(name, port, authority, pair):
    check = {"timeout": "5s", "interval": "0.1s", "no_traffic_interval": "0.1s", "unhealthy_threshold": 1, "healthy_threshold": 1,
             "grpc_health_check": {"service_name": "t"}, "tls_options": {"alpn_protocols": ["h2"]}}
    return secured(name, port, authority, pair, health_checks=[check], common_lb_config={"healthy_panic_threshold": {"value": 0}})


def proxy(start, ca, port):
    clusters = [secured("plain", port, ca, ca.client), checked("checked", port, ca, ca.client),
                checked("wrong_ca", port, ca.stranger, ca.client), checked("no_key", port, ca, None)]
    routes = [route({"prefix": "/" + c["name"] + "/"}, c["name"], prefix_rewrite="/t/") for c in clusters]
    socket = tls.downstream(ca.web.entry(), common={"alpn_protocols": ["h2"]})
    return start(bootstrap(tls.secured(socket, hcm(routes)), clusters=clusters))


@pytest.fixture
def channel(ca):
    channels = []

    def make(port):
        channels.append(grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(ca.certificate.read_bytes()),
                                            [("grpc.ssl_target_name_override", "a.example")]))
        return channels[-1]

    yield make
    for one in channels:
        one.close()


def call(channel, name, message=b"x"):
    """The message and x-client of its trailers, or the code."""
    try:
        answer, done = channel.unary_unary(f"/{name}/unary").with_call(message, timeout=30)
        return answer, dict(done.trailing_metadata()).get("x-client")
    except grpc.RpcError as error:
        return error.code()


def test_calls_and_streams(start, ca, service, channel):
    weir = proxy(start, ca, service.port)
    client = channel(weir.port)
    assert call(client, "plain", b"hello") == (b"hello", "proxy.example"), "the service knows the proxy by its certificate"
    assert call(client, "plain", b"y" * 2_000_000)[0] == b"y" * 2_000_000
    talk = client.stream_stream("/plain/both")(iter([b"a", b"b", b"c"]), timeout=30)
    assert list(talk) == [b"A", b"B", b"C"]
    stats = weir.stats("cluster.plain")
    assert stats["cluster.plain.upstream_cx_http2_total"] == 1 and stats["cluster.plain.ssl.handshake"] == 1
    assert stats["cluster.plain.upstream_rq_200"] == 3


def test_health_checks(start, ca, service, channel):
    weir = proxy(start, ca, service.port)
    client = channel(weir.port)
    wait_until(lambda: call(client, "checked") == (b"x", "proxy.example"), "the first check")
    assert service.checks.acquire(timeout=30)
    service.health = NOT_SERVING
    wait_until(lambda: call(client, "checked") == grpc.StatusCode.UNAVAILABLE, "the service says that it does not serve")
    assert call(client, "plain") == (b"x", "proxy.example"), "nobody checks there"
    service.health = SERVING
    wait_until(lambda: call(client, "checked") == (b"x", "proxy.example"), "it serves again")
    for name in ("wrong_ca", "no_key"):
        wait_until(lambda name=name: weir.stats(f"cluster.{name}.health")[f"cluster.{name}.health_check.failure"] > 0, name)
        assert weir.stats(f"cluster.{name}.membership")[f"cluster.{name}.membership_healthy"] == 0
    assert weir.stats("cluster.wrong_ca.ssl")["cluster.wrong_ca.ssl.fail_verify_error"] > 0
