#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing: tools/setup.sh [build|check|bench]. Debian 12 packages by apt-get (root or
# sudo), and the Python packages into build/venv. Quick when nothing is missing: it must not touch the
# network then, nor ask for a password.

set -euo pipefail
cd "$(dirname "$0")/.."

readonly stage=${1:-build}
readonly venv=${WEIR_VENV:-build/venv}
readonly rust_min=1.95

die() {
    echo "setup: $*" >&2
    exit 1
}

# The build, `make demo` and the plugins.
packages=(gcc g++ libc6-dev binutils make cmake ninja-build pkg-config python3 python3-venv
    libuv1-dev libnghttp2-dev libc-ares-dev libfyaml-dev libjansson-dev zlib1g-dev libbrotli-dev
    libprotobuf-c-dev protobuf-c-compiler protobuf-compiler
    clang lld wasi-libc libclang-rt-14-dev-wasm32 libjsmn-dev)
requirements=(tools/requirements.txt)

case $stage in
build) ;;
check | bench)
    packages+=(libclang-rt-14-dev clang-format llvm libcmocka-dev wabt universal-ctags dpkg-dev file fakeroot
        git curl procps nghttp2-client nghttp2-server
        libc++-dev-wasm32 rustc-web cargo-web rust-web-src) # tests/sdk: plugins in C++ and Rust
    # Envoy is what the comparison tests and the benchmark hold Weir against.
    requirements+=(tests/requirements.txt bench/requirements.txt)
    ;;&
check) ;;
bench)
    packages+=(wrk nghttp2-client nghttp2-server nginx-light haproxy)
    ;;
*) die "unknown stage '$stage': build, check or bench" ;;
esac

missing_packages() {
    local package
    for package in "${packages[@]}"; do
        # Any installed variant does (nginx for nginx-light).
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            { [[ $package == nginx-light ]] && command -v nginx >/dev/null; } ||
            { [[ $package == cmake || $package == ninja-build || $package == python3* ]] && has_tool "$package"; } ||
            echo "$package"
    done
}

# Tools that are often there without the Debian package.
has_tool() {
    case $1 in
    cmake) cmake --version ;;
    ninja-build) ninja --version ;;
    python3) python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ;;
    python3-venv) python3 -c 'import venv, ensurepip' ;;
    esac >/dev/null 2>&1
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        command -v sudo >/dev/null || die "packages are missing and there is no sudo: ${missing[*]}"
        sudo "$@"
    fi
}

install_packages() {
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || die "this is not Debian; install the like of: ${missing[*]}"
    echo "setup: installing ${missing[*]}"
    local options=(-qq -y --no-install-recommends)
    if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "${missing[@]}" >/dev/null 2>&1; then
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "${missing[@]}" >/dev/null
    fi
    # What CMake found, or did not find, is no longer true.
    rm -f build/build.ninja build/*/build.ninja
}

check_rust() {
    local version
    version=$(rustc --version 2>/dev/null | cut -d' ' -f2) || true
    [[ -n $version ]] && command -v cargo >/dev/null ||
        die "cargo is missing: install Rust $rust_min or later (rustup), the engine is built with it"
    [[ $(printf '%s\n' "$rust_min" "$version" | sort -V | head -1) == "$rust_min" ]] ||
        die "Rust $version is too old: $rust_min or later is needed (rustup update)"
}

make_venv() {
    [[ -x $venv/bin/python3 ]] || python3 -m venv "$venv"
    local arguments=() file
    for file in "${requirements[@]}"; do
        arguments+=(-r "$file")
    done
    "$venv/bin/python3" -m pip install --quiet --disable-pip-version-check --no-deps "${arguments[@]}"
}

# One stamp per stage; it holds what the stage was set up from. Packages can be removed behind our
# back, so they are looked at each time: that takes no time and no network.
install_packages
check_rust
readonly stamp=$venv/.weir-$stage
wanted=$(cat "${requirements[@]}" | sha256sum)
if [[ ! -f $stamp || $(<"$stamp") != "$wanted" || ! -x $venv/bin/python3 ]]; then
    echo "setup: Python packages for '$stage'"
    make_venv
    echo "$wanted" >"$stamp"
fi
