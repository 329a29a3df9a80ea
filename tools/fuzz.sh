#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds tests/fuzz with clang and runs each target for FUZZ_SECONDS (60), or only the targets named as
# arguments. "ok NAME" or "not ok NAME" each. New inputs and crashes stay in build/fuzz; the corpora of
# the tree are only read.

set -uo pipefail
cd "$(dirname "$0")/.."

readonly seconds=${FUZZ_SECONDS:-60}
readonly dir=build/fuzz
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
[[ ! -f tests/suppressions/lsan.txt ]] || export LSAN_OPTIONS=suppressions=$PWD/tests/suppressions/lsan.txt

shopt -s nullglob
targets=("$@")
if ((!${#targets[@]})); then
    for source in tests/fuzz/fuzz_*.c; do
        targets+=("$(basename "$source" .c)")
    done
fi
((${#targets[@]})) || exit 0

clang=$(command -v clang-14 || command -v clang) || {
    echo "fuzz: clang is missing (tools/setup.sh check)" >&2
    exit 1
}
cmake -S . -B "$dir" -G Ninja --log-level=WARNING -DCMAKE_C_COMPILER="$clang" -DWEIR_FUZZ=ON \
    -DWEIR_ENGINE_DIR="${WEIR_ENGINE_DIR:-$PWD/build/engine}" && ninja -C "$dir" --quiet "${targets[@]}" || exit 1

fuzz_one() {
    local target=$1 name=${1#fuzz_}
    local work=$dir/run/$name
    local seed=tests/fuzz/corpus/$name arguments=()
    mkdir -p "$work/corpus" "$work/crashes"
    [[ ! -d $seed ]] || arguments+=("$seed")
    [[ ! -f tests/fuzz/$name.dict ]] || arguments+=(-dict="tests/fuzz/$name.dict")
    if "$dir/fuzz/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$work/crashes/" "$work/corpus" "${arguments[@]}" >"$work/log" 2>&1; then
        echo "ok fuzz $name, $(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log") runs"
    else
        echo "not ok fuzz $name"
        grep -v '^#[0-9]' "$work/log" | tail -n 40 | sed 's/^/    /'
        return 1
    fi
}

# As many at once as there are cores.
failed=0
running=0
for target in "${targets[@]}"; do
    if ((running >= $(nproc))); then
        wait -n || failed=1
        ((running--))
    fi
    fuzz_one "$target" &
    ((++running))
done
while ((running-- > 0)); do
    wait -n || failed=1
done
exit $failed
