# SPDX-License-Identifier: Apache-2.0
"""A small DNS server on loopback, over UDP and TCP, whose records a test may change while it runs."""

import ipaddress
import socket
import struct
import threading

from .upstream import end_listening, listen_at, same_port

A, AAAA = 1, 28
NXDOMAIN, SERVFAIL = 3, 2


def udp_socket(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


class DnsServer:
    """records: name -> (addresses, ttl). mode: "answer", "servfail", "silent"."""

    def __init__(self):
        self.records = {}
        self.mode = "answer"
        self.questions = []  # (name, type, "udp" or "tcp")
        self._udp, self._tcp = same_port(udp_socket, listen_at)
        self.port = self._udp.getsockname()[1]
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def set(self, name, *addresses, ttl=60):
        self.records = {**self.records, name: (addresses, ttl)}

    def count(self, protocol=None):
        return sum(1 for q in list(self.questions) if protocol in (None, q[2]))

    @property
    def address(self):
        return {"socket_address": {"address": "127.0.0.1", "port_value": self.port}}

    def _answer(self, query, protocol):
        """None: silence."""
        number, = struct.unpack("!H", query[:2])
        at, labels = 12, []
        while (size := query[at]):
            labels.append(query[at + 1:at + 1 + size].decode().lower())
            at += size + 1
        question = query[12:at + 5]
        kind, = struct.unpack("!H", query[at + 1:at + 3])
        name = ".".join(labels)
        self.questions.append((name, kind, protocol))
        if self.mode == "silent":
            return None
        code, answers = 0, []
        if self.mode == "servfail":
            code = SERVFAIL
        elif name not in self.records:
            code = NXDOMAIN
        else:
            addresses, ttl = self.records[name]
            for text in addresses:
                ip = ipaddress.ip_address(text)
                if (ip.version == 4) == (kind == A) and kind in (A, AAAA):
                    answers.append(struct.pack("!HHHIH", 0xC00C, kind, 1, ttl, len(ip.packed)) + ip.packed)
        body = question + b"".join(answers)
        truncated = protocol == "udp" and len(body) > 500
        if truncated:
            body, answers = question, []
        flags = 0x8580 | (0x0200 if truncated else 0) | code
        return struct.pack("!HHHHHH", number, flags, 1, len(answers), 0, 0) + body

    def _serve_udp(self):
        while True:
            try:
                query, peer = self._udp.recvfrom(4096)
                answer = self._answer(query, "udp")
                if answer:
                    self._udp.sendto(answer, peer)
            except OSError:
                return

    def _serve_tcp(self):
        while True:
            try:
                peer, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_stream, args=(peer,), daemon=True).start()

    def _serve_stream(self, peer):
        with peer, peer.makefile("rb") as stream:
            try:
                while len(head := stream.read(2)) == 2:
                    answer = self._answer(stream.read(struct.unpack("!H", head)[0]), "tcp")
                    if answer:
                        peer.sendall(struct.pack("!H", len(answer)) + answer)
            except OSError:
                return

    def close(self):
        self._udp.close()
        end_listening(self._tcp)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
