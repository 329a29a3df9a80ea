# SPDX-License-Identifier: Apache-2.0
"""The rows about new connections, in clear text and with TLS 1.3: handshakes, resumed handshakes; with TLS also requests on open
connections and large bodies. The same certificate (P-256) everywhere, X25519, and the same cipher: all servers take the client's
first, AES-256-GCM with SHA-384 for OpenSSL's list; for the list of browsers AES-128-GCM with SHA-256 (HAProxy: AES-256 again)."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import envoy_config
import measure
import peers

CLIENT = Path(__file__).with_name("tls_client.py")
BODY_BYTES = 1 << 20
# Python's ssl has no call for the suites of TLS 1.3; OpenSSL takes them from here.
BROWSER_SUITES = """openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = suites
[suites]
Ciphersuites = TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256
"""


def certificate(directory):
    """Paths of a fresh self-signed certificate, its key, and both in one file (HAProxy)."""
    chain, key, both = (directory / f"bench.{end}" for end in ("crt", "key", "pem"))
    if not both.exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                        "-out", chain, "-subj", "/CN=bench", "-days", "30"], check=True, capture_output=True)
        both.write_text(chain.read_text() + key.read_text())
    return chain, key, both


def secured(config, chain, key):
    config = copy.deepcopy(config)
    config["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"] = {"name": "tls", "typed_config": {
        "@type": envoy_config.ANY + "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificates": [{"certificate_chain": {"filename": str(chain)},
                                                     "private_key": {"filename": str(key)}}]}}}
    return config


def connections(mode, settings=None):
    """A load that counts connections with one request each: "clear", "full" or "resume". `settings`: a file for the client's OpenSSL."""
    environment = {**os.environ, "OPENSSL_CONF": str(settings)} if settings else None

    def load(peer, seconds, _, cpus):
        before = measure.cpu_us(peer.pid)
        port = (mode != "clear" and getattr(peer, "tls_port", None)) or peer.port
        out = subprocess.run(["taskset", "-c", cpus, sys.executable, CLIENT, str(port), str(seconds), mode],
                             capture_output=True, text=True, check=True, env=environment).stdout
        requests, resumed = map(int, out.split())
        if resumed < requests - 1 if mode == "resume" else resumed:
            raise RuntimeError(f"{peer.name}: {resumed} of {requests} were resumed")
        cpu = measure.cpu_us(peer.pid) - before
        return {"requests": requests, "rps": requests / seconds, "cpu_us": cpu / requests, "rss_kib": measure.rss_kib(peer.pid)}
    return load


def requests(path="/"):
    def load(peer, seconds, count, cpus):
        before = measure.cpu_us(peer.pid)
        port = getattr(peer, "tls_port", None) or peer.port
        figures = measure.wrk(port, seconds, count, cpus, url=f"https://127.0.0.1:{port}{path}")
        figures["cpu_us"] = (measure.cpu_us(peer.pid) - before) / figures["requests"]
        figures["rss_kib"] = measure.rss_kib(peer.pid)
        return figures
    return load


class Rows:
    """Mixed into Bench."""

    def tls_makers(self, upstream_port=None):
        chain, key, both = certificate(self.directory)
        config = secured(envoy_config.bootstrap(upstream_port), chain, key)
        makers = {"weir": self.weir(config, ready="connect")}
        if self.envoy:
            makers["envoy"] = lambda: peers.Envoy(self.directory, self.server_cpus, config, ready="connect")
        makers["nginx"] = lambda: peers.Nginx(self.directory, self.server_cpus, upstream_port, tls=(chain, key))
        makers["haproxy"] = lambda: peers.Haproxy(self.directory, self.server_cpus, upstream_port, tls=both)
        return makers

    def connects(self):
        config = envoy_config.bootstrap()
        self.compare("HTTP/1.1, a connection and one request", {"weir": self.weir(config), **self.others(config)},
                     load=connections("clear"))

    def tls(self):
        self.compare("TLS 1.3, a full handshake and one request", self.tls_makers(), load=connections("full"))
        settings = self.directory / "browser.cnf"
        settings.write_text(BROWSER_SUITES)
        self.compare("TLS 1.3, the same as browsers ask", self.tls_makers(), load=connections("full", settings))
        self.compare("TLS 1.3, a resumed handshake and one request", self.tls_makers(), load=connections("resume"))
        self.compare("TLS 1.3 keep-alive, direct response", self.tls_makers(), load=requests())
        body = self.directory / "body"
        body.write_bytes(b"b" * BODY_BYTES)
        with peers.Nginx(self.directory, self.client_cpus, root=self.directory) as upstream:
            self.compare("TLS 1.3, 1 MiB answers proxied from clear text", self.tls_makers(upstream.port), connections=4,
                         load=requests("/body"))
