#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Applies .clang-format to every C file of the tree, or with --check only names those that differ.
# Generated files are not in the tree, so there is nothing to leave out.

set -euo pipefail
cd "$(dirname "$0")/.."

formatter=$(command -v clang-format-14 || command -v clang-format) || {
    echo "format: clang-format is missing (tools/setup.sh check)" >&2
    exit 1
}
mapfile -t sources < <(git ls-files --cached --others --exclude-standard -- '*.c' '*.h' | while read -r f; do
    [[ -f $f ]] && echo "$f"
done)
((${#sources[@]})) || exit 0

if [[ ${1:-} != --check ]]; then
    exec "$formatter" -i "${sources[@]}"
fi
report=$("$formatter" --dry-run --Werror "${sources[@]}" 2>&1) && exit 0
grep -F 'error:' <<<"$report" | cut -d: -f1 | sort | uniq -c |
    sed 's/^ *\([0-9]*\) \(.*\)/\2: \1 places differ from .clang-format (make format)/'
exit 1
