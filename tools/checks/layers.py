#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Includes point downwards only, as tools/layers.txt says.

Also keeps each foreign library in the rooms that may know it, so that it can be replaced there.
"""

import fnmatch
import pathlib
import re

import common

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)


class Rules:
    """rooms: room -> rooms it may include; externs: (header pattern, rooms that may include it)."""

    def __init__(self, path: pathlib.Path):
        self.rooms: dict[str, set[str]] = {}
        self.externs: list[tuple[str, set[str]]] = []
        for number, line in common.read_list(path):
            match = re.fullmatch(r"(room|extern)\s+(\S+)\s*:\s*(.*)", line)
            if not match:
                raise SystemExit(f"{path.name}:{number}: neither 'room X: ...' nor 'extern X: ...'")
            kind, name, rest = match.groups()
            if kind == "extern":
                self.externs.append((name, set(rest.split())))
                continue
            below = set(rest.split())
            for room in below:
                if room not in self.rooms:
                    raise SystemExit(f"{path.name}:{number}: {room} must be listed above {name}")
            self.rooms[name] = below


def room_of(path: str) -> str | None:
    parts = path.split("/")
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    if parts[0] == "cmd":
        return "cmd"
    if path.startswith("include/proxywasm/"):
        return "include"
    return None


def include_room(header: str, rules: Rules, quoted: bool) -> str | None:
    """The room that an include names; None for a foreign header or a neighbour in the same folder."""
    top = header.split("/")[0]
    if header.startswith("proxywasm/") and not quoted:
        return "include"
    if quoted and "/" in header and top in rules.rooms:
        return top
    return None


def check_file(path: str, text: str, rules: Rules) -> list[str]:
    problems = []
    room = room_of(path)
    if room not in rules.rooms:
        return [f"{path}: room '{room}' is not in tools/layers.txt"]
    code = common.code_only(text, keep_strings=True)
    for match in INCLUDE.finditer(code):
        quoted, header = match.group(1) == '"', match.group(2)
        where = f"{path}:{code.count(chr(10), 0, match.start(2)) + 1}"
        if ".." in header.split("/"):
            problems.append(f"{where}: include by ..: name the room, root is src/")
            continue
        target = include_room(header, rules, quoted)
        if target and target != room and target not in rules.rooms[room]:
            problems.append(f"{where}: {room} may not include {header} (tools/layers.txt)")
        for pattern, allowed in rules.externs:
            if target is None and fnmatch.fnmatchcase(header, pattern) and room not in allowed:
                problems.append(f"{where}: <{header}> only in {' '.join(sorted(allowed))}, not {room}")
    return problems


def check(root: pathlib.Path) -> list[str]:
    rules = Rules(root / "tools" / "layers.txt")
    problems = []
    for path in common.files(root, ".c", ".h"):
        if room_of(path):
            problems += check_file(path, (root / path).read_text(), rules)
    return problems


if __name__ == "__main__":
    common.main(check, __doc__)
