/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wsdk/text.h: the few text functions that plugins need and a freestanding guest lacks. No function here
 * calls the host or allocates.
 */
#ifndef WSDK_TEXT_H
#define WSDK_TEXT_H

#include <stdarg.h>
#include <wsdk/types.h>

bool wsdk_equal(struct wsdk_bytes a, struct wsdk_bytes b);

/* Letters A-Z and a-z are the same. */
bool wsdk_equal_nocase(struct wsdk_bytes a, struct wsdk_bytes b);
bool wsdk_starts_with(struct wsdk_bytes text, struct wsdk_bytes prefix);
bool wsdk_starts_with_nocase(struct wsdk_bytes text, struct wsdk_bytes prefix);
bool wsdk_ends_with(struct wsdk_bytes text, struct wsdk_bytes suffix);
bool wsdk_ends_with_nocase(struct wsdk_bytes text, struct wsdk_bytes suffix);

/* The text before the first byte that is one of `stops`; the whole text when there is none. */
struct wsdk_bytes wsdk_before(struct wsdk_bytes text, const char *stops);

/* Without spaces and tabs at both ends. */
struct wsdk_bytes wsdk_trim(struct wsdk_bytes text);

/*
 * Whether two secrets are equal, in a time that depends on the length of `given` only. Compare every
 * candidate and join the answers with |, or the position of the match shows.
 */
bool wsdk_equal_secret(struct wsdk_bytes given, struct wsdk_bytes secret);

/* RFC 4648 4. encode writes wsdk_base64_len(n) characters and no NUL. */
size_t wsdk_base64_len(size_t bytes);
void wsdk_base64_encode(struct wsdk_bytes from, char *to);

/*
 * Decode into `to` (room for from.len / 4 * 3 + 3). Padding may be missing, all else is strict: no other
 * characters, no bits left over. False and *len = 0 when `from` is not base64.
 */
bool wsdk_base64_decode(struct wsdk_bytes from, char *to, size_t *len);

/* RFC 9110 5.6.2 token: a header's name (not a pseudo-header's). */
bool wsdk_is_token(struct wsdk_bytes text);

/* RFC 9110 5.5 field value: no control characters but tab, no white space at the ends. */
bool wsdk_is_field_value(struct wsdk_bytes text);

/* As wsdk_log formats. Writes at most cap - 1 bytes and a NUL; returns the bytes written without it. */
size_t wsdk_format(char *to, size_t cap, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t wsdk_format_list(char *to, size_t cap, const char *format, va_list list)
    __attribute__((format(printf, 3, 0)));

#endif
