#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Compiles tests/embed/main.c against the library alone and runs it: tests/embed/run.sh BUILD [PREFIX].
# With PREFIX it uses what was installed there, through pkg-config. It must not link anything of ours but
# libproxywasm.a and the engine archive.

set -uo pipefail
cd "$(dirname "$0")/../.."

readonly build=$1 prefix=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

step() {
    local name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        echo "ok $name"
    else
        echo "not ok $name"
        sed 's/^/    /' "$work/out"
        return 1
    fi
}

cc=${CC:-cc}
plugin=$build/plugins/add-header.wasm
if [[ -n $prefix ]]; then
    export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
    read -ra flags < <(pkg-config --define-prefix --cflags proxywasm)
    read -ra libs < <(pkg-config --define-prefix --libs proxywasm)
    plugin=$prefix/lib/weir/plugins/add-header.wasm
else
    engine=$(sed -n 's/^WEIR_ENGINE_DIR:[A-Z]*=//p' "$build/CMakeCache.txt")
    flags=(-Iinclude)
    libs=("$build/lib/libproxywasm.a" "$engine/lib/libweir_engine.a" -lm -ldl -lrt -lpthread)
fi

step "embed: compiles and links alone" "$cc" -std=c11 -Wall -Wextra -Werror "${flags[@]}" \
    -o "$work/embed" tests/embed/main.c "${libs[@]}" || exit 1

# The public headers are C++ too.
printf '#include <proxywasm/proxywasm.h>\nint main(){return pw_error_str(0) == nullptr;}\n' >"$work/cxx.cc"
cxx=${CXX:-$(command -v c++ || command -v clang++)}
step "embed: headers compile as C++" "$cxx" -std=c++17 -Wall -Wextra -Werror "${flags[@]}" \
    -fsyntax-only "$work/cxx.cc" || exit 1

run_plugin() {
    "$work/embed" "$plugin" && grep -qx 'x-embedded: yes' <("$work/embed" "$plugin")
}
step "embed: a plugin runs" run_plugin || exit 1

refuse_garbage() {
    head -c 100 "$plugin" >"$work/cut.wasm"
    ! "$work/embed" "$work/cut.wasm"
}
step "embed: a cut module is refused" refuse_garbage
