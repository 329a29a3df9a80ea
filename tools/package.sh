#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the Debian packages into build/package/ and names them. Expects a finished build.

set -euo pipefail
cd "$(dirname "$0")/.."

rm -rf build/package
mkdir -p build/package
# fakeroot only where it is needed: files in a package belong to root.
runner=()
((EUID == 0)) || runner=(fakeroot)
(cd build && "${runner[@]}" cpack -G DEB) >build/package/cpack.log 2>&1 || {
    cat build/package/cpack.log
    exit 1
}
rm -rf build/package/_CPack_Packages
ls build/package/*.deb
