/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of commands below `weirctl plugin`. One row makes the dispatcher, the help and the completion.
 */
#include "cli/commands.h"
#include "base/assert.h"
#include "cli/command.h"

const struct command *const command_plugin[] = {&command_init, &command_build, &command_test, &command_verify,
                                                &command_run};
const size_t command_plugin_count = WEIR_ARRAY_LEN(command_plugin);
