#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files and functions stay small: .c files to 1200 lines, functions to 120.

Exceptions stand in tools/size_allow.txt, each with its reason; an exception that is no longer needed is
a problem too. Files above 600 lines are named, as a hint, without failing.
"""

import pathlib
import sys

import common

FILE_MAX = 1200
FILE_HINT = 600
FUNCTION_MAX = 120


def read_allowed(root: pathlib.Path) -> tuple[dict[str, str], list[str]]:
    """path or path:function -> reason; and the problems of the list itself."""
    allowed, problems = {}, []
    path = root / "tools" / "size_allow.txt"
    if not path.is_file():
        return allowed, problems
    for number, line in common.read_list(path):
        name, _, reason = line.partition(" ")
        if len(reason.split()) < 3:
            problems.append(f"tools/size_allow.txt:{number}: {name} needs a reason")
        allowed[name] = reason
    return allowed, problems


def check(root: pathlib.Path) -> list[str]:
    allowed, problems = read_allowed(root)
    used = set()

    def complain(name: str, text: str) -> None:
        if name in allowed:
            used.add(name)
        else:
            problems.append(text)

    sources = common.files(root, ".c", ".h")
    for path in sources:
        lines = (root / path).read_bytes().count(b"\n")
        if lines > FILE_MAX:
            complain(path, f"{path}: {lines} lines, at most {FILE_MAX}: split it by what it does")
        elif lines > FILE_HINT and path not in allowed and path.startswith("src/"):
            print(f"hint: {path}: {lines} lines", file=sys.stderr)
    for function in common.functions(root, sources):
        if function.lines > FUNCTION_MAX:
            complain(f"{function.path}:{function.name}",
                     f"{function.path}:{function.first}: {function.name} has {function.lines} lines, "
                     f"at most {FUNCTION_MAX}")
    for name in sorted(allowed.keys() - used):
        problems.append(f"tools/size_allow.txt: {name} is small enough or gone: remove the line")
    return problems


if __name__ == "__main__":
    common.main(check, __doc__)
