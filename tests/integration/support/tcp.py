# SPDX-License-Identifier: Apache-2.0
"""Configurations with the TCP proxy, raw clients, and echo servers."""

import hashlib
import socket
import struct
import threading

from .config import ANY, address, bootstrap, cluster

TCP_PROXY = ANY + "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
STDOUT = ANY + "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
NETWORK_WASM = ANY + "envoy.extensions.filters.network.wasm.v3.Wasm"
SMALL = 64 << 10


def tcp_proxy(cluster_name="upstream", **fields):
    specifier = {"cluster": cluster_name} if "weighted_clusters" not in fields else {}
    return {"name": "envoy.filters.network.tcp_proxy",
            "typed_config": {"@type": TCP_PROXY, "stat_prefix": "front", **specifier, **fields}}


def stdout_log(text):
    return {"name": "log", "typed_config": {
        "@type": STDOUT, "log_format": {"text_format_source": {"inline_string": text + "\n"}}}}


def listener(*filters, name="front", port=0, **fields):
    return {"name": name, "address": address(port), "filter_chains": [{"filters": list(filters)}], **fields}


def simple(upstream_port, *filters, cluster_fields=None, listener_fields=None, **fields):
    return bootstrap(listener(*filters, tcp_proxy(**fields), **(listener_fields or {})),
                     clusters=[cluster(upstream_port, **(cluster_fields or {}))])


def network_wasm(http_filter):
    """The network filter with the plugin of an HTTP filter made by config.wasm()."""
    return {"name": "envoy.filters.network.wasm",
            "typed_config": {"@type": NETWORK_WASM, "config": http_filter["typed_config"]["config"]}}


class Client:
    def __init__(self, port, deadline_s=60, receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(deadline_s)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        self.socket.sendall(data)
        return self

    def end(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError(data)
            data += more
        return data

    def rest(self):
        """Everything until the end; a reset raises ConnectionResetError."""
        data = b""
        while more := self.socket.recv(1 << 16):
            data += more
        return data

    def digest_rest(self):
        seen, count = hashlib.sha256(), 0
        while more := self.socket.recv(1 << 18):
            seen.update(more)
            count += len(more)
        return count, seen.hexdigest()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def echo(connection):
    while data := connection.socket.recv(1 << 16):
        connection.send(data)
    connection.socket.shutdown(socket.SHUT_WR)


def pattern(index, count=1 << 16):
    """A block that differs for each index."""
    unit = struct.pack("<Q", index) * 8
    return unit * (count // len(unit))


def send_in_background(sock, blocks):
    def run():
        try:
            for i in range(blocks):
                sock.sendall(pattern(i))
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def pattern_digest(blocks):
    seen = hashlib.sha256()
    for i in range(blocks):
        seen.update(pattern(i))
    return blocks << 16, seen.hexdigest()
