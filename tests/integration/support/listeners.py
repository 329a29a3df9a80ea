# SPDX-License-Identifier: Apache-2.0
"""Listeners with listener filters and several chains, and the first bytes of TLS connections."""

import ssl

from .config import ANY, address, bootstrap, cluster
from .tcp import tcp_proxy

FILTERS = ANY + "envoy.extensions.filters.listener."


def listener_filter(name, kind, **fields):
    return {"name": f"envoy.filters.listener.{name}", "typed_config": {"@type": FILTERS + kind, **fields}}


def tls_inspector(**fields):
    return listener_filter("tls_inspector", "tls_inspector.v3.TlsInspector", **fields)


def http_inspector():
    return listener_filter("http_inspector", "http_inspector.v3.HttpInspector")


def proxy_protocol(**fields):
    return listener_filter("proxy_protocol", "proxy_protocol.v3.ProxyProtocol", **fields)


def chain(name, to=None, **match):
    """A chain named NAME to the cluster of that name."""
    return {"name": name, "filter_chain_match": match, "filters": [tcp_proxy(to or name, stat_prefix=name)]}


def front(chains, filters=(), default=None, **fields):
    extra = {"default_filter_chain": default} if default else {}
    return {"name": "front", "address": address(), "listener_filters": list(filters), "filter_chains": chains,
            **extra, **fields}


def named_clusters(port, *names):
    return [cluster(port, name=name) for name in names]


def client_hello(server_name=None, alpn=()):
    """What a TLS client sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=server_name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("a handshake with nobody")


def config(listener, port, *names):
    return bootstrap(listener, clusters=named_clusters(port, *names))
