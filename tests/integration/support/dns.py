# SPDX-License-Identifier: Apache-2.0
"""A small DNS server on loopback (UDP) whose answers a test changes while it runs."""

import socket
import struct
import threading


class Dns:
    """`answers[name]` is a list of IPv4 addresses, "SERVFAIL", "SILENT" or, when missing, NXDOMAIN."""

    def __init__(self, answers=None, ttl_s=1, address="127.0.0.1"):
        self.answers = dict(answers or {})
        self.ttl_s = ttl_s
        self.questions = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(4096)
            except OSError:
                return
            if query == b"stop":
                return
            self.questions += 1
            answer = self._answer(query)
            if answer:
                self.socket.sendto(answer, client)

    def _answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        question = query[12:at + 5]
        what = self.answers.get(".".join(labels).lower())
        if what == "SILENT":
            return None
        code = 2 if what == "SERVFAIL" else 3 if what is None else 0
        addresses = what if isinstance(what, list) and kind == 1 else []
        records = b"".join(b"\xc0\x0c\x00\x01\x00\x01" + struct.pack(">IH", self.ttl_s, 4) + socket.inet_aton(a)
                           for a in addresses)
        return query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(addresses), 0, 0) + question + records

    def close(self):
        self.socket.sendto(b"stop", self.socket.getsockname())
        self.thread.join()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
