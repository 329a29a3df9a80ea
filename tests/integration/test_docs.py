# SPDX-License-Identifier: Apache-2.0
"""Every whole configuration in docs/ is one that Weir takes, without a warning about a field that has no effect."""

import re

import pytest

from support.process import BUILD, SOURCE, run_weir
from support.tls import Authority

BLOCK = re.compile(r"^```(?:yaml|json)\n(.*?)^```", re.M | re.S)


def configurations():
    for page in sorted([SOURCE / "README.md", *(SOURCE / "docs").rglob("*.md")]):
        for number, text in enumerate(BLOCK.findall(page.read_text()), 1):
            if re.search(r"^(static_resources|admin):", text, re.M) or text.lstrip().startswith('{"static_resources"'):
                yield pytest.param(text, id=f"{page.relative_to(SOURCE)}:{number}")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca")).issue("web")


@pytest.mark.parametrize("text", list(configurations()))
def test_accepted(text, pair, tmp_path):
    def there(match):
        """Certificates are made here; plugins are those of this build, or stand for one that the page makes."""
        name = match[2]
        if name.endswith((".crt", ".pem")):
            name = pair.certificate
        elif name.endswith(".key"):
            name = pair.key
        elif name.endswith(".wasm"):
            name = BUILD / name.removeprefix("build/")
            name = name if name.exists() else BUILD / "tests/plugins/trivial.wasm"
        return f"{match[1]}{name}{match[3]}"

    text = re.sub(r"""(filename: ["']?)([^"'\s},]+)(["']?)""", there, text)
    path = tmp_path / "weir.yaml"
    path.write_text(text)
    result = run_weir("-c", path, "--mode", "validate", "--wasm-cache-dir", tmp_path / "cache", cwd=SOURCE)
    assert result.returncode == 0, result.stderr + result.stdout
    assert "inert" not in result.stdout + result.stderr


def test_there_are_some():
    assert len(list(configurations())) >= 8
