/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of a run: made as JSON, printed as it is or as text like curl -v. docs/weirctl.md has its shape.
 */
#ifndef WEIR_CLI_RUN_REPORT_H
#define WEIR_CLI_RUN_REPORT_H

#include "cli/cli.h"
#include "cli/exchange.h"

/* One finished request; `first_line`: where its log begins in the journal. */
json_t *run_report_request(const struct exchange *x, size_t first_line);
/* "METHOD host/path", for cases without a name. Owned by the caller. */
char *run_report_name(const struct message *request);

struct run_text {
    bool verbose; /* also bodies that are binary or long, and costs of single callbacks */
    bool quiet;   /* only requests that failed, and the sum */
};
/* The whole report as text. */
void run_report_print(struct cli *cli, const json_t *report, const struct run_text *options);

/* Compares a request's report and the metrics with what is expected: an array of strings that say what
 * differs, empty when nothing does. */
json_t *expect_compare(const json_t *expect, const json_t *request, const json_t *metrics);

#endif
