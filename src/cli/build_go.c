/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building Go (1.24 or later, a c-shared module for wasip1) and TinyGo.
 */
#include "cli/build.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GO_MINOR_MIN 24

static bool check_version(struct build *b)
{
    struct build_args args = {.count = 0};
    char line[128] = "";
    unsigned major = 0, minor = 0;
    build_arg(&args, "go");
    build_arg(&args, "env");
    build_arg(&args, "GOVERSION");
    if (!build_ask(b, &args, line, sizeof(line)) || sscanf(line, "go%u.%u", &major, &minor) != 2)
        return build_fail(b, "go does not say its version: %s", line);
    if (major == 1 && minor < GO_MINOR_MIN)
        return build_fail(b, "%s is too old. %s", line, b->project.language->setup);
    return true;
}

bool build_go(struct build *b)
{
    static const char *const env[] = {"GOOS=wasip1", "GOARCH=wasm", NULL};
    struct build_args args = {.count = 0};
    char path[CLI_PATH_BYTES];
    if (!spawn_find("go", path))
        return build_missing(b, "go");
    if (!check_version(b))
        return false;
    build_arg(&args, "go");
    build_arg(&args, "build");
    build_arg(&args, "-buildmode=c-shared");
    build_arg(&args, "-trimpath");
    build_arg(&args, "-o");
    build_arg(&args, b->output);
    build_arg(&args, ".");
    if (!build_command(b, &args, env))
        return false;
    /* A c-shared build leaves a header beside it, of no use here. */
    snprintf(path, sizeof(path), "%.*s.h", (int)(strlen(b->output) - strlen(".wasm")), b->output);
    unlink(path);
    return true;
}

bool build_tinygo(struct build *b)
{
    struct build_args args = {.count = 0};
    char path[CLI_PATH_BYTES];
    if (!spawn_find("tinygo", path))
        return build_missing(b, "tinygo");
    build_arg(&args, "tinygo");
    build_arg(&args, "build");
    build_arg(&args, "-o");
    build_arg(&args, b->output);
    build_arg(&args, "-scheduler=none");
    build_arg(&args, "-target=wasip1");
    build_arg(&args, ".");
    return build_command(b, &args, NULL);
}
