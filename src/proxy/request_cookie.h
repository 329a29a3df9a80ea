/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cookies of a request, as routes, hash policies and sessions look for them. They are a client's word:
 * nothing here decodes or believes them.
 */
#ifndef WEIR_PROXY_REQUEST_COOKIE_H
#define WEIR_PROXY_REQUEST_COOKIE_H

#include "http/headers.h"

/* The first cookie of the name, without quotes around it; it lies in the headers. Empty: there is none. */
struct slice request_cookie(const struct header_map *headers, struct slice name);

#endif
