# SPDX-License-Identifier: Apache-2.0
"""Envoy bootstraps as Python values."""

import json

from .process import BUILD

ANY = "type.googleapis.com/"
HCM = ANY + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = {"name": "envoy.filters.http.router",
          "typed_config": {"@type": ANY + "envoy.extensions.filters.http.router.v3.Router"}}
WASM = ANY + "envoy.extensions.filters.http.wasm.v3.Wasm"


def address(port=0, ip="127.0.0.1"):
    return {"socket_address": {"address": ip, "port_value": port}}


def route(match="/", cluster="upstream", **action):
    match = {"prefix": match} if isinstance(match, str) else match
    if "direct_response" in action or "redirect" in action:
        return {"match": match, **action}
    return {"match": match, "route": {"cluster": cluster, **action}}


def direct(status=200, text="direct", match="/"):
    return route(match, direct_response={"status": status, "body": {"inline_string": text}})


def hcm(routes=None, filters=(), virtual_hosts=None, **fields):
    virtual_hosts = virtual_hosts or [{"name": "all", "domains": ["*"], "routes": routes or [route()]}]
    return {"@type": HCM, "stat_prefix": "front", "route_config": {"name": "routes", "virtual_hosts": virtual_hosts},
            "http_filters": [*filters, ROUTER], **fields}


def listener(manager, name="front", port=0, **fields):
    return {"name": name, "address": address(port), **fields, "filter_chains": [
        {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}


def cluster(*ports, name="upstream", **fields):
    return {"name": name, "type": "STATIC", "connect_timeout": "10s", "load_assignment": {
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(p)}} for p in ports]}]}, **fields}


def http_options(**options):
    """Fields of a cluster: how HTTP is spoken there."""
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {"typed_extension_protocol_options": {name: {"@type": ANY + name, **options}}}


HTTP2_UPSTREAM = http_options(explicit_http_config={"http2_protocol_options": {}})


def bootstrap(*listeners, clusters=()):
    return {"admin": {"address": address()},
            "static_resources": {"listeners": list(listeners), "clusters": list(clusters)}}


def simple(upstream_port=None, routes=None, filters=(), listener_fields=None, cluster_fields=None, **hcm_fields):
    """One listener "front", one cluster "upstream"."""
    clusters = [] if upstream_port is None else [cluster(upstream_port, **(cluster_fields or {}))]
    if upstream_port is None and routes is None:
        routes = [direct()]
    return bootstrap(listener(hcm(routes, filters, **hcm_fields), **(listener_fields or {})), clusters=clusters)


def wasm(plugin, configuration=None, runtime="envoy.wasm.runtime.v8", name=None, vm=None, **fields):
    """A wasm HTTP filter over build/tests/plugins/PLUGIN.wasm or build/plugins/PLUGIN.wasm; for the null runtime over
    the object of that name."""
    if runtime.endswith(".null"):
        local = {"inline_string": plugin}
    else:
        path = BUILD / f"tests/plugins/{plugin}.wasm"
        local = {"filename": str(path if path.exists() else BUILD / f"plugins/{plugin}.wasm")}
    config = {"name": name or plugin, "vm_config": {"runtime": runtime, "code": {"local": local}, **(vm or {})}, **fields}
    if configuration is not None:
        text = configuration if isinstance(configuration, str) else json.dumps(configuration)
        config["configuration"] = {"@type": ANY + "google.protobuf.StringValue", "value": text}
    return {"name": config["name"], "typed_config": {"@type": WASM, "config": config}}
