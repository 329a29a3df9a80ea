# SPDX-License-Identifier: Apache-2.0
#
# docs/plugins: each page's files are written, its commands run, and the plugin that comes out answers as the first
# page says.

import os
import re
import subprocess

import pytest

from support import sdk
from support.http1 import request
from support.pages import block, with_ports
from support.process import BUILD, SOURCE

pytestmark = pytest.mark.slow

PAGES = SOURCE / "docs/plugins"
LANGUAGE = {"c": "c", "cpp": "cpp", "rust": "rust", "go": "go", "assemblyscript": "assemblyscript"}
FILE = re.compile(r"`([\w./-]+)`:\n\n```\w+\n(.*?)```", re.S)
COMMAND = re.compile(r"```sh\n(.*?)```", re.S)
# What changes the machine is installed by tools/setup.sh.
NOT_RUN = ("apt-get ", "rustup ")


def tree(directory):
    """$WEIR of the pages: the sources, and the build wherever it is."""
    root = directory / "weir"
    root.mkdir()
    (root / "sdk").symlink_to(SOURCE / "sdk")
    (root / "build").symlink_to(BUILD)
    return root


def run_page(page, directory, environment):
    text = page.read_text()
    for name, content in FILE.findall(text):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    for command in COMMAND.findall(text):
        if command.startswith(NOT_RUN):
            continue
        done = subprocess.run(["sh", "-ec", command], cwd=directory, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def toolchain(language, work):
    """The page's commands as they are, on what the machine has already: no network."""
    if language == "rust":
        work.joinpath("Cargo.lock").write_bytes((SOURCE / "tests/sdk/rust/Cargo.lock").read_bytes())
        flags = f"--sysroot={sdk.build.rust_sysroot()} -C link-self-contained=no -L native=/usr/lib/wasm32-wasi"
        return {"PATH": "/usr/bin:" + os.environ["PATH"], "RUSTC": sdk.build.RUSTC, "CARGO_NET_OFFLINE": "true",
                "CARGO_TARGET_WASM32_WASIP1_LINKER": "/usr/bin/wasm-ld", "CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS": flags}
    if language == "go":
        return {"GOPROXY": "off", "GOSUMDB": "off", "GOFLAGS": ""}
    if language == "assemblyscript":
        return {"npm_config_prefer_offline": "true"}
    return {}


def configuration(module):
    yaml = with_ports(block("plugins/README.md"), {8080: 0}).replace("filename: hello.wasm", f"filename: {module}")
    return "admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }\n" + yaml


@pytest.mark.parametrize("language", [l for l in LANGUAGE if (PAGES / f"{l}.md").exists()])
@pytest.mark.skipif(BUILD.resolve() != (SOURCE / "build").resolve(), reason="a page is built once")
def test_page(start, tmp_path, language):
    sdk.module(LANGUAGE[language])  # leaves what the toolchain fetches in its cache
    work = tmp_path / "work"
    work.mkdir()
    run_page(PAGES / f"{language}.md", work, dict(os.environ, WEIR=str(tree(tmp_path)), **toolchain(language, work)))
    weir = start(configuration(work / "hello.wasm"))
    for _ in range(2):
        answer = request(weir.port)
        assert (answer.status, answer.text, answer.get("x-hello")) == (200, "hi\n", "good morning")


def test_every_page_is_in_the_list():
    listed = set(re.findall(r"\]\((\w+\.md)\)", (PAGES / "README.md").read_text()))
    assert {p.name for p in PAGES.glob("*.md")} - {"README.md"} <= listed
