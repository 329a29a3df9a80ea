# SPDX-License-Identifier: Apache-2.0
"""docs/weirctl.md: its commands run, its files are read, its options and members are those that exist."""

import json
import os
import re
import subprocess

from support.process import BUILD, SOURCE
from support.weirctl import weirctl, weirctl_json

TEXT = (SOURCE / "docs/weirctl.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.M | re.S)


def test_commands_run_in_order(tmp_path):
    script = "".join(blocks("sh"))
    assert script.count("weirctl plugin") >= 7
    env = dict(os.environ, WEIRCTL_CACHE_DIR=str(tmp_path / "cache"), PATH=f"{BUILD / 'bin'}:{os.environ['PATH']}")
    done = subprocess.run(["bash", "-euxc", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ">+ x-plugin: hello" in done.stdout and "<+ x-hello: world" in done.stdout


def test_example_files_are_understood(tmp_path):
    plugin = BUILD / "plugins/add-header.wasm"
    (text,), (example, connections) = blocks("http"), blocks("json")
    (tmp_path / "a.http").write_text(text)
    names = [r["name"] for r in weirctl_json("plugin", "run", plugin, "-c", "{}", "--requests", tmp_path / "a.http")["requests"]]
    assert names == ["greets", "takes a body"]
    (tmp_path / "plugin.json").write_text(example)
    request = weirctl_json("plugin", "run", plugin, "-c", '{"response": {"x-hello": "world"}}', "--requests",
                           tmp_path / "plugin.json", status=1)["requests"][0]
    assert request["name"] == "says hello" and request["request"]["body"] == "text"
    (tmp_path / "answer.bin").write_bytes(b"> x")
    (tmp_path / "tcp.json").write_text(connections)
    first, second = weirctl_json("plugin", "run", plugin, "-c", "{}", "--requests", tmp_path / "tcp.json", status=1)["requests"]
    assert first["differences"] == ['upstream body: expected "HELLO", got "hello"'] and second["response"]["body"] == "hello"
    text = "\n".join(request["differences"])  # it is another plugin: what it does not do is told
    assert "x-plugin" in text and "x-secret" in text and "part of a line" in text and "hello_requests" in text
    assert "x-hello" not in text and "status" not in text


def test_every_option_of_run_is_documented():
    section = TEXT[TEXT.index("## run"):]
    options = set(re.findall(r"--([a-z-]+)", weirctl("plugin", "run", "--help").stdout)) - {"help", "quiet", "header", "data",
                                                                                         "env", "property", "verbose", "json"}
    assert options and all(f"--{option}" in section for option in options), options


def test_members_of_the_reports_are_documented():
    section = TEXT[TEXT.index("## JSON"):]
    verify = weirctl_json("plugin", "verify", BUILD / "plugins/add-header.wasm")
    run = weirctl_json("plugin", "run", BUILD / "plugins/add-header.wasm", "-c", "{}")
    for report in (verify, run, run["requests"][0], verify["imports"][0], verify["exports"][0], run["costs"][0]):
        assert all(f"`{name}`" in section for name in report), set(report)
    assert json.dumps(run)
