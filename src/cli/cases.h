/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests and connections of a `plugin run`, each with the upstream's answer and what is expected; and
 * what a test file says about the plugin. Read from the command line, HTTP text or JSON (docs/weirctl.md has
 * the forms). It must never guess: what it does not understand is an error that names the place.
 */
#ifndef WEIR_CLI_CASES_H
#define WEIR_CLI_CASES_H

#include "cli/message.h"

#include <jansson.h>

/* What happens on a connection next: bytes of one side, its end, or its closing. */
struct tcp_step {
    bool from_upstream;
    struct strbuf bytes;
    bool end;   /* it sends no more */
    bool close; /* it is gone */
};

struct test_case {
    char *name;  /* owned */
    bool is_tcp; /* then `steps` count, and not the messages */
    struct tcp_step *steps;
    size_t steps_count;
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
/* --tcp: the bytes of a client, which then sends no more. */
bool cases_add_tcp(struct cases *cases, struct slice bytes, struct cases_error *error);
/* --tcp-answer: for all connections where the upstream sends nothing yet. */
bool cases_set_tcp_answer(struct cases *cases, struct slice bytes, struct cases_error *error);
/* --response: for all cases that have none. */
bool cases_set_response(struct cases *cases, const char *path, struct cases_error *error);
/* --expect: an object for all cases, or an array with one for each. */
bool cases_set_expect(struct cases *cases, const char *path, struct cases_error *error);
/* --callout CLUSTER=FILE, CLUSTER=STATUS, CLUSTER=none. */
bool cases_add_callout(struct cases *cases, const char *argument, struct cases_error *error);
/* --property NAME=TEXT, or NAME:=JSON. */
bool cases_add_property(struct cases *cases, const char *argument, struct cases_error *error);

/* Whether the upstream sends something of its own; otherwise it echoes. */
bool cases_tcp_is_answered(const struct test_case *test);

const struct test_callout *cases_find_callout(const struct cases *cases, struct slice cluster);

#endif
