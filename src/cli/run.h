/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a plugin over a list of cases: what `run` and `test` share.
 */
#ifndef WEIR_CLI_RUN_H
#define WEIR_CLI_RUN_H

#include "cli/cli.h"
#include "cli/sandbox.h"

struct run_options {
    struct sandbox_options sandbox;
    size_t chunk_bytes; /* 0: bodies are whole */
};

/*
 * CLI_OK: everything ran, and every expectation holds. CLI_FAILED: the plugin cannot be loaded or configured,
 * its VM failed, a request waits for ever, an expectation does not hold. *report is always set.
 */
int run_cases(struct cases *cases, const struct run_options *options, json_t **report);

#endif
