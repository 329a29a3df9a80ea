# SPDX-License-Identifier: Apache-2.0
"""The rows of large bodies over HTTP/1, with HTTP or as bare TCP between client and upstream. The upstream serves a file, and answers
an upload without looking at it."""

import envoy_config
import measure
import peers

BODY_BYTES = 1 << 20


def loader(path="/", body_bytes=0):
    def load(peer, seconds, connections, cpus):
        before = measure.cpu_us(peer.pid)
        figures = measure.wrk(peer.port, seconds, connections, cpus, body_bytes, url=f"http://127.0.0.1:{peer.port}{path}")
        figures["cpu_us"] = (measure.cpu_us(peer.pid) - before) / figures["requests"]
        figures["rss_kib"] = measure.rss_kib(peer.pid)
        return figures
    return load


def tcp(config):
    """The same with tcp_proxy in the place of HTTP."""
    chain = config["static_resources"]["listeners"][0]["filter_chains"][0]
    chain["filters"] = [{"name": "tcp", "typed_config": {
        "@type": envoy_config.ANY + "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "bench", "cluster": "up"}}]
    return config


class Rows:
    """Mixed into Bench."""

    def bulk(self):
        (self.directory / "body").write_bytes(b"b" * BODY_BYTES)
        with peers.Nginx(self.directory, self.client_cpus, root=self.directory) as upstream:
            http = envoy_config.bootstrap(upstream.port)
            bare = tcp(envoy_config.bootstrap(upstream.port))
            makers = {"HTTP/1": {"weir": self.weir(http), **self.others(http, upstream.port)},
                      "TCP": {"weir": self.weir(bare), **self.others(bare, upstream.port)}}
            makers["TCP"].pop("nginx")  # its stream module is a package of its own
            makers["TCP"]["haproxy"] = lambda: peers.Haproxy(self.directory, self.server_cpus, upstream.port, mode="tcp")
            for kind, of in makers.items():
                self.compare(f"1 MiB answers, {kind}", of, connections=4, load=loader("/body"))
                self.compare(f"1 MiB requests, {kind}", of, connections=4, load=loader(body_bytes=BODY_BYTES))
