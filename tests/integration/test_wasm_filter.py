# SPDX-License-Identifier: Apache-2.0
"""The wasm HTTP filter with well-meant plugins: the shipped ones, host calls through the probe, both engines, sharing."""

import base64
import json

import pytest

from support import http1
from support.config import ANY, bootstrap, cluster, direct, hcm, listener, route, simple, wasm
from support.process import BUILD, SOURCE

SANDBOX = "envoy.wasm.runtime.v8"
NULL = "envoy.wasm.runtime.null"
ENGINES = [SANDBOX, NULL]
RULES = {"basic_auth_rules": [{"prefix": "/productpage", "request_methods": ["GET", "POST"],
                               "credentials": ["ok:test", "YWRtaW4zOmFkbWluMw=="]}]}


def basic(user):
    return {"authorization": "Basic " + base64.b64encode(user.encode()).decode()}




@pytest.mark.parametrize("runtime", ENGINES)
def test_basic_auth(start, upstream, runtime):
    weir = start(simple(upstream().port, filters=[wasm("basic-auth", RULES, runtime)]),
                 "--native-plugin-dir", str(BUILD / "plugins"))
    with http1.Client(weir.port) as client:
        refused = client.request(path="/productpage")
        assert (refused.status, refused.get("www-authenticate", "")[:6]) == (401, "Basic ")
        assert client.request(path="/productpage", headers=basic("ok:test")).status == 200
        assert client.request(path="/productpage", headers=basic("admin3:admin3")).status == 200
        assert client.request(path="/productpage", headers=basic("ok:wrong")).status == 401
        assert client.request(path="/productpage?x=1").status == 401
        assert client.request("DELETE", path="/productpage").status == 200
        assert client.request(path="/other").status == 200
        # Answered before its body was read: the connection closes, as in Envoy.
        refused = client.request("POST", path="/productpage/1", body="x")
        assert (refused.status, refused.get("connection")) == (401, "close")


@pytest.mark.tsan
def test_istio_typed_struct_as_written(start, upstream):
    """Issue: this configuration of Istio's users must work as written."""
    text = ('{"basic_auth_rules":[{"prefix":"/productpage","request_methods":["GET","POST"],'
            '"credentials":["ok:test","YWRtaW4zOmFkbWluMw=="]}]}')
    plain = wasm("basic-auth")["typed_config"]["config"]
    plain["configuration"] = {"@type": ANY + "google.protobuf.StringValue", "value": text}
    for kind in ("udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"):
        struct = {"name": "istio.basic_auth", "typed_config": {
            "@type": ANY + kind, "type_url": ANY + "envoy.extensions.filters.http.wasm.v3.Wasm",
            "value": {"config": plain}}}
        weir = start(simple(upstream().port, filters=[struct]))
        assert http1.request(weir.port, path="/productpage").status == 401
        assert http1.request(weir.port, path="/productpage", headers=basic("ok:test")).status == 200


@pytest.mark.parametrize("runtime", ENGINES)
def test_add_header(start, upstream, runtime):
    config = {"request": {"x-from": "weir"}, "response": {"hello": "world"}}
    weir = start(simple(upstream().port, filters=[wasm("add-header", config, runtime)]),
                 "--native-plugin-dir", str(BUILD / "plugins"))
    response = http1.request(weir.port)
    assert response.get("hello") == "world"
    assert "x-from: weir" in response.text


@pytest.mark.parametrize("kind,value", [
    ("google.protobuf.Struct", {"value": {"response": {"hello": "world"}}}),
    ("google.protobuf.BytesValue", {"value": base64.b64encode(b'{"response":{"hello":"world"}}').decode()}),
    ("google.protobuf.StringValue", {"value": '{"response":{"hello":"world"}}'}),
])
def test_configuration_forms(start, kind, value):
    plugin = wasm("add-header")
    plugin["typed_config"]["config"]["configuration"] = {"@type": ANY + kind, **value}
    weir = start(simple(filters=[plugin]))
    assert http1.request(weir.port).get("hello") == "world"


def test_code_inline(start):
    plugin = wasm("add-header", {"response": {"hello": "world"}})
    code = (BUILD / "plugins/add-header.wasm").read_bytes()
    plugin["typed_config"]["config"]["vm_config"]["code"]["local"] = {"inline_bytes": base64.b64encode(code).decode()}
    weir = start(simple(filters=[plugin]))
    assert http1.request(weir.port).get("hello") == "world"


@pytest.mark.parametrize("runtime", ["envoy.wasm.runtime.v8", "envoy.wasm.runtime.wasmtime", "envoy.wasm.runtime.wamr",
                                     ""])
def test_every_sandbox_name_is_the_sandbox(start, runtime):
    weir = start(simple(filters=[wasm("trivial", runtime=runtime)]))
    assert http1.request(weir.port).status == 200
    shown = runtime or "envoy.wasm.runtime.v8"
    assert weir.plugin("trivial")["engine"] == "wasmtime"
    assert weir.plugin("trivial")["runtime"] == shown
    assert weir.stats("wasm")[f"wasm.{shown}.active"] == 1


def test_ten_plugins_run_in_order_and_back(start, upstream):
    filters = [wasm("add-header", {"request": {"x-order": str(i)}, "response": {"x-back": str(i)}}, name=f"p{i}")
               for i in range(10)]
    weir = start(simple(upstream().port, filters=filters), concurrency=2)
    for _ in range(5):
        response = http1.request(weir.port)
        lines = response.text.split("\n")
        order = [line[9:] for line in lines if line.startswith("x-order: ")]
        assert ",".join(order).replace(" ", "") == "0,1,2,3,4,5,6,7,8,9"
        assert ",".join(response.all("x-back")).replace(" ", "") == "9,8,7,6,5,4,3,2,1,0"


def test_disabled_and_enabled_per_route(start):
    filters = [wasm("add-header", {"response": {"hello": "a"}}, name="on"),
               {**wasm("add-header", {"response": {"hello": "b"}}, name="off"), "disabled": True}]
    enable = {"@type": ANY + "envoy.config.route.v3.FilterConfig", "config": {}}
    disable = {"@type": ANY + "envoy.config.route.v3.FilterConfig", "disabled": True}
    routes = [{**direct(match="/both"), "typed_per_filter_config": {"off": enable}},
              {**direct(match="/none"), "typed_per_filter_config": {"on": disable}},
              direct()]
    weir = start(simple(routes=routes, filters=filters))
    hello = {path: sorted(http1.request(weir.port, path=path).all("hello")) for path in ("/both", "/none", "/")}
    assert hello == {"/both": ["a", "b"], "/none": [], "/": ["a"]}


def test_wrong_plugin_configuration_is_refused(start, tmp_path):
    from support.process import run_weir
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(simple(filters=[wasm("basic-auth", {"basic_auth_rulez": []})])))
    result = run_weir("-c", path, "--wasm-cache-dir", "none")
    assert result.returncode == 1
    assert "basic-auth" in result.stderr
    assert "basic_auth_rules" in result.stderr


def test_environment_variables_reach_the_plugin(start):
    plugin = wasm("probe", "trace", vm={"environment_variables": {"key_values": {"A_KEY": "a value"},
                                                                   "host_env_keys": ["WEIR_TEST_HOST_KEY", "NOT_SET"]}})
    weir = start(simple(filters=[plugin]), env={"WEIR_TEST_HOST_KEY": "from host"})
    assert http1.request(weir.port).status == 200


def test_capability_restriction(start):
    plugin = wasm("add-header", {"response": {"hello": "world"}}, capability_restriction_config={
        "allowed_capabilities": {name: {} for name in (
            "proxy_on_context_create", "proxy_on_vm_start", "proxy_on_configure", "proxy_get_buffer_bytes", "proxy_log",
            "proxy_on_request_headers", "proxy_on_delete", "proxy_get_property")}})
    weir = start(simple(filters=[plugin]))
    # proxy_on_response_headers is not among them: as if the plugin had no such callback.
    assert http1.request(weir.port).get("hello") is None


@pytest.mark.parametrize("runtime", ENGINES)
def test_body_and_stream_host_calls_by_probe(start, upstream, runtime):
    weir = start(simple(upstream().port, filters=[wasm("probe", "trace", runtime)]), level="debug")
    commands = "property request.path; property source.address; shared_set k v 0; shared_get k; time; log_level"
    response = http1.request(weir.port, "POST", "/p?q=1", {"x-probe": commands}, "body")
    assert response.status == 200
    assert response.get("x-probe-1") == "0 /p?q=1"
    assert response.get("x-probe-2", "").startswith("0 127.0.0.1:")
    weir.wait_log(r"probe: call delete")


def test_vm_sharing_by_policy(start):
    policy = {"rules": [{"match": {"plugin": "shared-*"}, "sharing": "SHARED"}, {}]}
    filters = [wasm("trivial", name="shared-a"), wasm("trivial", name="shared-b"), wasm("trivial", name="alone")]
    weir = start(simple(filters=filters), policy=policy)
    assert http1.request(weir.port).status == 200
    # shared-a and shared-b live in one VM, alone in another.
    assert weir.stats("wasm")["wasm.envoy.wasm.runtime.v8.active"] == 2


def test_plugins_page(start):
    weir = start(simple(filters=[wasm("trivial")]), concurrency=2)
    for _ in range(10):
        http1.request(weir.port)
    plugin = weir.plugin("trivial")
    assert plugin["state"] == "ready"
    assert plugin["vms"] == 2
    assert plugin["calls"] >= 20
    assert plugin["memory_bytes"] > 0
    assert plugin["time_ns"] > 0
    assert (plugin["traps"], plugin["abi"], len(plugin["sha256"])) == (0, "0.2.1", 64)
    text = weir.admin("/plugins").text
    assert "trivial::state::ready\n" in text


def test_compiled_code_is_kept(start, tmp_path):
    cache = tmp_path / "kept"
    for round_ in range(2):
        weir = start(simple(filters=[wasm("trivial")]), "--wasm-cache-dir", str(cache))
        assert weir.plugin("trivial")["from_cache"] == ("true" if round_ else "false")
        weir.stop()
    assert cache.stat().st_mode & 0o777 == 0o700
    for entry in cache.iterdir():
        entry.write_bytes(b"damaged")
    weir = start(simple(filters=[wasm("trivial")]), "--wasm-cache-dir", str(cache))
    assert weir.plugin("trivial")["from_cache"] == "false"
    assert http1.request(weir.port).status == 200


def test_example_configuration_of_the_demo(start, upstream):
    """examples/demo is what `make demo` runs; here with free ports."""
    text = (SOURCE / "examples/demo").rglob("*.yaml")
    config = next(iter(text)).read_text()
    config = config.replace("port_value: 8080", "port_value: 0").replace("port_value: 9901", "port_value: 0")
    config = config.replace("port_value: 8081", f"port_value: {upstream().port}")
    config = config.replace("filename: build/", f"filename: {BUILD}/")
    weir = start(config)
    assert http1.request(weir.port, path="/productpage").status == 401
    response = http1.request(weir.port, path="/productpage", headers=basic("ok:test"))
    assert (response.status, response.get("hello")) == (200, "world")


def test_two_listeners_two_configurations(start):
    one = listener(hcm([direct()], [wasm("add-header", {"response": {"hello": "one"}}, name="h")]), "front")
    two = listener(hcm([direct()], [wasm("add-header", {"response": {"hello": "two"}}, name="h")]), "second")
    weir = start(bootstrap(one, two))
    assert http1.request(weir.listener_port("front")).get("hello") == "one"
    assert http1.request(weir.listener_port("second")).get("hello") == "two"


def test_route_cache_is_cleared_by_a_header_change(start, upstream):
    """A plugin that changes a request header chooses the route by it (ABI 3.9)."""
    routes = [route({"prefix": "/", "headers": [{"name": "x-to", "string_match": {"exact": "b"}}]}, cluster="b"),
              route(cluster="a")]
    a, b = upstream(lambda c: (c.read_request(), c.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na"))), \
        upstream(lambda c: (c.read_request(), c.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nb")))
    filters = [wasm("add-header", {"request": {"x-to": "b"}})]
    clusters = [cluster(a.port, name="a"), cluster(b.port, name="b")]
    weir = start(bootstrap(listener(hcm(routes, filters)), clusters=clusters))
    assert http1.request(weir.port).text == "b"
