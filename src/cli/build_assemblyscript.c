/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building AssemblyScript: npm fetches the compiler and the SDK into the project, once.
 */
#include "cli/build.h"
#include "cli/file.h"

static bool fetch(struct build *b)
{
    struct build_args args = {.count = 0};
    char path[CLI_PATH_BYTES];
    bool locked = file_join(path, b->project.directory, "package-lock.json") && file_exists(path);
    if (!spawn_find("npm", path))
        return build_missing(b, "npm");
    build_arg(&args, "npm");
    build_arg(&args, locked ? "ci" : "install");
    build_arg(&args, "--no-audit");
    build_arg(&args, "--no-fund");
    build_arg(&args, "--ignore-scripts");
    return build_command(b, &args, NULL);
}

bool build_assemblyscript(struct build *b)
{
    struct build_args args = {.count = 0};
    char compiler[CLI_PATH_BYTES], path[CLI_PATH_BYTES];
    if (!spawn_find("node", path))
        return build_missing(b, "node");
    if (!file_join(compiler, b->project.directory, "node_modules/.bin/asc"))
        return build_fail(b, "the path is too long");
    if (!file_exists(compiler) && !fetch(b))
        return false;
    build_arg(&args, compiler);
    build_arg(&args, "assembly/index.ts");
    build_arg(&args, "-b");
    build_arg(&args, b->output);
    build_arg(&args, "--use");
    build_arg(&args, "abort=abort_proc_exit");
    build_arg(&args, "--optimize");
    build_arg(&args, "--debug"); /* keeps the names of functions, for backtraces */
    return build_command(b, &args, NULL);
}
