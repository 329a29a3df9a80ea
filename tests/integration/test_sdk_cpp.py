# SPDX-License-Identifier: Apache-2.0
#
# sdk/cpp beyond the suite plugin: all of its API compiles without a warning, two source files link, it exports what the
# host calls and imports only what is used, and tagged metrics have the reference SDK's names.

import subprocess

import pytest

from support import sdk
from support.config import simple, wasm
from support.http1 import request
from support.process import SOURCE
from test_plugin_builds import exports_of, imports_of

FLAGS = ["--target=wasm32-wasi", "-std=c++17", "-O2", "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra", "-Werror",
         "-mexec-model=reactor", "-Wl,--strip-debug,--stack-first", f"-I{SOURCE / 'sdk/cpp/include'}"]


@pytest.fixture(scope="module")
def surface(tmp_path_factory):
    sdk.module("cpp")
    out = tmp_path_factory.mktemp("cpp") / "surface.wasm"
    sources = [str(SOURCE / "tests/sdk/cpp" / name) for name in ("surface.cc", "other.cc")]
    done = subprocess.run(["clang++", *FLAGS, "-o", str(out), *sources], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_exports_and_imports(surface):
    assert {"memory", "malloc", "_initialize", "proxy_abi_version_0_2_1", "proxy_on_context_create", "proxy_on_log",
            "proxy_on_grpc_close", "an_export_of_my_own"} <= exports_of(str(surface))
    used = {name for _, name in imports_of(str(surface))}
    assert "proxy_grpc_stream" in used and "proxy_enqueue_shared_queue" not in used


def test_tagged_metrics(start, recording, surface):
    made = wasm("trivial", "x", name="surface", root_id="surface")
    made["typed_config"]["config"]["vm_config"]["code"]["local"] = {"filename": str(surface)}
    weir = start(simple(recording.port, filters=[made]))
    assert [request(weir.port).status for _ in range(2)] == [200, 200]
    first, second = recording.requests
    assert (first.get("x-total"), second.get("x-total")) == ("3", "6")
    assert (first.get("x-other"), first.get("x-compressed")) == ("Ok1", "yes")
    stats = weir.stats("wasmcustom")
    assert stats["wasmcustom.method.GET.status.200.cached.true.requests"] == 6
    assert stats["wasmcustom.shard.1.level"] == 3
    assert stats["wasmcustom.shard.2.zone.a.level"] == 4
    assert stats["wasmcustom.kind.all.total"] == 4
    # Calls from onLog to a cluster that is not there are refused, and nothing traps.
    assert "failed:" not in weir.log()
