# SPDX-License-Identifier: Apache-2.0
"""One configuration for Weir and Envoy: what is measured is the same work."""

import copy
import os
from pathlib import Path

ANY = "type.googleapis.com/"


def with_port(config, port, admin_port):
    config = copy.deepcopy(config)
    config["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = port
    config["admin"]["address"]["socket_address"]["port_value"] = admin_port
    return config


def plugin(path, name, configuration=None):
    config = {"name": name, "vm_config": {"vm_id": name, "runtime": "envoy.wasm.runtime.v8",
                                          "code": {"local": {"filename": str(path)}}}}
    if configuration is not None:
        config["configuration"] = {"@type": ANY + "google.protobuf.StringValue", "value": configuration}
    return {"name": name, "typed_config": {"@type": ANY + "envoy.extensions.filters.http.wasm.v3.Wasm",
                                           "config": config}}


def trivial(count):
    """A plugin that reads a request header and adds a response header."""
    path = Path(os.environ.get("WEIR_BUILD_DIR", "build")).resolve() / "tests/plugins/trivial.wasm"
    return [plugin(path, f"trivial-{i}") for i in range(count)]


def callout():
    """A plugin that holds each request until a call to the cluster "up" is answered."""
    path = Path(os.environ.get("WEIR_BUILD_DIR", "build")).resolve() / "tests/plugins/callout.wasm"
    return [plugin(path, "callout")]


def suite(module, behaviour):
    """The plugin of tests/sdk."""
    config = plugin(module, "suite", behaviour)
    config["typed_config"]["config"]["root_id"] = "suite"
    return config


def cpu(what, runtime):
    """tests/plugins/cpu.c as Wasm, or natively with the runtime "null"."""
    path = Path(os.environ.get("WEIR_BUILD_DIR", "build")).resolve() / "tests/plugins/cpu.wasm"
    config = plugin(path, "cpu", what)
    if runtime == "null":
        config["typed_config"]["config"]["vm_config"] |= {
            "runtime": "envoy.wasm.runtime.null", "code": {"local": {"inline_string": "cpu"}}}
    return config


def address():
    return {"socket_address": {"address": "127.0.0.1", "port_value": 0}}


HTTP2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def bootstrap(upstream_port=None, plugins=(), direct=False, http2_upstream=False, buffer_bytes=None):
    """With an upstream requests go there, unless they are answered `direct`ly."""
    action = {"direct_response": {"status": 200, "body": {"inline_string": "direct"}}}
    clusters = []
    if upstream_port:
        if not direct:
            action = {"route": {"cluster": "up"}}
        endpoint = {"socket_address": {"address": "127.0.0.1", "port_value": upstream_port}}
        clusters = [{"name": "up", "type": "STATIC", "connect_timeout": "5s", "load_assignment": {
            "cluster_name": "up", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": endpoint}}]}]}}]
        if http2_upstream:
            clusters[0]["typed_extension_protocol_options"] = {HTTP2: {
                "@type": ANY + HTTP2, "explicit_http_config": {"http2_protocol_options": {}}}}
    manager = {
        "@type": ANY + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"],
                                            "routes": [{"match": {"prefix": "/"}, **action}]}]},
        "http_filters": [*plugins, {"name": "envoy.filters.http.router", "typed_config": {
            "@type": ANY + "envoy.extensions.filters.http.router.v3.Router"}}]}
    listener = {"name": "bench", "address": address(), "filter_chains": [
        {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}
    if buffer_bytes:  # a plugin that waits for a body keeps it here
        listener["per_connection_buffer_limit_bytes"] = buffer_bytes
    return {"admin": {"address": address()}, "static_resources": {"listeners": [listener], "clusters": clusters}}
