/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building Rust for wasm32-wasip1: with rustup's target where it is there; else with Debian's rustc-web,
 * whose std is built once from its source into a sysroot in the user's cache.
 */
#include "cli/build.h"
#include "cli/file.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TARGET       "wasm32-wasip1"
#define DEBIAN_RUSTC "/usr/bin/rustc"
#define DEBIAN_CARGO "/usr/bin/cargo"
#define LIBRARIES    "lib/rustlib/" TARGET "/lib"

static bool sysroot_of(struct build *b, const char *rustc, char out[CLI_PATH_BYTES])
{
    struct build_args args = {.count = 0};
    build_arg(&args, rustc);
    build_arg(&args, "--print");
    build_arg(&args, "sysroot");
    return build_ask(b, &args, out, CLI_PATH_BYTES) && out[0] == '/';
}

static bool has_part(const char *sysroot, const char *part)
{
    char path[CLI_PATH_BYTES];
    return file_join(path, sysroot, part) && file_exists(path);
}

/* The module's name is the crate's, with underscores. */
static bool take_output(struct build *b, const char *target_directory)
{
    static const char release[] = TARGET "/release";
    char directory[CLI_PATH_BYTES], path[CLI_PATH_BYTES], found[CLI_PATH_BYTES] = "";
    struct file_error error;
    struct strbuf content;
    struct dirent *entry;
    DIR *dir = file_join(directory, target_directory, release) ? opendir(directory) : NULL;
    char wanted[PROJECT_NAME_MAX + 8];
    snprintf(wanted, sizeof(wanted), "%s.wasm", b->project.name);
    for (char *c = wanted; *c; c++)
        if (*c == '-')
            *c = '_';
    while (dir && (entry = readdir(dir))) {
        if (!slice_ends_with(slice_str(entry->d_name), SLICE_LIT(".wasm")) ||
            !file_join(path, directory, entry->d_name))
            continue;
        if (!*found || strcmp(entry->d_name, wanted) == 0)
            memcpy(found, path, sizeof(path));
    }
    if (dir)
        closedir(dir);
    if (!*found)
        return build_fail(
            b, "cargo left no .wasm in %.1000s: Cargo.toml needs [lib] crate-type = [\"cdylib\"]", directory);
    if (!file_read(found, CLI_MODULE_BYTES_MAX, &content, &error))
        return build_fail(b, "%s", error.text);
    bool done =
        file_write(b->output, strbuf_slice(&content), true, &error) || build_fail(b, "%s", error.text);
    strbuf_fini(&content);
    return done;
}

static bool target_directory(struct build *b, char out[CLI_PATH_BYTES])
{
    const char *given = getenv("CARGO_TARGET_DIR");
    if (given && given[0] == '/')
        return snprintf(out, CLI_PATH_BYTES, "%s", given) < (int)CLI_PATH_BYTES;
    return file_join(out, b->project.directory, given && *given ? given : "target");
}

static bool cargo_build(struct build *b, const char *cargo, const char *const *env)
{
    struct build_args args = {.count = 0};
    char directory[CLI_PATH_BYTES];
    build_arg(&args, cargo);
    build_arg(&args, "build");
    build_arg(&args, "--release");
    build_arg(&args, "--target");
    build_arg(&args, TARGET);
    return build_command(b, &args, env) && target_directory(b, directory) && take_output(b, directory);
}

/* --- Debian --- */

static bool cache_directory(struct build *b, char out[CLI_PATH_BYTES])
{
    const char *own = getenv("WEIR_RUST_SYSROOT");
    struct build_args args = {.count = 0};
    char version[128] = "";
    if (own && own[0] == '/')
        return snprintf(out, CLI_PATH_BYTES, "%s", own) < (int)CLI_PATH_BYTES;
    build_arg(&args, DEBIAN_RUSTC);
    build_arg(&args, "--version");
    if (!build_ask(b, &args, version, sizeof(version)))
        return build_fail(b, "%s does not run: %s", DEBIAN_RUSTC, version);
    for (char *c = version; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789.-", *c))
            *c = '-';
    return file_cache_place(out, version) ||
           build_fail(b, "there is no place for Rust's std: set WEIRCTL_CACHE_DIR to a directory");
}

static bool move_libraries(struct build *b, const char *from, const char *sysroot)
{
    char to[CLI_PATH_BYTES], source[CLI_PATH_BYTES], target[CLI_PATH_BYTES];
    struct file_error error;
    struct dirent *entry;
    DIR *dir = opendir(from);
    bool done = dir && file_join(to, sysroot, LIBRARIES) && file_make_directory(to, &error);
    while (done && (entry = readdir(dir))) {
        struct slice name = slice_str(entry->d_name);
        if (!slice_ends_with(name, SLICE_LIT(".rlib")) || slice_starts_with(name, SLICE_LIT("libempty")))
            continue;
        done = file_join(source, from, entry->d_name) && file_join(target, to, entry->d_name) &&
               rename(source, target) == 0;
    }
    if (dir)
        closedir(dir);
    return done || build_fail(b, "the built std cannot be put into %.1000s", sysroot);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

/* Builds std with an empty crate in `work` and puts its libraries into `work`/root. */
static bool fill_work(struct build *b, const char *work, const char *root)
{
    static const char manifest[] =
        "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[lib]\n"
        "path = \"empty.rs\"\n[profile.release]\npanic = \"abort\"\n";
    static const char *const words[] = {DEBIAN_CARGO,     "build", "--release",
                                        "--target",       TARGET,  "-Zbuild-std=std,panic_abort",
                                        "--manifest-path"};
    char source[CLI_PATH_BYTES], path[CLI_PATH_BYTES], target[CLI_PATH_BYTES + 32], built[CLI_PATH_BYTES];
    struct build_args args = {.count = 0};
    struct file_error error;
    if (!file_make_directory(work, &error) || !file_join(source, work, "empty.rs") ||
        !file_write(source, SLICE_LIT(""), true, &error) || !file_join(path, work, "Cargo.toml") ||
        !file_write(path, slice_of(manifest, sizeof(manifest) - 1), true, &error))
        return build_fail(b, "Rust's std cannot be built in %.1000s: %s", work, error.text);
    snprintf(target, sizeof(target), "CARGO_TARGET_DIR=%s/target", work);
    const char *env[] = {"RUSTC=" DEBIAN_RUSTC, "RUSTC_BOOTSTRAP=1", target,
                         "CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS=-C embed-bitcode=yes", NULL};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        build_arg(&args, words[i]);
    build_arg(&args, path);
    if (!b->cli->json)
        fprintf(b->cli->err, "building Rust's std for " TARGET " once (about a minute)\n");
    return build_command(b, &args, env) && file_join(built, work, "target/" TARGET "/release/deps") &&
           move_libraries(b, built, root);
}

/* Made beside its place and renamed, so that half a sysroot is never used. */
static bool make_sysroot(struct build *b, const char *sysroot)
{
    char work[CLI_PATH_BYTES], root[CLI_PATH_BYTES];
    int n = snprintf(work, sizeof(work), "%s.%ld", sysroot, (long)getpid());
    if (n < 0 || n >= (int)sizeof(work) || !file_join(root, work, "root"))
        return build_fail(b, "the path is too long: %.1000s", sysroot);
    bool done = fill_work(b, work, root);
    if (done && rename(root, sysroot) != 0 && !has_part(sysroot, LIBRARIES))
        done = build_fail(b, "the sysroot cannot be moved to %.1000s", sysroot);
    nftw(work, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return done;
}

static bool build_debian(struct build *b)
{
    static char flags[CLI_PATH_BYTES + 256];
    char sysroot[CLI_PATH_BYTES], own[CLI_PATH_BYTES], path[CLI_PATH_BYTES];
    if (!file_exists(DEBIAN_RUSTC) || !file_exists(DEBIAN_CARGO) || !sysroot_of(b, DEBIAN_RUSTC, own) ||
        !has_part(own, "lib/rustlib/src/rust/library/std/Cargo.toml"))
        return build_missing(b, "Rust's std for " TARGET);
    if (!file_exists("/usr/lib/wasm32-wasi/libc.a") || !spawn_find("wasm-ld", path))
        return build_missing(b, "wasi-libc or wasm-ld");
    if (!cache_directory(b, sysroot) || (!has_part(sysroot, LIBRARIES) && !make_sysroot(b, sysroot)))
        return false;
    snprintf(flags, sizeof(flags),
             "CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS=--sysroot=%s -C link-self-contained=no -L "
             "native=/usr/lib/wasm32-wasi",
             sysroot);
    static const char linker[] = "CARGO_TARGET_WASM32_WASIP1_LINKER=wasm-ld";
    const char *env[] = {"RUSTC=" DEBIAN_RUSTC, linker, flags, NULL};
    return cargo_build(b, DEBIAN_CARGO, env);
}

bool build_rust(struct build *b)
{
    char path[CLI_PATH_BYTES], sysroot[CLI_PATH_BYTES];
    if (spawn_find("cargo", path) && spawn_find("rustc", path) && sysroot_of(b, "rustc", sysroot) &&
        has_part(sysroot, LIBRARIES))
        return cargo_build(b, "cargo", NULL);
    return build_debian(b);
}
