# SPDX-License-Identifier: Apache-2.0
"""A client that opens a connection per request, for some seconds: in clear text, or by TLS with a full handshake each time or
with the session of the connection before. Prints how many requests were answered and how many sessions were resumed. Runs as a
process of its own."""

import socket
import ssl
import sys
import time

REQUEST = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n"


def ask(connection):
    connection.sendall(REQUEST)
    answer = connection.recv(4096)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"no answer: {answer!r}")


def main(port, seconds, mode):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_ciphers("DEFAULT")
    end = time.monotonic() + seconds
    requests = resumed = 0
    session = None
    while time.monotonic() < end:
        with socket.create_connection(("127.0.0.1", port), 10) as raw:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if mode == "clear":
                ask(raw)
            else:
                with context.wrap_socket(raw, server_hostname="bench", session=session if mode == "resume" else None,
                                         suppress_ragged_eofs=True) as connection:
                    ask(connection)
                    resumed += bool(connection.session_reused)
                    session = connection.session
        requests += 1
    print(requests, resumed)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
