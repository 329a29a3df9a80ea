#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Build the Rust archive of engine/ with cargo and lay it out for the C build.

Result: OUT/lib/libweir_engine.a and OUT/include/{wasm.h,wasmtime.h,wasmtime/,rure.h,weir_snapshot.h,openssl/}.
One OUT serves many build directories at once, so a lock guards it, and files are
replaced only when their content changed: a second run must touch nothing.
"""

import argparse
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "engine"
LAYOUT = 2  # raise when what this script writes changes


def fingerprint() -> str:
    """Hash everything that decides the content of the archive."""
    digest = hashlib.sha256(str(LAYOUT).encode())
    for path in [SOURCE / "Cargo.toml", SOURCE / "Cargo.lock", *sorted((SOURCE / "src").rglob("*.rs")),
                 *sorted((SOURCE / "include").glob("*.h"))]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    digest.update(subprocess.run(["rustc", "-vV"], check=True, capture_output=True).stdout)
    return digest.hexdigest()


def cargo_build(target: pathlib.Path) -> dict[str, str]:
    """Run cargo; return the archive and the two header directories it names."""
    command = ["cargo", "build", "--release", "--locked", "--quiet",
               "--manifest-path", str(SOURCE / "Cargo.toml"),
               "--message-format", "json-render-diagnostics"]
    environment = dict(os.environ, CARGO_TARGET_DIR=str(target))
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if run.returncode != 0:
        sys.exit("build_engine: cargo failed")
    found = {}
    for line in run.stdout.splitlines():
        message = json.loads(line)
        name = message.get("target", {}).get("name", "")
        if message["reason"] == "build-script-executed" and "wasmtime-c-api-impl@" in message["package_id"]:
            found["wasmtime"] = os.path.join(message["out_dir"], "include")
        elif message["reason"] == "build-script-executed" and "aws-lc-sys@" in message["package_id"]:
            found["aws-lc"] = os.path.join(message["out_dir"], "include")
        elif message["reason"] == "compiler-artifact" and name == "rure":
            found["rure"] = os.path.join(os.path.dirname(message["manifest_path"]), "include")
        elif message["reason"] == "compiler-artifact" and name == "weir_engine":
            found["archive"] = next(f for f in message["filenames"] if f.endswith(".a"))
    missing = {"wasmtime", "rure", "aws-lc", "archive"} - found.keys()
    if missing:
        sys.exit(f"build_engine: cargo named no {', '.join(sorted(missing))}")
    return found


def replace(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copy a file; leave the old one, with its time, when nothing changed."""
    data = source.read_bytes()
    if target.is_file() and target.read_bytes() == data:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(target.name + ".new")
    fresh.write_bytes(data)
    fresh.rename(target)


def install(found: dict[str, str], out: pathlib.Path) -> None:
    include = out / "include"
    for root in map(pathlib.Path, (found["wasmtime"], found["rure"], found["aws-lc"], SOURCE / "include")):
        for header in root.rglob("*.h"):
            if header.name in ("doc-wasm.h", "rust_wrapper.h"):
                continue  # for doxygen and bindgen; the first redefines wasm.h
            replace(header, include / header.relative_to(root))
    stripped = out / "libweir_engine.stripped.a"
    subprocess.run(["objcopy", "--strip-debug", found["archive"], str(stripped)], check=True)
    replace(stripped, out / "lib" / "libweir_engine.a")
    stripped.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--stamp", type=pathlib.Path, help="file to touch when OUT is up to date")
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = out / "fingerprint"
        wanted = fingerprint()
        if not done.is_file() or done.read_text() != wanted or not (out / "lib/libweir_engine.a").is_file():
            print("building the engine archive; this takes some minutes once", flush=True)
            install(cargo_build(out / "cargo"), out)
            done.write_text(wanted)
    if options.stamp:
        options.stamp.touch()


if __name__ == "__main__":
    main()
