# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 frames by hand: for what no well-behaved client would send. Field sections are literals without Huffman."""

import dataclasses
import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, ENHANCE_YOUR_CALM = 0, 1, 11


@dataclasses.dataclass
class Frame:
    type: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self):
        """The error code of RST_STREAM and GOAWAY."""
        return struct.unpack(">I", self.payload[:4] if self.type == RST_STREAM else self.payload[4:8])[0]


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _integer(value, prefix):
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes([value])
    out, value = bytearray([limit]), value - limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def fields(*pairs):
    out = b""
    for name, value in pairs:
        name, value = name.encode("latin-1"), value.encode("latin-1")
        out += b"\x00" + _integer(len(name), 7) + name + _integer(len(value), 7) + value
    return out


def request(path="/", method="GET", *more):
    return fields((":method", method), (":scheme", "http"), (":path", path), (":authority", "test"), *more)


class Client:
    def __init__(self, port, deadline_s=60, settings=b"", receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(deadline_s)
        self.socket.connect(("127.0.0.1", port))
        self.buffer = b""
        self.next_stream = 1
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def send(self, data):
        self.socket.sendall(data)

    def try_send(self, data):
        """False once the peer has closed."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def open(self, block=None, end=True):
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block or request()))
        return stream

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return bool(data)

    def read(self):
        """The next frame, or None at the end of the connection."""
        while len(self.buffer) < 9:
            if not self._more():
                return None
        length = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
        while len(self.buffer) < 9 + length:
            if not self._more():
                return None
        payload, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
        if kind == SETTINGS and not flags & ACK:
            self.try_send(frame(SETTINGS, ACK))
        return Frame(kind, flags, stream, payload)

    def read_until(self, wanted):
        """Frames up to and with the first one for which wanted(frame) holds; None stands for the end."""
        frames = []
        while True:
            one = self.read()
            frames.append(one)
            if one is None or wanted(one):
                return frames

    def answer(self, stream):
        """The body of the answer on that stream."""
        frames = self.read_until(lambda f: f.stream == stream and (f.type == RST_STREAM or f.flags & END_STREAM))
        assert frames[-1] is not None, frames
        assert frames[-1].type != RST_STREAM, frames
        return b"".join(f.payload for f in frames if f.type == DATA and f.stream == stream)

    def closed_within(self, seconds):
        """Reads and drops until the peer closes; the last GOAWAY, or True without one."""
        self.socket.settimeout(seconds)
        last, until = True, time.monotonic() + seconds
        while (one := self.read()) is not None:
            if one.type == GOAWAY:
                last = one
            assert time.monotonic() < until, "the connection is still open"
        return last

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
