# SPDX-License-Identifier: Apache-2.0
"""Secrets in files (SDS by path_config_source): validation contexts, alone and combined, and session ticket keys, on both
sides; replaced while the proxy serves."""

import base64
import json
import ssl

import pytest

from support import http1, tls
from support.config import ANY, bootstrap, cluster, hcm, http_options, listener, route
from support.pki import Pki
from support.process import validate, wait_until
from support.tls_server import TlsServer

SECRET = ANY + "envoy.extensions.transport_sockets.tls.v3.Secret"
REQUEST = b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n"


def secret_config(path, name):
    return {"name": name, "sds_config": {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}}


def write(path, **secrets):
    """One file with these secrets, by a rename."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"resources": [{"@type": SECRET, "name": name, **value} for name, value in secrets.items()]}))
    fresh.rename(path)


def roots(*authorities, **fields):
    return {"validation_context": {"trusted_ca": {"inline_string": "".join(a.alone.read_text() for a in authorities)}, **fields}}


def keys(*fills):
    return {"session_ticket_keys": {"keys": [{"inline_bytes": base64.b64encode(bytes([fill]) * 80).decode()}
                                             for fill in fills]}}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    pki = Pki(tmp_path_factory.mktemp("pki"))
    pki.first, pki.second = pki.make("first", ca=True), pki.make("second", ca=True)
    pki.web = pki.make("web", pki.first, sans="DNS:a.example")
    pki.old = pki.make("old", pki.first, sans="URI:spiffe://mesh/a")
    pki.new = pki.make("new", pki.second, sans="URI:spiffe://mesh/b")
    pki.stranger = pki.make("stranger", pki.second, sans="URI:spiffe://else/b")
    return pki


class Front:
    """A proxy with a listener per way to say who is trusted, and a cluster."""

    def __init__(self, start, tree, directory, server_port):
        self.files = {name: directory / f"{name}.json" for name in ("clients", "keys", "servers")}
        write(self.files["clients"], trusted=roots(tree.first))
        write(self.files["keys"], tickets=keys(1))
        write(self.files["servers"], trusted=roots(tree.first))
        spiffe = {"match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"prefix": "spiffe://mesh/"}}]}
        combined = {"combined_validation_context": {
            "default_validation_context": spiffe,
            "validation_context_sds_secret_config": secret_config(self.files["clients"], "trusted")}}
        alone = {"validation_context_sds_secret_config": secret_config(self.files["clients"], "trusted")}
        tickets = {"session_ticket_keys_sds_secret_config": secret_config(self.files["keys"], "tickets")}
        listeners = []
        for name, common, fields in (("alone", alone, {"require_client_certificate": True}),
                                     ("combined", combined, {"require_client_certificate": True}), ("tickets", {}, tickets)):
            socket = tls.downstream(tree.web.tls_certificate, common=common, **fields)
            listeners.append({**tls.secured(socket), "name": name, "stat_prefix": name})
        upstream = tls.upstream({"combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "a.example"}}]},
            "validation_context_sds_secret_config": secret_config(self.files["servers"], "trusted")}}, sni="a.example")
        listeners.append(listener(hcm([route()]), name="front"))
        self.weir = start(bootstrap(*listeners, clusters=[cluster(
            server_port, transport_socket=upstream, **http_options(explicit_http_config={"http_protocol_options": {}},
                                                                   common_http_protocol_options={"max_requests_per_connection": 1}))]))

    def served(self, name, certificate):
        pair = tls.Pair(certificate.pem, certificate.key)
        try:
            with tls.connect(self.weir.listener_port(name), tls.context(pair=pair)) as connection:
                return tls.get(connection)[1] == b"over tls"
        except (ssl.SSLError, ConnectionError, EOFError):
            return False


@pytest.fixture
def front(start, tree, tmp_path):
    with TlsServer(tree.web) as server:
        yield Front(start, tree, tmp_path, server.port)


def test_who_is_trusted(front, tree):
    weir, file = front.weir, front.files["clients"]
    everybody = (tree.old, tree.new, tree.stranger)

    def served(name):
        return [front.served(name, one) for one in everybody]
    assert served("alone") == served("combined") == [True, False, False]
    write(file, trusted=roots(tree.second), other=roots(tree.first))
    wait_until(lambda: served("alone") == [False, True, True], "the second authority")
    wait_until(lambda: served("combined") == [False, True, False], "the second authority, and the names of the context")
    file.write_text("{")
    weir.wait_log("listener combined: validation_context_sds_secret_config: .*clients.json.*; those in use stay")
    write(file, another=roots(tree.first))
    weir.wait_log('listener alone: validation_context_sds_secret_config: .*it has no validation_context of that name; those in use')
    write(file, trusted={"validation_context": {"trusted_ca": {"filename": "/nonexistent"}}})
    weir.wait_log("listener alone: trusted_ca: cannot read \"/nonexistent\".*; those in use stay")
    assert served("alone") == [False, True, True]
    write(file, trusted=roots(tree.first, tree.second, verify_certificate_hash=[tree.old.hash]))
    wait_until(lambda: served("alone") == [True, False, False], "a hash")


def test_which_servers_are_trusted(front, tree):
    weir, file = front.weir, front.files["servers"]

    def status():
        return http1.request(weir.port, "GET", "/").status
    assert status() == 200
    write(file, trusted=roots(tree.second))
    wait_until(lambda: status() == 503, "another authority")
    write(file, trusted=roots(tree.second, tree.first))
    wait_until(lambda: status() == 200, "both")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_ticket_keys(front, tmp_path, version):
    weir, session = front.weir, tmp_path / "session"
    port = weir.listener_port("tickets")

    def talk(*arguments):
        done = tls.openssl("s_client", "-connect", f"127.0.0.1:{port}", version, "-ign_eof", *arguments, input=REQUEST, check=False)
        out = done.stdout.decode(errors="replace")
        assert "over tls" in out, out
        return "Reused, " in out

    def replaced(*fills):
        before = weir.stats("tickets.*context_reloaded").get("listener.tickets.ssl.context_reloaded", 0)
        write(front.files["keys"], tickets=keys(*fills))
        weir.wait_stat("listener.tickets.ssl.context_reloaded", before + 1)
    assert not talk("-sess_out", session)
    assert talk("-sess_in", session)
    replaced(2, 1)
    assert talk("-sess_in", session), "the older key still opens"
    replaced(2)
    assert not talk("-sess_in", session), "it is gone"
    assert not talk("-sess_out", session) and talk("-sess_in", session)
    write(front.files["keys"], tickets={"session_ticket_keys": {"keys": [{"inline_string": "short"}]}})
    weir.wait_log("listener tickets: session_ticket_keys: a session ticket key has 80 bytes; those in use stay")
    assert talk("-sess_in", session)


def test_wrong_files(tree, tmp_path):
    """Each is an error with a place, before anything serves."""
    file = tmp_path / "sds.json"
    write(file, keys=keys(*range(17)), trusted={"validation_context": {"match_typed_subject_alt_names": [
        {"san_type": "DNS", "matcher": {"exact": "a"}}]}}, bad={"validation_context": {"verify_certificate_hash": ["x" * 64]}})
    web = tree.web.tls_certificate
    place = "transport_socket.typed_config.common_tls_context"
    for socket, words in (
            (tls.downstream(web, common={"validation_context_sds_secret_config": secret_config(tmp_path / "none", "a")}),
             f"{place}.validation_context_sds_secret_config.sds_config: cannot read"),
            (tls.downstream(web, common={"validation_context_sds_secret_config": secret_config(file, "trusted")}),
             "match_typed_subject_alt_names: needs a trusted_ca"),
            (tls.downstream(web, common={"validation_context_sds_secret_config": secret_config(file, "bad")}),
             "verify_certificate_hash[0]: is no SHA-256"),
            (tls.downstream(web, session_ticket_keys_sds_secret_config=secret_config(file, "keys")), "it needs 1 to 16 keys"),
            (tls.downstream(web, session_ticket_keys_sds_secret_config=secret_config(file, "trusted")),
             "it has no session_ticket_keys of that name")):
        done = validate(tmp_path, tls.config(socket))
        assert done.returncode == 1 and words in done.stderr, (words, done.stderr)
