#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Empties the build directory but for what takes minutes to get back: the engine archive and the Python
# packages. Removes nothing outside of it.

set -euo pipefail
cd "$(dirname "$0")/.."

readonly dir=${1:-build}
[[ -d $dir ]] || exit 0
find "$dir" -mindepth 1 -maxdepth 1 ! -name engine ! -name venv -exec rm -rf {} +
