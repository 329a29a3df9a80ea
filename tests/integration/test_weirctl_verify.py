# SPDX-License-Identifier: Apache-2.0
"""weirctl plugin verify: what it says of good plugins, of bad files and of hostile ones; and the tool's front."""

import pytest

from support import envoy
from support.process import BUILD
from support.weirctl import weirctl, weirctl_json

GOOD = BUILD / "plugins/add-header.wasm"
HEADER = b"\0asm\x01\0\0\0"


def test_a_good_plugin_is_described():
    report = weirctl_json("plugin", "verify", GOOD)
    assert report["ok"] and report["abi"] == "0.2.1" and report["problems"] == []
    assert report["language"] == "C" and report["sdk"] == "Weir's C SDK"
    assert report["bytes"] == GOOD.stat().st_size > report["code_bytes"] > 0
    assert report["memory"]["min_bytes"] % 65536 == 0
    assert report["compiled"]["bytes"] > 0
    assert all(row["weir"] and row["envoy"] for row in report["imports"])
    assert {"name": "proxy_on_configure", "kind": "function", "type": "(i32, i32) -> (i32)",
            "use": "callback"} in report["exports"]
    assert "can change headers and trailers" in report["capabilities"]


def test_text_says_the_same():
    text = weirctl("plugin", "verify", GOOD).stdout
    for words in ("ABI 0.2.1", "can change headers and trailers", "env.proxy_log (i32, i32, i32) -> (i32)",
                  "callback   proxy_on_configure"):
        assert words in text
    assert "imports" not in weirctl("plugin", "verify", "--quiet", GOOD).stdout


def stand_in(tmp_path, version, answer, status):
    """A program that talks as Envoy does."""
    program = tmp_path / "some-envoy"
    program.write_text(f"#!/bin/sh\n[ $1 = --version ] && {{ echo '{version}'; exit; }}\n"
                       f"echo \"$@\" > {tmp_path}/asked\ncat <<'EOF'\n{answer}\nEOF\nexit {status}\n")
    program.chmod(0o755)
    return program


VERSION = "some-envoy  version: 0123abc/1.40.0/Clean/RELEASE/BoringSSL"


def test_an_envoy_is_asked(tmp_path):
    assert weirctl_json("plugin", "verify", GOOD)["envoy"] is None
    assert "Envoy        by a table" in weirctl("plugin", "verify", GOOD).stdout
    program = stand_in(tmp_path, VERSION, "configuration OK", 0)
    report = weirctl_json("plugin", "verify", "--envoy", program, GOOD)
    assert report["ok"] and report["envoy"] == {"program": str(program), "version": "1.40.0", "loads": True, "says": None}
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("--mode validate") and f'filename: "{GOOD}"' in asked
    assert f"Envoy        1.40.0 loads it ({program} was asked)" in weirctl("plugin", "verify", "--envoy", program, GOOD).stdout


def test_an_envoy_that_refuses_says_why(tmp_path):
    """It is about Envoy: for Weir the file is a plugin all the same."""
    program = stand_in(tmp_path, VERSION, "[1][2][error][wasm] [a/wasm_vm.cc:38] Failed to load: env.nope\n[1][critical] more", 1)
    report = weirctl_json("plugin", "verify", "--envoy", program, GOOD)
    assert report["ok"] and report["envoy"]["loads"] is False and report["envoy"]["says"] == "Failed to load: env.nope"
    assert "does not load it" in weirctl("plugin", "verify", "--envoy", program, GOOD).stdout


@pytest.mark.parametrize("version, words", [("nginx version: nginx/1.22.1", "is no Envoy"), (None, "cannot be started")])
def test_no_envoy_is_an_error(tmp_path, version, words):
    program = stand_in(tmp_path, version, "", 0) if version else tmp_path / "nothing"
    done = weirctl("plugin", "verify", "--envoy", program, GOOD, status=2)
    assert words in done.stderr and done.stdout == ""


def test_a_real_envoy_is_asked(tmp_path):
    program = envoy.binary()
    report = weirctl_json("plugin", "verify", "--envoy", program, GOOD)
    assert report["envoy"]["loads"] and report["envoy"]["version"].startswith("1.")
    odd = tmp_path / "odd.wasm"
    odd.write_bytes(module(imports=name("env") + name("nope") + b"\0\0"))
    report = weirctl_json("plugin", "verify", "--envoy", program, odd, status=1)
    assert not report["envoy"]["loads"] and "missing import: env.nope" in report["envoy"]["says"]


def leb(number):
    out = b""
    while True:
        number, byte = number >> 7, number & 0x7f
        out += bytes([byte | (0x80 if number else 0)])
        if not number:
            return out


def section(number, content):
    return bytes([number]) + leb(len(content)) + content


def name(text):
    return leb(len(text)) + text.encode()


def module(marker=True, imports=b"", customs=b""):
    """A plugin by hand: one type () -> (), one function, one memory."""
    exports = [name("memory") + b"\x02\0"]
    if marker:
        exports.append(name("proxy_abi_version_0_2_1") + b"\0" + leb(1 if imports else 0))
    return (HEADER + section(1, b"\x01\x60\0\0") + (section(2, leb(1) + imports) if imports else b"")
            + section(3, b"\x01\0") + section(5, b"\x01\0\x01")
            + section(7, leb(len(exports)) + b"".join(exports)) + section(10, b"\x01\x02\0\x0b") + customs)


@pytest.mark.parametrize("content, words", [
    (b"", "empty"),
    (b"#!/bin/sh\n", "not WebAssembly"),
    (b"\0asm\x0d\0\x01\0", "component"),
    (HEADER + b"\x01\xff\xff\xff\xff\x0f", "truncated"),
    (HEADER + section(1, leb(1 << 30)), "truncated"),
    (module(marker=False), "proxy_abi_version"),
    (module(), "no allocator"),
    (module(imports=name("env") + name("no_such") + b"\0\0"), "env.no_such"),
    (module(imports=name("wasi_snapshot_preview1") + name("fd_write") + b"\0\0"), "type mismatch"),
], ids=["empty", "text", "component", "cut", "bomb", "no-marker", "no-allocator", "import", "type"])
def test_what_weir_cannot_run_is_named(tmp_path, content, words):
    path = tmp_path / "bad.wasm"
    path.write_bytes(content)
    report = weirctl_json("plugin", "verify", path, status=1)
    assert not report["ok"] and words in " ".join(report["problems"])
    assert words in weirctl("plugin", "verify", path, status=1).stdout


@pytest.mark.parametrize("content", [
    b"\xff" * 40, leb(16) + name("language") + leb(1 << 31), leb(1) + name("x" * 300) + leb(0),
    leb(1) + name("language") + leb(1) + name("\u00e9") + b"\x02\xff\xfe", leb(3),
], ids=["noise", "huge-count", "long-field", "not-utf8", "short"])
def test_hostile_producers_are_survived(tmp_path, content):
    path = tmp_path / "producers.wasm"
    path.write_bytes(module(customs=section(0, name("producers") + content)))
    report = weirctl_json("plugin", "verify", path, status=1)
    assert report["language"] == "unknown" and isinstance(report["producers"], dict)


def test_every_cut_of_a_real_plugin_is_refused(tmp_path):
    content, path = GOOD.read_bytes(), tmp_path / "cut.wasm"
    end = content.rindex(b"proxy_on_configure")
    for length in range(0, end, max(1, end // 25)):
        path.write_bytes(content[:length])
        assert weirctl_json("plugin", "verify", path, status=1)["problems"]


def test_the_front():
    assert weirctl("--version").stdout.startswith("weirctl ")
    assert "verify" in weirctl("--help").stdout
    assert "Usage: weirctl plugin verify" in weirctl("plugin", "verify", "--help").stdout
    assert "complete -o default -F _weirctl weirctl" in weirctl("completion", "bash").stdout


@pytest.mark.parametrize("arguments, words", [
    (["plugin"], "a command is missing"),
    (["plugin", "frobnicate"], "no command"),
    (["plugin", "verify"], "FILE is missing"),
    (["plugin", "verify", "a", "b"], "one argument too many"),
    (["plugin", "verify", "--nope", "a"], "unknown option --nope"),
    (["plugin", "verify", "/nonexistent/x.wasm"], "No such file"),
    (["plugin", "verify", "/"], "directory"),
])
def test_usage_errors_say_what_to_do(arguments, words):
    done = weirctl(*arguments, status=2)
    assert words in done.stderr and done.stdout == ""


def test_errors_are_json_too():
    assert "No such file" in weirctl_json("plugin", "verify", "/nonexistent/x.wasm", status=2)["error"]
