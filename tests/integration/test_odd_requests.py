# SPDX-License-Identifier: Apache-2.0
#
# More than 300 odd HTTP/1 requests (support/odd.py), each followed by a good one on the same connection, in real Envoy and in
# Weir: the answers, where the connection ends, and what the upstream got must be equal. Known differences stand in REASONS, as
# in docs/compatibility.md, and the test fails when one is gone.

import re
import socket

import pytest

from support import envoy, odd
from support.config import simple
from support.process import Weir
from support.upstream import Upstream, respond

CORPUS = odd.corpus()
REASONS = {
    "any token is a method (RFC 9110 9.1); Envoy knows a list": [
        "method get", "method FOO", "method G", "method M-SEARCH", "method XXXXXXXXXXXX", "method XXXXXXXXXXXX+",
        "method PRI"],
    "a line ends with CR LF, and a CR stands nowhere else (RFC 9112 2.2)": [
        "lf only", "lf after the start line", "lf after a header", "lf at the end", "cr in the start line", "cr cr lf",
        "cr in a value", "an lf first", "many empty lines first", "a cr first", "a coding behind a bare lf",
        "a coding behind a bare cr", "last chunk ended by lf", "trailer ended by lf"],
    "one space between the parts of a start line (RFC 9112 3)": [
        "version HTTP/1.1 ", "two spaces", "two spaces before the version", "tabs"],
    "folded lines are refused (RFC 9112 5.2)": [
        "only spaces", "a fold", "a fold by tab", "a fold in host", "an empty fold", "a length with a fold",
        "a coding with a fold"],
    "exactly one host, and it is one (RFC 9112 3.2)": [
        "target http://user@test/", "host test:x", "host test:99999", "host user@test", "host ::1", "two hosts",
        "two different hosts", "absolute without host"],
    "versions that are not 1.0 or 1.1 are refused as such": [
        "version HTTP/1.2", "version HTTP/1.9", "version HTTP/2.0", "version HTTP/0.9", "no version"],
    "the text of the answer": [
        "connect", "version HTTP/1.0", "no host", "no host in 1.0", "a coding in 1.0"],
    "chunks are as RFC 9112 7.1 says, to the byte, and extensions have a limit": [
        "chunk size 00000000000000000000", "chunk size 5 ", "chunk size 5\\t", "chunk size 5 ;a=b",
        "chunk size 5;a=\"\\r\\n\"", "chunk size 5;\\x00", "chunk size 5;xxxxxxxxxxxxxxxxxx",
        "chunk size 5;xxxxxxxxxxxxxxxxxx+", "chunk data ended by lf", "chunk longer than said", "chunk shorter than said"],
    "twenty digits are enough for a length": [
        "length 0000000000000000000000005"],
    "what follows an empty body is a request with a strange method": [
        "length 0", "no length"],
    "a query can follow the authority (RFC 9112 3.2.2)": [
        "target http://test?a"],
    "connection options that name what a message needs are ignored": [
        "connection host", "connection names the length"],
    "an upgrade that is not configured is ignored, with a body too": [
        "upgrade with a body"],
}
DIFFERENT = {name for names in REASONS.values() for name in names}
QUIETS_S = 1.0, 15.0  # only what neither answers nor ends takes so long; a surprise gets more time


def upstream_handler(connection):
    while (asked := connection.read_request()) is not None:
        volatile = ("x-request-id", "x-envoy-upstream-service-time")
        if not asked.body:  # Weir knows that nothing comes when the connection to the upstream had to be made first
            volatile += ("content-length", "transfer-encoding")
        fields = sorted(f"{k}: {v[:40]} {len(v)}" for k, v in asked.headers if k not in volatile)
        fields += sorted(f"trailer {k}: {v}" for k, v in asked.trailers)
        respond(connection, body="\n".join([asked.start[:200], *fields, ""]).encode("latin-1") + b"\n" + asked.body)


@pytest.fixture(scope="module")
def proxies(tmp_path_factory):
    with Upstream(upstream_handler) as upstream:
        config = simple(upstream.port)
        with envoy.Envoy(tmp_path_factory.mktemp("envoy"), config) as theirs, Weir(tmp_path_factory.mktemp("weir"), config) as ours:
            yield theirs.port, ours.port


def take(received, head_first):
    """Whole answers at the front: [status, body lines], and whether one of them says that it is the last."""
    found, last = [], False
    while (at := received.find(b"\r\n\r\n")) >= 0 and not last:
        head, rest = received[:at + 2].lower(), received[at + 4:]
        length = re.search(rb"\r\ncontent-length: (\d+)\r", head)
        count = int(length[1]) if length and not (head_first and not found) else 0
        if len(rest) < count:
            break
        found.append([int(head.split(b" ")[1]), rest[:count].decode("latin-1").split("\n")])
        last = b"\r\nconnection: close\r" in head
        received = rest[count:]
    return found, last


def answers(port, data, quiet_s):
    """What a client gets for `data` and the request behind it, and how it ends. Envoy closes after a second, Weir at once:
    an answer that says so is the end."""
    received, found, last = b"", [], False
    with socket.create_connection(("127.0.0.1", port), timeout=quiet_s) as s:
        try:
            s.sendall(data + odd.SENTINEL)
            while not last and (more := s.recv(65536)):
                received += more
                found, last = take(received, data.startswith(b"HEAD"))
        except TimeoutError:
            return [*found, "waits"]
        except (BrokenPipeError, ConnectionResetError):
            pass
    return [*found, "closed"]


@pytest.mark.parametrize("name", CORPUS)
def test_same(proxies, name):
    for quiet_s in QUIETS_S:
        theirs, ours = (answers(port, CORPUS[name], quiet_s) for port in proxies)
        if (theirs != ours) == (name in DIFFERENT):
            break
    if name in DIFFERENT:
        assert theirs != ours, "no difference any more, take it out of REASONS"
    else:
        assert theirs == ours


def test_the_corpus():
    assert len(CORPUS) >= 300 and set(DIFFERENT) <= set(CORPUS)
