/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building C and C++ with clang: Debian's, with wasi-libc, or a wasi-sdk. One command compiles and links all.
 */
#include "cli/build.h"
#include "cli/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOURCES_MAX 200

struct compiler {
    char program[CLI_PATH_BYTES];
    char sysroot[CLI_PATH_BYTES + 16]; /* "--sysroot=..."; empty: the compiler's own */
};

/* wasi-sdk brings everything; else the system's clang, and the parts that Debian has as packages. */
static bool find_compiler(struct build *b, const char *name, const char *library, struct compiler *out)
{
    const char *sdk = getenv("WASI_SDK_PATH");
    char path[CLI_PATH_BYTES], versioned[32];
    out->sysroot[0] = '\0';
    if (sdk && *sdk) {
        snprintf(versioned, sizeof(versioned), "bin/%s", name);
        if (!file_join(out->program, sdk, versioned) || !file_exists(out->program))
            return build_fail(b, "WASI_SDK_PATH is %.500s, which has no bin/%s: set it to a wasi-sdk", sdk,
                              name);
        file_join(path, sdk, "share/wasi-sysroot");
        snprintf(out->sysroot, sizeof(out->sysroot), "--sysroot=%s", path);
        return true;
    }
    snprintf(versioned, sizeof(versioned), "%s-14", name); /* the one that libc++ and its runtime fit */
    if (!spawn_find(name, out->program) && !spawn_find(versioned, out->program))
        return build_missing(b, name);
    if (!spawn_find("wasm-ld", path) && !spawn_find("wasm-ld-14", path))
        return build_missing(b, "wasm-ld (package lld)");
    snprintf(path, sizeof(path), "/usr/lib/wasm32-wasi/%s", library);
    return file_exists(path) || build_missing(b, path);
}

/* Plugins may do without the SDK: then none of it is linked. */
static bool uses_sdk(char *const *sources, size_t count)
{
    struct file_error error;
    struct strbuf content;
    bool uses = false;
    for (size_t i = 0; i < count && !uses; i++) {
        if (!file_read(sources[i], CLI_FILE_BYTES_MAX, &content, &error))
            continue;
        uses = slice_find(strbuf_slice(&content), SLICE_LIT("<wsdk")) >= 0 ||
               slice_find(strbuf_slice(&content), SLICE_LIT("\"wsdk")) >= 0;
        strbuf_fini(&content);
    }
    return uses;
}

static void common_args(struct build_args *args, const struct compiler *compiler)
{
    build_arg(args, compiler->program);
    build_arg(args, "--target=wasm32-wasi");
    if (compiler->sysroot[0])
        build_arg(args, compiler->sysroot);
    build_arg(args, "-O2");
    build_arg(args, "-Wall");
    build_arg(args, "-mexec-model=reactor");
    build_arg(args, "-Wl,--strip-debug,--stack-first");
}

static size_t list_sources(struct build *b, const char *const *endings, char **sources)
{
    size_t count = project_sources(&b->project, endings, sources, SOURCES_MAX);
    if (count > SOURCES_MAX)
        build_fail(b, "the project has more than %d sources", SOURCES_MAX);
    else if (count == 0)
        build_fail(b, "there is no source file in %s", b->project.directory);
    return count > SOURCES_MAX ? SOURCES_MAX : count;
}

static bool compile(struct build *b, struct build_args *args, char *const *sources, size_t count)
{
    build_arg(args, "-o");
    build_arg(args, b->output);
    for (size_t i = 0; i < count; i++)
        build_arg(args, sources[i]);
    return build_command(b, args, NULL);
}

static void free_all(char **strings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(strings[i]);
}

/* Adds the SDK's include paths and sources; the strings live in `paths` and `sources`. */
static bool add_sdk(struct build *b, struct build_args *args, char paths[2][CLI_PATH_BYTES + 8],
                    char **sources, size_t *count)
{
    static const char *const endings[] = {".c", NULL};
    char directory[CLI_PATH_BYTES];
    struct project sdk = {0};
    if (!build_sdk_path(b, "c/include", directory))
        return false;
    snprintf(paths[0], sizeof(paths[0]), "-I%s", directory);
    build_arg(args, paths[0]);
    if (build_sdk_path(b, "c/third_party", paths[1])) { /* jsmn, where it is not beside the SDK's headers */
        build_arg(args, "-isystem");
        build_arg(args, paths[1]);
    }
    if (!build_sdk_path(b, "c/src", sdk.directory))
        return false;
    *count += project_sources(&sdk, endings, sources + *count, CLI_ARGS_MAX / 4);
    return true;
}

bool build_c(struct build *b)
{
    static const char *const endings[] = {".c", NULL};
    char *sources[SOURCES_MAX + CLI_ARGS_MAX / 4] = {NULL};
    char paths[2][CLI_PATH_BYTES + 8];
    struct build_args args = {.count = 0};
    struct compiler compiler;
    if (!find_compiler(b, "clang", "libc.a", &compiler))
        return false;
    size_t count = list_sources(b, endings, sources);
    common_args(&args, &compiler);
    build_arg(&args, "-std=gnu11");
    build_arg(&args, "-flto");
    bool done = count > 0 && (!uses_sdk(sources, count) || add_sdk(b, &args, paths, sources, &count)) &&
                count < CLI_ARGS_MAX - 20;
    done = done && compile(b, &args, sources, count);
    free_all(sources, count);
    return done;
}

bool build_cpp(struct build *b)
{
    static const char *const endings[] = {".cc", ".cpp", ".cxx", NULL};
    char *sources[SOURCES_MAX] = {NULL};
    char directory[CLI_PATH_BYTES], include[CLI_PATH_BYTES + 8];
    struct build_args args = {.count = 0};
    struct compiler compiler;
    if (!find_compiler(b, "clang++", "libc++.a", &compiler) || !build_sdk_path(b, "cpp/include", directory))
        return false;
    size_t count = list_sources(b, endings, sources);
    common_args(&args, &compiler);
    build_arg(&args, "-std=c++17");
    build_arg(&args, "-fno-exceptions");
    build_arg(&args, "-fno-rtti");
    snprintf(include, sizeof(include), "-I%s", directory);
    build_arg(&args, include);
    bool done = count > 0 && compile(b, &args, sources, count);
    free_all(sources, count);
    return done;
}
