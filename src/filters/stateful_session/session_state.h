/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts in which a session's endpoint goes over the client, as Envoy writes them: the address in base64;
 * in cookies a message of it and of the time at which it ends, in seconds since 1970.
 */
#ifndef WEIR_FILTERS_STATEFUL_SESSION_SESSION_STATE_H
#define WEIR_FILTERS_STATEFUL_SESSION_SESSION_STATE_H

#include "filters/stateful_session/stateful_session.h"

/* false: the session is not for this request. */
bool session_is_for(const struct session_config *c, const struct header_map *headers);
/* The endpoint that the client names, in the arena; ptr NULL: none. An envelope is taken off its header. */
struct slice session_read(const struct session_config *c, struct header_map *headers, struct arena *arena);
/* Writes the answer's endpoint; `asked`: what session_read gave. Returns whether it is another one. What does
 * not fit is left out: the client has no session then. */
bool session_write(const struct session_config *c, struct header_map *headers, struct slice address,
                   struct slice asked, struct arena *arena);

#endif
