# SPDX-License-Identifier: Apache-2.0
"""Plugins without a filter chain: bootstrap extensions (one per process or one per worker) and stat sinks."""

import json
import re
import time

import pytest

from support import http1
from support.config import ANY, direct, simple, wasm
from support.pages import blocks
from support.plugins import RUNTIMES
from support.process import BUILD, run_weir, validate, wait_until

pytestmark = pytest.mark.tsan


def plugin(words="", name="service", runtime="envoy.wasm.runtime.v8", **fields):
    return wasm("host_probe", words, runtime, name=name, **fields)["typed_config"]["config"]


def service(words="", singleton=True, **fields):
    return {"name": "envoy.bootstrap.wasm", "typed_config": {
        "@type": ANY + "envoy.extensions.wasm.v3.WasmService", "config": plugin(words, **fields), "singleton": singleton}}


def sink(words="", **fields):
    return {"name": "envoy.stat_sinks.wasm", "typed_config": {
        "@type": ANY + "envoy.extensions.stat_sinks.wasm.v3.Wasm", "config": plugin(words, name="sink", **fields)}}


def config(*services, sinks=(), **fields):
    return {**simple(routes=[direct()]), "bootstrap_extensions": list(services), "stats_sinks": list(sinks), **fields}


def lines(weir, name="service"):
    return re.findall(rf"wasm log {name}\S*: (.*)", weir.log())


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("singleton, instances", [(True, 1), (False, 2)])
def test_once_per_process_or_worker(start, runtime, singleton, instances):
    weir = start(config(service("tick", singleton, runtime=runtime)), concurrency=2)
    weir.wait_log("tick 3", instances)
    assert lines(weir).count("tick 1") == instances
    assert weir.plugin("service")["vms"] == instances
    assert http1.request(weir.port, "GET", "/").status == 200
    wait_until(lambda: weir.stats("wasmcustom").get("wasmcustom.host_probe", 0) > 3, "the plugin's metric")
    weir.stop()
    assert lines(weir).count("on_done") == instances == lines(weir).count("on_delete")


def test_services_talk_through_a_queue(start):
    weir = start(config(service("queue", name="taker"), service("push", name="giver")))
    weir.wait_log(r"wasm log taker\S*: got parcel")


def test_a_service_that_refuses_ends_the_start(tmp_path):
    path = tmp_path / "refuse.json"
    for section in (config(service("refuse")), config(sinks=[sink("refuse")])):
        path.write_text(json.dumps(section))
        done = run_weir("-c", path, "--concurrency", 1, "--wasm-cache-dir", tmp_path / "cache")
        assert done.returncode == 1 and "proxy_on_configure returned false" in done.stderr, done.stderr


@pytest.mark.parametrize("singleton", [True, False])
def test_a_service_that_traps_is_made_again(start, singleton):
    weir = start(config(service("tick trap-tick", singleton)))
    wait_until(lambda: weir.plugin("service")["traps"] >= 2, "two traps")
    assert weir.plugin("service")["respawns"] >= 1
    assert http1.request(weir.port, "GET", "/").status == 200


def test_done_may_take_its_time(start):
    weir = start(config(service("late-done")), policy={"rules": [{"worker_time_percent_max": 100, "done_time_max": "60s"}]})
    weir.stop()
    assert lines(weir)[-3:] == ["on_done", "done now", "on_delete"]


def test_done_never_comes(start):
    weir = start(config(service("never-done")))
    weir.stop()
    assert lines(weir)[-1] == "on_done"


@pytest.mark.parametrize("given, least, most", [(None, 1.0, 20), ("4s", 4.0, 11.5), ("0s", 0.0, 20)])
def test_all_workers_wait_for_done_at_once(start, given, least, most):
    """Three workers, none of whose plugins is ever done: one wait, as long as the policy says."""
    policy = {"rules": [{"done_time_max": given} if given else {}]}
    weir = start(config(service("never-done", singleton=False)), concurrency=3, policy=policy)
    began = time.monotonic()
    weir.stop()
    assert least <= time.monotonic() - began < most
    assert weir.log().count("did not call proxy_done within") == 3


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_sink(start, runtime):
    weir = start(config(sinks=[sink(runtime=runtime)], stats_flush_interval="0.1s"), concurrency=2)
    for _ in range(3):
        http1.request(weir.port, "GET", "/")
    weir.wait_log("stats whole: counters=1")
    weir.wait_log(r"stat http\.front\.downstream_rq_total 3 \+0")
    deltas = re.findall(r"stat http\.front\.downstream_rq_total (\d+) \+(\d+)", weir.log())
    assert sum(int(delta) for _, delta in deltas) == 3
    assert "stat server.live 1 +0" in lines(weir, "sink")
    assert "torn" not in weir.log()
    weir.admin("/reset_counters", "POST")
    http1.request(weir.port, "GET", "/")
    weir.wait_log(r"stat http\.front\.downstream_rq_total 1 \+1")


def test_several_sinks_see_the_same(start):
    weir = start(config(sinks=[sink(), sink()], stats_flush_interval="0.1s"))
    http1.request(weir.port, "GET", "/")
    weir.wait_log(r"stat http\.front\.downstream_rq_total 1 \+1", 2)


def test_a_sink_that_is_done_hears_no_more_while_others_end(start):
    weir = start(config(service("never-done", name="slow"), sinks=[sink()], stats_flush_interval="0.05s"))
    weir.wait_log("stats whole")
    weir.process.terminate()
    assert weir.wait() == 0, weir.log()
    assert "did not call proxy_done" in weir.log()


def test_a_sink_that_traps_is_made_again(start):
    weir = start(config(sinks=[sink("trap-stats")], stats_flush_interval="0.05s"))
    wait_until(lambda: weir.plugin("sink")["traps"] >= 3, "three traps")
    assert http1.request(weir.port, "GET", "/").status == 200


def test_validate(tmp_path):
    done = validate(tmp_path, config(service(), sinks=[sink()], stats_flush_interval="2s"), "--wasm-cache-dir", tmp_path / "cache")
    assert done.returncode == 0 and "stats_flush_interval" not in done.stdout, done
    unknown = {"name": "x", "typed_config": {"@type": ANY + "envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig"}}
    done = validate(tmp_path, config(sinks=[unknown]))
    assert done.returncode == 1 and "stats_sinks[0]" in done.stderr, done.stderr


def test_documented_configurations(start):
    text = "\n".join(t for t in blocks("plugin-hosts.md") if "bootstrap_extensions" in t or "stats_sinks" in t)
    assert text.count("my_plugin.wasm") == 2
    base = "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n"
    weir = start(base + text.replace("my_plugin.wasm", str(BUILD / "tests/plugins/host_probe.wasm"))
                 .replace("stats_flush_interval: 10s", "stats_flush_interval: 0.1s"))
    weir.wait_log("stats whole")
