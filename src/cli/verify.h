/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verification of a plugin file: what `weirctl plugin verify` prints and what `build` ends with. It runs no
 * code of the plugin.
 */
#ifndef WEIR_CLI_VERIFY_H
#define WEIR_CLI_VERIFY_H

#include "cli/cli.h"

/* Reads and judges `path`. *report is the JSON of docs/weirctl.md. CLI_OK, CLI_FAILED (not for Weir), or
 * CLI_USAGE with *report NULL when it cannot be read; it has then complained. */
int verify_file(struct cli *cli, const char *path, json_t **report);
/* The report as text. `whole`: with the tables of imports and exports. */
void verify_print(struct cli *cli, const json_t *report, bool whole);

#endif
