/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dates of HTTP (IMF-fixdate, RFC 9110 5.6.7). Formatting costs about 100 ns: callers keep the text for a
 * second.
 */
#ifndef WEIR_HTTP_DATE_H
#define WEIR_HTTP_DATE_H

#include "base/slice.h"

#include <stdint.h>

#define DATE_BYTES 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* Writes exactly DATE_BYTES, no NUL. Seconds since 1970 UTC, from 0 to the end of the year 9999. */
struct slice date_format(uint64_t unix_s, char out[DATE_BYTES]);

#endif
