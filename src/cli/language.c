/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of languages. The commands that it names are those that docs/weirctl.md shows.
 */
#include "cli/language.h"

#include "base/assert.h"

const struct language languages[] = {
    {"c", "C", "small and fast; Weir's C SDK; the same source also runs natively", "plugin.c",
     "It needs clang for WebAssembly. Debian, Ubuntu: `apt-get install clang lld wasi-libc "
     "libclang-rt-14-dev-wasm32`;\nelsewhere: unpack wasi-sdk and set `WASI_SDK_PATH` to it.",
     build_c},
    {"cpp", "C++", "the C++ SDK's classes, without Bazel and Emscripten", "plugin.cc",
     "It needs clang and libc++ for WebAssembly. Debian, Ubuntu: `apt-get install clang lld wasi-libc\n"
     "libclang-rt-14-dev-wasm32 libc++-dev-wasm32`; elsewhere: unpack wasi-sdk and set `WASI_SDK_PATH` to "
     "it.",
     build_cpp},
    {"rust", "Rust", "the proxy-wasm crate", "src/lib.rs",
     "It needs Rust with the target wasm32-wasip1: `rustup target add wasm32-wasip1`. Where rustup cannot be "
     "had,\n"
     "Debian: `apt-get install --no-install-recommends rustc-web cargo-web rust-web-src lld wasi-libc`.",
     build_rust},
    {"go", "Go", "plain Go 1.24 or later, proxy-wasm-go-sdk", "main.go",
     "It needs Go 1.24 or later, from go.dev/dl or a package of it, and nothing else.", build_go},
    {"tinygo", "TinyGo", "smaller modules than Go, if you have TinyGo", "main.go",
     "It needs TinyGo (tinygo.org/getting-started/install) and Go. Without TinyGo: TINYGO.md says how plain "
     "Go\n"
     "builds the same plugin, or make a new project with `weirctl plugin init --lang go`.",
     build_tinygo},
    {"assemblyscript", "AssemblyScript", "like TypeScript; @solo-io/proxy-runtime", "assembly/index.ts",
     "It needs Node.js with npm. Debian, Ubuntu: `apt-get install nodejs npm`.", build_assemblyscript},
};
const size_t languages_count = WEIR_ARRAY_LEN(languages);

const struct language *language_find(const char *id)
{
    for (size_t i = 0; i < languages_count; i++)
        if (strcmp(languages[i].id, id) == 0)
            return &languages[i];
    return NULL;
}

const char *language_list(void)
{
    return "c, cpp, rust, go, tinygo or assemblyscript";
}
