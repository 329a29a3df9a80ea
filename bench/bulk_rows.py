# SPDX-License-Identifier: Apache-2.0
"""The rows of large bodies over HTTP/1, with HTTP or as bare TCP between client and upstream. One upstream serves a file, another one
reads uploads to their end."""

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
        with peers.Nginx(self.directory, self.client_cpus, root=self.directory) as files, \
                peers.Reader(self.directory, self.client_cpus) as reader:
            for title, upstream, load in (("1 MiB answers", files, loader("/body")),
                                          ("1 MiB requests", reader, loader(body_bytes=BODY_BYTES))):
                http = envoy_config.bootstrap(upstream.port)
                self.compare(f"{title}, HTTP/1", {"weir": self.weir(http), **self.others(http, upstream.port)}, connections=4, load=load)
                bare = tcp(envoy_config.bootstrap(upstream.port))
                makers = {"weir": self.weir(bare), **self.others(bare, upstream.port)}
                makers.pop("nginx")  # its stream module is a package of its own
                makers["haproxy"] = lambda: peers.Haproxy(self.directory, self.server_cpus, upstream.port, mode="tcp")
                self.compare(f"{title}, TCP", makers, connections=4, load=load)
