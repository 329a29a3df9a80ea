/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands, each in the file of its name.
 */
#ifndef WEIR_CLI_COMMANDS_H
#define WEIR_CLI_COMMANDS_H

#include "cli/command.h"

extern const struct command command_init;
extern const struct command command_build;
extern const struct command command_verify;
extern const struct command command_run;
extern const struct command command_test;

#endif
