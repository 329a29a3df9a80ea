# SPDX-License-Identifier: Apache-2.0
"""TLS upstreams that say what they saw of the connection, and some that break the handshake."""

import json
import socket
import ssl
import struct
import threading

from .upstream import end_listening


class TlsServer:
    """Answers each request with JSON: sni, alpn, version, resumed, client (subject), and the connection's number."""

    def __init__(self, certificate, client_ca=None, alpn=None, version=None, chain=None):
        self.contexts = []
        self.connections = 0
        self._certificate = (certificate, client_ca, alpn, version, chain)
        self._listen = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listen.getsockname()[1]
        self._context = self._make()
        threading.Thread(target=self._accept, daemon=True).start()

    def _make(self):
        certificate, client_ca, alpn, version, chain = self._certificate
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain or certificate.pem, certificate.key)
        if client_ca:
            context.load_verify_locations(client_ca.alone)
            context.verify_mode = ssl.CERT_REQUIRED
        if alpn:
            context.set_alpn_protocols(alpn)
        if version:
            context.minimum_version = context.maximum_version = version
        context.sni_callback = lambda sock, name, _: setattr(sock, "sni", name)
        return context

    def _accept(self):
        while True:
            try:
                raw, _ = self._listen.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(raw, self.connections), daemon=True).start()

    def _serve(self, raw, number):
        try:
            with self._context.wrap_socket(raw, server_side=True) as sock:
                self._talk(sock, number)
        except OSError:
            pass

    def _talk(self, sock, number):
        peer = sock.getpeercert() if self._context.verify_mode else None
        seen = {"sni": getattr(sock, "sni", None), "alpn": sock.selected_alpn_protocol(), "version": sock.version(),
                "resumed": sock.session_reused, "connection": number,
                "client": peer and dict(pair for rdn in peer["subject"] for pair in rdn)}
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                more = sock.recv(65536)
                if not more:
                    return
                buffer += more
            head, buffer = buffer.split(b"\r\n\r\n", 1)
            body = json.dumps({**seen, "head": head.decode("latin-1")}).encode()
            sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    def close(self):
        end_listening(self._listen)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class RawServer(TlsServer):
    """Not TLS: `act(socket)` plays the server's part."""

    def __init__(self, act):  # pylint: disable=super-init-not-called
        self.connections = 0
        self._act = act
        self._listen = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listen.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _serve(self, raw, number):
        with raw:
            try:
                self._act(raw)
            except OSError:
                pass


def client_hello(raw):
    """Reads one whole record."""
    head = raw.recv(5, socket.MSG_WAITALL)
    return head + raw.recv(struct.unpack("!H", head[3:])[0], socket.MSG_WAITALL)
