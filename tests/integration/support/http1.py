# SPDX-License-Identifier: Apache-2.0
"""Raw HTTP/1: bytes to a socket, and responses parsed strictly enough to notice a proxy's mistakes."""

import dataclasses
import socket

TIMEOUT_S = 60.0


@dataclasses.dataclass
class Response:
    status: int
    reason: str
    headers: list
    body: bytes
    trailers: list
    informational: list  # statuses of 1xx before it
    raw_head: bytes

    @property
    def text(self):
        return self.body.decode()

    def all(self, name):
        return [v for k, v in self.headers if k.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default


class Closed(Exception):
    """The peer closed before a whole response had come."""


class Client:
    """One connection."""

    def __init__(self, port, timeout=TIMEOUT_S):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()  # grows without a copy of what is there

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def shutdown(self):
        self.socket.shutdown(socket.SHUT_WR)

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed(bytes(self.buffer))
        self.buffer += data

    def read_until(self, mark):
        while mark not in self.buffer:
            self._more()
        return self.read_exactly(self.buffer.index(mark) + len(mark))

    def read_exactly(self, count):
        while len(self.buffer) < count:
            self._more()
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def read_to_end(self):
        try:
            while True:
                self._more()
        except Closed:
            return self.read_exactly(len(self.buffer))

    def closed_by_peer(self):
        """Whether the peer closes without sending anything more."""
        return self.read_to_end() == b""

    @staticmethod
    def _fields(head):
        fields = []
        for line in head.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            assert colon and name == name.strip() and b"\n" not in line and b"\r" not in line, f"bad line {line!r}"
            fields.append((name.decode("latin-1"), value.strip().decode("latin-1")))
        return fields

    def _head(self):
        raw = self.read_until(b"\r\n\r\n")
        start, _, rest = raw[:-4].partition(b"\r\n")
        version, status, reason = start.split(b" ", 2)
        assert version in (b"HTTP/1.1", b"HTTP/1.0"), start
        return raw, int(status), reason.decode(), self._fields(rest) if rest else []

    def _chunked(self):
        body = b""
        while True:
            size = int(self.read_until(b"\r\n")[:-2].split(b";")[0], 16)
            if size == 0:
                break
            body += self.read_exactly(size)
            assert self.read_exactly(2) == b"\r\n"
        trailers = []
        while (line := self.read_until(b"\r\n")) != b"\r\n":
            trailers += self._fields(line[:-2])
        return body, trailers

    def response(self, head=False):
        """The next final response. `head`: it answers a HEAD request."""
        informational = []
        while True:
            raw, status, reason, headers = self._head()
            if status >= 200 or status == 101:
                break
            informational.append(status)
        lower = {k.lower(): v for k, v in headers}
        assert not ("content-length" in lower and "transfer-encoding" in lower), raw
        body, trailers = b"", []
        if head or status in (101, 204, 304):
            pass
        elif lower.get("transfer-encoding", "").lower() == "chunked":
            body, trailers = self._chunked()
        elif "content-length" in lower:
            body = self.read_exactly(int(lower["content-length"]))
        else:
            body = self.read_to_end()
        return Response(status, reason, headers, body, trailers, informational, raw)

    def request(self, method="GET", path="/", headers=(), body=None, host="test"):
        self.send(format_request(method, path, headers, body, host))
        return self.response(head=method == "HEAD")


def format_request(method="GET", path="/", headers=(), body=None, host="test"):
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}"]
    lines += [f"{k}: {v}" for k, v in (headers.items() if isinstance(headers, dict) else headers)]
    body = body.encode() if isinstance(body, str) else body
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def request(port, method="GET", path="/", headers=(), body=None, host="test", timeout=TIMEOUT_S):
    """One request on a connection of its own."""
    with Client(port, timeout) as client:
        return client.request(method, path, headers, body, host)
