# SPDX-License-Identifier: Apache-2.0
"""Files that are not plugins: an error that says why, and exit status 1."""

import json

import pytest

from support.config import simple, wasm
from support.process import BUILD, run_weir


def load(tmp_path, code):
    module = tmp_path / "bad.wasm"
    module.write_bytes(code)
    plugin = wasm("trivial", name="bad-one")
    plugin["typed_config"]["config"]["vm_config"]["code"]["local"] = {"filename": str(module)}
    path = tmp_path / "weir.json"
    path.write_text(json.dumps(simple(filters=[plugin])))
    return run_weir("-c", path, "--wasm-cache-dir", "none")


GOOD = (BUILD / "tests/plugins/trivial.wasm")


@pytest.mark.parametrize("cut", [0, 1, 4, 7, 8, 20, 500, 0.5, 0.99])
def test_truncated(tmp_path, cut):
    code = GOOD.read_bytes()
    result = load(tmp_path, code[:int(cut * len(code)) if isinstance(cut, float) else cut])
    assert result.returncode == 1
    assert "typed_config.config" in result.stderr and str(tmp_path) in result.stderr, result.stderr


@pytest.mark.parametrize("code", [b"hello world, not wasm", bytes(range(256)) * 16, b"\0asm\1\0\0\0" + b"\xff" * 64,
                                  b"\x7fELF" + b"\0" * 100])
def test_random(tmp_path, code):
    result = load(tmp_path, code)
    assert result.returncode == 1
    assert "bad-one" in result.stderr
    assert len(result.stderr) < 4000


def test_no_abi_marker(tmp_path):
    result = load(tmp_path, b'(module (memory (export "memory") 1))')
    assert result.returncode == 1
    assert "no function proxy_abi_version_0_1_0, 0_2_0 or 0_2_1 is exported" in result.stderr


def test_missing_imports_are_all_named(tmp_path):
    result = load(tmp_path, b'''(module (import "env" "no_such_call" (func)) (import "env" "nor_this" (func))
        (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) i32.const 0))''')
    assert result.returncode == 1
    assert "no_such_call" in result.stderr and "nor_this" in result.stderr


def test_unreadable_file(tmp_path):
    plugin = wasm("trivial")
    plugin["typed_config"]["config"]["vm_config"]["code"]["local"] = {"filename": "/no/such/plugin.wasm"}
    path = tmp_path / "weir.json"
    path.write_text(json.dumps(simple(filters=[plugin])))
    result = run_weir("-c", path)
    assert result.returncode == 1
    assert "/no/such/plugin.wasm" in result.stderr
