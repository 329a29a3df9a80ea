/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of error_table.h as objects. In HTTP/1 every protocol error ends the connection.
 */
#include "http/error.h"

#define HTTP_ERROR_X(n, d, s, t)                                                                             \
    const struct http_error http_error_##n = {                                                               \
        .name = #n, .details = d, .text = t, .status = s, .connection = true};
HTTP_ERRORS(HTTP_ERROR_X)
