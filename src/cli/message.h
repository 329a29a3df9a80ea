/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP message in memory, as `plugin run` passes it through a plugin: pseudo-headers among the headers,
 * body, trailers. It knows nothing of plugins or files.
 */
#ifndef WEIR_CLI_MESSAGE_H
#define WEIR_CLI_MESSAGE_H

#include "base/strbuf.h"
#include "http/headers.h"

struct message {
    struct arena arena;
    struct header_map headers;
    struct strbuf body;
    struct header_map trailers;
    bool has_trailers;
};

void message_init(struct message *m);
void message_fini(struct message *m);
/* Empties `to` and fills it anew. */
void message_copy(struct message *to, const struct message *from);

/* Where a message is read from and what is wrong with it. */
struct message_error {
    char text[512];
};

/* Sets :method, :scheme, :authority and :path from "http://host/path" or "/path" (then the host stays, or
 * becomes "localhost"). */
bool message_set_url(struct message *m, struct slice url, struct message_error *error);
/* Adds a field; "Host" becomes :authority. */
bool message_add(struct message *m, struct slice name, struct slice value, struct message_error *error);
/* What every request has, where it is still missing: GET http://localhost/. */
void message_complete_request(struct message *m);
/* :status, 200 where it is missing. */
void message_complete_response(struct message *m);
bool message_set_status(struct message *m, unsigned status);
unsigned message_status(const struct message *m);

/*
 * Parses HTTP/1 text: a request ("POST /path HTTP/1.1", or "GET http://host/path" alone) or a response
 * ("HTTP/1.1 200 OK"), fields, a blank line, the body as it stands (cut to content-length). Lines may be
 * those of `curl -v`: "> " or "< " in front, "* " skipped. The message is initialised and empty before.
 */
bool message_parse_request(struct message *m, struct slice text, struct message_error *error);
bool message_parse_response(struct message *m, struct slice text, struct message_error *error);

#endif
