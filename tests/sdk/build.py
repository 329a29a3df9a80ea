#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the plugins of the real SDKs into build/sdk: build.py [LANGUAGE...], all of them by default.

One line each: "ok rust", or "ok rust # SKIP why" where a toolchain is missing, or "not ok"; with WEIR_REQUIRE_SDKS=1,
as in continuous integration, a missing toolchain is "not ok" too. What is up to date, by the content of everything that
goes into it, is not built again. It must not install anything on the machine.
"""

import dataclasses
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = pathlib.Path(os.environ.get("WEIR_SDK_DIR", ROOT / "build/sdk"))
LIMIT_S = 900
REQUIRED = os.environ.get("WEIR_REQUIRE_SDKS") == "1"

RUSTC = "/usr/bin/rustc"
CARGO = "/usr/bin/cargo"
WASM_TARGET = "wasm32-wasip1"


class Missing(Exception):
    """A toolchain that this machine does not have."""


def run(*command, cwd=None, **environment):
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=dict(os.environ, **environment), timeout=LIMIT_S,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def need(program, hint, *version):
    """The program's own word about its version, which is part of the key."""
    path = shutil.which(program)
    if path is None:
        raise Missing(f"no {program}: {hint}")
    return run(path, *version).splitlines()[0]


def need_file(path, hint):
    if not pathlib.Path(path).exists():
        raise Missing(f"no {path}: {hint}")


def clang():
    hint = "apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32"
    need_file("/usr/lib/wasm32-wasi/libc.a", hint)
    return need("clang++", hint, "--version")


# Each language: what its toolchain says of itself (or Missing), and how to build OUT/NAME.wasm.

def c_version():
    need_file("/usr/include/jsmn.h", "apt-get install libjsmn-dev")
    return clang()


def c_build(source, out):
    with tempfile.TemporaryDirectory() as third_party:
        shutil.copy("/usr/include/jsmn.h", third_party)
        run("clang", "--target=wasm32-wasi", "-std=gnu11", "-O2", "-flto", "-Wall", "-Wextra", "-Werror",
            "-mexec-model=reactor", "-Wl,--strip-debug,--stack-first", f"-I{ROOT / 'sdk/c/include'}", "-isystem",
            third_party, "-o", out, source, *sorted((ROOT / "sdk/c/src").glob("*.c")))


def cpp_version():
    hint = "apt-get install libc++-dev-wasm32"
    need_file("/usr/lib/wasm32-wasi/libc++.a", hint)
    return clang()


def cpp_build(source, out):
    run("clang++", "--target=wasm32-wasi", "-std=c++17", "-O2", "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra",
        "-Werror", "-mexec-model=reactor", "-Wl,--strip-debug,--stack-first", f"-I{ROOT / 'sdk/cpp/include'}", "-o",
        out, source)


def rust_version():
    hint = "apt-get install rustc-web cargo-web rust-web-src"
    need_file("/usr/lib/wasm32-wasi/libc.a", "apt-get install wasi-libc")
    need_file(CARGO, hint)
    version = need(RUSTC, hint, "--version")
    sysroot = run(RUSTC, "--print", "sysroot").strip()
    need_file(f"{sysroot}/lib/rustlib/src/rust/library/std/Cargo.toml", hint)
    return version


def rust_sysroot():
    """Debian has no compiled std for the target: it is built once per compiler, as a sysroot."""
    sysroot = OUT / ("rust-" + hashlib.sha256(rust_version().encode()).hexdigest()[:12])
    libraries = sysroot / "lib/rustlib" / WASM_TARGET / "lib"
    if libraries.is_dir():
        return sysroot
    with tempfile.TemporaryDirectory(dir=OUT) as directory:
        crate = pathlib.Path(directory)
        (crate / "Cargo.toml").write_text('[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2021"\n'
                                          '[lib]\npath = "empty.rs"\n[profile.release]\npanic = "abort"\n')
        (crate / "empty.rs").write_text("")
        run(CARGO, "build", "--release", "--target", WASM_TARGET, "-Zbuild-std=std,panic_abort", cwd=crate,
            RUSTC=RUSTC, RUSTC_BOOTSTRAP="1", CARGO_TARGET_DIR=str(crate / "target"),
            CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="-C embed-bitcode=yes")
        built = crate / "built"
        built.mkdir()
        for library in (crate / "target" / WASM_TARGET / "release/deps").glob("*.rlib"):
            if not library.name.startswith("libempty"):
                shutil.copy(library, built)
        libraries.parent.mkdir(parents=True, exist_ok=True)
        built.rename(libraries)
    return sysroot


def rust_build(source, out):
    flags = f"--sysroot={rust_sysroot()} -C link-self-contained=no -L native=/usr/lib/wasm32-wasi"
    target = OUT / "rust-target"
    run(CARGO, "build", "--release", "--locked", "--target", WASM_TARGET, cwd=source, RUSTC=RUSTC,
        CARGO_TARGET_DIR=str(target), CARGO_TARGET_WASM32_WASIP1_LINKER="/usr/bin/wasm-ld",
        CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS=flags)
    shutil.copy(target / WASM_TARGET / "release/suite.wasm", out)


def go_version():
    hint = "Go 1.24 or later, from go.dev or a package of it"
    version = need("go", hint, "env", "GOVERSION")
    if tuple(map(int, version.removeprefix("go").split(".")[:2])) < (1, 24):
        raise Missing(f"{version} is too old: {hint}")
    return version


def go_build(source, out):
    run("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s", "-o", out, ".", cwd=source, GOOS="wasip1",
        GOARCH="wasm", GOFLAGS="-mod=readonly")


def assemblyscript_version():
    return need("npm", "apt-get install npm", "--version")


def assemblyscript_build(source, out):
    work = OUT / "assemblyscript"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work, ignore=shutil.ignore_patterns("node_modules"))
    run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=work)
    run(work / "node_modules/.bin/asc", "assembly/index.ts", "-b", out, "--use", "abort=abort_proc_exit", "--optimize",
        cwd=work)


@dataclasses.dataclass
class Language:
    source: str     # under tests/sdk; what is built
    inputs: list    # globs under the root
    version: object
    build: object


LANGUAGES = {
    "c": Language("c/suite.c", ["tests/sdk/c/*", "sdk/c/**/*"], c_version, c_build),
    "cpp": Language("cpp/suite.cc", ["tests/sdk/cpp/suite.cc", "sdk/cpp/**/*"], cpp_version, cpp_build),
    "rust": Language("rust", ["tests/sdk/rust/**/*"], rust_version, rust_build),
    "go": Language("go", ["tests/sdk/go/*"], go_version, go_build),
    "assemblyscript": Language("assemblyscript", ["tests/sdk/assemblyscript/*", "tests/sdk/assemblyscript/assembly/*"],
                               assemblyscript_version, assemblyscript_build),
}


def key_of(language):
    digest = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    digest.update(language.version().encode())
    for pattern in language.inputs:
        for path in sorted(p for p in ROOT.glob(pattern) if p.is_file()):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def built(name):
    """The path of a language's plugin, built if it has to be."""
    language = LANGUAGES[name]
    out, stamp = OUT / f"suite-{name}.wasm", OUT / f"suite-{name}.key"
    key = key_of(language)
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / f"{name}.lock", "w") as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out.exists() and stamp.exists() and stamp.read_text() == key):
            rebuild(name, language, out)
            stamp.write_text(key)
    return out


def rebuild(name, language, out):
    # Beside the old one, so that nobody reads half a module.
    fresh = OUT / f"fresh-{os.getpid()}-{name}.wasm"
    try:
        language.build(HERE / language.source, fresh)
        fresh.rename(out)
    finally:
        fresh.unlink(missing_ok=True)
        out.with_name(fresh.stem + ".h").unlink(missing_ok=True)


def main(wanted):
    failed = False
    for name in wanted or LANGUAGES:
        try:
            print(f"ok {name} {built(name).stat().st_size} bytes", flush=True)
        except Missing as reason:
            print(f"not ok {name}\n{reason}" if REQUIRED else f"ok {name} # SKIP {reason}", flush=True)
            failed |= REQUIRED
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"not ok {name}\n{error}", flush=True)
            failed = True
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
