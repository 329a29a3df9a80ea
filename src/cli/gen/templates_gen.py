#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The project templates as C: templates_gen.py DIRECTORY OUTPUT. Must give the same bytes for the same files."""

import pathlib
import sys


def target(path):
    """DIR/dot-gitignore.in -> DIR/.gitignore"""
    name = path.name.removesuffix(".in")
    return str(path.with_name("." + name.removeprefix("dot-") if name.startswith("dot-") else name))


def main(directory, output):
    root = pathlib.Path(directory)
    arrays, rows = [], []
    for number, path in enumerate(sorted(root.rglob("*.in"))):
        relative = path.relative_to(root)
        data = path.read_bytes()
        lines = [", ".join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24)]
        arrays.append(f"static const unsigned char file_{number}[] = {{\n" + ",\n".join(lines) + "};\n")
        rows.append(f'    {{"{relative.parts[0]}", "{target(pathlib.Path(*relative.parts[1:]))}", '
                    f"{{(const char *)file_{number}, {len(data)}}}}},\n")
    pathlib.Path(output).write_text("/* Generated from src/cli/templates. */\n#include \"cli/template.h\"\n\n"
                                    + "".join(arrays) + "\nconst struct template_file template_files[] = {\n"
                                    + "".join(rows) + "};\nconst size_t template_files_count = "
                                    + f"{len(rows)};\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
