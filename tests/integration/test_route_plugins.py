# SPDX-License-Identifier: Apache-2.0
#
# A plugin's configuration per table, virtual host, route and weighted cluster: typed_per_filter_config with a
# PluginConfig.

import json

import pytest

from support import plugins
from support.config import ANY, direct, simple, wasm
from support.http1 import request
from support.process import validate


class Kind:
    """Where the plugin runs: an engine, and how its VMs are shared."""

    def __init__(self, runtime, sharing):
        self.runtime = runtime
        self.policy = {"rules": [{"name": "all", "sharing": sharing}]} if sharing else None


@pytest.fixture(params=[(plugins.RUNTIMES[0], None), (plugins.RUNTIMES[1], None), (plugins.RUNTIMES[0], "STREAM")],
                ids=["wasm", "null", "stream"])
def kind(request):
    return Kind(*request.param)


def adds(value):
    text = json.dumps({"response": {"x-from": value}})
    return {"@type": ANY + "google.protobuf.StringValue", "value": text}


def plugin_config(value, **fields):
    return {"@type": ANY + "envoy.extensions.wasm.v3.PluginConfig", "configuration": adds(value), **fields}


def wasm_config(value):
    return {"@type": ANY + "envoy.extensions.filters.http.wasm.v3.Wasm", "config": {"configuration": adds(value)}}


def filter_config(value):
    return {"@type": ANY + "envoy.config.route.v3.FilterConfig", "config": plugin_config(value)}


def per_filter(config):
    return {"typed_per_filter_config": {"add": config}}


def chain(runtime=plugins.RUNTIMES[0]):
    return wasm("add-header", json.dumps({"response": {"x-from": "chain"}}), runtime, name="add")


def seen(weir, path, host="test"):
    return request(weir.port, path=path, host=host).all("x-from")


def test_the_most_specific_wins(start, recording, kind):
    weighted = {"clusters": [{"name": "upstream", "weight": 1, **per_filter(plugin_config("cluster"))}]}
    routes = [
        {**direct(match="/route"), **per_filter(wasm_config("route"))},
        {**direct(match="/filter-config"), **per_filter(filter_config("wrapped"))},
        {"match": {"prefix": "/weighted"}, "route": {"weighted_clusters": weighted},
         **per_filter(plugin_config("route"))},
        {**direct(match="/off"), **per_filter({"@type": ANY + "envoy.config.route.v3.FilterConfig",
                                               "disabled": True})},
        direct(),
    ]
    hosts = [{"name": "own", "domains": ["own"], "routes": routes, **per_filter(plugin_config("host"))},
             {"name": "rest", "domains": ["*"], "routes": [direct()]}]
    weir = start(simple(recording.port, filters=[chain(kind.runtime)], virtual_hosts=hosts), *plugins.SHIPPED,
                 policy=kind.policy)
    assert seen(weir, "/route", "own") == ["route"]
    assert seen(weir, "/filter-config", "own") == ["wrapped"]
    assert seen(weir, "/weighted", "own") == ["cluster"]
    assert seen(weir, "/off", "own") == []
    assert seen(weir, "/", "own") == ["host"]
    assert seen(weir, "/", "other") == ["chain"]


def test_switches_a_disabled_filter_on(start, kind):
    off = {**chain(kind.runtime), "disabled": True}
    routes = [{**direct(match="/on"), **per_filter(plugin_config("route"))}, direct()]
    weir = start(simple(routes=routes, filters=[off]), *plugins.SHIPPED, policy=kind.policy)
    assert seen(weir, "/on") == ["route"]
    assert seen(weir, "/") == []


def test_equal_configurations_share_a_context(start):
    routes = [{**direct(match=f"/{i}"), **per_filter(plugin_config("same" if i else "one"))} for i in range(8)]
    weir = start(simple(routes=routes, filters=[chain()]), *plugins.SHIPPED, concurrency=2)
    assert [seen(weir, f"/{i}") for i in range(8)] == [["one"]] + [["same"]] * 7
    shown = [p for p in json.loads(weir.admin("/plugins?format=json").text)["plugins"] if p["name"] == "add"]
    assert len(shown) == 3, shown  # the chain's, "one" and "same"


def test_all_contexts_live_again_after_a_trap(start):
    """The routes' contexts are made with the VM, so a new VM has them too."""
    routes = [{**direct(match="/own"), **per_filter({
        "@type": ANY + "envoy.extensions.wasm.v3.PluginConfig",
        "configuration": {"@type": ANY + "google.protobuf.StringValue", "value": "trap:on_request_headers"}})}, direct()]
    hostile = wasm("hostile", "", name="add")
    weir = start(simple(routes=routes, filters=[hostile]))
    assert request(weir.port, path="/own").status == 503
    assert request(weir.port, path="/").status == 200
    assert request(weir.port, path="/own").status == 503
    assert request(weir.port, path="/").status == 200


def test_a_fresh_vm_has_all_contexts(start):
    """Sharing STREAM: what one route's request leaves in its VM, no other sees; each kind of context has its costs."""
    routes = [{**direct(match=f"/{i}"), **per_filter({
        "@type": ANY + "envoy.extensions.wasm.v3.PluginConfig", "name": f"route-{i}",
        "configuration": {"@type": ANY + "google.protobuf.StringValue",
                          "value": "trap:on_request_headers" if i == 1 else ""}})} for i in range(2)] + [direct()]
    weir = start(simple(routes=routes, filters=[wasm("hostile", "", name="add")]), concurrency=2,
                 policy={"rules": [{"name": "fresh", "sharing": "STREAM"}]})
    for _ in range(20):
        assert [request(weir.port, path=path).status for path in ("/0", "/1", "/")] == [200, 503, 200]
    calls = {p["name"]: p["callbacks"]["on_request_headers"]["calls"]
             for p in json.loads(weir.admin("/plugins?format=json").text)["plugins"]}
    assert calls == {"add": 20, "route-0": 20, "route-1": 20}
    assert weir.plugin("add")["respawns"] == 0


@pytest.mark.parametrize("config, message", [
    (plugin_config("x", vm_config={"runtime": "envoy.wasm.runtime.v8", "vm_id": "other"}), "in whose VM"),
    (plugin_config("x", failure_policy="FAIL_OPEN"), "failure_policy: is the filter's"),
    (plugin_config("x", capability_restriction_config={"allowed_capabilities": {"proxy_log": {}}}),
     "capability_restriction_config: is the filter's"),
    ({"@type": ANY + "envoy.extensions.filters.http.router.v3.Router"}, "Router"),
    ({"@type": ANY + "envoy.extensions.wasm.v3.PluginConfig",
      "configuration": {"@type": ANY + "google.protobuf.StringValue", "value": '{"respnse":{}}'}},
     'did you mean "response"'),
])
def test_wrong_at_load(tmp_path, config, message):
    routes = [{**direct(match="/a"), **per_filter(config)}, direct()]
    done = validate(tmp_path, simple(routes=routes, filters=[chain()]), "--wasm-cache-dir", tmp_path / "cache")
    assert done.returncode == 1, done.stdout + done.stderr
    assert message in done.stdout + done.stderr


def test_only_wasm_filters_take_one(tmp_path):
    router = {"typed_per_filter_config": {"envoy.filters.http.router": plugin_config("x")}}
    done = validate(tmp_path, simple(routes=[{**direct(), **router}]), "--wasm-cache-dir", tmp_path / "cache")
    assert done.returncode == 1
    assert "takes no configuration of a route" in done.stdout + done.stderr
