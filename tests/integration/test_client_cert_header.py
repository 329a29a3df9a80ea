# SPDX-License-Identifier: Apache-2.0
"""x-forwarded-client-cert: what the next hop gets, in every mode and with every detail, beside real Envoy."""

import re
import ssl
import urllib.parse

import pytest

from support import envoy, tls
from support.config import bootstrap, direct, hcm
from support.pki import Pki

MODES = ["SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"]
ALL = {"subject": True, "cert": True, "chain": True, "dns": True, "uri": True}
SENT = ["", "x-forwarded-client-cert: By=me;Hash=0\r\n", "x-forwarded-client-cert: a\r\nx-forwarded-client-cert: b\r\n"]


class Clients:
    def __init__(self, directory):
        pki = Pki(directory)
        self.root = pki.make("root", ca=True)
        middle = pki.make("middle", self.root, ca=True)
        self.server = pki.make("server", self.root, sans="URI:spiffe://s/one,URI:spiffe://s/two,DNS:srv.test")
        self.unnamed = pki.make("unnamed", self.root, sans="DNS:srv.test")
        self.by_name = {
            None: None,
            "full": pki.make("full", middle, sans="URI:spiffe://c/one;a=b,URI:spiffe://c/two,DNS:a.test,DNS:b.test,email:e@x",
                             subject='/C=DE/O=Acme, "Inc"; a=b/OU=x+y/CN=cli\\\\ent'),
            "utf8": pki.make("utf8", self.root, sans="DNS:a.test", subject="/C=DE/O=Ünï/CN=utf8"),
            "bare": pki.make("bare", self.root),
        }


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    return Clients(tmp_path_factory.mktemp("clients"))


def front(clients, name, mode, details, server):
    """Answers with the header as the next hop would get it."""
    manager = hcm([direct()], forward_client_cert_details=mode, **(
        {"set_current_client_cert_details": details} if details else {}))
    manager["route_config"]["response_headers_to_add"] = [
        {"header": {"key": "x-seen", "value": "%REQ(x-forwarded-client-cert)%"}}]
    socket_config = tls.downstream(server.tls_certificate, common={
        "validation_context": {"trusted_ca": {"filename": str(clients.root.pem)}}})
    return tls.secured(socket_config, manager, name=name)


def listeners(clients):
    made = {f"{mode}-{'all' if details else 'none'}": (mode, details, clients.server)
            for mode in MODES for details in (None, ALL)}
    made["no-uri"] = ("SANITIZE_SET", {"subject": True, "dns": True}, clients.unnamed)
    return made


def ask(port, client, sent):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client:
        context.load_cert_chain(client.pem, client.key)
    with tls.connect(port, context) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nhost: a\r\n{sent}connection: close\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\ndirect"):  # not to the end: Envoy takes a second to close
            more = connection.recv(65536)
            assert more, answer
            answer += more
    assert answer.startswith(b"HTTP/1.1 200"), answer
    found = re.search(rb"^x-seen: ?(.*)\r$", answer, re.M)
    return found and found[1].decode()


def everything(running, clients):
    return {(name, who, sent): ask(running.listener_port(name), client, sent)
            for name, (_, details, _) in listeners(clients).items() for who, client in clients.by_name.items()
            for sent in (SENT[:1] if details else SENT)}


def configuration(clients):
    return bootstrap(*[front(clients, name, *one) for name, one in listeners(clients).items()])


@pytest.mark.tsan
def test_every_mode(clients, start):
    got = everything(start(configuration(clients)), clients)
    own = "By=spiffe://s/one;By=spiffe://s/two;Hash=" + clients.by_name["full"].hash
    for mode in MODES:
        for who in clients.by_name:
            nothing, one, two = (got[f"{mode}-none", who, sent] for sent in SENT)
            kept = mode == "ALWAYS_FORWARD_ONLY" or (mode == "FORWARD_ONLY" and who)
            if kept:
                assert (nothing, one, two.replace(", ", ",")) == (None, "By=me;Hash=0", "a,b"), (mode, who)
            elif who is None or mode == "SANITIZE":
                assert (nothing, one, two) == (None, None, None), (mode, who)
    assert [got["SANITIZE_SET-none", "full", sent] for sent in SENT] == [own] * 3
    assert [got["APPEND_FORWARD-none", "full", sent] for sent in SENT] == [own, "By=me;Hash=0," + own, "a,b," + own]
    full = got["SANITIZE_SET-all", "full", ""]
    client = clients.by_name["full"]
    parts = re.fullmatch(re.escape(own) + r';Cert="([^"]*)";Chain="([^"]*)";(.*)', full)
    assert urllib.parse.unquote(parts[1]) == client.alone.read_text()
    assert urllib.parse.unquote(parts[2]) == client.pem.read_text()
    assert parts[3].endswith(";URI=spiffe://c/one;a=b;URI=spiffe://c/two;DNS=a.test;DNS=b.test")
    assert r'O=Acme\, \"Inc\"\; a=b,C=DE"' in parts[3]
    assert got["SANITIZE_SET-all", "bare", ""].endswith(';Subject="CN=bare";URI=')
    assert got["no-uri", "utf8", ""] == f"Hash={clients.by_name['utf8'].hash};" + \
        r'Subject="CN=utf8,O=\C3\9Cn\C3\AF,C=DE";DNS=a.test'


def test_beside_envoy(clients, start, tmp_path):
    envoy.binary()
    with envoy.Envoy(tmp_path / "envoy", configuration(clients)) as running:
        theirs = everything(running, clients)
    ours = everything(start(configuration(clients)), clients)
    for case in theirs:
        assert ours[case] == theirs[case], case
