#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Compiles examples/embed against the library alone and runs it: tests/embed/run.sh BUILD [PREFIX]. With
# PREFIX it uses what was installed there, through pkg-config. It must not link anything of ours but
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
        echo "ok embed: $name"
    else
        echo "not ok embed: $name"
        sed 's/^/    /' "$work/out"
        return 1
    fi
}

cc=${CC:-cc}
plugin=$build/plugins/add-header.wasm
if [[ -n $prefix ]]; then
    export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
    read -ra flags < <(pkg-config --cflags proxywasm)
    read -ra libs < <(pkg-config --libs proxywasm)
    plugin=$prefix/lib/weir/plugins/add-header.wasm
else
    engine=$(sed -n 's/^WEIR_ENGINE_DIR:[A-Z]*=//p' "$build/CMakeCache.txt")
    flags=(-Iinclude)
    libs=("$build/lib/libproxywasm.a" "$engine/lib/libweir_engine.a" -lm -ldl -lrt -lpthread)
fi

short() {
    local lines
    lines=$(wc -l <examples/embed/embed.c)
    echo "examples/embed/embed.c has $lines lines"
    ((lines < 150))
}
step "the example stays short" short

step "compiles and links alone" "$cc" -std=gnu11 -O1 -Wall -Wextra -Wno-unused-parameter -Werror \
    "${flags[@]}" -o "$work/embed" examples/embed/embed.c "${libs[@]}" || exit 1

# The public headers are C++ too.
printf '#include <proxywasm/proxywasm.h>\nint main(){return pw_error_str(0) == nullptr;}\n' >"$work/cxx.cc"
cxx=${CXX:-$(command -v c++ || command -v clang++)}
step "headers compile as C++" "$cxx" -std=c++17 -Wall -Wextra -Werror "${flags[@]}" -fsyntax-only "$work/cxx.cc"

failed=0
# $1: what; $2: a line that standard output must have; then the arguments of the program.
says() {
    local name=$1 line=$2
    shift 2
    timeout 300 "$work/embed" "$@" >"$work/said" 2>"$work/errors"
    local status=$?
    check_said() {
        cat "$work/said" "$work/errors"
        echo "status $status, wanted the line: $line"
        ((status == 0)) && grep -qx -- "$line" "$work/said"
    }
    step "$name" check_said || failed=1
}

says "a plugin runs" 'x-embedded: yes' "$plugin"
wat2wasm tests/embed/loop.wat -o "$work/loop.wasm" || failed=1
says "a looping plugin is stopped" 'failed in proxy_on_request_headers: .*' "$work/loop.wasm"
says "after a looping plugin the next one runs" 'x-embedded: yes' "$work/loop.wasm" "$plugin"

refuse_cut() {
    head -c 100 "$plugin" >"$work/cut.wasm"
    timeout 300 "$work/embed" "$work/cut.wasm"
    (($? == 1))
}
step "a cut module is refused" refuse_cut || failed=1
exit $failed
