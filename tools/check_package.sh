#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs once below a prefix and once as Debian packages, uses what was installed, removes the packages.
# The packages go into a root of their own, so the machine stays as it is; with CI=true and as root they go
# onto the machine itself. Says "ok NAME" or "not ok NAME".

set -uo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
real=false
[[ $EUID -eq 0 && ${CI:-} == true ]] && real=true

cleanup() {
    if $real; then
        dpkg -r weir libproxywasm-dev >/dev/null 2>&1
    fi
    rm -rf "$work"
}
trap cleanup EXIT

failed=0
step() {
    local name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        echo "ok package: $name"
    else
        echo "not ok package: $name"
        sed 's/^/    /' "$work/out"
        failed=1
        return 1
    fi
}

has_files() {
    local root=$1 file status=0
    shift
    for file in "$@"; do
        if [[ ! -s $root/$file ]]; then
            echo "missing: $file"
            status=1
        fi
    done
    return $status
}

weir_files=(share/doc/weir/LICENSE share/doc/weir/building.md)
for program in cmd/*/; do
    weir_files+=("bin/$(basename "$program")")
done
for plugin in plugins/*/; do
    weir_files+=("lib/weir/plugins/$(basename "$plugin")".{wasm,so})
done
weir_files+=(share/weir/sdk/c/include/{wsdk,jsmn}.h share/weir/sdk/c/src/vm.c
    share/weir/sdk/cpp/include/proxy_wasm_intrinsics.h)
dev_files=(lib/libproxywasm.a lib/libweir_engine.a lib/pkgconfig/proxywasm.pc include/proxywasm/proxywasm.h)

# make install
step "make install" make --no-print-directory install PREFIX=/usr DESTDIR="$work/dest" || exit 1
step "make install puts everything" has_files "$work/dest/usr" "${weir_files[@]}" "${dev_files[@]}"
# Its templates are inside, its SDKs beside it.
export WEIRCTL_CACHE_DIR=$work/cache
project() {
    local language
    for language in c cpp; do
        "$1/bin/weirctl" plugin init "$work/$2-$language" --lang $language &&
            "$1/bin/weirctl" plugin test "$work/$2-$language" || return 1
    done
}
step "weirctl makes and tests projects when installed" project "$work/dest/usr" installed
no_paths() {
    ! grep -rIlF -e "$PWD" "$work/dest/usr"
}
step "installed texts name no build path" no_paths
tests/embed/run.sh build "$work/dest/usr" || failed=1

# The packages.
step "make package" tools/package.sh || exit 1
debs=(build/package/*.deb)

admin=()
root=$work/root
if $real; then
    root=
else
    mkdir -p "$root"/var/lib/dpkg/{info,updates,triggers}
    touch "$root"/var/lib/dpkg/{status,available}
    # No maintainer scripts, so neither chroot nor the machine's own packages are needed.
    admin=(--root="$root" --force-depends --force-not-root --force-bad-path --log="$work/dpkg.log")
    ((EUID == 0)) || admin=(--force-script-chrootless "${admin[@]}")
fi
dpkg_run() {
    if ((EUID == 0)); then dpkg "${admin[@]}" "$@"; else fakeroot dpkg "${admin[@]}" "$@"; fi
}
packages=()
for deb in "${debs[@]}"; do
    packages+=("$(dpkg-deb -f "$deb" Package)")
done
files_of() {
    local deb=$1
    case $(dpkg-deb -f "$deb" Package) in
    weir) has_files "$root/usr" "${weir_files[@]}" ;;
    *) has_files "$root/usr" "${dev_files[@]}" ;;
    esac
}
step "dpkg -i" dpkg_run -i "${debs[@]}" || exit 1
for deb in "${debs[@]}"; do
    step "$(basename "$deb") installed everything" files_of "$deb"
done
for program in cmd/*/; do
    step "$(basename "$program") runs when installed" "$root/usr/bin/$(basename "$program")" --version
done
step "weirctl makes and tests projects from the package" project "$root/usr" packaged
step "dpkg -r" dpkg_run -r "${packages[@]}"
nothing_left() {
    local left
    left=$(cd "$root/usr" 2>/dev/null && find bin/weir* lib/weir lib/libproxywasm.a include/proxywasm share/doc/weir share/weir \
        ! -type d 2>/dev/null)
    [[ -z $left ]] || { echo "left behind: $left"; return 1; }
}
step "nothing is left behind" nothing_left
exit $failed
