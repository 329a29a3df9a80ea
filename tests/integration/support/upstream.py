# SPDX-License-Identifier: Apache-2.0
"""Upstreams that do what a test tells them, byte by byte: mocks only for what a real server cannot do on demand."""

import dataclasses
import socket
import struct
import threading


@dataclasses.dataclass
class Request:
    start: str
    headers: list
    body: bytes
    trailers: list

    def all(self, name):
        return [v for k, v in self.headers if k.lower() == name.lower()]

    def get(self, name):
        values = self.all(name)
        return values[0] if values else None


class Connection:
    """One accepted connection, seen from the upstream."""

    def __init__(self, sock):
        self.socket = sock
        self.buffer = bytearray()  # grows without a copy of what is there
        self.goes_on = False

    def send(self, data):
        self.goes_on = False
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(bytes(self.buffer))
        self.buffer += data

    def wait_more(self):
        if not self.buffer:
            self._more()

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

    def read_head(self):
        """Start line and headers of the next request, or None at the end of the connection."""
        try:
            raw = self.read_until(b"\r\n\r\n")
        except EOFError as end:
            assert end.args[0] == b"", f"the proxy sent half a request: {end.args[0]!r}"
            return None
        lines = raw[:-4].decode("latin-1").split("\r\n")
        headers = [tuple(line.split(": ", 1)) if ": " in line else (line.rstrip(":"), "") for line in lines[1:]]
        return Request(lines[0], headers, b"", [])

    def read_body(self, request):
        coding = (request.get("transfer-encoding") or "").lower()
        if coding == "chunked":
            while (size := int(self.read_until(b"\r\n").split(b";")[0], 16)) > 0:
                request.body += self.read_exactly(size)
                assert self.read_exactly(2) == b"\r\n"
            while (line := self.read_until(b"\r\n")) != b"\r\n":
                request.trailers.append(tuple(line[:-2].decode().split(": ", 1)))
        else:
            request.body = self.read_exactly(int(request.get("content-length") or 0))
        return request

    def read_request(self):
        request = self.read_head()
        return request and self.read_body(request)

    def reset(self):
        """Closes with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def respond(connection, status="200 OK", headers=(), body=b""):
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", *(f"{k}: {v}" for k, v in headers), f"content-length: {len(body)}"]
    connection.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
    connection.goes_on = ("connection", "close") not in headers


def echo(connection):
    """Answers each request with what it was: start line, headers, blank line, body."""
    while (request := connection.read_request()) is not None:
        lines = [request.start, *(f"{k}: {v}" for k, v in request.headers), ""]
        lines += [f"trailer {k}: {v}" for k, v in request.trailers]
        respond(connection, body="\n".join(lines).encode("latin-1") + b"\n" + request.body)


class Upstream:
    """Listens on a free port, or the given one, and runs `handler(connection)` in a thread for each connection.

    A handler that returns after respond() is called again for the next request: what it answered promised a connection
    that stays, and the proxy would send the next request into its end. The port is nobody else's after close() either.
    """

    def __init__(self, handler=echo, ip="127.0.0.1", port=0):
        self.handler = handler
        self.connections = 0
        self.errors = []
        self._holder = hold_port(ip, port)
        self.port = self._holder.getsockname()[1]
        self._socket = socket.create_server((ip, self.port), family=self._holder.family)
        self._open = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            connection = Connection(sock)
            self.handler(connection)
            while connection.goes_on:
                connection.wait_more()
                self.handler(connection)
        except (OSError, EOFError):
            pass  # the proxy, or the end of the test, closed it
        except Exception as error:  # shown by close(): a test must not pass over it
            self.errors.append(error)
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()

    def close(self):
        end_listening(self._socket)
        with self._lock:
            for sock in self._open:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        assert not self.errors, self.errors

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            end_listening(self._socket)


def end_listening(sock):
    """A close() alone leaves the thread in accept(), and with it a socket that accepts one connection more."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    sock.close()


def hold_port(ip="127.0.0.1", port=0):
    """A bound socket: while it is open nobody is given its port, refuses who connects, and who names the port may listen there."""
    sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
    try:
        sock.bind((ip, port))
    except OSError:
        sock.close()
        raise
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not before: a port that somebody else holds is not taken
    return sock


def listen_at(port, ip="127.0.0.1"):
    """A listening socket on this very port, unless somebody holds it."""
    sock = hold_port(ip, port)
    sock.listen()
    return sock


def same_port(*makers):
    """What each of `makers(port)` makes, all on one free port; what others hold meanwhile is tried again."""
    while True:
        made = [makers[0](0)]
        port = getattr(made[0], "port", None) or made[0].getsockname()[1]
        try:
            for make in makers[1:]:
                made.append(make(port))
            return made
        except OSError:
            for one in made:
                one.close()


def refused_port():
    """A port on which nobody listens, for as long as the socket is open."""
    sock = hold_port()
    return sock, sock.getsockname()[1]
