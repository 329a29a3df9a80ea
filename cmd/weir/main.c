/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's main: command line in, exit status out. Everything else is in src/server.
 */
#include "server/server.h"

#include <proxywasm/posix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct server_options options;
    char error[512];
    int status = EXIT_FAILURE;
    if (argc == 2 && strcmp(argv[1], SERVER_COMPILE_ARGUMENT) == 0)
        return pw_posix_compiler_main();
    if (!server_options_parse(argc, argv, &options, error))
        fprintf(stderr, "weir: %s\n", error);
    else if (options.mode == SERVER_PRINT)
        status = fputs(strbuf_cstr(&options.print), stdout) >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    else
        status = server_main(&options, argc, argv);
    server_options_fini(&options);
    return status;
}
