# SPDX-License-Identifier: Apache-2.0
"""The end of roots: on_done, time until proxy_done, on_delete (ABI 3.18)."""

import re
import socket
import time

import pytest

from support import http1
from support.config import bootstrap, cluster, direct, hcm, listener, simple, wasm
from support.plugins import RUNTIMES
from support.process import wait_until


PATIENT = {"rules": [{"done_time_max": "60s"}]}


def end(start, runtime, text, workers=1, policy=None):
    weir = start(simple(routes=[direct()], filters=[wasm("probe", text, runtime=runtime)]), concurrency=workers, policy=policy)
    http1.request(weir.port)
    began = time.monotonic()
    weir.stop()
    return weir.log(), time.monotonic() - began


@pytest.mark.tsan
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_roots_that_are_done_at_once(start, runtime):
    log, _ = end(start, runtime, "trace", workers=2)
    assert len(re.findall(r"call done 1 ", log)) == 2 and len(re.findall(r"call delete 1 ", log)) == 2


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_root_that_asks_for_time_gets_its_ticks(start, runtime):
    log, took = end(start, runtime, "trace; tick 10; @done pause; @tick done", policy=PATIENT)
    calls = re.findall(r"call (done|delete) 1 |probe: \d+ (done): 0", log)
    assert [a or b + "()" for a, b in calls] == ["done", "done()", "delete"]
    assert "did not call proxy_done" not in log and took < 60


def test_a_root_that_never_calls_done_is_ended(start):
    log, took = end(start, RUNTIMES[0], "trace; @done pause")
    assert 'plugin "probe" on worker 0 did not call proxy_done within 1000 ms' in log and took >= 0.9
    assert not re.search(r"call delete 1 ", log)


def test_done_inside_of_on_done(start):
    log, took = end(start, RUNTIMES[0], "trace; @done done; @done pause", policy=PATIENT)
    assert re.search(r"call delete 1 ", log) and "did not call" not in log and took < 60


@pytest.mark.tsan
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("pause, numbers", [("@done pause", (3, 4, 5, 6)), ("", (3, 4, 7, 8))])
def test_callouts_that_begin_at_the_end(start, upstream, runtime, pause, numbers):
    """In on_done, in the callback of a call that failed meanwhile, and in on_delete; some wait for an answer that never comes, some
    fail at once. All of them go with the plugin; what is left of them is no business of the pools that close after it."""
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        hang = upstream(lambda connection: connection.read_exactly(1 << 20))
        commands = ["trace http_call hang /before", pause or "@log pause", "@done http_call gone /a", "@done http_call hang /b",
                    "@answer http_call gone /c", "@answer http_call hang /d", "@delete http_call gone /e", "@delete http_call hang /f"]
        weir = start(bootstrap(listener(hcm([direct()], [wasm("probe", "; ".join(commands), runtime=runtime)])), clusters=[
            cluster(closed.getsockname()[1], name="gone"), cluster(hang.port, name="hang")]), concurrency=2,
            policy={"rules": [{"worker_time_percent_max": 100, "done_time_max": "3s", "caps": {"log_lines_per_sec": 100000}}]})
        http1.request(weir.port)
        wait_until(lambda: hang.connections >= 1, "a call that waits")
        weir.stop()
    log = weir.log()
    for number in numbers:
        assert re.search(f"probe: {number} http_call: 0 ", log), number
