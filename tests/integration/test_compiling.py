# SPDX-License-Identifier: Apache-2.0
"""Compilation in processes of their own: what a bomb costs, who survives whom, and code that is replaced."""

import json
import os
import signal
import subprocess
from pathlib import Path

from support import http1
from support.config import simple, wasm
from support.process import BUILD, WEIR, Weir, run_weir, wait_until


def leb(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


def section(number, content):
    return bytes([number]) + leb(len(content)) + content


def bomb(steps):
    """A plugin with one function for whose hundred variables registers are found slowly."""
    code = b"".join(bytes([0x20, i * 7 % 100, 0x20, i * 13 % 97, 0x6a, 0x21, i * 29 % 89, 0x20, i * 7 % 100, 0x04, 0x40,
                           0x0b]) for i in range(steps))
    marker = b"\x01\x64\x7f" + code + b"\x0b"
    allocator = b"\x00\x41\x00\x0b"
    names = (b"memory\x02\x00", b"malloc\x00\x01", b"proxy_abi_version_0_2_1\x00\x00")
    exports = b"".join(leb(len(name) - 2) + name for name in names)
    return (b"\0asm\x01\0\0\0" + section(1, b"\x02\x60\0\0\x60\x01\x7f\x01\x7f") + section(3, b"\x02\0\x01") +
            section(5, b"\x01\0\x01") + section(7, b"\x03" + exports) +
            section(10, b"\x02" + leb(len(marker)) + marker + leb(len(allocator)) + allocator))


def padded(directory, mebibytes):
    """The trivial plugin with a custom section, so large that it is compiled quickly first."""
    path = Path(directory) / "padded.wasm"
    path.write_bytes((BUILD / "tests/plugins/trivial.wasm").read_bytes() +
                     section(0, b"\x07padding" + bytes(mebibytes << 20)))
    return path


def plugin_file(path):
    plugin = wasm("trivial")
    plugin["typed_config"]["config"]["vm_config"]["code"] = {"local": {"filename": str(path)}}
    return simple(filters=[plugin])


def bomb_config(directory, steps=400000):
    wasm_path = Path(directory) / "bomb.wasm"
    wasm_path.write_bytes(bomb(steps))
    path = Path(directory) / "bomb.json"
    path.write_text(json.dumps(plugin_file(wasm_path)))
    return path


def test_a_compile_bomb_costs_an_error_message(tmp_path):
    path = bomb_config(tmp_path)
    result = run_weir("-c", path, "--wasm-cache-dir", "none", "--wasm-compile-cpu-max-s", 1)
    assert result.returncode == 1
    assert 'plugin "trivial"' in result.stderr
    assert "limit of 1 s of processor time" in result.stderr and "compile_cpu_max_s" in result.stderr


def children(pid):
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_compiler_dies_with_the_proxy_and_not_the_other_way(tmp_path):
    path = bomb_config(tmp_path)
    arguments = [str(WEIR), "-c", str(path), "--wasm-cache-dir", "none"]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as proxy:
        compiler = wait_until(lambda: children(proxy.pid), "a compiler")[0]
        # Nothing of the proxy's is there: no descriptors but three, no environment.
        wait_until(lambda: len(os.listdir(f"/proc/{compiler}/fd")) == 3, "three descriptors")
        assert "--compile-plugin" in Path(f"/proc/{compiler}/cmdline").read_text()
        os.kill(compiler, signal.SIGTERM)
        _, said = proxy.communicate(timeout=60)
        assert proxy.returncode == 1
        assert "the compiler died by signal 15" in said
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as proxy:
        compiler = wait_until(lambda: children(proxy.pid), "a compiler")[0]
        wait_until(lambda: "--compile-plugin" in Path(f"/proc/{compiler}/cmdline").read_text(), "its start")
        wait_until(lambda: len(os.listdir(f"/proc/{compiler}/fd")) == 3, "three descriptors")
        proxy.kill()
        proxy.wait()
        wait_until(lambda: gone(compiler), "the compiler's end")


def test_a_big_plugin_serves_at_once_and_is_optimised_behind(tmp_path):
    config = plugin_file(padded(tmp_path, 4))
    with Weir(tmp_path / "first", config, "--wasm-cache-dir", str(tmp_path / "cache")) as weir:
        assert http1.request(weir.port).status == 200
        weir.wait_log(r'plugin "trivial": optimised code is there after')
        assert http1.request(weir.port).status == 200
    with Weir(tmp_path / "second", config, "--wasm-cache-dir", str(tmp_path / "cache")) as weir:
        assert http1.request(weir.port).status == 200
        assert weir.plugin("trivial")["from_cache"]
    assert "optimised" not in weir.log()


def test_compiled_now_or_before_is_the_same_memory(tmp_path):
    config, sizes = simple(filters=[wasm("trivial")]), []
    for run in ("compiled", "cached"):
        with Weir(tmp_path / run, config, "--wasm-cache-dir", str(tmp_path / "cache")) as weir:
            assert http1.request(weir.port).status == 200
            sizes.append(weir.rss_bytes())
    assert sizes[0] - sizes[1] < 2 << 20
