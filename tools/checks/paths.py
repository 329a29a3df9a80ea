#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nothing in the tree belongs to one machine: no home or work directories, no registry hosts.

The tree must build anywhere; package clients know their registries.
"""

import pathlib
import re

import common

# Written so that this file does not find itself.
PATTERNS = [
    (r"/tm[p]/(wt|clone)\b", "a path of one machine"),
    (r"(?<![\w./-])/wor[k]/", "a path of one machine"),
    (r"(?<![\w.-])/roo[t]/", "a path of one machine"),
    (r"(?<![\w.-])/hom[e]/\w", "a path of one machine"),
    (r"/opt/wheel[s]", "a path of one machine"),
    (r"\bpypi\.or[g]|pythonhosted\.or[g]|(static|index)\.crates\.i[o]|proxy\.golang\.or[g]"
     r"|registry\.npmjs|deb\.debian\.or[g]|repo1?\.maven\.or[g]", "a registry's host"),
]
FINDERS = [(re.compile(p.encode()), why) for p, why in PATTERNS]


def check(root: pathlib.Path) -> list[str]:
    problems = []
    for path in common.files(root):
        data = (root / path).read_bytes()
        if b"\0" in data[:8192]:
            continue
        for finder, why in FINDERS:
            for match in finder.finditer(data):
                line = data.count(b"\n", 0, match.start()) + 1
                problems.append(f"{path}:{line}: {match.group().decode(errors='replace')}: {why}")
    return problems


if __name__ == "__main__":
    common.main(check, __doc__)
