# SPDX-License-Identifier: Apache-2.0
"""How HTTP/1 writes the names of fields (header_key_format), towards upstreams and clients, beside real Envoy."""

import socket

import pytest

from support.config import ANY, bootstrap, cluster, direct, hcm, http_options, listener, route
from support.envoy import Envoy
from support.process import Weir
from support.upstream import Upstream

PRESERVE = ANY + "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"


def preserve(**fields):
    return {"stateful_formatter": {"name": "preserve_case", "typed_config": {"@type": PRESERVE, **fields}}}


FORMATS = {"none": None, "proper": {"proper_case_words": {}}, "keep": preserve(),
           "keep and proper": preserve(formatter_type_on_envoy_headers="PROPER_CASE"),
           "reason": preserve(forward_reason_phrase=True)}
PAIRS = [("none", "none"), ("proper", "none"), ("none", "proper"), ("proper", "proper"), ("keep", "none"), ("none", "keep"),
         ("keep", "keep"), ("keep", "proper"), ("proper", "keep"), ("keep and proper", "keep and proper"), ("keep", "reason"),
         ("proper", "reason")]
REQUESTS = [
    b"GET /a HTTP/1.1\r\nHoST: h\r\nX-FooBar-baz: 1\r\nx_under: 2\r\nx-3d-x9y: 3\r\nX-Dup: a\r\nX-Dup: b\r\n\r\n",
    b"POST /b HTTP/1.1\r\nhost: h\r\nCONTENT-length: 2\r\nX-ALL-CAPS: 1\r\n\r\nhi",
    b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-ENCODING: chunked\r\nuSER-agent: me\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    b"GET /d HTTP/1.1\r\nHost: h\r\nConnecTION: close\r\n\r\n",
]
ANSWERS = {
    "/a": b"HTTP/1.1 200 Fine Indeed\r\nContent-LENGTH: 2\r\nX-UPSTREAM-name: 1\r\nServer: mine\r\nsEt-cookie: a=b\r\n\r\nok",
    "/b": b"HTTP/1.1 299 Odd\r\ntransfer-ENCODING: chunked\r\nx-low: 1\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "/c": b"HTTP/1.1 204 \r\nX-Nothing: 1\r\n\r\n",
    "/d": b"HTTP/1.1 404 Gone Fishing\r\nContent-Length: 0\r\nConNECTION: close\r\n\r\n",
}


class Recorder(Upstream):
    """Keeps the names of each request as they came."""

    def __init__(self):
        self.names = {}
        super().__init__(self._serve_one)

    def _serve_one(self, connection):
        while (request := connection.read_request()) is not None:
            path = request.start.split()[1]
            self.names[path] = [name for name, _ in request.headers]
            connection.send(ANSWERS[path])
            if path == "/d":
                return


def config(port):
    listeners, clusters = [], []
    for i, (down, up) in enumerate(PAIRS):
        def options(name):
            return {"header_key_format": FORMATS[name]} if FORMATS[name] else {}
        clusters.append(cluster(port, name=f"c{i}", **http_options(explicit_http_config={"http_protocol_options": options(up)})))
        routes = [direct(200, "local", match="/local"), route(cluster=f"c{i}")]
        listeners.append(listener(hcm(routes, http_protocol_options=options(down), stat_prefix=f"l{i}"), name=f"l{i}"))
    return bootstrap(*listeners, clusters=clusters)


def exchange(port, request):
    """The head of the answer: status line and names."""
    with socket.create_connection(("127.0.0.1", port), 30) as s:
        s.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            more = s.recv(65536)
            assert more, data
            data += more
    lines = data.split(b"\r\n\r\n")[0].decode().split("\r\n")
    return lines[0], sorted(line.split(":")[0] for line in lines[1:])


def run_all(proxy, recorder):
    """By pair of formats and request: what the upstream saw, and what the client got."""
    seen = {}
    for i, pair in enumerate(PAIRS):
        port = proxy.listener_port(f"l{i}")
        seen[pair, "local"] = exchange(port, b"GET /local HTTP/1.1\r\nHost: h\r\n\r\n")
        for request in REQUESTS:
            path = request.split()[1].decode()
            answer = exchange(port, request)
            seen[pair, path] = sorted(recorder.names.pop(path)), answer
    return seen


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    recorder = Recorder()
    proxy = Weir(tmp_path_factory.mktemp("weir"), config(recorder.port))
    try:
        yield run_all(proxy, recorder)
    finally:
        proxy.kill()
        recorder.close()


def test_as_in_envoy(weir, tmp_path):
    recorder = Recorder()
    envoy = Envoy(tmp_path, config(recorder.port))
    try:
        wanted = run_all(envoy, recorder)
    finally:
        envoy.kill()
        recorder.close()
    different = {key: (weir[key], wanted[key]) for key in wanted if weir[key] != wanted[key]}
    assert not different, "\n".join(f"{k}\n  weir  {a}\n  envoy {b}" for k, (a, b) in different.items())


def test_proper_case(weir):
    names, answer = weir[("proper", "proper"), "/a"]
    assert {"Host", "X-Foobar-Baz", "X_Under", "X-3d-X9y", "X-Forwarded-Proto", "X-Request-Id"} <= set(names), names
    assert {"X-Upstream-Name", "Content-Length", "Server", "Set-Cookie"} <= set(answer[1]), answer
    assert weir[("proper", "none"), "local"][1] == ["Content-Length", "Content-Type", "Date", "Server"]
    assert "transfer-encoding" in weir[("none", "proper"), "/b"][1][1]
    assert "Transfer-Encoding" in weir[("none", "proper"), "/c"][0]


def test_spelling_is_kept(weir):
    names, answer = weir[("keep", "keep"), "/a"]
    assert {"HoST", "X-FooBar-baz", "x_under", "x-3d-x9y"} <= set(names) and "x-forwarded-proto" in names, names
    assert {"X-UPSTREAM-name", "Content-LENGTH", "sEt-cookie"} <= set(answer[1]), answer
    assert "Transfer-ENCODING" in weir[("keep", "none"), "/c"][0]
    assert weir[("proper", "reason"), "/a"][1][0] == "HTTP/1.1 200 Fine Indeed"
    assert weir[("keep", "keep"), "/a"][1][0] == "HTTP/1.1 200 OK"
