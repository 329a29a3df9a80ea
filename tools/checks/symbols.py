#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libproxywasm.a exports what include/proxywasm/symbols.txt lists and a public header declares, no more.

The list is the library's binary contract: a line less is a break, a line more is a promise. With
--write the list is written from the archive.
"""

import argparse
import pathlib
import re
import subprocess
import sys

import common

LIST = "include/proxywasm/symbols.txt"
HEAD = """# Every symbol that libproxywasm.a exports, sorted. tools/checks/symbols.py compares; a removed line
# breaks embedders.
"""


def exported(archive: pathlib.Path) -> set[str]:
    command = ["nm", "--extern-only", "--defined-only", "--format=just-symbols", str(archive)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return {line for line in run.stdout.split() if not line.endswith(".o:")}


def declared(headers: list[pathlib.Path]) -> set[str]:
    """Names of functions in public headers: pw_x( outside of comments and of pointers to functions."""
    return {name for header in headers
            for name in re.findall(r"(?<![\w(*])\**(pw_\w+)\(", common.code_only(header.read_text()))}


def compare(listed: set[str], found: set[str], public: set[str]) -> list[str]:
    problems = [f"{LIST}: {s} is listed but not exported" for s in sorted(listed - found)]
    problems += [f"{LIST}: {s} is exported but not listed" for s in sorted(found - listed)]
    problems += [f"{s}: exported but in no public header" for s in sorted(found - public)]
    problems += [f"{s}: in a public header but not exported" for s in sorted(public - found)]
    problems += [f"{s}: exported without the pw_ prefix" for s in sorted(found) if not s.startswith("pw_")]
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, help="the build directory", required=True)
    parser.add_argument("--root", type=pathlib.Path, default=common.HERE.parent.parent)
    parser.add_argument("--write", action="store_true", help="write the list from the archive")
    options = parser.parse_args()
    archive = options.build / "lib" / "libproxywasm.a"
    path = options.root / LIST
    if not archive.is_file():
        sys.exit(f"{archive.name} is not built")
    found = exported(archive)
    if options.write:
        path.write_text(HEAD + "".join(f"{s}\n" for s in sorted(found)))
        return
    listed = {line for _, line in common.read_list(path)}
    public = declared(sorted((options.root / "include/proxywasm").glob("*.h")))
    problems = compare(listed, found, public)
    print("\n".join(problems), end="\n" if problems else "")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
