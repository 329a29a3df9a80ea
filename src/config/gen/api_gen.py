#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns the API descriptors of the PyPI package xds-protos into C.

  api_gen.py structs OUT API_DIR   C structs (protoc --c_out), bundled into few compilation units
  api_gen.py tables  OUT CONFIG_DIR  side tables: names, rules, classes, extension slots
  api_gen.py headers OUT API_DIR   prints what the first one makes below OUT, for the build's own graph

It must never fetch anything and must never write outside OUT. It fails when a name in the hand-written
tables does not exist, or when a rule of the API has no counterpart in meta.h: silence there would mean a
check that never runs.
"""
import argparse
import hashlib
import importlib
import re
import subprocess
import sys
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf import descriptor_pool

import api_newer

BUNDLES = 8
POLICY = "weir/policy/v1/policy.proto"
# A C struct of protobuf-c begins with a member `base`.
RENAMED_FIELDS = {("envoy.config.bootstrap.v3.Runtime", "base"): "base_layer"}


def fail(text):
    sys.exit(f"api_gen: {text}")


def write_if_changed(path, text):
    data = text if isinstance(text, bytes) else text.encode()
    if path.exists() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def read_lines(path):
    """Yields (line number, text) without comments and blank lines."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split("#", 1)[0].rstrip()
        if line.strip():
            yield number, line


def is_annotation(name):
    return "/annotations/" in name or name in ("validate/validate.proto", "google/protobuf/descriptor.proto")


def load_files(roots):
    """All files of the API, imports first."""
    files = {}

    def walk(fd):
        if fd.name in files:
            return
        for dep in fd.dependencies:
            walk(dep)
        files[fd.name] = fd

    for _, root in read_lines(roots):
        module = root.strip().replace("/", ".") + "_pb2"
        walk(importlib.import_module(module).DESCRIPTOR)
    # Validation rules are extensions of descriptor options; importing registers them.
    walk(importlib.import_module("validate.validate_pb2").DESCRIPTOR)
    return api_newer.extended(files)


def to_proto(fd):
    proto = descriptor_pb2.FileDescriptorProto()
    proto.ParseFromString(fd.serialized_pb)
    return proto


def walk_messages(messages, prefix):
    for m in messages:
        name = f"{prefix}.{m.name}"
        yield name, m
        yield from walk_messages(m.nested_type, name)


def compile_policy(out, api_dir, files):
    full = descriptor_pb2.FileDescriptorSet(file=[to_proto(fd) for fd in files.values()])
    full_path = out / "api_full.bin"
    write_if_changed(full_path, full.SerializeToString(deterministic=True))
    policy_path = out / "policy.bin"
    subprocess.run(
        ["protoc", f"--descriptor_set_in={full_path}", f"--proto_path={api_dir}", f"--descriptor_set_out={policy_path}", POLICY],
        check=True,
    )
    return load_policy(out)


def load_policy(out):
    found = descriptor_pb2.FileDescriptorSet()
    found.ParseFromString((out / "policy.bin").read_bytes())
    if len(found.file) != 1:
        fail("protoc gave no policy descriptor")
    return found.file[0]


def strip(proto):
    """What C structs need: no options, no services, no annotation imports."""
    kept = [d for d in proto.dependency if not is_annotation(d)]
    del proto.dependency[:]
    del proto.public_dependency[:]
    del proto.weak_dependency[:]
    proto.dependency.extend(kept)
    proto.ClearField("service")
    proto.ClearField("options")
    proto.ClearField("source_code_info")

    def strip_enum(e):
        e.ClearField("options")
        for v in e.value:
            v.ClearField("options")

    for e in proto.enum_type:
        strip_enum(e)
    for name, m in walk_messages(proto.message_type, proto.package):
        map_entry = m.options.map_entry
        m.ClearField("options")
        if map_entry:
            m.options.map_entry = True
        for o in m.oneof_decl:
            o.ClearField("options")
        for e in m.enum_type:
            strip_enum(e)
        for f in m.field:
            f.ClearField("options")
            f.name = RENAMED_FIELDS.get((name, f.name), f.name)
    return proto


def command_structs(out, api_dir, here):
    out.mkdir(parents=True, exist_ok=True)
    files = load_files(here / "roots.txt")
    policy = compile_policy(out, api_dir, files)
    stripped = [strip(to_proto(fd)) for name, fd in files.items() if not is_annotation(name)]
    stripped.append(strip(policy))
    set_path = out / "api_c.bin"
    all_bytes = descriptor_pb2.FileDescriptorSet(file=stripped).SerializeToString(deterministic=True)
    write_if_changed(set_path, all_bytes)
    c_out = out / "api"
    c_out.mkdir(exist_ok=True)
    names = [p.name for p in stripped]
    subprocess.run(["protoc", f"--descriptor_set_in={set_path}", f"--c_out={c_out}", *names], check=True)
    bundles = [[] for _ in range(BUNDLES)]
    for i, name in enumerate(names):
        bundles[i * BUNDLES // len(names)].append(name)
    for i, bundle in enumerate(bundles):
        # With the digest a bundle changes with what it includes, so that one build is enough after a change.
        text = f"/* Generated: compiles several generated files at once. {hashlib.sha256(all_bytes).hexdigest()} */\n"
        for name in bundle:
            text += f'#include "{name[:-len(".proto")]}.pb-c.c"\n'
        write_if_changed(out / f"api_bundle_{i}.c", text)


def command_headers(out, here):
    names = [name for name in load_files(here / "roots.txt") if not is_annotation(name)]
    print(";".join(f"{out}/api/{name.removesuffix('.proto')}.pb-c.h" for name in [*names, POLICY]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["structs", "tables", "headers"])
    parser.add_argument("out", type=Path)
    parser.add_argument("dir", type=Path)
    args = parser.parse_args()
    here = Path(__file__).resolve().parent
    if args.command == "structs":
        command_structs(args.out, args.dir, here)
    elif args.command == "headers":
        command_headers(args.out, here)
    else:
        import api_tables

        api_tables.command_tables(args.out, args.dir, here)


if __name__ == "__main__":
    main()
