#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No call to a function that invites a bug, and goto only forward to one label per function.

Product code only (src, cmd, include, sdk, plugins); tests may do as they like.
"""

import pathlib
import re

import common

PLACES = ("src/", "cmd/", "include/", "sdk/", "plugins/")

BANNED = {
    "strcpy strcat stpcpy": "the length is not checked; use memcpy with a length, or base/strbuf",
    "sprintf vsprintf": "the length is not checked; use snprintf or base/strbuf",
    "gets": "cannot be used safely",
    "strtok": "hidden state; walk a slice",
    "atoi atol atoll atof": "errors are not seen; use base's number parser",
    "strncpy strncat": "may leave no terminator; use memcpy with a length",
    "alloca": "unbounded stack; use an arena",
    "rand srand random drand48": "not for anything that matters; use base's random source",
    "system popen": "runs a shell",
    "tmpnam tempnam mktemp": "a race; use mkstemp",
    "setjmp longjmp": "skips clean-up",
    "localtime gmtime ctime asctime": "hidden state shared between threads; use the _r form",
}
REASON = {name: reason for names, reason in BANNED.items() for name in names.split()}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(REASON) + r")\s*\(")
GOTO = re.compile(r"\bgoto\s+(\*?\s*\w+)\s*;")


def calls(path: str, lines: list[str]) -> list[str]:
    problems = []
    for number, line in enumerate(lines, 1):
        for match in CALL.finditer(line):
            problems.append(f"{path}:{number}: {match.group(1)}(): {REASON[match.group(1)]}")
    return problems


def gotos(path: str, lines: list[str], function: common.Function) -> list[str]:
    problems, targets = [], set()
    body = lines[function.first - 1:function.last]
    for offset, line in enumerate(body):
        for match in GOTO.finditer(line):
            label = match.group(1)
            where = f"{path}:{function.first + offset}"
            if not any(re.match(rf"\s*{re.escape(label)}\s*:(?!:)", after) for after in body[offset + 1:]):
                problems.append(f"{where}: goto {label} does not go forward")
            targets.add(label)
    if len(targets) > 1:
        problems.append(f"{path}:{function.first}: {function.name} has {len(targets)} goto labels, at most one")
    return problems


def check(root: pathlib.Path) -> list[str]:
    paths = [p for p in common.files(root, ".c", ".h") if p.startswith(PLACES)]
    text = {p: common.code_only((root / p).read_text()).split("\n") for p in paths}
    problems = [problem for p in paths for problem in calls(p, text[p])]
    with_goto = [p for p in paths if any(GOTO.search(line) for line in text[p])]
    for function in common.functions(root, with_goto):
        problems += gotos(function.path, text[function.path], function)
    return problems


if __name__ == "__main__":
    common.main(check, __doc__)
