# SPDX-License-Identifier: Apache-2.0
"""TLS towards upstreams: who is believed, which name is sent, what is spoken; hostile servers first."""

import json
import os
import re
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from support import envoy, http1
from support.config import ANY, bootstrap, cluster, direct, hcm, http_options, listener, route, wasm
from support.nginx import Nginx
from support.pages import block, with_ports
from support.pki import Pki, openssl
from support.process import validate, wait_until
from support.tcp import Client as TcpClient, simple as tcp_simple
from support.tls import upstream as tls_upstream
from support.tls_server import RawServer, TlsServer, client_hello
from support.upstream import Upstream, refused_port

LOG = [{"name": "log", "typed_config": {
    "@type": ANY + "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
    "log_format": {"text_format_source": {"inline_string":
        "LOG %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n"}}}}]
REFUSED = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"


def at(port, ip):
    return {"address": {"socket_address": {"address": ip, "port_value": port}}}


class Tree:
    """The certificates of all tests of this file."""

    def __init__(self, directory):
        self.pki = pki = Pki(directory)
        self.root = pki.make("root", ca=True)
        self.other = pki.make("other", ca=True)
        self.middle = pki.make("middle", self.root, ca=True)
        self.server = pki.make("server", self.root, serial=77,
                               sans="DNS:*.example.com,DNS:plain.test,URI:spiffe://mesh/ns/a,email:a@b.test,IP:127.0.0.1")
        self.deep = pki.make("deep", self.middle, sans="DNS:deep.test")
        self.expired = pki.make("expired", self.root, sans="DNS:plain.test", days=-1)
        self.client = pki.make("client", self.root)
        self.stranger = pki.make("stranger", self.other)
        self.revoking = pki.crl(self.root, 77, name="revoking")
        self.clean = pki.crl(self.root, name="clean")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return Tree(tmp_path_factory.mktemp("pki"))


def tls(validation=None, **fields):
    common = fields.pop("common", {})
    if validation is not None:
        common = {**common, "validation_context": validation}
    return tls_upstream(common, **fields)


def secure(port, *arguments, name="upstream", options=None, hostname=None, **fields):
    """A cluster with TLS; `options` are HttpProtocolOptions."""
    c = cluster(port, name=name, transport_socket=tls(*arguments, **fields))
    if hostname:
        c["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["hostname"] = hostname
    if options:
        c.update(http_options(**options))
    return c


def names(**options):
    return {"explicit_http_config": {"http_protocol_options": {}}, "upstream_http_protocol_options": options}


def many(clusters, **hcm_fields):
    """A listener that takes /NAME to the cluster NAME."""
    routes = [route({"path": "/" + c["name"]}, c["name"]) for c in clusters]
    return bootstrap(listener(hcm(routes, access_log=LOG, **hcm_fields)), clusters=clusters)


def ask(weir, path="/", **request):
    with http1.Client(weir.port) as client:
        return client.request(path=path, **request)


def seen(weir, path="/", **request):
    response = ask(weir, path, **request)
    assert response.status == 200, response.body
    return json.loads(response.body)


def only(weir, c):
    return bootstrap(listener(hcm([route()], access_log=LOG)), clusters=[c])


# --- who is believed ---

def file(path):
    return {"filename": str(path)}


def verifications(t):
    """(name, server, context, what is wrong with it or None, its statistic)"""
    ca = {"trusted_ca": file(t.root.pem)}
    any_of = {"trusted_ca": {"inline_string": t.other.pem.read_text() + t.root.pem.read_text()}}

    def san(kind, **matcher):
        return {**ca, "match_typed_subject_alt_names": [
            {"san_type": kind, "matcher": {"exact": "never"}}, {"san_type": kind, "matcher": matcher}]}

    chain = "fail_verify_error"
    names_wrong = ("SAN matcher, certificate SANs are [*.example.com, plain.test, spiffe://mesh/ns/a, a@b.test, 127.0.0.1]",
                   "fail_verify_san")
    digest = ("cert hash and spki", "fail_verify_cert_hash")
    x509 = "X509_verify_cert: certificate verification error at depth {}: {}"
    missing = (x509.format(0, "unable to get local issuer certificate"), chain)
    return [
        ("ca-wrong", t.server, {"trusted_ca": file(t.other.pem)}, *missing),
        ("ca", t.server, ca, None, None),
        ("ca-second", t.server, any_of, None, None),
        ("ca-system", t.server, {"system_root_certs": {}}, *missing),
        ("chain", t.deep, ca, None, None),
        ("depth-short", t.deep, {**ca, "max_verify_depth": 1}, "X509_verify_cert", chain),
        ("depth", t.deep, {**ca, "max_verify_depth": 2}, None, None),
        ("anchor", t.deep, {"trusted_ca": file(t.middle.alone)}, None, None),
        ("expired", t.expired, ca, x509.format(0, "certificate has expired"), chain),
        ("expired-allowed", t.expired, {**ca, "allow_expired_certificate": True}, None, None),
        ("untrusted", t.expired, {**ca, "trust_chain_verification": "ACCEPT_UNTRUSTED"}, None, None),
        ("hash-wrong", t.server, {"verify_certificate_hash": [t.deep.hash]}, *digest),
        ("hash", t.server, {"verify_certificate_hash": [t.deep.hash, t.server.hash]}, None, None),
        ("hash-colons", t.server, {"verify_certificate_hash": [":".join(re.findall("..", t.server.hash)).upper()]}, None, None),
        ("spki-wrong", t.server, {**ca, "verify_certificate_spki": [t.deep.spki]}, *digest),
        ("spki", t.server, {**ca, "verify_certificate_spki": [t.server.spki]}, None, None),
        ("hash-or-spki", t.server, {**ca, "verify_certificate_hash": [t.deep.hash],
                                    "verify_certificate_spki": [t.server.spki]}, None, None),
        ("dns-wrong", t.server, san("DNS", exact="a.b.example.com"), *names_wrong),
        ("dns", t.server, san("DNS", exact="A.example.com"), None, None),
        ("dns-suffix", t.server, san("DNS", suffix=".example.com"), None, None),
        ("dns-prefix-wrong", t.server, san("DNS", prefix="www."), *names_wrong),
        ("uri-wrong", t.server, san("URI", exact="spiffe://mesh/ns/b"), *names_wrong),
        ("uri", t.server, san("URI", prefix="spiffe://mesh/"), None, None),
        ("uri-as-dns", t.server, san("DNS", exact="spiffe://mesh/ns/a"), *names_wrong),
        ("uri-regex", t.server, san("URI", safe_regex={"regex": "spiffe://.*/ns/[a-c]"}), None, None),
        ("uri-regex-part", t.server, san("URI", safe_regex={"regex": "spiffe"}), *names_wrong),
        ("email", t.server, san("EMAIL", contains="@"), None, None),
        ("ip-wrong", t.server, san("IP_ADDRESS", exact="127.0.0.2"), *names_wrong),
        ("ip", t.server, san("IP_ADDRESS", exact="127.0.0.1"), None, None),
        ("untyped-wrong", t.server, {**ca, "match_subject_alt_names": [{"exact": "x"}]}, *names_wrong),
        ("untyped", t.server, {**ca, "match_subject_alt_names": [{"exact": "spiffe://mesh/ns/a"}]}, None, None),
        ("revoked", t.server, {**ca, "crl": file(t.revoking)}, x509.format(0, "certificate revocation check against provided CRLs failed: certificate revoked"), chain),
        ("not-revoked", t.server, {**ca, "crl": file(t.clean)}, None, None),
        ("crl-incomplete", t.deep, {**ca, "crl": file(t.clean)}, "unable to get certificate CRL", chain),
    ]


def compare_verifications(tree, peer, directory):
    """What `peer` says to each of them: status, body, and the reason in the log."""
    rows = verifications(tree)
    servers = {id(c): TlsServer(c) for _, c, *_ in rows}
    clusters = [secure(servers[id(c)].port, context, name=name) for name, c, context, *_ in rows]
    out = {}
    with peer(directory, many(clusters)) as running:
        for name, *_ in rows:
            response = ask(running, "/" + name)
            out[name] = response.status, response.body if response.status != 200 else b""
        def logged():
            return len(re.findall(r"^LOG /", running.log(), re.M)) == len(rows)
        wait_until(logged, "the log")
        log = running.log()
        stats = running.stats("ssl.fail_verify")
    for name, *_ in rows:
        line = re.search(rf"^LOG /{re.escape(name)} (.*)$", log, re.M)[1]
        counted = {k.rsplit(".", 1)[1]: v for k, v in stats.items() if k.startswith(f"cluster.{name}.ssl.") and v}
        out[name] += (line, counted)
    for server in servers.values():
        server.close()
    return out


@pytest.mark.tsan
def test_verification(tree, tmp_path, start):
    got = compare_verifications(tree, lambda d, c: Keep(start(c)), tmp_path)
    for name, _, _, wrong, stat in verifications(tree):
        status, body, line, counted = got[name]
        if wrong is None:
            assert (status, line) == (200, "200 - via_upstream -"), name
            assert "untrusted" in name or not counted, name
            continue
        assert (status, body) == (503, REFUSED.encode()), name
        start_text = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_"
        reason = line.rsplit(" ", 1)[1]
        assert reason.startswith(start_text) and reason.endswith(":TLS_error_end"), (name, reason)
        assert wrong.replace(" ", "_") in reason, (name, reason)
        assert line == f"503 UF upstream_reset_before_response_started{{remote_connection_failure|{reason}}} {reason}"
        assert counted == {stat: 1}, name


class Keep:
    """A running proxy that the fixture stops."""

    def __init__(self, running):
        self.running = running

    def __enter__(self):
        return self.running

    def __exit__(self, *_):
        pass


def test_verification_beside_envoy(tree, tmp_path, start):
    envoy.binary()
    ours = compare_verifications(tree, lambda d, c: Keep(start(c)), tmp_path / "weir")
    theirs = compare_verifications(tree, envoy.Envoy, tmp_path / "envoy")
    # Envoy takes system_root_certs and verifies nothing; it looks at max_verify_depth only for clients' certificates.
    stricter = ("ca-system", "depth-short")
    for name in ours:
        if name not in stricter:
            assert ours[name] == theirs[name], name


def test_secrets(tree, start):
    """validation_context as a static secret, and one over the other."""
    def common(**fields):
        return {"common": fields}

    secrets = [{"name": "ca", "validation_context": {"trusted_ca": file(tree.root.pem)}},
               {"name": "wrong", "validation_context": {"trusted_ca": file(tree.other.pem)}},
               {"name": "me", "tls_certificate": tree.client.tls_certificate}]
    wants = {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "plain.test"}}],
             "trusted_ca": file(tree.other.pem)}
    with TlsServer(tree.server, client_ca=tree.root) as server, TlsServer(tree.deep) as deep:
        me = {"tls_certificate_sds_secret_configs": [{"name": "me"}]}
        clusters = [
            secure(server.port, name="secret", **common(validation_context_sds_secret_config={"name": "ca"}, **me)),
            secure(server.port, name="wrong", **common(validation_context_sds_secret_config={"name": "wrong"}, **me)),
            secure(server.port, name="both", **common(combined_validation_context={
                "default_validation_context": wants, "validation_context_sds_secret_config": {"name": "ca"}}, **me)),
            secure(deep.port, name="name", **common(combined_validation_context={
                "default_validation_context": wants, "validation_context_sds_secret_config": {"name": "ca"}}))]
        config = many(clusters)
        config["static_resources"]["secrets"] = secrets
        weir = start(config)
        assert seen(weir, "/secret")["client"] == {"commonName": "client"}
        assert seen(weir, "/both")["client"] == {"commonName": "client"}
        assert ask(weir, "/wrong").status == 503
        assert ask(weir, "/name").status == 503
        stats = weir.stats("ssl.fail_verify")
        assert stats["cluster.wrong.ssl.fail_verify_error"] == stats["cluster.name.ssl.fail_verify_san"] == 1


def test_bad_configurations(tree, tmp_path):
    ca = {"trusted_ca": file(tree.root.pem)}
    san = {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "a"}}]}
    missing = tmp_path / "missing.pem"
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    base = "static_resources.clusters[0].transport_socket.typed_config."
    context = base + "common_tls_context.validation_context."
    rows = [
        (tls({"trusted_ca": file(missing)}), context + "trusted_ca", "cannot read"),
        (tls({"trusted_ca": file(empty)}), context + "trusted_ca", "no certificate"),
        (tls({"trusted_ca": file(tree.root.key)}), context + "trusted_ca", "no certificate"),
        (tls({**ca, "crl": file(tree.root.key)}), context + "crl", None),
        (tls({"crl": file(tree.clean)}), context + "crl", "needs a trusted_ca"),
        (tls(san), context + "match_typed_subject_alt_names", "needs a trusted_ca"),
        (tls({"allow_expired_certificate": True}), context[:-1], "allow_expired_certificate needs a trusted_ca"),
        (tls({"verify_certificate_hash": ["00" * 31]}), context + "verify_certificate_hash[0]", None),
        (tls({"verify_certificate_spki": [tree.server.spki, "AAAA"]}), context + "verify_certificate_spki[1]", None),
        (tls({**ca, "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"safe_regex": {"regex": "("}}}]}),
         context + "match_typed_subject_alt_names[0].matcher", "regular expression"),
        (tls({**ca, "match_typed_subject_alt_names": [{"san_type": "OTHER_NAME", "oid": "x", "matcher": {"exact": "a"}}]}),
         context + "match_typed_subject_alt_names[0].oid", "object identifier"),
        (tls(auto_sni_san_validation=True), base + "auto_sni_san_validation", "needs a validation_context"),
        (tls(allow_renegotiation=True), base + "allow_renegotiation", "renegotiate"),
        (tls(common={"tls_certificates": [tree.client.tls_certificate, tree.stranger.tls_certificate]}),
         base + "common_tls_context.tls_certificates", "more than one"),
        (tls(common={"validation_context_sds_secret_config": {"name": "none"}}),
         base + "common_tls_context.validation_context_sds_secret_config.name", "no \"none\""),
    ]
    for socket_, path, text in rows:
        config = many([cluster(1, transport_socket=socket_)])
        result = validate(tmp_path, config)
        assert result.returncode != 0, path
        assert path in result.stderr, (path, result.stderr)
        assert text is None or text in result.stderr, result.stderr
    auto = cluster(1)
    auto.update(http_options(auto_config={}))
    assert "auto_config needs a transport_socket" in validate(tmp_path, many([auto])).stderr


# --- hostile servers ---

def alert(raw):
    client_hello(raw)
    raw.sendall(b"\x15\x03\x03\x00\x02\x02\x28")
    raw.recv(1)


def plain(raw):
    client_hello(raw)
    raw.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
    raw.recv(1)


def truncated(raw):
    client_hello(raw)
    raw.sendall(b"\x16\x03\x03\x00\x50abc")


def reset(raw):
    client_hello(raw)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def ended(raw):
    client_hello(raw)


def endless(raw):
    """A certificate message of 16 MB, as slowly as the reader takes it."""
    client_hello(raw)
    raw.sendall(b"\x16\x03\x03\x00\x04\x02\x00\x00\x00")
    while True:
        raw.sendall(b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff" + bytes(16380))


def silent(raw):
    client_hello(raw)
    raw.recv(1)


@pytest.mark.tsan
def test_hostile_servers(tree, start):
    acts = [alert, plain, truncated, reset, ended, endless, silent]
    servers = [RawServer(act) for act in acts]
    clusters = [secure(s.port, {"trusted_ca": file(tree.root.pem)}, name=act.__name__) for s, act in zip(servers, acts)]
    clusters[-1]["connect_timeout"] = "1s"
    good = TlsServer(tree.server)
    weir = start(many([*clusters, secure(good.port, name="good")]))
    rss = None
    for turn in range(3):
        for act in acts:
            response = ask(weir, "/" + act.__name__)
            reason = "connection timeout" if act is silent else "remote connection failure"
            assert (response.status, response.body.decode().rsplit(": ", 1)[1]) == (503, reason), act.__name__
        assert ask(weir, "/good").status == 200
        rss = rss or weir.rss_bytes()
    before = r"503 UF upstream_reset_before_response_started\{remote_connection_failure"
    weir.wait_log(rf"LOG /alert {before}\|TLS_error:\|.*:SSLV3_ALERT_HANDSHAKE_FAILURE", 3)
    weir.wait_log(rf"LOG /plain {before}\|TLS_error:\|.*:WRONG_VERSION_NUMBER:TLS_error_end\}}", 3)
    weir.wait_log(rf"LOG /reset {before}\|TLS_error:\|33554536:system_library:OPENSSL_internal:Connection_reset_by_peer", 3)
    weir.wait_log(rf"LOG /truncated {before}\}} -", 3)
    weir.wait_log(rf"LOG /ended {before}\}} -", 3)
    stats = weir.stats("upstream_cx")
    assert stats["cluster.silent.upstream_cx_connect_timeout"] == 3
    for act in acts:
        assert stats[f"cluster.{act.__name__}.upstream_cx_connect_fail"] == 3
        weir.wait_stat(f"cluster.{act.__name__}.upstream_cx_active", 0)
    assert weir.rss_bytes() < rss + (8 << 20)
    for server in (*servers, good):
        server.close()


# --- which name is sent, and wanted ---

def test_server_names(tree, start):
    ca = {"trusted_ca": file(tree.root.pem)}
    auto = names(auto_sni=True)
    with TlsServer(tree.server) as server:
        weir = start(many([
            secure(server.port, ca, name="none"),
            secure(server.port, ca, name="fixed", sni="fixed.test"),
            secure(server.port, ca, name="host", auto_host_sni=True, sni="fixed.test", hostname="ep.test"),
            secure(server.port, ca, name="nohost", auto_host_sni=True, sni="fixed.test"),
            secure(server.port, ca, name="auto", options=auto, sni="fixed.test"),
            secure(server.port, ca, name="other", options=names(auto_sni=True, override_auto_sni_header="X-Name")),
            secure(server.port, ca, name="san", options=names(auto_sni=True, auto_san_validation=True)),
            secure(server.port, {**ca, "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "no"}}]},
                   name="snisan", sni="a.example.com", auto_sni_san_validation=True),
            secure(server.port, ca, name="snisan-wrong", sni="a.example.org", auto_sni_san_validation=True)]))
        assert seen(weir, "/none")["sni"] is None
        assert seen(weir, "/fixed", host="a.example.com")["sni"] == "fixed.test"
        assert seen(weir, "/host", host="a.example.com")["sni"] == "ep.test"
        assert seen(weir, "/nohost")["sni"] == "fixed.test"
        assert seen(weir, "/auto", host="a.example.com")["sni"] == "a.example.com"
        assert seen(weir, "/auto", host="b.example.com:99")["sni"] == "b.example.com"
        for ip in ("1.2.3.4", "[::1]:80"):
            assert seen(weir, "/auto", host=ip)["sni"] == "fixed.test"
        assert ask(weir, "/auto", host="a" * 300).status == 503
        assert seen(weir, "/other", headers=[("x-name", "c.test:1")])["sni"] == "c.test"
        assert seen(weir, "/other", headers=[("x-name", "")], host="d.test")["sni"] == "d.test"
        assert seen(weir, "/san", host="x.example.com")["sni"] == "x.example.com"
        assert seen(weir, "/san", host="127.0.0.1")["sni"] is None
        assert seen(weir, "/snisan")["sni"] == "a.example.com"
        assert ask(weir, "/snisan-wrong").status == 503
        for host in ("evil.test", "example.com", "127.0.0.2", "x.example.com.evil.test"):
            assert ask(weir, "/san", host=host).status == 503
        assert weir.stats("san.ssl")["cluster.san.ssl.fail_verify_san"] == 4
        weir.wait_log(r"expected_SANs:_\[evil.test\]")


def test_connections_do_not_mix(tree, start):
    """A connection that was made for one name carries no request for another; names that clients think of cost nothing
    once their connections are gone."""
    with TlsServer(tree.server) as server:
        weir = start(many([secure(server.port, name="auto", options=names(auto_sni=True))]))
        numbers = {}
        for turn in range(3):
            for host in ("a.test", "b.test", "c.test"):
                answer = seen(weir, "/auto", host=host)
                assert answer["sni"] == host
                assert numbers.setdefault(host, answer["connection"]) == answer["connection"]
        assert len(set(numbers.values())) == 3
    with TlsServer(tree.server) as server:
        c = secure(server.port, name="auto", options=names(auto_sni=True))
        c["circuit_breakers"] = {"thresholds": [{"max_connection_pools": 4, "track_remaining": True}]}
        weir = start(many([c]))
        for i in range(40):
            assert seen(weir, "/auto", host=f"h{i}.test")["sni"] == f"h{i}.test"
        assert weir.stats("upstream_cx_active")["cluster.auto.upstream_cx_active"] <= 4


def test_names_do_not_pass_the_breaker(tree, start):
    """max_connections holds also when each request has a name of its own: what is idle makes room, the rest is refused."""
    def limited(port):
        c = secure(port, name="auto", options=names(auto_sni=True))
        c["circuit_breakers"] = {"thresholds": [{"max_connections": 2}]}
        c["connect_timeout"] = "60s"
        return c

    with TlsServer(tree.server) as server:
        weir = start(many([limited(server.port)]))
        for i in range(20):
            assert seen(weir, "/auto", host=f"h{i}.test")["sni"] == f"h{i}.test"
            assert weir.stats("upstream_cx_active")["cluster.auto.upstream_cx_active"] <= 2
        assert weir.stats("upstream_cx_total")["cluster.auto.upstream_cx_total"] == 20
    over = threading.Event()
    with Upstream(lambda connection: over.wait(30)) as silent:
        weir = start(many([limited(silent.port)]))
        clients = [http1.Client(weir.port) for _ in range(8)]
        for i, client in enumerate(clients):
            client.send(f"GET /auto HTTP/1.1\r\nhost: h{i}.test\r\n\r\n")
            if i == 1:
                weir.wait_stat("cluster.auto.upstream_cx_active", 2)
        for client in clients[2:]:
            answer = client.response()
            assert (answer.status, answer.get("x-envoy-overloaded")) == (503, "true")
        assert weir.stats("upstream_cx_total")["cluster.auto.upstream_cx_total"] == 2
        over.set()


@pytest.mark.tsan
def test_sessions_are_resumed(tree, start):
    """max_session_keys; a session of one name is not used for another: nobody would look at the certificate."""
    def closing(port, **fields):
        c = secure(port, {"trusted_ca": file(tree.root.pem)}, **fields)
        options = fields.get("options") or names()
        options["common_http_protocol_options"] = {"max_requests_per_connection": 1}
        c.update(http_options(**options))
        return c

    both = {"tls_params": {"tls_maximum_protocol_version": "TLSv1_3"}}
    with TlsServer(tree.server, version=ssl.TLSVersion.TLSv1_2) as old, TlsServer(tree.server) as new:
        weir = start(many([closing(old.port, name="old"), closing(old.port, name="off", max_session_keys=0),
                           closing(new.port, name="new", max_session_keys=4, common=both),
                           closing(old.port, name="san", options=names(auto_san_validation=True))]))
        for name, resumed in (("old", [False, True, True]), ("off", [False] * 3), ("new", [False, True, True])):
            assert [seen(weir, "/" + name)["resumed"] for _ in range(3)] == resumed, name
        assert seen(weir, "/new")["version"] == "TLSv1.3"
        assert seen(weir, "/old")["version"] == "TLSv1.2"
        assert weir.stats("old.ssl")["cluster.old.ssl.session_reused"] == 3
        assert ask(weir, "/san", host="a.example.com").status == 200
        assert ask(weir, "/san", host="evil.test").status == 503


# --- certificates of our own, protocols, endpoints ---

def test_client_certificates(tree, start):
    with TlsServer(tree.server, client_ca=tree.root) as server:
        ca = {"trusted_ca": file(tree.root.pem)}
        weir = start(many([
            secure(server.port, ca, name="none"),
            secure(server.port, ca, name="wrong", common={"tls_certificates": [tree.stranger.tls_certificate]}),
            secure(server.port, ca, name="right", common={"tls_certificates": [tree.client.tls_certificate]})]))
        assert ask(weir, "/none").status == 503
        assert ask(weir, "/wrong").status == 503
        assert seen(weir, "/right")["client"] == {"commonName": "client"}
        weir.wait_log("SSLV3_ALERT_HANDSHAKE_FAILURE|CERTIFICATE_REQUIRED", 2)


def nginx_server(tree, directory, more=""):
    return Nginx(directory, f"""server {{
        listen 127.0.0.1:{{port}} ssl{' http2' if more == 'http2' else ''}; server_name a;
        ssl_certificate {tree.server.pem}; ssl_certificate_key {tree.server.key};
        client_max_body_size 64m; root {directory};
        location /echo {{ add_header x-alpn $ssl_alpn_protocol; add_header x-protocol $server_protocol; return 200 nginx; }}
        location /put/ {{ dav_methods PUT; create_full_put_path on; }} }}""")


def test_alpn_with_nginx(tree, tmp_path, start):
    ca = {"trusted_ca": file(tree.root.pem)}
    auto = {"auto_config": {"http2_protocol_options": {}}}
    h2 = {"explicit_http_config": {"http2_protocol_options": {}}}
    with nginx_server(tree, tmp_path / "h1") as old, nginx_server(tree, tmp_path / "h2", "http2") as new:
        clusters = [secure(old.port, ca, name="auto1", options=auto), secure(new.port, ca, name="auto2", options=auto),
                    secure(new.port, ca, name="h2", options=h2), secure(new.port, ca, name="h1"),
                    secure(new.port, ca, name="own", options=auto, common={"alpn_protocols": ["http/1.1"]})]
        routes = [route({"path": "/" + c["name"]}, c["name"], prefix_rewrite="/echo") for c in clusters]
        big = os.urandom(6 << 20)
        for directory in ("h1", "h2"):
            (tmp_path / directory / "big").write_bytes(big)
        routes += [route({"path": f"/big/{c['name']}"}, c["name"], prefix_rewrite="/big") for c in clusters]
        weir = start(bootstrap(listener(hcm(routes)), clusters=clusters))
        for name, alpn, protocol in (("auto1", "http/1.1", "HTTP/1.1"), ("auto2", "h2", "HTTP/2.0"), ("h2", "h2", "HTTP/2.0"),
                                     ("h1", "http/1.1", "HTTP/1.1"), ("own", "http/1.1", "HTTP/1.1")):
            for _ in range(3):
                response = ask(weir, "/" + name)
                assert response.body == b"nginx", name
                assert response.get("x-protocol") == protocol, name
            assert response.get("x-alpn") in (alpn, None), name # older nginx does not know the variable
            assert ask(weir, f"/big/{name}").body == big, name
        stats = weir.stats("upstream_cx_http")
        assert stats["cluster.auto1.upstream_cx_http1_total"] and not stats.get("cluster.auto1.upstream_cx_http2_total")
        assert stats["cluster.auto2.upstream_cx_http2_total"] and not stats.get("cluster.auto2.upstream_cx_http1_total")
        # Many at once on one connection.
        def many_requests():
            for _ in range(20):
                assert ask(weir, "/auto2").status == 200
        threads = [threading.Thread(target=many_requests) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert weir.stats("auto2.upstream_rq_200")["cluster.auto2.upstream_rq_200"] >= 160


def test_sockets_by_metadata(tree, start, upstream):
    plain_server = upstream()
    with TlsServer(tree.server) as server:
        c = cluster(server.port, plain_server.port)
        ends = c["load_assignment"]["endpoints"][0]["lb_endpoints"]
        ends[0]["metadata"] = {"filter_metadata": {"envoy.transport_socket_match": {"tls": "yes", "zone": 1}}}
        c["transport_socket_matches"] = [
            {"name": "never", "match": {"tls": "yes", "zone": 2}, "transport_socket": tls(sni="never")},
            {"name": "tls", "match": {"tls": "yes"}, "transport_socket": tls(sni="matched.test")}]
        weir = start(only(None, c))
        bodies = [ask(weir) for _ in range(4)]
        assert [b.status for b in bodies] == [200] * 4
        assert sum(b"matched.test" in b.body for b in bodies) == 2


def test_health_checks(tree, start):
    """They speak TLS too, with their own ALPN if they have one."""
    with TlsServer(tree.server, alpn=["check", "http/1.1"]) as server:
        def checked(name, validation, **fields):
            c = secure(server.port, {"trusted_ca": file(validation)}, name=name, sni="hc.test")
            c["health_checks"] = [{"timeout": "5s", "interval": "0.1s", "no_traffic_interval": "0.1s",
                                   "unhealthy_threshold": 1, "healthy_threshold": 1, **fields}]
            return c

        http = {"http_health_check": {"path": "/hc"}}
        weir = start(many([checked("good", tree.root.pem, tls_options={"alpn_protocols": ["check"]}, **http),
                           checked("tcp", tree.root.pem, tcp_health_check={}), checked("bad", tree.other.pem, **http)]))
        for name in ("good", "tcp"):
            wait_until(lambda: weir.stats("health_check")[f"cluster.{name}.health_check.success"] >= 2, name)
            assert ask(weir, "/" + name).status == 200
        wait_until(lambda: weir.stats("health_check")["cluster.bad.health_check.failure"] >= 1, "bad")
        weir.wait_stat("cluster.bad.membership_healthy", 0)
        assert weir.stats("good.ssl")["cluster.good.ssl.handshake"] >= 2


@pytest.mark.parametrize("trusted", ["root", "other"])
def test_callouts(tree, start, trusted):
    """A plugin's call goes the same way."""
    with TlsServer(tree.server) as server:
        c = secure(server.port, {"trusted_ca": file(getattr(tree, trusted).pem)}, name="up", options=names(auto_sni=True))
        weir = start(bootstrap(listener(hcm([direct()], [wasm("caller")])), clusters=[c]))
        assert http1.request(weir.port, headers={"x-calls": "http up /x; pause"}).status == 200
        wait_until(lambda: weir.stats("cluster.up.ssl")["cluster.up.ssl." + (
            "handshake" if trusted == "root" else "fail_verify_error")] == 1, "the call")


@pytest.mark.tsan
def test_tcp_proxy(tree, start):
    with TlsServer(tree.server, alpn=["x"]) as server:
        text = "%RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n"
        good = tls({"trusted_ca": file(tree.root.pem)}, sni="tcp.test", common={"alpn_protocols": ["x"]})
        bad = tls({"trusted_ca": file(tree.other.pem)})
        weir = start(tcp_simple(server.port, cluster_fields={"transport_socket": good}))
        with http1.Client(weir.port) as client:
            answer = json.loads(client.request().body)
        assert (answer["sni"], answer["alpn"]) == ("tcp.test", "x")
        assert weir.stats("ssl")["cluster.upstream.ssl.handshake"] == 1
        log = [{"name": "log", "typed_config": {**LOG[0]["typed_config"], "log_format": {
            "text_format_source": {"inline_string": "TCP " + text}}}}]
        weir = start(tcp_simple(server.port, cluster_fields={"transport_socket": bad}, access_log=log))
        with TcpClient(weir.port) as client:
            assert client.rest() == b""
        weir.wait_log("TCP UF.* TLS_error:.*verify_cert_failed")


def test_several_addresses(tree, start):
    """TLS begins on the address that answered; nobody listens at the first."""
    with TlsServer(tree.server) as server:
        c = secure(server.port, {"trusted_ca": file(tree.root.pem)}, sni="a.example.com")
        endpoint = c["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        endpoint.update(at(server.port, "127.0.0.2"), additional_addresses=[at(server.port, "127.0.0.1")])
        weir = start(bootstrap(listener(hcm(access_log=LOG)), clusters=[c]))
        answer = json.loads(http1.request(weir.port).body)
        assert answer["sni"] == "a.example.com"
        stats = weir.stats("cluster.upstream")
        assert stats["cluster.upstream.ssl.handshake"] == 1
        assert stats["cluster.upstream.upstream_cx_total"] == 2


@pytest.mark.tsan
def test_reload(tree, tmp_path, start):
    """The CA and the client's certificate are read again when their files change; sessions made before are not used."""
    ca, pem, key = tmp_path / "ca.pem", tmp_path / "client.pem", tmp_path / "client.key"

    def put(path, source):
        new = path.with_suffix(".new")
        new.write_bytes(Path(source).read_bytes())
        new.rename(path)

    put(ca, tree.root.pem), put(pem, tree.client.pem), put(key, tree.client.key)
    second = tree.pki.make("second", tree.root)
    with TlsServer(tree.server, client_ca=tree.root) as server:
        options = names()
        options["common_http_protocol_options"] = {"max_requests_per_connection": 1}
        weir = start(many([secure(server.port, {"trusted_ca": file(ca)}, name="up", options=options, common={
            "tls_certificates": [{"certificate_chain": file(pem), "private_key": file(key)}]})]))
        assert seen(weir, "/up")["client"] == {"commonName": "client"}
        put(key, second.key), put(pem, second.pem)
        wait_until(lambda: seen(weir, "/up")["client"] == {"commonName": "second"}, "the new certificate")
        put(ca, tree.other.pem)
        wait_until(lambda: ask(weir, "/up").status == 503, "the new CA")
        put(ca, tree.root.key)  # nonsense: the one before stays
        weir.wait_log("cluster up")
        put(ca, tree.root.pem)
        wait_until(lambda: ask(weir, "/up").status == 200, "the CA of before")


def test_s_server(tree, tmp_path, start):
    """OpenSSL's own server, in every version and kind of key that it offers."""
    rsa = tmp_path / "rsa"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{rsa}.key", "-out", f"{rsa}.pem", "-subj", "/CN=rsa",
            "-addext", "subjectAltName=DNS:rsa.test")
    rows = [("tls12", ["-tls1_2"], tree.server.pem, tree.server.key, {}, "TLSv1.2"),
            ("tls13", ["-tls1_3"], tree.server.pem, tree.server.key, {"tls_maximum_protocol_version": "TLSv1_3"}, "TLSv1.3"),
            ("rsa", ["-tls1_2"], f"{rsa}.pem", f"{rsa}.key", {}, "TLSv1.2"),
            ("old", ["-tls1_3"], tree.server.pem, tree.server.key, {}, None)]
    processes, clusters, holders = [], [], []
    try:
        for name, arguments, pem, key, params, _ in rows:
            holder, port = refused_port()
            holders.append(holder)
            processes.append(subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", pem, "-key", key,
                                               "-www", "-quiet", *arguments], stdin=subprocess.PIPE,
                                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            clusters.append(secure(port, {"trusted_ca": file(pem if name == "rsa" else tree.root.pem)}, name=name,
                                   common={"tls_params": params} if params else {}))
        weir = start(many(clusters))
        for name, _, _, _, _, version in rows:
            if version:
                wait_until(lambda: ask(weir, "/" + name).status == 200, name)
                stats = weir.stats(f"{name}.ssl.versions")
                assert stats[f"cluster.{name}.ssl.versions.{version}"] >= 1
        # Nothing said whether that server is up: until then the connection is refused.
        wait_until(lambda: ask(weir, "/old").status == 503 and re.search("LOG /old .*TLS_error.*VERSION", weir.log()), "old")
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for holder in holders:
            holder.close()


def test_the_configuration_of_the_page(tree, start):
    text = block("tls-upstream.md").replace("/etc/weir/tls", str(tree.pki.directory))
    with TlsServer(tree.server, client_ca=tree.root, alpn=["http/1.1"]) as server:
        weir = start(with_ports(text, {8443: server.port}))
        answer = seen(weir, host="a.example.com")
        assert (answer["sni"], answer["alpn"], answer["client"]) == ("a.example.com", "http/1.1", {"commonName": "client"})
        assert ask(weir, host="a.example.org").status == 503
