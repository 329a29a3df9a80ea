#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs every check of the source tree: "ok NAME" or "not ok NAME" and what is wrong. Needs no build.

set -uo pipefail
cd "$(dirname "$0")/.."

failed=0
run() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        echo "ok $name"
    else
        echo "not ok $name"
        failed=1
    fi
    [[ -z $output ]] || sed 's/^/    /' <<<"$output"
}

for check in layers size banned intro paths; do
    run "$check" python3 "tools/checks/$check.py"
done
run format tools/format.sh --check
run shell-syntax bash -n tools/*.sh .ci/run
exit $failed
