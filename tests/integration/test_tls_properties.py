# SPDX-License-Identifier: Apache-2.0
"""What a plugin reads of TLS on both sides of the proxy, over real connections, in Weir and in Envoy: one plugin, one
configuration, the same expectations."""

import re
import ssl

import pytest

from support import envoy, tls
from support.config import bootstrap, cluster, hcm, route, wasm
from support.listeners import tls_inspector
from support.pki import Pki
from support.process import Weir, wait_until
from support.tls import connect, get
from support.tls_server import TlsServer

NOT_FOUND = "1"


def text(value):
    return f"0 {value}" if value else "0"


class Tree:
    def __init__(self, directory):
        pki = Pki(directory)
        self.root = pki.make("root", ca=True)
        self.front = pki.make("front", self.root, subject="/O=Weir/CN=front",
                              sans="DNS:front.test,DNS:second.test,URI:spiffe://mesh/front")
        self.client = pki.make("client", self.root, subject="/O=Weir/CN=client",
                               sans="DNS:client.test,URI:spiffe://mesh/client")
        self.inner = pki.make("inner", self.root, subject="/CN=inner", sans="DNS:inner.test")
        self.server = pki.make("server", self.root, subject="/CN=server", sans="DNS:server.test,URI:spiffe://mesh/server")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return Tree(tmp_path_factory.mktemp("pki"))


def configuration(tree, upstream_port):
    trusted = {"trusted_ca": {"filename": str(tree.root.pem)}}
    front = tls.downstream(tree.front.tls_certificate, common={"validation_context": trusted})
    back = tls.upstream({"tls_certificates": [tree.inner.tls_certificate], "validation_context": trusted}, sni="server.test")
    # Envoy's server name is the inspector's.
    one = tls.secured(front, hcm([route()], [wasm("probe", name="p")]), listener_filters=[tls_inspector()])
    return bootstrap(one, clusters=[cluster(upstream_port, transport_socket=back)])


@pytest.fixture(scope="module", params=["weir", "envoy"])
def proxy(request, tmp_path_factory, tree):
    server = TlsServer(tree.server, client_ca=tree.root)
    make = Weir if request.param == "weir" else envoy.Envoy
    with make(tmp_path_factory.mktemp(request.param), configuration(tree, server.port)) as one:
        yield one
    server.close()


def ask(proxy, client, phase, *paths):
    """What the probe got for each path, in order; `client` is what the connection is made with."""
    results = []
    for first in range(0, len(paths), 14):
        some = paths[first:first + 14]
        before = len(proxy.log())
        with connect(proxy.port, client, "front.test") as connection:
            get(connection, more="x-probe: " + "; ".join(f"@{phase} property {path}" for path in some) + "\r\n")
        for n in range(1, len(some) + 1):
            pattern = re.compile(rf"probe: {n} property: ?(.*)")
            results.append(wait_until(lambda: pattern.findall(proxy.log()[before:]), f"answer {n}")[-1].strip())
    return dict(zip(paths, results))


def client_context(tree, pair=None, version=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(str(tree.root.pem))
    if pair:
        made.load_cert_chain(str(pair.pem), str(pair.key))
    if version:
        made.maximum_version = version
    return made


def pem(certificate):
    return certificate.alone.read_text()[certificate.alone.read_text().index("-----BEGIN"):]


def downstream(tree):
    return {
        "connection.mtls": "0 \\x01", "connection.requested_server_name": text("front.test"),
        "connection.tls_version": text("TLSv1.3"), "connection.subject_local_certificate": text("CN=front,O=Weir"),
        "connection.subject_peer_certificate": text("CN=client,O=Weir"),
        "connection.dns_san_local_certificate": text("front.test"),
        "connection.dns_san_peer_certificate": text("client.test"),
        "connection.uri_san_local_certificate": text("spiffe://mesh/front"),
        "connection.uri_san_peer_certificate": text("spiffe://mesh/client"),
        "connection.sha256_peer_certificate_digest": text(tree.client.hash),
        "connection.transport_failure_reason": NOT_FOUND, "connection.termination_details": NOT_FOUND,
    }


def test_mutual_tls(proxy, tree):
    client = client_context(tree, tree.client)
    assert ask(proxy, client, "request_headers", *downstream(tree)) == downstream(tree)
    assert ask(proxy, client, "log", *downstream(tree)) == downstream(tree)


def test_a_client_without_a_certificate(proxy, tree):
    expected = {path: value if "peer" not in path else NOT_FOUND for path, value in downstream(tree).items()}
    expected |= {"connection.mtls": "0 \\x00", "connection.subject_peer_certificate": text(""), "connection.tls_version": text("TLSv1.2")}
    client = client_context(tree, version=ssl.TLSVersion.TLSv1_2)
    assert ask(proxy, client, "request_headers", *expected) == expected


def test_the_upstreams_certificates(proxy, tree):
    expected = {
        "upstream.tls_version": text("TLSv1.2"), "upstream.subject_local_certificate": text("CN=inner"),
        "upstream.subject_peer_certificate": text("CN=server"),
        "upstream.dns_san_local_certificate": text("inner.test"),
        "upstream.dns_san_peer_certificate": text("server.test"),
        "upstream.uri_san_local_certificate": NOT_FOUND,
        "upstream.uri_san_peer_certificate": text("spiffe://mesh/server"),
        "upstream.sha256_peer_certificate_digest": text(tree.server.hash),
    }
    client = client_context(tree, tree.client)
    assert ask(proxy, client, "response_headers", *expected) == expected
    assert ask(proxy, client, "request_headers", *expected) == {path: NOT_FOUND for path in expected}
    # Envoy tells the reason of no failure as an empty text.
    assert ask(proxy, client, "log", "upstream.transport_failure_reason") == {"upstream.transport_failure_reason": text("")}


def test_the_certificate_itself(proxy, tree):
    paths = {"connection.peer_certificate": tree.client, "upstream.peer_certificate": tree.server}
    expected = {path: text(pem(certificate).replace("\n", "\\x0a")) for path, certificate in paths.items()}
    assert ask(proxy, client_context(tree, tree.client), "log", *paths) == expected
