# SPDX-License-Identifier: Apache-2.0
#
# tests/plugins/cpu.c computes what it says it does: the benchmark compares engines with it.

import hashlib

import pytest

from support import plugins
from support.config import simple, wasm
from support.http1 import request


@pytest.mark.parametrize("runtime", plugins.RUNTIMES, ids=["wasm", "null"])
@pytest.mark.parametrize("size", [0, 3, 55, 56, 64, 1000])
def test_sha256(start, runtime, size):
    weir = start(simple(filters=[wasm("cpu", f"sha256 {size}", runtime)]))
    text = bytes(ord("a") + i % 26 for i in range(size))
    assert request(weir.port).get("x-cpu") == hashlib.sha256(text).hexdigest()[:8]


@pytest.mark.parametrize("runtime", plugins.RUNTIMES, ids=["wasm", "null"])
def test_json(start, runtime):
    weir = start(simple(filters=[wasm("cpu", "json 4096", runtime)]))
    assert request(weir.port).get("x-cpu") == "1"
