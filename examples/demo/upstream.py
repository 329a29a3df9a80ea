#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo's upstream: answers every request with the request it got. Loopback only: it shows what it is sent.

Usage: upstream.py PORT
"""

import http.server
import signal
import sys


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        lines = [f"{self.command} {self.path}", *(f"{k}: {v}" for k, v in self.headers.items()), ""]
        body = "\n".join(lines).encode() + self.rfile.read(length) + b"\n"
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_) -> None:
        """Weir's own log is what the demo shows."""


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Ctrl-C goes to the whole group; the demo's script decides the order of stopping.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()


if __name__ == "__main__":
    main()
