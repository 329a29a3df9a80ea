#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# After `make`, a second `make` has nothing to do and says nothing; otherwise this names what ran and why.
# Run right after a build, it must not be what completes it.

set -uo pipefail
cd "$(dirname "$0")/.."

# A real run: a dry one cannot look at the globs.
pending=$(ninja -C build -d explain 2>&1)
if ! grep -q 'no work to do' <<<"$pending"; then
    echo "not ok second build does nothing: ninja ran"
    grep -E '^(ninja explain|\[)' <<<"$pending" | head -20 | sed 's/^/    /'
    exit 1
fi
echo "ok second build does nothing"

output=$(make --no-print-directory build 2>&1)
if [[ -n $(grep -v -e 'Re-checking globbed' -e 'no work to do' <<<"$output" | tr -d '[:space:]') ]]; then
    echo "not ok second make is silent"
    sed 's/^/    /' <<<"$output"
    exit 1
fi
echo "ok second make is silent"
