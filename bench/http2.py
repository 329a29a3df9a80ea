# SPDX-License-Identifier: Apache-2.0
"""The rows that h2load drives: HTTP/2 in clear text, gRPC-shaped calls, large bodies in both directions."""

import re
import shutil
import subprocess

import envoy_config
import measure
import peers

STREAMS = 16
BODY_BYTES = 1 << 20
MESSAGE = b"\0\0\0\0\x20" + b"m" * 32
GRPC = ("-H", "content-type: application/grpc", "-H", "te: trailers")


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


def h2load(port, seconds, connections, cpus, *arguments, streams=STREAMS, path="/"):
    command = ["taskset", "-c", cpus, "h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}",
               *map(str, arguments), f"http://127.0.0.1:{port}{path}"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    total, failed, errored = re.search(r"(\d+) done, \d+ succeeded, (\d+) failed, (\d+) errored", out).groups()
    if int(failed) or int(errored) or not re.search(r"status codes: \d+ 2xx, 0 3xx, 0 4xx, 0 5xx", out):
        raise RuntimeError(f"not every answer was good:\n{out}")
    mean, longest = re.search(r"time for request:\s+\S+\s+(\S+)\s+(\S+)", out).groups()[::-1]
    return {"requests": int(total), "rps": float(re.search(r"([\d.]+) req/s", out)[1]),
            "mean_us": milliseconds(mean), "max_us": milliseconds(longest)}


def loader(*arguments, **options):
    def load(peer, seconds, connections, cpus):
        before = measure.cpu_us(peer.pid)
        port = getattr(peer, "h2_port", None) or peer.port
        figures = h2load(port, seconds, connections, cpus, *arguments, **options)
        figures["cpu_us"] = (measure.cpu_us(peer.pid) - before) / figures["requests"]
        figures["rss_kib"] = measure.rss_kib(peer.pid)
        return figures
    return load


class Rows:
    """Mixed into Bench."""

    def h2_others(self, config, upstream_port=None):
        makers = {}
        if self.envoy:
            makers["envoy"] = lambda: peers.Envoy(self.directory, self.server_cpus, config)
        makers["nginx"] = lambda: peers.Nginx(self.directory, self.server_cpus, upstream_port, http2=True)
        return makers

    def http2(self):
        config = envoy_config.bootstrap()
        self.compare(f"HTTP/2 clear text, {STREAMS} streams a connection, direct response",
                     {"weir": self.weir(config), **self.h2_others(config)}, connections=8, load=loader())
        with peers.Nginx(self.directory, self.client_cpus, text="hello from the upstream") as upstream:
            config = envoy_config.bootstrap(upstream.port)
            self.compare(f"HTTP/2 clear text, {STREAMS} streams a connection, proxied to HTTP/1",
                         {"weir": self.weir(config), **self.h2_others(config, upstream.port)}, connections=8, load=loader())

    def grpc(self):
        """A message of 32 bytes, echoed with trailers by nghttp2's server."""
        if not shutil.which("nghttpd"):
            print("\ngRPC: skipped, nghttpd (Debian: nghttp2-server) is not installed")
            return
        message = self.directory / "message"
        message.write_bytes(MESSAGE)
        with peers.Nghttpd(self.directory, self.client_cpus) as upstream:
            config = envoy_config.bootstrap(upstream.port, http2_upstream=True)
            makers = {"weir": self.weir(config, ready="connect")}
            if self.envoy:
                makers["envoy"] = lambda: peers.Envoy(self.directory, self.server_cpus, config, ready="connect")
            self.compare("gRPC unary, HTTP/2 on both sides", makers, connections=8,
                         load=loader("-d", message, *GRPC, path="/echo/Call"))

    def bodies(self):
        body = self.directory / "body"
        body.write_bytes(b"b" * BODY_BYTES)
        with peers.Nginx(self.directory, self.client_cpus, root=self.directory) as upstream:
            config = envoy_config.bootstrap(upstream.port)
            makers = {"weir": self.weir(config), **self.h2_others(config, upstream.port)}
            self.compare("1 MiB answers, HTTP/2 proxied to HTTP/1", makers, connections=4,
                         load=loader("-w24", "-W24", streams=4, path="/body"))
        with peers.Reader(self.directory, self.client_cpus) as upstream:
            config = envoy_config.bootstrap(upstream.port)
            self.compare("1 MiB requests, HTTP/2 proxied to HTTP/1", {"weir": self.weir(config), **self.h2_others(config, upstream.port)},
                         connections=4, load=loader("-d", body, "-w24", "-W24", streams=4, path="/"))
