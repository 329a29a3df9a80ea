# SPDX-License-Identifier: Apache-2.0
"""The end of roots: on_done, time until proxy_done, on_delete (ABI 3.18)."""

import re
import time

import pytest

from support import http1
from support.config import direct, simple, wasm
from support.plugins import RUNTIMES


def end(start, runtime, text, workers=1):
    weir = start(simple(routes=[direct()], filters=[wasm("probe", text, runtime=runtime)]), concurrency=workers)
    http1.request(weir.port)
    began = time.monotonic()
    weir.stop()
    return weir.log(), time.monotonic() - began


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_roots_that_are_done_at_once(start, runtime):
    log, _ = end(start, runtime, "trace", workers=2)
    assert len(re.findall(r"call done 1 ", log)) == 2 and len(re.findall(r"call delete 1 ", log)) == 2


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_root_that_asks_for_time_gets_its_ticks(start, runtime):
    log, took = end(start, runtime, "trace; tick 10; @done pause; @tick done")
    calls = re.findall(r"call (done|delete) 1 |probe: \d+ (done): 0", log)
    assert [a or b + "()" for a, b in calls] == ["done", "done()", "delete"]
    assert "did not call proxy_done" not in log and took < 1.0


def test_a_root_that_never_calls_done_is_ended(start):
    log, took = end(start, RUNTIMES[0], "trace; @done pause")
    assert 'plugin "probe" on worker 0 did not call proxy_done within 1000 ms' in log and took >= 0.9
    assert not re.search(r"call delete 1 ", log)


def test_done_inside_of_on_done(start):
    log, took = end(start, RUNTIMES[0], "trace; @done done; @done pause")
    assert re.search(r"call delete 1 ", log) and "did not call" not in log and took < 1.0
