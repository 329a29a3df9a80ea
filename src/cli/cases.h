/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests of a `plugin run`, each with the upstream's answer and what is expected; and what a test file
 * says about the plugin. Read from the command line, HTTP text or JSON (docs/weirctl.md has the forms). It
 * must never guess: what it does not understand is an error that names the place.
 */
#ifndef WEIR_CLI_CASES_H
#define WEIR_CLI_CASES_H

#include "cli/message.h"

#include <jansson.h>

struct test_case {
    char *name; /* owned */
    struct message request;
    bool has_response; /* else the upstream echoes the body */
    struct message response;
    json_t *expect; /* NULL: nothing is expected */
};

/* An answer to callouts of one cluster. */
struct test_callout {
    char *cluster; /* owned */
    bool fails;    /* the call fails: no headers, no body */
    struct message answer;
};

struct cases {
    struct test_case *items;
    size_t count;
    struct test_callout *callouts;
    size_t callouts_count;
    json_t *properties; /* object: path with dots -> value */
    char *config;       /* owned; NULL: not given */
    char *vm_config;
    char *root_id;
    char *name;
    uint32_t ticks;
};

struct cases_error {
    char text[1024];
};

void cases_init(struct cases *cases);
void cases_fini(struct cases *cases);

/* --request: a URL, a path, "METHOD URL", METHOD, or a file with HTTP text or JSON. */
bool cases_add_request(struct cases *cases, const char *argument, struct cases_error *error);
/* --requests: a file with many. Relative files in it are relative to it. */
bool cases_add_file(struct cases *cases, const char *path, struct cases_error *error);
/* --response: for all cases that have none. */
bool cases_set_response(struct cases *cases, const char *path, struct cases_error *error);
/* --expect: an object for all cases, or an array with one for each. */
bool cases_set_expect(struct cases *cases, const char *path, struct cases_error *error);
/* --callout CLUSTER=FILE, CLUSTER=STATUS, CLUSTER=none. */
bool cases_add_callout(struct cases *cases, const char *argument, struct cases_error *error);
/* --property NAME=TEXT, or NAME:=JSON. */
bool cases_add_property(struct cases *cases, const char *argument, struct cases_error *error);

const struct test_callout *cases_find_callout(const struct cases *cases, struct slice cluster);

#endif
