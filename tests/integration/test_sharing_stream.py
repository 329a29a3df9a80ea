# SPDX-License-Identifier: Apache-2.0
"""Sharing STREAM: a VM for each request that begins as the configured one, hostile ones among them, under load."""

import json
import threading
import time

import pytest

from support import http1
from support.config import simple, wasm
from support.process import SANITIZED, run_weir, wait_until
from support.upstream import respond

# The default pool reserves more addresses than the thread sanitizer leaves.
POOL = ["--wasm-stream-vms", 64] if SANITIZED else []
FRESH = {"rules": [{"name": "fresh", "sharing": "STREAM"}]}
# On a machine that does other things good streams take long, too.
PATIENT = {"rules": [{**FRESH["rules"][0], "callback_time_max": "0.3s", "worker_time_percent_max": 100}]}

# Traps unless it is the first in its memory after a configure that left 7 there.
COUNTER = """(module (memory (export "memory") 2)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (i32.store (i32.const 64) (i32.const 7)) (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (if (i32.ne (i32.load (i32.const 64)) (i32.const 7)) (then unreachable))
    (i32.store (i32.const 64) (i32.const 8))
    (i32.const 0))%s)"""


def text_plugin(directory, text, **fields):
    path = directory / "plugin.wat"
    path.write_text(text)
    plugin = wasm("trivial", name="text", **fields)
    plugin["typed_config"]["config"]["vm_config"]["code"] = {"local": {"filename": str(path)}}
    return plugin


def statuses(weir, count, headers=None):
    with http1.Client(weir.port) as client:
        return [client.request(path="/", headers=headers or {}).status for _ in range(count)]


@pytest.mark.tsan
def test_each_request_has_a_vm_as_configured(start, tmp_path):
    config = simple(filters=[text_plugin(tmp_path, COUNTER % "")])
    assert statuses(start(config), 2) == [200, 503]  # the control: one VM for both
    weir = start(config, *POOL, policy=FRESH, concurrency=2)
    assert set(statuses(weir, 200)) == {200}
    plugin = weir.plugin("text")
    assert (plugin["traps"], plugin["respawns"], plugin["streams"]) == (0, 0, 0)
    assert plugin["calls"] > 200


@pytest.mark.tsan
@pytest.mark.parametrize("evil", ["trap:on_request_headers", "loop:on_request_headers", "trap:on_response_headers",
                                  "trap:on_context_create", "trap:on_log", "trap:on_delete"])
def test_what_hurts_one_stream_hurts_no_other(start, upstream, evil):
    weir = start(simple(upstream().port, filters=[wasm("hostile", "")]), *POOL, policy=PATIENT)
    good, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            good.extend(statuses(weir, 20))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    bad = statuses(weir, 1, {"x-hostile": evil}) if "create" not in evil else [503]
    bad += [http1.request(weir.port, headers={"x-hostile": evil}).status
            for _ in range(2 if "loop" in evil else 20)]
    stop.set()
    for thread in threads:
        thread.join()
    if "request_headers" in evil or "response_headers" in evil:
        assert set(bad) == {503}
    assert len(good) > 20 and set(good) == {200}
    assert weir.plugin("hostile")["respawns"] == 0


def test_ten_thousand_streams_leave_nothing(start, upstream):
    weir = start(simple(filters=[wasm("hostile", "", failure_policy="FAIL_OPEN")]), policy=FRESH, level="critical")
    statuses(weir, 1000)
    for phase in ("on_request_headers", "on_response_headers"):
        statuses(weir, 500, {"x-hostile": f"trap:{phase}"})
    before = weir.rss_bytes()
    statuses(weir, 5000)
    statuses(weir, 5000, {"x-hostile": "trap:on_request_headers"})
    if not SANITIZED:  # they hold freed memory for a while
        assert weir.rss_bytes() - before < 1 << 20
    wait_until(lambda: weir.plugin("hostile")["streams"] == 0, "all contexts have ended")


@pytest.mark.parametrize("policy,outcome", [("FAIL_CLOSED", 503), ("FAIL_OPEN", 200), ("FAIL_RELOAD", 503)])
def test_a_full_pool_is_the_failure_policy(start, upstream, policy, outcome):
    held, release = [], threading.Event()

    def hold(connection):
        while connection.read_request() is not None:
            held.append(connection)
            release.wait(60)
            respond(connection, body=b"late")

    weir = start(simple(upstream(hold).port, filters=[wasm("trivial", failure_policy=policy)]), "--wasm-stream-vms", 4,
                 policy=FRESH)
    answers = []

    def ask():
        answers.append(http1.request(weir.port).status)

    def gauge():
        return weir.stats().get("wasm.trivial.stream_vm_exhausted", 0)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(held) == 4, "four streams at the upstream")
    began = time.monotonic()
    refused = [threading.Thread(target=ask) for _ in range(30)]
    for thread in refused:
        thread.start()
    wait_until(lambda: gauge() == 30, "thirty without a VM")
    if outcome == 503:
        wait_until(lambda: len(answers) == 30, "their answers")
    release.set()
    for thread in threads + refused:
        thread.join()
    assert sorted(answers) == sorted([200] * 4 + [outcome] * 30)
    weir.wait_log("no fresh VM for a stream")
    assert weir.log().count("no fresh VM for a stream") <= time.monotonic() - began + 2  # one line a second, not thirty
    assert http1.request(weir.port).status == 200
    assert gauge() == 30


def refusal(tmp_path, plugin):
    path, policy = tmp_path / "bad.json", tmp_path / "policy.json"
    path.write_text(json.dumps(simple(filters=[plugin])))
    policy.write_text(json.dumps(FRESH))
    result = run_weir("-c", path, "--policy", policy, "--wasm-cache-dir", "none")
    assert result.returncode == 1
    return result.stderr


def test_what_cannot_be_snapshotted_is_refused_at_start(tmp_path):
    table = '(table 2 funcref) (func (export "f") (table.set (i32.const 0) (ref.null func)))'
    text = refusal(tmp_path, text_plugin(tmp_path, COUNTER % table))
    assert "no snapshot can be taken of this module: unsupported `table.set` instruction" in text
    text = refusal(tmp_path, wasm("trivial", runtime="envoy.wasm.runtime.null"))
    assert "the null engine takes no snapshots" in text


def test_the_configured_vm_ticks_and_its_metrics_are_everybodys(start, tmp_path):
    extra = """(import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
      (import "env" "proxy_increment_metric" (func $add (param i32 i64) (result i32)))
      (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))"""
    text = f"""(module {extra} (memory (export "memory") 2) (data (i32.const 256) "ticks") (data (i32.const 272) "requests")
      (func (export "proxy_abi_version_0_2_1")) (func (export "malloc") (param i32) (result i32) (i32.const 4096))
      (func (export "proxy_on_configure") (param i32 i32) (result i32)
        (drop (call $define (i32.const 0) (i32.const 256) (i32.const 5) (i32.const 128)))
        (drop (call $define (i32.const 0) (i32.const 272) (i32.const 8) (i32.const 132)))
        (drop (call $tick (i32.const 10))) (i32.const 1))
      (func (export "proxy_on_tick") (param i32) (drop (call $add (i32.load (i32.const 128)) (i64.const 1))))
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (drop (call $add (i32.load (i32.const 132)) (i64.const 1))) (i32.const 0)))"""
    weir = start(simple(filters=[text_plugin(tmp_path, text)]), policy=FRESH)
    assert statuses(weir, 50) == [200] * 50

    def metric(name):
        return next(value for key, value in weir.stats().items() if key.rsplit(".", 1)[-1] == name)

    assert metric("requests") == 50
    wait_until(lambda: metric("ticks") >= 3, "ticks")
