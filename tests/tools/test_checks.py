# SPDX-License-Identifier: Apache-2.0
"""The checks of tools/checks find what they are there to find, and leave good code alone.

Each case is a small tree with one mistake; no check may need the real tree here.
"""

import importlib
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "checks"))

GOOD = "/* SPDX-License-Identifier: Apache-2.0 */\n/* A file for the tests of the checks; it must never be built. */\n"


@pytest.fixture
def tree(tmp_path):
    """Writes files given as {path: text} and runs a check over them."""
    def run(check: str, files: dict[str, str]) -> list[str]:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return importlib.import_module(check).check(tmp_path)
    return run


LAYERS = "room include:\nroom base:\nroom http: base\nroom net: base include\nextern uv.h: net\n"


@pytest.mark.parametrize("include,problem", [
    ('"base/slice.h"', None),
    ('"http/other.h"', None),
    ("<stdio.h>", None),
    ('"net/loop.h"', "http may not include net/loop.h"),
    ("<uv.h>", "<uv.h> only in net"),
    ("<proxywasm/vm.h>", "http may not include proxywasm/vm.h"),
    ('"../base/slice.h"', "include by .."),
])
def test_layers(tree, include, problem):
    found = tree("layers", {"tools/layers.txt": LAYERS, "src/http/a.c": f"// x\n#include {include}\n"})
    assert len(found) == (problem is not None)
    assert all(problem in line and line.startswith("src/http/a.c:2:") for line in found)


def test_layers_ignores_comments(tree):
    text = '/*\n#include "net/loop.h"\n*/\n'
    assert tree("layers", {"tools/layers.txt": LAYERS, "src/http/a.c": text}) == []


def test_layers_unknown_room(tree):
    assert "not in tools/layers.txt" in tree("layers", {"tools/layers.txt": LAYERS, "src/what/a.c": ""})[0]


def test_layers_list_must_be_ordered(tree):
    with pytest.raises(SystemExit):
        tree("layers", {"tools/layers.txt": "room http: base\nroom base:\n", "src/http/a.c": ""})


def long_function(lines: int) -> str:
    return "int f(int a)\n{\n" + "    a++;\n" * (lines - 4) + "    return a;\n}\n"


def test_size_of_functions(tree):
    assert tree("size", {"src/base/a.c": long_function(120)}) == []
    found = tree("size", {"src/base/a.c": long_function(121)})
    assert found == ["src/base/a.c:1: f has 121 lines, at most 120"]


def test_size_of_files(tree):
    assert tree("size", {"src/base/a.c": "\n" * 1200}) == []
    assert "1201 lines" in tree("size", {"src/base/a.c": "\n" * 1201})[0]


def test_size_exceptions(tree):
    allow = "src/base/a.c:f one row per case\n"
    assert tree("size", {"src/base/a.c": long_function(200), "tools/size_allow.txt": allow}) == []
    assert "remove the line" in tree("size", {"src/base/a.c": long_function(20), "tools/size_allow.txt": allow})[0]
    found = tree("size", {"src/base/a.c": long_function(200), "tools/size_allow.txt": "src/base/a.c:f\n"})
    assert "needs a reason" in found[0]


@pytest.mark.parametrize("line,bad", [
    ("strcpy(a, b);", True),
    ("return atoi (a);", True),
    ("x = sprintf(a, b);", True),
    ("snprintf(a, 1, b);", False),
    ("my_strcpy(a, b);", False),
    ("ops->system(a);", False),
    ("/* strcpy(a, b) */", False),
    ('log("strcpy(a, b)");', False),
])
def test_banned_calls(tree, line, bad):
    assert bool(tree("banned", {"src/base/a.c": f"void f(void)\n{{\n    {line}\n}}\n"})) == bad


def test_banned_not_in_tests(tree):
    assert tree("banned", {"tests/unit/a.c": "void f(void)\n{\n    strcpy(a, b);\n}\n"}) == []


def test_goto(tree):
    forward = "int f(void)\n{\n    if (g())\n        goto out;\n    h();\nout:\n    return 1;\n}\n"
    assert tree("banned", {"src/base/a.c": forward}) == []
    backward = "int f(void)\n{\nagain:\n    if (g())\n        goto again;\n    return 1;\n}\n"
    assert "does not go forward" in tree("banned", {"src/base/a.c": backward})[0]
    two = "int f(void)\n{\n    goto a;\n    goto b;\na:\n    g();\nb:\n    return 1;\n}\n"
    assert "2 goto labels" in tree("banned", {"src/base/a.c": two})[0]


@pytest.mark.parametrize("name,text,problem", [
    ("src/base/a.c", GOOD + "int a;\n", None),
    ("src/base/a.c", "int a;\n", "SPDX"),
    ("src/base/a.c", GOOD.split("\n")[0] + "\nint a; /* a comment that comes too late to introduce the file */\n",
     "no paragraph"),
    ("tools/a.py", "# SPDX-License-Identifier: Apache-2.0\nimport os\n", "no paragraph"),
    ("tools/a.sh", "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n#\n# "
     "A script that does nothing and must never do more.\nexit\n", None),
    ("docs/a.md", "text\n", None),
])
def test_intro(tree, name, text, problem):
    found = tree("intro", {name: text})
    assert len(found) == (problem is not None)
    assert all(problem in line for line in found)


@pytest.mark.parametrize("text,bad", [
    ("cd /wor" + "k/main", True),
    ("/roo" + "t/.cargo", True),
    ("https://pypi.or" + "g/simple", True),
    ("GET /root HTTP/1.1", False),
    ("prefix: /work", False),
    ("src/framework/a", False),
])
def test_paths(tree, text, bad):
    assert bool(tree("paths", {"docs/a.md": text})) == bad


def test_symbols():
    compare = importlib.import_module("symbols").compare
    assert compare({"pw_a"}, {"pw_a"}, {"pw_a"}) == []
    assert compare({"pw_a", "pw_b"}, {"pw_a"}, {"pw_a"}) == [
        "include/proxywasm/symbols.txt: pw_b is listed but not exported"]
    assert compare({"pw_a"}, {"pw_a", "pw_b"}, {"pw_a", "pw_b"}) == [
        "include/proxywasm/symbols.txt: pw_b is exported but not listed"]
    assert compare({"pw_a"}, {"pw_a"}, set()) == ["pw_a: exported but in no public header"]
    assert compare({"pw_a"}, {"pw_a"}, {"pw_a", "pw_b"}) == ["pw_b: in a public header but not exported"]
    assert "without the pw_ prefix" in compare({"arena_create"}, {"arena_create"}, {"arena_create"})[0]


def test_symbols_of_headers(tmp_path):
    declared = importlib.import_module("symbols").declared
    header = tmp_path / "a.h"
    header.write_text("/* pw_not( */\nint pw_a(int);\nvoid *pw_b(void);\ntypedef int (*pw_c_fn)(int);\n"
                      "struct pw_s { void (*pw_d)(void); };\n")
    assert declared([header]) == {"pw_a", "pw_b"}
