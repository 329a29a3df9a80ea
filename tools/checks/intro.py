#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every source file begins with the licence line and a paragraph: what it is, what it must never do."""

import pathlib
import re

import common

SPDX = "SPDX-License-Identifier: Apache-2.0"
INTRO_MIN = 25  # letters; a title is not a paragraph
HASHED = (".sh", ".cmake", ".toml", "CMakeLists.txt", "Makefile", ".ci/run")
SLASHED = (".c", ".h", ".rs", ".proto", ".cc", ".hpp", ".js", ".css", ".go")
COMMENT = {
    "hash": re.compile(r"(?:^#(?!!).*\n)+", re.M),
    "slash": re.compile(r"/\*.*?\*/|(?:^\s*//.*\n)+", re.M | re.S),
    "python": re.compile(r'""".*?"""|(?:^#(?!!).*\n)+', re.M | re.S),
}


def kind_of(path: str) -> str | None:
    if path.endswith(".py"):
        return "python"
    if path.endswith(HASHED):
        return "hash"
    if path.endswith(SLASHED):
        return "slash"
    return None


def intro_chars(text: str, kind: str) -> int:
    """Letters in the comments that stand before the first code."""
    count, position = 0, 0
    for match in COMMENT[kind].finditer(text):
        if text[position:match.start()].strip() and not text[position:match.start()].startswith("#!"):
            break
        words = match.group().replace(SPDX, "")
        count += sum(c.isalpha() for c in words)
        position = match.end()
    return count


def check(root: pathlib.Path) -> list[str]:
    problems = []
    for path in common.files(root):
        kind = kind_of(path)
        if not kind or path == "engine/Cargo.lock":
            continue
        text = (root / path).read_text()
        if not text.strip() and path.endswith("__init__.py"):
            continue
        if SPDX not in "\n".join(text.split("\n")[:2]):
            problems.append(f"{path}:1: no '{SPDX}' in the first two lines")
        elif intro_chars(text, kind) < INTRO_MIN:
            problems.append(f"{path}:2: no paragraph that says what this file is and must never do")
    return problems


if __name__ == "__main__":
    common.main(check, __doc__)
