# SPDX-License-Identifier: Apache-2.0
"""What the checks share: which files there are, C without comments, where functions begin and end.

Every check is `python3 tools/checks/NAME.py [ROOT]`: it prints one line per problem and exits with 1
when there is one. A check must only read.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = {".git", "build", "__pycache__", "target", ".pytest_cache"}


@dataclasses.dataclass(frozen=True)
class Function:
    path: str
    name: str
    first: int
    last: int

    @property
    def lines(self) -> int:
        return self.last - self.first + 1


def files(root: pathlib.Path, *suffixes: str) -> list[str]:
    """Paths below root as git sees them (with new files, without ignored ones); all without suffixes."""
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    else:
        listed = []
        for top, directories, names in os.walk(root):
            directories[:] = [d for d in directories if d not in SKIPPED]
            listed += [os.path.relpath(os.path.join(top, n), root) for n in names]
    return sorted({p for p in listed if p and (root / p).is_file() and (not suffixes or p.endswith(suffixes))})


_TOKENS = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.S)


def code_only(text: str, keep_strings: bool = False) -> str:
    """C without comments (and strings), every line still on its line."""
    def blank(match: re.Match) -> str:
        token = match.group()
        if token[0] in "\"'":
            return token if keep_strings else token[0] * 2
        return "\n" * token.count("\n") or " "
    return _TOKENS.sub(blank, text)


def functions(root: pathlib.Path, paths: list[str]) -> list[Function]:
    """Every C function with its lines, by universal-ctags."""
    if not paths:
        return []
    command = ["ctags", "--languages=C", "--kinds-C=f", "--fields=+ne", "--output-format=json", "-f", "-", "-L", "-"]
    run = subprocess.run(command, cwd=root, input="\n".join(paths), check=True, capture_output=True, text=True)
    tags = (json.loads(line) for line in run.stdout.splitlines())
    return [Function(t["path"], t["name"], t["line"], t["end"]) for t in tags if "end" in t]


def read_list(path: pathlib.Path) -> list[tuple[int, str]]:
    """The lines of a list file with their numbers, without comments and blank lines."""
    lines = enumerate(path.read_text().splitlines(), 1)
    return [(n, line.strip()) for n, line in lines if line.strip() and not line.lstrip().startswith("#")]


def main(check, description: str) -> None:
    """Run check(root) -> list of problems as a command."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("root", nargs="?", type=pathlib.Path, default=HERE.parent.parent)
    problems = check(parser.parse_args().root.resolve())
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)
