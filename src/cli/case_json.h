/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON forms of cases: requests, responses, test files. Every unknown member is refused by name.
 */
#ifndef WEIR_CLI_CASE_JSON_H
#define WEIR_CLI_CASE_JSON_H

#include "cli/cases.h"

/* `directory`: what files named in it are relative to. */
bool case_json_read(struct cases *cases, const json_t *value, const char *directory,
                    struct cases_error *error);
/* A request, or a response when `is_response`, into an empty message. */
bool case_json_message(struct message *m, const json_t *value, bool is_response, struct cases_error *error);
/* Whether every member of an expectation is known and of the right type. */
bool case_json_check_expect(const json_t *expect, struct cases_error *error);

/* For both files. */
bool cases_fail(struct cases_error *error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct test_case *cases_add(struct cases *cases, struct cases_error *error);
/* One more for a connection; the case becomes one. */
struct tcp_step *cases_add_step(struct test_case *c, struct cases_error *error);
bool cases_read_response(struct message *m, const char *path, struct cases_error *error);
struct test_callout *cases_new_callout(struct cases *cases, struct slice cluster, struct cases_error *error);
/* "DIRECTORY/PATH", or PATH when it is absolute; owned by the caller. */
char *cases_path(const char *directory, const char *path);

#endif
