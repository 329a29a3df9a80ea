/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weirctl's main: command line in, exit status out. Everything else is in src/cli.
 */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
