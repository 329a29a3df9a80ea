#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# `make bench`: Weir beside Envoy, nginx and HAProxy in one run. It only finds the Python environment; the
# rows are in bench.py. Arguments are passed on: --rows direct,proxied --seconds 2 --rounds 1 for a quick look.

set -euo pipefail
cd "$(dirname "$0")/.."
exec "${WEIR_VENV:-build/venv}/bin/python3" bench/bench.py "$@"
