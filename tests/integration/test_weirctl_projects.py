# SPDX-License-Identifier: Apache-2.0
"""weirctl plugin init, build and test: a new project of each language builds and passes its own test; what is in the
way, missing or wrong is named; the picker on a terminal."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from support.process import BUILD, DEADLINE_S, SANITIZED, SOURCE, Weir
from support.sdk import missing
from support.weirctl import WEIRCTL, weirctl, weirctl_json
from support import http1

pytestmark = pytest.mark.slow

SDK_BUILD = SOURCE / "tests/sdk/build.py"  # its caches are shared
SDK_DIR = BUILD / "sdk"


def initialised(directory, language, name="hello-there"):
    project = directory / name
    report = weirctl_json("plugin", "init", project, "--lang", language)
    assert report["ok"] and report["name"] == name and report["language"] == language
    assert all((project / file).is_file() for file in report["files"])
    return project


def check_new_project(project, language, **env):
    tested = weirctl_json("plugin", "test", project, env=env, timeout=600)
    assert tested["ok"] and tested["run"]["passed"] == 3 and tested["run"]["failed"] == 0
    verified = tested["build"]["verify"]
    assert verified["language"] == language and verified["sdk"] and verified["names"]
    assert (project / "build/hello-there.wasm").stat().st_size == verified["bytes"]
    # A change that breaks the plugin's promise is noticed.
    tests = project / "tests/plugin.json"
    tests.write_text(tests.read_text().replace('"config": "world"', '"config": "moon"'))
    again = weirctl_json("plugin", "test", project, "--no-build", status=1)
    assert any('expected "world"' in d for r in again["run"]["requests"] for d in r["differences"])


@pytest.mark.parametrize("language, title", [("c", "C"), ("cpp", "C++")])
def test_c_and_cpp_projects_build_and_pass(tmp_path, language, title):
    if language == "cpp" and not os.path.exists("/usr/lib/wasm32-wasi/libc++.a"):
        missing("no libc++ for Wasm: apt-get install libc++-dev-wasm32")
    check_new_project(initialised(tmp_path, language), title)


def needs(program, reason, without=missing):
    if SANITIZED:
        pytest.skip("toolchains run once, with the plain build")
    if shutil.which(program) is None:
        without(f"no {program}: {reason}")


def test_a_go_project_builds_and_passes(tmp_path):
    needs("go", "Go 1.24 or later")
    version = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True).stdout.strip()
    if tuple(map(int, version.removeprefix("go").split(".")[:2])) < (1, 24):
        missing(f"{version} is too old")
    check_new_project(initialised(tmp_path, "go"), "Go")


def test_an_assemblyscript_project_builds_and_passes(tmp_path):
    needs("npm", "apt-get install npm")
    project = initialised(tmp_path, "assemblyscript")
    if (SDK_DIR / "assemblyscript/node_modules/.bin/asc").exists():
        (project / "node_modules").symlink_to(SDK_DIR / "assemblyscript/node_modules")
    check_new_project(project, "AssemblyScript")


def test_a_rust_project_builds_and_passes(tmp_path):
    needs("cargo", "rustup.rs")
    sysroots = sorted(SDK_DIR.glob("rust-*/lib/rustlib/wasm32-wasip1/lib"))
    rustup = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True).stdout.strip()
    has_target = os.path.isdir(f"{rustup}/lib/rustlib/wasm32-wasip1/lib")
    if not has_target and not sysroots:
        if not SDK_BUILD.exists() or subprocess.run(["python3", str(SDK_BUILD), "rust"], capture_output=True).returncode:
            missing("no Rust for wasm32-wasip1: rustup target add wasm32-wasip1")
        sysroots = sorted(SDK_DIR.glob("rust-*/lib/rustlib/wasm32-wasip1/lib"))
        if not sysroots:
            missing("no Rust for wasm32-wasip1: rustup target add wasm32-wasip1")
    env = {"WEIR_RUST_SYSROOT": str(sysroots[0].parents[3])} if sysroots else {}
    check_new_project(initialised(tmp_path, "rust"), "Rust", CARGO_TARGET_DIR=str(SDK_DIR / "rust-target-init"),
                      CARGO_NET_RETRY="10", **env)


def test_a_new_project_runs_in_weir(tmp_path):
    project = initialised(tmp_path, "c")
    weirctl("plugin", "build", project)
    config = (project / "weir.yaml").read_text().replace("port_value: 8080", "port_value: 0").replace(
        "filename: build/", f"filename: {project}/build/")
    with Weir(tmp_path / "weir", config + "admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }\n") as weir:
        statuses = json.loads(weir.admin("/listeners?format=json").body)["listener_statuses"]
        port = statuses[0]["local_address"]["socket_address"]["port_value"]
        answer = http1.request(port, path="/hello")
        assert (answer.status, answer.get("x-hello"), answer.text) == (200, "world", "hi\n")
        assert http1.request(port, path="/denied").status == 403


def test_a_tinygo_project_builds_and_passes(tmp_path):
    needs("tinygo", "it is in no registry of packages (Debian, PyPI, npm; the Go module proxy refuses it): tinygo.org has it",
          without=pytest.skip)
    project = initialised(tmp_path, "tinygo")
    subprocess.run(["go", "mod", "tidy"], cwd=project, check=True, capture_output=True)
    check_new_project(project, "TinyGo")


def test_a_tinygo_project_becomes_one_for_plain_go(tmp_path):
    """The steps of its TINYGO.md."""
    needs("go", "Go 1.24 or later")
    project, plain = initialised(tmp_path, "tinygo"), initialised(tmp_path / "plain", "go")
    steps = (project / "TINYGO.md").read_text()
    version, required = re.search(r"`(go 1\.\d+)`, and `(require [^`]+)`", steps).groups()
    (project / "go.mod").write_text(re.sub(r"(?m)^go .*|^require .*", lambda m: version if m[0].startswith("go") else required,
                                           (project / "go.mod").read_text()))
    source = (project / "main.go").read_text()
    source = source.replace("github.com/tetratelabs/", "github.com/proxy-wasm/").replace("func main() {", "func init() {")
    (project / "main.go").write_text(source + "\nfunc main() {}\n")
    shutil.copy(plain / "go.sum", project / "go.sum")
    tested = weirctl_json("plugin", "test", project, timeout=600)
    assert tested["ok"] and tested["run"]["passed"] == 3 and tested["build"]["verify"]["language"] == "Go"


def test_tinygo_is_named_when_it_is_missing(tmp_path):
    project = initialised(tmp_path, "tinygo")
    assert "tinygo build -o build/hello-there.wasm" in (project / "TINYGO.md").read_text()
    if shutil.which("tinygo"):
        pytest.skip("there is a TinyGo here")
    report = weirctl_json("plugin", "build", project, status=1)
    assert report["language"] == "tinygo" and "weirctl plugin init --lang go" in report["error"]


def test_runtime_config_has_the_form_of_webassembly_hub(tmp_path):
    project = initialised(tmp_path, "c")
    config = json.loads((project / "runtime-config.json").read_text())
    assert config["type"] == "envoy_proxy" and config["config"]["rootIds"] == ["hello-there"]
    assert "v0.2.1" in config["abiVersions"]
    assert "/build/" in (project / ".gitignore").read_text()
    for path in project.rglob("*"):
        assert path.is_dir() or not re.search(r"@[A-Z]+@", path.read_text()), path


@pytest.mark.parametrize("program, language, words", [
    ("clang", "c", "apt-get install clang lld wasi-libc"), ("go", "go", "Go 1.24 or later, from go.dev"),
    ("cargo", "rust", "rustup target add wasm32-wasip1"), ("npm", "assemblyscript", "apt-get install nodejs npm"),
])
def test_a_missing_toolchain_is_named_with_the_way_to_get_it(tmp_path, program, language, words):
    if program == "cargo" and os.path.exists("/usr/bin/cargo"):
        pytest.skip("Debian's Rust is here and would be used")
    project = initialised(tmp_path, language)
    report = weirctl_json("plugin", "build", project, status=1, env={"PATH": str(tmp_path)})
    assert "is missing" in report["error"] and words in report["error"]


def test_compilers_errors_are_shown(tmp_path):
    project = initialised(tmp_path, "c")
    source = project / "plugin.c"
    source.write_text(source.read_text().replace("WSDK_PLUGIN(", "NO_SUCH("))
    done = weirctl("plugin", "build", project, status=1)
    assert "plugin.c" in done.stderr and "error:" in done.stderr


def test_a_module_that_is_no_plugin_fails_the_build(tmp_path):
    (tmp_path / "plain.c").write_text("int x;\n")
    report = weirctl_json("plugin", "build", tmp_path, status=1)
    assert not report["ok"] and "proxy_abi_version" in report["error"]


def test_init_writes_nothing_over_a_file(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    done = weirctl("plugin", "init", tmp_path, "--lang", "c", "--name", "x", status=2)
    assert "README.md is there already" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize("arguments, words", [
    (["init", "--lang", "cobol"], "c, cpp, rust, go, tinygo or assemblyscript"),
    (["init", "--lang", "c", "--name", "1x"], "letters, digits"),
    (["init", "--lang", "c", "--name", "../x"], "letters, digits"),
    (["init", "a", "b"], "one argument too many"),
    (["build", "/nonexistent"], "is no directory"),
    (["build", "."], "holds no plugin project"),
    (["test", "."], "holds no plugin project"),
    (["test", "--no-build", "."], "holds no plugin project"),
])
def test_usage_errors(tmp_path, arguments, words):
    assert words in weirctl("plugin", *arguments, status=2, cwd=tmp_path).stderr


def test_without_a_terminal_it_asks_for_a_line(tmp_path):
    weirctl("plugin", "init", tmp_path / "one", stdin="cpp\n")
    assert (tmp_path / "one/plugin.cc").exists()
    weirctl("plugin", "init", f"{tmp_path}/two/", stdin="4\n")
    assert (tmp_path / "two/go.mod").exists()
    assert "that is no language" in weirctl("plugin", "init", tmp_path / "x", stdin="perl\n", status=2).stderr
    assert "no language was chosen" in weirctl("plugin", "init", tmp_path / "x", stdin="", status=2).stderr
    assert not (tmp_path / "x").exists()


def on_terminal(directory, keys):
    """Runs init on a pseudo terminal and types `keys` once it has asked: exit status and what it wrote."""
    parent, child = pty.openpty()
    process = subprocess.Popen([str(WEIRCTL), "plugin", "init", str(directory)], stdin=child, stdout=child, stderr=child)
    os.close(child)
    seen, typed, end = b"", False, time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if select.select([parent], [], [], 0.1)[0]:
            try:
                block = os.read(parent, 4096)
            except OSError:  # the other side is closed
                break
            if not block:
                break
            seen += block
        if not typed and b"6. " in seen:
            os.write(parent, keys)
            typed = True
    os.close(parent)
    return process.wait(DEADLINE_S), seen.decode()


@pytest.mark.parametrize("keys, file", [
    (b"\r", "plugin.c"), (b"\x1b[B\r", "plugin.cc"), (b"\x1b[A\r", "package.json"), (b"\x1bOB\x1bOB\r", "Cargo.toml"),
    (b"4", "go.mod"), (b"jjk\n", "plugin.cc"), (b"9x\x1b[Z\r", "plugin.c"),
], ids=["enter", "down", "up-wraps", "application-mode", "number", "letters", "noise"])
def test_the_picker(tmp_path, keys, file):
    status, seen = on_terminal(tmp_path / "project", keys)
    assert status == 0, seen
    assert "Which language?" in seen and (tmp_path / "project" / file).exists()


@pytest.mark.parametrize("keys", [b"q", b"\x03", b"\x04"], ids=["q", "ctrl-c", "ctrl-d"])
def test_the_picker_can_be_left(tmp_path, keys):
    status, seen = on_terminal(tmp_path / "project", keys)
    assert status == 2 and "no language was chosen" in seen and not (tmp_path / "project").exists()


CALLOUT = """#include <wsdk.h>

static void answered(struct wsdk_context *root, uint32_t call, size_t headers, size_t bytes, size_t trailers)
{
    struct wsdk_bytes status;
    struct wsdk_reply deny = {.status = 403, .details = WSDK_STR("auth"), .body = WSDK_STR("no")};
    (void)call, (void)headers, (void)bytes, (void)trailers;
    wsdk_effective(root, wsdk_find(root, 2));
    if (wsdk_header_get(root, WSDK_CALL_RESPONSE_HEADERS, WSDK_STR(":status"), &status) == WSDK_OK &&
        wsdk_equal(status, WSDK_STR("200")))
        wsdk_continue(root, WSDK_HTTP_REQUEST);
    else
        wsdk_reply_send(root, &deny);
}

static enum wsdk_action request_headers(struct wsdk_context *ctx, size_t count, bool end)
{
    const struct wsdk_header headers[] = {{WSDK_STR(":method"), WSDK_STR("GET")},
                                          {WSDK_STR(":path"), WSDK_STR("/check")},
                                          {WSDK_STR(":authority"), WSDK_STR("auth")}};
    struct wsdk_http_request request = {
        .upstream = WSDK_STR("auth"), .headers = headers, .header_count = 3, .timeout_ms = 1000};
    uint32_t call;
    (void)count, (void)end;
    return wsdk_http_call(ctx, &request, &call) == WSDK_OK ? WSDK_PAUSE : WSDK_CONTINUE;
}

#define CALLBACKS(ON) ON(on_http_call_response, answered) ON(on_request_headers, request_headers)
WSDK_PLUGIN("callout", 0, 0, CALLBACKS);
"""


def test_callouts_are_answered(tmp_path):
    (tmp_path / "callout.c").write_text(CALLOUT)
    plugin = weirctl_json("plugin", "build", tmp_path)["output"]
    (tmp_path / "yes.http").write_text("HTTP/1.1 200 OK\nx-user: me\n\n")

    def run(*arguments, **options):
        return weirctl_json("plugin", "run", plugin, *arguments, **options)["requests"][0]

    good = run("--callout", f"auth={tmp_path}/yes.http")
    assert good["outcome"] == "upstream"
    assert good["callouts"] == [{"cluster": "auth", "method": "GET", "path": "/check", "body": "", "answer": "response"}]
    denied = run("--callout", "auth=401")
    assert denied["outcome"] == "local_reply" and denied["response"]["status"] == 403
    assert run("--callout", "auth=none")["response"]["status"] == 403
    assert run()["callouts"][0]["answer"] == "unknown cluster"
    assert "--callout auth=FILE gives it an answer" in weirctl("plugin", "run", plugin).stdout
