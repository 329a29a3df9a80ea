# SPDX-License-Identifier: Apache-2.0
"""The row of ten thousand idle connections: what each keeps in memory after one request, over HTTP/1, HTTP/2 and TLS. It
measures resident memory only, never time."""

import resource
import socket
import ssl

import envoy_config
import measure
import peers
import tls

CONNECTIONS = 10_000
FIRST = 50  # what is allocated once is allocated by these
SPARE_DESCRIPTORS = 300  # of the peer and of this process beside the connections
HTTP1 = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n"
SETTINGS_ACK = b"\0\0\0\x04\x01\0\0\0\0"
FIELDS = b"\x82\x86\x84\x41\x05bench"  # GET http / bench, RFC 7541 appendix A
HTTP2 = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0" +
         len(FIELDS).to_bytes(3, "big") + b"\x01\x05" + (1).to_bytes(4, "big") + FIELDS)
END_STREAM, DATA, HEADERS, SETTINGS, ACK = 1, 0, 1, 4, 1


def exactly(connection, count):
    out = b""
    while len(out) < count:
        part = connection.recv(count - len(out))
        if not part:
            raise RuntimeError("the peer closed the connection")
        out += part
    return out


def ask_http1(connection):
    connection.sendall(HTTP1)
    if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
        raise RuntimeError("no answer")


def ask_http2(connection):
    connection.sendall(HTTP2)
    ended = False
    settled = False
    while not (ended and settled):
        head = exactly(connection, 9)
        exactly(connection, int.from_bytes(head[:3], "big"))
        kind, flags = head[3], head[4]
        if kind == SETTINGS and not flags & ACK:
            connection.sendall(SETTINGS_ACK)
            settled = True
        ended = ended or (kind in (DATA, HEADERS) and flags & END_STREAM)


def affordable(each=1):
    """How many connections of so many descriptors the limit allows, which the peers inherit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return CONNECTIONS if hard == resource.RLIM_INFINITY else min(CONNECTIONS, (hard - SPARE_DESCRIPTORS) // each)


def bytes_each(peer, port, ask, count, context=None):
    """Growth of resident memory per connection that has had one request and stays open."""
    held = []

    def open_some(number):
        for _ in range(number):
            connection = socket.create_connection(("127.0.0.1", port), timeout=20)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context:
                connection = context.wrap_socket(connection, server_hostname="bench")
            held.append(connection)
            ask(connection)

    try:
        open_some(FIRST)
        before = measure.rss_kib(peer.pid)
        open_some(count - FIRST)
        return (measure.rss_kib(peer.pid) - before) * 1024 / (count - FIRST)
    finally:
        for connection in held:
            connection.close()


class Rows:
    """Mixed into Bench."""

    def idle_makers(self, secured):
        chain, key, both = tls.certificate(self.directory)
        config = envoy_config.bootstrap()
        config = tls.secured(config, chain, key) if secured else config
        directory, cpus, room = self.directory, self.server_cpus, CONNECTIONS + SPARE_DESCRIPTORS
        makers = {"weir": self.weir(config, ready="connect")}
        if self.envoy:
            makers["envoy"] = lambda: peers.Envoy(directory, cpus, config, ready="connect")
        makers["nginx"] = lambda: peers.Nginx(directory, cpus, http2=True, tls=(chain, key), connections=room)
        # It sets a second descriptor aside for each connection.
        makers["haproxy"] = lambda: peers.Haproxy(directory, cpus, tls=both, connections=affordable(2))
        return makers

    def idle(self):
        count = affordable()
        if count < CONNECTIONS:
            print(f"\nidle connections: {count} instead of {CONNECTIONS}, the limit of descriptors (ulimit -Hn) allows no more")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        rows = {}
        for kind, ask, secured in (("HTTP/1", ask_http1, False), ("HTTP/2", ask_http2, False), ("TLS", ask_http1, True)):
            for name, make in self.idle_makers(secured).items():
                if kind == "HTTP/2" and name == "haproxy":
                    continue  # speaks it in clear text only where HTTP/1 is not spoken
                with make() as peer:
                    port = {"HTTP/2": getattr(peer, "h2_port", None), "TLS": getattr(peer, "tls_port", None)}.get(kind)
                    number = min(count, affordable(2) - FIRST) if name == "haproxy" else count
                    each = bytes_each(peer, port or peer.port, ask, number, context if secured else None)
                rows[f"{kind}, {name}"] = each / 1024
        self.results["idle connections"] = {"connections": count, **rows}
        print(f"\n{count} idle connections after one request, KiB resident each")
        for name, value in rows.items():
            print(f"  {name:<32}{value:>8.1f}")
