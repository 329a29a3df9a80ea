# SPDX-License-Identifier: Apache-2.0
#
# What the build leaves of each plugin: a small Wasm module that imports only what it calls, and a native object with
# one export and no writable data. And that the commands of docs/sdk-c.md do what they say. Starts no proxy.

import os
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("WEIR_BUILD_DIR", SOURCE / "build"))
SHIPPED = sorted(p.parent.name for p in SOURCE.glob("plugins/*/*.c") if "callbacks" in p.read_text().lower())
TESTING = sorted(p.stem for p in SOURCE.glob("tests/plugins/*.c"))
ALL = [f"plugins/{name}" for name in SHIPPED] + [f"tests/plugins/{name}" for name in TESTING]

ENV_IMPORTS = set(re.findall(r"X\((proxy_\w+), \d+\)", (SOURCE / "sdk/c/include/proxy_wasm_null.h").read_text()))


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def imports_of(wasm):
    listing = run("wasm-objdump", "-x", "-j", "Import", wasm)
    return set(re.findall(r"<- (\S+)\.(\S+)", listing))


def exports_of(wasm):
    return set(re.findall(r'-> "([^"]+)"', run("wasm-objdump", "-x", "-j", "Export", wasm)))


def sanitized(shared_object):
    return "__asan" in run("nm", shared_object) or "__tsan" in run("nm", shared_object)


def test_there_are_plugins():
    assert {"basic-auth", "add-header"} <= set(SHIPPED)
    assert {"allocator", "hostile", "probe", "trivial", "wild"} <= set(TESTING)


@pytest.mark.parametrize("plugin", ALL)
def test_wasm_module(plugin):
    wasm = BUILD / f"{plugin}.wasm"
    assert run("wasm-validate", str(wasm)) == ""
    imports = imports_of(str(wasm))
    assert {module for module, _ in imports} <= {"env"}, "no WASI needed"
    assert {name for _, name in imports} <= ENV_IMPORTS
    exports = exports_of(str(wasm))
    assert {"memory", "malloc", "_initialize", "proxy_abi_version_0_2_1", "proxy_on_context_create"} <= exports
    assert wasm.stat().st_size < 50_000
    # the name section is there: a backtrace shows functions, not numbers
    assert "<proxy_on_context_create>" in run("wasm-objdump", "-x", "-j", "Function", str(wasm))


@pytest.mark.parametrize("plugin", [f"plugins/{name}" for name in SHIPPED])
def test_shipped_wasm_is_small(plugin):
    assert (BUILD / f"{plugin}.wasm").stat().st_size < 40_000


def test_only_listed_callbacks_are_exported():
    callbacks = {e for e in exports_of(str(BUILD / "tests/plugins/trivial.wasm")) if e.startswith("proxy_on_")}
    assert callbacks == {"proxy_on_context_create", "proxy_on_delete", "proxy_on_request_headers",
                         "proxy_on_response_headers"}
    assert {name for _, name in imports_of(str(BUILD / "tests/plugins/trivial.wasm"))} == {
        "proxy_log", "proxy_get_header_map_value", "proxy_add_header_map_value"}


# What marker remembers is the whole VM's, on purpose: it only ever runs as Wasm.
@pytest.mark.parametrize("plugin", [p for p in ALL if p != "tests/plugins/marker"])
def test_native_object(plugin):
    so = str(BUILD / f"{plugin}.so")
    if sanitized(so):
        pytest.skip("a sanitizer adds data and exports")
    defined = run("nm", "-D", "--defined-only", so).split()
    assert [word for word in defined if word.startswith("pw_")] == ["pw_null_plugin_entry"]
    assert len(defined) == 3
    # Flags WA: writable when the program runs. Relocations are sealed (relro), everything else would be state.
    sections = re.findall(r"^\s*\[\s*\d+\]\s+(\S+)\s+\S+\s+\S+\s+\S+\s+(\S+)\s+\S+\s+(\w+)", run("readelf", "-SW", so),
                          re.M)
    writable = {name for name, size, flags in sections if "W" in flags and int(size, 16) != 0}
    assert writable <= {".data.rel.ro", ".dynamic", ".got", ".got.plt", ".init_array", ".fini_array"}


def test_the_page_about_the_sdk(tmp_path):
    page = (SOURCE / "docs/sdk-c.md").read_text()
    (tmp_path / "hello.c").write_text(re.search(r"```c\n(.*?)```", page, re.S).group(1))
    commands = re.findall(r"```sh\n(.*?)```", page, re.S)
    assert len(commands) == 2
    for command in commands:
        run("sh", "-ec", command, cwd=tmp_path, env={**os.environ, "WEIR": str(SOURCE)} | build_link(tmp_path, command))
    assert "proxy_on_request_headers" in exports_of(str(tmp_path / "hello.wasm"))
    assert "pw_null_plugin_entry" in run("nm", "-D", "--defined-only", str(tmp_path / "hello.so"))


def build_link(tmp_path, command):
    """The page says $WEIR/build; where the build is elsewhere, $WEIR is a tree of links that has it there."""
    if BUILD.resolve() == (SOURCE / "build").resolve():
        return {}
    tree = tmp_path / "weir"
    if not tree.exists():
        tree.mkdir()
        (tree / "sdk").symlink_to(SOURCE / "sdk")
        (tree / "build").symlink_to(BUILD)
    return {"WEIR": str(tree)}
